"""Dagster resources: the services, the storage and the event log."""
