"""Speech-to-text engines: one adapter per engine, and the steps shared by all of them."""
