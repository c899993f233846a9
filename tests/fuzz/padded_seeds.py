"""Padded seed files, with correct and with wrong masks and lengths."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from fuzz.seeds import arrow, parquet

from padmask import MaskSpec, PadSpec, pad_table

RAW = [[1, 2, 3], [], [258], [7, 8], [2**31 - 1, -(2**31), 0]]
POST = [[True] * len(row) + [False] * (3 - len(row)) for row in RAW]
PRE = [mask[::-1] for mask in POST]
IDS = [row + [0] * (3 - len(row)) for row in RAW]

# Each row has a wrong mask or a wrong length.
LIES: list[dict[str, Any]] = [
    {"mask": [True, False, True]},
    {"mask": [False, True, False]},
    {"mask": [True, True]},
    {"mask": [True, True, True, True]},
    {"mask": None},
    {"mask": [True, None, False]},
    {"kept": 4},
    {"kept": -1},
    {"kept": None},
    {"input_ids": None},
    {"input_ids": [1, None, 3]},
    {"input_ids": [1, 2]},
]
# Values that only JSON supports.
TEXT_LIES: list[dict[str, Any]] = [
    {"mask": [1, 1, 2]},
    {"mask": [1.0, 1, 0]},
    {"mask": [True, 1, 0]},
    {"mask": "110"},
    {"kept": 2.0},
    {"kept": "2"},
    {"kept": 2**70},
    {"input_ids": [1, "a", [2]]},
]


def _rows(masks: list[list[bool]]) -> list[dict[str, Any]]:
    return [
        {"n": n, "input_ids": ids, "mask": mask, "kept": sum(mask), "labels": ids}
        for n, (ids, mask) in enumerate(zip(IDS, masks, strict=True))
    ]


def _tables() -> list[pa.Table]:
    sound = [pa.Table.from_pylist(_rows(masks)) for masks in (POST, PRE)]
    lies = [pa.Table.from_pylist([*_rows(POST), _rows(POST)[3] | lie]) for lie in LIES]
    numbers = [sound[0].set_column(2, "mask", sound[0]["mask"].cast(pa.list_(pa.int8())))]
    fixed = [sound[1].set_column(1, "input_ids", sound[1]["input_ids"].cast(pa.list_(pa.int64(), 3)))]
    words = pa.array([["a", "b", ""], ["", "", ""], ["ü", "", ""], ["x", "y", ""], ["1", "2", "3"]])
    vectors = pa.array([[[float(t), 0.5] for t in ids] for ids in IDS])
    typed = [sound[0].set_column(1, "input_ids", column) for column in (words, vectors)]
    raw = pa.table({"input_ids": RAW, "labels": RAW, "t": list("abcde")})
    own = [
        pad_table(
            raw, {"input_ids": 0, "labels": -100}, PadSpec(padding=side), MaskSpec(length_column="kept")
        )
        for side in ("post", "pre")
    ]
    own.append(pad_table(raw, ["input_ids"], PadSpec(maxlen=0)))
    bare = [table.drop_columns(["mask"]) for table in sound]
    return [*sound, *lies, *numbers, *fixed, *typed, *bare, *own, sound[0].slice(0, 0)]


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _all_lines() -> list[bytes]:
    sound = [_rows(POST), _rows(PRE)]
    ones = [row | {"mask": [int(place) for place in row["mask"]]} for row in sound[0]]
    lies = [[*sound[0], sound[0][3] | lie, sound[0][0]] for lie in (*LIES, *TEXT_LIES)]
    partial = [
        [{name: value for name, value in row.items() if name != left} for row in sound[0]]
        for left in sound[0][0]
    ]
    spaced = _lines(sound[0]).replace(b", ", b" ,\t").replace(b": ", b":")
    return [*map(_lines, [*sound, ones, *lies, *partial]), spaced, b"", b"\n{}\n"]


@functools.cache
def padded_files(kind: str) -> list[bytes]:
    """Return padded files of a kind."""
    if kind == "jsonl":
        return _all_lines()
    write: Callable[[pa.Table], bytes] = parquet if kind == "parquet" else arrow
    return [write(table) for table in _tables()]
