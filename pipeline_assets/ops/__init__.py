"""Ops and their jobs: work that is not an asset."""
