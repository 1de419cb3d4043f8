"""Chunking of transcripts and documents: pure functions, without Dagster, I/O or a clock."""
