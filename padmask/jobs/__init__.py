"""Datasets of many shards: which there are, who works on them, and how they come into a folder whole."""
