"""JSON numbers that float64 or float32 would change to 0 are refused, as numbers that overflow are."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from pairs import each_value
from raised import raises_error

from padmask import DataError, RowPolicy, pad_file, unpad_file
from padmask.verify.verify_file import verify_file

ZEROS = "0" * 330


@pytest.fixture
def write(tmp_path):
    def to_file(*lines):
        path = tmp_path / "in.jsonl"
        path.write_text("".join(line + "\n" for line in lines))
        return path

    return to_file


@each_value(
    small={
        "1e-400": "1e-400",
        "-1E-400": "-1E-400",
        "2.4e-0324": "2.4e-0324",
        "zeros": f"0.{ZEROS}1",
        "zeros and e2": f"0.{ZEROS}1e2",
        "1e-1000": "1e-1000",
    },
    column=["x", "x:float64", "x:int32"],
    output=["out.jsonl", "out.parquet"],
)
def test_vanishing_token_is_refused(write, tmp_path, small, column, output):
    path = write('{"x": [1.0, 0.0]}', f'{{"x": [2.0, {small}]}}')
    with raises_error(DataError, "position 1", "float64", place="in.jsonl, line 2", column="x"):
        pad_file(path, tmp_path / output, columns=[column])
    skipped = pad_file(path, tmp_path / output, columns=[column], policy=RowPolicy(on_error="skip"))
    assert (skipped.ledger.rows_written, skipped.ledger.rows_rejected) == (1, 1)
    assert [(found.rule.name, found.column) for found in verify_file(path, columns=["x"]).data] == [
        ("bad-row", "x"),
        ("pad-value-in-tokens", "x"),
    ]


def test_vanishing_number_of_a_vector(write, tmp_path):
    path = write('{"x": [[1.0, 0.0], [0.5, 1e-400]]}')
    with raises_error(DataError, "position 1", "vector", "1e-400", place="in.jsonl, line 1", column="x"):
        pad_file(path, tmp_path / "out.jsonl", columns=["x"])


@pytest.mark.parametrize(
    "zero", ["0", "0.0", "-0.0", "0e-400", "0.000E-999", f"0.{ZEROS}"], ids=lambda s: s[:9]
)
def test_written_zeros_stay(write, tmp_path, zero):
    pad_file(write(f'{{"x": [1.5, {zero}]}}'), tmp_path / "out.parquet", columns=["x"])
    assert pq.read_table(tmp_path / "out.parquet")["x"].to_pylist() == [[1.5, 0.0]]


@pytest.mark.parametrize(("dtype", "small"), [("float64", 5e-324), ("float64", 1e-320), ("float32", 1e-45)])
def test_subnormal_numbers_are_rounded(write, tmp_path, dtype, small):
    pad_file(write(f'{{"x": [1.5, {small}]}}'), tmp_path / "out.parquet", columns=[f"x:{dtype}"])
    [[_, number]] = pq.read_table(tmp_path / "out.parquet")["x"].to_pylist()
    assert number == pytest.approx(small, rel=0.5) and number > 0


@pytest.mark.parametrize("value", ["1e-400", '[1.5, {"y": 1E-400}]', "1e400"])
def test_other_field_must_fit(write, tmp_path, value):
    path = write('{"ids": [1], "x": null}', f'{{"ids": [1], "x": {value}}}')
    with raises_error(DataError, "in.jsonl, line 2", "field 'x'", "number"):
        pad_file(path, tmp_path / "out.parquet", columns=["ids"])
    pad_file(path, tmp_path / "out.jsonl", columns=["ids"])
    assert f'"x":{value.replace(" ", "")}' in (tmp_path / "out.jsonl").read_text().replace(" ", "")


def test_text_is_not_a_number(write, tmp_path):
    pad_file(write('{"ids": [1], "x": "1e-400"}'), tmp_path / "out.parquet", columns=["ids"])
    assert pq.read_table(tmp_path / "out.parquet")["x"].to_pylist() == ["1e-400"]


def test_unpad_keeps_the_text(write, tmp_path):
    path = write('{"input_ids": [1.5, 1e-400, 0.0], "mask": [1, 1, 0]}')
    unpad_file(path, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == '{"input_ids":[1.5,1e-400]}\n'
    with raises_error(DataError, "1e-400", "float64", place="in.jsonl, line 1", column="input_ids"):
        unpad_file(path, tmp_path / "out.parquet")
