"""Metadata of Spark, Hugging Face, pandas, Avro and Iceberg in tables with padded columns."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from padmask import MaskSpec, PadSpec, pad_table, unpad_table
from padmask.core.foreign_metadata import carry_metadata, class_names, lost_class_names, merge_metadata

TABLE = pa.table({"input_ids": [[1, 2], [3]], "label": [0, 1]})
SPARK = "org.apache.spark.sql.parquet.row.metadata"


def with_metadata(key: str, value: Any) -> pa.Table:
    return TABLE.replace_schema_metadata({key: value if isinstance(value, str) else json.dumps(value)})


def stored(table: pa.Table, key: str) -> Any:
    """Return the metadata of a key as JSON; None if the key is missing."""
    text = (table.schema.metadata or {}).get(key.encode())
    return None if text is None else json.loads(text)


def spark_field(name: str, type_: Any, **metadata: str) -> dict[str, Any]:
    return {"name": name, "type": type_, "nullable": True, "metadata": metadata}


def spark_list(item: str) -> dict[str, Any]:
    return {"type": "array", "elementType": item, "containsNull": True}


IDS, LABEL = spark_field("input_ids", spark_list("long")), spark_field("label", "long", comment="0 or 1")


def test_spark_sees_the_new_columns():
    table = with_metadata(SPARK, {"type": "struct", "fields": [IDS, LABEL]})
    mask = MaskSpec(dtype="int8", length_column="n")
    assert stored(pad_table(table, mask=mask), SPARK)["fields"] == [
        spark_field("input_ids", spark_list("integer")),
        LABEL,
        spark_field("mask", spark_list("byte")),
        spark_field("n", "integer"),
    ]


def test_spark_after_unpad():
    table = with_metadata(SPARK, {"type": "struct", "fields": [IDS, LABEL]})
    fields = stored(unpad_table(pad_table(table)), SPARK)["fields"]
    assert [field["name"] for field in fields] == ["input_ids", "label"]


def test_spark_types_of_another_file():
    short = spark_field("label", "integer")
    table = with_metadata(SPARK, {"type": "struct", "fields": [IDS, short]})
    assert stored(pad_table(table), SPARK)["fields"][1]["type"] == "long"


@pytest.mark.parametrize(
    "row",
    [
        "no JSON",
        "[1]",
        {"type": "struct", "fields": [IDS]},
        {"fields": 1},
    ],
    ids=str,
)
def test_wrong_spark_row_is_dropped(row):
    assert stored(pad_table(with_metadata(SPARK, row)), SPARK) is None


LABELED = {
    "input_ids": {"feature": {"dtype": "int64", "_type": "Value"}, "_type": "List"},
    "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
}


def hugging_face(**features: Any) -> pa.Table:
    return with_metadata("huggingface", {"info": {"features": LABELED | features}, "fingerprint": "ab"})


def test_class_names_stay():
    kept = stored(pad_table(hugging_face()), "huggingface")
    assert kept == {
        "info": {
            "features": {
                "input_ids": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "Sequence"},
                "label": LABELED["label"],
                "mask": {"feature": {"dtype": "bool", "_type": "Value"}, "_type": "Sequence"},
            }
        }
    }


def test_class_names_of_tokens():
    tags = {"feature": {"names": ["O", "PER"], "_type": "ClassLabel"}, "_type": "List"}
    table = hugging_face(input_ids=tags)
    assert "input_ids" not in class_names(pad_table(table).schema)
    assert class_names(pad_table(table, ["input_ids:int64"]).schema)["input_ids"] == ["O", "PER"]


def test_shape_of_a_padded_feature():
    fixed = {"feature": {"dtype": "int64", "_type": "Value"}, "length": 3, "_type": "List"}
    padded = pad_table(hugging_face(input_ids=fixed), ["input_ids:int64"], PadSpec(maxlen=4))
    feature = stored(padded, "huggingface")["info"]["features"]["input_ids"]
    assert feature == {"feature": {"dtype": "int64", "_type": "Value"}, "_type": "Sequence"}


def test_lost_class_names():
    schema = hugging_face().schema
    assert lost_class_names([schema], None) == {"label": False}
    assert lost_class_names([schema], schema) == {}
    assert lost_class_names([schema, swapped().schema], schema) == {"label": True}


def swapped() -> pa.Table:
    return hugging_face(label={"names": ["pos", "neg"], "_type": "ClassLabel"})


def test_names_that_differ_are_dropped():
    first = hugging_face().schema
    assert merge_metadata(first, [first, first]).metadata == first.metadata
    assert class_names(merge_metadata(first, [first, swapped().schema])) == {}


def test_pandas_keeps_its_index():
    column = {"name": "label", "field_name": "label", "pandas_type": "int64", "numpy_type": "int64"}
    ids = {
        "name": "input_ids",
        "field_name": "input_ids",
        "pandas_type": "list[int64]",
        "numpy_type": "object",
    }
    table = with_metadata("pandas", {"index_columns": ["label", "gone"], "columns": [column, ids]})
    described = stored(pad_table(table), "pandas")
    assert described["index_columns"] == ["label"]
    assert column in described["columns"]
    types = {
        found["field_name"]: (found["pandas_type"], found["numpy_type"]) for found in described["columns"]
    }
    assert types["input_ids"] == ("list[int32]", "object")
    assert types["mask"] == ("list[bool]", "object")


@pytest.mark.parametrize(
    "key",
    [
        "parquet.avro.schema",
        "avro.schema",
        "iceberg.schema",
        "parquet.proto.descriptor",
        "thrift.descriptor",
        "writer.model.name",
    ],
)
def test_other_schemas_are_dropped(key):
    table = with_metadata(key, "{}")
    assert stored(pad_table(table), key) is None
    same = carry_metadata(table.schema, table.schema, [])
    assert same.metadata == table.schema.metadata


def test_other_metadata_stay():
    assert stored(pad_table(with_metadata("geo", {"version": 1})), "geo") == {"version": 1}


def test_extension_of_a_padded_column():
    extension = {"ARROW:extension:name": "Array2D", "ARROW:extension:metadata": "[3, 2]", "unit": "m"}
    vectors = pa.array([[[1.0, 2.0]] * 3], pa.list_(pa.list_(pa.float32())))
    fields = [pa.field(name, vectors.type, metadata=extension) for name in ("x", "y")]
    table = pa.table([vectors, vectors], schema=pa.schema(fields))
    padded = pad_table(table, ["x"], PadSpec(maxlen=4)).schema
    assert padded.field("x").metadata == {b"unit": b"m"}
    assert padded.field("y").metadata == fields[1].metadata


def test_field_ids_are_dropped():
    id_ = {"PARQUET:field_id": "7"}
    parts = pa.struct([pa.field("part", pa.int64(), metadata=id_)])
    schema = pa.schema(
        [pa.field("ids", pa.list_(pa.int64()), metadata=id_), pa.field("s", parts, metadata=id_)]
    )
    padded = pad_table(schema.empty_table(), ["ids"], PadSpec(maxlen=1)).schema
    assert [field.metadata for field in padded] == [None] * 3
    assert padded.field("s").type.field(0).metadata is None
