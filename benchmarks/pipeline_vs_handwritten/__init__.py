"""Playhead beside a hand-written pipeline: ``python -m benchmarks.pipeline_vs_handwritten``."""
