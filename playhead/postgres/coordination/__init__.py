"""How processes find each other: heartbeats, notifications and session-level locks."""
