"""Checks of the fields beside the tokens: new fields, masks, and fields that the first rows do not have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from padmask.core.columns import MASK_NAMES
from padmask.core.companions import check_ones
from padmask.core.padding import later_zero
from padmask.errors import Fault, PaddedError, SpecError
from padmask.formats.contract import Batch
from padmask.stream.job import Job
from padmask.stream.late_fields import late_zeros


def check_added_fields(batch: Batch, job: Job) -> None:
    """Raise an error if a JSON row, unlike the first rows, has a field with the name of an added field.

    Raises:
        PaddedError: the field is a mask with a default name.
        SpecError: the row has another field with this name.
    """
    mask = job.mask
    if batch.objects is None:
        return
    for name in job.added:
        if name == job.replaced or (mask.overwrite and name in mask.names):
            continue
        for row, fields in enumerate(batch.objects):
            if name not in fields:
                continue
            if name not in mask.names:
                raise SpecError(
                    f"the row already has a field {name!r}, which windows add",
                    place=batch.place(row),
                    remedy="Rename the field.",
                    options=["overlong"],
                )
            padded = name == mask.column and name in MASK_NAMES and bytes(fields[name])[:1] == b"["
            raise (PaddedError if padded else SpecError)(
                f"the row already has a field {name!r}",
                place=batch.place(row),
                remedy="Choose another name for the new field with --mask-column, --length-column or "
                "--own-mask, or replace the existing field with --overwrite-mask.",
                options=[mask.option_for(name)],
            )


def check_mask_of_ones(batch: Batch, name: str, lengths: npt.NDArray[np.int64]) -> list[Fault]:
    """Return the faults of a mask that contains only ones in the first rows.

    Raises:
        PaddedError: the mask contains a 0.
    """
    zero, faults = check_ones(batch.columns.column(name), lengths, name)
    if zero is not None:
        raise later_zero(batch.place(zero), name)
    return faults


def find_late_fields(batch: Batch, job: Job, lengths: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """Return the names of JSON fields beside the ids that the first rows do not have.

    Raises:
        PaddedError: one of them is a mask that shows padding.
    """
    if batch.objects is None or job.late is None:
        return ()
    late = [name for name in job.late.find(batch.objects) if name not in job.added]
    for name in MASK_NAMES if not job.mask.allow_padded else ():
        if name in late and (row := next(late_zeros(batch.objects, name, lengths), None)) is not None:
            raise later_zero(batch.place(row), name)
    return tuple(late)
