"""Keras models: reference models, loading, running and tracing."""
