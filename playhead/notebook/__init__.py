"""Search, answers and tables as pandas data frames."""
