"""Bugs that fuzzing found, each with a minimal input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padmask.core.kernel import pad_batch
from padmask.core.plan import plan_pad
from padmask.core.ragged import Ragged
from padmask.formats.parquet_footer import MAGIC, read_footer
from padmask.formats.thrift import write_struct

Run = Callable[..., "subprocess.CompletedProcess[str]"]

IDS = [[1, 2], [3]]
REJECTS = ("--on-error", "skip", "--rejects", "rejects.jsonl")


@pytest.fixture
def refused(here: Run, tmp_path: Path) -> Run:
    """Check that a command fails with a short message that contains these words, and writes nothing."""

    def check(*args: str, says: list[str], code: int = 1) -> None:
        before = sorted(tmp_path.rglob("*"))
        done = here(*args)
        assert done.returncode == code
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        for words in says:
            assert words in done.stderr
        assert sorted(tmp_path.rglob("*")) == before

    return check


def write(path: Path, **columns: Any) -> str:
    table = pa.table(columns)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as sink:
            sink.write_table(table)
    return path.name


def change_footer(path: Path, change: Callable[[dict[int, Any]], None]) -> None:
    """Change fields of a Parquet footer, and write the footer back so that it can still be parsed."""
    data = path.read_bytes()
    fields, start = read_footer(memoryview(data))
    change(fields)
    out = write_struct(fields)
    path.write_bytes(data[:start] + out + len(out).to_bytes(4, "little") + MAGIC)


class TestParquetFooter:
    """Footers with wrong fields. Fields have numbers, not names.

    Field 3 of the footer is the number of rows, and field 4 the list of row groups. Field 1 of a row group is
    the list of columns, and field 3 the number of rows.
    """

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        write(tmp_path / "in.parquet", input_ids=IDS, n=[1, 2])
        return tmp_path / "in.parquet"

    @pytest.mark.parametrize("output", ["out.jsonl", "out.npz", "out.parquet"])
    def test_too_many_rows_are_refused(self, refused: Run, file: Path, output: str) -> None:
        # Otherwise, padmask would not notice that rows are missing.
        change_footer(file, lambda footer: footer.update({3: (6, 300)}))
        refused("pad", "in.parquet", "-o", output, says=["in.parquet", "as 300", "contain 2"])

    def test_short_row_group_is_refused(self, refused: Run, file: Path) -> None:
        def end_early(footer: dict[int, Any]) -> None:
            (group,) = footer[4][1][1]
            group[3] = (6, 1)

        change_footer(file, end_early)
        refused("pad", "in.parquet", "-o", "out.jsonl", says=["in.parquet", "as 2", "contain 1"])

    @pytest.mark.parametrize("columns", [0, 1, 3])
    def test_other_columns_are_refused(self, refused: Run, file: Path, columns: int) -> None:
        # Native code aborts if a row group has more columns than the schema.
        def change_columns(footer: dict[int, Any]) -> None:
            (group,) = footer[4][1][1]
            chunks = group[1][1][1]
            chunks[:] = [*chunks, chunks[0]][:columns]

        change_footer(file, change_columns)
        refused("pad", "in.parquet", "-o", "out.jsonl", says=["in.parquet", f"{columns} columns, but", "2."])

    def test_missing_metadata_is_refused(self, refused: Run, file: Path) -> None:
        # If the metadata of the columns is missing, native code reads no rows and reports no error.
        def lose_metadata(footer: dict[int, Any]) -> None:
            (group,) = footer[4][1][1]
            for chunk in group[1][1][1]:
                chunk.pop(3)

        change_footer(file, lose_metadata)
        refused(
            "pad",
            "in.parquet",
            "-o",
            "out.jsonl",
            says=["in.parquet", "rows as 2", "0 can"],
        )


class TestHugeNumbers:
    @pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
    @pytest.mark.parametrize("command", ["pad", "inspect"])
    def test_limit_may_be_huge(self, here: Run, tmp_path: Path, suffix: str, command: str) -> None:
        name = write(tmp_path / f"in{suffix}", input_ids=IDS)
        assert here(command, name, "--limit", "9" * 20).returncode == 0

    def test_huge_multiple_is_refused(self, refused: Run, tmp_path: Path) -> None:
        name = write(tmp_path / "in.parquet", input_ids=IDS)
        refused(
            "inspect", name, "--pad-to-multiple-of", "9" * 20, says=["--pad-to-multiple-of", "2**53"], code=2
        )


class TestMissingColumn:
    @pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
    @pytest.mark.parametrize("output", ["out.npz", "out.jsonl"])
    def test_its_rows_are_rejected(self, here: Run, tmp_path: Path, suffix: str, output: str) -> None:
        first = write(tmp_path / f"a{suffix}", input_ids=IDS, labels=IDS)
        second = write(tmp_path / f"b{suffix}", other=[1, 2, 3])
        done = here("pad", first, second, "-o", output, "-c", "input_ids", *REJECTS)
        assert done.returncode == 0
        assert "2 rows -> " in done.stderr
        assert (tmp_path / "rejects.jsonl").read_text().count("column 'input_ids'") == 3

    def test_is_named(self, here: Run, tmp_path: Path) -> None:
        first = write(tmp_path / "a.parquet", input_ids=IDS)
        second = write(tmp_path / "b.parquet", other=[1, 2, 3])
        done = here("inspect", first, second, "-c", "input_ids", "--workers", "1")
        assert "b.parquet, row 0: bad-row: input_ids" in done.stdout


def test_long_names_are_shortened(here: Run, tmp_path: Path) -> None:
    name = write(tmp_path / "in.parquet", **{"n" * 5000: [1, 2]})
    for column in ((), ("-c", "n" * 4999)):
        done = here("pad", name, *column)
        assert done.returncode == 2
        assert len(done.stderr) < 500


class TestMixedTypes:
    @pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
    def test_common_type_must_hold_values(self, refused: Run, tmp_path: Path, suffix: str) -> None:
        # The common type of ints and floats is double, which cannot represent every int.
        first = write(tmp_path / f"a{suffix}", input_ids=[[0.5]])
        second = write(tmp_path / f"b{suffix}", input_ids=[[1], [2**53 + 1]])
        says = [
            f"b{suffix}, row 1",
            "'input_ids'",
            "int64",
        ]
        refused("pad", first, second, "-o", "out.jsonl", says=says)


def test_unreadable_type_is_named(refused: Run, tmp_path: Path) -> None:
    name = write(tmp_path / "in.arrow", input_ids=IDS, odd=pa.nulls(2, pa.month_day_nano_interval()))
    data = (tmp_path / name).read_bytes()
    # The schema stores the unit of an interval in two bytes: 2 is month_day_nano, and 0 is month.
    changed = data.replace(
        b"\x06\x00\x08\x00\x06\x00\x06\x00\x00\x00\x00\x00\x02\x00",
        b"\x06\x00\x08\x00\x06\x00\x06\x00\x00\x00\x00\x00\x00\x00",
    )
    assert changed != data
    (tmp_path / name).write_bytes(changed)
    refused("pad", name, "-o", "out.arrow", says=["in.arrow", "'odd'", "month_interval"], code=2)


class TestRejectedRows:
    def test_dictionary_of_lists(self, here: Run, tmp_path: Path) -> None:
        column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array([[1, 2], [3, 2**40]]))
        name = write(tmp_path / "in.arrow", input_ids=column)
        assert here("pad", name, "-o", "out.jsonl", *REJECTS).returncode == 0
        (reject,) = (tmp_path / "rejects.jsonl").read_text().splitlines()
        assert json.loads(reject)["row"] == {"input_ids": [3, 2**40]}

    @pytest.mark.parametrize(
        ("odd", "said"),
        [
            (pa.array([1.0, float("nan")]), "nan"),
            (pa.array([[1.0], [float("-inf")]]), "-inf"),
            (pa.array([1, 2**60], pa.timestamp("s")), "<value out of range: 1152921504606846976>"),
        ],
        ids=["NaN", "a list of infinity", "a time beyond all years"],
    )
    def test_non_json_values_become_text(self, here: Run, tmp_path: Path, odd: pa.Array, said: str) -> None:
        name = write(tmp_path / "in.arrow", input_ids=[[1], [2**40]], odd=odd)
        assert here("pad", name, "-o", "out.arrow", *REJECTS).returncode == 0
        row = json.loads((tmp_path / "rejects.jsonl").read_text())["row"]
        assert said in row["odd"]

    def test_skipped_nan_does_not_warn(self, here: Run, tmp_path: Path) -> None:
        name = write(tmp_path / "in.arrow", input_ids=[[1.0], [float("nan"), 2.0], [3.0, 4.0]])
        done = here("pad", name, "-o", "out.jsonl", "-c", "input_ids:int32", "--on-error", "skip")
        assert done.returncode == 0
        assert "Warning" not in done.stderr
        lines = (tmp_path / "out.jsonl").read_text().splitlines()
        rows = [json.loads(line)["input_ids"] for line in lines]
        assert rows == [[1, 0], [3, 4]]


def test_kernel_ignores_outer_values() -> None:
    values = np.array([1.0, np.nan, np.inf, 1e300, 2.0])
    rows = Ragged(values, np.array([0, 4]), np.array([1, 1]))
    for padding in ("pre", "post"):
        for value in (0, 7):
            segments = plan_pad(rows.lengths, 3, padding=padding, truncating="post")
            padded = pad_batch(rows, segments, value=value, dtype="int32")
            assert padded.values[~padded.mask].tolist() == [value] * 4
            assert padded.values[padded.mask].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("type_", "number", "dtype"),
    [
        (pa.float32(), 2.0**31, "int32"),
        (pa.float16(), float("inf"), "int32"),
        (pa.float16(), float("-inf"), "int64"),
        (pa.float16(), float("inf"), "uint16"),
        (pa.float32(), 2.0**53 + 2**30, "int64"),
    ],
)
def test_too_large_float_is_refused(
    refused: Run, tmp_path: Path, type_: pa.DataType, number: float, dtype: str
) -> None:
    # As a float, the limit of the integers is rounded up.
    name = write(tmp_path / "in.parquet", input_ids=pa.array([[1.0], [2.0, number]], pa.list_(type_)))
    column = f"input_ids:{dtype}"
    refused("pad", name, "-c", column, "-o", "out.jsonl", says=["row 1", "position 1", f"fit {dtype}"])


@pytest.mark.parametrize("number", [2.0**31 - 128, -(2.0**31), 0.0])
def test_largest_float_is_padded(here: Run, tmp_path: Path, number: float) -> None:
    name = write(tmp_path / "in.parquet", input_ids=pa.array([[number]], pa.list_(pa.float32())))
    assert here("pad", name, "-c", "input_ids:int32", "-o", "out.jsonl", "--no-mask").returncode == 0
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {"input_ids": [int(number)]}


NAN = float("nan")


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (pa.array([1.0, NAN]), "NaN or infinity"),
        (pa.array([1.0, NAN]).dictionary_encode(), "NaN or infinity"),
        (pa.array([[("k", 1.0)], [("k", NAN)]], pa.map_(pa.string(), pa.float64())), "NaN or infinity"),
        (pa.array([[1.0], [NAN]], pa.list_view(pa.float64())), "NaN or infinity"),
        (pa.array([{"a": {"b": 1.0}}, {"a": {"b": NAN}}]), "NaN or infinity"),
        (pa.array([1, 2**60], pa.timestamp("s")), "timestamp[s]"),
        (pa.array([1, 2**30], pa.date32()), "date32"),
    ],
    ids=["a float", "a dictionary", "a map", "a list view", "a struct", "a time", "a day"],
)
def test_non_json_value_is_named(refused: Run, tmp_path: Path, odd: pa.Array, said: str) -> None:
    name = write(tmp_path / "in.arrow", input_ids=[[1], [2]], odd=odd)
    refused(
        "pad",
        name,
        "-o",
        "out.jsonl",
        says=["in.arrow, row 1", "'odd'", said, "Arrow"],
        code=2,
    )


def test_unknown_time_zone_is_named(refused: Run, tmp_path: Path) -> None:
    odd = pa.array([1, 2], pa.timestamp("ns", "Nowhere/Land"))
    name = write(tmp_path / "in.arrow", input_ids=IDS, odd=odd)
    refused("pad", name, "-o", "out.jsonl", says=["in.arrow, row 0", "'odd'", "Nowhere/Land"], code=2)


@pytest.mark.parametrize("type_", [pa.binary(0), pa.month_day_nano_interval()], ids=str)
def test_unsupported_parquet_type(refused: Run, tmp_path: Path, type_: pa.DataType) -> None:
    name = write(tmp_path / "in.arrow", input_ids=IDS, odd=pa.nulls(2, type_))
    refused(
        "pad", name, "-o", "out.parquet", *REJECTS, says=["column 'odd'", str(type_), "Write Arrow"], code=2
    )


def test_broken_column_is_named(refused: Run, tmp_path: Path) -> None:
    offsets = pa.array([0, 9, 2], pa.int32())
    broken = pa.ListArray.from_buffers(
        pa.list_(pa.int64()), 2, [None, offsets.buffers()[1]], children=[pa.array([1, 2])]
    )
    name = write(tmp_path / "in.arrow", input_ids=IDS, odd=broken)
    refused("pad", name, "-o", "out.arrow", says=["in.arrow", "column 'odd'"])


@pytest.mark.parametrize("style", ["grid", "tokens", "bool", "int"])
def test_wrong_mask_lengths_are_shown(here: Run, tmp_path: Path, style: str) -> None:
    name = write(tmp_path / "in.parquet", input_ids=IDS, mask=[[True, False, True], []])
    done = here("inspect", name, "--style", style)
    assert done.returncode == 0
    assert "mask-shape" in done.stdout
    if style == "tokens":
        assert "0: 1 (2) ?" in done.stdout
        assert "1: 3?" in done.stdout


@pytest.mark.parametrize("command", [["inspect"], ["verify", "--no-model"]], ids=["inspect", "verify"])
def test_column_is_not_its_own_mask(refused: Run, tmp_path: Path, command: list[str]) -> None:
    name = write(tmp_path / "in.parquet", input_ids=[[1, 1], [1, 0]])
    refused(*command, name, "--mask-column", "input_ids", says=["'input_ids'", "--mask-column"], code=2)


def test_bad_output_name_leaves_no_rejects(refused: Run, tmp_path: Path) -> None:
    name = write(tmp_path / "in.parquet", input_ids=IDS)
    long_name = "x" * 300 + ".jsonl"
    refused("pad", name, "-o", long_name, "--rejects", "r.jsonl", says=["xxx.jsonl", "shorter"], code=2)


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("tool = 'padmask'", []),
        (f"tool.padmask.x = {'[' * 3000}", ["nested"]),
        ("tool.padmask.threads = inf", ["integer"]),
        ("tool.padmask.limit = [", ["TOML", "Fix the file"]),
        (f"tool.padmask.{'x' * 5000} = 1", ["option"]),
    ],
)
def test_any_pyproject_is_survived(here: Run, tmp_path: Path, toml: str, says: list[str]) -> None:
    (tmp_path / "pyproject.toml").write_text(toml)
    done = here("pad", write(tmp_path / "in.parquet", input_ids=IDS))
    assert done.returncode == (2 if says else 0)
    assert len(done.stderr) < 1000
    for words in says:
        assert "pyproject.toml" in done.stderr
        assert words in done.stderr


SILENT = """
import os, sys
from padmask.cli.guard import run_guarded
def run():
    print("of Python", file=sys.stderr)
    os.write(2, b"of native code\\n")
    {then}
    return 0
