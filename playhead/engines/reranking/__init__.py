"""Rerankers: engines that decide which of the found chunks answer the question best."""
