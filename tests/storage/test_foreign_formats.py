"""Files of other formats are recognized by their first bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from raised import has_facts

from padmask.storage.foreign_formats import foreign_error, recognize

LINE = b'{"input_ids": [1, 2]}\n'


def made(write) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def tar(out: io.BytesIO) -> None:
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jsonl"), io.BytesIO())


FOREIGN = {
    "bzip2 data": [bz2.compress(LINE), bz2.compress(b"", 1)],
    "xz data": [lzma.compress(LINE), lzma.compress(LINE, lzma.FORMAT_ALONE)],
    "a zip archive": [made(lambda out: zipfile.ZipFile(out, "w").close())],
    "a tar archive": [made(tar)],
    "a NumPy array (.npy)": [made(lambda out: np.save(out, np.zeros(3)))],
    "Feather version 1": [b"FEA1" + bytes(60)],
    "Avro": [b"Obj\x01\x04\x14avro.codec"],
    "ORC": [b"ORC\x01\x02"],
    "an HDF5 file": [b"\x89HDF\r\n\x1a\n"],
    "an SQLite database": [b"SQLite format 3\0"],
    "a Python pickle": [pickle.dumps([1], protocol) for protocol in (2, 3, 4, 5)],
    "Snappy data": [b"\xff\x06\0\0sNaPpY\0"],
    "encrypted Parquet": [b"PARE" + bytes(30)],
    "a Git LFS pointer": [b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"],
    "SafeTensors": [(60).to_bytes(8, "little") + b'{"input_ids":{"dtype":"I64"}}'],
    "TFRecord": [(20).to_bytes(8, "little") + b"\x80crc\n\x12\n\x10"],
    "an HTML or XML page": [b"<!DOCTYPE html>\n<html>", b"<html>", b'<?xml version="1.0"?><Error/>'],
    "UTF-32 text": ['{"a": [1]}'.encode("utf-32")],
    "UTF-16 text": ['{"a": [1]}'.encode(name) for name in ("utf-16", "utf-16-le", "utf-16-be")],
    "one JSON array": [
        b"[" + LINE.strip() + b"]",
        b'[\n  {"a": [1]},\n  {"a": [2]}\n]\n',
        b'[{"a": [1]},\n{"a": [2]}]\n',
        b"  \n [\n",
        b"[\n  [1, 2],\n  [3]\n]",
        b"[[1, 2], [3]]\n",
        b'[{"a": [' + b"1," * 1000,
    ],
    "JSON over several lines": [b'{\n  "input_ids": [1, 2]\n}\n'],
    "one JSON object with a list of rows": [
        b'{"data": [{"input_ids": [1, 2]}, {"input_ids": [3]}]}\n',
        b'{"rows": [{"id": 7, "x": [0.5]}]}',
    ],
    "TSV": [b"id\tinput_ids\n7\t1 2 3\n", b"input_ids\tlabel\n[1, 2]\t0\n"],
    "CSV": [
        b'input_ids,label\n"[1, 2]",0\n',
        b'"input_ids","label"\r\n"[1, 2]","0"\r\n',
        b"a;b\n1;2\n",
        b'input_ids\n"[1, 2]"\n',
    ],
}


@pytest.mark.parametrize(
    ("title", "data"),
    [(title, data) for title, files in FOREIGN.items() for data in files],
    ids=lambda x: x[:14],
)
def test_first_bytes_are_recognized(title: str, data: bytes) -> None:
    found = recognize(data)
    assert found is not None and found.title == title


@pytest.mark.parametrize(
    "data",
    [
        LINE,
        b"",
        b"\n\n",
        b"garbage\n" + LINE,
        b"hello, world\n" + LINE,
        b"hello, world\n",
        b"hello, world\n[1, 2]\n",
        b"[1, 2]\n" + LINE,
        b"[1, 2\n" + LINE,
        b'[{"a": 1}]\n' + LINE,
        b"[]\n",
        b'{"a": [1],\n',
        b"{\n",
        b"{\n" + LINE,
        b'"a", "b"\n' + LINE,
        b'{"messages": [{"role": "user", "content": "Hi"}]}\n',
        b'{"data": [{"input_ids": [1]}]}\n' + LINE,
        b'{"data": [{"input_ids": [1]}], "input_ids": [1]}\n',
        b'{"data": []}\n',
        b'{"input_ids": [[1, 2], [3]], "label": [0, 1]}\n',
        b"Hello there\nHow are you\n",
        b"12, 13\n14, 15\n",
        b"\xff" + LINE,
        b"BZ" + LINE,
    ],
)
def test_bad_rows_are_not_a_format(data: bytes) -> None:
    assert recognize(data) is None


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("a.jsonl.bz2", "bzip2 -dc a.jsonl.bz2 > a.jsonl"),
        ("d/a.bz2", "bzip2 -dc d/a.bz2 > d/a"),
        ("-", "bzip2 -dc FILE > FILE.out"),
        ("it's.bz2", "bzip2 -dc FILE > FILE.out"),
    ],
)
def test_command_names_the_file(path: str, command: str) -> None:
    error = foreign_error("the input", path, bz2.compress(LINE))
    assert error is not None and str(error).endswith(command)


def test_csv_command_names_the_tokens() -> None:
    error = foreign_error("a.csv", "a.csv", b'id,tokens\n1,"[2, 3]"\n')
    assert error is not None and "tokens::INT[] AS tokens" in str(error)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("id,time,a,b\n1,11,0.5,1\n1,10,0.25,0\n2,10,0,0\n", [[[0.25, 0], [0.5, 1]], [[0, 0]]]),
        ("machine,value\nx,3\ny,5\nx,4\n", [[3, 4], [5]]),
    ],
    ids=["several values", "one value"],
)
def test_csv_of_steps(text: str, rows: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suggested command makes one row from each series."""
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    monkeypatch.chdir(tmp_path)
    Path("steps.csv").write_text(text)
    message = str(foreign_error("steps.csv", "steps.csv", text.encode()))
    assert has_facts(message, "docs/series.md")
    duckdb.sql(re.findall('duckdb -c "(.*)"', message)[0])
    assert pq.read_table("steps.parquet").column(1).to_pylist() == rows


