"""Rows that the first pass keeps for the second pass: the same output, without reading the text again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from raised import raises_error

from padmask import DataError, FileOptions, MaskSpec, PackSpec, PadSpec, RowPolicy, WindowSpec, pad_file
from padmask.formats.contract import HEAD_ROWS, Chunk
from padmask.formats.jsonl import reader
from padmask.formats.jsonl.reader import JsonlReader
from padmask.stream import kept_rows
from padmask.stream.kept_rows import KeptRows

ROWS = [
    {
        "id": i,
        "input_ids": list(range(i % 7)),
        "labels": [-100 if j < 2 else j for j in range(i % 7)],
        "box": [[j, i] for j in range(i % 7)],
        "words": ["ab"] * (i % 5),
        "question": min(2, i % 7),
        "text": None if i % 3 else "é" * (i % 50),
    }
    for i in range(HEAD_ROWS + 500)
]


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def parsed(monkeypatch) -> list[int]:
    """The first line of each parsed chunk. Chunks with the first rows do not count: they are read twice."""
    lines = []
    monkeypatch.setattr(reader, "CHUNK_BYTES", 1 << 16)
    decode = JsonlReader.decode

    def count(self: JsonlReader, chunk: Chunk, wanted: Any) -> Any:
        lines.extend([chunk.first] if chunk.first > HEAD_ROWS else [])
        return decode(self, chunk, wanted)

    monkeypatch.setattr(JsonlReader, "decode", count)
    return lines


def pad(source: Path, **options: Any) -> tuple[bytes, bytes, Any]:
    """Return the output, the rejected rows and the result."""
    out, rejects = source.with_name("out.parquet"), source.with_name("rejects.jsonl")
    options = {"spec": PadSpec(), "files": FileOptions(rejects=str(rejects)), **options}
    result = pad_file(source, out, **options)
    return out.read_bytes(), rejects.read_bytes() if rejects.exists() else b"", result


SAME = {
    "longest": {},
    "percentile": {"spec": PadSpec(maxlen="p50"), "files": FileOptions()},
    "columns": {"columns": ["words", "box"], "policy": RowPolicy(on_error="skip")},
    "dropped": {"spec": PadSpec(maxlen="p50"), "policy": RowPolicy(overlong="drop", empty_rows="drop")},
    "ends": {"spec": PadSpec(maxlen="p50", keep_first="question", keep_last=1)},
    "own": {"columns": "input_ids", "spec": PadSpec(maxlen=3, own_lengths=[("words", "longest")])},
    "windows": {"spec": PadSpec(maxlen="p50", windows=WindowSpec())},
    "positions": {"mask": MaskSpec(position_ids="position_ids", column="attention_mask")},
    "packed": {
        "spec": PadSpec(maxlen="longest", packing=PackSpec()),
        "policy": RowPolicy(empty_rows="drop"),
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("options", SAME.values(), ids=SAME)
def test_same_output_without_kept_rows(source, monkeypatch, options):
    kept = pad(source, **options)
    monkeypatch.setattr(kept_rows, "KEPT_SHARE", 0)
    assert pad(source, **options) == kept


@pytest.mark.parametrize(("share", "times"), [(0.25, 1), (0, 2)], ids=["kept", "no space"])
def test_text_is_parsed_once(source, parsed, monkeypatch, share, times):
    monkeypatch.setattr(kept_rows, "KEPT_SHARE", share)
    pad(source)
    assert parsed
    assert len(parsed) == times * len(set(parsed))


def test_full_disk(source, monkeypatch):
    expected = pad(source)
    add = KeptRows.add

    def fill(self: KeptRows, rows: Any) -> None:
        if self._file is not None:
            os.close(self._file.fileno())  # A write then fails, as on a full disk.
        add(self, rows)

    monkeypatch.setattr(KeptRows, "add", fill)
    assert pad(source) == expected


def test_types_of_later_rows(source):
    with source.open("a") as file:
        file.write(json.dumps({**ROWS[1], "id": 0.5}) + "\n")
    table = pq.read_table(source.with_name("out.parquet")) if pad(source) else None
    assert (str(table.schema.field("id").type), len(table)) == ("double", len(ROWS) + 1)


def test_first_bad_line_is_named(source):
    with source.open("a") as file:
        file.write('{"input_ids": [1]}\n' * 3 + '{"input_ids": [null]}\n{"input_ids": [null]}\n')
    with raises_error(DataError, place=f"in.jsonl, line {len(ROWS) + 4}"):
        pad(source, columns="input_ids")
    assert [path.name for path in source.parent.iterdir()] == ["in.jsonl"]
