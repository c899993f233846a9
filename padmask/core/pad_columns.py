"""Pad columns of Python sequences or NumPy arrays in memory, with the rules of `pad_table`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.columns import PadColumn, asked_dtype, choose_columns
from padmask.core.companions import ONES, choose_together, list_names, own_groups
from padmask.core.first_rows import FirstRows
from padmask.core.keep_ends import Ends, find_large_ends, read_ends
from padmask.core.kernel import pad_batch
from padmask.core.length_stats import LengthStats
from padmask.core.made_columns import check_made, made_values
from padmask.core.masks import make_mask
from padmask.core.padding import check_names
from padmask.core.plan import make_plan
from padmask.core.planners import make_segments
from padmask.core.python_rows import flatten, refuse_bools
from padmask.core.ragged import Ragged, find_misfits
from padmask.core.table import ColumnGroup, unequal_fault
from padmask.errors import DataError, PaddedError, SpecError, raise_first_fault, row_error
from padmask.spec.columns import Column, Columns, unknown_column
from padmask.spec.cuts import refuse_in_memory
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import DEFAULT_DTYPE, PadSpec

# Arrow types of tokens, by kind. Python floats have no width, so they become float32.
_TYPES = {"int": pa.int64(), "float": pa.float32(), "string": pa.string(), "bool": pa.bool_()}


@dataclass(frozen=True)
class _Choice:
    """The columns to pad, and the input mask that the new mask replaces.

    Args:
        groups: groups of columns that are padded together. The first group contains the ids.
        ones: name of the input mask that must contain only ones; None if there is no such mask.
        dropped: names of the input columns that are not in the padded batch.
    """

    groups: Sequence[ColumnGroup]
    ones: str | None
    dropped: Sequence[str]


class ColumnPadder:
    """Pads columns of sequences to arrays. The padder stores the choice of columns for the next call.

    >>> padder = ColumnPadder(PadSpec(), None, MaskSpec())
    >>> padder.pad({"input_ids": [[7, 8], [9]], "label": [3, 4]})["mask"].tolist()
    [[True, True], [True, False]]

    Args:
        spec: how to pad.
        columns: as in `pad_table`.
        mask: mask to add.
        int_dtype: dtype of integer columns for which no dtype is requested.

    Raises:
        SpecError: the options split rows into windows, or divide them into buckets or batches.
    """

    def __init__(
        self, spec: PadSpec, columns: Columns, mask: MaskSpec, int_dtype: str = DEFAULT_DTYPE
    ) -> None:
        refuse_in_memory(spec)
        if spec.windows is not None:
            raise SpecError(
                "A batch has one output row for each input row, so a batch cannot have windows. Split long "
                "rows with `pad_table` or `pad_file`.",
                options=["windows"],
            )
        self._spec, self._columns, self._mask, self._int_dtype = spec, columns, mask, int_dtype
        self._choices: dict[tuple[Any, ...], _Choice] = {}

    def pad(self, values: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Pad columns.

        Args:
            values: one value per row for each column, keyed by column name.

        Returns:
            A dict keyed by column name. Padded columns and their masks are arrays of shape (rows, maxlen,
            ...). Columns of numbers are arrays of shape (rows,). Other columns are lists.

        Raises:
            DataError: a row cannot be padded.
            SpecError: a requested column is missing.
        """
        fields = [(name, _list_type(its)) for name, its in values.items()]
        lists = {name: _as_arrays(values[name]) for name, type_ in fields if type_ is not None}
        chosen = self._choose(tuple((name, type_) for name, type_ in fields if type_ is not None))
        arrays: dict[str, Any] = {}
        for group in chosen.groups:
            arrays |= _pad_group(group, lists, values)
        if chosen.ones is not None:
            _check_ones(chosen.ones, lists[chosen.ones], lists[chosen.groups[0].columns[0].name])
        result = {}
        for name, its in values.items():
            if name not in chosen.dropped:
                result[name] = arrays[name] if name in arrays else its if name in lists else _stack(its)
        return result | arrays

    def _choose(self, fields: tuple[tuple[str, pa.DataType], ...]) -> _Choice:
        """Choose the columns to pad from the names and types of the sequences. The choice is stored."""
        if fields not in self._choices:
            self._choices[fields] = self._new_choice(pa.schema(list(fields)))
        return self._choices[fields]

    def _new_choice(self, schema: pa.Schema) -> _Choice:
        names = list_names(schema)
        # A batch has few rows, so its lengths decide nothing: companions are found by their names.
        same = FirstRows({name: np.ones(1, dtype=np.int64) for name in names}, {})
        found = choose_together(schema, self._columns, self._spec, self._mask, same, ones=ONES in names)
        groups = [ColumnGroup(self._resolve(schema, found.columns, self._spec), self._spec, found.mask)]
        for column, alone, mask in own_groups(schema, self._columns, self._spec, self._mask):
            groups.append(ColumnGroup(self._resolve(schema, [column], alone), alone, mask))
        columns = [column for group in groups for column in group.columns]
        check_made(schema, groups[0].columns, found.mask)
        check_names(schema, columns, found.mask, found.replaced)
        return _Choice(groups, found.ones, found.dropped)

    def _resolve(self, schema: pa.Schema, columns: Sequence[Column], spec: PadSpec) -> list[PadColumn]:
        """Return the columns to pad, and find the dtype of each column."""
        resolved = choose_columns(schema, columns, spec)
        return [
            replace(new, dtype=self._int_dtype)
            if new.dtype == DEFAULT_DTYPE and asked_dtype(old, spec) is None
            else new
            for old, new in zip(columns, resolved, strict=True)
        ]


