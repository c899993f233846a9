"""Update the schema metadata of other tools after columns change. Drop metadata that cannot be updated.

Spark, Hugging Face `datasets` and pandas write a description of the columns to the file metadata. When
these tools read the file, the description takes precedence over the actual column types.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from padmask.core.metadata import METADATA_KEY

HUGGING_FACE = b"huggingface"

SPARK = b"org.apache.spark.sql.parquet.row.metadata"

PANDAS = b"pandas"

# Prefixes of metadata keys whose values are schemas that padmask cannot rewrite: the schemas of Avro,
# Iceberg, Protobuf, Thrift, Pig and Petastorm.
_OTHER_SCHEMAS = (
    b"parquet.avro.schema",
    b"avro.schema",
    b"iceberg.schema",
    b"parquet.proto.",
    b"thrift.",
    b"pig.schema",
    b"dataset-toolkit.",
    b"writer.model.name",
)

# Prefixes of field metadata keys that describe the type: extension types, Iceberg ids, Polars categories.
_ABOUT_TYPES = (b"ARROW:", b"PARQUET:", b"_PL_")

# Spark names of Arrow types. Spark reads unsigned integers as wider signed integers.
_SPARK_NAMES = {
    "bool": "boolean",
    "int8": "byte",
    "int16": "short",
    "uint8": "short",
    "int32": "integer",
    "uint16": "integer",
    "int64": "long",
    "uint32": "long",
    "float": "float",
    "double": "double",
    "string": "string",
    "large_string": "string",
}

# Names of float types in `datasets` and pandas.
_FLOATS = {"float": "float32", "double": "float64", "halffloat": "float16"}


@dataclass(frozen=True)
class _Change:
    """The schema before and after a change of columns.

    Args:
        before: schema of the input.
        after: schema of the output.
        changed: names of the columns in `after` that are new or have different values.
    """

    before: pa.Schema
    after: pa.Schema
    changed: Collection[str]

    def keeps(self, name: str) -> bool:
        """Return whether the values and the type of a column are unchanged."""
        return name not in self.changed and name in self.before.names and self.keeps_type(name)

    def keeps_type(self, name: str) -> bool:
        """Return whether the type of a column is unchanged."""
        place = self.before.get_field_index(name)
        return place >= 0 and bool(self.before.field(place).type == self.after.field(name).type)


def carry_metadata(
    before: pa.Schema, after: pa.Schema, changed: Collection[str], own: Mapping[bytes, bytes] | None = None
) -> pa.Schema:
    """Return the schema `after`, with the metadata of `before` that is still correct.

    The column descriptions of Spark, `datasets` and pandas are updated. If the columns change, the column
    descriptions of other tools are dropped. An old description of padding is always dropped.

    >>> features = {"y": {"names": ["no", "yes"], "_type": "ClassLabel"}}
    >>> named = {"huggingface": json.dumps({"info": {"features": features}})}
    >>> before = pa.schema([("y", pa.int64()), ("x", pa.list_(pa.int64()))], metadata=named)
    >>> after = pa.schema([("y", pa.int64()), ("x", pa.list_(pa.int32()))])
    >>> class_names(carry_metadata(before, after, ["x"]))
    {'y': ['no', 'yes']}

    Args:
        before: schema of the input, with all metadata.
        after: schema of the output.
        changed: names of the columns in `after` that are new or have different values.
        own: metadata of padmask to add, such as a description of the padding.
    """
    types = after if after.equals(before) else without_field_ids(after)
    return types.with_metadata(_metadata_to_keep(before, after, changed) | dict(own or {}))


def _metadata_to_keep(before: pa.Schema, after: pa.Schema, changed: Collection[str]) -> dict[bytes, bytes]:
    change = _Change(before, after, changed)
    same = after.equals(before)
    kept: dict[bytes, bytes] = {}
    for key, value in (before.metadata or {}).items():
        rewrite = _REWRITERS.get(key)
        new = value
        if rewrite is not None:
            new = _rewritten(rewrite, value, change)
        elif key == METADATA_KEY or (not same and key.startswith(_OTHER_SCHEMAS)):
            continue
        if new is not None:
            kept[key] = new
    return kept


_Rewriter = Callable[[Any, _Change], Any]


def _rewritten(rewrite: _Rewriter, value: bytes, change: _Change) -> bytes | None:
    """Return a JSON description of the columns after the change; None if it cannot be parsed or updated."""
    try:
        new = rewrite(json.loads(value), change)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return None if new is None else json.dumps(new).encode()


def _spark(row: Any, change: _Change) -> Any:
    """Return Spark's description of the columns after the change; None if Spark has no name for a type.

    Args:
        row: Spark's description of the columns before the change.
        change: the columns before and after the change.
    """
    old = {field["name"]: field for field in row["fields"]}
    fields = []
    for field in change.after:
        known, entry = _spark_type(field.type), old.get(field.name)
        if change.keeps(field.name):
            if entry is None:
                return None
            # The description is from the first file of a dataset, and other files may have other types.
            described = known is None or _spark_nullable(entry["type"]) == known
            fields.append(entry if described else entry | {"type": known})
        elif known is None:
            return None
        else:
            metadata = {} if entry is None else entry.get("metadata", {})
            fields.append({"name": field.name, "type": known, "nullable": True, "metadata": metadata})
    return {"type": "struct", "fields": fields}


def _spark_type(type_: pa.DataType) -> Any:
    """Return a type in Spark's JSON format; None for types other than numbers, text, bools and lists."""
    if not _is_plain_list(type_):
        return _SPARK_NAMES.get(str(type_))
    item = _spark_type(type_.value_type)
    return item and {"type": "array", "elementType": item, "containsNull": True}


