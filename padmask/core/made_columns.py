"""Create the columns that padding adds: the mask, the lengths, the positions and the labels."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.columns import IGNORED_LABEL, PadColumn
from padmask.core.kernel import pad_batch
from padmask.core.loss_tokens import copied_labels
from padmask.core.masks import Mask, as_dialect, make_positions
from padmask.core.plan import Segments
from padmask.core.ragged import Ragged
from padmask.errors import SpecError
from padmask.spec.columns import unknown_column
from padmask.spec.mask import LABELS, MaskSpec
from padmask.spec.pad import DEFAULT_DTYPE, INTEGER_DTYPES


def settle_made(mask: MaskSpec, names: Collection[str], first: str) -> MaskSpec:
    """Return `mask` with the name of the column to copy to the labels.

    An option in `mask.if_missing` is removed if the input already has the column that the option would add.

    >>> settle_made(MaskSpec(labels_from=True), ["ids"], "ids").labels_from
    'ids'
    >>> settle_made(MaskSpec(labels_from=True, if_missing=["labels_from"]), ["ids", "labels"], "ids").made
    ()

    Args:
        mask: the columns to add.
        names: names of the columns of the input.
        first: name of the first column to pad.
    """
    source, position_ids = mask.labels_from, mask.position_ids
    if "labels_from" in mask.if_missing and LABELS in names:
        source = None
    if "position_ids" in mask.if_missing and position_ids in names:
        position_ids = None
    return replace(mask, labels_from=first if source is True else source, position_ids=position_ids)


def check_made(schema: pa.Schema, columns: Sequence[PadColumn], mask: MaskSpec) -> None:
    """Raise an error if the columns of positions or labels cannot be added.

    Args:
        schema: columns of the input.
        columns: columns that are padded together.
        mask: the columns to add, as `settle_made` returns them.

    Raises:
        SpecError: the input already has a column with the name of an added column, or the column to copy to
            the labels is not a padded column of integers.
    """
    for name in mask.made:
        if name in schema.names or name in [column.name for column in columns]:
            raise SpecError(
                f"The input already has a column {name!r}. {made_remedy(name, mask)}",
                options=[mask.option_for(name)],
            )
    if mask.labels_from is None:
        return
    if mask.labels_from not in schema.names:
        raise unknown_column(str(mask.labels_from), schema.names, "labels_from")
    source = next((column for column in columns if column.name == mask.labels_from), None)
    if source is None:
        first = columns[0].name
        raise SpecError(
            f"The labels cannot be copied from column {mask.labels_from!r}, because this column will not be "
            f"padded together with {first!r}. Choose a padded column, such as "
            f"--labels-from {shlex.quote(first)}.",
            options=["labels_from"],
        )
    if source.kind != "int" or source.dtype not in INTEGER_DTYPES or source.inner is not None:
        tokens = "vectors" if source.inner is not None else f"tokens of dtype {source.dtype}"
        raise SpecError(
            f"Labels must be integers, but column {source.name!r} contains {tokens}. Choose a column of "
            "integers with --labels-from.",
            options=["labels_from"],
        )


def made_remedy(name: str, mask: MaskSpec) -> str:
    """Return advice for the error that the input already has a column of positions or labels.

    Args:
        name: name of the column of positions or labels.
        mask: the columns to add.
    """
    flag = f"--{mask.option_for(name).replace('_', '-')}"
    return f"To pad the column of the input instead, remove {flag}. Otherwise rename the column."


def made_columns(columns: Sequence[PadColumn], mask: MaskSpec, maxlen: int) -> list[PadColumn]:
    """Return the columns of positions and labels to add, with their dtypes and pad values.

    >>> ids = PadColumn("ids", "int", "int64", 0)
    >>> [(one.name, one.dtype, one.value) for one in made_columns([ids], MaskSpec(labels_from="ids"), 8)]
    [('labels', 'int64', -100)]

    Args:
        columns: columns that are padded together. The first column contains the ids.
        mask: the columns to add, as `settle_made` returns them.
        maxlen: length of the padded rows.
    """
    made = []
    if isinstance(mask.position_ids, str):
        ids = columns[0].dtype
        fits = ids in INTEGER_DTYPES and maxlen - 1 <= np.iinfo(ids).max
        made.append(PadColumn(mask.position_ids, "int", ids if fits else DEFAULT_DTYPE, 0))
    for source in columns:
        if source.name == mask.labels_from:
            fits = np.iinfo(source.dtype).min <= IGNORED_LABEL
            made.append(PadColumn(LABELS, "int", source.dtype if fits else DEFAULT_DTYPE, IGNORED_LABEL))
    return made


def made_values(
    columns: Sequence[PadColumn],
    mask: MaskSpec,
    segments: Segments,
    rows: Mapping[str, Ragged],
    real: Mask,
    repeated: Mask | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Return the values of the added columns, keyed by column name, in the order of the output.

    Args:
        columns: columns that are padded together.
        mask: the columns to add, as `settle_made` returns them.
        segments: positions of the tokens in the output.
        rows: source rows of each padded column.
        real: mask of the segments: bool, shape (rows, maxlen), True at real tokens.
        repeated: True at tokens whose label becomes -100, because another window has the label: bool, shape
            (rows, maxlen). If None, all labels are kept.

    Returns:
        The lengths have the shape (rows,) and the dtype int32. All other columns have the shape
        (rows, maxlen).
    """
    values = mark_values(mask, real, segments.row_lengths)
    for column in made_columns(columns, mask, real.shape[1]):
        dtype = column.numpy_dtype
        if column.name == mask.position_ids:
            values[column.name] = make_positions(segments, real, dtype)
            continue
        source = copied_labels(str(mask.labels_from), columns, rows)
        labels = pad_batch(source, segments, value=column.value, dtype=dtype, mask=real).values
        if repeated is not None:
            labels[repeated] = column.value
        values[column.name] = labels
    return values


def mark_values(mask: MaskSpec, real: Mask, lengths: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """Return the values of the mask column and the length column, keyed by column name.

    Args:
        mask: the columns to add.
        real: bool mask, shape (rows, maxlen), True at real tokens.
        lengths: number of tokens in each row: int64, shape (rows,).
    """
    values: dict[str, npt.NDArray[Any]] = {}
    if mask.column is not None:
        values[mask.column] = as_dialect(real, mask)
    if mask.length_column is not None:
        values[mask.length_column] = lengths.astype(np.int32)
    return values
