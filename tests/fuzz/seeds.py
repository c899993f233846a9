"""Valid seed files of every kind."""

from __future__ import annotations

import datetime
import decimal
import functools
import io
import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

IDS = [[1, 2, 3], [], [258], [7, 8], [2**31 - 1, -(2**31), 0, 5]]

LINES = [
    '{"input_ids": [1, 2, 3], "text": "grün", "n": 1}',
    '{"input_ids":[],"labels":[],"n":null}',
    '{"n": 1.5, "input_ids": [ 711 , 632,\t71 ], "labels": [-100, 0, 7], "mask": [1, 1, 0]}',
    '{"input_ids": [2147483647, -2147483648, -0], "x": {"a": [{"b": null}], "c": "\\u00e9\\ud83e\\udd16"}}',
    '{"input_ids": [[1, 2], [3, 4]], "n": [1, [2, [3]]]}',
    '{"input_ids": [0.5, -1.25e-3, 1E+2, 3], "n": 123456789012345678901234567890}',
    '{"input_ids": ["a", "b", "", "\\n\\u0000"], "text": "\\"\\\\\\/\\b"}',
    '{"input_ids": [1], "input_ids": [2, 3], "n": true}',
    '{"input_ids": null}',
    '{"text": "no ids"}',
    '{"input_ids": [9], "n": 18446744073709551615, "m": -9223372036854775808, "e": 1e308}',
]


def json_lines() -> list[bytes]:
    """Return JSON Lines files with one type, with several types, and with unusual line ends."""
    plain = [json.dumps({"input_ids": row, "i": i}) for i, row in enumerate(IDS)]
    rows = [
        "\n".join(plain),
        "\n".join(LINES),
        "\r\n".join(LINES[:4]) + "\r\n",
        "\ufeff" + LINES[0] + "\n\n \n",
    ]
    rows += [f"{line}\n{LINES[1]}\n{line}\n" for line in LINES]
    rows += ["", "\n", "[]\n", plain[0] * 2]
    return [text.encode() for text in rows]


LAYOUTS = {
    "list": pa.list_(pa.int64()),
    "list32": pa.list_(pa.int32()),
    "large_list": pa.large_list(pa.int64()),
    "uint64": pa.list_(pa.uint64()),
    "float": pa.list_(pa.float32()),
    "double": pa.list_(pa.float64()),
}
VALUES = {
    "fixed_size": pa.array([[1, 2], [3, 4], None, [5, 6], [7, 8]], pa.list_(pa.int32(), 2)),
    "nulls": pa.array([[1, None], None, [], [2], [3, 4]]),
    "only_nulls": pa.array([None] * 5, pa.list_(pa.null())),
    "strings": pa.array([["a"], [], ["ü", ""], None, ["\0"]]),
    "large_strings": pa.array([["a"], [], ["ü", ""], None, ["b"]], pa.large_list(pa.large_string())),
    "string_views": pa.array([["a"], [], ["x" * 40, ""], None, ["b"]], pa.list_(pa.string_view())),
    "vectors": pa.array([[[1.0, 2.0]], [], [[3.0, 4.0]] * 3, None, [[5.0, 6.0]]]),
    "fixed_vectors": pa.array(
        [[[1, 2]], [], [[3, 4]] * 3, None, [[5, 6]]], pa.list_(pa.list_(pa.float32(), 2))
    ),
    "large_floats": pa.array(
        [[2.0**31], [2.0**24, -(2.0**31)], [2.0**63], [65536.0], []], pa.list_(pa.float32())
    ),
    "large_doubles": pa.array([[2.0**53], [2.0**53 + 2], [1e300], [-(2.0**63)], [0.1]]),
    "halves": pa.array(
        [[1.0, 65504.0], [float("inf")], [float("nan")], [0.5], [-2.0]], pa.list_(pa.float16())
    ),
    "nonfinite": pa.array([[float("nan"), 1.0], [2.0], [float("inf")], [], [1.0, float("-inf")]]),
    "large_ids": pa.array([[2**53 + 1], [2**63], [2**64 - 1], [2**24 + 1], [65535]], pa.list_(pa.uint64())),
    "bools": pa.array([[True], [], [False], None, [True]]),
    "structs": pa.array([[{"a": 1}], [], None, [], []]),
}


class Uuids(pa.ExtensionType):
    """An extension type that padmask does not know."""

    def __init__(self) -> None:
        super().__init__(pa.list_(pa.int64()), "somebody.else")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"{}"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, data: bytes) -> Uuids:
        return cls()


def _sequences(parquet: bool) -> dict[str, pa.Array]:
    found = {
        name: pa.array([[abs(x) % 9 for x in row] for row in IDS], type_) for name, type_ in LAYOUTS.items()
    }
    found |= {"list": pa.array(IDS)} | VALUES
    if not parquet:
        flat, ends = pa.array(list(itertools.chain.from_iterable(IDS))), np.cumsum([0, *map(len, IDS)])
        starts, sizes = ends[:-1], np.diff(ends)
        found["list_view"] = pa.ListViewArray.from_arrays(
            pa.array(starts, pa.int32()), pa.array(sizes, pa.int32()), flat
        )
        found["large_list_view"] = pa.LargeListViewArray.from_arrays(pa.array(starts), pa.array(sizes), flat)
        found["extension"] = pa.ExtensionArray.from_storage(Uuids(), pa.array(IDS))
        found["dictionary"] = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1, 2, 0]), pa.array(IDS[:3]))
        found["tokens_dictionary"] = pa.ListArray.from_arrays(
            pa.array([0, 2, 2, 3, 3, 4], pa.int32()), pa.array([5, 6, 5, 5]).dictionary_encode()
        )
    return found


