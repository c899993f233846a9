"""Executors and progress bars for the commands."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext

from padmask.cli.arguments import Workers
from padmask.errors import SpecError
from padmask.render.console import progress_bar
from padmask.shards.dask import LOCAL, open_cluster
from padmask.shards.processes import Processes
from padmask.storage.system import cores
from padmask.stream.progress import ProgressCallback


def open_progress(
    *, quiet: bool, progress: bool, output: str = ""
) -> AbstractContextManager[ProgressCallback | None]:
    """Return a progress bar if stderr is a terminal that does not also show the output."""
    shows_output = output == "-" and sys.stdout is not None and sys.stdout.isatty()
    if quiet or not progress or shows_output or sys.stderr is None or not sys.stderr.isatty():
        return nullcontext()
    return progress_bar()


@contextmanager
def open_executor(where: Workers) -> Iterator[Executor | None]:
    """Yield the executor for the shards of a dataset; None if one process is enough."""
    workers = where.workers or cores()
    if where.cluster:
        if where.workers and where.cluster != LOCAL:
            raise SpecError(
                "A cluster has its own workers: --workers works only with --cluster local. Remove --workers.",
                options=["cluster", "workers"],
            )
        _prepare_for_dask(starts_here=where.cluster == LOCAL)
        with open_cluster(where.cluster, workers) as cluster:
            yield cluster
    elif workers > 1:
        with Processes(workers) as executor:
            yield executor
    else:
        yield None


def _prepare_for_dask(*, starts_here: bool) -> None:
    """Change process settings for Dask. Only the command line may do this, not the library."""
    if starts_here:
        # The child processes of multiprocessing would import modules from the current folder.
        os.environ["PYTHONSAFEPATH"] = "1"
    # padmask raises an error for every problem that matters.
    warnings.filterwarnings("ignore", module="distributed")
