"""Check that the rows of the data match the inputs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.errors import ModelError, SpecError
from padmask.verify.proof.sample import MADE, ModelInput, SampleRows


def check_rows(slots: Sequence[ModelInput], rows: SampleRows) -> None:
    """Check that rows match the inputs of a model. Frameworks would raise errors that are hard to read.

    Args:
        slots: inputs of the model.
        rows: real tokens of each row, keyed by input name.

    Raises:
        SpecError: rows are missing, belong to no input, or have values of a different kind from the input.
        ModelError: a row has an id that the embedding does not accept.
    """
    known = [slot.name for slot in slots if slot.kind not in MADE]
    timed = [slot.name for slot in slots if slot.kind in ("tokens", "features")]
    unknown = [name for name in rows if name not in known]
    missing = [name for name in timed if name not in rows]
    if unknown or missing:
        wrong = f"The model requires rows for the input {[*missing, ''][0]!r}"
        if unknown:
            wrong = f"The model has no input {unknown[0]!r}"
        raise SpecError(f"{wrong}. The inputs of the model are {', '.join(known)}.")
    for slot in slots:
        if slot.kind in ("tokens", "features"):
            _check_shape(slot, next((row for row in rows[slot.name] if row.size), None))
        if slot.kind == "tokens":
            _check_tokens(slot, [row for row in rows[slot.name] if row.size])


def _check_shape(slot: ModelInput, row: npt.NDArray[Any] | None) -> None:
    wanted = slot.inner
    if row is None or (
        len(row.shape[1:]) == len(wanted)
        and all(size in (None, have) for size, have in zip(wanted, row.shape[1:], strict=True))
    ):
        return
    expected = f"vectors of {wanted[-1]} numbers" if wanted else "one number per time step"
    found = f"vectors of {row.shape[-1]} numbers" if row.ndim > 1 else "one number per time step"
    raise SpecError(
        f"The input {slot.name!r} requires {expected}, but the data has {found}. Choose another column with "
        "-c.",
        options=["columns"],
    )


def _check_tokens(slot: ModelInput, rows: Sequence[npt.NDArray[Any]]) -> None:
    """Check that the values are valid ids. A framework may accept invalid values and change them silently."""
    for row in rows:
        if row.dtype.kind not in "iuf":
            raise SpecError(
                f"The input {slot.name!r} requires ids, but the data has strings. Choose another column "
                "with -c.",
                options=["columns"],
            )
        if (row != np.floor(row)).any():
            raise SpecError(
                f"The input {slot.name!r} requires integer ids, but the data contains non-integer values. "
                "Choose another column with -c.",
                options=["columns"],
            )
        if row.min() < 0:
            raise ModelError(
                f"The data contains the negative id {row.min()}, which no embedding accepts. Fix the ids."
            )
    largest = max((int(row.max()) for row in rows), default=0)
    if slot.exact and slot.vocab is not None and largest >= slot.vocab:
        raise ModelError(
            f"The data contains the id {largest}, but the embedding of the input {slot.name!r} only accepts "
            f"the ids 0 to {slot.vocab - 1}. Use data that was tokenized for this model."
        )
