"""The engine room beside a floor written by hand: ``python -m benchmarks.pipeline_vs_handwritten``."""
