"""Questions to answers, each sentence of which opens a recording where it was said."""
