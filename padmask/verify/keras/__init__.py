"""Keras models: reference models, and loading, running and tracing of a user's model."""
