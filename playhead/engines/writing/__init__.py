"""Transcripts to documents: one protocol, one adapter a writer."""