def say(sentence):
    print(sentence, file=sys.stderr)
    return 2
sys.exit(run_guarded(run, say, ["in.parquet"], bound_memory=False, quiet=True))
"""


@pytest.mark.parametrize(("then", "code"), [("pass", 0), ("os.abort()", 1)])
def test_native_stderr_is_hidden(then: str, code: int) -> None:
    code_ = SILENT.format(then=then)
    done = subprocess.run([sys.executable, "-c", code_], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "of Python" in done.stderr
    assert "of native code" not in done.stderr
    assert ("'in.parquet' crashed" in done.stderr) is (code == 1)


def test_signalling_nan_is_a_nan(here: Run, tmp_path: Path) -> None:
    # The cast to float32 sets a flag of the processor, and NumPy warned on stderr.
    numbers = np.array([1.5, 0.0]).view(np.uint64)
    numbers[1] = 0x7FF0000000000001
    rows = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), pa.array(numbers.view(np.float64)))
    source = write(tmp_path / "in.arrow", input_ids=rows)
    done = here("pad", source, "-o", "out.arrow", "-c", "input_ids:float32", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    [[first, second]] = pa.ipc.open_file(tmp_path / "out.arrow").read_all()["input_ids"].to_pylist()
    assert (first, np.isnan(second)) == (1.5, True)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_null_column_rejects_all_rows(here: Run, tmp_path: Path, suffix: str) -> None:
    source = write(tmp_path / f"in.{suffix}", input_ids=pa.nulls(2), mask=pa.array([[True], [False]]))
    done = here("unpad", source, "-o", "out.jsonl", *REJECTS)
    assert (done.returncode, "2 rows rejected" in done.stderr) == (0, True)
    assert (tmp_path / "rejects.jsonl").read_bytes().count(b"\n") == 2


def test_long_values_are_shortened(here: Run, tmp_path: Path) -> None:
    name, number = "x" * 500, "9" * 400
    (tmp_path / "in.jsonl").write_text(f'{{"{name}": [1], "b": [2], "n": [{number}]}}\n')
    for code, args in (
        (2, ["pad", "in.jsonl"]),
        (2, ["unpad", "in.jsonl"]),
        (1, ["pad", "in.jsonl", "-c", "b", "-o", "o.parquet"]),
    ):
        done = here(*args)
        assert (done.returncode, len(done.stderr) < 400) == (code, True), done.stderr


# --- Malicious files ----------------------------------------------------------------------

PADDED = {"input_ids": [[1, 2, 0], [3, 0, 0]], "mask": [[True, True, False], [True, False, False]]}
SAID = {
    "columns": {"input_ids": {"value": 0, "dtype": "int32"}},
    "mask_column": "mask",
    "length_column": None,
    "padding": "post",
}


def write_said(path: Path, table: pa.Table, **said: Any) -> str:
    """Write a table with metadata about its padding."""
    pq.write_table(table.replace_schema_metadata({"padmask": json.dumps(SAID | said)}), path)
    return path.name


@pytest.mark.parametrize("columns", [{}, {"input_ids": {"value": [1]}}, {"input_ids": {"value": {}}}, [], 5])
@pytest.mark.parametrize("command", ["unpad", "inspect", "verify"])
def test_broken_metadata_is_refused(refused: Run, tmp_path: Path, command: str, columns: Any) -> None:
    name = write_said(tmp_path / "in.parquet", pa.table(PADDED), columns=columns)
    more = ["--no-model"] if command == "verify" else []
    refused(command, name, *more, says=["in.parquet", "metadata"])


@pytest.mark.parametrize("mask", [["a", "b"], [{"a": 1}, {"a": 2}], [[["a"]], [["b"]]], [1, 2]], ids=repr)
@pytest.mark.parametrize("command", ["unpad", "inspect", "verify"])
def test_mask_of_wrong_type_is_refused(refused: Run, tmp_path: Path, command: str, mask: Any) -> None:
    name = write_said(tmp_path / "in.parquet", pa.table(PADDED | {"mask": mask}))
    more = ["--no-model"] if command == "verify" else []
    refused(command, name, *more, says=["in.parquet", "'mask' of type "], code=2)


@pytest.mark.parametrize("command", ["unpad", "inspect", "verify"])
def test_duplicate_mask_is_refused(refused: Run, tmp_path: Path, command: str) -> None:
    columns = [pa.array(PADDED[name]) for name in ("input_ids", "mask", "mask")]
    table = pa.Table.from_arrays(columns, ["input_ids", "mask", "mask"])
    more = ["--no-model"] if command == "verify" else []
    refused(
        command,
        write_said(tmp_path / "in.parquet", table),
        *more,
        says=["in.parquet", "2 columns", "'mask'"],
        code=2,
    )


def test_too_long_length_breaks_a_rule(here: Run, tmp_path: Path) -> None:
    table = pa.table(PADDED | {"length": pa.array([2, 2**64 - 1], pa.uint64())})
    name = write_said(tmp_path / "in.parquet", table, length_column="length")
    done = here("verify", name, "--no-model")
    assert (done.returncode, "in.parquet, row 1: mask-length: " in done.stdout) == (1, True)


def test_non_unicode_names(here: Run, tmp_path: Path) -> None:
    name = "\udcff.jsonl"
    (tmp_path / name).write_text('{"input_ids":null}\n{"input_ids":[1]}\n')
    for output in ("out.jsonl", "out/"):
        done = here("pad", name, "-o", output, *REJECTS, "--report", "report.json", "--workers", "1")
        if output == "out.jsonl":
            done = here("pad", name, "-o", output, *REJECTS, "--report", "report.json")
        assert (done.returncode, "1 row rejected" in done.stderr) == (0, True), done.stderr
        assert json.loads((tmp_path / "rejects.jsonl").read_text())["source"] == "\\udcff.jsonl"
    done = here("verify", name, "--no-model", "--report", "junit:out.xml")
    assert (done.returncode, done.stderr) == (1, "")
    assert "\\udcff.jsonl:1: bad-row: input_ids: " in done.stdout
    assert ":1: bad-row: input_ids: " in (tmp_path / "out.xml").read_text()


def test_names_cannot_drive_terminals(here: Run, tmp_path: Path) -> None:
    name = "a\n\x1b]0;mine\x07.jsonl"
    (tmp_path / name).write_text("{\n")
    done = here("pad", name)
    assert done.stderr.startswith("Error: a\\n\\x1b]0;mine\\x07.jsonl, line 1: ")
    (tmp_path / name).write_text('{"input_ids":[1]}\n')
    seen = here("inspect", name)
    assert seen.stdout.startswith("a\\n\\x1b]0;mine\\x07.jsonl: 1 row")


@pytest.mark.parametrize(
    "rows", ["\u00b2:\u00b3", "0:" + "9" * 5000, "1", "a:b", "3:2", ":", "-1:2"], ids=len
)
def test_bad_row_range_is_refused(refused: Run, tmp_path: Path, rows: str) -> None:
    name = write(tmp_path / "in.parquet", input_ids=IDS)
    refused("inspect", name, "--rows", rows, says=["--rows", "A:B", "5:15"], code=2)


@pytest.mark.parametrize("option", ["--shard-bytes", "--max-bytes"])
def test_size_may_exceed_any_disk(here: Run, tmp_path: Path, option: str) -> None:
    name = write(tmp_path / "in.parquet", input_ids=IDS)
    done = here("pad", name, "-o", "out/", option, "9" * 400)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('length-column = "a\\u0000b"', "string"),
        ("mask-column = true", "string"),
        ("output-format = []", "string"),
        ("fixed-size-list = []", "true or false"),
        ("no-mask = 2", "true or false"),
        ("no-mask = 2024-01-01", "true or false"),
        ('mask = "x"', "true or false"),
        ("workers = []", "integer"),
        ("workers = 1.5", "integer"),
        ("threads = inf", "integer"),
        ("column = [true]", "string or a number"),
    ],
)
def test_setting_of_wrong_type(refused: Run, tmp_path: Path, setting: str, words: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.padmask.pad]\n{setting}\n")
    name = write(tmp_path / "in.parquet", input_ids=IDS)
    refused("pad", name, says=["pyproject.toml", setting.split(" ")[0], words], code=2)


def test_empty_rejects_name_is_refused(refused: Run, tmp_path: Path) -> None:
    name = write(tmp_path / "in.parquet", input_ids=IDS)
    refused("pad", name, "--rejects", "", says=["rejects"], code=2)


def test_good_rows_after_many_bad_ones(here: Run, tmp_path: Path) -> None:
    with (tmp_path / "in.jsonl").open("w") as file:
        for _ in range(18):
            file.write("{" + "x" * (1 << 20) + "\n")
        file.write('{"tokens":[1.5,2]}\n' * 5)
    done = here("pad", "in.jsonl", "-o", "out.jsonl", "--on-error", "skip")
    assert (done.returncode, done.stderr.startswith("5 rows -> ")) == (0, True), done.stderr


def test_bad_mask_counts_once(here: Run, tmp_path: Path) -> None:
    rows = [([9, 8, 0], [0, 1, 0]), ([5, 0, 0], [1, 0, 0]), ([5, 6, 0], [1, 1, 0])]
    columns = {"input_ids": [ids for ids, _ in rows], "mask": [mask for _, mask in rows]}
    name = write(tmp_path / "in.parquet", **columns, labels=columns["input_ids"])
    for columns_asked in (["-c", "input_ids"], ["-c", "input_ids", "-c", "labels"]):
        done = here("verify", name, "--no-model", "--json", *columns_asked)
        found = {finding["rule"]: finding for finding in json.loads(done.stdout)["data"]}
        assert found["padding-not-pad-value"]["count"] == 1
        assert found["padding-not-pad-value"]["examples"] == ["in.parquet, row 0"]


def test_inspect_reads_stdin_and_files(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "a.jsonl").write_text('{"input_ids":[1]}\n')
    done = subprocess.run(
        [*command, "inspect", "-", "a.jsonl", "--json", "--workers", "2"],
        input='{"input_ids":[2,3]}\n',
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)["tokens"]) == (0, 3)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_batch_rows_may_be_huge(here: Run, tmp_path: Path, suffix: str) -> None:
    name = write(tmp_path / f"in{suffix}", input_ids=IDS)
    assert here("pad", name, "--batch-rows", "9" * 20, "--maxlen", "0").returncode == 0
    assert "--maxlen" in here("pad", name, "--batch-rows", "9" * 20).stderr


def test_removed_current_folder(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = f"rmdir ../gone; exec {' '.join(command)} pad {write(tmp_path / 'in.parquet', input_ids=IDS)}"
    done = subprocess.run(
        ["sh", "-c", program], cwd=tmp_path / "gone", capture_output=True, text=True, check=False
    )
    assert (done.returncode, "current folder" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", ["pad", "inspect"])
def test_negative_list_size_is_refused(refused: Run, tmp_path: Path, command: str) -> None:
    schema = pa.schema({"input_ids": pa.list_(pa.list_(pa.int32(), 0x1234))})
    with pa.ipc.new_stream(tmp_path / "in.arrow", schema):
        pass
    data = (tmp_path / "in.arrow").read_bytes()
    assert data.count(b"\x34\x12\x00\x00") == 1
    (tmp_path / "in.arrow").write_bytes(data.replace(b"\x34\x12\x00\x00", b"\xff\xff\xff\xff"))
    refused(command, "in.arrow", says=["in.arrow: ", "negative list size"])
