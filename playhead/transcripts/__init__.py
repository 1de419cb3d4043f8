"""Pure functions on transcripts: times, captions and corrections, without models or a database."""
