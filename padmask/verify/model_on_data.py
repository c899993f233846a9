"""Prove a user's model or function, on data or on random rows."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from padmask.errors import SpecError, did_you_mean
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Columns
from padmask.spec.verify import ModelSpec
from padmask.storage.source import find_sources
from padmask.verify.api import NOTHING_TO_PROVE, environment, report_on_function, report_on_model
from padmask.verify.data.look import AuditedData, AuditRequest, audit_and_sample
from padmask.verify.proof.function import IDS, find_function
from padmask.verify.proof_spec import ModelProof
from padmask.verify.report import Report


def prove_user_model(paths: Sequence[str], request: AuditRequest, proof: ModelProof) -> Report:
    """Prove a user's model or function.

    Args:
        paths: inputs with the rows to prove on; random rows without inputs.
        request: how the data are read and audited.
        proof: the model, and how to prove it.
    """
    if proof.predict is not None:
        return _prove_function(paths, request, proof)
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
    audits = _audit_by_input(paths, request, proof, timed)
    rows = {name: data.sample[column] for name, (data, column) in audits.items()}
    spec = _on_data(spec, [data for data, _ in audits.values()])
    if not any(len(given) for given in rows.values()):
        return _nothing_to_prove(audits)
    return _with_data(report_on_model(model, spec, rows, engine), audits)


def _prove_function(paths: Sequence[str], request: AuditRequest, proof: ModelProof) -> Report:
    function = find_function(proof.predict or "")
    spec = replace(proof.spec, name=proof.predict or "")
    audits: dict[str, tuple[AuditedData, str]] = {}
    rows: dict[str, Sequence[npt.NDArray[Any]]] | None = None
    if paths:
        audits = _audit_by_input(paths, request, proof, [IDS])
        data, column = audits[IDS]
        rows = {IDS: data.sample[column]}
        spec = _on_data(spec, [data])
        if not data.sample[column]:
            return _nothing_to_prove(audits)
    maxlen = request.asked.spec.maxlen
    try:
        report = report_on_function(function, spec, rows)
    except SpecError:
        if isinstance(maxlen, str):
            raise
        # The function may accept only rows of the given length.
        report = report_on_function(function, spec, rows, places=maxlen)
    return _with_data(report, audits)


def _check_names(given: Mapping[str, str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise SpecError(
                f"--input {name}=...: the model has no such input of tokens or features."
                f"{did_you_mean(name, list(known))} Choose one of {', '.join(known)}.",
                options=["model_inputs"],
            )


def _on_data(spec: ModelSpec, data: Sequence[AuditedData]) -> ModelSpec:
    """Return the options with the side, the pad value and the empty rows of the data."""
    known = next((value for one in data for value in one.values.values()), None)
    empty = any(finding.rule.name == "row-fully-masked" for one in data for finding in one.findings)
    # The model gets the pad value of padded data. For raw data, 0 may be only the default, and a Masking
    # layer of the model may name another value.
    value = spec.value if spec.value is not None else (known if data[0].padded else known or None)
    return replace(spec, padding=data[0].padding, value=value, empty_rows=empty)


def _audit_by_input(
    paths: Sequence[str],
    request: AuditRequest,
    proof: ModelProof,
    names: Sequence[str],
) -> dict[str, tuple[AuditedData, str]]:
    """Audit the column of each model input in a pass of its own, because inputs may have different lengths.

    Returns:
        For each input the data, and the name of the column. The sampled rows are the same for all inputs.
    """
    files = request.files
    audits: dict[str, tuple[AuditedData, str]] = {}
    numbers: Sequence[int] | None = None
    with closing(Dataset(find_sources(paths), files.input_format, files.batch_rows)) as dataset:
        if len(names) > 1:
            dataset.spool(files.limit)
        for name in names:
            columns = _columns_for(name, names, dataset, request, proof)
            own = replace(request, asked=replace(request.asked, columns=columns))
            data = audit_and_sample(dataset, own, proof.sample, proof.spec.seed, numbers)
            numbers = data.numbers
            audits[name] = data, data.token_column
    return audits


def _columns_for(
    name: str, names: Sequence[str], dataset: Dataset, request: AuditRequest, proof: ModelProof
) -> Columns:
    """Return the columns to read for a model input: the requested ones, or the one with the same name."""
    if name in proof.inputs:
        return [proof.inputs[name]]
    asked = list(request.asked.columns or ())
    known = dataset.schema().names
    if len(names) == 1:
        return asked or ([name] if name in known else None)
    own = [short for short in asked if isinstance(short, str) and re.split("[:=]", short)[0] == name]
    if own or name in known:
        return own or [name]
    raise SpecError(
        f"{dataset.name}: there is no column {name!r} for the model's input of that name. "
        f"Say which it is with --input {name}=COLUMN.",
        options=["model_inputs"],
    )


def _with_data(report: Report, audits: Mapping[str, tuple[AuditedData, str]]) -> Report:
    if not audits:
        return report
    first = next(iter(audits.values()))[0]
    # All passes read the same files, so equal findings are reported once.
    findings = {
        (finding.rule.name, finding.detail, tuple(finding.examples)): finding
        for data, _ in audits.values()
        for finding in data.findings
    }
    columns = {name: column for name, (_, column) in audits.items()}
    seen = {"data": first.name, "rows": first.rows, "columns": columns}
    notes = dict.fromkeys(note for data, _ in audits.values() for note in data.notes)
    return Report(list(findings.values()), report.subjects, {**report.environment, **seen}, notes=list(notes))


def _nothing_to_prove(audits: Mapping[str, tuple[AuditedData, str]]) -> Report:
    return _with_data(Report((), (), {**environment(), **NOTHING_TO_PROVE}), audits)
