"""Check the fields, masks and lengths of rows, and create the errors for bad rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from padmask.core.columns import MASK_NAMES
from padmask.core.counted_positions import find_other_positions
from padmask.core.later_masks import check_ones, later_zero
from padmask.core.made_columns import made_remedy
from padmask.errors import DataError, Fault, PaddedError, Place, SpecError
from padmask.formats.contract import Batch
from padmask.spec.batches import SHAPE_OPTIONS
from padmask.spec.buckets import BUCKET
from padmask.spec.mask import POSITION_IDS
from padmask.spec.pack import is_recomputed
from padmask.stream.job import Job
from padmask.stream.late_fields import later_zeros


def check_added_fields(batch: Batch, job: Job) -> None:
    """Raise an error if a JSON row already has a field with the name of an added column.

    This check is for later rows. An earlier check of the schema covers the first rows of the input.

    Raises:
        PaddedError: the field is a mask with a default name.
        SpecError: the field is not such a mask.
    """
    mask = job.mask
    if batch.objects is None:
        return
    # Readers of hive-style folders add a column `bucket`.
    names = (*job.added, BUCKET) if job.spec.buckets is not None else job.added
    if job.spec.packing is not None and job.spec.packing.fields == "list":
        outputs = job.written_names
        names = (*names, *(new for new in outputs.values() if new not in outputs))
    for name in names:
        is_mark = name in mask.names and name not in mask.made
        if name in (job.replaced, *job.unwritten) or (mask.overwrite and is_mark):
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
    """Return a `Fault` for each row with an invalid mask or invalid positions.

    A mask that already marks padding in the first rows of the input is not checked.

    Raises:
        PaddedError: a mask marks padding in one of these rows, but not in the first rows of the input.
    """
    packs = job.spec.packing is not None
    for name in job.watched:
        if zeros := later_zeros(batch, name, lengths):
            raise later_zero(batch.place(zeros[0]), name, packs=packs)
    faults = _check_positions(batch, job, lengths)
    if job.ones is None:
        return faults
    zero, others = check_ones(batch.columns.column(job.ones), lengths, job.ones)
    if zero is not None:
        raise later_zero(batch.place(zero), job.ones, packs=packs)
    return [*faults, *others]


def _check_positions(batch: Batch, job: Job, lengths: npt.NDArray[np.int64]) -> list[Fault]:
    """If packing replaces `position_ids`, return a `Fault` for each row in which they are not 0, 1, 2, ..."""
    replaces = job.spec.packing is not None and "position_ids" in job.spec.packing.emit
    if not replaces or POSITION_IDS not in job.unwritten:
        return []
    return find_other_positions(batch.columns.column(POSITION_IDS), lengths)


def larger_maxlen(job: Job) -> str:
    """Return a sentence for error messages that tells the user to increase maxlen."""
    edges = isinstance(job.spec.buckets, tuple)
    return "Choose a larger last edge in --buckets" if edges else "Choose a larger --maxlen"


def overlong_error(length: int, maxlen: int, job: Job, place: Place, column: str | None) -> DataError:
    """Return the error for a row that is longer than maxlen.

    Args:
        length: number of tokens in the row.
        maxlen: maxlen of the column.
        job: columns and options of the run.
        place: the location of the row.
        column: name of the column if some columns have their own maxlen; otherwise None.
    """
    packing = job.spec.packing
    end = ", including the end token" if packing is not None and packing.eos is not None else ""
    lossless = "window (which keeps" if packing is None else "split or window (which keep"
    return DataError(
        f"the row has {length} tokens{end}, but maxlen is {maxlen} and --overlong is error",
        place=place,
        column=column,
        remedy=f"{larger_maxlen(job)}, or set --overlong to {lossless} all tokens), truncate or drop.",
        options=["maxlen", "overlong"],
    )
