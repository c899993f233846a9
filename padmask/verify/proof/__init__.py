"""Checks that padding does not change the outputs of a model. This package does not import Keras."""
