"""Pure functions, value in, value out: no Dagster, no I/O, no clock."""
