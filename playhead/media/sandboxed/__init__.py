"""What runs in the process apart: all that lets FFmpeg look at a file. Nobody else imports it."""
