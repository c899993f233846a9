"""Rules for padded and raw data, and samples of rows for the model checks."""
