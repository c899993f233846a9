"""What was asked of each command: the options that were typed or configured, as frozen dataclasses.

Loads no NumPy, so that `--help` is quick.
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


@dataclass(frozen=True, kw_only=True)
class PadArguments:
    """What `padmask pad` was asked for.

    Args:
        to: where it writes.
        columns: to pad.
        spec, mask, policy: how.
        where: where shards are worked on.
        resume, delete, shard_bytes: for an output folder.
        folder_options: the options for output folders that were typed.
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
    """What `padmask unpad` was asked for.

    Args:
        to: where it writes.
        columns: padded columns.
        spec: what tells padding from tokens.
        on_error: `"fail"` or `"skip"`.
    """

    to: Output
    columns: Sequence[str]
    spec: UnpadSpec
    on_error: Any


@dataclass(frozen=True, kw_only=True)
class InspectArguments:
    """What `padmask inspect` was asked for.

    Args:
        inputs: as in `Output`.
        columns: the first one's tokens are shown.
        specs: masks are shown for the first, plans for all.
        show: which rows are shown.
        style: how rows are shown.
        masks, plans: whether they are shown.
        as_json: print JSON instead.
        export: path of a picture of what is shown; None writes none.
        mask_column: of padded input.
        declared: side of the padding of padded input, if typed.
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
    """What `padmask verify` was asked for.

    Args:
        inputs: as in `Output`; none at all proves a model on random rows.
        columns, spec: how raw input is padded.
        strict, allow: how the rules are enforced.
        proof: the reference models, or a user's model; None checks the data alone.
        backend, device, sample: of the proof.
        mask_column, declared: of padded input.
        files: how files are read.
        reports: form and path of each report; `-` is standard output.
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
    """The options of the reference models.

    Args:
        spec: the fields of `ReferenceSpec` that were given.
    """

    spec: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The options of a user's model.

    Args:
        spec: the fields of `ModelSpec`.
        model, predict, inputs, custom_objects, allow_unsafe: as in `ModelProof`.
    """

    spec: dict[str, Any]
    model: str | None
    predict: str | None
    inputs: dict[str, str]
    custom_objects: str | None
    allow_unsafe: bool
