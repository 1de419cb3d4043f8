"""Speech to text: one protocol, one adapter an engine."""
