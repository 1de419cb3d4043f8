"""State of providers shared by all workers: rate limits, spend log, circuit breakers, batches."""
