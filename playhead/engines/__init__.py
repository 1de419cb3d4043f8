"""Engines behind the protocols of ``playhead.core.protocols``, local and remote, and their registry."""
