"""Where the shards of a command are worked on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from padmask.cli.arguments import Workers
from padmask.errors import SpecError
from padmask.shards.dask import LOCAL, open_cluster
from padmask.shards.processes import Processes
from padmask.storage.system import cores


@contextmanager
def open_executor(where: Workers) -> Iterator[Executor | None]:
    """Give the executor that works on shards; None where one process is enough."""
    workers = where.workers or cores()
    if where.cluster:
        if where.workers and where.cluster != LOCAL:
            raise SpecError(
                "A cluster has its own workers: give --cluster or --workers. Only of --cluster local, which "
                "starts here, --workers says how many.",
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
    """Set what Dask takes from the process alone, which only a command line may change."""
    if starts_here:
        # By multiprocessing, whose children would look for modules in the current folder first.
        os.environ["PYTHONSAFEPATH"] = "1"
    # What matters of its warnings is raised.
    warnings.filterwarnings("ignore", module="distributed")
