"""How well Playhead finds: labelled questions through the real search."""
