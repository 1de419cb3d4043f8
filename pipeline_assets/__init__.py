"""The Dagster project: assets, jobs, schedules and the code that runs them."""
