"""Proof that padding is ignored: rules over the data, and, to come, checks over models."""
