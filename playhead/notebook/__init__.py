"""Search, answers and tables as pandas frames."""
