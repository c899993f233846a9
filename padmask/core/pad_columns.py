"""Pad columns of Python sequences or NumPy arrays in memory, with the rules of `pad_table`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.columns import PadColumn, choose_columns
from padmask.core.companions import ONES, choose_together, list_names, own_groups
from padmask.core.first_rows import FirstRows
from padmask.core.keep_ends import Ends, find_large_ends, read_ends
from padmask.core.kernel import pad_batch
from padmask.core.length_stats import LengthStats
from padmask.core.list_types import ListType, arrow_type, list_type
from padmask.core.made_columns import check_made, made_values, mark_values
from padmask.core.masks import make_mask
from padmask.core.pad_plain_rows import pad_plain_rows
from padmask.core.padding import check_names
from padmask.core.plain_rows import PlainRows, read_plain_rows
from padmask.core.plan import make_plan, plan_pad
from padmask.core.planners import make_segments
from padmask.core.python_rows import flatten, refuse_other_than_bools
from padmask.core.ragged import Ragged, find_misfits
from padmask.core.row_numbers import row_numbers
from padmask.core.table import ColumnGroup
from padmask.core.unequal_lengths import unequal_fault
from padmask.errors import DataError, PaddedError, SpecError, raise_first_fault, row_error
from padmask.spec.columns import Columns, unknown_column
from padmask.spec.cuts import refuse_in_memory
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec


@dataclass(frozen=True)
class _Choice:
    """The columns to pad, and the input mask that the new mask replaces.

    Args:
        groups: groups of columns that are padded together. The first group contains the ids.
        ones: name of the input mask that must contain only ones; None if there is no such mask.
        dropped: names of the input columns that are not in the padded batch.
        targets: name, dtype and pad value of each column of each group.
        may_be_plain: whether `pad_plain_rows` may be used. False if the numbers of tokens to keep come from a
            column.
    """

    groups: Sequence[ColumnGroup]
    ones: str | None
    dropped: Sequence[str]
    targets: Sequence[Sequence[tuple[str, np.dtype[Any], Any]]]
    may_be_plain: bool


class ColumnPadder:
    """Pads columns of sequences to arrays. The padder stores the choice of columns for the next call.

    >>> padder = ColumnPadder(PadSpec(), None, MaskSpec())
    >>> padder.pad({"input_ids": [[7, 8], [9]], "label": [3, 4]})["mask"].tolist()
    [[True, True], [True, False]]

    Args:
        spec: how to pad.
        columns: as in `pad_table`.
        mask: mask to add.

    Raises:
        SpecError: the options split rows into windows, or divide them into buckets or batches.
    """

    def __init__(self, spec: PadSpec, columns: Columns, mask: MaskSpec) -> None:
        refuse_in_memory(spec)
        if spec.windows is not None:
            raise SpecError(
                "A batch has one output row for each input row, so a batch cannot have windows. Split long "
                "rows with `pad_table` or `pad_file`.",
                options=["windows"],
            )
        self._spec, self._columns, self._mask = spec, columns, mask
        self._choices: dict[tuple[Any, ...], _Choice] = {}

    def pad(self, values: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Pad the columns of a batch.

        Args:
            values: one value per row for each column, keyed by column name.

        Returns:
            A dict keyed by column name. Padded columns and their masks are arrays of shape (rows, maxlen,
            ...). Columns of numbers are arrays of shape (rows,). Other columns are lists.

        Raises:
            DataError: a row cannot be padded.
            SpecError: a requested column is missing.
        """
        plain = {name: read_plain_rows(its) for name, its in values.items()}
        types = tuple(
            [(name, list_type(values[name]) if rows is None else rows.dtype) for name, rows in plain.items()]
        )
        chosen = self._choose(types)
        arrays: dict[str, Any] = {}
        for group, targets in zip(chosen.groups, chosen.targets, strict=True):
            padded = _pad_plain(group, targets, plain) if chosen.may_be_plain else None
            arrays |= padded or _pad_group(group, values, plain)
        if chosen.ones is not None:
            first = chosen.groups[0].columns[0].name
            _check_ones(chosen.ones, values[chosen.ones], plain[chosen.ones], values[first])
        result = {}
        for name, type_ in types:
            if name not in chosen.dropped:
                its = values[name] if type_ is not None else row_numbers(name, values[name])
                result[name] = arrays.get(name, its)
        return result | arrays

    def _choose(self, types: tuple[tuple[str, ListType | None], ...]) -> _Choice:
        """Choose the columns to pad from the names and types of the columns. The choice is stored."""
        if types not in self._choices:
            # Columns without lists are not padded, so their types do not matter. Their names matter, because
            # added columns must have other names.
            fields = [(name, pa.null() if type_ is None else arrow_type(type_)) for name, type_ in types]
            self._choices[types] = self._new_choice(pa.schema(fields))
        return self._choices[types]

    def _new_choice(self, schema: pa.Schema) -> _Choice:
        names = list_names(schema)
        # A batch has few rows, so its lengths decide nothing: companions are found by their names.
        same = FirstRows({name: np.ones(1, dtype=np.int64) for name in names}, {})
        found = choose_together(schema, self._columns, self._spec, self._mask, same, ones=ONES in names)
        groups = [ColumnGroup(choose_columns(schema, found.columns, self._spec), self._spec, found.mask)]
        for column, alone, mask in own_groups(schema, self._columns, self._spec, self._mask):
            groups.append(ColumnGroup(choose_columns(schema, [column], alone), alone, mask))
        columns = [column for group in groups for column in group.columns]
        check_made(schema, groups[0].columns, found.mask)
        check_names(schema, columns, found.mask, found.replaced)
        targets = [
            [(column.name, np.dtype(column.numpy_dtype), column.value) for column in group.columns]
            for group in groups
        ]
        return _Choice(groups, found.ones, found.dropped, targets, not self._spec.end_columns)


