"""What is made: the asset graph, one file an asset, in the order data flows."""
