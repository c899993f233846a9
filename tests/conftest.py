"""Settings for all tests: seeds, a quiet TensorFlow, and a server process that runs `padmask`."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from fork_server import ForkServer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The models are tiny, and pytest uses all cores. More threads would only wait for each other.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

try:
    from hypothesis import settings
except ImportError:
    # The smoke tests run without Hypothesis too.
    pass
else:
    # Use the same examples in every run. `make fuzz` uses others: --hypothesis-profile fuzz
    settings.register_profile("test", derandomize=True, deadline=None, max_examples=30)
    settings.register_profile("fuzz", deadline=None)
    settings.load_profile("test")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Fail if a test module cannot be imported. Otherwise, --doctest-ignore-import-errors skips its tests."""
    report = yield
    if report.skipped and "unable to import module" in str(report.longrepr):
        report.outcome = "failed"
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Exclude exhaustive tests from `-m slow`. Modules with the marker `slow` may contain such tests."""
    expression = config.option.markexpr
    if "slow" in expression and "exhaustive" not in expression:
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=left_out)


# Collecting tests makes a million objects, and nearly all of them stay.
gc.disable()


def pytest_collection_finish() -> None:
    """Exclude the modules and tests from garbage collection, which otherwise visits a million objects.

    Few tests create cycles, so collections are also made rare.
    """
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """A server process that has imported padmask and forks a child for each run."""
    with ForkServer() as server:
        yield server
