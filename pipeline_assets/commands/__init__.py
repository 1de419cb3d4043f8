"""Entry points that ``playhead`` executes as ``python -m pipeline_assets.commands.<name>``."""
