"""Prove a user's model or function: on the data or, where there are none, on random rows."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
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


def prove_user_model(paths: Sequence[str], looking: AuditRequest, proof: ModelProof) -> Report:
    """Prove somebody's model, on the data or, where there are none, on random rows."""
    if proof.predict is not None:
        return _prove_function(paths, looking, proof)
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
    looks = _look_by_input(paths, looking, proof, timed)
    rows = {name: data.sample[column] for name, (data, column) in looks.items()}
    spec = _on_data(spec, [data for data, _ in looks.values()])
    if not any(len(given) for given in rows.values()):
        return _nothing_to_prove(looks)
    return _with_data(report_on_model(model, spec, rows, engine), looks)


def _prove_function(paths: Sequence[str], looking: AuditRequest, proof: ModelProof) -> Report:
    function = find_function(proof.predict or "")
    spec = replace(proof.spec, name=proof.predict or "")
    looks: dict[str, tuple[AuditedData, str]] = {}
    rows: dict[str, Sequence[npt.NDArray[Any]]] | None = None
    if paths:
        looks = _look_by_input(paths, looking, proof, [IDS])
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
    looking: AuditRequest,
    proof: ModelProof,
    names: Sequence[str],
) -> dict[str, tuple[AuditedData, str]]:
    """Look at the column of each input. Inputs have lengths of their own, so each is looked at by itself."""
    files = looking.files
    dataset = Dataset(find_sources(paths), files.input_format, files.batch_rows)
    try:
        if len(names) > 1:
            dataset.spool(files.limit)
        looks: dict[str, tuple[AuditedData, str]] = {}
        numbers: Sequence[int] | None = None
        for name in names:
            columns = _columns_for(name, names, dataset, looking, proof)
            mine = replace(looking, asked=replace(looking.asked, columns=columns))
            data = audit_and_sample(dataset, mine, proof.sample, proof.spec.seed, numbers)
            numbers = data.numbers
            looks[name] = data, data.token_column
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
    return _with_data(Report((), (), {**environment(), **NOTHING_TO_PROVE}), looks)
