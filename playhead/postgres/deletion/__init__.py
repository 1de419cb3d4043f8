"""Deleting every trace of a recording, and scanning for what is left."""
