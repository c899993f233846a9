"""Prove a user's model: rows for it, the checks, and the layer that leaks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.errors import ModelError, SpecError
from padmask.spec.verify import ModelSpec
from padmask.verify.keras.trace import find_culprit
from padmask.verify.keras.user_model import UserModel
from padmask.verify.proof.checks import ROWS_ALONE, CannotRunError
from padmask.verify.proof.prove import prove
from padmask.verify.proof.random_rows import draw_random_rows, take_sample
from padmask.verify.proof.sample import ModelInput, Sample, SampleRows, pick_rows, shared_lengths
from padmask.verify.report import SubjectReport

FEW_ROWS = 6

ROWS_UNCOMPILED = 24


def prove_model(
    user: UserModel, spec: ModelSpec, rows: SampleRows | None = None
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
    with user.left_as_it_was():
        return _prove(user, spec, rows)


def _prove(user: UserModel, spec: ModelSpec, rows: SampleRows | None) -> tuple[SubjectReport, dict[str, Any]]:
    value = spec.value if spec.value is not None else (user.mask_value or 0)
    sample = _rows_that_run(user, spec, value, rows)
    try:
        shapes, looping = user.check_shapes(sample)
        if not user.is_compiled:
            # Step by step every row takes long.
            sample = sample.select(pick_rows(shared_lengths(sample), ROWS_UNCOMPILED))
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
        raise ModelError(f"{spec.name}: {error}", options=error.options) from None
    report = proof.report
    if shapes.verdict == "fails" and all(
        check.verdict != "fails" for check in report.checks if check is not shapes
    ):
        advice = (
            "Keras's TimeDistributed loops over the wrong axis when compiled with unknown steps. Apply the "
            "layer directly, as Dense can be, or fix the input's length."
        )
        report = replace(report, culprit=looping, path=looping, advice=advice if looping else None)
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


def _rows_that_run(user: UserModel, spec: ModelSpec, value: Any, rows: SampleRows | None) -> Sample:
    if rows is not None:
        values = dict.fromkeys(rows, value)
        _check_ids(user, rows)
        return take_sample(user.slots, rows, padding=spec.padding, values=values, seed=spec.seed)
    samples = [
        draw_random_rows(
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


def _check_ids(user: UserModel, rows: SampleRows) -> None:
    """Say which id is beyond an embedding, which Keras would say at length."""
    known = [slot.name for slot in user.slots if slot.kind != "mask"]
    timed = [slot.name for slot in user.slots if slot.kind in ("tokens", "features")]
    strange = [name for name in rows if name not in known]
    missing = [name for name in timed if name not in rows]
    if strange or missing:
        wrong = f"has no input {strange[0]!r}" if strange else f"needs rows for its input {missing[0]!r}"
        raise SpecError(f"The model {wrong}. Its inputs are {', '.join(known)}.")
    for slot in user.slots:
        if slot.kind in ("tokens", "features"):
            _check_shape(slot, next((row for row in rows[slot.name] if row.size), None))
        if slot.kind == "tokens":
            _check_tokens(slot, [row for row in rows[slot.name] if row.size])


def _check_shape(slot: ModelInput, row: npt.NDArray[Any] | None) -> None:
    wanted = slot.shape[1:]
    if row is None or (
        len(row.shape[1:]) == len(wanted)
        and all(size in (None, have) for size, have in zip(wanted, row.shape[1:], strict=True))
    ):
        return
    steps = f"vectors of {wanted[-1]} numbers" if wanted else "one number a step"
    have = f"vectors of {row.shape[-1]}" if row.ndim > 1 else "one number a step"
    raise SpecError(
        f"The input {slot.name!r} takes {steps}, and the data have {have}. Choose with -c.",
        options=["columns"],
    )


def _check_tokens(slot: ModelInput, rows: Sequence[npt.NDArray[Any]]) -> None:
    """Refuse what Keras would round, wrap, or complain of at length."""
    for row in rows:
        if row.dtype.kind not in "iuf":
            raise SpecError(
                f"The input {slot.name!r} takes ids, and the data hold strings. Choose with -c.",
                options=["columns"],
            )
        if (row != np.floor(row)).any():
            raise SpecError(
                f"The input {slot.name!r} takes ids, and the data hold fractions. Choose with -c.",
                options=["columns"],
            )
        if row.min() < 0:
            raise ModelError(
                f"The data have the id {row.min()}, for which no embedding has a row. Fix the ids."
            )
    largest = max((int(row.max()) for row in rows), default=0)
    if slot.exact and slot.vocab is not None and largest >= slot.vocab:
        raise ModelError(
            f"The data have the id {largest}, and the embedding of input {slot.name!r} has rows for "
            f"{slot.vocab} ids only, up to {slot.vocab - 1}. Give the data that the model was made for."
        )
