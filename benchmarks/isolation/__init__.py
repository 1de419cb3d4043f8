"""Isolation of organisations under load, by every way to read or write."""
