"""How it is used: command line and search. Never imports Dagster."""
