"""`padmask pad`: each option, in the order of the README.

Every test starts in an empty folder and uses relative paths, as users do. Tests of standard
input, pipes and terminals run processes.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fork_server import ForkServer
from raised import has_facts

from padmask import __version__
from padmask.cli import run

ROWS = [{"input_ids": [7, 8, 9], "id": "a"}, {"input_ids": [5], "id": "b"}]
JSONL = b'{"input_ids":[7,8,9],"id":"a"}\n{"input_ids":[5],"id":"b"}\n'

LABELLED = [
    {"input_ids": [7, 8, 9], "labels": [1, -100, 2]},
    {"input_ids": [5], "labels": [3]},
]


@dataclass(frozen=True)
class Ran:
    """The result of a run of `padmask pad`."""

    code: int
    out: bytes
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows on stdout, which is JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


Pad = Callable[..., Ran]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pad(capfdbinary: pytest.CaptureFixture[bytes]) -> Pad:
    """Run `padmask pad` in this process."""

    def run_here(*args: object) -> Ran:
        code = run(["pad", *map(str, args)])
        out, err = capfdbinary.readouterr()
        return Ran(code, out, err.decode())

    return run_here


@pytest.fixture
def process(fork_server: ForkServer, here: Path) -> Pad:
    """Run `padmask pad` in a process, with bytes on standard input."""

    def start(*args: object, stdin: bytes = b"") -> Ran:
        done = fork_server.run("pad", *map(str, args), cwd=here, stdin=stdin)
        return Ran(done.returncode, done.stdout, done.stderr.decode())

    return start


def on_terminal(*args: object, streams: Sequence[str]) -> tuple[int, str]:
    """Run `padmask pad` with some streams on a terminal. Return the exit code and the terminal's text."""
    terminal, side = pty.openpty()
    wired: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    wired |= dict.fromkeys(streams, side)
    command = [sys.executable, "-m", "padmask", "pad", *map(str, args)]
    env = {name: text for name, text in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(command, env=env | {"TERM": "xterm-256color", "COLUMNS": "120"}, **wired) as child:
        os.close(side)
        shown = b"".join(iter(lambda: _read(terminal), b""))
        os.close(terminal)
    return child.returncode, shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux reports that the other side is closed
        return b""


def write(path: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> str:
    """Write rows in the format of the suffix."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if path.endswith((".jsonl", ".ndjson", ".json")):
        records = rows.to_pylist() if isinstance(rows, pa.Table) else rows
        Path(path).write_text("".join(json.dumps(row) + "\n" for row in records))
        return path
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows))
    if path.endswith((".parquet", ".pq")):
        pq.write_table(table, path)
    else:
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return path


def read(path: str) -> list[dict[str, Any]]:
    """Read the rows of a file in the format of the suffix."""
    rows: list[dict[str, Any]]
    if path.endswith(".parquet"):
        rows = pq.read_table(path).to_pylist()
    elif path.endswith(".arrow"):
        with pa.OSFile(path) as source:
            rows = pa.ipc.open_file(source).read_all().to_pylist()
    else:
        rows = [json.loads(line) for line in Path(path).read_bytes().splitlines()]
    return rows


def read_npz(path: str) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def stream_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


def unzstd(data: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        whole: bytes = stream.read()
    return whole


def assert_refused(ran: Ran, *said: str, code: int = 1) -> None:
    """Check that stdout is empty and stderr has these words. Exit code 1 means that the data is at fault."""
    assert ran.code == code
    assert ran.out == b""
    assert "Error: " in ran.err
    assert "Traceback" not in ran.err
    for words in said:
        assert words in ran.err


# INPUT...


def test_every_row_gets_a_mask(pad: Pad) -> None:
    ran = pad(write("in.jsonl", ROWS))

    assert ran.code == 0
    assert ran.rows == [
        {"input_ids": [7, 8, 9], "id": "a", "mask": [True, True, True]},
        {"input_ids": [5, 0, 0], "id": "b", "mask": [True, False, False]},
    ]


@pytest.mark.parametrize("inputs", [(), ("-",)], ids=["nothing", "dash"])
def test_stdin_is_read(process: Pad, inputs: tuple[str, ...]) -> None:
    ran = process(*inputs, stdin=JSONL)

    assert ran.code == 0
    assert ran.column("input_ids") == [[7, 8, 9], [5, 0, 0]]


def test_terminal_stdin_shows_help() -> None:
    _, shown = on_terminal(streams=("stdin", "stderr", "stdout"))

    assert "Usage: padmask pad [OPTIONS] [INPUT]..." in shown
    assert "--maxlen" in shown


def test_inputs_keep_their_order(pad: Pad) -> None:
    write("b.jsonl", [{"input_ids": [1]}])
    write("a.jsonl", [{"input_ids": [2, 2, 2]}, {"input_ids": [3]}])
    write("c.jsonl", [{"input_ids": [4, 4]}])

    ran = pad("b.jsonl", "a.jsonl", "c.jsonl")

    assert ran.column("input_ids") == [[1, 0, 0], [2, 2, 2], [3, 0, 0], [4, 4, 0]]


def test_stdin_among_files(process: Pad) -> None:
    write("first.jsonl", [{"input_ids": [1]}])
    write("last.jsonl", [{"input_ids": [4]}])

    ran = process("first.jsonl", "-", "last.jsonl", stdin=b'{"input_ids":[2]}\n{"input_ids":[3]}\n')

    assert ran.column("input_ids") == [[1], [2], [3], [4]]


def test_stdin_twice_is_refused(pad: Pad) -> None:
    assert_refused(pad("-", "-"), "once", code=2)


def test_missing_columns_become_null(pad: Pad) -> None:
    write("a.parquet", [{"input_ids": [1]}])
    write("b.parquet", [{"input_ids": [2], "id": "x"}])

    assert pad("a.parquet", "b.parquet").column("id") == [None, "x"]


def test_mixed_formats_are_refused(pad: Pad) -> None:
    write("a.parquet", ROWS)
    write("b.jsonl", ROWS)

    assert_refused(pad("a.parquet", "b.jsonl"), "a.parquet", "b.jsonl", code=2)


def test_folder_files_are_sorted(pad: Pad) -> None:
    write("data/b.jsonl", [{"input_ids": [2]}])
    write("data/a.jsonl", [{"input_ids": [1]}])
    write("data/deeper/c.jsonl", [{"input_ids": [3]}])
    Path("data/README.md").write_text("not data")

    ran = pad("data")

    assert sorted(ran.column("input_ids")) == [[1], [2], [3]]
    assert ran.column("input_ids").index([1]) < ran.column("input_ids").index([2])


def test_hidden_files_are_skipped(pad: Pad) -> None:
    write("data/a.jsonl", [{"input_ids": [1]}])
    for hidden in (".a.jsonl", "_a.jsonl", ".git/a.jsonl", "_temporary/a.jsonl"):
        write(f"data/{hidden}", [{"input_ids": [99]}])

    assert pad("data").column("input_ids") == [[1]]


def test_named_hidden_file_is_read(pad: Pad) -> None:
    assert pad(write("_shard.jsonl", [{"input_ids": [1]}])).column("input_ids") == [[1]]


def test_empty_folder_is_refused(pad: Pad) -> None:
    Path("empty").mkdir()

    assert_refused(pad("empty"), "empty", code=2)


def test_missing_file_is_named(pad: Pad) -> None:
    assert_refused(pad("nowhere.jsonl"), "nowhere.jsonl", code=2)


def test_named_pipe_with_longest(process: Pad) -> None:
    os.mkfifo("pipe")
    with subprocess.Popen(["sh", "-c", "cat > pipe"], stdin=subprocess.PIPE) as cat:
        assert cat.stdin is not None
        cat.stdin.write(JSONL)
        cat.stdin.close()
        ran = process("pipe")

    assert ran.column("mask") == [[True, True, True], [True, False, False]]


# -o, --output; --input-format, --output-format


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_output_suffix_sets_format(pad: Pad, suffix: str) -> None:
    ran = pad(write("in.jsonl", ROWS), "-o", f"out.{suffix}")

    assert (ran.code, ran.out) == (0, b"")
    assert [row["input_ids"] for row in read(f"out.{suffix}")] == [[7, 8, 9], [5, 0, 0]]
    assert [row["id"] for row in read(f"out.{suffix}")] == ["a", "b"]


def test_dash_output_is_jsonl(pad: Pad) -> None:
    write("in.parquet", ROWS)

    assert pad("in.parquet", "-o", "-").rows == pad("in.parquet").rows
    assert pad("in.parquet").rows[1] == {"input_ids": [5, 0, 0], "id": "b", "mask": [True, False, False]}


def test_output_may_be_the_input(pad: Pad) -> None:
    write("data.jsonl", ROWS)

    assert pad("data.jsonl", "-o", "data.jsonl").code == 0
    assert [row["input_ids"] for row in read("data.jsonl")] == [[7, 8, 9], [5, 0, 0]]


def test_output_format(pad: Pad) -> None:
    write("in.jsonl", ROWS)

    assert pad("in.jsonl", "-o", "out", "--output-format", "parquet").code == 0
    assert pq.read_table("out").num_rows == 2
    assert_refused(pad("in.jsonl", "-o", "nameless"), "--output-format", code=2)


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson", "json", "parquet", "pq", "arrow", "feather", "ipc"])
def test_input_suffix_sets_format(pad: Pad, suffix: str) -> None:
    assert pad(write(f"in.{suffix}", ROWS)).column("input_ids") == [[7, 8, 9], [5, 0, 0]]


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
def test_input_format_overrides_suffix(pad: Pad, format_: str) -> None:
    os.replace(write(f"in.{format_}", ROWS), "in.txt" if format_ == "jsonl" else "in.json")

    ran = pad("in.txt" if format_ == "jsonl" else "in.json", "--input-format", format_)

    assert ran.column("input_ids") == [[7, 8, 9], [5, 0, 0]]


def _as_bytes(form: str) -> bytes:
    table = pa.Table.from_pylist(ROWS)
    if form == "arrow-stream":
        return stream_of(table)
    if form in ("parquet", "arrow"):
        return Path(write(f"whole.{form}", table)).read_bytes()
    return {"jsonl": JSONL, "gzip": gzip.compress(JSONL), "zstd": zstd(JSONL)}[form]


FORMS = ["jsonl", "gzip", "zstd", "parquet", "arrow", "arrow-stream"]


@pytest.mark.parametrize("form", FORMS)
def test_format_from_first_bytes(pad: Pad, form: str) -> None:
    Path("nameless").write_bytes(_as_bytes(form))

    assert pad("nameless").column("input_ids") == [[7, 8, 9], [5, 0, 0]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("maxlen", ["3", "longest"])
def test_stdin_format_from_first_bytes(process: Pad, form: str, maxlen: str) -> None:
    ran = process("--maxlen", maxlen, stdin=_as_bytes(form))

    assert ran.column("input_ids") == [[7, 8, 9], [5, 0, 0]]
    assert ran.column("id") == ["a", "b"]


def test_stdout_arrow_is_a_stream(process: Pad) -> None:
    ran = process("--output-format", "arrow", stdin=JSONL)

    assert pa.ipc.open_stream(ran.out).read_all()["input_ids"].to_pylist() == [[7, 8, 9], [5, 0, 0]]


def test_stdout_parquet_is_complete(process: Pad) -> None:
    ran = process("--output-format", "parquet", stdin=JSONL)

    assert pq.read_table(io.BytesIO(ran.out))["mask"].to_pylist()[1] == [True, False, False]


def test_stdout_npz_is_complete(process: Pad) -> None:
    ran = process("--output-format", "npz", stdin=JSONL)

    with np.load(io.BytesIO(ran.out)) as archive:
        assert archive["input_ids"].tolist() == [[7, 8, 9], [5, 0, 0]]


def test_npz_arrays(pad: Pad) -> None:
    pad(write("in.jsonl", LABELLED), "-c", "input_ids", "-c", "labels=-100", "-o", "out.npz")

    arrays = read_npz("out.npz")

    assert {name: array.tolist() for name, array in arrays.items()} == {
        "input_ids": [[7, 8, 9], [5, 0, 0]],
        "labels": [[1, -100, 2], [3, -100, -100]],
        "mask": [[True, True, True], [True, False, False]],
        "length": [3, 1],
    }
    assert (arrays["input_ids"].dtype, arrays["mask"].dtype) == (np.int32, np.bool_)


def test_npz_mask_name(pad: Pad) -> None:
    pad(write("in.jsonl", ROWS), "--mask-column", "attention_mask", "--mask-dtype", "int64", "-o", "out.npz")

    assert read_npz("out.npz")["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert read_npz("out.npz")["attention_mask"].dtype == np.int64


@pytest.mark.parametrize(
    ("options", "name"),
    [((), "length"), (("--no-mask",), "length"), (("--length-column", "kept"), "kept")],
    ids=["plain", "no-mask", "named"],
)
def test_npz_always_has_lengths(pad: Pad, options: tuple[str, ...], name: str) -> None:
    pad(write("in.jsonl", ROWS), "-o", "out.npz", *options)

    assert read_npz("out.npz")[name].tolist() == [3, 1]


def test_npz_warns_of_omitted_fields(pad: Pad) -> None:
    ran = pad(write("in.jsonl", ROWS), "-o", "out.npz")

    assert "id" not in read_npz("out.npz")
    assert "warning" in ran.err
    assert "'id'" in ran.err


def test_npz_column_named_length(pad: Pad) -> None:
    """A column named `length` is refused or kept, never replaced silently."""
    ran = pad(write("in.jsonl", [{"length": [7, 8]}, {"length": [9]}]), "-c", "length", "-o", "out.npz")

    assert ran.code == 2 or read_npz("out.npz")["length"].tolist() == [[7, 8], [9, 0]]


def test_npz_field_named_length(pad: Pad) -> None:
    ran = pad(write("in.jsonl", [{"input_ids": [7, 8], "length": 12.5}]), "-o", "out.npz")

    assert "'length'" in ran.err


def test_npz_strings_need_no_pickle(pad: Pad) -> None:
    pad(write("in.jsonl", [{"tokens": ["a", "longer"]}, {"tokens": ["é"]}]), "-o", "out.npz")

    assert read_npz("out.npz")["tokens"].tolist() == [["a", "longer"], ["é", ""]]


@pytest.mark.parametrize("maxlen", ["0", "2"])
@pytest.mark.parametrize("rows", [[], ROWS], ids=["no rows", "rows"])
def test_npz_of_nothing_has_shapes(pad: Pad, maxlen: str, rows: Any) -> None:
    schema = pa.schema([("input_ids", pa.list_(pa.int64())), ("id", pa.string())])
    write("in.parquet", pa.Table.from_pylist(rows, schema=schema))

    assert pad("in.parquet", "--maxlen", maxlen, "-o", "out.npz").code == 0
    assert read_npz("out.npz")["input_ids"].shape == (len(rows), int(maxlen))
    assert read_npz("out.npz")["mask"].shape == (len(rows), int(maxlen))
    assert read_npz("out.npz")["input_ids"].dtype == np.int32


def test_npz_input_is_read(pad: Pad) -> None:
    np.savez("in.npz", input_ids=np.array([[1, 2]]))

    assert json.loads(pad("in.npz", "--maxlen", 3).out)["input_ids"] == [1, 2, 0]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstd)], ids=["gz", "zst"])
def test_compressed_jsonl_is_read(pad: Pad, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    Path(f"in.jsonl{suffix}").write_bytes(pack(JSONL))

    assert pad(f"in.jsonl{suffix}").column("input_ids") == [[7, 8, 9], [5, 0, 0]]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstd)], ids=["gz", "zst"])
def test_joined_compressed_files(pad: Pad, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    first, second = JSONL.splitlines(keepends=True)
    Path(f"in.jsonl{suffix}").write_bytes(pack(first) + pack(second))

    assert pad(f"in.jsonl{suffix}").column("id") == ["a", "b"]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstd)], ids=["gz", "zst"])
def test_truncated_compressed_files(pad: Pad, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    Path(f"in.jsonl{suffix}").write_bytes(pack(JSONL * 50)[:-9])

    assert_refused(pad(f"in.jsonl{suffix}", "-o", "out.jsonl"), f"in.jsonl{suffix}")
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize("name", ["out.jsonl.gz", "out.gz", "out.jsonl.zst", "out.zst", "out.jsonl.GZ"])
def test_suffix_compresses_output(pad: Pad, name: str) -> None:
    plain = pad(write("in.jsonl", ROWS)).out

    assert pad("in.jsonl", "-o", name).code == 0

    unpack = gzip.decompress if name.lower().endswith(".gz") else unzstd
    assert unpack(Path(name).read_bytes()) == plain


def test_compressed_round_trip(pad: Pad) -> None:
    write("in.jsonl", ROWS)
    pad("in.jsonl", "-o", "packed.jsonl.gz", "--maxlen", "4")

    again = pad("packed.jsonl.gz", "--overwrite-mask", "--allow-padded")
    assert again.column("input_ids") == [[7, 8, 9, 0], [5, 0, 0, 0]]


# -c, --column


def test_columns_are_cut_alike(pad: Pad) -> None:
    ran = pad(
        write("in.jsonl", LABELLED),
        *("-c", "input_ids", "-c", "labels=-100", "--maxlen", "2", "--truncating", "pre"),
    )

    assert ran.rows == [
        {"input_ids": [8, 9], "labels": [-100, 2], "mask": [True, True]},
        {"input_ids": [5, 0], "labels": [3, -100], "mask": [True, False]},
    ]


def test_column_dtype_and_value(pad: Pad) -> None:
    pad(
        write("in.jsonl", LABELLED),
        *("-c", "input_ids:int64", "-c", "labels:int16=-100", "-o", "out.parquet"),
    )

    table = pq.read_table("out.parquet")
    assert table.schema.field("input_ids").type.value_type == pa.int64()
    assert table.schema.field("labels").type.value_type == pa.int16()
    assert table["labels"].to_pylist()[1] == [3, -100, -100]


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
@pytest.mark.parametrize("whole", ["labels=-100", "labels:int64", "labels:int64=-100", "a:b=c=d"])
def test_exact_column_name_wins(pad: Pad, format_: str, whole: str) -> None:
    write(f"in.{format_}", [{"labels": [1, 2], whole: [7]}, {"labels": [3], whole: [8, 9]}])

    ran = pad(f"in.{format_}", "-c", whole, "--no-mask")

    assert ran.column(whole) == [[7, 0], [8, 9]]
    assert ran.column("labels") == [[1, 2], [3]]


def test_column_name_with_punctuation(pad: Pad) -> None:
    ran = pad(write("in.jsonl", [{"a=b": [1]}, {"a=b": [2, 3]}]), "-c", "a=b:int64=-1")

    assert ran.column("a=b") == [[1, -1], [2, 3]]


@pytest.mark.parametrize(
    ("row", "padded"),
    [
        ({"tokens": ["a"], "input_ids": [1], "x": [2]}, "input_ids"),
        ({"x": [2], "tokens": ["a"]}, "tokens"),
        ({"id": 3, "x": [2], "flags": [True]}, "x"),
    ],
    ids=["input_ids", "tokens", "the only list column"],
)
@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_default_column(pad: Pad, format_: str, row: dict[str, Any], padded: str) -> None:
    ran = pad(write(f"in.{format_}", [row]), "--maxlen", "2")

    assert {name for name, value in ran.rows[0].items() if isinstance(value, list) and len(value) == 2} == {
        padded,
        "mask",
    }


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_ambiguous_columns_are_listed(pad: Pad, format_: str) -> None:
    write(f"in.{format_}", [{"left": [1], "id": 5, "right": [2, 3]}])

    ran = pad(f"in.{format_}")

    assert_refused(ran, "'left'", "'right'", "-c", code=2)
    assert "'id'" not in ran.err


def test_no_list_column(pad: Pad) -> None:
    assert_refused(pad(write("in.jsonl", [{"text": "hello", "id": 5}])), "'text'", "'id'", code=2)


def test_misspelled_column(pad: Pad) -> None:
    assert_refused(
        pad(write("in.jsonl", ROWS), "-c", "input_id"), "'input_id'", "Did you mean 'input_ids'?", code=2
    )


def test_unequal_columns_are_refused(pad: Pad) -> None:
    write("in.jsonl", [*LABELLED, {"input_ids": [1, 2], "labels": [1]}])

    assert_refused(pad("in.jsonl", "-c", "input_ids", "-c", "labels"), "line 3", "'labels'", "'input_ids'")


def test_repeated_column_is_refused(pad: Pad) -> None:
    assert_refused(pad(write("in.jsonl", LABELLED), "-c", "labels", "-c", "labels=-100"), "'labels'", code=2)


def test_unknown_dtype_lists_known_ones(pad: Pad) -> None:
    assert_refused(pad(write("in.jsonl", ROWS), "-c", "input_ids:int128"), "int128", "int64", code=2)


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
def test_similar_columns_are_named(pad: Pad, format_: str) -> None:
    """The summary and the report list the unpadded columns, with an option that works."""
    write(f"in.{format_}", [row | {"my tags": row["labels"], "other": [1, 2], "id": 0} for row in LABELLED])

    ran = pad(f"in.{format_}", "--report", "report.json")

    unpadded = json.loads(Path("report.json").read_text())["unpadded"]
    assert list(unpadded) == ["my tags"]
    assert unpadded["my tags"] in ran.err
    assert ran.column("my tags") == [[1, -100, 2], [3]]
    again = pad(f"in.{format_}", *shlex.split(unpadded["my tags"]))
    assert again.column("input_ids") == [[7, 8, 9], [5, 0, 0]]
    assert again.column("labels") == again.column("my tags") == [[1, -100, 2], [3, -100, -100]]


@pytest.mark.parametrize(
    ("name", "values", "option"),
    [
        ("x", [1, 2], "-c x=VALUE (VALUE is "),
        ("ner_tags", [1, 2], "-c ner_tags=-100\n"),
        ("loss", [0.5, 2.0], "-c loss\n"),
        ("words", ["a", "b"], "-c words\n"),
    ],
)
def test_similar_columns_have_a_pad_value(pad: Pad, name: str, values: list[Any], option: str) -> None:
    write("in.jsonl", [{"input_ids": [7, 8], name: values}])
    assert f"To pad it too: -c input_ids {option}" in pad("in.jsonl").err


def test_nearly_similar_columns_are_named(pad: Pad) -> None:
    rows = [*[{"input_ids": [7, 8], "tags": [1, 2]}] * 9, {"input_ids": [7, 8], "tags": [1]}]
    options = pad(write("in.jsonl", rows)).err.partition("differ as bad rows: ")[2].split()
    assert options == ["-c", "input_ids", "-c", "tags=-100"]
    assert_refused(pad("in.jsonl", *options), "line 10", "'tags' has 1 token", "'input_ids' has 2")


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ([], "-c 'b c'"),
        (["-c", "my ids", "-c", "b c"], "-c 'my ids'. To pad 'b c'"),
        (["-c", "my ids", "-c", "b c"], "--own-length 'b c'"),
        (["-c", "my ids:string"], "-c 'my ids:int32'"),
        (["-c", "my ids", "--own-mask", "b c=m"], "--own-length 'b c'"),
        (["-c", "my ids", "--labels-from", "b c"], "--labels-from 'my ids'"),
    ],
)
def test_names_in_options_are_quoted(pad: Pad, options: list[str], printed: str) -> None:
    ran = pad(write("in.jsonl", [{"my ids": [7, 8], "b c": [9]}]), *options)
    assert (ran.code > 0, printed in ran.err) == (True, True)


def test_other_columns_are_not_named(pad: Pad) -> None:
    ran = pad(write("in.jsonl", [{"input_ids": [1, 2], "bbox": [1, 2, 3, 4]}]))

    assert "bbox" not in ran.err


# --maxlen, --pad-to-multiple-of

LENGTHS = [1] * 90 + [5] * 5 + [9] * 4 + [20]


@pytest.mark.parametrize(
    ("asked", "maxlen"),
    [("4", 4), ("0", 0), ("longest", 20), ("p90", 1), ("p95", 5), ("p95.1", 9), ("p99", 9), ("p100", 20)],
)
@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_maxlen_sets_the_row_length(pad: Pad, format_: str, asked: str, maxlen: int) -> None:
    write(f"in.{format_}", [{"input_ids": [7] * length} for length in LENGTHS])

    ran = pad(f"in.{format_}", "--maxlen", asked)

    assert {len(ids) for ids in ran.column("input_ids")} == {maxlen}
    assert {len(mask) for mask in ran.column("mask")} == {maxlen}
    assert [sum(mask) for mask in ran.column("mask")] == [min(length, maxlen) for length in LENGTHS]


def test_longest_is_the_default(pad: Pad) -> None:
    write("in.jsonl", ROWS)

    assert pad("in.jsonl").out == pad("in.jsonl", "--maxlen", "longest").out


def test_longest_spans_all_inputs(pad: Pad) -> None:
    write("a.jsonl", [{"input_ids": [1]}])
    write("b.jsonl", [{"input_ids": [1] * 6}])

    assert pad("a.jsonl", "b.jsonl").column("input_ids")[0] == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("asked", ["-1", "4.5", "p0", "p101", "p", "95p", "1_000", "long", ""])
def test_invalid_maxlen_is_refused(pad: Pad, asked: str) -> None:
    assert_refused(pad(write("in.jsonl", ROWS), f"--maxlen={asked}"), code=2)


@pytest.mark.parametrize(
    ("maxlen", "places"), [("longest", 24), ("p95", 8), ("p99", 16)], ids=["longest", "p95", "p99"]
)
def test_multiple_rounds_up(pad: Pad, maxlen: str, places: int) -> None:
    write("in.jsonl", [{"input_ids": [7] * length} for length in LENGTHS])

    ran = pad("in.jsonl", "--maxlen", maxlen, "--pad-to-multiple-of", "8")

    assert {len(ids) for ids in ran.column("input_ids")} == {places}


def test_multiple_keeps_exact_length(pad: Pad) -> None:
    ran = pad(write("in.jsonl", [{"input_ids": [1] * 8}]), "--pad-to-multiple-of", "4")

    assert ran.column("input_ids") == [[1] * 8]


def test_maxlen_must_be_a_multiple(pad: Pad) -> None:
    write("in.jsonl", ROWS)

    assert_refused(pad("in.jsonl", "--maxlen", "10", "--pad-to-multiple-of", "8"), "10", "8", code=2)
    assert len(pad("in.jsonl", "--maxlen", "16", "--pad-to-multiple-of", "8").column("mask")[0]) == 16


# --padding, --truncating


@pytest.mark.parametrize(
    ("padding", "truncating", "ids", "masks"),
    [
        ("post", "post", [[7, 8], [5, 0]], [[True, True], [True, False]]),
        ("post", "pre", [[8, 9], [5, 0]], [[True, True], [True, False]]),
        ("pre", "post", [[7, 8], [0, 5]], [[True, True], [False, True]]),
        ("pre", "pre", [[8, 9], [0, 5]], [[True, True], [False, True]]),
    ],
)
def test_padding_and_truncating(
    pad: Pad, padding: str, truncating: str, ids: list[Any], masks: list[Any]
) -> None:
    ran = pad(write("in.jsonl", ROWS), "--maxlen", "2", "--padding", padding, "--truncating", truncating)

    assert ran.column("input_ids") == ids
    assert ran.column("mask") == masks


def test_sides_default_to_post(pad: Pad) -> None:
    assert pad(write("in.jsonl", ROWS), "--maxlen", "2").column("input_ids") == [[7, 8], [5, 0]]


def test_padding_pre_needs_no_warning(pad: Pad) -> None:
    assert "cuDNN" not in pad(write("in.jsonl", ROWS), "--padding", "pre").err


def test_token_may_equal_pad_value(pad: Pad) -> None:
    ran = pad(write("in.jsonl", [{"input_ids": [0, 5, 0]}, {"input_ids": [0]}]))

    assert ran.column("mask") == [[True, True, True], [True, False, False]]


# --value, --dtype


def test_value_is_the_default(pad: Pad) -> None:
    ran = pad(write("in.jsonl", LABELLED), "-c", "input_ids", "-c", "labels=-100", "--value", "-1")

    assert ran.column("input_ids")[1] == [5, -1, -1]
    assert ran.column("labels")[1] == [3, -100, -100]


@pytest.mark.parametrize(
    ("options", "padding"),
    [((), ""), (("--value", "[PAD]"), "[PAD]"), (("-c", "tokens=<pad>"), "<pad>"), (("-c", "tokens="), "")],
    ids=["default", "value", "own", "own empty"],
)
def test_string_pad_value(pad: Pad, options: tuple[str, ...], padding: str) -> None:
    ran = pad(write("in.jsonl", [{"tokens": ["a", "b"]}, {"tokens": ["c"]}]), *options)

    assert ran.column("tokens") == [["a", "b"], ["c", padding]]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int32", "2147483648"),
        ("int16", "40000"),
        ("uint16", "-1"),
        ("int32", "0.5"),
        ("int64", "9223372036854775808"),
        ("int32", "nan"),
        ("int32", "<pad>"),
        ("float32", "1e+40"),
    ],
)
def test_pad_value_must_fit_dtype(pad: Pad, dtype: str, value: str) -> None:
    ran = pad(write("in.jsonl", ROWS), "--dtype", dtype, "--value", value, "-o", "out.parquet")

    assert_refused(ran, "input_ids", value, code=2)
    assert not Path("out.parquet").exists()


@pytest.mark.parametrize("dtype", ["int32", "int64", "int16", "uint16", "float32", "float64"])
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_dtype_of_lists(pad: Pad, suffix: str, dtype: str) -> None:
    pad(write("in.jsonl", ROWS), "--dtype", dtype, "-o", f"out.{suffix}")

    if suffix == "parquet":
        schema = pq.read_schema("out.parquet")
    else:
        with pa.OSFile("out.arrow") as source:
            schema = pa.ipc.open_file(source).schema
    assert pa.types.is_list(schema.field("input_ids").type)
    assert schema.field("input_ids").type.value_type == pa.from_numpy_dtype(np.dtype(dtype))
    assert [row["input_ids"] for row in read(f"out.{suffix}")] == [[7, 8, 9], [5, 0, 0]]


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_default_dtypes(pad: Pad, format_: str) -> None:
    row = {"ints": [1, 2], "floats": [0.5, 1.5], "strings": ["a", "b"]}
    write(f"in.{format_}", [row])

    pad(f"in.{format_}", *("-c", "ints", "-c", "floats", "-c", "strings", "-o", "out.parquet"))

    types = {field.name: field.type for field in pq.read_schema("out.parquet")}
    assert {name: types[name].value_type for name in row} == {
        "ints": pa.int32(),
        "floats": pa.float32() if format_ == "jsonl" else pa.float64(),
        "strings": pa.string(),
    }


def test_float64_keeps_all_digits(pad: Pad) -> None:
    pad(write("in.jsonl", [{"x": [0.1, 0.2]}]), "--dtype", "float64", "-o", "out.npz")

    assert read_npz("out.npz")["x"].tolist() == [[0.1, 0.2]]


def test_whole_floats_become_ints(pad: Pad) -> None:
    ran = pad(write("in.jsonl", [{"x": [1.0, 2.0]}]), "--dtype", "int32")
    assert ran.column("x") == [[1, 2]]

    assert_refused(
        pad(write("in.jsonl", [{"x": [1.0, 2.5]}]), "--dtype", "int32"), "line 1", "'x'", "position 1", "2.5"
    )


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
@pytest.mark.parametrize("options", [("--dtype", "float32"), ("-c", "x:float64")], ids=["dtype", "own dtype"])
def test_float_column_starting_with_int(pad: Pad, format_: str, options: tuple[str, ...]) -> None:
    """A column of floats may start with an int: JavaScript, jq and PostgreSQL write the float 0.0 as `0`."""
    if format_ == "jsonl":
        Path("in.jsonl").write_text('{"x":[0,0.5]}\n{"x":[1.25]}\n')
    else:
        write("in.parquet", [{"x": [0.0, 0.5]}, {"x": [1.25]}])

    ran = pad(f"in.{format_}", *options)

    assert ran.column("x") == [[0.0, 0.5], [1.25, 0.0]]


@pytest.mark.parametrize(
    ("token", "dtype"),
    [
        (2**31, "int32"),
        (-(2**31) - 1, "int32"),
        (2**15, "int16"),
        (-1, "uint16"),
        (2**24 + 1, "float32"),
        (2**53 + 1, "float64"),
    ],
)
@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_token_must_fit_dtype(pad: Pad, format_: str, token: int, dtype: str) -> None:
    write(f"in.{format_}", [{"input_ids": [1]}, {"input_ids": [1, 2, token]}])

    ran = pad(f"in.{format_}", "--dtype", dtype)

    place = "line 2" if format_ == "jsonl" else "row 1"
    assert_refused(ran, f"in.{format_}", place, "'input_ids'", "position 2", str(token), dtype)


def test_strings_are_not_numbers(pad: Pad) -> None:
    assert_refused(pad(write("in.jsonl", [{"tokens": ["a"]}]), "--dtype", "int64"), "'tokens'", code=2)
    assert_refused(pad(write("in.jsonl", ROWS), "--dtype", "string"), "'input_ids'", code=2)


# --limit


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("limit", [0, 1, 3, 4, 99])
def test_limit_spans_inputs(pad: Pad, format_: str, limit: int) -> None:
    write(f"a.{format_}", [{"input_ids": [1]}, {"input_ids": [2]}])
    write(f"b.{format_}", [{"input_ids": [3]}, {"input_ids": [4]}])

    ran = pad(f"a.{format_}", f"b.{format_}", "--limit", limit)

    assert ran.column("input_ids") == [[1], [2], [3], [4]][:limit]


@pytest.mark.parametrize("output", ["-", "out.parquet"])
def test_rows_past_limit_are_not_read(pad: Pad, output: str) -> None:
    Path("in.jsonl").write_text(
        '{"input_ids":[1]}\n\n{"input_ids":[2,3]}\n{"input_ids":[1,2,3,4],"id":1}\n{"input_ids":null}\nrubbish\n'
    )

    ran = pad("in.jsonl", "--limit", "2", "-o", output)

    assert ran.code == 0
    rows = ran.rows if output == "-" else read(output)
    assert [row["input_ids"] for row in rows] == [[1, 0], [2, 3]]


# the mask and the length


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet", "out.npz"])
def test_existing_mask_is_refused(pad: Pad, format_: str, output: str) -> None:
    write(f"in.{format_}", [{"input_ids": [1], "mask": "mine"}])

    ran = pad(f"in.{format_}", "-o", output)

    assert_refused(ran, "'mask'", "--overwrite-mask", code=2)
    assert not Path(output).exists()


def test_late_mask_is_refused(pad: Pad) -> None:
    rows = [{"input_ids": [1]}] * 2000 + [{"input_ids": [1], "mask": [1]}]

    assert_refused(pad(write("in.jsonl", rows), "-o", "out.jsonl"), "line 2001", "'mask'")


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet", "out.arrow"])
def test_overwrite_mask(pad: Pad, format_: str, output: str) -> None:
    write(f"in.{format_}", [{"input_ids": [1], "mask": "mine"}, {"input_ids": [1, 2], "mask": "mine"}])

    assert pad(f"in.{format_}", "-o", output, "--overwrite-mask").code == 0
    assert [row["mask"] for row in read(output)] == [[True, False], [True, True]]
    assert [sorted(row) for row in read(output)] == [["input_ids", "mask"]] * 2


@pytest.mark.parametrize("option", ["--mask-column", "--length-column"])
def test_overwrite_mask_keeps_tokens(pad: Pad, option: str) -> None:
    ran = pad(write("in.jsonl", ROWS), option, "input_ids", "--overwrite-mask")

    assert_refused(ran, "'input_ids'", code=2)


def test_mask_column(pad: Pad) -> None:
    ran = pad(write("in.jsonl", [{"input_ids": [1], "mask": "mine"}]), "--mask-column", "real")

    assert ran.rows == [{"input_ids": [1], "mask": "mine", "real": [True]}]


@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "int64"])
def test_mask_dtype(pad: Pad, dtype: str) -> None:
    write("in.jsonl", ROWS)
    pad("in.jsonl", "--mask-dtype", dtype, "-o", "out.parquet")

    expected = pa.bool_() if dtype == "bool" else pa.from_numpy_dtype(np.dtype(dtype))
    assert pq.read_schema("out.parquet").field("mask").type.value_type == expected
    assert pq.read_table("out.parquet")["mask"].to_pylist() == [[1, 1, 1], [1, 0, 0]]


def test_mask_in_json(pad: Pad) -> None:
    write("in.jsonl", ROWS)

    assert b'"mask":[true,false,false]' in pad("in.jsonl").out
    assert b'"mask":[1,0,0]' in pad("in.jsonl", "--mask-dtype", "int64").out


def test_help_shows_a_preset(pad: Pad) -> None:
    assert b"padmask pad train.jsonl -o hf.parquet --preset hf\n" in pad("--help").out


def test_no_mask(pad: Pad) -> None:
    ran = pad(write("in.jsonl", [{"input_ids": [1], "mask": "mine"}]), "--no-mask", "--maxlen", "2")

    assert ran.rows == [{"input_ids": [1, 0], "mask": "mine"}]


@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet", "out.arrow"])
def test_length_column(pad: Pad, output: str) -> None:
    write("in.jsonl", [*ROWS, {"input_ids": [], "id": "c"}])

    pad("in.jsonl", "--maxlen", "2", "--length-column", "n", "-o", output)
    assert [row["n"] for row in read(output)] == [2, 1, 0]

    pad("in.jsonl", "--maxlen", "2", "-o", output)
    assert list(read(output)[0]) == ["input_ids", "id", "mask"]


def test_length_column_name_is_taken(pad: Pad) -> None:
    write("in.jsonl", ROWS)

    assert_refused(pad("in.jsonl", "--length-column", "id"), "'id'", code=2)
    assert_refused(pad("in.jsonl", "--length-column", "mask"), "'mask'", code=2)


# --overlong, --empty-rows, --on-error, --rejects

MIXED = [
    {"input_ids": [1, 2, 3], "id": 0},
    {"input_ids": [], "id": 1},
    {"input_ids": [4], "id": 2},
]


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_overlong_drops_or_refuses(pad: Pad, format_: str) -> None:
    write(f"in.{format_}", MIXED)

    assert pad(f"in.{format_}", "--maxlen", "2").column("input_ids") == [[1, 2], [0, 0], [4, 0]]
    dropped = pad(f"in.{format_}", "--maxlen", "2", "--overlong", "drop")
    assert dropped.column("id") == [1, 2]
    assert "1 row dropped" in dropped.err
    refused = pad(f"in.{format_}", "--maxlen", "2", "--overlong", "error")
    assert_refused(refused, f"in.{format_}", "line 1" if format_ == "jsonl" else "row 0", "3", "2")


def test_row_of_maxlen_is_not_overlong(pad: Pad) -> None:
    assert pad(write("in.jsonl", MIXED), "--maxlen", "3", "--overlong", "error").code == 0


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_empty_rows(pad: Pad, format_: str) -> None:
    write(f"in.{format_}", MIXED)

    kept = pad(f"in.{format_}")
    assert kept.rows[1] == {"input_ids": [0, 0, 0], "id": 1, "mask": [False, False, False]}
    assert "warning[row-fully-masked]: 1 row" in kept.err
    assert "NaN" in kept.err
    dropped = pad(f"in.{format_}", "--empty-rows", "drop")
    assert dropped.column("id") == [0, 2]
    assert "NaN" not in dropped.err
    refused = pad(f"in.{format_}", "--empty-rows", "error")
    assert_refused(refused, f"in.{format_}", "line 2" if format_ == "jsonl" else "row 1")


def test_percentile_skips_dropped_rows(pad: Pad) -> None:
    rows = [{"input_ids": []}] * 9 + [{"input_ids": [1, 2]}]

    ran = pad(write("in.jsonl", rows), "--maxlen", "p50", "--empty-rows", "drop")

    assert ran.column("input_ids") == [[1, 2]]


BAD_LINES = {
    "null row": '{"input_ids":null,"id":9}',
    "missing key": '{"id":9}',
    "value that does not fit": '{"input_ids":[3000000000],"id":9}',
    "null token": '{"input_ids":[1,null],"id":9}',
    "bool token": '{"input_ids":[1,true],"id":9}',
    "float token": '{"input_ids":[1,2.5],"id":9}',
    "string token": '{"input_ids":[1,"2"],"id":9}',
    "nested token": '{"input_ids":[1,[2]],"id":9}',
    "no list": '{"input_ids":7,"id":9}',
    "huge number": '{"input_ids":[1e999],"id":9}',
    "id over int64": '{"input_ids":[9223372036854775808],"id":9}',
    "no object": "[1,2]",
    "no JSON": "{rubbish",
    "cut off": '{"input_ids":[1,2',
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_on_error(pad: Pad, line: str) -> None:
    """The error has the location of the bad line. With `skip`, only the rejects contain this line."""
    Path("in.jsonl").write_text('{"input_ids":[1],"id":0}\n' + line + '\n{"input_ids":[2],"id":1}\n')

    assert_refused(pad("in.jsonl", "-o", "out.jsonl"), "in.jsonl, line 2", "--on-error skip")
    assert not Path("out.jsonl").exists()

    ran = pad("in.jsonl", "--on-error", "skip", "--rejects", "bad.jsonl")
    assert ran.column("id") == [0, 1]
    assert "1 row rejected" in ran.err
    (reject,) = read("bad.jsonl")
    assert reject["source"] == "in.jsonl"
    assert reject["line"] == 2
    assert reject["reason"]
    assert line in Path("bad.jsonl").read_text() or reject.get("text") == line


@pytest.mark.parametrize("option", [(), ("-c", "input_ids")], ids=["found", "asked for"])
def test_skip_may_leave_no_rows(pad: Pad, option: tuple[str, ...]) -> None:
    write("in.jsonl", [{"input_ids": None, "id": 1}, {"input_ids": None, "id": 2}])

    assert_refused(pad("in.jsonl", *option), "input_ids")

    skip = ("-c", "input_ids", "--on-error", "skip", "--rejects", "bad.jsonl")
    assert_refused(pad("in.jsonl", *skip), "no rows")
    ran = pad("in.jsonl", *skip, "--maxlen", "4")
    assert (ran.code, ran.rows) == (0, [])
    assert [reject["row"]["id"] for reject in read("bad.jsonl")] == [1, 2]


@pytest.mark.parametrize("line", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet", "out.npz"])
def test_skip_in_every_format(pad: Pad, output: str, line: int) -> None:
    lines = ['{"input_ids":[1],"id":0}', '{"input_ids":[2],"id":1}']
    lines.insert(line, '{"input_ids":"oops","id":9}')
    Path("in.jsonl").write_text("\n".join(lines))

    ran = pad("in.jsonl", "-c", "input_ids", "--on-error", "skip", "-o", output, "--rejects", "bad.jsonl")

    assert ran.code == 0
    if output.endswith(".npz"):
        assert read_npz(output)["input_ids"].tolist() == [[1], [2]]
    else:
        assert [row["id"] for row in read(output)] == [0, 1]
    assert [reject["row"]["id"] for reject in read("bad.jsonl")] == [9]


def test_rejects_keep_invalid_utf8(pad: Pad) -> None:
    bad = b'{"input_ids":[1],"id":"\xff"}'
    Path("in.jsonl").write_bytes(JSONL + bad + b"\n")

    assert_refused(pad("in.jsonl"), "in.jsonl, line 3", "UTF-8")
    assert pad("in.jsonl", "--on-error", "skip", "--rejects", "bad.jsonl").column("id") == ["a", "b"]
    assert bytes(read("bad.jsonl")[0]["bytes"]) == bad


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_rejects_of_typed_files(pad: Pad, format_: str) -> None:
    write(f"in.{format_}", [{"input_ids": [1], "id": "a"}, {"input_ids": None, "id": "b"}])

    ran = pad(f"in.{format_}", "--on-error", "skip", "--rejects", "bad.jsonl")

    assert ran.column("id") == ["a"]
    (reject,) = read("bad.jsonl")
    assert {"input_ids": None, "id": "b"} in reject.values()
    assert reject["source"] == f"in.{format_}"
    assert "null" in reject["reason"]
    assert 1 in reject.values(), "the row's number, from 0"


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_rejects_give_reasons(pad: Pad, format_: str) -> None:
    rows = [*MIXED, {"input_ids": None, "id": 3}]
    write(f"in.{format_}", rows)

    ran = pad(
        *(f"in.{format_}", "--maxlen", "2", "--overlong", "drop", "--empty-rows", "drop"),
        *("--on-error", "skip", "--rejects", "bad.jsonl", "--report", "report.json"),
    )

    assert ran.column("id") == [2]
    rejects = sorted(read("bad.jsonl"), key=lambda reject: reject["row"]["id"])
    assert [reject["row"] for reject in rejects] == [rows[0], rows[1], rows[3]]
    assert [bool(reject["reason"]) for reject in rejects] == [True, True, True]
    assert "maxlen 2" in rejects[0]["reason"]
    report = json.loads(Path("report.json").read_text())
    assert (report["rows_read"], report["rows_written"]) == (4, 1)
    assert (report["rows_dropped"], report["rows_rejected"]) == (2, 1)


def test_rejects_keep_line_bytes(pad: Pad) -> None:
    Path("in.jsonl").write_text('{"input_ids":[1]}\n{ "input_ids" : null,  "x":1.50, "y":"\\u0041" }\n')

    pad("in.jsonl", "--on-error", "skip", "--rejects", "bad.jsonl")

    assert '{ "input_ids" : null,  "x":1.50, "y":"\\u0041" }' in Path("bad.jsonl").read_text()


def test_rejects_on_stdout_are_named(pad: Pad) -> None:
    write("in.jsonl", [*ROWS, {"input_ids": None}])
    ran = pad("in.jsonl", "--on-error", "skip", "--rejects", "-", "-o", "out.parquet")
    assert [reject["line"] for reject in ran.rows] == [3]
    assert "1 row rejected: see stdout\n" in ran.err


@pytest.mark.parametrize("rejects", [[], ["--rejects", "bad.jsonl"]])
@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet"])
def test_main_reason(pad: Pad, output: str, rejects: list[str]) -> None:
    bad = [{"input_ids": None}, {"input_ids": [1, None]}, {"input_ids": [None]}]
    write("in.jsonl", [*ROWS, *bad])
    ran = pad("in.jsonl", "--on-error", "skip", "-o", output, *rejects)
    assert "'input_ids': position 1: expected a number, found null (first of 2 rows)\n" in ran.err


def test_all_rows_rejected(pad: Pad) -> None:
    write("in.jsonl", [{"input_ids": None}])
    ran = pad("in.jsonl", "--on-error", "skip", "-o", "out.parquet")
    assert_refused(ran, "1 row rejected", "found null")


def test_rejects_may_be_empty(pad: Pad) -> None:
    pad(write("in.jsonl", ROWS), "--rejects", "bad.jsonl")

    assert Path("bad.jsonl").read_bytes() == b""


def test_rejects_may_be_compressed(pad: Pad) -> None:
    pad(write("in.jsonl", MIXED), "--empty-rows", "drop", "--rejects", "bad.jsonl.gz")

    assert json.loads(gzip.decompress(Path("bad.jsonl.gz").read_bytes()))["row"] == MIXED[1]


@pytest.mark.parametrize("option", ["--rejects", "--report"])
def test_outputs_need_their_own_files(pad: Pad, option: str) -> None:
    """The rejects and the report cannot have the path of the output, because one would replace the other."""
    ran = pad(write("in.jsonl", ROWS), "-o", "out.jsonl", option, "out.jsonl")

    assert_refused(ran, "out.jsonl", code=2)


@pytest.mark.parametrize("option", ["--rejects", "--report"])
def test_one_output_goes_to_stdout(pad: Pad, option: str) -> None:
    assert_refused(pad(write("in.jsonl", ROWS), option, "-"), option[2:], "stdout", code=2)


# --report


@pytest.mark.parametrize("form", ["report.json", "json:report.json"], ids=["file", "json:file"])
def test_report_has_all_counts(pad: Pad, form: str) -> None:
    write(
        "in.jsonl",
        [
            {"input_ids": [1, 2, 3, 4], "labels": [1, 2, -100, 3]},
            {"input_ids": [1], "labels": [-100]},
            {"input_ids": [], "labels": []},
            {"input_ids": None, "labels": []},
        ],
    )

    pad(
        *("in.jsonl", "-c", "input_ids", "-c", "labels=-100", "--maxlen", "2", "-o", "out.jsonl"),
        *("--empty-rows", "drop", "--on-error", "skip", "--report", form),
    )

    report = json.loads(Path("report.json").read_text())
    assert {
        "rows_read": 4,
        "rows_used": 2,
        "rows_written": 2,
        "rows_dropped": 1,
        "rows_rejected": 1,
        "rows_truncated": 1,
        "tokens_read": 5,
        "tokens_kept": 3,
        "tokens_lost": 2,
        "labels_lost": 1,
        "padding_share": 0.25,
        "maxlen": 2,
        "maxlen_found": "given",
    }.items() <= report.items()


@pytest.mark.parametrize("maxlen", ["longest", "p95"])
def test_report_says_how_maxlen_was_found(pad: Pad, maxlen: str) -> None:
    pad(write("in.jsonl", ROWS), "--maxlen", maxlen, "--report", "report.json")

    report = json.loads(Path("report.json").read_text())
    assert (report["maxlen"], report["maxlen_found"]) == (3, maxlen)


def test_report_on_stdout(pad: Pad) -> None:
    ran = pad(write("in.jsonl", ROWS), "-o", "out.jsonl", "--report", "-")

    assert json.loads(ran.out)["rows_written"] == 2


def test_bad_row_report_has_error_fields(pad: Pad) -> None:
    bad = write("in.jsonl", [*ROWS, {"input_ids": [1, 70000]}])
    assert_refused(pad(bad, "-o", "out.jsonl", "--dtype", "int16", "--report", "r.json"))
    report = json.loads(Path("r.json").read_text())

    assert has_facts(report["error"].pop("message"), 70000, "int16")
    assert report == {
        "version": __version__,
        "inputs": ["in.jsonl"],
        "output": "out.jsonl",
        "exit_code": 1,
        "error": {
            "place": {"source": "in.jsonl", "unit": "line", "number": 3},
            "column": "input_ids",
            "options": ["--column", "--dtype"],
            "remedy": "Fix the row, or skip bad rows with --on-error skip.",
        },
    }
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize(
    ("args", "code", "options"),
    [
        (("in.jsonl", "-c", "nope", "-o", "out.jsonl"), 2, ["--column"]),
        (("in.jsonl", "--maxlen", "1", "--overlong", "error"), 1, ["--maxlen", "--overlong"]),
        (("missing.jsonl",), 2, []),
        (("in.jsonl", "-o", "missing/out.jsonl"), 2, []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_failed_report_has_exit_code(pad: Pad, args: tuple[str, ...], code: int, options: list[str]) -> None:
    write("in.jsonl", ROWS)
    ran = pad(*args, "--report", "r.json")
    report = json.loads(Path("r.json").read_text())

    assert (ran.code, report["exit_code"], report["error"]["options"]) == (code, code, options)


def test_refused_output_writes_no_report(pad: Pad) -> None:
    rows = write("in.jsonl", ROWS)
    before = Path(rows).read_bytes()
    assert_refused(pad(rows, "-c", "nope", "--report", rows), "input", code=2)
    assert Path(rows).read_bytes() == before


# --fixed-size-list


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_fixed_size_list(pad: Pad, suffix: str) -> None:
    write("in.jsonl", ROWS)

    def types(*options: str) -> list[pa.DataType]:
        pad("in.jsonl", "-o", f"out.{suffix}", *options)
        if suffix == "parquet":
            schema = pq.read_schema("out.parquet")
        else:
            with pa.OSFile("out.arrow") as source:
                schema = pa.ipc.open_file(source).schema
        return [schema.field(name).type for name in ("input_ids", "mask")]

    assert [pa.types.is_list(type_) for type_ in types()] == [True, True]
    fixed = types("--fixed-size-list")
    assert [pa.types.is_fixed_size_list(type_) and type_.list_size for type_ in fixed] == [3, 3]
    assert [row["mask"] for row in read(f"out.{suffix}")] == [[True, True, True], [True, False, False]]


# --batch-rows, --threads

TUNINGS = [("--threads", "1"), ("--threads", "3"), ("--batch-rows", "777"), ("--batch-rows", "50")]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A file in which each column has more than one page. The values include nulls, strings and floats."""
    random = np.random.default_rng(2)
    lengths = random.integers(0, 100, 9000)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    tokens = int(offsets[-1])
    words = random.integers(0, 2**60, len(lengths))
    texts = [f"{word:x}" * int(word % 8) if word % 11 else None for word in words.tolist()]
    table = pa.table(
        {
            "input_ids": pa.ListArray.from_arrays(offsets, pa.array(random.integers(0, 2**31, tokens))),
            "weights": pa.ListArray.from_arrays(offsets, pa.array(random.standard_normal(tokens))),
            "text": texts,
            "kind": pa.array(random.choice(["a", "b", "c"], len(lengths))).dictionary_encode(),
        }
    )
    path = tmp_path_factory.mktemp("large") / "large.parquet"
    pq.write_table(table, path, row_group_size=2000)
    yield str(path)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "parquet", "arrow", "npz"])
