"""Verify a user's model or function on data or on random rows."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import is_sequence
from padmask.core.columns import MASK_NAMES
from padmask.errors import AccessError, DataError, PadmaskError, SpecError, did_you_mean
from padmask.formats.dataset import Dataset, open_inputs
from padmask.spec.columns import Columns
from padmask.spec.files import ReadOptions
from padmask.spec.verify import ModelSpec
from padmask.stream.packing import find_dataset_packing
from padmask.stream.padding import find_dataset_padding
from padmask.verify.api import NO_TOKENS, environment, report_on_function, report_on_packed
from padmask.verify.data.audit_data import AuditedData, AuditRequest, audit_and_sample
from padmask.verify.data.masked_values import MaskedValue
from padmask.verify.open_model import open_model
from padmask.verify.packed_model import arguments_in, sample_packed_data
from padmask.verify.proof.function import IDS
from padmask.verify.proof.packed_arguments import DataArguments
from padmask.verify.proof.packed_sample import PackedSample
from padmask.verify.proof.sample import TIMED
from padmask.verify.proof_spec import ModelProof
from padmask.verify.report import Report
from padmask.verify.static_columns import read_static_columns
from padmask.verify.user_code import import_callable

# Column name in `ModelProof.inputs` that stands for the lengths of the rows.
LENGTHS = "lengths"


def verify_user_model(paths: Sequence[str], request: AuditRequest, proof: ModelProof) -> Report:
    """Verify a user's model or function on the data, or on random rows if `paths` is empty."""
    if proof.predict is not None:
        return _verify_function(paths, request, proof)
    try:
        model = open_model(proof)
    except DataError as error:
        # A wrong path is a mistake in the command. Reading all data first would delay its message.
        if paths and not isinstance(error, AccessError):
            _check_data(paths, request)
        raise
    request = replace(request, recurrent=model.is_recurrent)
    spec = replace(proof.spec, name=os.path.basename(proof.model or ""))
    with ExitStack() as stack:
        dataset = stack.enter_context(_open_dataset(paths, request.files)) if paths else None
        if dataset is not None and _is_packed(dataset, request, proof):
            request = replace(request, masked=model.masked.get("tokens"))
            return _verify_packed(dataset, request, proof, spec, model.report_packed)
        roles = {**_find_roles(proof.inputs, dataset, request), **proof.kinds}
        kinds = model.find_kinds(roles)
        _check_names(proof.kinds, list(kinds))
        timed = [name for name, kind in kinds.items() if kind in TIMED]
        segments = [name for name, kind in kinds.items() if kind == "segments"]
        static = [name for name, kind in kinds.items() if kind == "static"]
        _check_names(proof.inputs, [*timed, *segments, *static, *(name for name in kinds if name in roles)])
        if dataset is None:
            return model.report(spec, None, roles)
        if static:
            dataset.spool(request.files.limit)
        _refuse_numbers(timed, proof, dataset)
        known = {*proof.inputs, *dataset.schema().names}
        with_columns = [*timed, *(name for name in segments if name in known)]
        masked = {name: model.masked.get(kinds[name]) for name in with_columns}
        data_by_input = _audit_by_input(dataset, request, proof, with_columns, masked)
        first, _ = data_by_input[timed[0]]
        rows: dict[str, Sequence[npt.NDArray[Any]]] = {
            name: data.sample[column] for name, (data, column) in data_by_input.items()
        }
        chosen = read_static_columns(static, proof.inputs, dataset, first.numbers, request.files.limit)
    spec = _fit_to_data(spec, [data for data, _ in data_by_input.values()])
    if not any(len(its) for its in rows.values()):
        return _report_no_tokens(data_by_input)
    report = _with_data(model.report(spec, {**rows, **chosen.rows}, roles), data_by_input)
    columns = {**report.environment["columns"], **chosen.columns}
    return replace(
        report,
        environment={**report.environment, "columns": columns},
        notes=[*report.notes, *chosen.notes],
    )


def _refuse_numbers(timed: Sequence[str], proof: ModelProof, dataset: Dataset) -> None:
    """Refuse columns with one number for each row, such as ages, for inputs with a time axis.

    Raises:
        SpecError: an input with a time axis would read such a column.
    """
    schema = dataset.schema()
    for name in timed:
        column = proof.inputs.get(name, name)
        if column not in schema.names or name in proof.kinds:
            continue
        kind = schema.field(column).type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            raise SpecError(
                f"{dataset.name}: the column {column!r} of the input {name!r} has one number for each row, "
                f"not lists of tokens. If the input has no time axis, use --input {name}:static.",
                options=["inputs"],
            )


