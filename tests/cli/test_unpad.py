"""`padmask unpad`: defaults, options, errors, exit codes."""

from __future__ import annotations

import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import has_facts

ROWS = [
    {"id": 1, "input_ids": [5, 6, 7], "labels": [1, -100, 0], "text": "a"},
    {"id": 2, "input_ids": [], "labels": [], "text": None},
    {"id": 3, "input_ids": [0], "labels": [1], "text": "c"},
]
LINES = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in ROWS)
BOTH = ("-c", "input_ids", "-c", "labels=-100")


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw.jsonl").write_text(LINES)
    return "raw.jsonl"


@pytest.fixture
def unpadded(here, tmp_path):
    """Run `padmask unpad --quiet` on these lines and return the output lines."""

    def run(*args: str, lines: list[str]) -> list[dict]:
        (tmp_path / "in.jsonl").write_text("".join(line + "\n" for line in lines))
        result = here("unpad", "in.jsonl", "--quiet", *args)
        assert (result.returncode, result.stderr) == (0, "")
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run


@pytest.fixture
def refuses(here, tmp_path):
    """Check that `padmask unpad` refuses these lines and writes nothing."""

    def run(*args: str, lines: list[str], code: int, says: list[str]) -> None:
        (tmp_path / "in.jsonl").write_text("".join(line + "\n" for line in lines))
        result = here("unpad", "in.jsonl", "-o", "out.jsonl", *args)
        assert (result.returncode, result.stdout) == (code, "")
        assert result.stderr.startswith("Error: in.jsonl")
        assert has_facts(result.stderr, *says)
        assert not (tmp_path / "out.jsonl").exists()

    return run


# --- Restored rows -----------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["post", "pre"])
@pytest.mark.parametrize("between", ["parquet", "arrow"])
def test_metadata_replace_options(here, tmp_path, raw, between, padding):
    assert here("pad", raw, *BOTH, "--padding", padding, "-o", f"padded.{between}").returncode == 0
    result = here("unpad", f"padded.{between}")
    assert (result.returncode, result.stdout) == (0, LINES)
    assert result.stderr == "3 rows -> stdout: 4 tokens; 55.6% of 9 positions were padding\n"


@pytest.mark.parametrize("padding", ["post", "pre"])
def test_jsonl_is_unpadded_with_labels(here, raw, padding):
    assert here("pad", raw, *BOTH, "--padding", padding, "-o", "padded.jsonl").returncode == 0
    assert here("unpad", "padded.jsonl", *BOTH).stdout == LINES
    assert here("unpad", "padded.jsonl").stdout == LINES
    some = here("unpad", "padded.jsonl", "-c", "input_ids")
    assert [json.loads(line)["input_ids"] for line in some.stdout.splitlines()] == [[5, 6, 7], [], [0]]
    assert (
        "still padded: 'labels' (same lengths as 'input_ids'). To unpad all: -c input_ids -c labels"
        in some.stderr
    )


def test_lengths_replace_a_mask(here, raw):
    args = ("--no-mask", "--length-column", "n", "--padding", "pre", "-o")
    for name in ("padded.parquet", "padded.jsonl"):
        assert here("pad", raw, *BOTH, *args, name).returncode == 0
    assert here("unpad", "padded.parquet").stdout == LINES
    assert here("unpad", "padded.jsonl", *BOTH, "--length-column", "n", "--padding", "pre").stdout == LINES


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst", "parquet", "arrow"])
def test_output_suffix_sets_format(here, tmp_path, raw, suffix):
    assert here("pad", raw, *BOTH, "-o", "padded.parquet").returncode == 0
    assert here("unpad", "padded.parquet", "-o", f"out.{suffix}").returncode == 0
    data = (tmp_path / f"out.{suffix}").read_bytes()
    if suffix == "jsonl.gz":
        assert gzip.decompress(data).decode() == LINES
    elif suffix == "jsonl.zst":
        assert pa.CompressedInputStream(io.BytesIO(data), "zstd").read().decode() == LINES
    else:
        file = pa.ipc.open_file(data) if suffix == "arrow" else pq.ParquetFile(io.BytesIO(data))
        table = file.read_all() if suffix == "arrow" else file.read()
        assert table.to_pylist() == ROWS
        assert table.schema.field("input_ids").type.value_type == pa.int32()
        assert b"padmask" not in (table.schema.metadata or {})


@pytest.mark.parametrize("between", [("--output-format", "parquet"), ("--output-format", "arrow"), ()])
def test_unpad_reverses_pad_in_pipes(padmask, tmp_path, between):
    padded = padmask("pad", *BOTH, "--quiet", *between, stdin=LINES).stdout.encode("utf-8", "surrogateescape")
    back = padmask("unpad", "-", "--quiet", *BOTH, stdin=padded)
    assert (back.returncode, back.stdout, back.stderr) == (0, LINES, "")


