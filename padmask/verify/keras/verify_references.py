"""Verify the reference models. Each model passes the mask to its LSTM in a different way, called a route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from padmask.errors import SpecError
from padmask.spec.verify import FLOAT_ROUTES, ROUTES, ReferenceSpec
from padmask.verify.keras.backend import Engine
from padmask.verify.keras.reference_models import Reference, check_agreement
from padmask.verify.proof.check_setup import ROWS_ALONE
from padmask.verify.proof.sample import Sample
from padmask.verify.proof.tolerance import Check
from padmask.verify.proof.verify_subject import verify_subject
from padmask.verify.report import SubjectReport

# Number of rows that also run in a batch of one row on JAX, which compiles again for every length.
ROWS_ALONE_ON_JAX = 4


def verify_references(
    engine: Engine, spec: ReferenceSpec, sample: Sample, features: Sequence[int] | None = None
) -> tuple[list[SubjectReport], dict[str, Any]]:
    """Verify the reference model of each route on the sample.

    Args:
        engine: Keras backend and device.
        spec: routes and sizes of the models.
        sample: rows of one input, with pad value 0.
        features: shape of one time step of float data; None for ids.

    Returns:
        A report for each route, and entries about the routes for `Report.environment`.

    Raises:
        SpecError: a requested route does not support the data.
    """
    routes = [route for route in spec.routes if features is None or route in FLOAT_ROUTES]
    if not routes:
        raise SpecError(
            f"The data contains floats, which only the route {FLOAT_ROUTES[0]} supports. "
            f"Use --route {FLOAT_ROUTES[0]}, or choose a column of ids with -c.",
            options=["columns"],
        )
    size = None if features is None else (int(features[0]) if features else 1)
    reference = Reference(engine, spec, spec.vocab_size or 1, size, _use_cudnn(sample))
    pairs = [reference.subjects(route) for route in routes]
    agreement = check_agreement([subject for subject, _ in pairs], sample)
    alone = ROWS_ALONE_ON_JAX if engine.is_slow_on_new_shapes else ROWS_ALONE
    reports = [
        verify_subject(
            subject, control, sample, must_fail=True, extra=[agreement[subject.name]], alone=alone
        ).report
        for subject, control in pairs
    ]
    environment: dict[str, Any] = {
        "vocab_size": None if size else spec.vocab_size,
        "embedding_dim": size or spec.embedding_dim,
        "units": spec.units,
        "places": max(sample.places().values()),
        "kernel": "generic",
    }
    left_out = [route for route in spec.routes if route not in routes]
    if left_out and set(spec.routes) != set(ROUTES):
        raise SpecError(
            f"The data contains floats, but the route {left_out[0]} requires ids. Remove --route "
            f"{left_out[0]}."
        )
    if engine.device == "gpu" and engine.backend == "tensorflow":
        from padmask.verify.keras.cudnn import compare_kernels

        checks, kernels = compare_kernels(engine, reference, sample)
        environment |= kernels
        reports[0] = _add_checks(reports[0], checks)
    return reports, environment


def _use_cudnn(sample: Sample) -> bool | str:
    """Return the argument `use_cudnn` of the LSTM: False if cuDNN does not support the rows, else "auto"."""
    [given] = sample.inputs.values()
    no_pad_values = given.rows.values.ndim > 1 or not (given.rows.values == given.value).any()
    return "auto" if sample.padding == "post" and no_pad_values else False


def _add_checks(report: SubjectReport, checks: Sequence[Check]) -> SubjectReport:
    fails = any(check.verdict == "fails" for check in checks)
    return replace(report, checks=[*report.checks, *checks], verdict="leaks" if fails else report.verdict)
