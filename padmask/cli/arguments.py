"""Dataclasses for the options that several commands share.

The module of each command defines a dataclass for its other options. These modules do not import NumPy, so
that `--help` is fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from padmask.spec.files import FileOptions


@dataclass(frozen=True, kw_only=True)
class Output:
    """Options of a command that writes an output file.

    Args:
        inputs: files, folders, glob patterns or URLs. If empty, the command reads standard input.
        output: path or URL of the output. `-` is standard output.
        files: options for reading and writing files.
        report: path of the JSON report. If None, no report is written.
        allow: names of the warnings that are not printed.
        quiet: whether to suppress the summary, warnings and progress.
        progress: whether to show progress.
    """

    inputs: Sequence[str]
    output: str
    files: FileOptions
    report: str | None
    allow: Sequence[str]
    quiet: bool
    progress: bool


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Where to process the files of a dataset: in local processes or on a Dask cluster.

    Args:
        workers: number of worker processes. If None, the number of cores.
        cluster: address of a Dask scheduler. `local` starts a scheduler. If None, local processes are used.
    """

    workers: int | None
    cluster: str | None
