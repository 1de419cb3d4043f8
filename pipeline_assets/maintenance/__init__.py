"""Repairs: orphaned runs, missing events, partitions, deletion."""
