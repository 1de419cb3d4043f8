"""Rebuild plans: their estimates and their runs."""