def _as_arrays(rows: Sequence[Any]) -> Sequence[Any]:
    """Return sequences that NumPy can read: tensors become arrays."""
    if set(map(type, rows)) <= {list, tuple, np.ndarray}:
        return rows
    return [np.asarray(row) if hasattr(row, "__array__") else row for row in rows]


def _pad_group(
    group: ColumnGroup, values: Mapping[str, Sequence[Any]], plain: Mapping[str, PlainRows | None]
) -> dict[str, npt.NDArray[Any]]:
    """Return the padded columns of a group and the columns that padding adds, keyed by name."""
    first = group.columns[0].name
    ragged = {
        column.name: _flatten(values[column.name], plain[column.name], column) for column in group.columns
    }
    lengths = ragged[first].lengths
    for name, its in ragged.items():
        if name != first and not np.array_equal(its.lengths, lengths):
            row = int(np.flatnonzero(its.lengths != lengths)[0])
            raise_first_fault([unequal_fault(row, first, ragged[first], name, its)])
    plan = make_plan(group.spec, LengthStats.of(lengths))
    ends: Ends | None = None
    if group.spec.end_columns:
        ends, faults = read_ends(group.spec, len(lengths), partial(_numbers_of, values, group.spec))
        raise_first_fault([*faults, *find_large_ends(lengths, ends, plan, group.spec)])
    segments = make_segments(lengths, plan, group.spec, ends)
    real = make_mask(segments)
    arrays = {
        column.name: pad_batch(
            ragged[column.name], segments, value=column.value, dtype=column.numpy_dtype, mask=real
        ).values
        for column in group.columns
    }
    return arrays | made_values(group.columns, group.mask, segments, ragged, real)


def _pad_plain(
    group: ColumnGroup,
    targets: Sequence[tuple[str, np.dtype[Any], Any]],
    plain: Mapping[str, PlainRows | None],
) -> dict[str, npt.NDArray[Any]] | None:
    """Pad plain rows without `Segments`. The result is as in `_pad_group`; None if impossible."""
    columns = [(rows, dtype, value) for name, dtype, value in targets if (rows := plain[name]) is not None]
    if len(columns) < len(targets):
        return None
    padded = pad_plain_rows(columns, group.spec)
    if padded is None:
        return None
    arrays = {target[0]: its for target, its in zip(targets, padded.values, strict=True)}
    if group.mask.position_ids is None and group.mask.labels_from is None:
        return arrays | mark_values(group.mask, padded.mask, padded.lengths)
    sides = {"padding": group.spec.padding, "truncating": group.spec.truncating}
    ragged = {name: rows.ragged() for (name, *_), (rows, *_) in zip(targets, columns, strict=True)}
    segments = plan_pad(ragged[targets[0][0]].lengths, padded.mask.shape[1], **sides)
    return arrays | made_values(group.columns, group.mask, segments, ragged, padded.mask)


def _numbers_of(values: Mapping[str, Sequence[Any]], spec: PadSpec, name: str) -> list[Any]:
    """Return the values of a column, with NumPy numbers and tensors as Python numbers."""
    if name not in values:
        raise unknown_column(name, values, "keep_first" if name == spec.keep_first else "keep_last")
    return list(map(_plain, values[name]))


def _plain(value: Any) -> Any:
    """Return the Python number of a NumPy number or a tensor; return other values unchanged."""
    if hasattr(value, "item"):
        return value.item()
    return np.asarray(value).item() if hasattr(value, "__array__") else value


def _flatten(rows: Sequence[Any], plain: PlainRows | None, column: PadColumn) -> Ragged:
    """Return the tokens of a column, and check that the tokens fit the dtype of the column."""
    try:
        if plain is None:
            ragged = flatten(_as_arrays(rows), column.kind, bools=column.kind == "bool")
        else:
            ragged = plain.ragged()
        if column.kind == "bool" and ragged.values.dtype.kind != "b":
            refuse_other_than_bools(rows)
            ragged = Ragged(ragged.values.astype(bool), ragged.starts, ragged.lengths)
    except DataError as error:
        named = error.reworded(f"Column {column.name!r}: {error}")
        named.column = column.name
        raise named from None
    raise_first_fault([replace(fault, column=column.name) for fault in find_misfits(ragged, column.dtype)])
    return ragged


def _check_ones(name: str, mask: Sequence[Any], plain: PlainRows | None, tokens: Sequence[Any]) -> None:
    """Raise an error if the lengths of a mask and the tokens differ, or if the mask marks padding."""
    if plain is not None and plain.lengths == list(map(len, tokens)) and (plain.values == 1).all():
        return
    mask = _as_arrays(mask)
    ones, ids = flatten(mask), list(map(len, tokens))
    if ones.lengths.tolist() != ids:
        row = next(i for i, (one, other) in enumerate(zip(ones.lengths, ids, strict=True)) if one != other)
        raise row_error(
            row,
            f"Row {row}, column {name!r}: the mask has {ones.lengths[row]} values, but the row has "
            f"{ids[row]} tokens. Fix the row.",
            name,
        )
    if not (ones.values == 1).all():
        row = next(i for i, its in enumerate(mask) if not all(value == 1 for value in its))
        raise row_error(
            row,
            f"Row {row}, column {name!r}: the mask contains a value other than 1, so the rows are padded "
            "already. Pass rows without padding, or remove the mask from the rows.",
            name,
            kind=PaddedError,
        )
