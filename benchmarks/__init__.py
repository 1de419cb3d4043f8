"""Measurements of Playhead, each a command: ``python -m benchmarks.NAME``."""