def _number_name(type_: pa.DataType) -> str:
    return _FLOATS.get(str(type_), str(type_))


def _is_plain_list(type_: pa.DataType) -> bool:
    return bool(pat.is_list(type_) or pat.is_large_list(type_) or pat.is_fixed_size_list(type_))


def _spark_nullable(type_: Any) -> Any:
    if not isinstance(type_, dict) or type_.get("type") != "array":
        return "string" if str(type_).startswith(("char(", "varchar(")) else type_
    return type_ | {"containsNull": True, "elementType": _spark_nullable(type_["elementType"])}


def _hugging_face(stored: Any, change: _Change) -> Any:
    """Return the description that `datasets` would write for the columns after the change."""
    old = stored["info"]["features"]
    features = {}
    for field in change.after:
        entry = old.get(field.name)
        same = change.keeps(field.name) or (change.keeps_type(field.name) and _has_no_shape(entry))
        new = entry if same else _feature(field.type)
        if new is not None:
            features[field.name] = new
    return {"info": {"features": features}}


def _has_no_shape(feature: Any) -> bool:
    """Return whether a feature of `datasets` is valid for lists of any length.

    Such a feature is also valid after the lists are padded. It describes numbers, text or class labels, or
    lists of these values that do not have a fixed length.
    """
    while isinstance(feature, dict) and feature.get("_type") in ("List", "LargeList", "Sequence"):
        if feature.get("length", -1) not in (-1, None):
            return False
        feature = feature.get("feature")
    return isinstance(feature, dict) and feature.get("_type") in ("Value", "ClassLabel")


def _feature(type_: pa.DataType) -> Any:
    """Return the `datasets` feature of a number, text, bool or list type; None for other types."""
    if _is_plain_list(type_):
        item = _feature(type_.value_type)
        # Every version of datasets reads Sequence. Versions before 4 do not read List.
        size = {"length": type_.list_size} if pat.is_fixed_size_list(type_) else {}
        return item and {"feature": item, **size, "_type": "Sequence"}
    if pat.is_primitive(type_) or pat.is_string(type_) or pat.is_large_string(type_):
        return {"dtype": _number_name(type_), "_type": "Value"}
    return None


def _pandas(stored: Any, change: _Change) -> Any:
    """Return the description that `pandas` would write for the columns after the change."""
    old = {column.get("field_name", column["name"]): column for column in stored["columns"]}
    names = set(change.after.names)
    columns = [
        old[field.name] if change.keeps(field.name) and field.name in old else _pandas_column(field)
        for field in change.after
        if field.name in old or not change.keeps(field.name)
    ]
    index = [level for level in stored["index_columns"] if not isinstance(level, str) or level in names]
    return stored | {"columns": columns, "index_columns": index}


def _pandas_column(field: pa.Field) -> Any:
    numbers = "object" if _is_plain_list(field.type) else _pandas_type(field.type)
    types = {"pandas_type": _pandas_type(field.type), "numpy_type": numbers}
    return {"name": field.name, "field_name": field.name, **types, "metadata": None}


def _pandas_type(type_: pa.DataType) -> str:
    if _is_plain_list(type_):
        return f"list[{_pandas_type(type_.value_type)}]"
    return {"string": "unicode", "large_string": "unicode"}.get(str(type_), _number_name(type_))


