"""What leaves as files: transcripts and documents to read, clips of the media."""
