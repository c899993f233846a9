"""`verify_file`: audit the data, take a sample, prove on it, report."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.python_rows import flatten
from padmask.errors import DataError, SpecError, did_you_mean
from padmask.formats.dataset import Dataset
from padmask.shards.manifest import refuse_changed_shards
from padmask.spec.checks import (
    at_least,
    check_fields,
    choice,
    file_path,
    flag,
    instance,
    optional,
    or_default,
    string,
)
from padmask.spec.columns import Columns, as_list
from padmask.spec.formats import input_formats, names_of
from padmask.spec.pad import MaskSpec, PadSpec, RowPolicy, Side
from padmask.spec.verify import BACKENDS, DEVICES, ModelSpec, ReferenceSpec
from padmask.storage.source import find_sources
from padmask.storage.urls import checked_paths, display_path, is_url, refuse_mistyped
from padmask.stream.job import PadRequest
from padmask.stream.progress import ProgressCallback
from padmask.verify.api import environment, report_on_function, report_on_model
from padmask.verify.data.look import AuditedData, AuditRequest, RuleSpec, audit_and_sample
from padmask.verify.proof.function import IDS, find_function
from padmask.verify.proof.sample import Input, Sample
from padmask.verify.report import Report

# Places a row of the sample may have: longer ones prove nothing more, and take longer.
STEPS = 64

# Some rows are also taken without all but their first tokens: long rows forget what came before them.
SHORT_STEPS = 8

# A table of more rows than this is no reference model any more.
LARGEST_VOCABULARY = 1 << 22

SAMPLE_ROWS = 256

# What the report says where there is nothing to prove anything on.
NOTHING = {"subjects": "none: the data have no row with a token to prove anything on"}


@dataclass(frozen=True, kw_only=True)
class ProofSpec:
    """How the proof is made.

    Args:
        reference: the reference models.
        backend: of Keras; None takes `KERAS_BACKEND`, else TensorFlow.
        device: `"auto"`, `"cpu"` or `"gpu"`.
        sample: rows it is made on.
    """

    reference: ReferenceSpec = field(default_factory=ReferenceSpec)
    backend: str | None = None
    device: str = "auto"
    sample: int = SAMPLE_ROWS

    def __post_init__(self) -> None:
        check_fields(
            self,
            reference=instance(ReferenceSpec),
            backend=optional(choice(BACKENDS)),
            device=choice(DEVICES),
            sample=at_least(1),
        )


def _check_inputs(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise SpecError(f"`{name}` must map the model's inputs to columns. Received: {value!r:.80}.")
    return {string(name, key): string(name, column) for key, column in value.items()}


@dataclass(frozen=True, kw_only=True)
class ModelProof:
    """Whose model is proven, and how.

    Args:
        spec: how.
        model: path of a saved Keras model; or
        predict: `module:function`, which takes ids and mask.
        inputs: columns for the model's inputs, where the names differ.
        custom_objects: Python file with the classes that the model needs.
        allow_unsafe: whether code from within the model's file may be run.
        backend, device, sample: as in `ProofSpec`.
    """

    spec: ModelSpec
    model: str | None = None
    predict: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    custom_objects: str | None = None
    allow_unsafe: bool = False
    backend: str | None = None
    device: str = "auto"
    sample: int = SAMPLE_ROWS

    def __post_init__(self) -> None:
        check_fields(
            self,
            spec=instance(ModelSpec),
            model=optional(file_path),
            predict=optional(string),
            inputs=_check_inputs,
            custom_objects=optional(file_path),
            allow_unsafe=flag,
            backend=optional(choice(BACKENDS)),
            device=choice(DEVICES),
            sample=at_least(1),
        )
        if (self.model is None) == (self.predict is None):
            raise SpecError("Give one of a model and a function to predict with.")
        for named_path in (self.model, self.custom_objects):
            _refuse_address(named_path or "")


def _refuse_address(path: str) -> None:
    refuse_mistyped(path)
    if is_url(path):
        raise SpecError(
            f"{display_path(path)!r}: models and their code are read from this machine. Copy the file "
            "here first."
        )


def verify_file(  # noqa: PLR0913 - a keyword each for what the command takes
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    columns: Columns = None,
    spec: PadSpec | None = None,
    rules: RuleSpec | None = None,
    proof: ProofSpec | ModelProof | None = None,
    mask_column: str | None = None,
    declared: Side | None = None,
    input_format: str | None = None,
    limit: int | None = None,
    progress: ProgressCallback | None = None,
) -> Report:
    """Audit a dataset, raw or padded, and prove on it that models ignore padding.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "in.jsonl"
    >>> _ = file.write_text('{"input_ids": [7, 8]}\\n{"input_ids": [9]}\\n')
    >>> verify_file(file).verdict
    'data-ok'

    Args:
        inputs: paths, read as one dataset; `-` is standard input. None at all, where somebody's
            model is proven, draws random rows.
        columns: as in `pad_table`.
        spec: how raw input is padded.
        rules: how the data's rules are enforced.
        proof: how the proof is made, on the reference models or on somebody's; None checks the data
            alone, and needs no Keras.
        mask_column: of padded input; default as in `inspect_file`.
        declared: side of the padding of padded input; default as in `inspect_file`.
        input_format: None finds it out.
        limit: look at the first rows only.
        progress: called now and then with how far the pass is.

    Raises:
        SpecError, DataError: as `pad_file`.
        MissingExtraError: a proof needs packages that are not installed.
    """
    paths = checked_paths(inputs)
    limit = optional(at_least(0))("limit", limit)
    declared = optional(choice(("post", "pre")))("declared", declared)
    input_format = optional(choice(names_of(input_formats())))("input_format", input_format)
    if not isinstance(proof, ProofSpec | ModelProof | None):
        raise SpecError(f"`proof` must be a ProofSpec or a ModelProof. Received: {proof!r:.80}.")
    looking = AuditRequest(
        PadRequest(as_list(columns), or_default("spec", spec, PadSpec), MaskSpec(column=None), RowPolicy()),
        or_default("rules", rules, RuleSpec),
        mask_column=mask_column,
        declared=declared,
        limit=limit,
        progress=progress,
    )
    if limit is None:
        refuse_changed_shards(paths)
    if isinstance(proof, ModelProof):
        return _prove_model(paths, input_format, looking, proof)
    dataset = Dataset(find_sources(paths), input_format)
    try:
        if proof is None:
            data = audit_and_sample(dataset, looking)
            said = {**environment(), "data": data.name, "rows": data.rows}
            return Report(data.findings, (), said, proof=False, notes=data.notes)
        return _prove(audit_and_sample(dataset, looking, proof.sample, proof.reference.seed), proof)
    finally:
        dataset.close()


def _prove(data: AuditedData, proof: ProofSpec) -> Report:
    from padmask.verify.keras.backend import start_backend

    column = _token_column(data)
    engine = start_backend(proof.backend, proof.device)
    from padmask.verify.keras.prove_references import prove_references

    rows = data.sample[column]
    said = {
        **environment(),
        **engine.describe(),
        "data": data.name,
        "rows": data.rows,
        "rows_checked": len(rows),
        "column": column,
        "padding": data.padding,
        "value": data.values[column],
        "seed": proof.reference.seed,
    }
    if not rows:
        return Report(data.findings, (), said | NOTHING, notes=data.notes)
    kind = rows[0].dtype.kind
    reference, sample = _as_reference(data, column, proof.reference, kind)
    subjects, seen = prove_references(engine, reference, sample, rows[0].shape[1:] if kind == "f" else None)
    return Report(data.findings, subjects, said | seen, notes=data.notes)


def _token_column(data: AuditedData) -> str:
    return next((name for name in data.sample if name not in data.labels), next(iter(data.sample)))


def _as_reference(
    data: AuditedData, column: str, spec: ReferenceSpec, kind: str
) -> tuple[ReferenceSpec, Sample]:
    """Return the sample as the reference models take it: padded with 0, ids below the vocabulary."""
    rows, value = data.sample[column], data.values[column]
    if kind not in "iuf":
        raise SpecError(
            f"{data.name}: column {column!r} holds strings, and models take ids or features. "
            "Name a column of ids with -c, or check the data alone with --no-model.",
            options=["columns"],
        )
    if kind == "f":
        flat = flatten([np.asarray(row, dtype="float32") for row in rows])
        return spec, _with_short_rows(Sample({"features": Input(flat, 0, "float32")}, data.padding))
    low, high = data.ids[column]
    if low < 0:
        raise DataError(
            f"{data.name}: column {column!r} holds the token {low}, and no Embedding has a row for it. "
            "Fix the ids, or check the data alone with --no-model."
        )
    needed = max(high, int(value)) + 1
    if value < 0:
        # 0 needs another id, since 0 will be the padding.
        needed, stand_in = needed + 1, needed
    else:
        stand_in = int(value)
    # With two ids beside the padding there is another one to put in a token's place.
    vocab = spec.vocab_size or max(needed, 3)
    if vocab < needed:
        raise SpecError(
            f"--vocab-size {vocab} is too small: {data.name} has the token {high}. "
            f"Give at least {needed}, or leave it out.",
            options=["vocab_size"],
        )
    if spec.vocab_size and vocab > LARGEST_VOCABULARY:
        raise SpecError(
            f"--vocab-size {vocab:,} is beyond a reference model. Leave it out, or give less.",
            options=["vocab_size"],
        )
    if vocab > LARGEST_VOCABULARY:
        raise SpecError(
            f"{data.name}: column {column!r} holds the token {high}; an Embedding of {vocab:,} rows is "
            "beyond a reference model. Check the data alone with --no-model."
        )
    # The routes that find the mask in the ids take 0 for padding: the pad value and 0 change places.
    swapped = [np.where(row == value, 0, np.where(row == 0, stand_in, row)) for row in rows]
    # Any id may be drawn where other tokens are wanted, so that a poor sample still shows something.
    sample = Sample(
        {"ids": Input(flatten(swapped), 0, "int32")},
        data.padding,
        {"ids": np.arange(min(1, vocab - 1), vocab)},
    )
    return replace(spec, vocab_size=vocab), _with_short_rows(sample)


def _with_short_rows(sample: Sample) -> Sample:
    sample = sample.cut(STEPS)
    few = sample.select(np.arange(min(len(sample), SHORT_STEPS)))
    return reduce(Sample.joined, [few.select([row]).cut(row + 1) for row in range(len(few))], sample)


def _prove_model(
    paths: Sequence[str], input_format: str | None, looking: AuditRequest, proof: ModelProof
) -> Report:
    """Prove somebody's model, on the data or, where there are none, on random rows."""
    if proof.predict is not None:
        return _prove_function(paths, input_format, looking, proof)
    from padmask.verify.keras.backend import start_backend

    engine = start_backend(proof.backend, proof.device)
    from padmask.verify.keras.load import load_model
    from padmask.verify.keras.model_inputs import find_model_inputs

    model = load_model(proof.model or "", proof.custom_objects, unsafe=proof.allow_unsafe)
    timed = [slot.name for slot in find_model_inputs(model) if slot.kind in ("tokens", "features")]
    _check_names(proof.inputs, timed)
    spec = replace(proof.spec, name=os.path.basename(proof.model or ""))
    if not paths:
        return report_on_model(model, spec, None, engine)
    looks = _look_by_input(paths, input_format, looking, proof, timed)
    rows = {name: data.sample[column] for name, (data, column) in looks.items()}
    spec = _on_data(spec, [data for data, _ in looks.values()])
    if not any(len(given) for given in rows.values()):
        return _nothing_to_prove(looks)
    return _with_data(report_on_model(model, spec, rows, engine), looks)