def _others(parquet: bool) -> dict[str, pa.Array]:
    """Return columns that padding does not change."""
    day = datetime.date(2024, 2, 29)
    found = {
        "text": pa.array(["grün", None, "", "b" * 50, "a"]),
        "n": pa.array([1, None, 3, 2**62, -5]),
        "x": pa.array([0.5, float("nan"), None, 1e300, -0.0]),
        "labels": pa.array([[-100, 2, 3], [], [1], [2, 3], [1, 2, 3, 4]]),
        "mask": pa.array([[True], [], [False], None, [True]]),
        "nested": pa.array([{"a": [{"b": 1}]}, None, {"a": []}, {"a": None}, {"a": [None]}]),
        "map": pa.array([[("k", 1)], [], None, [("l", None)], []], pa.map_(pa.string(), pa.int32())),
        "day": pa.array([day, None, day, day, day]),
        "time": pa.array([1, None, 10**18, 0, -1], pa.timestamp("ns", "Europe/Berlin")),
        "decimal": pa.array([decimal.Decimal("1.25"), None, *[decimal.Decimal("-7.00")] * 3]),
        "bytes": pa.array([b"\xff", None, b"", b"abc", b"\0"]),
        "category": pa.array(["a", "b", None, "a", "c"]).dictionary_encode(),
        "fixed": pa.array([b"abcd", None, b"efgh", b"1234", b"5678"], pa.binary(4)),
        "nothing": pa.nulls(5),
        "flag": pa.array([True, None, False, True, True]),
    }
    if not parquet:
        found["spell"] = pa.array([1, None, 2, 3, 4], pa.duration("us"))
        found["runs"] = pa.RunEndEncodedArray.from_arrays(pa.array([2, 5], pa.int32()), pa.array(["a", "b"]))
        found["either"] = pa.UnionArray.from_dense(
            pa.array([0, 1, 0, 1, 0], pa.int8()),
            pa.array([0, 0, 1, 1, 2], pa.int32()),
            [pa.array([1, 2, 3]), pa.array(["a", "b"])],
        )
        found["view"] = pa.array(["a", None, "v" * 40, "", "b"], pa.string_view())
        found["interval"] = pa.array([(1, 2, 3)] * 5, pa.month_day_nano_interval())
    return found


def _tables(parquet: bool) -> list[pa.Table]:
    others = _others(parquet)
    tables = [pa.table({"input_ids": ids}) for ids in _sequences(parquet).values()]
    tables += [pa.table({"input_ids": pa.array(IDS), name: column}) for name, column in others.items()]
    tables.append(pa.table({"input_ids": pa.array(IDS), **others}))
    tables.append(pa.table({"input_ids": pa.array(IDS)}).slice(0, 0))
    return tables


@functools.cache
def parquet_files() -> list[bytes]:
    """Return Parquet files with every layout, encoding, codec and page version."""
    first, *_ = tables = _tables(True)
    wide = tables[-2]
    found = [parquet(table) for table in tables]
    found += [
        parquet(first, compression=name) for name in ("none", "snappy", "gzip", "brotli", "lz4", "zstd")
    ]
    found += [parquet(first, version=version) for version in ("1.0", "2.4", "2.6")]
    found += [
        parquet(first, compression="none", use_dictionary=False, column_encoding=encoding)
        for encoding in ("PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT")
    ]
    for table in (first, wide):
        found.append(parquet(table, data_page_version="2.0", compression="none"))
        found.append(parquet(table, row_group_size=2, write_page_checksum=True, compression="none"))
        found.append(parquet(table, store_schema=False, write_page_index=True))
        found.append(parquet(table, write_statistics=False, data_page_size=1, write_batch_size=1))
    text = pa.table({"input_ids": VALUES["strings"], "text": pa.array(list("abcde"))})
    for encoding in ("DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY", "PLAIN"):
        found.append(parquet(text, use_dictionary=False, column_encoding=encoding))
    many = pa.table({"input_ids": [[i, i + 1] for i in range(300)]})
    return [*found, parquet(many, row_group_size=70), parquet(many, compression="none", data_page_size=64)]


def parquet(table: pa.Table, **options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


@functools.cache
def arrow_files() -> list[bytes]:
    """Return Arrow files and streams with every layout, codec and metadata version."""
    tables = _tables(False)
    found = [arrow(table, stream=stream) for table in tables for stream in (False, True)]
    for table in (tables[0], tables[-2]):
        found += [arrow(table, compression=compression) for compression in ("lz4", "zstd")]
    found.append(arrow(tables[0], metadata_version=pa.ipc.MetadataVersion.V4))
    found.append(arrow(tables[0], chunk=2))
    changing = [pa.table({"input_ids": [[1]], "c": pa.array([x]).dictionary_encode()}) for x in "ab"]
    return [*found, _batches(changing)]


def arrow(table: pa.Table, stream: bool = False, chunk: int | None = None, **options: object) -> bytes:
    """Return a table as an Arrow file or stream."""
    out = io.BytesIO()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(out, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as sink:
        sink.write_table(table, max_chunksize=chunk)
    return out.getvalue()


def _batches(tables: list[pa.Table]) -> bytes:
    """Return a stream in which the dictionaries change."""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, tables[0].schema) as sink:
        for table in tables:
            sink.write_table(table)
    return out.getvalue()
