"""Everything that imports Keras: reference models, and code that loads, runs and traces a user's model."""
