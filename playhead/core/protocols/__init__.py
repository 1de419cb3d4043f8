"""Protocols that engines implement: transcriber, writer, answerer, embedder and reranker."""
