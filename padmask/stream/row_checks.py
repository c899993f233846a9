"""Checks of new fields and of masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from padmask.core.columns import MASK_NAMES
from padmask.core.later_masks import check_ones, later_zero
from padmask.core.made_columns import made_remedy
from padmask.errors import Fault, PaddedError, SpecError
from padmask.formats.contract import Batch
from padmask.spec.batches import SHAPE_OPTIONS
from padmask.spec.buckets import BUCKET
from padmask.spec.pack import is_recomputed
from padmask.stream.job import Job
from padmask.stream.late_fields import later_zeros


def check_added_fields(batch: Batch, job: Job) -> None:
    """Raise an error if a JSON row already has a field with the name of a new field.

    The first rows have no such field.

    Raises:
        PaddedError: the field is a mask with a default name.
        SpecError: the row has another field with this name.
    """
    mask = job.mask
    if batch.objects is None:
        return
    # Readers of hive-style folders add a column `bucket`.
    names = (*job.added, BUCKET) if job.spec.buckets is not None else job.added
    for name in names:
        is_mark = name in mask.names and name not in mask.made
        if name == job.replaced or (mask.overwrite and is_mark):
            continue
        if is_recomputed(name, job.spec.packing) and name in [column.name for column in job.columns]:
            continue
        for row, fields in enumerate(batch.objects):
            if name not in fields:
                continue
            if name not in mask.names:
                shape = "buckets" if name == BUCKET else job.spec.shape
                raise SpecError(
                    f"{shape} need a new field {name!r}, but the row already has this field",
                    place=batch.place(row),
                    remedy="Rename the field.",
                    options=[SHAPE_OPTIONS[shape]],
                )
            if not is_mark:
                raise SpecError(
                    f"the row already has a field {name!r}",
                    place=batch.place(row),
                    remedy=made_remedy(name, mask),
                    options=[mask.option_for(name)],
                )
            padded = name == mask.column and name in MASK_NAMES and bytes(fields[name])[:1] == b"["
            raise (PaddedError if padded else SpecError)(
                f"the row already has a field {name!r}",
                place=batch.place(row),
                remedy=mask.replace_remedy(name, packs=job.spec.packing is not None),
                options=[mask.option_for(name)],
            )


def check_masks(batch: Batch, job: Job, lengths: npt.NDArray[np.int64]) -> list[Fault]:
    """Return a `Fault` for each row with an invalid mask, if the mask has only ones in the first rows.

    Raises:
        PaddedError: a mask marks padding in one of these rows, but not in the first rows of the input.
    """
    packs = job.spec.packing is not None
    for name in job.watched:
        if zeros := later_zeros(batch, name, lengths):
            raise later_zero(batch.place(zeros[0]), name, packs=packs)
    if job.ones is None:
        return []
    zero, faults = check_ones(batch.columns.column(job.ones), lengths, job.ones)
    if zero is not None:
        raise later_zero(batch.place(zero), job.ones, packs=packs)
    return faults
