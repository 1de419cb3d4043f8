"""Chunk search, embedding sets, vector indexes, conversations."""
