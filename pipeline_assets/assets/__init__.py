"""The asset graph: one file per asset, and the code that runs the five stages."""
