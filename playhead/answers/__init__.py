"""Answers to questions, in sentences that cite a moment of a recording."""
