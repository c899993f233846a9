"""The kernel and the oracle agree for every side, value and shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import pad_lists

from padmask import PadmaskError
from padmask.core import fill, kernel
from padmask.core.arrays import sequence_mask
from padmask.core.kernel import pad_batch, slice_rows
from padmask.core.mask_segments import read_mask
from padmask.core.plan import Segments, plan_pad, plan_unpad
from padmask.core.python_rows import flatten
from padmask.core.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=12), max_size=12)
SIDES = st.sampled_from(["pre", "post"])


PLAIN = {"maxlen": st.integers(0, 15), "padding": SIDES, "truncating": SIDES}


def pad_plain(ragged, maxlen, padding="post", truncating="post", *, value=0, dtype="int32", threads=1):
    segments = plan_pad(ragged.lengths, maxlen, padding=padding, truncating=truncating)
    return pad_batch(ragged, segments, value=value, dtype=dtype, threads=threads)


@given(rows=ROWS, value=st.integers(-9, 9), **PLAIN)
def test_equals_the_oracle(rows, value, **sides):
    padded = pad_plain(flatten(rows), value=value, **sides)
    values, mask, lengths = pad_lists(rows, *sides.values(), value)
    assert padded.values.tolist() == values
    assert padded.mask.tolist() == mask
    assert padded.lengths.tolist() == lengths
    assert (padded.values.dtype, padded.mask.dtype) == (np.int32, np.bool_)
    assert padded.values.shape == padded.mask.shape == (len(rows), sides["maxlen"])


@given(rows=ROWS, vectors=st.booleans(), value=st.integers(-9, 9), **PLAIN)
def test_wide_rows_are_the_same(rows, vectors, value, **sides):
    ragged = flatten([[[token / 4] * 2 for token in row] for row in rows] if vectors else rows)
    padded = pad_plain(ragged, value=value, dtype="float64", **sides)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fill, "_WIDE_ROW", 0)
        wide = pad_plain(ragged, value=value, dtype="float64", **sides)
    assert [its.tolist() for its in vars(wide).values()] == [its.tolist() for its in vars(padded).values()]


@given(rows=ROWS.filter(any), **PLAIN)
def test_pads_vectors_like_tokens(rows, **sides):
    vectors = [[[token / 4, token / 8] for token in row] for row in rows]
    padded = pad_plain(flatten(vectors), value=-1, dtype="float64", **sides)
    values, mask, _ = pad_lists(vectors, *sides.values(), [-1.0, -1.0])
    assert padded.values.tolist() == values
    assert padded.mask.tolist() == mask


@given(
    rows=ROWS,
    block=st.integers(1, 40),
    vectors=st.booleans(),
    value=st.sampled_from([0, 7, -100]),
    dtype=st.sampled_from(["int64", "float64"]),
    **PLAIN,
)
def test_ignores_blocks_and_threads(rows, block, vectors, value, dtype, **sides):
    ragged = flatten([[[token, 3] for token in row] for row in rows] if vectors else rows)
    whole = pad_plain(ragged, value=value, dtype=dtype, **sides)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "FEW_POSITIONS", 0)
        patch.setattr(kernel, "BLOCK_VALUES", block)
        blocks = pad_plain(ragged, value=value, dtype=dtype, threads=2, **sides)
    assert (blocks.values == whole.values).all()
    assert (blocks.mask == whole.mask).all()


@given(rows=ROWS, **PLAIN)
def test_mask_selects_kept_tokens(rows, maxlen, padding, truncating):
    padded = pad_plain(flatten(rows), maxlen, padding, truncating)
    kept = [row[:maxlen] if truncating == "post" else row[max(0, len(row) - maxlen) :] for row in rows]
    assert [values[mask].tolist() for values, mask in zip(padded.values, padded.mask, strict=True)] == kept


def test_token_may_equal_the_pad_value():
    padded = pad_plain(flatten([[0, 5, 0]]), 4)
    assert padded.values.tolist() == [[0, 5, 0, 0]]
    assert padded.mask.tolist() == [[True, True, True, False]]


def test_rows_may_overlap():
    ragged = Ragged(np.arange(10), starts=np.array([6, 0, 2]), lengths=np.array([3, 2, 5]))
    padded = pad_plain(ragged, 3, "pre", "pre", value=-1)
    assert padded.values.tolist() == [[6, 7, 8], [-1, 0, 1], [4, 5, 6]]


@given(rows=ROWS, value=st.integers(-9, 9), **PLAIN)
def test_both_kernels_agree(rows, value, **sides):
    ragged, maxlen = flatten(rows), sides.pop("maxlen")
    plain = plan_pad(ragged.lengths, maxlen, **sides)
    # If all arrays are set, the kernel for pieces processes the same table.
    numbers = np.arange(len(rows))
    general = replace(plain, sources=numbers, sequences=numbers, rows=numbers, firsts=plain.first_places)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "FEW_POSITIONS", 0)
        one, other = (pad_batch(ragged, table, value=value, dtype="int64") for table in (plain, general))
    assert one.values.tolist() == other.values.tolist()
    assert one.mask.tolist() == other.mask.tolist()
    assert one.lengths.tolist() == other.lengths.tolist()


@st.composite
def packed_rows(draw):
    """Generate source rows, and packed rows: lists of sequences, which are lists of (row, first, count)."""
    lengths = draw(st.lists(st.integers(0, 9), min_size=1, max_size=6))
    tokens = iter(range(100, 1000))
    rows = [[next(tokens) for _ in range(length)] for length in lengths]
    piece = st.integers(0, len(rows) - 1).flatmap(
        lambda row: st.tuples(st.just(row), st.integers(0, len(rows[row]))).flatmap(
            lambda found: st.tuples(
                st.just(found[0]), st.just(found[1]), st.integers(0, len(rows[found[0]]) - found[1])
            )
        )
    )
    sequence = st.tuples(st.integers(0, 3), st.lists(piece, min_size=1, max_size=3))
    return rows, draw(st.lists(st.lists(sequence, min_size=1, max_size=3), min_size=1, max_size=4))


@given(packed_rows())
def test_any_pieces_equal_the_oracle(case):
    rows, output = case
    table = {name: [] for name in ("sources", "starts", "counts", "sequences", "rows", "firsts")}
    expected, masks = [], []
    for number, sequences in enumerate(output):
        values, mask = [], []
        for gap, pieces in sequences:
            values += [-1] * gap
            mask += [False] * gap
            table["firsts"].append(len(values))
            table["rows"].append(number)
            for source, start, count in pieces:
                table["sequences"].append(len(table["rows"]) - 1)
                table["sources"].append(source)
                table["starts"].append(start)
                table["counts"].append(count)
                values += rows[source][start : start + count]
                mask += [True] * count
        expected.append(values)
        masks.append(mask)
    maxlen = max(map(len, expected))
    arrays = {name: np.array(column, dtype=np.int64) for name, column in table.items()}
    segments = Segments(np.array(list(map(len, rows))), maxlen=maxlen, **arrays)
    padded = pad_batch(flatten(rows), segments, value=-1, dtype="int64")
    assert padded.values.tolist() == [row + [-1] * (maxlen - len(row)) for row in expected]
    assert padded.mask.tolist() == [row + [False] * (maxlen - len(row)) for row in masks]
    assert padded.lengths.tolist() == [sum(row) for row in masks]
    there = {token for row in padded.values.tolist() for token in row}
    assert segments.kept_tokens().tolist() == [sum(token in there for token in row) for row in rows]
    assert segments.row_sources.tolist() == [sequences[0][1][0][0] for sequences in output]


@given(rows=st.lists(st.lists(st.booleans(), max_size=6), max_size=8), gap=st.integers(0, 2))
def test_masks_are_read_back(rows, gap):
    # Rows of any lengths, with unused values between them.
    starts, flat = [], [True] * gap
    for row in rows:
        starts.append(len(flat))
        flat += [*row, *[False] * gap]
    lengths = np.array([len(row) for row in rows], np.int64)
    segments, faults = read_mask(Ragged(np.array(flat, bool), np.array(starts, np.int64), lengths))
    assert segments.counts.tolist() == [sum(row) for row in rows]
    bad = {fault.row for fault in faults}
    for number, row in enumerate(rows):
        start, count = int(segments.starts[number]), sum(row)
        run = [start <= place < start + count for place in range(len(row))]
        assert (run == row) == (number not in bad)
        if number not in bad and count < len(row):
            assert start == (0 if row[0] else len(row) - count)


def test_faulty_mask_names_the_place():
    mask = np.array([True, True, False, False, True, False])
    _, (fault,) = read_mask(Ragged(mask, np.array([0]), np.array([6])))
    assert (fault.row, "position 4" in str(fault)) == (0, True)


@given(rows=ROWS, **PLAIN)
def test_unpad_is_pad_backwards(rows, maxlen, padding, truncating):
    ragged = flatten(rows)
    plan = plan_pad(ragged.lengths, maxlen, padding=padding, truncating=truncating)
    padded = pad_batch(ragged, plan, value=0, dtype="int64")
    back = plan_unpad(plan.counts, np.full(len(rows), maxlen), padding)
    places = Ragged(padded.values.reshape(-1), np.arange(len(rows)) * maxlen, np.full(len(rows), maxlen))
    kept, expected = slice_rows(places, back), slice_rows(ragged, plan)
    for one in (kept, expected):
        assert one.lengths.tolist() == plan.counts.tolist()
    assert rows_of(kept) == rows_of(expected)


def rows_of(ragged):
    pairs = zip(ragged.starts.tolist(), ragged.lengths.tolist(), strict=True)
    return [ragged.values[start : start + length].tolist() for start, length in pairs]


def test_long_rows_get_whole_masks():
    # Lengths that do not fit in 16 bits.
    ragged = Ragged(np.ones(40_000, np.int8), np.array([0]), np.array([40_000]))
    padded = pad_plain(ragged, 50_000)
    assert padded.mask.sum() == padded.values.sum() == 40_000
    assert padded.mask[0, :40_000].all()


def test_sequence_mask_finds_maxlen():
    assert sequence_mask([0, 2, 1], padding="pre").tolist() == [[False, False], [True, True], [False, True]]
    assert sequence_mask([], 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("lengths", "maxlen"),
    [([2.9], 3), ([-1], 3), (["1"], 3), ([[1]], 3), (5, 3), (None, 3), ([2**70], 3), ([1], -1), ([1], 1.5)],
    ids=str,
)
def test_sequence_mask_needs_lengths(lengths, maxlen):
    with pytest.raises(PadmaskError):
        sequence_mask(lengths, maxlen)


def test_sequence_mask_of_huge_lengths():
    mask = sequence_mask(np.array([2**63 + 5, 2], np.uint64), 3)
    assert mask.tolist() == [[True, True, True], [True, True, False]]
