"""Search in recordings: from a query to moments and recordings."""
