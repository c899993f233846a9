"""What holds for all tests: seeds, a quiet TensorFlow, and a process that forks for runs of `padmask`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from fork_server import ForkServer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

try:
    from hypothesis import settings
except ImportError:
    # The smoke tests run without Hypothesis too.
    pass
else:
    # The same examples in every run. `make fuzz` draws others: --hypothesis-profile fuzz
    settings.register_profile("test", derandomize=True, deadline=None)
    settings.register_profile("fuzz", deadline=None)
    settings.load_profile("test")


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """A process that has imported padmask, and forks for each run."""
    with ForkServer() as server:
        yield server
