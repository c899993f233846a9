"""Check later rows for padding if a mask marks no padding in the first rows."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import is_mask, null_flags, null_token_rows, without_wrappers
from padmask.core.columns import MASK_NAMES
from padmask.core.dialects import usual_dialect
from padmask.core.first_rows import FIRST_ROWS, FirstRows
from padmask.core.metadata import described_names
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.errors import Fault, LaterPaddingError, Place
from padmask.spec.mask import MaskSpec


def watched_masks(
    schema: pa.Schema, rows: FirstRows, mask: MaskSpec, known: Collection[str | None]
) -> tuple[str, ...]:
    """Return the names of the masks that must be checked for padding in the rows after the first rows.

    In the first rows, such a mask marks no padding, has no values or is missing. Other masks need no check
    here: `find_padding` has already checked the masks that mark padding in the first rows, and the masks that
    the metadata describes.

    >>> rows = FirstRows.of([pa.record_batch({"ids": [[7]], "mask": [[1]], "padding_mask": [[1, 0]]})])
    >>> watched_masks(pa.schema([]), rows, MaskSpec(), ["ids"])
    ('mask', 'attention_mask', 'key_padding_mask', 'src_key_padding_mask')

    Args:
        schema: columns of the input, with metadata.
        rows: the first rows of the list columns.
        mask: the mask to add.
        known: names of columns that are padded or checked.
    """
    if mask.allow_padded:
        return ()
    described = described_names(schema)
    names = dict.fromkeys([*MASK_NAMES, *([mask.column] if mask.column else [])])
    return tuple(
        name
        for name in names
        if name not in known
        and name not in described
        and not (rows.have_values(name) and (name not in rows.zeros or rows.zeros[name].any()))
    )


def padded_rows(column: pa.Array, name: str, lengths: Positions) -> list[int]:
    """Return the indices of the rows in which the mask marks padding and has one value per token.

    >>> padded_rows(pa.array([[1, 1], [1, 0], [0]]), "mask", np.array([2, 2, 2]))
    [1]

    Args:
        column: column that may be a mask. If the type is not that of a mask, the result is empty.
        name: name of the column, which determines the polarity of the mask.
        lengths: number of tokens in each row: shape (rows,).
    """
    if not is_mask(column.type):
        return []
    mask, _ = Ragged.from_mask(column, usual_dialect(name))
    zeros = mask.find_faults(mask.values == 0, str)
    # The value at a null is 0, but a null is not padding.
    fits = (mask.lengths == lengths) & ~null_token_rows(column)
    return [fault.row for fault in zeros if fits[fault.row]]


def check_ones(column: pa.Array, lengths: Positions, name: str) -> tuple[int | None, list[Fault]]:
    """Check rows of a mask whose first rows contain only ones.

    Args:
        column: the mask. Null rows are accepted.
        lengths: number of tokens in each row: shape (rows,).
        name: name of the mask.

    Returns:
        The index of the first row that contains a 0, or None; and a `Fault` for each row that has a value
        other than 0 and 1, or does not have one value per token.
    """
    mask, odd = Ragged.from_mask(column)
    null = null_flags(without_wrappers(column))
    # The value at a null is 0, but a null is not padding.
    nulls = null_token_rows(column)
    zeros = [fault for fault in mask.find_faults(mask.values == 0, str) if not nulls[fault.row]]
    faults = [fault for fault in odd if not null[fault.row]]
    faults += [
        Fault(row, f"the mask has {mask.lengths[row]} values, but the row has {lengths[row]} tokens")
        for row in np.flatnonzero(~null & (mask.lengths != lengths)).tolist()
    ]
    return (zeros[0].row if zeros else None), [replace(fault, column=name) for fault in faults]


def later_zero(place: Place, mask: str, *, packs: bool) -> LaterPaddingError:
    """Return the error for a mask that marks padding in a later row, but not in the first rows.

    Args:
        place: the later row.
        mask: name of the mask.
        packs: whether the rows will be packed; if False, they will be padded.
    """
    count_all = "" if packs else ", or use --allow-padded to count all positions as tokens"
    return LaterPaddingError(
        f"the mask marks padding in this row, but not in the first {FIRST_ROWS:,} rows",
        place=place,
        column=mask,
        remedy="If the input already contains padding, remove the padding with padmask unpad --mask-column "
        f"{shlex.quote(mask)}, or check the input with padmask verify --mask-column {shlex.quote(mask)}. If "
        f"the input contains no padding, remove the mask{count_all}.",
        options=() if packs else ["allow_padded"],
    )
