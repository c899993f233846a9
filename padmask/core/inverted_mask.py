"""Refuse masks that are read with the wrong polarity, because `unpad` would remove the tokens."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import is_list, is_mask, is_vectors
from padmask.core.first_rows import FIRST_ROWS
from padmask.core.metadata import described_names
from padmask.core.ragged import Ragged
from padmask.core.unpad_job import UnpadJob
from padmask.errors import PaddedError, Place
from padmask.spec.mask import Dialect
from padmask.spec.unpad import UnpadSpec


def _is_guessed(schema: pa.Schema, job: UnpadJob, spec: UnpadSpec) -> bool:
    """Return whether neither the user nor the metadata specifies the polarity of the mask.

    The result is also False if `check_polarity` cannot compare the mask with the tokens: without a mask, if
    the mask is the first column to unpad, or if one of the two columns has an unsuitable type.
    """
    if job.mask in (None, job.columns[0]) or spec.dialect is not None or job.mask in described_names(schema):
        return False
    tokens = schema.field(job.columns[0]).type
    return is_mask(schema.field(job.mask).type) and is_list(tokens) and not is_vectors(tokens)


def check_polarity(
    schema: pa.Schema,
    job: UnpadJob,
    spec: UnpadSpec,
    batches: Iterable[pa.RecordBatch],
    place: Place | None = None,
) -> None:
    """Raise an error if the mask evidently marks padding as real tokens.

    This is evident if, in the first rows, all positions that the mask marks as tokens have the same value,
    and the positions that it marks as padding have several values. If the options or the metadata
    specify the polarity, the mask is not checked.

    >>> batch = pa.record_batch({"ids": [[7, 8, 0], [9, 0, 0]], "mask": [[0, 0, 1], [0, 1, 1]]})
    >>> check_polarity(batch.schema, UnpadJob(("ids",), "mask", None, "post", ()), UnpadSpec(), [batch])
    Traceback (most recent call last):
        ...
    padmask.errors.PaddedError: column 'mask': ...

    Args:
        schema: columns of the input, with metadata.
        job: the columns to unpad, and their mask.
        spec: the options of the user.
        batches: the first rows, with the mask and the first column of the job.
        place: name of the input, for the error.

    Raises:
        PaddedError: the mask marks padding as real tokens.
    """
    if job.mask is None or not _is_guessed(schema, job, spec):
        return
    left, tokens, padding = FIRST_ROWS, set[object](), set[object]()
    for batch in batches:
        part = batch.slice(0, left)
        left -= part.num_rows
        mask, bad = Ragged.from_mask(part.column(job.mask), job.dialect)
        values, faults = Ragged.from_arrow(part.column(job.columns[0]))
        good = mask.lengths == values.lengths
        good[[fault.row for fault in (*bad, *faults)]] = False
        for row in np.flatnonzero(good).tolist():
            start, at, length = mask.starts[row], values.starts[row], mask.lengths[row]
            real = mask.values[start : start + length].astype(bool)
            ids = values.values[at : at + length]
            tokens |= set(ids[real].tolist())
            padding |= set(ids[~real].tolist())
            if len(tokens) > 1:
                return
        if left <= 0:
            break
    if len(tokens) == 1 and len(padding - tokens) > 1:
        raise _inverted(job.mask, job.dialect, job.columns[0], tokens.pop(), place)


def _inverted(mask: str, dialect: Dialect, column: str, value: object, place: Place | None) -> PaddedError:
    other = "real" if dialect.polarity == "padding" else "padding"
    name = shlex.quote(mask)
    return PaddedError(
        f"the mask seems to be inverted, because it marks only the value {value!r} of {column!r} as tokens, "
        "and several other values as padding",
        place=place,
        column=mask,
        remedy=f"If the mask is True at {'padding' if other == 'padding' else 'real tokens'}, use "
        f"--mask-column {name} --mask-polarity {other}. Otherwise use --mask-polarity {dialect.polarity}.",
        options=["mask_polarity"],
    )