def test_closed_pipe_is_not_an_error(padmask, tmp_path):
    line = '{"input_ids": [1, 0], "mask": [1, 0]}\n'
    (tmp_path / "in.jsonl").write_text(line * 50_000)
    assert padmask("unpad", "in.jsonl", redirect="| head -1 > out.txt").returncode == 0
    result = padmask("unpad", "in.jsonl", redirect="2> said.txt | head -1")
    assert result.stdout == '{"input_ids":[1]}\n'
    assert (tmp_path / "said.txt").read_text() == ""


def test_output_may_be_the_input(here, tmp_path, raw):
    assert here("pad", raw, *BOTH, "-o", "rows.parquet").returncode == 0
    assert here("unpad", "rows.parquet", "-o", "rows.parquet").returncode == 0
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == ROWS


@pytest.mark.parametrize("name", ["mask", "attention_mask"])
def test_masks_are_found_by_name(unpadded, name):
    assert unpadded(lines=[f'{{"x": [5, 0], "{name}": [1, 0]}}']) == [{"x": [5]}]


def test_mask_column(unpadded):
    line = '{"x": [5, 0], "real": [true, false]}'
    assert unpadded("-c", "x", "--mask-column", "real", lines=[line]) == [{"x": [5]}]


def test_keep_mask(unpadded):
    lines = ['{"x": [5, 0], "mask": [1, 0], "n": 1}', '{"x": [0, 0], "mask": [0, 0], "n": 0}']
    kept = unpadded("--keep-mask", "--length-column", "n", lines=lines)
    assert kept == [{"x": [5], "mask": [1], "n": 1}, {"x": [], "mask": [], "n": 0}]


def test_strings_and_vectors(unpadded):
    tokens = '{"tokens": ["a", "", ""], "mask": [true, true, false]}'
    assert unpadded(lines=[tokens]) == [{"tokens": ["a", ""]}]
    vectors = '{"x": [[0, 0], [1.5, 2]], "mask": [false, true]}'
    assert unpadded(lines=[vectors]) == [{"x": [[1.5, 2]]}]


def test_limit_ignores_later_rows(unpadded):
    assert unpadded("--limit", "1", lines=['{"x": [5, 0], "mask": [1, 0]}', "no JSON"]) == [{"x": [5]}]


def test_empty_input(here, tmp_path):
    (tmp_path / "in.jsonl").write_text("")
    result = here("unpad", "in.jsonl", "-o", "out.parquet")
    assert result.returncode == 0
    assert "no rows" in result.stderr
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


# --- Refused rows ------------------------------------------------------------------------

GOOD = '{"input_ids": [5, 6, 0], "mask": [1, 1, 0]}'


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"input_ids": [5, 0, 7], "mask": [1, 0, 1]}', ["'mask': position 2:"]),
        ('{"input_ids": [0, 6, 0], "mask": [0, 1, 0]}', ["'mask': position 2:"]),
        ('{"input_ids": [5, 6, 0], "mask": [1, 1]}', ["'input_ids' has 3", "'mask' has 2"]),
        ('{"input_ids": [5, 6, 0], "mask": [1, 2, 0]}', ["'mask': position 1: 2"]),
        ('{"input_ids": [5, 6, 0], "mask": [1, null, 0]}', ["'mask': position 1:", "null"]),
        ('{"input_ids": [5, 6, 0], "mask": null}', ["'mask':", "null"]),
        ('{"input_ids": [5, 6, 0]}', ["'mask':", "missing"]),
        ('{"input_ids": null, "mask": [1]}', ["'input_ids':", "null"]),
        ('{"mask": [1]}', ["'input_ids':", "missing"]),
        ("{", ["JSON", "incomplete"]),
    ],
)
def test_contradictory_row_is_1(refuses, line, says):
    refuses(lines=[GOOD, "", line, GOOD], code=1, says=["in.jsonl, line 3:", *says])


@pytest.mark.parametrize(
    ("length", "says"),
    [
        ("4", "'n' is 4"),
        ("-1", "'n': -1"),
        ("null", "'n': null"),
        ("2.5", "'n': 2.5"),
        ("true", "'n': True"),
        ("1e999", "'n': '1e999'"),
    ],
)
def test_impossible_length_is_1(refuses, length, says):
    lines = ['{"input_ids": [5, 6, 0], "n": 2}', f'{{"input_ids": [5, 6, 0], "n": {length}}}']
    refuses(
        "--length-column", "n", "--padding", "post", lines=lines, code=1, says=["in.jsonl, line 2:", says]
    )


