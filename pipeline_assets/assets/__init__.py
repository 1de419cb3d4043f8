"""The asset graph: one file per asset, and how the five stages run."""