def _check_data(paths: Sequence[str], request: AuditRequest) -> None:
    """Check only the data, because the model cannot be loaded. Pass the report to `request.on_data`."""
    if request.on_data is not None:
        # The error of the model is reported, even if the data cannot be read.
        with suppress(PadmaskError), _open_dataset(paths, request.files) as dataset:
            request.on_data(report_on_data(audit_and_sample(dataset, request)))


def _verify_function(paths: Sequence[str], request: AuditRequest, proof: ModelProof) -> Report:
    from padmask.verify.keras.backend import hide_framework_logs

    with hide_framework_logs():
        function = import_callable("--predict", proof.predict or "", "mypackage.serve:predict")
    spec = replace(proof.spec, name=proof.predict or "")
    data_by_input: dict[str, tuple[AuditedData, str]] = {}
    rows: dict[str, Sequence[npt.NDArray[Any]]] | None = None
    if not paths:
        _refuse_inputs(proof)
    if paths:
        with _open_dataset(paths, request.files) as dataset:
            if _is_packed(dataset, request, proof):
                return _verify_packed(dataset, request, proof, spec, partial(report_on_packed, function))
            _refuse_inputs(proof)
            data_by_input = _audit_by_input(dataset, request, proof, [IDS])
        data, column = data_by_input[IDS]
        rows = {IDS: data.sample[column]}
        spec = _fit_to_data(spec, [data])
        if not data.sample[column]:
            return _report_no_tokens(data_by_input)
    maxlen = request.asked.spec.maxlen
    try:
        report = report_on_function(function, spec, rows)
    except SpecError:
        if isinstance(maxlen, str):
            raise
        # The function may require a fixed length. Try again with the requested maxlen.
        report = report_on_function(function, spec, rows, places=maxlen)
    return _with_data(report, data_by_input)


def _refuse_inputs(proof: ModelProof) -> None:
    if proof.inputs or proof.kinds:
        name = next(iter({**proof.inputs, **proof.kinds}))
        raise SpecError(
            f"--input {name} cannot be used here: for unpacked rows, the function receives only the ids and "
            "the mask. Remove --input, and choose the column of the ids with -c.",
            options=["model_inputs"],
        )


def _is_packed(dataset: Dataset, request: AuditRequest, proof: ModelProof) -> bool:
    chosen = _token_column(proof)
    columns = request.asked.columns if chosen is None else [chosen]
    return find_dataset_packing(dataset, columns, request.mask_column, request.dialect) is not None


def _token_column(proof: ModelProof) -> str | None:
    """Return the column that the user chose for the tokens; None if the user chose none."""
    found = [column for name, column in proof.inputs.items() if proof.kinds.get(name) in TIMED]
    return next(iter(found), None)


def _verify_packed(
    dataset: Dataset,
    request: AuditRequest,
    proof: ModelProof,
    spec: ModelSpec,
    report: Callable[[ModelSpec, PackedSample, DataArguments], Report],
) -> Report:
    """Verify a model on packed rows.

    The tokens are read from the data. All other inputs of the model are computed from the sequences.
    """
    chosen = _token_column(proof)
    inputs = {} if chosen is None else {IDS: chosen}
    data_by_input = _audit_by_input(dataset, request, replace(proof, inputs=inputs), [IDS])
    data, column = data_by_input[IDS]
    if not data.sample[column]:
        return _report_no_tokens(data_by_input)
    sample = sample_packed_data(data, column, _fit_to_data(spec, [data]))
    return _with_data(report(spec, sample, arguments_in(data.packed, proof)), data_by_input)


