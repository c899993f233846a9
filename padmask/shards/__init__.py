"""Datasets of many files, padded by processes or a Dask cluster."""
