"""The warm worker: runs pending recordings in this process, without a daemon."""
