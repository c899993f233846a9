"""What several commands are asked for alike: parts of the request that each command's module declares.

This module loads no NumPy, so that `--help` is quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from padmask.spec.files import FileOptions


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a command writes, and what it says on the way.

    Args:
        inputs: files, folders, patterns or addresses; none is standard input.
        output: path or address; `-` is standard output.
        files: how files are read and written.
        report: path of the JSON report; None writes none.
        quiet: no summary, no warnings, no progress.
        progress: show progress on a terminal.
    """

    inputs: Sequence[str]
    output: str
    files: FileOptions
    report: str | None
    quiet: bool
    progress: bool


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Where shards are worked on.

    Args:
        workers: processes on this machine; None is one a core.
        cluster: address of a Dask scheduler; `local` starts one; None uses processes.
    """

    workers: int | None
    cluster: str | None
