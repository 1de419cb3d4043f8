"""Local and remote engines that implement ``playhead.core.protocols``, and their registry."""