def _check_names(given: Mapping[str, str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise SpecError(
                f"--input {name}=...: the model has no input {name!r} for tokens, features, a mask or "
                f"lengths.{did_you_mean(name, list(known))} Choose one of {', '.join(known)}.",
                options=["model_inputs"],
            )


def _fit_to_data(spec: ModelSpec, data: Sequence[AuditedData]) -> ModelSpec:
    """Return the spec with the properties of the data: padding side, pad value and empty rows."""
    known = next((value for part in data for value in part.values.values()), None)
    empty = any(part.has_empty_rows for part in data)
    # Padded data determines the pad value, even 0. For raw data, 0 is only the default, and the `mask_value`
    # of a Masking layer in the model takes precedence.
    value = spec.value if spec.value is not None else (known if data[0].padded else known or None)
    return replace(spec, padding=data[0].padding, value=value, empty_rows=empty)


def _open_dataset(paths: Sequence[str], files: ReadOptions) -> closing[Dataset]:
    return closing(open_inputs(paths, files))


def _find_roles(inputs: Mapping[str, str], dataset: Dataset | None, request: AuditRequest) -> dict[str, str]:
    """Find the model inputs for which the user requested a mask or length column.

    The data does not need to contain the requested column, because the checks pad the rows and create the
    mask and the lengths.

    Args:
        inputs: requested column of each model input, keyed by input name.
        dataset: the data; None if there is no data.
        request: options for reading the data.

    Returns:
        `"mask"` or `"lengths"` for each of these inputs, keyed by input name.
    """
    masks, lengths = {*MASK_NAMES, "attention_mask", request.mask_column}, {LENGTHS}
    if dataset is not None and inputs:
        padding = find_dataset_padding(dataset, request.asked.columns, request.mask_column, request.dialect)
        masks |= {None if padding is None else padding.mask}
        lengths |= {field.name for field in dataset.schema() if padding and field.name == padding.length}
        lengths -= {field.name for field in dataset.schema() if is_sequence(field.type)}
    return {
        name: "mask" if column in masks else "lengths"
        for name, column in inputs.items()
        if column in masks or column in lengths
    }


def _audit_by_input(
    dataset: Dataset,
    request: AuditRequest,
    proof: ModelProof,
    names: Sequence[str],
    masked: Mapping[str, MaskedValue | None] | None = None,
) -> dict[str, tuple[AuditedData, str]]:
    """Check and sample the column of each model input. Each input has its own pass.

    One pass for all inputs would fail if the rows of the columns have different lengths.

    Args:
        dataset, request, proof: as in `verify_user_model`.
        names: names of the inputs that read a column.
        masked: the value that the model masks in each input, keyed by input name.

    Returns:
        The checked data and the column name for each input, keyed by input name.
    """
    if len(names) > 1:
        dataset.spool(request.files.limit)
    data_by_input: dict[str, tuple[AuditedData, str]] = {}
    numbers: Sequence[int] | None = None
    for name in names:
        columns = _columns_for(name, names, dataset, request, proof)
        column_request = replace(request, asked=replace(request.asked, columns=columns))
        if masked is not None:
            column_request = replace(column_request, masked=masked[name])
        data = audit_and_sample(dataset, column_request, proof.sample, proof.spec.seed, numbers)
        numbers = data.numbers
        data_by_input[name] = data, data.token_column
    if request.on_data is not None:
        request.on_data(_with_data(Report((), (), environment(), proof=False), data_by_input))
    return data_by_input


def _columns_for(
    name: str, names: Sequence[str], dataset: Dataset, request: AuditRequest, proof: ModelProof
) -> Columns:
    """Return the columns for a model input: the requested columns, else the column with the same name."""
    if name in proof.inputs:
        return [proof.inputs[name]]
    asked = list(request.asked.columns or ())
    known = dataset.schema().names
    if len(names) == 1:
        default = next((column for column in ("input_ids", "tokens") if column in known), None)
        # If no columns are requested, the labels of the default column are checked too.
        return asked or ([name] if name in known and name != default else None)
    own = [short for short in asked if isinstance(short, str) and re.split("[:=]", short)[0] == name]
    if own or name in known:
        return own or [name]
    raise SpecError(
        f"{dataset.name}: the model has an input {name!r}, but the data has no column of this name. "
        f"Choose a column with --input {shlex.quote(f'{name}=COLUMN')}.",
        options=["model_inputs"],
    )


def report_on_data(data: AuditedData) -> Report:
    """Return the report of a run that only checks the data."""
    run = {**environment(), **data.described}
    return Report(data.findings, (), run, proof=False, notes=data.notes)


def _with_data(report: Report, data_by_input: Mapping[str, tuple[AuditedData, str]]) -> Report:
    if not data_by_input:
        return report
    first = next(iter(data_by_input.values()))[0]
    # All inputs come from the same rows, so report equal findings only once.
    findings = {
        (finding.rule.name, finding.column, finding.detail, tuple(finding.examples)): finding
        for data, _ in data_by_input.values()
        for finding in data.findings
    }
    columns = {name: column for name, (_, column) in data_by_input.items()}
    run = {**first.described, "columns": columns}
    notes = first.notes
    return replace(
        report, data=list(findings.values()), environment={**report.environment, **run}, notes=notes
    )


def _report_no_tokens(data_by_input: Mapping[str, tuple[AuditedData, str]]) -> Report:
    return _with_data(Report((), (), {**environment(), **NO_TOKENS}), data_by_input)
