"""Embedding engines: one adapter per model family."""
