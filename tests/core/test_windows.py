"""Windows equal those of Hugging Face's fast tokenizers, and cover each row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import pad_lists, split_row
from raised import raises_error

from padmask import PadSpec, SpecError, WindowSpec, pad
from padmask.core.keep_ends import Ends
from padmask.core.kernel import pad_batch
from padmask.core.plan import make_plan
from padmask.core.planners import count_rows, make_segments
from padmask.core.python_rows import flatten
from padmask.core.windows import repeated_mask

SIDES = st.sampled_from(["pre", "post"])


@st.composite
def rows_to_split(draw):
    """Generate a maxlen, an overlap, and rows of unique tokens.

    For each row, also generate how many tokens to keep at the start and at the end.
    """
    maxlen = draw(st.integers(1, 9))
    overlap = draw(st.integers(0, maxlen - 1))
    tokens = iter(range(1, 1000))
    rows = [[next(tokens) for _ in range(n)] for n in draw(st.lists(st.integers(0, 25), max_size=5))]
    firsts = [draw(st.integers(0, maxlen - overlap - 1)) for _ in rows]
    lasts = [draw(st.integers(0, maxlen - overlap - first - 1)) for first in firsts]
    return maxlen, overlap, rows, firsts, lasts


@given(rows_to_split(), SIDES, SIDES)
def test_windows_equal_the_oracle(case, padding, truncating):
    maxlen, overlap, rows, firsts, lasts = case
    spec = PadSpec(
        maxlen=maxlen,
        padding=padding,
        truncating=truncating,
        keep_first="first",
        keep_last="last",
        windows=WindowSpec(overlap=overlap),
    )
    ragged, ends = flatten(rows), Ends(np.array(firsts, np.int64), np.array(lasts, np.int64))
    segments = make_segments(ragged.lengths, make_plan(spec), spec, ends)
    padded = pad_batch(ragged, segments, value=-1, dtype="int32")
    windows, places, repeated = [], [], []
    for number, (row, first, last) in enumerate(zip(rows, firsts, lasts, strict=True)):
        seen = set()
        found = split_row(row, maxlen, first, last, overlap, truncating)
        for index, (start, stop) in enumerate(found):
            cut = len(found) > 1
            head, tail = (row[:first], row[len(row) - last :]) if cut else ([], [])
            windows.append(head + row[start:stop] + tail)
            places.append((number, index, start, stop))
            is_last = index == len(found) - 1
            repeated.append([token in seen for token in head + row[start:stop]] + [not is_last] * len(tail))
            seen |= {*head, *row[start:stop]}
    values, mask, lengths = pad_lists(windows, maxlen, padding, truncating, -1)
    assert padded.values.tolist() == values
    assert padded.mask.tolist() == mask
    assert padded.lengths.tolist() == lengths
    its = segments.windows
    assert list(zip(segments.row_sources, its.numbers, its.starts, its.stops, strict=True)) == places
    assert segments.kept_tokens().tolist() == list(map(len, rows))
    counts = count_rows(ragged.lengths, make_plan(spec), spec, ends)
    assert np.repeat(np.arange(len(rows)), counts).tolist() == segments.row_sources.tolist()
    flags, _, _ = pad_lists(repeated, maxlen, padding, truncating, False)
    assert repeated_mask(segments).tolist() == flags


@given(rows_to_split(), SIDES)
def test_places_in_windows(case, truncating):
    """The formula of docs/pad.md finds each token, also in rows that are not split."""
    maxlen, overlap, rows, firsts, lasts = case
    spec = PadSpec(maxlen=maxlen, truncating=truncating, windows=WindowSpec(overlap=overlap))
    ragged, ends = flatten(rows), Ends(np.array(firsts, np.int64), np.array(lasts, np.int64))
    segments = make_segments(ragged.lengths, make_plan(spec), spec, ends)
    values = pad_batch(ragged, segments, value=-1, dtype="int32").values
    places = segments.windows
    for window, source in enumerate(segments.row_sources):
        start, stop = places.starts[window], places.stops[window]
        shift = min(firsts[source], start) - start
        for place in range(start, stop):
            assert values[window][place + shift] == rows[source][place]


@settings(max_examples=200)
@given(rows_to_split(), SIDES)
def test_windows_equal_the_tokenizers(case, truncating):
    """The kept ends are special tokens of a template, such as [CLS] and [SEP]."""
    tokenizers = pytest.importorskip("tokenizers")
    maxlen, overlap, rows, firsts, lasts = case
    first, last = (firsts or [0])[0], (lasts or [0])[0]
    words = {f"w{i}": i for i in range(1000)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    heads, tails = list(range(900, 900 + first)), list(range(950, 950 + last))
    if heads or tails:
        special = [(f"w{i}", i) for i in [*heads, *tails]]
        template = [*(f"w{i}" for i in heads), "$A", *(f"w{i}" for i in tails)]
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single=" ".join(template), special_tokens=special
        )
    direction = "right" if truncating == "post" else "left"
    tokenizer.enable_truncation(maxlen, stride=overlap, direction=direction)
    spec = PadSpec(
        maxlen=maxlen,
        truncating=truncating,
        keep_first=first,
        keep_last=last,
        windows=WindowSpec(overlap=overlap),
    )
    for row in rows:
        found = tokenizer.encode(" ".join(f"w{i}" for i in row))
        theirs = [found.ids, *(window.ids for window in found.overflowing)]
        if truncating == "pre":
            theirs.reverse()
        padded = pad([[*heads, *row, *tails]], spec)
        assert [ids[real].tolist() for ids, real in zip(padded.values, padded.mask, strict=True)] == theirs


def test_no_window_is_inside_another():
    spec = PadSpec(maxlen=6, keep_first=1, keep_last=1, windows=WindowSpec(overlap=2))
    segments = make_segments(np.array([12]), make_plan(spec), spec)
    places = list(zip(segments.windows.starts.tolist(), segments.windows.stops.tolist(), strict=True))
    assert places == [(1, 5), (3, 7), (5, 9), (7, 11)]


@pytest.mark.parametrize(
    ("maxlen", "ends", "overlap", "facts"),
    [
        (4, (0, 0), 4, ["5 positions", "`overlap`"]),
        (4, (2, 1), 1, ["5 positions", "`keep_first`", "`keep_last`", "`overlap`"]),
        (0, (0, 0), 0, ["1 position"]),
        (2, (1, 1), 0, ["3 positions", "1 first", "1 last"]),
    ],
)
def test_windows_need_new_tokens(maxlen, ends, overlap, facts):
    first, last = ends
    with raises_error(SpecError, *facts, option="maxlen"):
        PadSpec(maxlen=maxlen, keep_first=first, keep_last=last, windows=WindowSpec(overlap=overlap))


@pytest.mark.parametrize("bad", [{"overlap": -1}, {"overlap": 1.5}, {"labels": "old"}])
def test_window_options_are_checked(bad):
    with pytest.raises(SpecError) as caught:
        WindowSpec(**bad)
    assert caught.value.options == tuple(bad)
