"""Members of organisations and API tokens."""
