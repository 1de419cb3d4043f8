"""Playhead's database: schema, SQL, the stage results, and the embedded server."""
