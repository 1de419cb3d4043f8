"""The embedded Postgres server and the process that supervises it."""
