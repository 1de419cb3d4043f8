"""Whether organisations stay apart under load: by every way to ask or to write."""
