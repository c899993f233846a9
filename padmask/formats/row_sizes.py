"""Split record batches by the number of values in each row, to limit memory use.

An average row size does not limit memory use, because long rows may follow short rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import has_text_offsets, shared_list_lengths, text_offsets, to_numpy

# Number of bytes of text that count as one value.
VALUE_BYTES = 4

Sizes = npt.NDArray[np.float64]


def row_sizes(batch: pa.RecordBatch) -> Sizes:
    """Return the number of values in each row, summed over all columns. 4 bytes of text count as one value.

    >>> row_sizes(pa.record_batch({"ids": [[1, 2, 3], []], "n": [1, 2]})).tolist()
    [4.0, 1.0]
    """
    sizes = np.zeros(batch.num_rows)
    for column in batch.columns:
        sizes += _sizes(column)
    return sizes


def _sizes(array: pa.Array) -> Sizes:
    """Return the number of values in each slot of an array."""
    type_ = array.type
    width = _fixed_width(type_)
    if width is not None:
        return np.full(len(array), width)
    shared = shared_list_lengths(array)
    if shared is not None:
        # If rows share values, their lengths are the number of values.
        return shared.astype(np.float64)
    if isinstance(array, pa.ExtensionArray):
        return _sizes(array.storage)
    if pat.is_dictionary(type_):
        indices = to_numpy(array.indices.fill_null(0)).astype(np.int64)
        # Null rows have no index, and the dictionary may be empty.
        return np.append(_sizes(array.dictionary), 1.0)[indices]
    if pat.is_struct(type_):
        return np.asarray(np.sum([_sizes(array.field(i)) for i in range(type_.num_fields)], axis=0))
    if pat.is_fixed_size_list(type_):
        first, size = array.offset * type_.list_size, type_.list_size
        values = _sizes(array.values.slice(first, len(array) * size))
        return np.asarray(values.reshape(len(array), size).sum(axis=1))
    if pat.is_list(type_) or pat.is_large_list(type_) or pat.is_map(type_):
        return _list_sizes(array)
    if has_text_offsets(type_):
        return 1 + np.diff(text_offsets(array)) / VALUE_BYTES
    # For views and other types without a fixed width, use the average.
    return np.full(len(array), max(1.0, array.nbytes / VALUE_BYTES / max(1, len(array))))


def _fixed_width(type_: pa.DataType) -> float | None:
    """Return the number of values in each slot of an array of a type; None if slots of the type can differ.

    >>> _fixed_width(pa.list_(pa.float32(), 3)), _fixed_width(pa.list_(pa.float32()))
    (3.0, None)
    """
    if isinstance(type_, pa.BaseExtensionType):
        return _fixed_width(type_.storage_type)
    if pat.is_fixed_size_list(type_):
        inner = _fixed_width(type_.value_type)
        return None if inner is None else float(inner * type_.list_size)
    if pat.is_struct(type_):
        widths = [_fixed_width(field.type) for field in type_]
        known = [width for width in widths if width is not None]
        return max(1.0, sum(known)) if len(known) == len(widths) else None
    if pat.is_fixed_size_binary(type_):
        return max(1.0, float(type_.byte_width) / VALUE_BYTES)
    return 1.0 if pat.is_primitive(type_) or pat.is_null(type_) or pat.is_decimal(type_) else None


def _list_sizes(array: pa.Array) -> Sizes:
    if len(array) == 0:
        return np.zeros(0)
    offsets = to_numpy(array.offsets).astype(np.int64)
    width = _fixed_width(array.values.type)
    if width is not None:
        return np.diff(offsets) * width
    first, last = int(offsets[0]), int(offsets[-1])
    totals = np.concatenate([[0.0], np.cumsum(_sizes(array.values.slice(first, last - first)))])
    return np.diff(offsets) + np.diff(totals[offsets - first])


def cut_points(sizes: Sizes, most_rows: int, most_values: int) -> list[int]:
    """Return the row numbers at which slices of limited size end. Every slice has at least one row.

    >>> cut_points(np.array([4.0, 4.0, 1.0, 1.0, 1.0]), most_rows=2, most_values=5)
    [1, 3, 5]

    Args:
        sizes: number of values in each row: shape (rows,).
        most_rows, most_values: maximum number of rows and of values in a slice.
    """
    ends, start, cuts = np.cumsum(sizes), 0, list[int]()
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        full = int(np.searchsorted(ends, before + most_values, side="right"))
        start = min(max(start + 1, full), start + most_rows)
        cuts.append(start)
    return cuts


def slices(batch: pa.RecordBatch, most_rows: int, most_values: int) -> Iterator[tuple[pa.RecordBatch, float]]:
    """Split a batch into slices of limited size. Yield each slice with its number of values."""
    sizes, start = row_sizes(batch), 0
    for stop in cut_points(sizes, most_rows, most_values):
        yield batch.slice(start, stop - start), float(sizes[start:stop].sum())
        start = stop


def regroup(batches: Iterable[pa.RecordBatch], most_rows: int, most_values: int) -> Iterator[pa.RecordBatch]:
    """Join small batches and split large batches, so that each batch has about `most_values` values.

    Args:
        batches: batches with the same columns.
        most_rows, most_values: maximum number of rows and of values in a batch. A single row may have more
            values.
    """
    pending: list[pa.RecordBatch] = []
    rows, values = 0, 0.0
    for batch in batches:
        for piece, more in slices(batch, most_rows, most_values):
            if pending and (rows + piece.num_rows > most_rows or values + more > most_values):
                yield _join(pending)
                pending, rows, values = [], 0, 0.0
            pending.append(piece)
            rows, values = rows + piece.num_rows, values + more
    if pending:
        yield _join(pending)


def _join(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