def test_tuning_keeps_the_bytes(pad: Pad, large: str, suffix: str) -> None:
    limit = ("--limit", "1500") if suffix == "jsonl.gz" else ()

    def padded(*tuning: str) -> bytes:
        options = ("-c", "input_ids", "-c", "weights", "--maxlen", "128", *limit, *tuning)
        assert pad(large, *options, "-o", f"out.{suffix}").code == 0
        return Path(f"out.{suffix}").read_bytes()

    plain = padded()
    assert [tuning for tuning in TUNINGS if padded(*tuning) != plain] == []


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow", "npz"])
def test_tuning_keeps_rows_of_jsonl(pad: Pad, suffix: str) -> None:
    rows = [{"tokens": ["x" * (i % 7)] * (i % 13), "id": i, "n": None if i % 3 else i} for i in range(2000)]
    rows[1234]["tokens"] = None  # type: ignore[assignment]
    write("in.jsonl", rows)

    def padded(*tuning: str) -> list[bytes]:
        options = ("--on-error", "skip", "--empty-rows", "drop", "--rejects", "bad.jsonl", *tuning)
        assert pad("in.jsonl", *options, "-o", f"out.{suffix}", "--report", "report.json").code == 0
        return [Path(name).read_bytes() for name in (f"out.{suffix}", "bad.jsonl", "report.json")]

    plain = padded()
    assert [tuning for tuning in TUNINGS if padded(*tuning) != plain] == []


