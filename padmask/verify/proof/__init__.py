"""NumPy code that checks whether padding changes the outputs of a model."""
