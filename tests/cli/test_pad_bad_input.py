"""Invalid or unusual input is refused with its location, or padded correctly."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pairs import all_pairs, each_value
from processes import default_signals
from raised import has_facts
from tiers import represented

Completed = subprocess.CompletedProcess[str]
Run = Callable[..., Completed]

GOOD = '{"input_ids": [1, 2, 3]}'
ROWS = [[1, 2], [], [3]]
PADDED = [
    {"input_ids": [1, 2], "mask": [True, True]},
    {"input_ids": [0, 0], "mask": [False, False]},
    {"input_ids": [3, 0], "mask": [True, False]},
]

# A remedy: an option, a suggestion, a question, or a verb in the imperative.
REMEDY = re.compile(
    r"(?<!\w)--?[a-z]|Did you mean|The columns are|They end in|"
    r"\b(fix|skip|choose|create|check|(?<!cannot )write|rename|convert|free|give|specify|list the|pass|"
    r"shorten|tokenize|make|pad them|pad the files|remove|repeat|use|wait)\b",
    re.IGNORECASE,
)


def _ignores_permissions() -> bool:
    """Return whether this process may read a file without permissions, as root may."""
    with tempfile.NamedTemporaryFile() as file:
        os.chmod(file.name, 0)
        return os.access(file.name, os.R_OK)


as_root = _ignores_permissions()
no_full_device = not Path("/dev/full").exists()


# --- Error messages ----------------------------------------------------------------------


def complaint(result: Completed, *said: str, code: int = 1) -> None:
    """Check that the command failed with a short message that contains these words and a remedy.

    The exit code is 1 if the data is at fault, and 2 if the command could not run.
    """
    assert result.returncode == code, result
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) <= 3
    assert "?." not in result.stderr
    assert not re.search(r"(?<!\.)\.\.(?![./])", result.stderr)
    assert REMEDY.search(result.stderr), f"no word of what to do: {result.stderr}"
    for words in said:
        assert words in result.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def refuses(here: Run, tmp_path: Path) -> Run:
    """Check that `padmask ARGS...` fails with these words and changes no file."""

    def check(*args: str | Path, says: list[str], by: Run = here, code: int = 1, **more: Any) -> Completed:
        before = contents(tmp_path)
        result = by(*args, **more)
        complaint(result, *says, code=code)
        assert contents(tmp_path) == before
        return result

    return check


PASSES = {"one pass": ("--maxlen", "4"), "two passes": ()}


def assert_no_length(result: Completed) -> None:
    """Check that a run is refused because maxlen cannot be computed: no row has a token."""
    assert (result.returncode, result.stdout, "--maxlen" in result.stderr) == (1, "", True)


@pytest.fixture(params=PASSES.values(), ids=PASSES)
def passes(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Options that determine maxlen. A number needs one pass over the input, and other values need two."""
    return request.param


def rows_of(result: Completed) -> list[dict[str, Any]]:
    assert result.returncode == 0, result
    return [json.loads(line) for line in result.stdout.split("\n") if line]


def read(path: Path) -> pa.Table:
    return pa.ipc.open_file(path).read_all() if path.suffix == ".arrow" else pq.ParquetFile(path).read()


def write(path: Path, table: pa.Table, rows_a_group: int | None = None) -> Path:
    """Write a table as Parquet or Arrow, by the path's suffix."""
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows_a_group)
    else:
        with pa.ipc.new_file(path, table.schema) as out:
            out.write_table(table, max_chunksize=rows_a_group)
    return path


def ids(rows: Any, type_: pa.DataType | None = None) -> pa.Table:
    return pa.table({"input_ids": rows if isinstance(rows, pa.ChunkedArray) else pa.array(rows, type_)})


def stream_bytes(table: pa.Table) -> bytes:
    """An Arrow IPC stream."""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return out.getvalue()


@cache
@cache
def noise(rows: int = 2000) -> str:
    """JSON Lines that do not compress well."""
    pick = random.Random(7).randrange
    return "".join(json.dumps({"input_ids": [pick(30000) for _ in range(40)]}) + "\n" for _ in range(rows))


# --- Valid JSON Lines --------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "\n", "\r\n", " \t \n\n", "\ufeff", "\ufeff\n"],
    ids=["no bytes", "a newline", "a CRLF", "blank lines", "a BOM", "a BOM and a newline"],
)
class TestEmptyInput:
    def test_jsonl_output_is_empty(self, here: Run, tmp_path: Path, text: str) -> None:
        (tmp_path / "in.jsonl").write_bytes(text.encode())
        result = here("pad", "in.jsonl", "--maxlen", "4")
        assert rows_of(result) == []
        assert "no rows" in result.stderr

    def test_no_length_is_found(self, here: Run, tmp_path: Path, text: str) -> None:
        (tmp_path / "in.jsonl").write_bytes(text.encode())
        assert_no_length(here("pad", "in.jsonl"))

    @pytest.mark.parametrize("output", ["out.parquet", "out.arrow"])
    def test_typed_output_has_columns(self, here: Run, tmp_path: Path, text: str, output: str) -> None:
        (tmp_path / "in.jsonl").write_bytes(text.encode())
        assert here("pad", "in.jsonl", "-o", output, "--maxlen", "4").returncode == 0
        table = read(tmp_path / output)
        assert table.num_rows == 0
        assert table.schema.field("input_ids").type.value_type == pa.int32()
        assert table.schema.field("mask").type.value_type == pa.bool_()

    def test_npz_output_has_no_rows(self, here: Run, tmp_path: Path, text: str) -> None:
        (tmp_path / "in.jsonl").write_bytes(text.encode())
        assert here("pad", "in.jsonl", "-o", "out.npz", "--maxlen", "4").returncode == 0
        with np.load(tmp_path / "out.npz") as arrays:
            assert {name: arrays[name].shape for name in arrays} == {
                "input_ids": (0, 4),
                "mask": (0, 4),
                "length": (0,),
            }


LINES = '{"input_ids": [1, 2]}\n{"input_ids": []}\n{"input_ids": [3]}\n'


@pytest.mark.parametrize(
    "data",
    [
        LINES.encode(),
        LINES.replace("\n", "\r\n").encode(),
        LINES.rstrip("\n").encode(),
        LINES.rstrip("\n").replace("\n", "\r\n").encode(),
        LINES.replace("\n", "\n\n \t\n").encode(),
        ("\n\r\n" + LINES).encode(),
        LINES.encode("utf-8-sig"),
        LINES.replace("\n", "\r\n").encode("utf-8-sig"),
        LINES.replace('{"', ' \t{ "').replace("[", "\t[ ").replace(", ", "\t,  ").encode(),
    ],
    ids=[
        "plain",
        "CRLF",
        "no final newline",
        "CRLF and no final newline",
        "blank lines",
        "blank lines first",
        "a BOM",
        "a BOM and CRLF",
        "white space",
    ],
)
def test_line_endings_and_blanks(here: Run, tmp_path: Path, passes: tuple[str, ...], data: bytes) -> None:
    (tmp_path / "in.jsonl").write_bytes(data)
    length = passes and ("--maxlen", "2")
    assert rows_of(here("pad", "in.jsonl", *length)) == PADDED


