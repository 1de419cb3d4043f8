"""The Dagster sensors, which request runs."""
