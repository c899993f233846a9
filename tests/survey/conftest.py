"""The survey is run manually with `python tests/survey/run.py`. pytest does not collect it."""

collect_ignore_glob = ["*.py"]
