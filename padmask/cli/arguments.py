"""Frozen dataclasses with the options of each command, from the command line and `pyproject.toml`.

This module does not import NumPy, so that `--help` is fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from padmask.spec.files import FileOptions, ReadOptions
from padmask.spec.pad import MaskSpec, PadSpec, RowPolicy, Side
from padmask.spec.show import ShowSpec
from padmask.spec.unpad import UnpadSpec


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


@dataclass(frozen=True, kw_only=True)
class PadArguments:
    """Options of `padmask pad`.

    Args:
        to: inputs, output and report.
        columns: columns to pad.
        spec, mask, policy: how rows are padded, masked and filtered.
        where: where shards are processed.
        resume, delete, shard_bytes: options for an output folder.
        folder_options: names of the options on the command line that need an output folder.
    """

    to: Output
    columns: Sequence[str]
    spec: PadSpec
    mask: MaskSpec
    policy: RowPolicy
    where: Workers
    resume: bool
    delete: bool
    shard_bytes: int | None
    folder_options: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class UnpadArguments:
    """Options of `padmask unpad`.

    Args:
        to: inputs, output and report.
        columns: padded columns.
        spec: how padding is recognized.
        on_error: `"fail"` or `"skip"`.
    """

    to: Output
    columns: Sequence[str]
    spec: UnpadSpec
    on_error: Any


@dataclass(frozen=True, kw_only=True)
class InspectArguments:
    """Options of `padmask inspect`.

    Args:
        inputs: as in `Output`.
        columns: columns to inspect. The tokens of the first column are shown.
        specs: candidate plans. Masks are shown for the first plan.
        show: rows to show.
        style: how rows are shown.
        masks, plans: show masks, show plans.
        as_json: print JSON instead of text.
        export: file for a copy of the printed output; None writes no file.
        mask_column: mask column of padded input.
        declared: side of the padding of padded input, if given on the command line.
        files: how files are read.
        where: where files are read.
        quiet, progress: as in `Output`.
    """

    inputs: Sequence[str]
    columns: Sequence[str]
    specs: Sequence[PadSpec]
    show: ShowSpec
    style: str
    masks: bool
    plans: bool
    as_json: bool
    export: str | None
    mask_column: str | None
    declared: Side | None
    files: ReadOptions
    where: Workers
    quiet: bool
    progress: bool


@dataclass(frozen=True, kw_only=True)
class VerifyArguments:
    """Options of `padmask verify`.

    Args:
        inputs: as in `Output`; without inputs, a model is proven on random rows.
        columns, spec: how raw input is padded.
        strict, allow: how the data rules are enforced.
        proof: options of the reference models or of the user's model; None checks only the data.
        backend, device, sample: Keras backend, device and number of rows of the proof.
        mask_column, declared: mask column and side of the padding of padded input.
        files: how files are read.
        reports: format and path of each report; `-` is standard output.
        as_json: print the report as JSON.
        quiet, progress: as in `Output`.
    """

    inputs: Sequence[str]
    columns: Sequence[str]
    spec: PadSpec
    strict: bool
    allow: Sequence[str]
    proof: ReferenceOptions | ModelOptions | None
    backend: str | None
    device: str
    sample: int
    mask_column: str | None
    declared: Side | None
    files: ReadOptions
    reports: Sequence[tuple[str, str]]
    as_json: bool
    quiet: bool
    progress: bool


@dataclass(frozen=True, kw_only=True)
class ReferenceOptions:
    """Options of the reference models.

    Args:
        spec: fields of `ReferenceSpec` that were set.
    """

    spec: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options of the user's model.

    Args:
        spec: fields of `ModelSpec`.
        model, predict, inputs, custom_objects, allow_unsafe: as in `ModelProof`.
    """

    spec: dict[str, Any]
    model: str | None
    predict: str | None
    inputs: dict[str, str]
    custom_objects: str | None
    allow_unsafe: bool
