"""Frozen dataclasses with the options that several commands share.

The module of each command declares its own request. These modules do not import NumPy: `--help` is fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from padmask.spec.files import FileOptions


@dataclass(frozen=True, kw_only=True)
class Output:
    """Options of a command that writes an output.

    Args:
        inputs: files, folders, patterns or addresses; standard input if empty.
        output: path or address; `-` is standard output.
        files: how files are read and written.
        report: path of the JSON report; None writes no report.
        quiet: print no summary, warnings or progress.
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
    """Processes or cluster that process the shards of a dataset.

    Args:
        workers: number of processes on this machine; None means one per core.
        cluster: address of a Dask scheduler; `local` starts a scheduler; None uses processes.
    """

    workers: int | None
    cluster: str | None
