"""Write TFRecord files with one `tf.train.Example` for each row. TensorFlow writes the records."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pat
import tensorflow as tf

from padmask.core.arrow_lists import list_windows, null_flags, to_numpy, without_wrappers
from padmask.errors import OutputError, column_flags
from padmask.formats.contract import Batch, Layout, WriterOptions
from padmask.formats.tf_features import Feature, features_of, why_no_feature

_COPY_BYTES = 1 << 20

# float32 represents each integer below this number exactly.
LARGE_FLOAT = 1 << 24


@dataclass(frozen=True)
class _Column:
    """The values of a column for each row of a batch. The values of row i end at `ends[i]`.

    Args:
        values: values of all rows, in a list.
        ends: end of each row in `values`: int64, shape (rows,).
        nulls: whether each row is null: bool, shape (rows,).
        inner: length of the vectors; None if the values are not vectors, or if there is no vector.
    """

    values: list[Any]
    ends: list[int]
    nulls: npt.NDArray[np.bool_]
    inner: int | None = None


@dataclass(frozen=True)
class _Encoded:
    """Serialized rows, and the column properties that determine the Python code for parsing the rows.

    Args:
        records: serialized `tf.train.Example` of each row.
        with_nulls: names of the columns that have null rows.
        inner: length of the vectors in a column of vectors, keyed by column name.
    """

    records: list[bytes]
    with_nulls: set[str]
    inner: dict[str, int]


class TFRecordWriter:
    """Writer for an uncompressed TFRecord file.

    TensorFlow writes the records of each batch to a temporary file, and the writer copies the bytes to the
    stream. TFRecord files can be concatenated.
    """

    def __init__(self, stream: BinaryIO, layout: Layout, options: WriterOptions) -> None:
        self._stream, self._notes = stream, options.column_notes
        self._features = features_of(layout.schema, layout.shapes, list(layout.ragged))
        known = {feature.name for feature in self._features}
        for field in layout.schema:
            if field.name not in known:
                self._notes[field.name] = why_no_feature(field.type) or str(field.type)
        for feature in self._features:
            self._notes[feature.name] = feature.parser()
        # TensorFlow needs a path. An unnamed file has a path in /proc. The system removes the file even if
        # the process is killed.
        unnamed = os.path.isdir("/proc/self/fd")
        create = tempfile.TemporaryFile if unnamed else tempfile.NamedTemporaryFile
        self._file: Any = create(prefix="padmask-", dir=options.folder)
        self._path = f"/proc/self/fd/{self._file.fileno()}" if unnamed else self._file.name
        self._with_nulls: set[str] = set()
        self._inner: dict[str, int] = {}

    def encode(self, batch: Batch) -> _Encoded:
        columns = {f: _read(batch, batch.columns.column(f.name), f) for f in self._features}
        with_nulls = {feature.name for feature, column in columns.items() if column.nulls.any()}
        inner = {f.name: column.inner for f, column in columns.items() if column.inner is not None}
        records = [_record(columns, row) for row in range(len(batch))]
        return _Encoded(records, with_nulls, inner)

    def append(self, encoded: _Encoded) -> None:
        self._with_nulls |= encoded.with_nulls
        self._inner |= encoded.inner
        with tf.io.TFRecordWriter(self._path) as writer:
            for record in encoded.records:
                writer.write(record)
        self._file.seek(0)
        shutil.copyfileobj(self._file, self._stream, _COPY_BYTES)

    def finish(self) -> None:
        for feature in self._features:
            name = feature.name
            parser = feature.parser(self._inner.get(name, 0), has_nulls=name in self._with_nulls)
            self._notes[name] = parser
        self._file.close()

    def abandon(self) -> None:
        self._file.close()


def _record(columns: dict[Feature, _Column], row: int) -> bytes:
    """Return the serialized example of a row."""
    example = tf.train.Example()
    for feature, column in columns.items():
        if not column.nulls[row]:
            values = column.values[column.ends[row - 1] if row else 0 : column.ends[row]]
            stored = getattr(example.features.feature[feature.name], feature.values)
            # An empty list is stored as an empty feature. A null row has no feature.
            stored.SetInParent()
            stored.value.extend(values)
    # The order of the features would otherwise differ between runs.
    record: bytes = example.SerializeToString(deterministic=True)
    return record


def _read(batch: Batch, column: pa.Array, feature: Feature) -> _Column:
    """Return the values of a column. Check that an example can store them.

    Raises:
        OutputError: an example cannot store a value.
    """
    rows = without_wrappers(column)
    nulls, inner = null_flags(rows), None
    if feature.depth == 0:
        owner, values = np.flatnonzero(~nulls), rows.drop_null()
        ends = np.cumsum(~nulls)
    else:
        starts, lengths, values = list_windows(rows)
        lengths = np.where(nulls, 0, lengths)
        places = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        owner = np.repeat(np.arange(len(rows)), lengths)
        if len(places) != len(values) or not np.array_equal(places, np.arange(len(places))):
            values = values.take(pa.array(places))
        if feature.depth == 2:
            _, sizes, values = list_windows(values)
            inner = int(sizes[0]) if len(sizes) else None
            owner, lengths = np.repeat(owner, sizes), lengths * (inner or 0)
        ends = np.cumsum(lengths)
    return _Column(_checked(batch, feature, without_wrappers(values), owner), ends.tolist(), nulls, inner)


def _checked(batch: Batch, feature: Feature, values: pa.Array, owner: npt.NDArray[np.int64]) -> list[Any]:
    """Return the values as a list of integers, floats or bytes.

    Args:
        batch: the rows, for messages.
        feature: how an example stores the values.
        values: values of all rows.
        owner: row of each value: int64, shape (values,).
    """
    found: list[Any]
    bad, why = null_flags(values), "the list contains a null"
    if feature.values == "bytes_list":
        found = [value.encode() if isinstance(value, str) else value for value in values.to_pylist()]
    elif bad.any():
        found = []
    else:
        numbers = to_numpy(values)
        if pat.is_uint64(values.type):
            bad, why = numbers > np.uint64(2**63 - 1), "the number does not fit int64"
        elif pat.is_float64(values.type):
            with np.errstate(over="ignore"):
                single = numbers.astype(np.float32)
            bad = (single != numbers) & ~np.isnan(numbers)
            if batch.unit == "line" and not feature.padded:
                # The rows come from JSON, which does not say how exact its floats are.
                bad &= np.abs(numbers) >= LARGE_FLOAT
            why = "float32, the only float type of TFRecord, would change the number"
        found = numbers.astype(np.int64).tolist() if feature.values == "int64_list" else numbers.tolist()
    if bad.any():
        token = int(np.argmax(bad))
        shown = f" {values[token].as_py()}" if values[token].is_valid else ""
        raise OutputError(
            f"{why}{':' if shown else ''}{shown}",
            place=batch.place(int(owner[token])),
            column=feature.name,
            remedy=f"{_remedy(feature)}, or write Parquet.",
            options=["output_format"],
        )
    return found


def _remedy(feature: Feature) -> str:
    if not feature.padded:
        return "Convert the values, remove the column"
    wide = feature.values == "float_list"
    return f"Choose {column_flags([f'{feature.name}:float32'])}" if wide else "Choose smaller values"
