"""Text to vectors: one protocol, one adapter a model family."""
