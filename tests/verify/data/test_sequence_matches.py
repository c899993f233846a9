"""Each sequence of packed or padded rows is matched with its sequence of the input."""

from __future__ import annotations

import numpy as np
import pytest
from sequences import located

from padmask.core.columns import PadColumn
from padmask.verify.data.hashed_columns import CopiedLabels, Hashed
from padmask.verify.data.sequence_matches import (
    choose_by_partners,
    choose_by_tokens,
    compare_partners,
    leave_out_guesses,
    match_ordered_rows,
    match_remaining_rows,
    match_sequences,
)

NAMES = ["input_ids", "labels"]


def keeps(count):
    """Return flags for sequences that lose no tokens."""
    return np.zeros(count, dtype=bool)


def test_match_by_source():
    packed = located([[8, 9], [5]], sources=[1, 0], starts=[2, 0])
    expected = located([[5], [6, 7], [8, 9]], sources=[0, 1, 1], starts=[0, 0, 2])
    found = match_sequences(packed, expected, NAMES[:1], keeps(3), located=True, padded=False)
    assert found.partners.tolist() == [2, 0]
    assert found.found.tolist() == [True, False, True]
    assert not found.differ.any()


def test_packed_with_wrong_source():
    """A packed sequence with a wrong source row has no match. A padded row is matched by its tokens."""
    packed, expected = located([[5], [6]], sources=[0, 7]), located([[5], [6]])
    packed_found, padded_found = (
        match_sequences(packed, expected, NAMES[:1], keeps(2), located=True, padded=padded)
        for padded in (False, True)
    )
    assert packed_found.partners.tolist() == [0, -1]
    assert padded_found.partners.tolist() == [0, 1]
    assert padded_found.moved.tolist() == [False, True]


def test_match_by_tokens():
    packed = located([[7], [5, 6], [7], [7]])
    expected = located([[5, 6], [7], [7]])
    found = match_sequences(packed, expected, NAMES[:1], keeps(3), located=False, padded=False)
    assert found.partners.tolist() == [1, 0, 2, -1]


def test_labels_decide_between_equal_tokens():
    packed = located([[5], [5]], [[2], [1]])
    expected = located([[5], [5]], [[1], [2]])
    found = match_sequences(packed, expected, NAMES, keeps(2), located=False, padded=False)
    assert found.partners.tolist() == [1, 0]


def test_other_labels_are_a_difference():
    packed, expected = located([[5], [6]], [[1], [2]]), located([[5], [6]], [[1], [9]])
    found = match_sequences(packed, expected, NAMES, keeps(2), located=False, padded=False)
    assert found.partners.tolist() == [0, 1]
    assert found.differ.tolist() == [[False, False], [False, True]]


def test_rows_that_lose_tokens_last():
    """Input rows that lose tokens are matched last, because they may have been dropped."""
    packed, expected = located([[5]]), located([[5], [5]])
    loses = np.array([True, False])
    found = match_sequences(packed, expected, NAMES[:1], loses, located=False, padded=False)
    assert found.partners.tolist() == [1]


def test_match_in_order():
    padded, expected = located([[5], [7], [6]]), located([[5], [6], [7]])
    found = match_ordered_rows(padded, expected, NAMES[:1], keeps(3))
    assert found.partners.tolist() == [0, 2, 1]
    assert found.moved.sum() == 1


@pytest.mark.parametrize(
    ("padded", "expected", "partners"),
    [
        # A changed row is between the same rows as its source row.
        ([[1], [2, 9], [3]], [[1], [2, 2], [3]], [0, 1, 2]),
        # One of two rows is missing, and the numbers of tokens decide which.
        ([[1], [9, 9], [3]], [[1], [2], [2, 2], [3]], [0, 2, 3]),
        # The number of tokens occurs once among the rows that are left, in another order.
        ([[9, 9], [3], [1]], [[1], [3], [2, 2]], [2, 1, 0]),
        # No row of the input is left.
        ([[1], [1]], [[1]], [0, -1]),
    ],
)
def test_remaining_rows(padded, expected, partners):
    padded, expected = located(padded), located(expected)
    found = match_sequences(
        padded, expected, NAMES[:1], keeps(len(expected.lengths)), located=False, padded=True
    )
    assert match_remaining_rows(padded, expected, found).partners.tolist() == partners


def test_other_length_is_one_difference():
    """If the lengths differ, all hashes differ, but only the first column is reported."""
    packed, expected = located([[5, 6]], [[1, 2]]), located([[5]], [[1]])
    found = compare_partners(packed, expected, np.array([0]), [0, 1])
    assert found.differ.tolist() == [[True, False]]


def test_best_hash_of_labels():
    packed = located([[5], [6]], [[0], [0]], [[1], [2]])
    expected = located([[5], [6]], [[7], [7]], [[1], [2]])
    names = ["input_ids", "labels", "labels"]
    assert choose_by_tokens(packed, expected, names) == [0, 2]
    assert choose_by_partners(packed, expected, np.array([0, 1]), names) == [0, 2]


@pytest.mark.parametrize(("known", "chosen"), [(False, [0]), (True, [0, 1])])
def test_guessed_labels(known, chosen):
    """Labels that differ in most rows are not copies of the tokens, unless the metadata says so."""
    packed, expected = located([[5], [6]], [[1], [2]]), located([[5], [6]], [[5], [6]])
    found = compare_partners(packed, expected, np.array([0, 1]), [0, 1])
    columns = [PadColumn(name, "int", "int32", value) for name, value in (("input_ids", 0), ("labels", -100))]
    hashed = [Hashed(columns[0]), Hashed(columns[1], copied=CopiedLabels("input_ids", known=known))]
    kept, unknown = leave_out_guesses(found, hashed)
    assert kept.chosen == chosen
    assert unknown == (set() if known else {"labels"})
