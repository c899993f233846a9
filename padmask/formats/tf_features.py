"""Choose how `tf.train.Example` stores Arrow columns, and write the function that parses the examples.

This module does not import TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import is_list, storage_type
from padmask.spec.warning_names import Warned

# The fields of `tf.train.Feature`. A feature has values in one of them.
ValueList = Literal["int64_list", "float_list", "bytes_list"]

_DTYPES: Mapping[ValueList, str] = {
    "int64_list": "tf.int64",
    "float_list": "tf.float32",
    "bytes_list": "tf.string",
}


_BYTES = (
    *(pat.is_string, pat.is_large_string, pat.is_string_view),
    *(pat.is_binary, pat.is_large_binary, pat.is_binary_view, pat.is_fixed_size_binary),
)


def value_list(type_: pa.DataType) -> ValueList | None:
    """Return the field of `tf.train.Feature` for scalars of an Arrow type; None if there is no field.

    >>> value_list(pa.bool_()), value_list(pa.float64()), value_list(pa.date32())
    ('int64_list', 'float_list', None)
    """
    type_ = storage_type(type_)
    if pat.is_boolean(type_) or pat.is_integer(type_):
        return "int64_list"
    if pat.is_floating(type_):
        return "float_list"
    return "bytes_list" if any(is_kind(type_) for is_kind in _BYTES) else None


def why_no_feature(type_: pa.DataType) -> str | None:
    """Return the name of a type that `tf.train.Example` cannot store; None for any other type.

    >>> why_no_feature(pa.list_(pa.int32())), why_no_feature(pa.list_(pa.list_(pa.int32())))
    (None, 'list<item: list<item: int32>>')
    """
    inner = storage_type(type_).value_type if is_list(type_) else type_
    return None if value_list(inner) is not None else str(type_)


@dataclass(frozen=True)
class Feature:
    """How an example stores a column.

    Args:
        name: name of the column.
        values: field of `tf.train.Feature` that stores the values, such as `"int64_list"`.
        depth: number of nested lists: 0 for one value per row, 1 for a list, 2 for a list of vectors.
        shape: shape of every row; None if rows differ in length.
        padded: whether the column is a padded column or a mask.
    """

    name: str
    values: ValueList
    depth: int
    shape: tuple[int, ...] | None
    padded: bool = False

    def parser(self, inner: int | None = None, *, has_nulls: bool = False) -> str:
        """Return Python code for the feature with which TensorFlow parses the column.

        >>> Feature("ids", "int64_list", 1, (128,)).parser()
        'tf.io.FixedLenFeature([128], tf.int64)'
        >>> Feature("ids", "int64_list", 1, None).parser()
        'tf.io.RaggedFeature(tf.int64)'

        Args:
            inner: length of the vectors, for a column of vectors whose rows differ in length.
            has_nulls: whether some rows are null. The examples of these rows do not have the feature.
        """
        dtype = _DTYPES[self.values]
        if self.shape is None and self.depth == 2 and inner:
            return f"tf.io.RaggedFeature({dtype}, partitions=[tf.io.RaggedFeature.UniformRowLength({inner})])"
        if self.shape is None or has_nulls or 0 in self.shape:
            return f"tf.io.RaggedFeature({dtype})"
        return f"tf.io.FixedLenFeature({list(self.shape)}, {dtype})"


def features_of(
    schema: pa.Schema, shapes: Mapping[str, tuple[int, ...]], ragged: Sequence[str]
) -> list[Feature]:
    """Return the features of the columns that an example can store.

    Args:
        schema: columns of the output.
        shapes: shape of the rows of padded columns, masks and lengths.
        ragged: names of padded columns whose rows differ in length.
    """
    found = []
    for field in schema:
        type_, depth = field.type, 0
        while is_list(type_):
            type_, depth = storage_type(type_).value_type, depth + 1
        values = value_list(type_)
        known = field.name in shapes or field.name in ragged
        if values is not None and (depth <= 1 or (depth == 2 and known)):
            shape = shapes.get(field.name, () if depth == 0 else None)
            found.append(Feature(field.name, values, depth, shape, known))
    return found


def describe_features(column_notes: Mapping[str, str]) -> tuple[Sequence[Warned], Sequence[str]]:
    """Return a warning about columns missing from the output, and a remark with the parsing function.

    >>> warnings, remarks = describe_features({"ids": "tf.io.RaggedFeature(tf.int64)", "day": "date32[day]"})
    >>> print(*warnings)
    not written: 'day' (date32[day]). TFRecord stores numbers, bools, text and lists of them. To keep all ...
    >>> print(*remarks, sep="\\n")
    To read the rows: tf.data.TFRecordDataset(FILE).map(parse)
    def parse(record):
        return tf.io.parse_single_example(record, {
            'ids': tf.io.RaggedFeature(tf.int64),
        })
    """
    parsers = {name: note for name, note in column_notes.items() if note.startswith("tf.io.")}
    left_out = [f"{name!r} ({note})" for name, note in column_notes.items() if name not in parsers]
    warning = (
        f"not written: {', '.join(left_out)}. TFRecord stores numbers, bools, text and lists of them. To "
        "keep all columns, write Parquet"
    )
    remarks = [
        "To read the rows: tf.data.TFRecordDataset(FILE).map(parse)",
        "def parse(record):",
        "    return tf.io.parse_single_example(record, {",
        *(f"        {name!r}: {parser}," for name, parser in parsers.items()),
        "    })",
    ]
    return [Warned("column-not-written", warning)] if left_out else [], remarks if parsers else []
