"""Match each sequence of packed or padded rows with its partner, the source sequence in the input.

A padded row is a row with one sequence. All functions work on the hashes of the sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from padmask.core.arrow_lists import Flags
from padmask.core.plan import Positions
from padmask.core.sequence_hashes import Hashes, find_partners, join_hashes
from padmask.verify.data.hashed_columns import Hashed
from padmask.verify.data.row_order import match_rows
from padmask.verify.data.sequence_table import LocatedSequences


@dataclass(frozen=True)
class Matches:
    """The sequence of the input (the partner) from which each packed sequence comes.

    Args:
        partners: index of the partner of each packed sequence, or -1: int64, shape (packed sequences,).
        differ: whether each hash differs from that of the partner: bool, shape (packed sequences, hashes).
        found: whether each sequence of the input is a partner: bool, shape (sequences of the input,).
        chosen: index of the hash to compare, for each column. Without metadata, a label column has several
            hashes.
        moved: whether each padded row has a wrong source or a wrong position in the order of the rows: bool,
            shape (rows,).
    """

    partners: Positions
    differ: Flags
    found: Flags
    chosen: Sequence[int]
    moved: Flags


def match_sequences(
    packed: LocatedSequences,
    expected: LocatedSequences,
    names: Sequence[str],
    loses: Flags,
    *,
    located: bool,
    padded: bool,
) -> Matches:
    """Find the partner of each packed sequence, by its source if `located`, else by its tokens.

    A padded row with a wrong source is matched by its tokens, and counts as moved. Among sequences with equal
    tokens, those that lose tokens are matched last, because their rows may have been dropped.

    Args:
        packed, expected: the packed sequences, and the sequences expected from the input.
        names: name of the column of each hash. Without metadata, a label column has several hashes.
        loses: whether each sequence of the input loses tokens: bool, shape (sequences of the input,).
        located: whether columns contain the source row of each packed sequence.
        padded: whether the rows are padded. If False, they are packed.
    """
    if located:
        partners = find_partners(
            join_hashes(packed.sources, packed.starts), join_hashes(expected.sources, expected.starts)
        )
        chosen = choose_by_partners(packed, expected, partners, names)
        if padded:
            return match_moved_rows(packed, expected, partners, chosen)
    else:
        chosen = choose_by_tokens(packed, expected, names)
        partners = np.full(len(packed.lengths), -1)
        # A remaining sequence may have the tokens of an input sequence, but other values in another column.
        for columns in (chosen, [0]):
            keys, others = packed.keys(columns), expected.keys(columns)
            for candidates in (~loses, loses):
                add_partners(partners, keys, others, candidates)
    return compare_partners(packed, expected, partners, chosen)


def match_ordered_rows(
    packed: LocatedSequences, expected: LocatedSequences, names: Sequence[str], loses: Flags
) -> Matches:
    """Find the row of the input for each padded row, if the padded rows are in the order of the input.

    The arguments are as in `match_sequences`.
    """
    chosen = choose_by_tokens(packed, expected, names)
    keys, others = ([its.keys(columns) for columns in (chosen, [0])] for its in (packed, expected))
    partners = match_rows(keys, others, expected.files, expected.lengths, loses)
    return match_moved_rows(packed, expected, partners, chosen)


def match_moved_rows(
    packed: LocatedSequences, expected: LocatedSequences, partners: Positions, chosen: Sequence[int]
) -> Matches:
    """Match each padded row that has no partner with an input row that has the same tokens.

    The padded rows that get a partner in this way count as moved.

    Args:
        packed, expected: the padded rows, and the rows expected from the input.
        partners: index of the partner that was found by source or order, or -1.
        chosen: the hashes to compare.
    """
    partners, before = partners.copy(), partners
    for columns in (chosen, [0]):
        candidates = np.ones(len(expected.lengths), dtype=bool)
        add_partners(partners, packed.keys(columns), expected.keys(columns), candidates)
    return compare_partners(packed, expected, partners, chosen, (before < 0) & (partners >= 0))


def compare_partners(
    packed: LocatedSequences,
    expected: LocatedSequences,
    partners: Positions,
    chosen: Sequence[int],
    moved: Flags | None = None,
) -> Matches:
    """Compare sequences with their partners. The arguments are as in `Matches`."""
    here = partners >= 0
    differ = np.zeros(packed.hashes.shape, dtype=bool)
    differ[here] = packed.hashes[here] != expected.hashes[partners[here]]
    longer = here.copy()
    longer[here] = packed.lengths[here] != expected.lengths[partners[here]]
    # If the lengths differ, the hashes of all columns differ, and one finding is enough.
    differ[longer] = False
    differ[longer, 0] = True
    found = np.zeros(len(expected.lengths), dtype=bool)
    found[partners[here]] = True
    moved = np.zeros(len(partners), dtype=bool) if moved is None else moved
    return Matches(partners, differ, found, chosen, moved)


def match_remaining_rows(packed: LocatedSequences, expected: LocatedSequences, found: Matches) -> Matches:
    """Match the padded rows without a partner with the input rows that are not yet a partner.

    First, the padded rows between two matched rows are matched in order with the input rows between the two
    partners. If there are more rows on one side, only rows with the same number of tokens are matched.

    Then, a padded row is matched with an input row at any place if both have the same number of tokens, and
    no other unmatched row of the input or the output has this number of tokens.
    """
    partners = found.partners.copy()
    left = np.flatnonzero(partners < 0)
    if not len(left):
        return found
    free = ~found.found
    known = np.flatnonzero(partners >= 0)
    at = np.searchsorted(known, left)
    bounds = np.concatenate([[-1], partners[known], [len(expected.lengths)]])
    gaps, firsts = np.unique(at, return_index=True)
    for gap, ours in zip(gaps.tolist(), np.split(left, firsts[1:]), strict=True):
        begin, end = int(bounds[gap]) + 1, int(bounds[gap + 1])
        theirs = begin + np.flatnonzero(free[begin:end])
        if len(theirs) != len(ours):
            ours, theirs = match_equal_lengths(ours, theirs, packed.lengths, expected.lengths)
        partners[ours] = theirs
        free[theirs] = False
    left, theirs = np.flatnonzero(partners < 0), np.flatnonzero(free)
    lengths, others = packed.lengths[left], expected.lengths[theirs]
    once = np.intersect1d(*(its[counts == 1] for its, counts in map(_counted, (lengths, others))))
    ours = left[np.isin(lengths, once)]
    ours = ours[np.argsort(packed.lengths[ours])]
    theirs = theirs[np.isin(others, once)]
    partners[ours] = theirs[np.argsort(expected.lengths[theirs])]
    return compare_partners(packed, expected, partners, found.chosen, found.moved)


def _counted(lengths: Positions) -> tuple[Positions, Positions]:
    values, counts = np.unique(lengths, return_counts=True)
    return values, counts


def match_equal_lengths(
    ours: Positions, theirs: Positions, lengths: Positions, others: Positions
) -> tuple[Positions, Positions]:
    """Match output rows with input rows that have the same number of tokens, in order.

    >>> ours, theirs = np.array([0, 1]), np.array([0, 1, 3])
    >>> match_equal_lengths(ours, theirs, np.array([7, 9]), np.array([8, 7, 9, 9]))
    (array([0, 1]), array([1, 3]))

    Args:
        ours, theirs: indices of output rows, and of input rows.
        lengths, others: number of tokens of every output row, and of every input row.
    """
    pairs, start = [], 0
    for one in ours.tolist():
        fits = np.flatnonzero(others[theirs[start:]] == lengths[one])
        if len(fits):
            pairs.append((one, int(theirs[start + fits[0]])))
            start += int(fits[0]) + 1
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def leave_out_guesses(found: Matches, hashed: Sequence[Hashed]) -> tuple[Matches, set[str]]:
    """Leave out the label columns that are probably not copies of the tokens.

    If the input has no labels and there is no metadata, labels are compared as if they were copies of the
    tokens. If the labels of most sequences then differ, the labels are not copies.

    Returns:
        The matches without these columns, and the names of these columns.
    """
    here = found.partners >= 0
    guesses = [
        place
        for place in found.chosen
        if (copied := hashed[place].copied) is not None
        and not copied.known
        and 2 * int(found.differ[here, place].sum()) > int(here.sum())
    ]
    chosen = [place for place in found.chosen if place not in guesses]
    return replace(found, chosen=chosen), {hashed[place].column.name for place in guesses}


def add_partners(partners: Positions, keys: Hashes, others: Hashes, candidates: Flags) -> None:
    """Find partners for the sequences without a partner, and write them to `partners`.

    >>> keys, others = np.array([5, 6, 7], dtype=np.uint64), np.array([7, 5, 6], dtype=np.uint64)
    >>> partners = np.array([-1, 2, -1])
    >>> add_partners(partners, keys, others, np.array([True, False, True]))
    >>> partners.tolist()
    [-1, 2, 0]

    Args:
        partners: index of the partner of each sequence, or -1.
        keys, others: hashes of the sequences, and of their possible partners.
        candidates: whether each possible partner may be matched. Partners in `partners` are never matched
            again.
    """
    free = candidates.copy()
    free[partners[partners >= 0]] = False
    left, others_left = np.flatnonzero(partners < 0), np.flatnonzero(free)
    found = find_partners(keys[left], others[others_left])
    partners[left[found >= 0]] = others_left[found[found >= 0]]


def choose_by_tokens(packed: LocatedSequences, expected: LocatedSequences, names: Sequence[str]) -> list[int]:
    """Choose a hash of each column: the hash with which the most sequences have a partner. Return its index.

    The arguments are as in `match_sequences`.
    """
    best: dict[str, tuple[int, int]] = {}
    for place, name in enumerate(names):
        matches = 0
        if names.count(name) > 1:
            keys = packed.keys([0, place]), expected.keys([0, place])
            matches = int((find_partners(*keys) >= 0).sum())
        if name not in best or matches > best[name][0]:
            best[name] = matches, place
    return [place for _, place in best.values()]


def choose_by_partners(
    packed: LocatedSequences, expected: LocatedSequences, partners: Positions, names: Sequence[str]
) -> list[int]:
    """Choose a hash of each column: the hash that differs in the fewest sequences. Return its index.

    The arguments are as in `match_sequences`, and `partners` is as in `Matches`.
    """
    here = partners >= 0
    counts = (packed.hashes[here] != expected.hashes[partners[here]]).sum(axis=0)
    best: dict[str, int] = {}
    for place, name in enumerate(names):
        before = best.setdefault(name, place)
        if counts[place] < counts[before]:
            best[name] = place
    return list(best.values())
