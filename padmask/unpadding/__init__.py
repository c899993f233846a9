"""The padding taken away again: what is padded, what says so, and whether the two agree."""
