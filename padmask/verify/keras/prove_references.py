"""Prove every route of the reference models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from padmask.errors import SpecError
from padmask.spec.verify import FLOAT_ROUTES, ROUTES, ReferenceSpec
from padmask.verify.keras.backend import Engine
from padmask.verify.keras.reference_models import Reference, agreement
from padmask.verify.proof.checks import ROWS_ALONE
from padmask.verify.proof.prove import prove
from padmask.verify.proof.sample import Sample
from padmask.verify.proof.tolerance import Check
from padmask.verify.report import SubjectReport

# Rows run alone where every length costs a compilation.
ROWS_ALONE_ON_JAX = 4


def prove_references(
    engine: Engine, spec: ReferenceSpec, sample: Sample, features: Sequence[int] | None = None
) -> tuple[list[SubjectReport], dict[str, Any]]:
    """Prove each route on the sample.

    Args:
        engine: Keras, started.
        spec: which routes, and how the models are made.
        sample: rows of one input, padded with 0.
        features: shape of a step where the data are floats; None where they are ids.

    Returns:
        A report for each route, and what to say of the environment.

    Raises:
        SpecError: none of the routes takes such data.
    """
    routes = [route for route in spec.routes if features is None or route in FLOAT_ROUTES]
    if not routes:
        raise SpecError(
            f"These are floats, which only the route {FLOAT_ROUTES[0]} takes. "
            f"Choose --route {FLOAT_ROUTES[0]}, or name a column of ids with -c.",
            options=["columns"],
        )
    size = None if features is None else (int(features[0]) if features else 1)
    reference = Reference(engine, spec, spec.vocab_size or 1, size, _use_cudnn(sample))
    pairs = [reference.subjects(route) for route in routes]
    agree = agreement([subject for subject, _ in pairs], sample)
    alone = ROWS_ALONE_ON_JAX if engine.is_slow_on_new_shapes else ROWS_ALONE
    reports = [
        prove(subject, control, sample, twin=True, extra=[agree[subject.name]], alone=alone).report
        for subject, control in pairs
    ]
    seen: dict[str, Any] = {
        "vocab_size": None if size else spec.vocab_size,
        "embedding_dim": size or spec.embedding_dim,
        "units": spec.units,
        "places": max(sample.places().values()),
        "kernel": "generic",
    }
    left_out = [route for route in spec.routes if route not in routes]
    if left_out and set(spec.routes) != set(ROUTES):
        raise SpecError(f"Floats cannot go by the route {left_out[0]}, which takes ids. Leave it out.")
    if engine.device == "gpu" and engine.backend == "tensorflow":
        from padmask.verify.keras.cudnn import compare_kernels

        checks, said = compare_kernels(engine, reference, sample)
        seen |= said
        reports[0] = _with(reports[0], checks)
    return reports, seen


def _use_cudnn(sample: Sample) -> bool | str:
    """Compiled models fail on rows that cuDNN does not take: those get the generic kernel from the start."""
    [given] = sample.inputs.values()
    whole = given.rows.values.ndim > 1 or not (given.rows.values == given.value).any()
    return "auto" if sample.padding == "post" and whole else False


def _with(report: SubjectReport, checks: Sequence[Check]) -> SubjectReport:
    fails = any(check.verdict == "fails" for check in checks)
    return replace(report, checks=[*report.checks, *checks], verdict="leaks" if fails else report.verdict)
