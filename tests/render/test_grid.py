"""The grid of masks that inspect shows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from padmask.core.length_stats import LengthStats
from padmask.inspect.advice import Advice
from padmask.inspect.costs import CostBasis, cost_of, windows_cost
from padmask.inspect.inspection import Inspection, ShownRow
from padmask.render.grid import make_grid


def row(number: int, length: int, maxlen: int, *, pre: bool = False) -> ShownRow:
    """A row of `length` tokens that is padded or cut to `maxlen`."""
    kept = min(length, maxlen)
    mask = np.arange(maxlen) < kept
    return ShownRow(number, kept, mask.astype(int), mask[::-1] if pre else mask, max(0, length - maxlen), pre)


def grid(rows, width: int = 40, plan=None, encoding: str = "utf-8", **given) -> list[str]:
    stats = LengthStats.of([shown.length + shown.cut for shown in rows])
    advice = Advice("", cost_of(CostBasis(stats), "longest") if plan is None else plan)
    seen = Inspection("in", "ids", False, stats, rows, [], [], advice, **given)
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding=encoding), width=width)
    return [str(line) for line in make_grid(seen, console)]


def test_cut_tokens_at_the_end():
    assert grid([row(0, 2, 4), row(12, 6, 4)])[1:] == [
        "█ real token  · padding  × cut",
        " 0 ██··   2",
        "12 ████×× 4 -2",
    ]


def test_cut_tokens_at_the_start():
    assert grid([row(0, 2, 4, pre=True), row(1, 5, 4, pre=True), row(2, 7, 4, pre=True)])[2:] == [
        "0    ··██ 2",
        "1   ×████ 4 -1",
        "2 ×××████ 4 -3",
    ]


def test_grid_in_ascii():
    lines = grid([row(0, 2, 4), row(1, 6, 4)], encoding="ascii")
    assert lines[1:] == ["# real token  . padding  x cut", "0 ##..   2", "1 ####xx 4 -2"]


def test_sequences_alternate():
    mask = np.array([True] * 6 + [False, True])
    packed = ShownRow(0, 7, mask.astype(int), mask, segments=np.array([1, 1, 2, 2, 2, 3, 0, 4]))
    assert grid([packed])[2:] == ["0 ██▚▚▚█·▚ 7"]
    assert grid([packed], encoding="ascii")[2:] == ["0 ##===#.= 7"]


def test_legend_without_cut_rows():
    assert "cut" not in grid([row(0, 4, 4)])[1]


def test_tokens_of_further_windows_are_not_lost():
    plan = windows_cost(CostBasis(LengthStats({6: 1})), 4)
    head, legend, _ = grid([row(0, 6, 4)], plan=plan)
    assert head == "Masks of 1 row: 4 positions (windows-4)"
    assert legend.endswith("× in further windows")


def test_head_names_the_sample():
    rows = [row(0, 2, 200), row(1, 150, 200)]
    assert grid(rows)[0].startswith("Masks of 2 rows: 200 positions (longest), ")
    seen = Inspection("in", "ids", True, LengthStats({2: 9}), rows, [], [], Advice(""), sampled=True)
    assert str(make_grid(seen, Console(width=300))[0]) == "Masks of 2 random rows: 200 positions"


def test_rows_without_positions():
    assert grid([row(0, 0, 0), row(1, 0, 0)])[2:] == ["0  0", "1  0"]


@given(
    lengths=st.lists(st.integers(0, 400), min_size=1, max_size=6),
    maxlen=st.integers(1, 300),
    width=st.integers(30, 90),
    pre=st.booleans(),
)
def test_cells_show_the_positions(lengths, maxlen, width, pre):
    rows = [row(number, length, maxlen, pre=pre) for number, length in enumerate(lengths)]
    for line, length in zip(grid(rows, width)[2:], lengths, strict=True):
        assert len(line) <= width
        cells = line[2:].rsplit(" ", 2 if length > maxlen else 1)[0]
        # A full cell has no padding, and an empty cell no tokens.
        assert length > 0 or not set(cells) & set("░▒▓█×")
        assert length >= maxlen or set(cells) & set("·░▒▓")
        if max([maxlen, *lengths]) < width - 12:
            assert cells.count("█") == min(length, maxlen)
            assert cells.count("·") == max(0, maxlen - length)
            assert cells.count("×") == max(0, length - maxlen)


@pytest.mark.parametrize("length", [999, 1, 1000])
def test_scaled_cells(length):
    cells = grid([row(0, length, 1000)])[2].split()[1]
    expected = {999: ("█", "▓"), 1: ("░", "·"), 1000: ("█", "█")}
    assert (cells[0], cells[-1]) == expected[length]
