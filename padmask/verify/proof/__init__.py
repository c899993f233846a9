"""Checks that prove that outputs ignore padding, in NumPy."""
