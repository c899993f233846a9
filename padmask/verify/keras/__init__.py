"""Reference models, and functions that load, run and trace a user's model. They import Keras."""
