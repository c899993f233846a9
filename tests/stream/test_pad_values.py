"""Pad values that a mask does not hide are reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from raised import raises_error

from padmask import PadSpec, pad_file
from padmask.errors import SpecError


@pytest.fixture
def floats(tmp_path: Path) -> Path:
    (tmp_path / "in.jsonl").write_text('{"x": [1.5]}\n{"x": [0.5, 2.5]}\n')
    return tmp_path / "in.jsonl"


@pytest.mark.parametrize("value", ["nan", "NaN", float("nan"), "inf", float("-inf")])
def test_value_is_reported(floats: Path, value: object) -> None:
    result = pad_file(floats, floats.with_name("out.parquet"), spec=PadSpec(value=value))
    assert any("pad value of 'x'" in note for note in result.notes)


@pytest.mark.parametrize("value", [0, -1.5, "2.5"])
def test_finite_values_are_quiet(floats: Path, value: object) -> None:
    assert not pad_file(floats, floats.with_name("out.parquet"), spec=PadSpec(value=value)).notes


def test_column_value_is_reported(floats: Path) -> None:
    result = pad_file(floats, floats.with_name("out.arrow"), columns=["x=nan"])
    assert len(result.notes) == 1


def test_json_has_no_nan(floats: Path) -> None:
    with raises_error(SpecError, "'x'", "nan", option="value"):
        pad_file(floats, floats.with_name("out.jsonl"), spec=PadSpec(value="nan"))
