"""Questions and passages to answers that cite: one protocol, one adapter a way to write them."""
