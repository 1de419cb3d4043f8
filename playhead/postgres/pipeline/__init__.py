"""Recordings, stage results, content, versions and plans."""