def _list_type(values: Sequence[Any]) -> pa.DataType | None:
    """Return the Arrow type of a column of sequences, from the first row with tokens; else None."""
    first = values[0] if _has_tokens(values[0]) else next(filter(_has_tokens, values), values[0])
    if isinstance(first, (str, bytes, Mapping)) or not hasattr(first, "__len__"):
        return None
    if hasattr(first, "dtype"):
        array = np.asarray(first)
        if array.ndim == 0:
            return None
        kind = {"i": "int", "u": "int", "f": "float", "b": "bool"}.get(array.dtype.kind, "string")
        type_ = pa.from_numpy_dtype(array.dtype) if kind == "float" else _TYPES[kind]
        return pa.list_(type_) if array.ndim == 1 else pa.list_(pa.list_(type_))
    if not len(first):
        return pa.list_(pa.null())
    inner = _list_type([first[0]])
    return pa.list_(_TYPES[_kind(first[0])] if inner is None else inner)


def _has_tokens(row: Any) -> bool:
    if type(row) is list:
        return bool(row)
    return hasattr(row, "__len__") and not isinstance(row, (str, bytes, Mapping)) and len(row) > 0


def _kind(token: Any) -> str:
    kinds = (("bool", (bool, np.bool_)), ("string", str), ("float", (float, np.floating)))
    return next((kind for kind, types in kinds if isinstance(token, types)), "int")


def _as_arrays(rows: Sequence[Any]) -> Sequence[Any]:
    """Return sequences that NumPy can read: tensors become arrays."""
    if set(map(type, rows)) <= {list, tuple, np.ndarray}:
        return rows
    return [np.asarray(row) if hasattr(row, "__array__") else row for row in rows]


def _pad_group(
    group: ColumnGroup, lists: Mapping[str, Sequence[Any]], values: Mapping[str, Sequence[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """Return the padded columns of a group, the mask and the lengths of the group, keyed by name."""
    first = group.columns[0].name
    ragged = {column.name: _flatten(lists[column.name], column) for column in group.columns}
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


def _numbers_of(values: Mapping[str, Sequence[Any]], spec: PadSpec, name: str) -> list[Any]:
    """Return the values of a column, with NumPy numbers and tensors as Python numbers."""
    if name not in values:
        raise unknown_column(name, values, "keep_first" if name == spec.keep_first else "keep_last")
    return list(map(_plain, values[name]))


def _plain(value: Any) -> Any:
    """Return the Python number of a NumPy number or a tensor; return other values unchanged."""
    return value.item() if hasattr(value, "item") else value


def _flatten(rows: Sequence[Any], column: PadColumn) -> Ragged:
    """Return the tokens of a column, and check that the tokens fit the dtype of the column."""
    try:
        ragged = flatten(rows, column.kind)
        if column.kind == "bool":
            ragged = Ragged(ragged.values.astype(bool), ragged.starts, ragged.lengths)
        else:
            refuse_bools(rows, ragged.values)
    except DataError as error:
        named = error.reworded(f"Column {column.name!r}: {error}")
        named.column = column.name
        raise named from None
    raise_first_fault([replace(fault, column=column.name) for fault in find_misfits(ragged, column.dtype)])
    return ragged


def _check_ones(name: str, mask: Sequence[Any], tokens: Sequence[Any]) -> None:
    """Raise an error if the lengths of a mask and the tokens differ, or if the mask marks padding."""
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


def _stack(values: Sequence[Any]) -> Any:
    """Return numbers and bools as an array of shape (rows,), and other values as a list."""
    if all(isinstance(value, (bool, np.bool_)) for value in values):
        return np.array(values, dtype=bool)
    if not all(_is_number(value) for value in values):
        return list(values)
    array = np.array(list(map(_plain, values)))
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _is_number(value: Any) -> bool:
    if isinstance(value, (int, float, np.integer, np.floating)):
        return not isinstance(value, bool)
    return hasattr(value, "__array__") and np.asarray(value).ndim == 0