@pytest.mark.parametrize("option", ["--batch-rows", "--threads"])
def test_tuning_options_start_at_one(pad: Pad, option: str) -> None:
    assert_refused(pad(write("in.jsonl", ROWS), option, "0"), option, code=2)


def test_more_threads_than_rows(pad: Pad) -> None:
    ran = pad(write("in.jsonl", ROWS), "--batch-rows", "1000000", "--threads", "64")

    assert ran.column("id") == ["a", "b"]


# --quiet, --progress / --no-progress


def test_summary_goes_to_stderr(pad: Pad) -> None:
    ran = pad(write("in.jsonl", ROWS), "--maxlen", "2", "-o", "out.jsonl")

    assert ran.out == b""
    assert "2 rows" in ran.err
    assert "out.jsonl" in ran.err
    assert "maxlen 2" in ran.err
    assert "1 row truncated" in ran.err
    assert "1 token lost" in ran.err


def test_quiet_shows_only_errors(pad: Pad) -> None:
    write("in.jsonl", LABELLED)

    assert pad("in.jsonl", "--quiet", "--padding", "pre", "--maxlen", "1").err == ""
    assert_refused(pad("in.jsonl", "--quiet", "-c", "nothing"), "'nothing'", code=2)


ETA = re.compile(r"\d:\d\d:\d\d|-:--:--")


