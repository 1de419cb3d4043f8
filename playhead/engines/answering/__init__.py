"""Engines that answer questions from chunks, with citations: one adapter per method."""
