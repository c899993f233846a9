"""The proof of anybody's model: rows for it, the checks, and for a leak the layer to blame.

Imported after `backend.start` where the model is Keras's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from padmask.errors import SpecError
from padmask.verify.checks import ROWS_ALONE, CannotRunError
from padmask.verify.drawn import draw_sample, take_sample
from padmask.verify.loaded import UserModel
from padmask.verify.proof import prove
from padmask.verify.report import SubjectReport
from padmask.verify.sample import Sample
from padmask.verify.specs import ModelSpec
from padmask.verify.trace import find_culprit

FEW_ROWS = 6


def prove_model(
    user: UserModel, spec: ModelSpec, rows: Mapping[str, Sequence[npt.NDArray[Any]]] | None = None
) -> tuple[SubjectReport, dict[str, Any]]:
    """Prove a model on rows, or on random ones where there are none.

    Args:
        user: the model.
        spec: how.
        rows: real tokens by the names of the model's inputs.

    Returns:
        The report, and what to say of the environment.

    Raises:
        SpecError: the model cannot be run on such rows.
    """
    value = spec.value if spec.value is not None else (user.mask_value or 0)
    sample = _rows_that_run(user, spec, value, rows)
    try:
        shapes, looping = user.check_shapes(sample)
        subject, control = user.subject(spec.name, sample, value)
        proof = prove(
            subject,
            control,
            sample,
            twin=False,
            extra=[shapes],
            # Where nothing is compiled every step takes long.
            alone=ROWS_ALONE if user.is_compiled else FEW_ROWS,
            far=user.is_compiled,
            empty=spec.empty_rows,
        )
    except CannotRunError as error:
        raise SpecError(f"{spec.name}: {error}") from None
    report = proof.report
    if shapes.verdict == "fails" and all(
        check.verdict != "fails" for check in report.checks if check is not shapes
    ):
        advice = "Compiled, Keras loops over the wrong axis here: fix the input's length, or do without."
        report = replace(report, culprit=looping, path=looping, advice=advice)
    if (report.verdict == "leaks" and report.culprit is None) or spec.explain:
        traced = find_culprit(user, proof, value)
        if report.verdict == "leaks" and report.culprit is None:
            detail = "; ".join(part for part in (report.detail, traced.remark) if part)
            report = replace(
                report, culprit=traced.culprit, path=traced.path, advice=traced.advice, detail=detail
            )
        if spec.explain:
            report = replace(report, layers=traced.layers)
    seen = {
        "rows_checked": len(sample),
        "padding": spec.padding,
        "value": value,
        "seed": spec.seed,
        "dtype": user.dtype,
        "inputs": {slot.name: slot.kind for slot in user.slots},
        "places": sample.places(),
        "outputs_left_out": sorted(user.left_out),
    }
    return report, seen


def _rows_that_run(
    user: UserModel, spec: ModelSpec, value: Any, rows: Mapping[str, Sequence[npt.NDArray[Any]]] | None
) -> Sample:
    if rows is not None:
        values = dict.fromkeys(rows, value)
        _check_ids(user, rows)
        return take_sample(user.slots, rows, padding=spec.padding, values=values, seed=spec.seed)
    samples = [
        draw_sample(
            user.slots,
            padding=spec.padding,
            value=value,
            vocab_size=spec.vocab_size,
            seed=spec.seed,
            apart=apart,
        )
        for apart in (True, False)
    ]
    for sample in samples:
        with suppress(CannotRunError):
            user.eagerly(sample.padded())
            return sample
    # It may still run on shorter rows, which the proof tries.
    return samples[-1]


def _check_ids(user: UserModel, rows: Mapping[str, Sequence[npt.NDArray[Any]]]) -> None:
    """Say which id is beyond an embedding, which Keras would say at length."""
    for slot in user.slots:
        if slot.kind != "tokens" or slot.vocab is None or slot.name not in rows:
            continue
        largest = max((int(row.max()) for row in rows[slot.name] if row.size), default=0)
        if largest >= slot.vocab:
            raise SpecError(
                f"The data have the id {largest}, and the embedding of input {slot.name!r} has rows for "
                f"{slot.vocab} ids only, up to {slot.vocab - 1}. Give the data that the model was made for."
            )