@pytest.mark.slow
def test_progress_on_a_terminal() -> None:
    # A short run shows no progress. Small batches and one thread are slow; a fast machine gets more rows.
    slow = ("--batch-rows", "100", "--threads", "1")
    for rows in (200_000, 800_000, 3_200_000, 12_800_000):
        Path("in.jsonl").write_text('{"input_ids":[1,2,3]}\n' * rows)
        code, shown = on_terminal("in.jsonl", "-o", "out.parquet", *slow, streams=("stderr",))
        assert code == 0
        if "\x1b[" in shown:
            break

    assert "\x1b[?25l" in shown
    assert re.search(r"[\d,]+ rows .*/s", shown)
    assert ETA.search(shown)


@pytest.mark.parametrize("option", ["--no-progress", "--quiet"])
def test_progress_can_be_turned_off(option: str) -> None:
    code, shown = on_terminal(write("in.jsonl", ROWS), "-o", "out.jsonl", option, streams=("stderr",))

    assert code == 0
    assert not ETA.search(shown)
    assert "\x1b[?25l" not in shown
    assert (shown == "") == (option == "--quiet")


@pytest.mark.parametrize("option", [(), ("--progress",)], ids=["default", "asked for"])
def test_progress_needs_a_terminal(process: Pad, option: tuple[str, ...]) -> None:
    ran = process(*option, stdin=JSONL)

    assert "\x1b" not in ran.err
    assert not ETA.search(ran.err)
    assert len(ran.err.splitlines()) == 1