def _prove_function(
    paths: Sequence[str], input_format: str | None, looking: AuditRequest, proof: ModelProof
) -> Report:
    function = find_function(proof.predict or "")
    spec = replace(proof.spec, name=proof.predict or "")
    looks: dict[str, tuple[AuditedData, str]] = {}
    rows: dict[str, Sequence[npt.NDArray[Any]]] | None = None
    if paths:
        looks = _look_by_input(paths, input_format, looking, proof, [IDS])
        data, column = looks[IDS]
        rows = {IDS: data.sample[column]}
        spec = _on_data(spec, [data])
        if not data.sample[column]:
            return _nothing_to_prove(looks)
    maxlen = looking.asked.spec.maxlen
    try:
        report = report_on_function(function, spec, rows)
    except SpecError:
        if isinstance(maxlen, str):
            raise
        # It may take one length only: the one that was given.
        report = report_on_function(function, spec, rows, places=maxlen)
    return _with_data(report, looks)


def _check_names(given: Mapping[str, str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise SpecError(
                f"--input {name}=...: the model has no such input of tokens or features."
                f"{did_you_mean(name, list(known))} Choose one of {', '.join(known)}.",
                options=["model_inputs"],
            )


def _on_data(spec: ModelSpec, data: Sequence[AuditedData]) -> ModelSpec:
    """Fit what was asked for to the data: their side, their pad value, and whether they have empty rows."""
    known = next((value for one in data for value in one.values.values()), None)
    empty = any(finding.rule.name == "row-fully-masked" for one in data for finding in one.findings)
    # What padded data are padded with is what the model gets. For raw data 0 is a default that nobody
    # asked for, and a Masking layer of the model may know better.
    value = spec.value if spec.value is not None else (known if data[0].padded else known or None)
    return replace(spec, padding=data[0].padding, value=value, empty_rows=empty)


def _look_by_input(
    paths: Sequence[str],
    input_format: str | None,
    looking: AuditRequest,
    proof: ModelProof,
    names: Sequence[str],
) -> dict[str, tuple[AuditedData, str]]:
    """Look at the column of each input. Inputs have lengths of their own, so each is looked at by itself."""
    dataset = Dataset(find_sources(paths), input_format)
    try:
        if len(names) > 1:
            dataset.spool(looking.limit)
        looks: dict[str, tuple[AuditedData, str]] = {}
        numbers: Sequence[int] | None = None
        for name in names:
            columns = _columns_for(name, names, dataset, looking, proof)
            mine = replace(looking, asked=replace(looking.asked, columns=columns))
            data = audit_and_sample(dataset, mine, proof.sample, proof.spec.seed, numbers)
            numbers = data.numbers
            looks[name] = data, _token_column(data)
        return looks
    finally:
        dataset.close()


def _columns_for(
    name: str, names: Sequence[str], dataset: Dataset, looking: AuditRequest, proof: ModelProof
) -> Columns:
    """Return the columns to read for an input: the one that was said, or the one of its name."""
    if name in proof.inputs:
        return [proof.inputs[name]]
    asked = list(looking.asked.columns or ())
    known = dataset.schema().names
    if len(names) == 1:
        return asked or ([name] if name in known else None)
    mine = [short for short in asked if isinstance(short, str) and re.split("[:=]", short)[0] == name]
    if mine or name in known:
        return mine or [name]
    raise SpecError(
        f"{dataset.name}: there is no column {name!r} for the model's input of that name. "
        f"Say which it is with --input {name}=COLUMN.",
        options=["model_inputs"],
    )


def _with_data(report: Report, looks: Mapping[str, tuple[AuditedData, str]]) -> Report:
    if not looks:
        return report
    first = next(iter(looks.values()))[0]
    # The same rows were looked at for each input: what holds of them all is told once.
    told = {
        (finding.rule.name, finding.detail, tuple(finding.examples)): finding
        for data, _ in looks.values()
        for finding in data.findings
    }
    columns = {name: column for name, (_, column) in looks.items()}
    said = {"data": first.name, "rows": first.rows, "columns": columns}
    notes = dict.fromkeys(note for data, _ in looks.values() for note in data.notes)
    return Report(list(told.values()), report.subjects, {**report.environment, **said}, notes=list(notes))


def _nothing_to_prove(looks: Mapping[str, tuple[AuditedData, str]]) -> Report:
    return _with_data(Report((), (), {**environment(), **NOTHING}), looks)