def test_each_file_may_have_a_bom(here: Run, tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(LINES.encode("utf-8-sig"))
    assert rows_of(here("pad", "a.jsonl", "b.jsonl")) == PADDED * 2


def test_empty_file_among_others(here: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    (tmp_path / "b.jsonl").write_text(LINES)
    assert rows_of(here("pad", "a.jsonl", "b.jsonl", "a.jsonl")) == PADDED


def test_gzip_with_several_members(here: Run, tmp_path: Path) -> None:
    members = [gzip.compress(line.encode()) for line in LINES.splitlines(keepends=True)]
    (tmp_path / "in.jsonl.gz").write_bytes(b"".join(members))
    assert rows_of(here("pad", "in.jsonl.gz")) == PADDED


def test_long_line(here: Run, tmp_path: Path, passes: tuple[str, ...]) -> None:
    long = json.dumps({"input_ids": list(range(300_000))})
    (tmp_path / "in.jsonl").write_text(f"{GOOD}\n{long}\n{GOOD}\n")
    rows = rows_of(here("pad", "in.jsonl", *passes))
    width = 4 if passes else 300_000
    assert [len(row["input_ids"]) for row in rows] == [width] * 3
    assert rows[1]["input_ids"] == list(range(width))
    assert [sum(row["mask"]) for row in rows] == [3, width, 3]


def test_int64_holds_every_id(here: Run, tmp_path: Path) -> None:
    extremes = [2**63 - 1, -(2**63), 0]
    (tmp_path / "in.jsonl").write_text(json.dumps({"input_ids": extremes}))
    assert rows_of(here("pad", "in.jsonl", "--dtype", "int64"))[0]["input_ids"] == extremes


@pytest.mark.parametrize("number", ["1e999", "-1E+400", "123456789012345678901234567890"])
def test_other_numbers_keep_their_text(here: Run, tmp_path: Path, number: str) -> None:
    (tmp_path / "in.jsonl").write_text(f'{GOOD}\n{{"input_ids": [1], "x": {number}}}\n')
    result = here("pad", "in.jsonl")
    assert result.returncode == 0
    assert f'"x":{number},' in result.stdout


def test_last_repeated_key_counts(here: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1], "input_ids": [2, 3]}\n')
    assert rows_of(here("pad", "in.jsonl")) == [{"input_ids": [2, 3], "mask": [True, True]}]


def test_ints_become_floats_on_request(here: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"x": [1, 2.5]}\n{"x": [3]}\n')
    assert [row["x"] for row in rows_of(here("pad", "in.jsonl", "-c", "x:float32"))] == [[1, 2.5], [3, 0]]


# --- Invalid JSON Lines ------------------------------------------------------------------

COLUMN = "column 'input_ids'"
BAD_LINES = {
    "half an object": ('{"input_ids": [1, 2', []),
    "half a string": ('{"input_ids": [1], "text": "ab', []),
    "half an escape": ('{"input_ids": [1], "text": "\\u12"}', []),
    "half a surrogate pair": ('{"input_ids": [1], "text": "\\ud800"}', []),
    "no JSON": ("input_ids = 1, 2", []),
    "NUL bytes": ("\0\0\0", []),
    "two objects": (GOOD + GOOD, []),
    "a trailing comma": ('{"input_ids": [1, 2,]}', []),
    "a NaN": ('{"input_ids": [1, NaN]}', []),
    "a leading zero": ('{"input_ids": [1, 02]}', []),
    "a difference": ('{"input_ids": [1, 2-3]}', []),
    "nested too deep": (f'{{"input_ids": [1], "x": {"[" * 99999}{"]" * 99999}}}', []),
    "tokens nested too deep": (f'{{"input_ids": {"[" * 5000}{"]" * 5000}}}', []),
    "a number": ("42", ["object"]),
    "a bare string": ('"input_ids"', ["object"]),
    "a bare null": ("null", ["object"]),
    "an array": ("[1, 2]", ["object"]),
    "an array of objects": (f"[{GOOD}]", ["object", "jq"]),
    "no key": ('{"labels": [1]}', [COLUMN, "missing"]),
    "an empty object": ("{}", [COLUMN, "missing"]),
    "a null sequence": ('{"input_ids": null}', [COLUMN, "null"]),
    "a bool sequence": ('{"input_ids": true}', [COLUMN, "true"]),
    "a number for a sequence": ('{"input_ids": 7}', [COLUMN, "7"]),
    "a string for a sequence": ('{"input_ids": "1 2"}', [COLUMN, "'1 2'"]),
    "an object for a sequence": ('{"input_ids": {"0": 1}}', [COLUMN, "object"]),
    "a null token": ('{"input_ids": [1, null, 3]}', [COLUMN, "position 1", "null"]),
    "a bool token": ('{"input_ids": [1, true, 3]}', [COLUMN, "position 1", "true"]),
    "a fraction": ('{"input_ids": [1, 1.5, 3]}', [COLUMN, "position 1", "1.5"]),
    "a whole float": ('{"input_ids": [1, 2.0, 3]}', [COLUMN, "position 1", "2.0"]),
    "an exponent": ('{"input_ids": [1, 1e3, 3]}', [COLUMN, "position 1", "float"]),
    "a string token": ('{"input_ids": [1, "2", 3]}', [COLUMN, "position 1", "'2'"]),
    "a nested token": ('{"input_ids": [1, [2], 3]}', [COLUMN, "position 1", "list"]),
    "an object token": ('{"input_ids": [1, {}, 3]}', [COLUMN, "position 1", "object"]),
    "an id over int32": ('{"input_ids": [1, 2147483648]}', [COLUMN, "position 1", "2147483648", "int64"]),
    "an id under int32": ('{"input_ids": [1, -2147483649]}', [COLUMN, "position 1", "-2147483649", "int64"]),
    "an id over int64": (f'{{"input_ids": [1, {2**63}]}}', [COLUMN, "position 1", str(2**63)]),
    "an id under int64": (f'{{"input_ids": [1, {-(2**63) - 1}]}}', [COLUMN, "position 1", str(-(2**63) - 1)]),
    "an id over uint64": (f'{{"input_ids": [1, {2**64}]}}', [COLUMN, "position 1", str(2**64)]),
    "a number over doubles": ('{"input_ids": [1, 1e999]}', [COLUMN]),
}
bad_lines = pytest.mark.parametrize(("line", "says"), BAD_LINES.values(), ids=BAD_LINES)


@each_value(bad=BAD_LINES, passes=PASSES, output=["out.jsonl", "out.parquet"])
def test_bad_line_is_named(
    refuses: Run, tmp_path: Path, passes: tuple[str, ...], output: str, bad: tuple[str, list[str]]
) -> None:
    line, says = bad
    # A blank line is not a row, but counts as a line.
    (tmp_path / "in.jsonl").write_text(f"{GOOD}\n\n{line}\n{GOOD}\n")
    refuses("pad", "in.jsonl", "-o", output, *passes, says=["in.jsonl, line 3", "--on-error skip", *says])


@bad_lines
def test_bad_line_can_be_skipped(here: Run, tmp_path: Path, line: str, says: list[str]) -> None:
    (tmp_path / "in.jsonl").write_text(f"{GOOD}\n\n{line}\n{GOOD}\n")
    result = here("pad", "in.jsonl", "--on-error", "skip", "--rejects", "rejects.jsonl")
    assert [row["input_ids"] for row in rows_of(result)] == [[1, 2, 3]] * 2
    (reject,) = (tmp_path / "rejects.jsonl").read_text().splitlines()
    assert '"line":3' in reject
    # The rejects have the line as an object if it is JSON, else as text.
    assert line in reject or json.dumps(line)[1:-1] in reject


ALONE = {
    "a bool token": ('{"input_ids": [true, 1]}', [COLUMN, "position 0"]),
    "an object token": ('{"input_ids": [{}, 1]}', [COLUMN, "position 0"]),
    "a null token": ('{"input_ids": [null, 1]}', [COLUMN, "position 0"]),
    "tokens of two kinds": ('{"input_ids": ["a", 1]}', [COLUMN, "position 1"]),
    "a null sequence": ('{"input_ids": null}', [COLUMN, "null"]),
    "a bool": ('{"input_ids": false}', [COLUMN]),
    "a number": ('{"input_ids": 7}', [COLUMN]),
    "a float": ('{"input_ids": 7.5}', [COLUMN]),
    "a string": ('{"input_ids": "1 2"}', [COLUMN]),
    "an object": ('{"input_ids": {"0": 1}}', [COLUMN]),
    "no object": ("42", ["object"]),
    "no JSON": ("input_ids = 1, 2", []),
}
alone = pytest.mark.parametrize(("line", "says"), ALONE.values(), ids=ALONE)


@all_pairs(bad=ALONE, passes=PASSES, output=["out.jsonl", "out.parquet"])
def test_file_of_one_bad_line(
    refuses: Run, tmp_path: Path, passes: tuple[str, ...], output: str, bad: tuple[str, list[str]]
) -> None:
    line, says = bad
    (tmp_path / "in.jsonl").write_text(f"{line}\n")
    refuses("pad", "in.jsonl", "-o", output, *passes, says=["in.jsonl, line 1", *says])


@alone
def test_bad_first_line_is_named(
    refuses: Run, tmp_path: Path, passes: tuple[str, ...], line: str, says: list[str]
) -> None:
    (tmp_path / "in.jsonl").write_text(f"{line}\n{GOOD}\n")
    refuses("pad", "in.jsonl", "-o", "out.jsonl", *passes, says=["in.jsonl, line 1", *says])


def test_first_line_of_an_array(refuses: Run, tmp_path: Path, passes: tuple[str, ...]) -> None:
    (tmp_path / "in.jsonl").write_text(f"[{GOOD}]\n{GOOD}\n")
    refuses("pad", "in.jsonl", "-o", "out.jsonl", *passes, says=["in.jsonl, line 1", "jq"])
    # A file of one array has another format.
    (tmp_path / "in.jsonl").write_text(f"[{GOOD}]\n")
    refuses("pad", "in.jsonl", "-o", "out.jsonl", *passes, says=["one JSON array", "jq"], code=2)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"], ids=["no newline", "newline", "CRLF"])
def test_truncated_last_line(refuses: Run, tmp_path: Path, passes: tuple[str, ...], ending: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(f'{GOOD}\n{GOOD}\n{{"input_ids": [1, 2{ending}'.encode())
    refuses("pad", "in.jsonl", "-o", "out.jsonl", *passes, says=["in.jsonl, line 3", "JSON is incomplete"])


NO_UTF8 = {
    "in a value": (b'{"input_ids": [1], "text": "caf\xe9"}', "byte 31"),
    "in a key": (b'{"caf\xe9": 1, "input_ids": [1]}', "byte 5"),
    "a cut character": ('{"input_ids": [1], "text": "é'.encode()[:-1], "byte 28"),
    "a surrogate": (b'{"input_ids": [1], "text": "\xed\xa0\x80"}', "byte 28"),
    "UTF-16": (GOOD.encode("utf-16"), "byte 0"),
}


@pytest.mark.parametrize(("line", "byte"), NO_UTF8.values(), ids=NO_UTF8)
def test_invalid_utf8_is_named(
    refuses: Run, tmp_path: Path, passes: tuple[str, ...], line: bytes, byte: str
) -> None:
    (tmp_path / "in.jsonl").write_bytes(GOOD.encode() + b"\n" + line + b"\n")
    refuses("pad", "in.jsonl", "-o", "out.jsonl", *passes, says=["in.jsonl, line 2", "UTF-8", byte, "iconv"])


def test_first_bad_line_is_named(refuses: Run, tmp_path: Path, passes: tuple[str, ...]) -> None:
    lines = [GOOD] * 60_000
    for line in (59_000, 40_000, 23_456):
        lines[line - 1] = '{"input_ids": [1, null]}'
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    refuses("pad", "in.jsonl", "-o", "out.jsonl", "--threads", "4", *passes, says=["in.jsonl, line 23456"])


def test_lines_count_per_file(refuses: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f"{GOOD}\n" * 3)
    (tmp_path / "b.jsonl").write_text(f"{GOOD}\n{{}}\n")
    refuses("pad", "a.jsonl", "b.jsonl", "-o", "out.jsonl", says=["b.jsonl, line 2"])


def test_unequal_columns_are_named(refuses: Run, tmp_path: Path, passes: tuple[str, ...]) -> None:
    (tmp_path / "in.jsonl").write_text(
        '{"input_ids": [1, 2], "labels": [1, 2]}\n{"input_ids": [1, 2], "labels": [1]}\n'
    )
    columns = ["-c", "input_ids", "-c", "labels=-100"]
    says = ["in.jsonl, line 2", "'input_ids'", "'labels'"]
    refuses("pad", "in.jsonl", "-o", "out.jsonl", *columns, *passes, says=says)


def test_unequal_vectors_are_named(refuses: Run, tmp_path: Path, passes: tuple[str, ...]) -> None:
    (tmp_path / "in.jsonl").write_text('{"x": [[1, 2], [3, 4]]}\n{"x": [[1, 2], [3]]}\n')
    says = ["in.jsonl, line 2", "column 'x'", "position 1"]
    refuses("pad", "in.jsonl", "-o", "out.jsonl", *passes, says=says)


def test_too_large_number_is_named(refuses: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(f'{GOOD}\n{{"input_ids": [1], "x": 1e999}}\n')
    refuses("pad", "in.jsonl", "-o", "out.parquet", says=["in.jsonl, line 2", "'x'"])


def test_too_deep_nesting_is_named(refuses: Run, tmp_path: Path) -> None:
    deep = "[" * 900 + "]" * 900
    (tmp_path / "in.jsonl").write_text(f'{GOOD}\n{{"input_ids": [1], "x": {deep}}}\n')
    refuses("pad", "in.jsonl", "-o", "out.parquet", says=["in.jsonl, line 2", "field"])


def test_parquet_needs_struct_fields(refuses: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1], "x": {}}\n')
    refuses("pad", "in.jsonl", "-o", "out.parquet", says=["'x'"], code=2)


def test_late_mask_field_is_refused(refuses: Run, tmp_path: Path, passes: tuple[str, ...]) -> None:
    # The bad row is after the rows that determine the type.
    (tmp_path / "in.jsonl").write_text(f"{GOOD}\n" * 5000 + '{"input_ids": [1], "mask": [1]}\n')
    says = ["in.jsonl, line 5001", "'mask'", "--overwrite-mask"]
    refuses("pad", "in.jsonl", "-o", "out.jsonl", *passes, says=says)


class TestLateTypeChange:
    """The type changes after thousands of lines, in a later chunk of the file."""

    LINES = 30_000

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.file = tmp_path / "in.jsonl"

    def late(self, first: str, last: str) -> None:
        self.file.write_text(f"{first}\n" * self.LINES + f"{last}\n")

    @pytest.mark.parametrize(("token", "said"), [('"a"', "'a'"), ("1.5", "1.5"), ("[1]", "list")])
    def test_wrong_token_is_named(self, refuses: Run, passes: tuple[str, ...], token: str, said: str) -> None:
        self.late(GOOD, f'{{"input_ids": [1, {token}]}}')
        says = [f"in.jsonl, line {self.LINES + 1}", COLUMN, "position 1", said]
        refuses("pad", "in.jsonl", "-o", "out.jsonl", *passes, says=says)

    @pytest.mark.parametrize("output", ["out.parquet", "out.arrow"])
    def test_typed_output_names_both_lines(self, refuses: Run, output: str) -> None:
        self.late('{"input_ids": [1], "x": 1}', '{"input_ids": [1], "x": "one"}')
        refuses(
            "pad",
            "in.jsonl",
            "-o",
            output,
            "--maxlen",
            "1",
            says=[f"line {self.LINES + 1}", "line 1 ", "'x'"],
        )

    def test_jsonl_output_does_not_care(self, here: Run) -> None:
        self.late('{"input_ids": [1], "x": 1}', '{"input_ids": [1], "x": "one"}')
        result = here("pad", "in.jsonl", "--maxlen", "1")
        first, *_, last = result.stdout.splitlines()
        assert first == '{"input_ids":[1],"x":1,"mask":[true]}'
        assert last == '{"input_ids":[1],"x":"one","mask":[true]}'
        assert result.stdout.count("\n") == self.LINES + 1

    @pytest.mark.parametrize(
        ("first", "last", "type_"),
        [("1", "1.5", pa.float64()), ("1.5", "1", pa.float64()), ("null", '"a"', pa.string())],
        ids=["int to float", "float to int", "null to string"],
    )
    def test_wider_type_is_fine(
        self, here: Run, tmp_path: Path, first: str, last: str, type_: pa.DataType
    ) -> None:
        self.late(f'{{"input_ids": [1], "x": {first}}}', f'{{"input_ids": [1], "x": {last}}}')
        assert here("pad", "in.jsonl", "-o", "out.parquet", "--maxlen", "1").returncode == 0
        column = read(tmp_path / "out.parquet").column("x")
        assert column.type == type_
        assert [column[0].as_py(), column[-1].as_py()] == [json.loads(first), json.loads(last)]


class TestCompressedFile:
    @pytest.fixture(params=[".gz", ".zst"])
    def packed(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        path = tmp_path / f"in.jsonl{request.param}"
        codec = {".gz": "gzip", ".zst": "zstd"}[request.param]
        path.write_bytes(pa.compress(noise().encode(), codec=codec, asbytes=True))
        return path

    def test_truncated_file_is_named(self, refuses: Run, packed: Path, passes: tuple[str, ...]) -> None:
        packed.write_bytes(packed.read_bytes()[:-5000])
        refuses("pad", packed.name, "-o", "out.jsonl", *passes, says=[packed.name, "line "])

    def test_uncompressed_file_is_named(self, refuses: Run, packed: Path, passes: tuple[str, ...]) -> None:
        packed.write_text(f"{GOOD}\n" * 100)
        refuses("pad", packed.name, "-o", "out.jsonl", *passes, says=[packed.name])


# --- Columns -----------------------------------------------------------------------------


@pytest.fixture(params=["in.jsonl", "in.parquet", "in.arrow"])
def lists(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A file with the columns ids, labels and text, in each format."""
    table = pa.table({"ids": [[1, 2], [3]], "labels": [[1, 0], [1]], "text": ["a", "b"]})
    if request.param == "in.jsonl":
        (tmp_path / request.param).write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        write(tmp_path / request.param, table)
    return request.param


class TestAskedColumn:
    @pytest.mark.parametrize(
        ("asked", "meant"), [("id", "'ids'"), ("lables=-100", "'labels'"), ("label:int64", "'labels'")]
    )
    def test_missing_column_gets_suggestion(self, refuses: Run, lists: str, asked: str, meant: str) -> None:
        says = [f"Did you mean {meant}?", "'ids', 'labels', 'text'"]
        refuses("pad", lists, "-c", asked, "-o", "out.jsonl", says=says, code=2)

    def test_missing_column_lists_others(self, refuses: Run, lists: str) -> None:
        result = refuses(
            "pad", lists, "-c", "zzz", "-o", "out.jsonl", says=["'ids', 'labels', 'text'"], code=2
        )
        assert "Did you mean" not in result.stderr

    def test_several_columns_need_a_choice(self, refuses: Run, lists: str) -> None:
        refuses("pad", lists, "-o", "out.jsonl", says=["'ids', 'labels'", "-c ids"], code=2)

    def test_column_must_hold_lists(self, refuses: Run, lists: str) -> None:
        # In JSON Lines, values have types, but columns do not.
        code = 1 if lists.endswith(".jsonl") else 2
        refuses("pad", lists, "-c", "text", "-o", "out.jsonl", says=["'text'"], code=code)

    def test_column_is_requested_once(self, refuses: Run, lists: str) -> None:
        refuses("pad", lists, "-c", "ids", "-c", "ids=1", "-o", "out.jsonl", says=["'ids'", "twice"], code=2)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
class TestDuplicateColumns:
    def test_typed_output_keeps_both(self, here: Run, tmp_path: Path, suffix: str) -> None:
        table = pa.Table.from_arrays([pa.array(x) for x in (ROWS, [1, 2, 3], "abc")], ["input_ids", "x", "x"])
        write(tmp_path / f"in{suffix}", table)
        assert here("pad", f"in{suffix}", "-o", f"out{suffix}").returncode == 0
        out = read(tmp_path / f"out{suffix}")
        assert out.column_names == ["input_ids", "x", "x", "mask"]
        assert [out.column(i).to_pylist() for i in (1, 2)] == [[1, 2, 3], ["a", "b", "c"]]

    def test_jsonl_output_refuses_them(self, refuses: Run, tmp_path: Path, suffix: str) -> None:
        table = pa.Table.from_arrays([pa.array(x) for x in (ROWS, [1, 2, 3], "abc")], ["input_ids", "x", "x"])
        write(tmp_path / f"in{suffix}", table)
        refuses("pad", f"in{suffix}", "-o", "out.jsonl", says=["'x'"], code=2)

    def test_duplicates_cannot_be_padded(self, refuses: Run, tmp_path: Path, suffix: str) -> None:
        table = pa.Table.from_arrays([pa.array(ROWS), pa.array(ROWS)], ["input_ids", "input_ids"])
        write(tmp_path / f"in{suffix}", table)
        refuses("pad", f"in{suffix}", "-o", f"out{suffix}", says=["'input_ids'", "2 columns"], code=2)


@each_value(
    name=[
        *(
            "",
            " ",
            "a b",
            "a=b",
            "x:int32",
            "x:int64=3",
            "=",
            ":",
            "a.b",
            "a/b",
            "-c",
            "ñ",
            "🤖",
            'a"b',
            "a\nb",
        ),
        "'",
    ],
    # Every reader and every writer. JSON Lines to JSON Lines has separate code.
    formats={
        f"{suffix}{output}": (suffix, output)
        for suffix, output in [
            (".jsonl", "out.jsonl"),
            (".jsonl", "out.arrow"),
            (".arrow", "out.parquet"),
            (".parquet", "out.jsonl"),
        ]
    },
)
def test_odd_column_names(here: Run, tmp_path: Path, name: str, formats: tuple[str, str]) -> None:
    suffix, output = formats
    # The file also has a struct. "a.b" is not field b of a.
    table = pa.table({name: ROWS, "a": [{"b": 1}, {"b": 2}, {"b": 3}]})
    if suffix == ".jsonl":
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        write(tmp_path / f"in{suffix}", table)
    wanted = [{name: row["input_ids"], "a": {"b": i}, "mask": row["mask"]} for i, row in enumerate(PADDED, 1)]
    assert here("pad", f"in{suffix}", f"--column={name}", "-o", output).returncode == 0
    made = tmp_path / output
    if output.endswith(".jsonl"):
        assert [json.loads(line) for line in made.read_text().split("\n")[:-1]] == wanted
    else:
        assert read(made).to_pylist() == wanted


# --- Valid Parquet and Arrow -------------------------------------------------------------

FLAT = pa.array([1, 2, 3])
LAYOUTS = {
    "list": pa.array(ROWS),
    "list of int8": pa.array(ROWS, pa.list_(pa.int8())),
    "list of uint64": pa.array(ROWS, pa.list_(pa.uint64())),
    "large_list": pa.array(ROWS, pa.large_list(pa.int64())),
    "list_view": pa.array(ROWS, pa.list_view(pa.int64())),
    "large_list_view": pa.array(ROWS, pa.large_list_view(pa.int64())),
    "list_view out of order": pa.ListViewArray.from_arrays([1, 3, 0], [2, 0, 1], pa.array([3, 1, 2])),
    "sliced": pa.array([[9, 9], None, *ROWS, [9]]).slice(2, 3),
    "sliced list_view": pa.array([[9], *ROWS, [9, 9]], pa.list_view(pa.int32())).slice(1, 3),
    "chunked": pa.chunked_array([ROWS[:1], [], ROWS[1:]], pa.list_(pa.int64())),
    "chunks of slices": pa.chunked_array([pa.array([[7], *ROWS]).slice(1, 2), pa.array([[7], [3]]).slice(1)]),
    "list of dictionary": pa.ListArray.from_arrays([0, 2, 2, 3], FLAT.dictionary_encode()),
    "dictionary of list": pa.DictionaryArray.from_arrays([1, 2, 0], pa.array([[3], [1, 2], []])),
}
ONLY_IN_ARROW = {"dictionary of list"}
layouts = pytest.mark.parametrize(
    ("column", "suffix"),
    [
        pytest.param(column, suffix, id=f"{name} in {suffix[1:]}")
        for name, column in LAYOUTS.items()
        for suffix in (".parquet", ".arrow")
        if suffix == ".arrow" or name not in ONLY_IN_ARROW
    ],
)


@layouts
def test_list_layouts_give_equal_lines(
    here: Run, tmp_path: Path, passes: tuple[str, ...], column: Any, suffix: str
) -> None:
    write(tmp_path / f"in{suffix}", pa.table({"input_ids": column}))
    length = passes and ("--maxlen", "2")
    assert rows_of(here("pad", f"in{suffix}", *length)) == PADDED


@layouts
@represented("output", ["out.parquet", "out.arrow"], by=1)
def test_list_layouts_become_lists(here: Run, tmp_path: Path, column: Any, suffix: str, output: str) -> None:
    write(tmp_path / f"in{suffix}", pa.table({"input_ids": column}))
    assert here("pad", f"in{suffix}", "-o", output).returncode == 0
    table = read(tmp_path / output)
    assert table.to_pylist() == PADDED
    assert pa.types.is_list(table.schema.field("input_ids").type)
    assert table.schema.field("input_ids").type.value_type == pa.int32()
    assert table.schema.field("mask").type.value_type == pa.bool_()


@pytest.fixture(params=[".parquet", ".arrow"])
def suffix(request: pytest.FixtureRequest) -> str:
    return request.param


class TestFixedSizeList:
    def test_rows_are_padded(self, here: Run, tmp_path: Path, suffix: str) -> None:
        rows = pa.array([[9, 9], [1, 2], [3, 4], [9, 9]], pa.list_(pa.int64(), 2)).slice(1, 2)
        write(tmp_path / f"in{suffix}", pa.table({"input_ids": rows}))
        padded = rows_of(here("pad", f"in{suffix}", "--maxlen", "3"))
        assert [row["input_ids"] for row in padded] == [[1, 2, 0], [3, 4, 0]]

    def test_null_row_is_skipped(self, here: Run, tmp_path: Path, suffix: str) -> None:
        write(tmp_path / f"in{suffix}", ids([[1, 2], None, [5, 6]], pa.list_(pa.int64(), 2)))
        padded = rows_of(here("pad", f"in{suffix}", "--on-error", "skip"))
        assert [row["input_ids"] for row in padded] == [[1, 2], [5, 6]]

    def test_vectors_are_padded(self, here: Run, tmp_path: Path, suffix: str) -> None:
        rows = pa.array([[[1, 2]], [[3, 4], [5, 6]]], pa.list_(pa.list_(pa.float32(), 2)))
        write(tmp_path / f"in{suffix}", pa.table({"x": rows}))
        padded = rows_of(here("pad", f"in{suffix}"))
        assert [row["x"] for row in padded] == [[[1, 2], [0, 0]], [[3, 4], [5, 6]]]
        assert [row["mask"] for row in padded] == [[True, False], [True, True]]


class TestNullList:
    def test_null_list_has_no_tokens(self, here: Run, tmp_path: Path, suffix: str) -> None:
        write(tmp_path / f"in{suffix}", ids([[], []], pa.list_(pa.null())))
        padded = rows_of(here("pad", f"in{suffix}", "--maxlen", "2"))
        assert padded == [{"input_ids": [0, 0], "mask": [False, False]}] * 2

    def test_null_list_becomes_int32(self, here: Run, tmp_path: Path, suffix: str) -> None:
        write(tmp_path / f"in{suffix}", ids([[], []], pa.list_(pa.null())))
        assert_no_length(here("pad", f"in{suffix}", "-o", f"out{suffix}"))
        assert here("pad", f"in{suffix}", "-o", f"out{suffix}", "--maxlen", "4").returncode == 0
        assert read(tmp_path / f"out{suffix}").schema.field("input_ids").type.value_type == pa.int32()

    def test_null_list_joins_other_files(self, here: Run, tmp_path: Path, suffix: str) -> None:
        write(tmp_path / f"a{suffix}", ids([[]], pa.list_(pa.null())))
        write(tmp_path / f"b{suffix}", ids([[1, 2]]))
        padded = rows_of(here("pad", f"a{suffix}", f"b{suffix}"))
        assert [row["input_ids"] for row in padded] == [[0, 0], [1, 2]]


@pytest.mark.parametrize("groups", [0, 1])
@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet", "out.arrow"])
def test_parquet_without_row_groups(here: Run, tmp_path: Path, groups: int, output: str) -> None:
    table = pa.table({"input_ids": pa.array([], pa.list_(pa.int64())), "text": pa.array([], pa.string())})
    with pq.ParquetWriter(tmp_path / "in.parquet", table.schema) as out:
        for _ in range(groups):
            out.write_batch(pa.RecordBatch.from_pylist([], table.schema))
    assert pq.read_metadata(tmp_path / "in.parquet").num_row_groups == groups
    assert_no_length(here("pad", "in.parquet", "-o", output))
    assert here("pad", "in.parquet", "-o", output, "--maxlen", "4").returncode == 0
    if output == "out.jsonl":
        assert (tmp_path / output).read_bytes() == b""
    else:
        assert read(tmp_path / output).num_rows == 0
        assert read(tmp_path / output).column_names == ["input_ids", "text", "mask"]
    if output == "out.parquet":
        # One row group of no rows breaks Hugging Face datasets.
        assert pq.read_metadata(tmp_path / output).num_row_groups == 0


def test_arrow_without_batches(here: Run, tmp_path: Path) -> None:
    schema = ids(ROWS).schema
    for name, batches in {"none": [], "empty": [[]], "holes": [[], ROWS[:1], [], ROWS[1:], []]}.items():
        with pa.ipc.new_file(tmp_path / f"{name}.arrow", schema) as out:
            for rows in batches:
                out.write_batch(pa.record_batch([pa.array(rows, schema.types[0])], schema=schema))
    for name in ("none", "empty"):
        assert_no_length(here("pad", f"{name}.arrow"))
        assert rows_of(here("pad", f"{name}.arrow", "--maxlen", "4")) == []
    assert rows_of(here("pad", "holes.arrow")) == PADDED


def test_dictionaries_differ_by_batch(here: Run, tmp_path: Path) -> None:
    batches = [
        pa.record_batch({"input_ids": [[1]], "kind": pa.array([kind]).dictionary_encode()})
        for kind in ("news", "wiki")
    ]
    with pa.ipc.new_stream(tmp_path / "in.arrow", batches[0].schema) as out:
        for batch in batches:
            out.write_batch(batch)
    # Rows are so long that each is one record batch.
    assert here("pad", "in.arrow", "-o", "out.arrow", "--maxlen", str(1 << 22)).returncode == 0
    assert read(tmp_path / "out.arrow").column("kind").to_pylist() == ["news", "wiki"]


# --- Invalid Parquet and Arrow -----------------------------------------------------------

BAD_TABLES: dict[str, tuple[Any, list[str], list[str]]] = {
    "a null row": (pa.array([[1], None]), [], ["row 1", COLUMN, "null"]),
    "a null row of a large_list": (pa.array([[1], None], pa.large_list(pa.int32())), [], ["row 1", COLUMN]),
    "a null row of a list_view": (pa.array([[1], None], pa.list_view(pa.int32())), [], ["row 1", COLUMN]),
    "a null row of fixed size": (pa.array([[1], None], pa.list_(pa.int32(), 1)), [], ["row 1", COLUMN]),
    "nothing but nulls": (pa.nulls(2), [], ["row 0", COLUMN, "null"]),
    "a null token": (pa.array([[1], [1, None]]), [], ["row 1", COLUMN, "position 1", "null"]),
    "a null string": (pa.array([["a"], ["a", None]]), [], ["row 1", COLUMN, "position 1", "null"]),
    "a null in a list of null": (
        pa.array([[], [None]], pa.list_(pa.null())),
        [],
        ["row 1", COLUMN, "position 0"],
    ),
    "an id over int32": (
        pa.array([[1], [1, 2**31]]),
        [],
        ["row 1", COLUMN, "position 1", str(2**31), "int64"],
    ),
    "an id over int64": (
        pa.array([[1], [1, 2**63]], pa.list_(pa.uint64())),
        ["--dtype", "int64"],
        ["row 1", COLUMN, "position 1", str(2**63)],
    ),
    "a negative id": (pa.array([[1], [1, -1]]), ["--dtype", "uint16"], ["row 1", COLUMN, "position 1", "-1"]),
    "a fraction": (
        pa.array([[1.0], [1.0, 1.5]]),
        ["--dtype", "int32"],
        ["row 1", COLUMN, "position 1", "1.5"],
    ),
    "a NaN": (
        pa.array([[1.0], [1.0, float("nan")]]),
        ["--dtype", "int32"],
        ["row 1", COLUMN, "position 1", "nan"],
    ),
    "a float over float32": (
        pa.array([[1.0], [1e300]]),
        ["--dtype", "float32"],
        ["row 1", COLUMN, "position 0", "float64"],
    ),
    "an int that float32 rounds": (
        pa.array([[1], [2**24 + 1]]),
        ["--dtype", "float32"],
        ["row 1", COLUMN, "position 0", str(2**24 + 1)],
    ),
    "vectors of two lengths": (pa.array([[[1, 2]], [[1, 2], [3]]]), [], ["row 1", COLUMN, "position 1"]),
    "a null vector": (pa.array([[[1, 2]], [[1, 2], None]]), [], ["row 1", COLUMN, "position 1", "null"]),
    "bools as ints": (pa.array([[True]]), ["-c", "input_ids:int32"], ["'input_ids'", "bool"]),
    "structs": (pa.array([[{"a": 1}]]), [], ["'input_ids'", "struct"]),
    "bytes": (pa.array([[b"a"]]), [], ["'input_ids'", "binary"]),
    "lists of lists of lists": (pa.array([[[[1]]]]), [], ["'input_ids'"]),
    "strings, no lists": (pa.array(["a", "b"]), [], ["'input_ids'", "string"]),
    "ints, no lists": (pa.array([1, 2]), [], ["'input_ids'", "int64"]),
    "strings as ints": (pa.array([["a"]]), ["--dtype", "int32"], ["'input_ids'", "string"]),
}


@all_pairs(bad=BAD_TABLES, passes=PASSES, suffix=[".parquet", ".arrow"])
def test_bad_row_is_named(
    refuses: Run,
    tmp_path: Path,
    suffix: str,
    passes: tuple[str, ...],
    bad: tuple[pa.Array, list[str], list[str]],
) -> None:
    column, args, says = bad
    write(tmp_path / f"in{suffix}", pa.table({"input_ids": column}))
    of_row = says[0].startswith("row ")
    where = f"in{suffix}, {says[0]}" if of_row else f"in{suffix}"
    code = 1 if of_row else 2
    refuses("pad", f"in{suffix}", "-o", f"out{suffix}", *args, *passes, says=[where, *says], code=code)


def test_rows_count_over_row_groups(
    refuses: Run, tmp_path: Path, suffix: str, passes: tuple[str, ...]
) -> None:
    write(tmp_path / f"in{suffix}", ids([[1]] * 25 + [None] + [[1]] * 4), rows_a_group=10)
    refuses("pad", f"in{suffix}", "-o", "out.jsonl", *passes, says=[f"in{suffix}, row 25"])


def test_rows_count_per_file(refuses: Run, tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"a{suffix}", ids([[1]] * 5))
    write(tmp_path / f"b{suffix}", ids([[1], [1, None]]))
    says = [f"b{suffix}, row 1", "position 1"]
    refuses("pad", f"a{suffix}", f"b{suffix}", "-o", "out.jsonl", says=says)


def test_unequal_columns_of_tables(
    refuses: Run, tmp_path: Path, suffix: str, passes: tuple[str, ...]
) -> None:
    write(tmp_path / f"in{suffix}", pa.table({"input_ids": [[1], [1, 2]], "labels": [[1], [1]]}))
    columns = ["-c", "input_ids", "-c", "labels"]
    says = [f"in{suffix}, row 1", "'input_ids'", "'labels'"]
    refuses("pad", f"in{suffix}", "-o", "out.jsonl", *columns, *passes, says=says)


def test_incompatible_files_are_named(refuses: Run, tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"a{suffix}", ids([[1]]))
    write(tmp_path / f"b{suffix}", ids([["one"]]))
    says = [f"a{suffix}", f"b{suffix}", "input_ids"]
    refuses("pad", f"a{suffix}", f"b{suffix}", "-o", "out.jsonl", says=says)


def text_file(path: Path, **options: Any) -> bytes:
    """Write a Parquet file without compression and dictionaries, so that values can be found in the bytes."""
    table = pa.table({"input_ids": [[258, 259, 260], [261]], "text": ["grün", "weiß"]})
    pq.write_table(table, path, compression="none", use_dictionary=False, **options)
    return path.read_bytes()


CUTS = {
    "no bytes": lambda data: b"",
    "three bytes": lambda data: data[:3],
    "eight bytes": lambda data: data[:8],
    "half": lambda data: data[: len(data) // 2],
    "all but forty": lambda data: data[:-40],
    "all but the last": lambda data: data[:-1],
}


class TestTruncatedFile:
    @all_pairs(cut=CUTS, passes=PASSES, suffix=[".parquet", ".arrow"])
    def test_file_is_named(
        self,
        refuses: Run,
        tmp_path: Path,
        suffix: str,
        passes: tuple[str, ...],
        cut: Callable[[bytes], bytes],
    ) -> None:
        path = write(tmp_path / f"in{suffix}", ids([[1, 2]] * 100))
        path.write_bytes(cut(path.read_bytes()))
        refuses("pad", path.name, "-o", "out.jsonl", *passes, says=[path.name])

    @represented("cut", CUTS, by={"no bytes", "half"})
    def test_stdin_is_named(
        self, refuses: Run, padmask: Run, tmp_path: Path, suffix: str, cut: Callable[[bytes], bytes]
    ) -> None:
        path = write(tmp_path / f"in{suffix}", ids([[1, 2]] * 100))
        data = cut(path.read_bytes())
        args = ["pad", "-", "--input-format", suffix[1:], "-o", "out.jsonl", "--maxlen", "2"]
        refuses(*args, says=["stdin"], by=padmask, stdin=data)


@pytest.mark.parametrize("left", [30, 200, 700])
def test_truncated_stream_is_named(refuses: Run, tmp_path: Path, passes: tuple[str, ...], left: int) -> None:
    whole = stream_bytes(ids([[1, 2]] * 100))
    assert left < len(whole) - 100
    (tmp_path / "in.arrow").write_bytes(whole[:left])
    refuses("pad", "in.arrow", "-o", "out.jsonl", *passes, says=["in.arrow"])


def test_wrong_format_is_named(refuses: Run, tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"in{suffix}").write_text(f"{GOOD}\n" * 100)
    refuses("pad", f"in{suffix}", "-o", "out.jsonl", says=[f"in{suffix}", "JSON Lines"], code=2)


class TestFlippedBytes:
    @pytest.mark.parametrize("output", ["out.jsonl", "out.parquet", "out.arrow"])
    def test_text_in_parquet(self, refuses: Run, tmp_path: Path, output: str) -> None:
        data = text_file(tmp_path / "in.parquet")
        # The text is in the page and in the statistics.
        (tmp_path / "in.parquet").write_bytes(data.replace("grün".encode(), b"gr\xff\xfcn"))
        refuses("pad", "in.parquet", "-o", output, says=["in.parquet"])

    def test_text_in_arrow(self, refuses: Run, tmp_path: Path) -> None:
        path = write(tmp_path / "in.arrow", pa.table({"input_ids": [[1]], "text": ["grün"]}))
        path.write_bytes(path.read_bytes().replace("grün".encode(), b"gr\xff\xfcn"))
        refuses("pad", "in.arrow", "-o", "out.jsonl", says=["in.arrow"])

    def test_column_name(self, refuses: Run, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"in{suffix}"
        table = pa.table({"input_ids": [[1]], "flipped": ["a"]})
        if suffix == ".parquet":
            pq.write_table(table, path, store_schema=False)
        else:
            write(path, table)
        path.write_bytes(path.read_bytes().replace(b"flipped", b"fl\xff\xfeped"))
        refuses("pad", path.name, "-o", "out.jsonl", says=[path.name])

    def test_page_checksums(self, refuses: Run, tmp_path: Path) -> None:
        data = text_file(tmp_path / "in.parquet", write_page_checksum=True)
        ids_as_they_lie = np.array([258, 259, 260, 261], dtype="<i8").tobytes()
        assert data.count(ids_as_they_lie) == 1
        flipped = np.array([258, 259 ^ 64, 260, 261], dtype="<i8").tobytes()
        (tmp_path / "in.parquet").write_bytes(data.replace(ids_as_they_lie, flipped))
        refuses("pad", "in.parquet", "-o", "out.jsonl", says=["in.parquet"])

    @pytest.mark.slow
    @represented("bits,step", [(0xFF, 5), (0x01, 1), (0xFF, 1)], by=1)
    def test_every_byte(self, tmp_path: Path, suffix: str, bits: int, step: int) -> None:
        # Use a new process, because Arrow may abort.
        text_file(tmp_path / "in.parquet", store_schema=False)
        write(tmp_path / "in.arrow", pq.read_table(tmp_path / "in.parquet"))
        done = subprocess.run(
            [sys.executable, "-c", FLIP_EACH_BYTE, f"in{suffix}", str(bits), str(step)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-500:]
        assert json.loads(done.stdout) == []
        assert {path.name for path in tmp_path.iterdir()} <= {
            "in.parquet",
            "in.arrow",
            "flipped",
            "out.jsonl",
        }


FLIP_EACH_BYTE = """
import contextlib, io, json, sys
from pathlib import Path
from padmask.cli import run

name, bits, step = sys.argv[1:]
data, odd = Path(name).read_bytes(), []
for place in range(0, len(data), int(step) * (1 if name.endswith("parquet") else 3)):
    sys.stderr.write(f"byte {place}\\n")
    flipped = bytearray(data)
    flipped[place] ^= int(bits)
    Path("flipped").write_bytes(flipped)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            args = ["pad", "flipped", "--input-format", name.split(".")[1], "-o", "out.jsonl"]
            code = run([*args, "--maxlen", "3", "--threads", "1", "--quiet"])
    except Exception as error:
        odd.append([place, repr(error)])
        continue
    lines = said.getvalue().splitlines()
    if not (code == 0 and not lines or code in (1, 2) and 1 <= len(lines) <= 3 and lines[0][:7] == "Error: "):
        odd.append([place, code, lines])
print(json.dumps(odd))
"""


# --- Missing inputs ----------------------------------------------------------------------


class TestAnInput:
    def test_must_exist(self, refuses: Run) -> None:
        refuses("pad", "nowhere.jsonl", "-o", "out.jsonl", says=["'nowhere.jsonl'", "Check the path"], code=2)

    def test_inputs_are_checked_first(self, refuses: Run, tmp_path: Path) -> None:
        (tmp_path / "in.jsonl").write_text(GOOD)
        refuses("pad", "in.jsonl", "nowhere.jsonl", "-o", "out.jsonl", says=["'nowhere.jsonl'"], code=2)

    def test_folder_without_data(self, refuses: Run, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "notes.txt").write_text("none")
        refuses("pad", "data", "-o", "out.jsonl", says=["'data'", ".jsonl"], code=2)

    def test_mixed_formats(self, refuses: Run, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text(GOOD)
        write(tmp_path / "b.parquet", ids(ROWS))
        refuses("pad", "a.jsonl", "b.parquet", "-o", "out.jsonl", says=["a.jsonl", "b.parquet"], code=2)

    def test_pickled_npz_input(self, refuses: Run, tmp_path: Path) -> None:
        np.savez(tmp_path / "in.npz", input_ids=np.array([[1], [1, 2]], dtype=object))
        refuses("pad", "in.npz", "-o", "out.jsonl", says=["in.npz", "'input_ids'", "pickled"], code=2)

    def test_stdin_twice(self, refuses: Run) -> None:
        refuses("pad", "-", "-", "-o", "out.jsonl", says=["once"], code=2)

    @pytest.mark.skipif(as_root, reason="root may read anything")
    def test_unreadable_file(self, here: Run, tmp_path: Path) -> None:
        (tmp_path / "in.jsonl").touch(mode=0o222)
        done = here("pad", "in.jsonl")
        assert (done.returncode, done.stdout) == (2, "")
        assert has_facts(done.stderr, "'in.jsonl'", "readable")


# --- Refused outputs ---------------------------------------------------------------------


@pytest.fixture
def good(tmp_path: Path) -> str:
    (tmp_path / "in.jsonl").write_text(LINES)
    return "in.jsonl"


class TestRefusedOutput:
    @represented("output", ["out.jsonl", "out.parquet", "out.npz", "out.arrow", "out.jsonl.gz"], by=3)
    def test_bad_input_keeps_old_output(
        self, refuses: Run, tmp_path: Path, passes: tuple[str, ...], output: str
    ) -> None:
        (tmp_path / output).write_text("worth keeping")
        (tmp_path / "in.jsonl").write_text(f"{GOOD}\n" * 20_000 + "{}\n")
        refuses("pad", "in.jsonl", "-o", output, *passes, says=["in.jsonl, line 20001"])

    @pytest.mark.parametrize("output", ["no/such/out.jsonl", "no/out.parquet"])
    def test_missing_folder(self, refuses: Run, good: str, output: str) -> None:
        says = [f"'{output}'", f"'{os.path.dirname(output)}'", "mkdir -p"]
        refuses("pad", good, "-o", output, says=says, code=2)

    @pytest.mark.parametrize("option", ["--rejects", "--report"])
    def test_missing_folder_of_side_output(self, refuses: Run, good: str, option: str) -> None:
        says = ["'no/such.jsonl'", "mkdir -p"]
        refuses("pad", good, "-o", "out.jsonl", option, "no/such.jsonl", says=says, code=2)

    @pytest.mark.parametrize("option", ["--rejects", "--report"])
    def test_outputs_need_two_names(self, refuses: Run, good: str, option: str) -> None:
        refuses("pad", good, "-o", "out.jsonl", option, "./out.jsonl", says=["out.jsonl", option[2:]], code=2)

    def test_file_instead_of_folder(self, refuses: Run, good: str) -> None:
        refuses("pad", good, "-o", f"{good}/out.jsonl", says=[f"'{good}/out.jsonl'", f"'{good}'"], code=2)

    @pytest.mark.parametrize("option", ["--rejects", "--report"])
    def test_folder_instead_of_file(self, refuses: Run, tmp_path: Path, good: str, option: str) -> None:
        (tmp_path / "else.jsonl").mkdir()
        refuses("pad", good, "-o", "out.jsonl", option, "else.jsonl", says=["'else.jsonl'", "folder"], code=2)

    def test_unknown_suffix(self, refuses: Run, good: str) -> None:
        refuses("pad", good, "-o", "out.txt", says=["'out.txt'", ".parquet", "--output-format"], code=2)

    def test_too_long_name(self, refuses: Run, good: str) -> None:
        name = "x" * 300 + ".jsonl"
        result = refuses("pad", good, "-o", name, says=[f"'{name}'"], code=2)
        assert ".tmp" not in result.stderr

    def test_longest_name_is_fine(self, here: Run, tmp_path: Path, good: str) -> None:
        name = "x" * 249 + ".jsonl"
        assert here("pad", good, "-o", name).returncode == 0
        assert {path.name for path in tmp_path.iterdir()} == {good, name}

    @pytest.mark.skipif(as_root, reason="root may write anywhere")
    def test_read_only_folder(self, refuses: Run, tmp_path: Path, good: str) -> None:
        (tmp_path / "locked").mkdir(mode=0o555)
        refuses(
            "pad",
            good,
            "-o",
            "locked/out.jsonl",
            says=["'locked/out.jsonl'", "'locked'", "ermission"],
            code=2,
        )

    @pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".arrow"])
    def test_output_may_be_the_input(
        self, here: Run, tmp_path: Path, passes: tuple[str, ...], suffix: str
    ) -> None:
        path = tmp_path / f"data{suffix}"
        path.write_text(LINES) if suffix == ".jsonl" else write(path, ids(ROWS))
        length = passes and ("--maxlen", "2")
        assert here("pad", path.name, "-o", path.name, *length).returncode == 0
        rows = [json.loads(x) for x in path.read_text().splitlines()] if suffix == ".jsonl" else None
        assert (rows or read(path).to_pylist()) == PADDED
        assert [path.name] == os.listdir(tmp_path)

    def test_bad_input_stays_as_it_was(self, refuses: Run, tmp_path: Path) -> None:
        (tmp_path / "in.jsonl").write_text(f"{GOOD}\n{{}}\n")
        refuses("pad", "in.jsonl", "-o", "in.jsonl", "--maxlen", "4", says=["in.jsonl, line 2"])

    def test_too_large_maxlen(self, refuses: Run, good: str) -> None:
        refuses("pad", good, "-o", "out.jsonl", "--maxlen", str(10**18 - 1), says=["maxlen"], code=2)


# --- Processes ---------------------------------------------------------------------------


def test_stdin_error_says_stdin(refuses: Run, padmask: Run, passes: tuple[str, ...]) -> None:
    text = f'{GOOD}\n\n{{"input_ids": [1, null]}}\n'
    says = ["stdin, line 3", COLUMN, "position 1"]
    refuses("pad", "-", "-o", "out.jsonl", *passes, says=says, by=padmask, stdin=text)


def test_errors_go_to_stderr(padmask: Run) -> None:
    result = padmask("pad", "--maxlen", "4", stdin=f"{GOOD}\n{{}}\n")
    complaint(result, "stdin, line 2")
    assert result.stdout == ""


@pytest.mark.parametrize(
    "data",
    [
        LINES.encode(),
        LINES.encode("utf-8-sig"),
        LINES.rstrip().replace("\n", "\r\n").encode(),
        gzip.compress(LINES.encode()),
        pa.compress(LINES.encode(), codec="zstd", asbytes=True),
        stream_bytes(ids(ROWS)),
        "parquet",
        "arrow",
    ],
    ids=["JSON Lines", "a BOM", "CRLF", "gzip", "zstd", "an Arrow stream", "Parquet", "an Arrow file"],
)
def test_stdin_reads_every_format(
    padmask: Run, tmp_path: Path, passes: tuple[str, ...], data: bytes | str
) -> None:
    if isinstance(data, str):
        data = write(tmp_path / f"in.{data}", ids(ROWS)).read_bytes()
    length = passes and ("--maxlen", "2")
    assert rows_of(padmask("pad", *length, stdin=data)) == PADDED


def test_empty_stdin(padmask: Run) -> None:
    assert_no_length(padmask("pad", "-"))
    assert rows_of(padmask("pad", "-", "--maxlen", "4")) == []


def test_arrow_stream_on_stdout(padmask: Run) -> None:
    result = padmask("pad", "--output-format", "arrow", stdin=LINES)
    assert result.returncode == 0
    data = result.stdout.encode("utf-8", "surrogateescape")
    assert pa.ipc.open_stream(data).read_all().to_pylist() == PADDED


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1"])
def test_other_names_of_stdout(padmask: Run, good: str, path: str) -> None:
    assert rows_of(padmask("pad", good, "-o", path)) == PADDED


def test_closed_stdin_is_refused(refuses: Run, padmask: Run) -> None:
    refuses("pad", "-o", "out.jsonl", says=["stdin", "closed"], by=padmask, redirect="<&-", code=2)


def test_closed_stdin_does_not_matter(padmask: Run, good: str) -> None:
    assert rows_of(padmask("pad", good, redirect="<&-")) == PADDED


def test_closed_stdout_is_refused(refuses: Run, padmask: Run, good: str) -> None:
    refuses("pad", good, says=["stdout", "closed"], by=padmask, redirect=">&-", code=2)


def test_closed_stdout_does_not_matter(padmask: Run, tmp_path: Path, good: str) -> None:
    result = padmask("pad", good, "-o", "out.jsonl", "--quiet", redirect=">&-")
    assert (result.returncode, result.stderr) == (0, "")
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


def test_closed_stderr_keeps_exit_code(padmask: Run, good: str) -> None:
    assert padmask("pad", good, "-o", "out.jsonl", redirect="2>&-").returncode == 0
    assert padmask("pad", "nowhere.jsonl", redirect="2>&-").returncode == 2


@pytest.mark.skipif(no_full_device, reason="this system has no /dev/full")
class TestFullDevice:
    def test_full_output(self, refuses: Run, padmask: Run, good: str) -> None:
        args = ["pad", good, "-o", "/dev/full", "--output-format", "jsonl"]
        refuses(*args, says=["/dev/full", "No space left"], by=padmask, code=2)

    def test_full_stdout(self, refuses: Run, padmask: Run, good: str) -> None:
        refuses("pad", good, says=["stdout", "No space left"], by=padmask, redirect=">/dev/full", code=2)

    def test_full_report(self, padmask: Run, good: str) -> None:
        result = padmask("pad", good, "-o", "out.jsonl", "--report", "/dev/full")
        complaint(result, "/dev/full", "No space left", code=2)


class TestFullDisk:
    """A limit on the file size simulates a full disk."""

    limit = "ulimit -f 8"

    @pytest.fixture(autouse=True)
    def _large(self, tmp_path: Path) -> None:
        (tmp_path / "in.jsonl").write_text(noise())

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "output",
        ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst", "out.parquet", "out.arrow", "out.npz"],
    )
    def test_output_is_not_half_written(self, refuses: Run, padmask: Run, output: str) -> None:
        says = [f"'{output}'", "File too large"]
        refuses("pad", "in.jsonl", "-o", output, says=says, by=padmask, before=self.limit, code=2)

    def test_old_output_stays(self, refuses: Run, padmask: Run, tmp_path: Path) -> None:
        (tmp_path / "out.jsonl").write_text("worth keeping")
        args = ["pad", "in.jsonl", "-o", "out.jsonl", "--maxlen", "40"]
        refuses(*args, says=["'out.jsonl'"], by=padmask, before=self.limit, code=2)

    def test_stdout_is_named(self, padmask: Run) -> None:
        result = padmask("pad", "in.jsonl", redirect="> out.txt", before=self.limit)
        complaint(result, "stdout", "File too large", code=2)

    def test_rejects_are_not_half_written(self, refuses: Run, padmask: Run) -> None:
        args = ["pad", "in.jsonl", "-o", "out.jsonl", "--maxlen", "2", "--overlong", "drop"]
        says = ["'rejects.jsonl'", "File too large"]
        refuses(*args, "--rejects", "rejects.jsonl", says=says, by=padmask, before=self.limit, code=2)

    def test_stdin_copy_does_not_fit(self, refuses: Run, padmask: Run) -> None:
        # The length must be computed, so the pipe is copied to a file.
        says = ["stdin", "File too large"]
        refuses(
            "pad", "-", "-o", "out.jsonl", says=says, by=padmask, before=self.limit, stdin=noise(), code=2
        )


@pytest.fixture
def endless() -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes valid lines without end."""
    with subprocess.Popen(["yes", GOOD], stdout=subprocess.PIPE) as process:
        yield process
        process.terminate()


def test_closed_pipe_is_not_an_error(command: list[str], endless: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(
        [*command, "pad", "-", "--maxlen", "4"],
        stdin=endless.stdout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        head = subprocess.run(
            ["head", "-1"], stdin=process.stdout, capture_output=True, text=True, check=True
        )
        process.stdout.close()
        assert process.wait(timeout=10) == 0
        assert process.stderr.read() == b""
    assert json.loads(head.stdout)["input_ids"] == [1, 2, 3, 0]


def test_limit_ends_endless_pipe(
    command: list[str], tmp_path: Path, endless: subprocess.Popen[bytes], passes: tuple[str, ...]
) -> None:
    # A copy of the whole pipe would exceed this limit.
    limited = ["sh", "-c", 'ulimit -f 50000; exec "$@"', "sh", *command]
    done = subprocess.run(
        [*limited, "pad", "-", "--limit", "2", *passes],
        stdin=endless.stdout,
        capture_output=True,
        timeout=20,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"\n") == 2


def test_error_ends_endless_pipe(quick_command: list[str]) -> None:
    with subprocess.Popen(["yes", '{"input_ids": null}'], stdout=subprocess.PIPE) as lines:
        done = subprocess.run(
            [*quick_command, "pad", "-", "--maxlen", "1"],
            stdin=lines.stdout,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        lines.terminate()
    complaint(done, "stdin, line 1")


STOPS = [
    pytest.param(signal.SIGINT, {130}, id="Ctrl-C"),
    pytest.param(signal.SIGTERM, {143}, id="kill"),
    pytest.param(signal.SIGHUP, {129, -signal.SIGHUP}, id="a closed terminal"),
]


@pytest.mark.slow
@represented("stop,codes", STOPS, by=1)
def test_stopped_run_leaves_nothing(
    command: list[str], tmp_path: Path, passes: tuple[str, ...], stop: signal.Signals, codes: set[int]
) -> None:
    with subprocess.Popen(
        [*command, "pad", "-", "-o", "out.jsonl", *passes],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        preexec_fn=default_signals,
    ) as process:
        # A pipe has a smaller capacity, so after this write padmask has read most lines and waits for more.
        process.stdin.write(f"{GOOD}\n".encode() * 100_000)
        process.stdin.flush()
        time.sleep(0.3)
        began = time.monotonic()
        process.send_signal(stop)
        code = process.wait(timeout=10)
        said = process.stderr.read().decode()
    assert code in codes
    assert time.monotonic() - began < 5
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 3
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("value", "found"), [("a b", "strings"), (3, "numbers"), (0.5, "numbers"), (True, "bools")]
)
@pytest.mark.parametrize("name", ["pad", "inspect"])
def test_column_without_lists(here, tmp_path, name, value, found):
    """The error does not suggest --on-error, because skipping bad rows would leave out all rows."""
    row = {"input_ids": [7], "text": value, "tags": [1]}
    (tmp_path / "in.jsonl").write_text(2 * (json.dumps(row) + "\n"))
    done = here(name, "in.jsonl", "-c", "text")
    assert done.returncode == 1
    assert "in.jsonl: column 'text'" in done.stderr
    assert f"contain {found}" in done.stderr
    assert "'input_ids', 'tags'" in done.stderr
    assert "--on-error" not in done.stderr


def test_column_with_some_lists(here, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"x": "a"}\n{"x": [7]}\n')
    done = here("pad", "in.jsonl", "-c", "x")
    assert (done.returncode, "--on-error" in done.stderr) == (1, True)