def test_progress_in_logs(pad: Pad, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("padmask.render.console.SECONDS_BETWEEN_LINES", 0.0)
    write("in.jsonl", ROWS * 50)
    first, second, _ = pad("in.jsonl", "-o", "out.jsonl").err.splitlines()
    assert re.fullmatch(r"measuring: 100 rows, 100% of [\d.]+ KiB, after 0:00", first)
    assert re.fullmatch(r"padding: 100 rows, 100% of [\d.]+ KiB, after 0:00", second)
    assert len(pad("in.jsonl", "-o", "out.jsonl", "--no-progress").err.splitlines()) == 1
    assert pad("in.jsonl", "-o", "out.jsonl", "--quiet").err == ""


def test_short_runs_log_no_progress(pad: Pad) -> None:
    assert (
        len(pad(write("in.jsonl", ROWS * 50), "-o", "out.jsonl", "--batch-rows", "1").err.splitlines()) == 1
    )


def test_progress_spares_stdout() -> None:
    with open("shown", "wb") as out:
        terminal, side = pty.openpty()
        command = [sys.executable, "-m", "padmask", "pad", write("in.jsonl", ROWS)]
        with subprocess.Popen(command, stdout=out, stderr=side, stdin=subprocess.DEVNULL) as child:
            os.close(side)
            while _read(terminal):
                pass
            os.close(terminal)

    assert child.returncode == 0
    assert [json.loads(line)["id"] for line in Path("shown").read_text().splitlines()] == ["a", "b"]


# [tool.padmask]


def configure(text: str, folder: str = ".") -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, "pyproject.toml").write_text(text)


