"""Transcripts as values: words and seconds, captions, corrections. Pure: no model, no database."""
