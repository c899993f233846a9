"""Rows of the input that are not in packed or padded rows are missing, or they were dropped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sequences import located

from padmask import PadSpec
from padmask.core.packed_counts import COUNTED, PackedCounts
from padmask.core.packed_layout import PackedLayout
from padmask.core.padded_run import PaddedRun
from padmask.verify.data.comparison import Comparison
from padmask.verify.data.hashed_columns import ValueTypes
from padmask.verify.data.missing_rows import find_missing_rows, find_rows_to_have
from padmask.verify.data.padded_layout import PaddedLayout
from padmask.verify.data.planned_input import InputPlanner
from padmask.verify.data.sequence_matches import match_sequences

PADDED = PaddedLayout(("input_ids",), "mask", sources=False, spec=PadSpec(maxlen=2))
PACKED = PackedLayout(("input_ids",), "mask", sources=False, spec=PadSpec(maxlen=2))


def compared(rows, expected, loses=(), layout=PADDED):
    """Return the comparison of output rows with the rows that are expected for the input.

    `loses` has the indices of the input rows that lose tokens.
    """
    rows, expected = located(rows), located(expected)
    flags = np.isin(np.arange(len(expected.lengths)), loses)
    padded = isinstance(layout, PaddedLayout)
    found = match_sequences(rows, expected, ["input_ids"], flags, located=False, padded=padded)
    planner = InputPlanner(layout, [], ValueTypes(is_text=False), None, {}, None, joined=True)
    return Comparison(layout, [], rows, planner, expected, flags, found)


def missing(its, limit=None, counts=()):
    here = find_rows_to_have(its, len(its.packed.lengths), limit)
    return find_missing_rows(its, here, counts)


def test_deleted_row():
    found = missing(compared([[1], [3]], [[1], [2], [3]]))
    assert found.missing.tolist() == [False, True, False]
    assert not found.lost.any()


def test_truncated_row():
    found = missing(compared([[1], [2, 2]], [[1], [2, 2]], loses=[1]))
    assert not found.missing.any()
    assert found.lost.tolist() == [False, True]
    assert found.dropped == 0


def test_long_row_may_be_dropped():
    found = missing(compared([[1]], [[1], [2, 2]], loses=[1]))
    assert not found.missing.any()
    assert (found.lost.tolist(), found.dropped) == ([False, True], 1)


def test_long_row_after_truncated_row():
    """If one long row was truncated, no long row was dropped."""
    found = missing(compared([[1, 1]], [[1, 1], [2, 2]], loses=[0, 1]))
    assert found.missing.tolist() == [False, True]
    assert found.lost.tolist() == [True, False]


@pytest.mark.parametrize(("dropped", "is_missing"), [(0, True), (1, False)])
def test_counts_of_packed_rows(dropped, is_missing):
    counts = [PackedCounts(**{**dict.fromkeys(COUNTED, 0), "rows_dropped": dropped})]
    found = missing(compared([[1]], [[1], [2, 2]], loses=[1], layout=PACKED), counts=counts)
    assert found.missing.tolist() == [False, is_missing]


@pytest.mark.parametrize(
    ("rows", "is_missing", "empty"), [([[1]], False, 2), ([[1], []], True, 0), ([[1], [], []], False, 0)]
)
def test_rows_without_tokens(rows, is_missing, empty):
    """Either all rows without tokens were dropped, or none."""
    found = missing(compared(rows, [[1], [], []]))
    assert (bool(found.missing.any()), found.empty) == (is_missing, empty)


def padded_by(overlong="truncate", empty_rows="keep", dropped=0, rejected=0, **options):
    """Return the layout of padded rows with the metadata of a run."""
    run = PaddedRun(overlong, empty_rows, 9 + dropped + rejected, 9, dropped, rejected, 9)
    return replace(PADDED, run=run, **options)


@pytest.mark.parametrize(
    ("layout", "is_missing"),
    [
        (padded_by(), True),
        (padded_by("drop", dropped=1), False),
        # The run dropped no row, so the row is missing.
        (padded_by("drop"), True),
        # The run skipped a row that the comparison did not find to be bad. It may be this row.
        (padded_by(rejected=1), False),
    ],
)
def test_metadata_of_long_row(layout, is_missing):
    found = missing(compared([[1]], [[1], [2, 2]], loses=[1], layout=layout))
    assert found.missing.tolist() == [False, is_missing]
    assert found.lost.tolist() == [False, not is_missing]


@pytest.mark.parametrize(
    ("layout", "is_missing"),
    [
        (padded_by(), True),
        (padded_by(empty_rows="drop", dropped=2), False),
        (padded_by("drop", dropped=2), True),
    ],
)
def test_metadata_of_empty_rows(layout, is_missing):
    found = missing(compared([[1]], [[1], [], []], layout=layout))
    assert (found.missing.tolist(), found.empty) == ([False, is_missing, is_missing], 0 if is_missing else 2)


@pytest.mark.parametrize(("dropped", "is_missing"), [(1, False), (0, True)])
@pytest.mark.parametrize("own", [True, False])
def test_dropped_for_another_column(dropped, is_missing, own):
    layout = padded_by("drop", dropped=dropped, has_own_lengths=own)
    found = missing(compared([[1]], [[1], [2]], layout=layout))
    assert found.missing.tolist() == [False, is_missing or not own]
    assert found.lost.tolist() == [False, not is_missing and own]


def test_packed_rows_need_no_empty_rows():
    found = missing(compared([[1]], [[1], []], layout=PACKED))
    assert (bool(found.missing.any()), found.empty) == (False, 0)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, [True, True, True, True]),
        # The rows before the last row that was found must be there.
        (2, [True, True, True, False]),
        # Fewer rows than the limit were read.
        (4, [True, True, True, True]),
    ],
)
def test_rows_to_have(limit, expected):
    its = replace(compared([[1], [3]], [[1], [2], [3], [4]]), in_order=True)
    assert find_rows_to_have(its, 2, limit).tolist() == expected


def test_limit_of_packed_rows():
    its = compared([[1], [3]], [[1], [2], [3]], layout=PACKED)
    assert not find_rows_to_have(its, 2, 2).any()