def test_options_override_settings(pad: Pad) -> None:
    configure('[tool.padmask]\nmaxlen = 2\npadding = "pre"\nmask-column = "real"\n')
    write("in.jsonl", ROWS)

    assert pad("in.jsonl").rows == [
        {"input_ids": [7, 8], "id": "a", "real": [True, True]},
        {"input_ids": [0, 5], "id": "b", "real": [False, True]},
    ]
    assert pad("in.jsonl", "--maxlen", "1", "--padding", "post", "--mask-column", "m").rows == [
        {"input_ids": [7], "id": "a", "m": [True]},
        {"input_ids": [5], "id": "b", "m": [True]},
    ]


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        ('column = ["input_ids", "labels=-100"]', ("-c", "input_ids", "-c", "labels=-100")),
        ('column = "labels"', ("-c", "labels")),
        ("no-mask = true", ("--no-mask",)),
        ("value = -1", ("--value", "-1")),
        ('dtype = "int64"', ("--dtype", "int64")),
        ("pad-to-multiple-of = 8", ("--pad-to-multiple-of", "8")),
        ("pad_to_multiple_of = 8", ("--pad-to-multiple-of", "8")),
        ('maxlen = "p50"', ("--maxlen", "p50")),
        ('length-column = "n"', ("--length-column", "n")),
        ('output-format = "arrow"', ("--output-format", "arrow")),
        ("progress = false", ("--no-progress",)),
    ],
)
def test_settings_equal_options(pad: Pad, setting: str, options: tuple[str, ...]) -> None:
    write("in.jsonl", LABELLED)
    asked = pad("in.jsonl", *options)
    assert asked.code == 0

    configure(f"[tool.padmask]\n{setting}\n")

    ran = pad("in.jsonl")
    assert (ran.code, ran.out) == (0, asked.out)
    said, settings = ran.err.splitlines()[:-1], ran.err.splitlines()[-1]
    assert said == asked.err.splitlines()
    assert settings.startswith("settings: --")
    assert settings.endswith(f"set in {Path.cwd()}/pyproject.toml")


