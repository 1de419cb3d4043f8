"""Quality of search: labelled questions through the real search."""
