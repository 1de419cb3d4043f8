"""File exports: transcripts and documents to read, and clips of the media."""