def test_columns_replace_settings(pad: Pad) -> None:
    configure('[tool.padmask]\ncolumn = ["input_ids"]\n')

    ran = pad(write("in.jsonl", LABELLED), "-c", "labels=-1")

    assert ran.column("input_ids") == [[7, 8, 9], [5]]
    assert ran.column("labels") == [[1, -100, 2], [3, -1, -1]]


def test_nearest_pyproject_is_used(pad: Pad, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("[tool.padmask]\nmaxlen = 1\nno-mask = true\n")
    configure("[tool.padmask]\nmaxlen = 2\n", "project")
    write("project/deep/in.jsonl", ROWS)
    monkeypatch.chdir("project/deep")

    assert pad("in.jsonl").rows[0] == {"input_ids": [7, 8], "id": "a", "mask": [True, True]}


def test_foreign_pyproject_is_ignored(pad: Pad) -> None:
    configure('[project]\nname = "mine"\n[tool.ruff]\nline-length = 100\n')

    assert pad(write("in.jsonl", ROWS)).column("input_ids") == [[7, 8, 9], [5, 0, 0]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.padmask]\nmax-len = 2\n", "Did you mean 'maxlen'?"),
        ("[tool.padmask\nmaxlen = 2\n", "TOML"),
        ("[tool]\npadmask = 3\n", "padmask"),
        ('[tool.padmask]\npad = "x"\n', "pad"),
        ('[tool.padmask]\npadding = "up"\n', "up"),
    ],
    ids=["unknown option", "no TOML", "no table", "no table of a command", "bad choice"],
)
def test_mistake_in_pyproject(pad: Pad, text: str, said: str) -> None:
    configure(text)

    assert_refused(pad(write("in.jsonl", ROWS)), "pyproject.toml", said, code=2)


@pytest.mark.parametrize(
    ("setting", "options", "said"),
    [
        ('column = "labels=-100"', (), "--column is set in "),
        ("maxlen = 3", ("--pad-to-multiple-of", "2"), "--maxlen is set in "),
    ],
)
def test_refused_setting_names_pyproject(pad: Pad, setting: str, options: tuple[str, ...], said: str) -> None:
    configure(f"[tool.padmask]\n{setting}\n")

    assert_refused(pad(write("in.jsonl", ROWS), *options), said, "pyproject.toml", code=2)


