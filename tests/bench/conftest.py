"""The benchmark is run manually with `make bench`. pytest does not collect it."""

collect_ignore_glob = ["*.py"]
