"""Reference models, and functions that load, run and trace a user's model. These modules import Keras."""
