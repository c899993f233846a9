"""Checks that padding does not change the outputs of a model, in NumPy."""
