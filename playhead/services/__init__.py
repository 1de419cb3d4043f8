"""Use cases that need more than one adapter, and the service container."""
