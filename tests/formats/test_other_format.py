"""If an input has the wrong suffix, the error names the real format and does not call the file corrupt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import raises_error

from padmask.errors import UnreadableError, UnsupportedError
from padmask.formats import open_reader
from padmask.spec.formats import FORMATS, input_formats
from padmask.storage.source import Source

TABLE = pa.table({"input_ids": [[1, 2], [3]]})


def write(path: Path, format_: str) -> Path:
    if format_ == "jsonl":
        path.write_bytes(b'{"input_ids": [1, 2]}\n')
    elif format_ == "parquet":
        pq.write_table(TABLE, path)
    elif format_ == "npz":
        with path.open("wb") as file:
            np.savez(file, input_ids=[[1, 2], [3, 0]])
    else:
        with pa.ipc.new_file(path, TABLE.schema) as writer:
            writer.write_table(TABLE)
    return path


NAMES = [traits.name for traits in input_formats() if not traits.is_folder]


@pytest.mark.parametrize(("real", "read"), [(a, b) for a in NAMES for b in NAMES if a != b])
def test_wrong_format_is_named(tmp_path: Path, real: str, read: str) -> None:
    source = Source(str(write(tmp_path / "a", real)))
    with raises_error(UnsupportedError, FORMATS[real].title, FORMATS[read].title, option="input_format"):
        open_reader(FORMATS[read], source, None).schema()


@pytest.mark.parametrize("real", NAMES)
def test_file_is_not_a_folder(tmp_path: Path, real: str) -> None:
    source = Source(str(write(tmp_path / "a", real)))
    with pytest.raises(UnsupportedError, match="not a folder"):
        open_reader(FORMATS["npy"], source, None).schema()


@pytest.mark.parametrize("read", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("data", "title"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a Git LFS pointer"),
        (b"<!doctype html>", "an HTML or XML page"),
        (b"PARE" + bytes(40), "encrypted Parquet"),
    ],
)
def test_foreign_file_is_named(tmp_path: Path, read: str, data: bytes, title: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with raises_error(UnsupportedError, title, option="input_format"):
        open_reader(FORMATS[read], Source(str(tmp_path / "a")), None).schema()


@pytest.mark.parametrize("read", ["parquet", "arrow", "npz"])
def test_empty_file_is_named(tmp_path: Path, read: str) -> None:
    (tmp_path / "a").touch()
    with raises_error(UnreadableError, "empty", option="input_format"):
        open_reader(FORMATS[read], Source(str(tmp_path / "a")), None).schema()


def test_unsupported_type_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        raise pa.ArrowNotImplementedError("Integers with more than 64 bits not implemented")

    monkeypatch.setattr(pq, "ParquetFile", read)
    with raises_error(UnsupportedError, "more than 64 bits", option="input_format"):
        open_reader(FORMATS["parquet"], Source(str(write(tmp_path / "a", "parquet"))), None).schema()