@pytest.mark.parametrize(
    ("args", "line", "says"),
    [
        ((), '{"input_ids": [5]}', ["--mask-column", "--length-column"]),
        (("--length-column", "n"), '{"input_ids": [5], "n": 1}', ["--padding post or --padding pre"]),
        (("--mask-column", "msk"), GOOD, ["'msk'", "'mask'?"]),
        (("--mask-column", "t"), '{"x": [5], "t": "a"}', ["'t' of type string"]),
        (("--length-column", "mask"), GOOD, ["'mask' has the type"]),
        (("-c", "input_id"), GOOD, ["'input_id'", "'input_ids'?"]),
        (("-c", "n"), '{"n": 5, "mask": [1]}', ["'n'"]),
        ((), '{"a": [5], "b": [5], "mask": [1]}', ["2 list columns", "'a', 'b'"]),
    ],
)
def test_impossible_request_is_2(refuses, args, line, says):
    refuses(*args, lines=[line], code=2, says=says)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_typed_files_name_the_row(here, tmp_path, suffix):
    mask = pa.array([[1, 0], [0, 1], [1, 1, 1]], pa.list_(pa.int8()))
    table = pa.table({"input_ids": [[5, 0], [0, 5], [5, 6]], "mask": mask})
    if suffix == "parquet":
        pq.write_table(table, tmp_path / "in.parquet", row_group_size=1)
    else:
        with pa.ipc.new_file(tmp_path / "in.arrow", table.schema) as out:
            out.write_table(table, max_chunksize=1)
    result = here("unpad", f"in.{suffix}", "-o", "out.parquet")
    assert result.returncode == 1
    assert has_facts(result.stderr, f"in.{suffix}, row 2", "'input_ids' has 2", "'mask' has 3")


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_on_error_skip_and_rejects(here, tmp_path, suffix):
    bad = '{"input_ids":[5,6,0],"mask":[1,0,1]}'
    (tmp_path / "in.jsonl").write_text(f"{GOOD}\n{bad}\n{{\n{GOOD}\n")
    args = ("--on-error", "skip", "--rejects", "bad.jsonl", "--report", "report.json")
    result = here("unpad", "in.jsonl", "-o", f"out.{suffix}", *args)
    assert result.returncode == 0
    assert "2 rows rejected: see bad.jsonl" in result.stderr
    rejects = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [(reject["line"], reject.get("row")) for reject in rejects] == [(2, json.loads(bad)), (3, None)]
    report = json.loads((tmp_path / "report.json").read_text())
    counted = {name: report[name] for name in ("rows_read", "rows_written", "rows_rejected", "tokens_kept")}
    assert counted == {"rows_read": 4, "rows_written": 2, "rows_rejected": 2, "tokens_kept": 4}
    assert (report["columns"], report["mask_column"], report["places"]) == (["input_ids"], "mask", 6)


def test_bad_row_report_has_error_fields(here, tmp_path):
    (tmp_path / "in.jsonl").write_text(f'{GOOD}\n{{"input_ids":[5,6,0],"mask":[1,0,1]}}\n')
    result = here("unpad", "in.jsonl", "--mask-column", "mask", "-o", "out.jsonl", "--report", "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    error = report["error"]
    assert (result.returncode, report["exit_code"]) == (1, 1)
    assert error["place"] == {"source": "in.jsonl", "unit": "line", "number": 2}
    assert (error["column"], error["options"]) == ("mask", ["--mask-column"])
    assert f"{error['message']}. {error['remedy']}" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_npz_stores_no_ragged_rows(here, tmp_path, raw):
    assert here("pad", raw, "-o", "padded.parquet").returncode == 0
    written = here("unpad", "padded.parquet", "-o", "out.npz")
    assert (written.returncode, "npz" in written.stderr) == (2, True)


def test_settings_hold_for_pad_and_unpad(here, tmp_path, raw):
    # The settings contain the columns for pad, and the mask.
    (tmp_path / "pyproject.toml").write_text(
        '[tool.padmask]\ncolumn = ["input_ids", "labels=-100"]\nmask-column = "real"\nmaxlen = 4\n'
    )
    assert here("pad", raw, "-o", "padded.jsonl").returncode == 0
    assert here("unpad", "padded.jsonl").stdout == LINES


def test_pad_suggests_unpad(here, raw):
    assert here("pad", raw, "-o", "padded.jsonl").returncode == 0
    again = here("pad", "padded.jsonl")
    assert (again.returncode, "padmask unpad" in again.stderr) == (1, True)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_unreadable_length_is_a_bad_row(here, tmp_path, suffix):
    lines = ['{"input_ids": [5, 0], "n": 1}', '{"input_ids": [5, 0], "n": 1e999}']
    (tmp_path / "in.jsonl").write_text("".join(line + "\n" for line in lines))
    args = ("--length-column", "n", "--padding", "post", "--on-error", "skip", "--rejects", "bad.jsonl")
    assert here("unpad", "in.jsonl", "-o", f"out.{suffix}", *args).returncode == 0
    (reject,) = (tmp_path / "bad.jsonl").read_text().splitlines()
    assert json.loads(reject)["line"] == 2


def test_max_bytes_names_own_options(here, tmp_path, raw):
    assert here("pad", raw, "-o", "padded.parquet").returncode == 0
    result = here("unpad", "padded.parquet", "-o", "out.jsonl", "--max-bytes", "20")
    assert (result.returncode, "--maxlen" in result.stderr, "a smaller --limit" in result.stderr) == (
        2,
        False,
        True,
    )
