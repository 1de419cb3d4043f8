"""What all engines behind a network share: who asks, at what pace, for what money."""
