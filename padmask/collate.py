"""`Collator`: pad batches of rows in memory, for the data loader of a training framework."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.columns import PadColumn, asked_dtype, choose_columns
from padmask.core.companions import ONES, choose_together, list_names, own_groups
from padmask.core.first_rows import FirstRows
from padmask.core.keep_ends import Ends, find_large_ends, read_ends
from padmask.core.kernel import pad_batch
from padmask.core.length_stats import LengthStats
from padmask.core.masks import make_mask
from padmask.core.padding import check_names
from padmask.core.plan import make_plan
from padmask.core.planners import make_segments
from padmask.core.python_rows import flatten, refuse_bools
from padmask.core.ragged import Ragged, find_misfits
from padmask.core.table import ColumnGroup, unequal_fault
from padmask.errors import DataError, Fault, MissingExtraError, PaddedError, SpecError
from padmask.spec.checks import choice, or_default
from padmask.spec.columns import Column, Columns, as_list
from padmask.spec.keywords import spec_with
from padmask.spec.pad import DEFAULT_DTYPE, MaskSpec, PadSpec

Framework = Literal["numpy", "torch", "tensorflow", "jax"]

# For each framework, the module and the function that converts a NumPy array.
_CONVERTERS = {
    "torch": ("torch", "from_numpy"),
    "tensorflow": ("tensorflow", "convert_to_tensor"),
    "jax": ("jax.numpy", "asarray"),
}

# Arrow types of tokens, by kind. Python floats have no width, so they become float32.
_TYPES = {"int": pa.int64(), "float": pa.float32(), "string": pa.string(), "bool": pa.bool_()}


@dataclass(frozen=True)
class _Choice:
    """The columns to pad, and the input mask that the new mask replaces.

    Args:
        groups: columns to pad together. The first group has the ids.
        ones: name of the input mask that must contain only ones; None if there is no such mask.
        dropped: names of the input columns that the batch does not have.
    """

    groups: Sequence[ColumnGroup]
    ones: str | None
    dropped: Sequence[str]


class Collator:
    """Pad a list of rows to a dict of arrays. A data loader can use an instance as `collate_fn`.

    >>> collate = Collator(pad_to_multiple_of=4)
    >>> rows = [{"id": 3, "input_ids": [7, 8], "labels": [1, 0]}, {"id": 4, "input_ids": [9], "labels": [1]}]
    >>> batch = collate(rows)
    >>> batch["labels"].tolist(), batch["mask"].sum(axis=1).tolist(), batch["id"].tolist()
    ([[1, 0, -100, -100], [1, -100, -100, -100]], [2, 1], [3, 4])

    Args:
        spec: how to pad; default `PadSpec()`, which pads each batch to its longest row.
        columns: as in `pad_table`. By default, companions such as `labels` are padded together with the ids.
        mask: mask to add; default `MaskSpec()`. The mask replaces an `attention_mask` that contains only
            ones.
        framework: `"numpy"`, `"torch"`, `"tensorflow"` or `"jax"`: the type of the arrays. For torch, ids are
            int64 unless a dtype is set.
        options: fields of `PadSpec`, which override `spec`.

    Raises:
        SpecError: an argument is not valid.
        MissingExtraError: the framework is not installed.

    Source: `DataCollatorWithPadding` of Hugging Face, which pads only the columns that its tokenizer knows.
    """

    def __init__(
        self,
        spec: PadSpec | None = None,
        *,
        columns: Columns = None,
        mask: MaskSpec | None = None,
        framework: Framework = "numpy",
        **options: Any,
    ) -> None:
        self.spec = spec_with(spec, options)
        self.columns, self.mask = as_list(columns), or_default("mask", mask, MaskSpec)
        self.framework = choice(("numpy", *_CONVERTERS))("framework", framework)
        if self.spec.windows is not None:
            raise SpecError(
                "A batch has one output row for each input row, so `Collator` makes no windows. Split long "
                "rows with `pad_table` or `pad_file`.",
                options=["windows"],
            )
        _to_framework(np.zeros(0), self.framework)
        self._choices: dict[tuple[Any, ...], _Choice] = {}

    def __call__(self, rows: Iterable[Any]) -> dict[str, Any]:
        """Pad a batch.

        Args:
            rows: dicts with the same keys, or sequences of tokens, which become `input_ids`. A value is a
                sequence of tokens or vectors (a list, a NumPy array or a tensor), a number, or another
                object.

        Returns:
            A dict with the keys of the rows and of the added masks. Padded columns have the shape (rows,
            maxlen, ...). Numbers become an array of shape (rows,). Other values stay a list.

        Raises:
            DataError: a row cannot be padded.
            SpecError: the rows do not have a requested column.
        """
        values = _columns_of(list(rows), self.columns)
        fields = [(name, _list_type(its)) for name, its in values.items()]
        lists = {name: _as_arrays(values[name]) for name, type_ in fields if type_ is not None}
        chosen = self._choose(tuple((name, type_) for name, type_ in fields if type_ is not None))
        arrays: dict[str, npt.NDArray[Any]] = {}
        for group in chosen.groups:
            arrays |= _pad_group(group, lists, values)
        if chosen.ones is not None:
            _check_ones(chosen.ones, lists[chosen.ones], lists[chosen.groups[0].columns[0].name])
        batch: dict[str, Any] = {}
        for name, its in values.items():
            if name in arrays or name in chosen.dropped:
                continue
            batch[name] = its if name in lists else _stack(its)
        result = {name: batch.get(name, arrays.get(name)) for name in values if name not in chosen.dropped}
        result |= {name: array for name, array in arrays.items() if name not in result}
        return {name: _to_framework(its, self.framework) for name, its in result.items()}

    def _choose(self, fields: tuple[tuple[str, pa.DataType], ...]) -> _Choice:
        """Choose the columns to pad from the names and types of the sequences. The choice is stored."""
        if fields not in self._choices:
            self._choices[fields] = self._new_choice(pa.schema(list(fields)))
        return self._choices[fields]

    def _new_choice(self, schema: pa.Schema) -> _Choice:
        names = list_names(schema)
        # A batch has few rows, so its lengths decide nothing: companions are found by their names.
        same = FirstRows({name: np.ones(1, dtype=np.int64) for name in names}, {})
        found = choose_together(schema, self.columns, self.spec, self.mask, same, ones=ONES in names)
        groups = [ColumnGroup(self._resolve(schema, found.columns, self.spec), self.spec, found.mask)]
        for column, alone, mask in own_groups(schema, self.columns, self.spec, self.mask):
            groups.append(ColumnGroup(self._resolve(schema, [column], alone), alone, mask))
        columns = [column for group in groups for column in group.columns]
        check_names(schema, columns, found.mask, found.replaced)
        return _Choice(groups, found.ones, found.dropped)

    def _resolve(self, schema: pa.Schema, columns: Sequence[Column], spec: PadSpec) -> list[PadColumn]:
        """Return the columns with their dtypes. Embeddings and losses of torch need int64."""
        resolved = choose_columns(schema, columns, spec)
        if self.framework != "torch":
            return resolved
        return [
            replace(new, dtype="int64")
            if new.dtype == DEFAULT_DTYPE and asked_dtype(old, spec) is None
            else new
            for old, new in zip(columns, resolved, strict=True)
        ]


def _columns_of(rows: list[Any], columns: Columns) -> dict[str, list[Any]]:
    """Return the values of each column."""
    if not rows:
        raise DataError("The batch has no rows. Set `drop_last` or check the sampler of the data loader.")
    if not isinstance(rows[0], Mapping):
        names = [column if isinstance(column, str) else column.name for column in columns or ["input_ids"]]
        return {names[0]: rows}
    keys = rows[0].keys()
    for number, row in enumerate(rows):
        # isinstance is slow for abstract classes.
        if not (type(row) is dict or isinstance(row, Mapping)) or row.keys() != keys:
            odd = sorted(map(str, keys ^ row.keys())) if isinstance(row, Mapping) else []
            raise DataError(
                f"Row {number} does not have the same keys as row 0: {', '.join(odd) or type(row).__name__}. "
                "Pass rows with the same keys."
            )
    return {name: [row[name] for row in rows] for name in keys}


def _list_type(values: Sequence[Any]) -> pa.DataType | None:
    """Return the Arrow type of a column of sequences, from the first row with tokens; None for others."""
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
    """Return the padded columns of a group, its mask and its lengths, by name."""
    first = group.columns[0].name
    ragged = {column.name: _flatten(lists[column.name], column) for column in group.columns}
    lengths = ragged[first].lengths
    for name, its in ragged.items():
        if name != first and not np.array_equal(its.lengths, lengths):
            row = int(np.flatnonzero(its.lengths != lengths)[0])
            _raise_first([unequal_fault(row, first, ragged[first], name, its)])
    plan = make_plan(group.spec, LengthStats.of(lengths))
    ends: Ends | None = None
    if group.spec.end_columns:
        ends, faults = read_ends(group.spec, len(lengths), lambda name: list(map(int, values[name])))
        _raise_first([*faults, *find_large_ends(lengths, ends, plan, group.spec)])
    segments = make_segments(lengths, plan, group.spec, ends)
    real, mask = make_mask(segments), group.mask
    arrays = {
        column.name: pad_batch(
            ragged[column.name], segments, value=column.value, dtype=column.numpy_dtype, mask=real
        ).values
        for column in group.columns
    }
    if mask.column is not None:
        arrays[mask.column] = real if mask.dtype in (None, "bool") else real.astype(mask.dtype)
    if mask.length_column is not None:
        arrays[mask.length_column] = segments.lengths.astype(np.int32)
    return arrays


def _flatten(rows: Sequence[Any], column: PadColumn) -> Ragged:
    """Return the tokens of a column, and check that they fit its dtype."""
    try:
        ragged = flatten(rows, column.kind)
        if column.kind == "bool":
            ragged = Ragged(ragged.values.astype(bool), ragged.starts, ragged.lengths)
        else:
            refuse_bools(rows, ragged.values)
    except DataError as error:
        raise error.reworded(f"Column {column.name!r}: {error}") from None
    _raise_first([replace(fault, column=column.name) for fault in find_misfits(ragged, column.dtype)])
    return ragged


def _check_ones(name: str, mask: Sequence[Any], tokens: Sequence[Any]) -> None:
    """Raise an error if a mask has other lengths than the tokens, or marks padding."""
    ones, ids = flatten(mask), list(map(len, tokens))
    if ones.lengths.tolist() != ids:
        row = next(i for i, (one, other) in enumerate(zip(ones.lengths, ids, strict=True)) if one != other)
        raise DataError(
            f"Row {row}, column {name!r}: the mask has {ones.lengths[row]} values, but the row has "
            f"{ids[row]} tokens. Fix the row."
        )
    if not (ones.values == 1).all():
        row = next(i for i, its in enumerate(mask) if not all(value == 1 for value in its))
        raise PaddedError(
            f"Row {row}, column {name!r}: the mask contains a value other than 1, so the rows are padded "
            "already. Pass rows without padding, or remove the mask from the rows."
        )


def _stack(values: Sequence[Any]) -> Any:
    """Return numbers and bools as an array of shape (rows,), and other values as a list."""
    if all(isinstance(value, (bool, np.bool_)) for value in values):
        return np.array(values, dtype=bool)
    if not all(_is_number(value) for value in values):
        return list(values)
    array = np.array([value.item() if hasattr(value, "item") else value for value in values])
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _is_number(value: Any) -> bool:
    if isinstance(value, (int, float, np.integer, np.floating)):
        return not isinstance(value, bool)
    return hasattr(value, "__array__") and np.asarray(value).ndim == 0


def _to_framework(array: Any, framework: str) -> Any:
    """Convert an array of numbers. Lists and arrays of strings stay as they are."""
    if framework == "numpy" or not isinstance(array, np.ndarray) or array.dtype.kind == "O":
        return array
    module, function = _CONVERTERS[framework]
    try:
        convert = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"`framework` {framework!r} needs the package {error.name}, which is not installed. Install it "
            f"with pip install {framework}."
        ) from None
    return convert(array)


def _raise_first(faults: Sequence[Fault]) -> None:
    if faults:
        first = min(faults, key=lambda fault: fault.row)
        raise DataError(f"Row {first.row}, {first}.")