def test_refused_option_spares_pyproject(pad: Pad) -> None:
    configure('[tool.padmask]\ncolumn = "input_ids"\nmaxlen = 3\n')

    ran = pad(write("in.jsonl", ROWS), "-c", "labels")
    assert_refused(ran, "Column 'labels' does not exist", code=2)
    assert "pyproject" not in ran.err


def test_errors_name_options(pad: Pad) -> None:
    options = ("--maxlen", "3", "--pad-to-multiple-of", "2")
    assert_refused(
        pad(write("in.jsonl", ROWS), *options),
        "--maxlen 3 is not a multiple of --pad-to-multiple-of 2",
        code=2,
    )


# shell completion


def complete(shell: str, words: str, position: int | None = None) -> str:
    """Complete the last word as a shell does."""
    env = os.environ | {"_PADMASK_COMPLETE": shell}
    if position is not None:
        env |= {"COMP_WORDS": words, "COMP_CWORD": str(position)}
    done = subprocess.run(
        [sys.executable, "-m", "padmask"], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_every_shell(shell: str) -> None:
    assert "_PADMASK_COMPLETE" in complete(f"{shell}_source", "")


@pytest.mark.parametrize(
    ("words", "position", "offered"),
    [
        ("padmask p", 1, {"plain,pad", "plain,pack"}),
        (
            "padmask pad --ma",
            2,
            {
                "plain,--maxlen",
                "plain,--max-length",
                "plain,--mask",
                "plain,--mask-column",
                "plain,--mask-dtype",
                "plain,--mask-kind",
                "plain,--mask-polarity",
                "plain,--max-bytes",
            },
        ),
        ("padmask pad --padding p", 3, {"plain,post", "plain,pre"}),
    ],
    ids=["command", "option", "choice"],
)
def test_completion_of_words(words: str, position: int, offered: set[str]) -> None:
    assert set(complete("bash_complete", words, position).split()) == offered


@pytest.mark.parametrize(
    ("words", "position"),
    [("padmask pad tra", 2), ("padmask pad -o ou", 3), ("padmask pad --rejects ba", 3)],
    ids=["INPUT", "-o", "--rejects"],
)
def test_completion_of_paths(words: str, position: int) -> None:
    assert complete("bash_complete", words, position).startswith("file,")


# inner feature axes

VECTORS = [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[7.0, 8.0, 9.0]]]
PADDED_VECTORS = [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[7.0, 8.0, 9.0], [0.0, 0.0, 0.0]]]
VECTOR_TYPES = {
    "fixed_size_list": pa.list_(pa.list_(pa.float32(), 3)),
    "list": pa.list_(pa.list_(pa.float32())),
    "large_list": pa.large_list(pa.large_list(pa.float32())),
    "fixed in fixed": pa.list_(pa.list_(pa.float64(), 3)),
}


def write_vectors(format_: str, rows: Sequence[Any], type_: pa.DataType = VECTOR_TYPES["list"]) -> str:
    if format_ == "jsonl":
        return write("in.jsonl", [{"x": row} for row in rows])
    return write(f"in.{format_}", pa.table({"x": pa.array(rows, type=type_)}))


@pytest.mark.parametrize("type_", VECTOR_TYPES.values(), ids=VECTOR_TYPES)
@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_vectors_in_typed_files(pad: Pad, format_: str, type_: pa.DataType) -> None:
    pad(write_vectors(format_, VECTORS, type_), "-o", "out.npz")

    arrays = read_npz("out.npz")
    assert arrays["x"].tolist() == PADDED_VECTORS
    width = np.float64 if type_ == VECTOR_TYPES["fixed in fixed"] else np.float32
    assert (arrays["x"].dtype, arrays["x"].shape) == (width, (2, 2, 3))
    assert arrays["mask"].tolist() == [[True, True], [True, False]]


def test_vectors_in_jsonl(pad: Pad) -> None:
    ran = pad(write_vectors("jsonl", VECTORS), "--maxlen", "3", "--padding", "pre", "--value", "-1")

    assert ran.rows == [
        {"x": [[-1.0, -1.0, -1.0], *VECTORS[0]], "mask": [False, True, True]},
        {"x": [[-1.0, -1.0, -1.0], [-1.0, -1.0, -1.0], *VECTORS[1]], "mask": [False, False, True]},
    ]


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_vectors_are_cut_like_tokens(pad: Pad, format_: str) -> None:
    ran = pad(write_vectors(format_, VECTORS), "--maxlen", "1", "--truncating", "pre")

    assert ran.column("x") == [[[4.0, 5.0, 6.0]], [[7.0, 8.0, 9.0]]]


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_vectors_become_nested_lists(pad: Pad, suffix: str) -> None:
    pad(write_vectors("parquet", VECTORS, VECTOR_TYPES["fixed_size_list"]), "-o", f"out.{suffix}")

    assert [row["x"] for row in read(f"out.{suffix}")] == PADDED_VECTORS
    assert [row["mask"] for row in read(f"out.{suffix}")] == [[True, True], [True, False]]
    if suffix == "parquet":
        type_ = pq.read_schema("out.parquet").field("x").type
        assert pa.types.is_list(type_)
        assert pa.types.is_list(type_.value_type)
        assert type_.value_type.value_type == pa.float32()


def test_vectors_with_tokens(pad: Pad) -> None:
    rows = [{"input_ids": [1, 2], "bbox": [[1, 2], [3, 4]]}, {"input_ids": [3], "bbox": [[5, 6]]}]

    ran = pad(write("in.jsonl", rows), "-c", "input_ids", "-c", "bbox=-1")

    assert ran.column("bbox") == [[[1, 2], [3, 4]], [[5, 6], [-1, -1]]]
    assert ran.column("mask") == [[True, True], [True, False]]


BAD_VECTORS = {
    "shorter": [[1.0, 2.0], [3.0]],
    "longer": [[1.0, 2.0], [3.0, 4.0, 5.0]],
    "empty": [[1.0, 2.0], []],
    "null": [[1.0, 2.0], None],
    "null inside": [[1.0, 2.0], [3.0, None]],
}


@pytest.mark.parametrize("bad", BAD_VECTORS.values(), ids=BAD_VECTORS)
@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
def test_unequal_vectors_are_named(pad: Pad, format_: str, bad: list[Any]) -> None:
    write_vectors(format_, [[[1.0, 2.0]], bad, [[5.0, 6.0]]])

    place = "line 2" if format_ == "jsonl" else "row 1"
    assert_refused(pad(f"in.{format_}"), f"in.{format_}, {place}", "'x'", "position 1")
    ran = pad(f"in.{format_}", "--on-error", "skip")
    assert ran.column("x") == [[[1.0, 2.0]], [[5.0, 6.0]]]


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_late_unequal_vectors(pad: Pad, format_: str) -> None:
    write_vectors(format_, [[[1.0, 2.0]]] * 3000 + [[[1.0, 2.0, 3.0]]])

    assert_refused(pad(f"in.{format_}"), "line 3001" if format_ == "jsonl" else "row 3000", "'x'")


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow", "npz"])
def test_vectors_of_empty_rows(pad: Pad, suffix: str) -> None:
    write_vectors("parquet", [[], []], VECTOR_TYPES["fixed_size_list"])

    assert pad("in.parquet", "--maxlen", "2", "-o", f"out.{suffix}").code == 0

    zeros = [[[0.0] * 3] * 2] * 2
    if suffix == "npz":
        assert read_npz("out.npz")["x"].tolist() == zeros
    else:
        assert [row["x"] for row in read(f"out.{suffix}")] == zeros


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "npz"])
def test_late_vectors(pad: Pad, format_: str, suffix: str) -> None:
    """The type of vectors is found, although the first 2,500 rows are empty and do not show the type."""
    write_vectors(format_, [[]] * 2500 + VECTORS)

    assert pad(f"in.{format_}", "-c", "x", "-o", f"out.{suffix}").code == 0

    if suffix == "npz":
        assert read_npz("out.npz")["x"].shape == (2502, 2, 3)
    else:
        assert [row["x"] for row in read(f"out.{suffix}")][2500:] == PADDED_VECTORS


# exit codes


def test_unknown_option_gets_suggestion(pad: Pad) -> None:
    assert_refused(pad(write("in.jsonl", ROWS), "--max-len", "2"), "--maxlen", code=2)


def test_closed_pipe_is_not_an_error() -> None:
    write("in.jsonl", [{"input_ids": [1] * 200}] * 5000)
    script = f'"{sys.executable}" -m padmask pad in.jsonl --maxlen 200; echo "exit $?" >&2'

    done = subprocess.run(["sh", "-c", f"({script}) | head -n 1"], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["input_ids"] == [1] * 200
    assert "exit 0" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "size"),
    [("10", 10), ("10kB", 10_000), ("1.5MiB", 1_572_864), ("2G", 2_000_000_000), ("1 TiB", 1 << 40)],
)
def test_sizes_with_units(text: str, size: int) -> None:
    from padmask.cli.options import Size

    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["lots", "-1", "1 XB", "", "0x10"])
def test_invalid_sizes(pad: Pad, text: str) -> None:
    assert_refused(pad(write("in.jsonl", ROWS), "--max-bytes", text), "500MB", code=2)
