"""Rules for raw and padded data, and samples of rows for the checks of models."""
