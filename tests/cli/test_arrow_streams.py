"""Concatenated Arrow streams, as `cat a.arrows b.arrows` makes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pytest
from raised import has_facts

Run = Callable[..., CompletedProcess[str]]
END_MARK_BYTES = 8


def stream(*rows: Sequence[int], **more: Any) -> bytes:
    """Return an IPC stream with these rows, one batch per row."""
    return written(pa.ipc.new_stream, rows, more)


def file(*rows: Sequence[int], **more: Any) -> bytes:
    """Return an IPC file with these rows, one batch per row."""
    return written(pa.ipc.new_file, rows, more)


def written(open_writer: Any, rows: Sequence[Sequence[int]], more: dict[str, Any]) -> bytes:
    fields = {"input_ids": pa.list_(pa.int32())} | {name: pa.int64() for name in more}
    sink = pa.BufferOutputStream()
    with open_writer(sink, pa.schema(fields)) as writer:
        for row in rows:
            columns = {"input_ids": [list(row)]} | {name: [value] for name, value in more.items()}
            writer.write_batch(pa.record_batch(columns, schema=pa.schema(fields)))
    return bytes(sink.getvalue())


def ids(done: CompletedProcess[str]) -> list[list[int]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["input_ids"] for line in done.stdout.splitlines()]


@pytest.fixture
def two_streams(tmp_path: Path) -> Path:
    path = tmp_path / "two.arrow"
    path.write_bytes(stream([1, 2], [3]) + stream([4, 5, 6]))
    return path


@pytest.mark.parametrize("maxlen", ["2", "longest"])
def test_pad_reads_every_stream(here: Run, two_streams: Path, maxlen: str) -> None:
    found = ids(here("pad", two_streams, "--maxlen", maxlen))
    assert [row[0] for row in found] == [1, 3, 4]


def test_pad_reads_piped_streams(padmask: Run, two_streams: Path) -> None:
    done = padmask("pad", "-", "--maxlen", "2", stdin=two_streams.read_bytes())
    assert ids(done) == [[1, 2], [3, 0], [4, 5]]


def test_pad_reads_streams_in_folders(here: Run, two_streams: Path) -> None:
    two_streams.with_name("z.arrow").write_bytes(stream([7]))
    found = ids(here("pad", two_streams.parent, "--maxlen", "1"))
    assert found == [[1], [3], [4], [7]]


def test_limit_spans_streams(here: Run, two_streams: Path) -> None:
    assert ids(here("pad", two_streams, "--maxlen", "1", "--limit", "3")) == [[1], [3], [4]]
    assert ids(here("pad", two_streams, "--maxlen", "1", "--limit", "1")) == [[1]]


def test_inspect_and_verify_read_all(here: Run, two_streams: Path) -> None:
    assert json.loads(here("inspect", two_streams, "--json").stdout)["rows"] == 3
    report = json.loads(here("verify", two_streams, "--no-model", "--json").stdout)
    assert report["environment"]["rows"] == 3


def test_unpad_reads_every_stream(here: Run, tmp_path: Path) -> None:
    schema = pa.schema({"input_ids": pa.list_(pa.int32()), "mask": pa.list_(pa.bool_())})
    batch = pa.record_batch({"input_ids": [[1, 0]], "mask": [[True, False]]}, schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch)
    (tmp_path / "a.arrow").write_bytes(bytes(sink.getvalue()) * 3)
    assert ids(here("unpad", tmp_path / "a.arrow")) == [[1]] * 3


def test_streams_need_equal_columns(here: Run, tmp_path: Path) -> None:
    (tmp_path / "a.arrow").write_bytes(stream([1]) + stream([2], n=3))
    done = here("pad", tmp_path / "a.arrow", "--maxlen", "1")
    assert done.returncode != 0
    assert has_facts(done.stderr, "a.arrow", "first stream")


@pytest.mark.parametrize(
    "rest", [b"garbage!" * 4, b"\0", b'{"input_ids": [1]}\n'], ids=["text", "nul", "json"]
)
def test_trailing_bytes_are_refused(here: Run, tmp_path: Path, rest: bytes) -> None:
    whole = stream([1], [2])
    (tmp_path / "a.arrow").write_bytes(whole + rest)
    done = here("pad", tmp_path / "a.arrow", "--maxlen", "1")
    assert done.returncode != 0
    assert has_facts(done.stderr, f"byte {len(whole)}")


@pytest.mark.parametrize("command", [("pad", "--maxlen", "1"), ("inspect",), ("verify", "--no-model")])
def test_missing_end_mark_warns(here: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    verb, *options = command
    (tmp_path / "cut.arrow").write_bytes(stream([1], [2])[:-END_MARK_BYTES])
    done = here(verb, tmp_path / "cut.arrow", *options)
    assert done.returncode == 0
    assert "end-of-stream marker" in " ".join((done.stdout + done.stderr).split())


COMMANDS = {
    "pad": ("pad", "--maxlen", "1", "-o", "out.jsonl"),
    "inspect": ("inspect",),
    "verify": ("verify", "--no-model"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(
    ("limit", "is_warned"), [(0, False), (1, False), (2, False), (3, True), (None, True)], ids=str
)
def test_limit_avoids_end_mark_warning(
    here: Run, tmp_path: Path, command: tuple[str, ...], limit: int | None, is_warned: bool
) -> None:
    verb, *options = command
    (tmp_path / "cut.arrow").write_bytes(stream([1], [2])[:-END_MARK_BYTES])
    done = here(verb, "cut.arrow", *options, *([] if limit is None else ["--limit", str(limit)]))
    assert done.returncode == 0
    assert ("end-of-stream marker" in " ".join((done.stdout + done.stderr).split())) is is_warned


def test_limit_applies_within_files(here: Run, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.arrow").write_bytes(stream([1], [2])[:-END_MARK_BYTES])
    for limit, cut in (("2", []), ("3", ["a"]), ("5", ["a", "b"]), ("7", ["a", "b", "c"])):
        done = here("verify", "a.arrow", "b.arrow", "c.arrow", "--no-model", "--json", "--limit", limit)
        found = {one["rule"]: one["examples"] for one in json.loads(done.stdout)["data"]}
        assert found.get("no-end-mark", []) == [f"{name}.arrow" for name in cut]


def test_strict_refuses_missing_end_mark(here: Run, two_streams: Path) -> None:
    whole = two_streams.read_bytes()
    strict = ("verify", two_streams, "--no-model", "--strict")
    assert here(*strict).returncode == 0
    two_streams.write_bytes(whole[:-END_MARK_BYTES])
    done = here(*strict)
    assert (done.returncode, "no-end-mark" in done.stdout) == (1, True)
    # With --limit, the end of the stream is not read.
    assert here(*strict, "--limit", "2").returncode == 0
    assert here(*strict, "--allow", "no-end-mark").returncode == 0


def test_whole_stream_gets_no_warning(here: Run, two_streams: Path) -> None:
    assert "end-of-stream" not in here("pad", two_streams, "-o", "out.jsonl", "--maxlen", "1").stderr


@pytest.mark.parametrize("second", [file([9]), file()], ids=["rows", "no rows"])
@pytest.mark.parametrize("first", [file([1], [2]), stream([1])], ids=["file", "stream"])
def test_joined_files_are_refused(here: Run, tmp_path: Path, first: bytes, second: bytes) -> None:
    (tmp_path / "a.arrow").write_bytes(first + second)
    done = here("pad", tmp_path / "a.arrow", "--maxlen", "1")
    assert done.returncode != 0
    assert "a.arrow" in done.stderr


@pytest.mark.parametrize("rows", [[], [[1]], [[1], [2, 3], []]], ids=["none", "one", "three"])
def test_files_of_any_size_are_read(here: Run, tmp_path: Path, rows: list[list[int]]) -> None:
    (tmp_path / "a.arrow").write_bytes(file(*rows))
    assert [row[:1] for row in ids(here("pad", tmp_path / "a.arrow", "--maxlen", "1"))] == [
        row[:1] or [0] for row in rows
    ]


def test_mixed_sides_are_refused(here: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1, 2]}\n{"input_ids": [3]}\n')
    streams = []
    for side in ("post", "pre"):
        options = ["--no-mask", "--length-column", "n", "--padding", side, "--maxlen", "3"]
        done = here("pad", "in.jsonl", "-o", f"{side}.arrow", *options)
        assert done.returncode == 0, done.stderr
        table = pa.ipc.open_file(tmp_path / f"{side}.arrow").read_all()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        streams.append(bytes(sink.getvalue()))
    (tmp_path / "both.arrow").write_bytes(b"".join(streams))
    for verb in ("unpad", "inspect", "verify"):
        done = here(verb, "both.arrow", *(["--no-model"] if verb == "verify" else []))
        assert done.returncode == 1, done.stderr
        assert has_facts(done.stderr, "metadata")


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
@pytest.mark.parametrize("count", [0, 2, 1000])
def test_dictionary_may_follow_batch(
    here: Run, tmp_path: Path, count: int, compression: Literal["uncompressed", "lz4", "zstd"]
) -> None:
    source = pl.Series(["web"] * count, dtype=pl.Categorical)
    frame = pl.DataFrame({"input_ids": pl.Series([[1]] * count, dtype=pl.List(pl.Int64)), "source": source})
    frame.write_ipc(tmp_path / "in.arrow", compression=compression)
    done = here("pad", "in.arrow", "-o", "out.arrow", "--maxlen", "2")
    assert done.returncode == 0, done.stderr
    padded = pa.ipc.open_file(tmp_path / "out.arrow").read_all()
    assert padded["input_ids"].to_pylist() == [[1, 0]] * count
    assert padded["source"].to_pylist() == ["web"] * count


@pytest.mark.parametrize("rows", [[], [[1], [2]]], ids=["none", "two"])
def test_legacy_files_are_read(here: Run, tmp_path: Path, rows: list[list[int]]) -> None:
    table = pa.table({"input_ids": pa.array(rows, pa.list_(pa.int64()))})
    options = pa.ipc.IpcWriteOptions(use_legacy_format=True)
    with pa.ipc.new_file(tmp_path / "in.arrow", table.schema, options=options) as writer:
        writer.write_table(table)
    done = here("pad", "in.arrow", "-o", "out.jsonl", "--maxlen", "1")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == len(rows)
