"""Code that runs in the sandboxed process, where FFmpeg reads files; not imported elsewhere."""
