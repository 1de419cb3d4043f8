"""What is shared by all workers that call providers: rate limits, budgets, circuit breakers, batches."""
