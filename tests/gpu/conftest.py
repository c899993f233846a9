"""The check of the GPU is run manually with `python tests/gpu/check.py`. pytest does not collect it."""

collect_ignore_glob = ["*.py"]
