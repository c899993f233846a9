"""The plans that inspect recommends."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask import PadSpec, WindowSpec
from padmask.core.length_stats import LengthStats
from padmask.core.shared_ends import SharedEnds
from padmask.inspect.advice import Advice, Adviser
from padmask.inspect.commands import PadCommand
from padmask.inspect.costs import CostBasis, candidate_costs
from padmask.inspect.cuts import Cuts
from padmask.inspect.shared_end import SharedEnd

# Most rows are short. One row in 400 has more than half of the tokens.
HEAVY_TAIL = {20: 399, 40_000: 1}

# The lengths of texts: the longest row is much longer than p99.
TEXTS = {20: 600, 60: 300, 120: 90, 140: 9, 500: 1}


def advise(counts, *asked, shared=None, width=None, multiple=None, ends=None, overlong="truncate", **cuts):
    spec = PadSpec(maxlen="p99", pad_to_multiple_of=multiple, **cuts)
    cuts = Cuts.of(spec, overlong, ends or SharedEnds())
    basis = CostBasis(LengthStats(counts), multiple, shared=shared, cuts=cuts)
    plans = {cost.name: cost for cost in candidate_costs(basis, asked)}
    return Adviser(basis, plans, PadCommand(["in.jsonl"], "out.parquet"), spec, width).recommend(asked)


def options(advice: Advice) -> list[str]:
    start = ["padmask", "pad", "in.jsonl", "-o", "out.parquet"]
    words = shlex.split(advice.command)
    assert words[:5] == start
    return words[5:]


def test_little_padding_needs_no_cut():
    advice = advise({90: 5, 100: 5})
    assert (advice.plan.name, options(advice)) == ("longest", ["--maxlen", "longest"])


def test_long_tail_is_cut():
    advice = advise(TEXTS)
    assert advice.plan.name == "p99"
    assert options(advice) == ["--maxlen", "p99"]
    assert advice.plan.lost_share < 0.05


def test_cheaper_percentile_comes_first():
    assert advise({10: 46, 100: 50, 110: 4}).plan.name == "p95"


def test_heavy_tail_needs_windows():
    advice = advise(HEAVY_TAIL)
    assert advice.has_windows
    assert options(advice) == ["--maxlen", "24", "--overlong", "window", "--overlap", "3"]
    assert advice.plan.tokens_lost == 0
    assert "83.3%" in advice.text


def test_equal_lengths_at_the_top():
    # All long rows were already cut at 512, so p99 is the same length.
    advice = advise({64: 80, 512: 20})
    assert advice.plan.name == "longest"
    assert "p99 is the same length" in advice.text


@pytest.mark.parametrize(
    ("asked", "plan"),
    [
        ([500], "500"),
        ([140], "140"),
        (["p99"], "p99"),
        ([30], "windows-30"),
        ([64, 140, 500], "140"),
        ([20, 30], "windows-30"),
        (["longest", 140], "140"),
        ([0, 140], "140"),
    ],
    ids=str,
)
def test_requested_lengths(asked, plan):
    assert advise(TEXTS, *asked).plan.name == plan


def test_some_loss_shows_how_to_lose_nothing():
    advice = advise(TEXTS, 110)
    assert advice.plan.name == "110"
    assert 0.05 < advise(TEXTS, 100).plan.lost_share < 0.2
    other = advise(TEXTS, 100).alternatives[0]
    assert "no tokens" in other.text
    assert other.command.endswith("--maxlen 100 --overlong window --overlap 12")


def test_length_beyond_the_longest_row():
    other = advise({90: 5, 100: 5}, 200).alternatives[0]
    assert "50.0%" in other.text
    assert other.command.endswith("--maxlen longest")


def test_maxlen_0_is_not_recommended():
    advice = advise(TEXTS, 0)
    assert advice.plan.name == "p99"
    assert advice.text.startswith("maxlen 0 removes all tokens.")


@pytest.mark.parametrize(("truncating", "end"), [("pre", "first"), ("post", "last")])
def test_shared_end_is_kept(truncating, end):
    shared = SharedEnd(102, truncating, LengthStats({120: 90, 140: 9, 500: 1}))
    advice = advise(TEXTS, shared=shared)
    assert options(advice) == ["--maxlen", "p99", f"--keep-{end}", "1"]
    assert f"10 truncated rows would lose their {end} token 102; --keep-{end} 1 keeps it." in advice.details
    assert "--keep" not in advise(TEXTS, 500, shared=shared).command
    assert "--keep" not in advise(TEXTS, 30, shared=shared).command


def test_one_lost_end_is_kept():
    """Only 1 of 10 truncated rows ends with the token that most rows share."""
    advice = advise(TEXTS, shared=SharedEnd(102, "post", LengthStats({120: 90, 500: 1})))
    assert options(advice) == ["--maxlen", "p99", "--keep-last", "1"]
    assert "1 truncated row would lose its last token 102; --keep-last 1 keeps it." in advice.details


@pytest.mark.parametrize(
    ("ends", "cuts", "kept"),
    [
        (SharedEnds(101, 102), {}, ["--keep-first", "1", "--keep-last", "1"]),
        (SharedEnds(None, 102), {}, ["--keep-last", "1"]),
        (SharedEnds(101, 102), {"keep_first": 3}, ["--keep-first", "3", "--keep-last", "1"]),
        (SharedEnds(101, None), {"keep_last": "n"}, ["--keep-first", "1", "--keep-last", "n"]),
    ],
    ids=str,
)
def test_windows_keep_shared_ends(ends, cuts, kept):
    advice = advise(HEAVY_TAIL, ends=ends, **cuts)
    assert options(advice) == ["--maxlen", "24", "--overlong", "window", "--overlap", "3", *kept]


def test_short_windows_keep_no_ends():
    advice = advise({1: 9, 30: 9}, 2, ends=SharedEnds(101, 102))
    assert options(advice) == ["--maxlen", "2", "--overlong", "window", "--overlap", "0"]
    # The kept tokens fill a row, so no window is possible.
    assert options(advise({1: 9, 30: 9}, 2, keep_last=2)) == ["--maxlen", "2", "--keep-last", "2"]


def test_one_giant_row_may_be_dropped():
    advice = advise({10: 200, 50_000: 1}, 16)
    assert "1 of 201 rows is longer and becomes 3,572 windows" in advice.text
    [dropping] = [other for other in advice.alternatives if other.command.endswith("--overlong drop")]
    assert "96.2%" in dropping.text
    assert "--overlong drop" not in str(advise(TEXTS, 30))


def test_empty_rows_may_be_dropped():
    assert "50 of 51 rows are empty; --empty-rows drop" in str(advise({0: 50, 50: 1}))
    assert "--empty-rows" not in str(advise({0: 1, 50: 50}))


def test_percentile_too_short_for_the_ends():
    assert advise({1: 995, 50: 5}, keep_last=2).plan.name == "longest"


def test_windows_of_the_user_keep_their_overlap():
    advice = advise(TEXTS, 100, windows=WindowSpec(overlap=50), ends=SharedEnds(1, None))
    assert advice.plan.name == "100"
    assert options(advice) == [
        *("--maxlen", "100", "--overlong", "window", "--overlap", "50", "--keep-first", "1")
    ]


@pytest.mark.parametrize("counts", [{}, {0: 5}])
def test_nothing_to_pad(counts):
    advice = advise(counts)
    assert (advice.command, advice.as_dict()) == ("", None)


def test_padded_to_the_recommended_length():
    advice = advise({90: 5, 100: 5}, width=100)
    assert advice.as_dict() == {"plan": "longest", "maxlen": 100, "command": None}
    assert advise({90: 5, 100: 5}, width=500).command


def test_pack_command():
    text = str(advise(TEXTS))
    [command] = [line for line in text.split("\n") if line.startswith("padmask pack")]
    assert " --maxlen " in command
    assert "--overlong" not in command
    assert "padmask pack" not in str(advise({90: 5, 100: 5}))


def test_recommended_command_comes_first():
    advice = advise({8: 90, 40: 10, 100: 1}, 50)
    commands = [line for line in str(advice).split("\n") if line.startswith("padmask")]
    assert commands == [advice.command, *(other.command for other in advice.alternatives)]
    assert len(commands) > 2


def test_pack_command_of_cut_rows():
    text = str(advise({8: 90, 40: 10, 100: 1}, 50))
    assert "--maxlen 50 --overlong truncate" in text
    assert "--overlong split" in text


@given(
    counts=st.dictionaries(st.integers(0, 3000), st.integers(1, 500), min_size=1, max_size=8),
    asked=st.lists(st.one_of(st.integers(0, 3000), st.sampled_from(["p50", "p95", "longest"])), max_size=3),
    multiple=st.sampled_from([None, 7, 64]),
)
def test_large_losses_are_never_recommended(counts, asked, multiple):
    asked = [one if isinstance(one, str) or multiple is None else one // multiple * multiple for one in asked]
    advice = advise(counts, *asked, multiple=multiple)
    if advice.plan is None:
        assert set(counts) == {0}
        return
    assert advice.plan.lost_share < 0.2
    assert advice.plan.maxlen > 0
    assert f"--maxlen {advice.spec.maxlen}" in advice.command
    if advice.has_windows:
        assert 0 <= advice.spec.windows.overlap < advice.plan.maxlen
