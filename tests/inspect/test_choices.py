"""The values of maxlen among which a report lets the reader choose."""

from __future__ import annotations

import json

import pytest

from padmask import PadSpec, WindowSpec
from padmask.inspect.choices import make_choices
from padmask.inspect.inspect_file import inspect_file


def inspected(folder, lengths, *maxlens, ids=lambda length: [7] * length, **options):
    file = folder / "in.jsonl"
    file.write_text("".join(json.dumps({"input_ids": ids(length)}) + "\n" for length in lengths))
    specs = [PadSpec(maxlen=maxlen, **options.pop("spec", {})) for maxlen in maxlens or ["longest"]]
    return inspect_file(file, specs=specs, **options)


def test_costs_are_those_of_the_plans(tmp_path):
    seen = inspected(tmp_path, [*range(1, 60), 200], 32, 48)
    choices = {choice.maxlen: choice for choice in make_choices(seen)}
    assert [*choices] == [*range(1, 129), *range(130, 201, 2)]
    for plan in seen.plans:
        if plan.name in ("longest", "p99", "p95", "32", "48"):
            found = choices[plan.maxlen].cost
            assert (found.places, found.tokens_lost, found.bytes) == (
                plan.places,
                plan.tokens_lost,
                plan.bytes,
            )
    assert (choices[32].whole, choices[200].whole) == (32, 60)


def test_recommended_command(tmp_path):
    # Most rows end with 9, so the command keeps the last token where rows are truncated.
    seen = inspected(tmp_path, range(3, 60), 48, ids=lambda length: [7] * (length - 1) + [9])
    choices = {choice.maxlen: choice.command for choice in make_choices(seen)}
    assert choices[48] == seen.advice.command
    assert choices[30] == seen.advice.command.replace(" 48 ", " 30 ")
    assert "--keep-last 1" in choices[30] and "--keep-last" not in choices[59]


@pytest.mark.parametrize("overlong", ["drop", "error"])
def test_longer_rows_follow_the_option(tmp_path, overlong):
    # Most rows end with 9. Only truncated rows can keep this token.
    seen = inspected(tmp_path, range(1, 60), 58, ids=lambda n: [7] * (n - 1) + [9], overlong=overlong)
    choice = make_choices(seen)[29]
    assert (choice.maxlen, choice.whole, choice.cost.overlong) == (30, 30, overlong)
    assert choice.command.endswith(f"--maxlen 30 --overlong {overlong}")


def test_windows_need_space_for_their_overlap(tmp_path):
    spec = {"windows": WindowSpec(overlap=20)}
    choices = make_choices(inspected(tmp_path, range(1, 60), 48, spec=spec))
    assert min(choice.maxlen for choice in choices) == 21
    assert all(choice.cost.tokens_lost == 0 for choice in choices)
    assert "--maxlen 30 --overlong window --overlap 20" in choices[9].command


@pytest.mark.parametrize("lengths", [[], [0, 0]], ids=["no-rows", "no-tokens"])
def test_nothing_to_choose(tmp_path, lengths):
    assert make_choices(inspected(tmp_path, lengths)) == []