def test_csv_of_texts() -> None:
    error = foreign_error("a.csv", "a.csv", b"id,text\n1,good\n")
    assert error is not None and "list(" not in str(error)


def test_compressed_typed_files() -> None:
    assert recognize(b"\x1f\x8b\x08", typed=True) and not recognize(b"\x1f\x8b\x08")


@pytest.mark.parametrize(
    ("path", "data", "command"),
    [
        ("a.json", b'[{"a": [1]}]', "jq -c '.[]' a.json > a.jsonl"),
        ("a.jsonl", b'[{"a": [1]}]', "jq -c '.[]' a.jsonl > a.converted.jsonl"),
        ("a.jsonl", b'{\n  "a": [1]\n}\n', "jq -c . a.jsonl > a.converted.jsonl"),
        ("d/a.parquet", b"x,y\n1,2\n", "TO 'd/a.converted.parquet'"),
    ],
)
def test_command_keeps_the_input(path: str, data: bytes, command: str) -> None:
    assert command in str(foreign_error(path, path, data))


@pytest.mark.parametrize(
    ("path", "codec", "data", "command"),
    [
        ("a.json.gz", "gzip", b'[{"a": [1]}]', "gzip -dc a.json.gz > a.json && jq -c '.[]' a.json > a.jsonl"),
        ("a.jsonl.gz", "gzip", gzip.compress(LINE), "gzip -dc a.jsonl.gz > a.jsonl && gzip -dc a.jsonl > a"),
        (
            "a.jsonl.zst",
            "zstd",
            bz2.compress(LINE),
            "zstd -dc a.jsonl.zst > a.jsonl && bzip2 -dc a.jsonl > a",
        ),
    ],
    ids=["array", "gzip", "bzip2"],
)
def test_compressed_is_decompressed(path: str, codec: str, data: bytes, command: str) -> None:
    assert str(foreign_error(path, path, data, codec=codec)).endswith(command)


@pytest.mark.parametrize("path", ["a.csv", "A.CSV", "a.tsv.gz"])
def test_csv_by_suffix(path: str) -> None:
    assert has_facts(str(foreign_error(path, path, b"input_ids\n")), "CSV")
    assert foreign_error(path, path, LINE) is None
