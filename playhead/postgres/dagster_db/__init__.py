"""SQL on Dagster's own database: pruning its history, deleting a recording from it."""
