"""Clients of model providers: calls, retries, rate limits, budgets, and batches."""
