"""Engines that write documents from transcripts: one adapter per writer."""
