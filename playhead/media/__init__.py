"""Media files: storage, probing and decoding."""
