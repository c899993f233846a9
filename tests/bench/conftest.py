"""The benchmark is run by hand, by `make bench`: pytest leaves it alone."""

collect_ignore_glob = ["*.py"]
