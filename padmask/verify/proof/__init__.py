"""Checks, in NumPy alone, that the outputs of a model do not depend on padding."""
