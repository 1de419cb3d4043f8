"""The engine room beside a floor written by hand: ``python -m benchmarks.engine_room``."""
