"""Which of the passages that were found answers best."""