_REWRITERS: Mapping[bytes, _Rewriter] = {SPARK: _spark, HUGGING_FACE: _hugging_face, PANDAS: _pandas}


def field_metadata(field: pa.Field | None, type_: pa.DataType, *, changed: bool) -> dict[bytes, bytes] | None:
    """Return the metadata of a field that is still correct for its new type and values.

    Args:
        field: field of the input; None for a new column.
        type_: type of the column in the output.
        changed: whether the values of the column changed.
    """
    if field is None or not field.metadata or (not changed and field.type == type_):
        return None if field is None else field.metadata
    return {key: value for key, value in field.metadata.items() if not key.startswith(_ABOUT_TYPES)} or None


def without_field_ids(schema: pa.Schema) -> pa.Schema:
    """Return a schema without Iceberg field ids.

    New columns have no id. If any column has an id, readers ignore the columns without an id.
    """
    return pa.schema([_without_id(field) for field in schema], metadata=schema.metadata)


_FIELD_ID = b"PARQUET:field_id"


def _without_id(field: pa.Field) -> pa.Field:
    type_ = field.type
    if pat.is_struct(type_):
        field = field.with_type(pa.struct([_without_id(inner) for inner in type_]))
    elif pat.is_map(type_):
        field = field.with_type(pa.map_(_without_id(type_.key_field), _without_id(type_.item_field)))
    elif pat.is_list(type_):
        field = field.with_type(pa.list_(_without_id(type_.value_field)))
    elif pat.is_large_list(type_):
        field = field.with_type(pa.large_list(_without_id(type_.value_field)))
    elif pat.is_fixed_size_list(type_):
        field = field.with_type(pa.list_(_without_id(type_.value_field), type_.list_size))
    if _FIELD_ID not in (field.metadata or {}):
        return field
    kept = {key: value for key, value in field.metadata.items() if key != _FIELD_ID}
    return field.with_metadata(kept) if kept else field.remove_metadata()


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the class label names that `datasets` stores for columns.

    >>> named = {"info": {"features": {"y": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    >>> class_names(pa.schema([("y", pa.int64())], metadata={"huggingface": json.dumps(named)}))
    {'y': ['no', 'yes']}
    """
    try:
        features = json.loads((schema.metadata or {})[HUGGING_FACE])["info"]["features"]
        found = {name: list(_names_in(features[name])) for name in schema.names if name in features}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {name: names for name, names in found.items() if names}


def _names_in(feature: Any) -> Iterator[str]:
    """Yield the class label names in a feature, at any nesting depth."""
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
        yield from map(str, feature.get("names") or ())
    elif isinstance(feature, (dict, list)):
        for part in feature.values() if isinstance(feature, dict) else feature:
            yield from _names_in(part)


def lost_class_names(files: Iterable[pa.Schema], after: pa.Schema | None) -> dict[str, bool]:
    """Return the columns that lose their class label names in the output.

    Args:
        files: schema of each input file.
        after: schema of the output; None for a format without metadata.

    Returns:
        A dict with an item for each such column: the key is the column name, and the value is whether the
        class label names differ between the input files.
    """
    known = {} if after is None else class_names(after)
    had: dict[str, list[list[str]]] = {}
    for schema in files:
        for name, classes in class_names(schema).items():
            had.setdefault(name, []).append(classes)
    return {
        name: any(classes != found[0] for classes in found)
        for name, found in had.items()
        if any(classes != known.get(name) for classes in found)
    }


def merge_metadata(unified: pa.Schema, schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return the common schema of several files, without class label names that differ between the files.

    Args:
        unified: the common columns, with the metadata of the first file.
        schemas: the columns of each file, with metadata.
    """
    metadata = unified.metadata or {}
    if HUGGING_FACE not in metadata or all(
        (schema.metadata or {}).get(HUGGING_FACE) == metadata[HUGGING_FACE] for schema in schemas
    ):
        return unified
    had = class_names(unified)
    differ = {
        name
        for schema in schemas
        for name, classes in had.items()
        if name in schema.names and class_names(schema).get(name) != classes
    }
    stored = json.loads(metadata[HUGGING_FACE]) if differ else None
    if stored is None:
        return unified
    for name in differ:
        del stored["info"]["features"][name]
    return unified.with_metadata({**metadata, HUGGING_FACE: json.dumps(stored).encode()})
