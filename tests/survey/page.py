"""Render the results of a survey as a part of `docs/survey.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from measure import Result

PAGE = Path(__file__).resolve().parents[2] / "docs" / "survey.md"

SIDES = {"post": "right", "pre": "left"}

# Results of one model, keyed by the side of the padding.
Results = Mapping[str, Result]


def render(models: Mapping[str, Results], versions: Mapping[str, str], date: str) -> str:
    """Render one part of the page: versions, counts, a table and the advice."""
    advice = _number_advice(models)
    lines = [
        f"Measured on {date} with {', '.join(f'{name} {version}' for name, version in versions.items())}.",
        *(_count(models, side) for side in SIDES),
        "",
        "| model | padding on the right | padding on the left | culprit | advice |",
        "|---|---|---|---|---|",
        *(_row(name, results, advice) for name, results in models.items()),
        "",
        *(f"{number}. {text}" for text, number in advice.items()),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _count(models: Mapping[str, Results], side: str) -> str:
    ignoring = sum(results[side].measured == "ignores" for results in models.values())
    return f"Padding on the {SIDES[side]} does not change the outputs of {ignoring} of {len(models)} models."


def _number_advice(models: Mapping[str, Results]) -> dict[str, int]:
    texts = [result.advice for results in models.values() for result in results.values() if result.advice]
    return {text: number for number, text in enumerate(dict.fromkeys(texts), 1)}


def _row(name: str, results: Results, advice: Mapping[str, int]) -> str:
    cells = [_cell(results[side]) for side in SIDES]
    culprits = _by_side({side: f"`{one.culprit}`" for side, one in results.items() if one.culprit})
    numbers = _by_side({side: str(advice[one.advice]) for side, one in results.items() if one.advice})
    return f"| {name} | {' | '.join(cells)} | {culprits} | {numbers} |"


def _cell(result: Result) -> str:
    found = f"{result.verdict}, {result.deviation:.0e}"
    return found if result.verdict == result.measured else f"{found}, but measured: {result.measured}"


def _by_side(cells: Mapping[str, str]) -> str:
    """Join the texts of both sides. If the texts differ, each text is followed by its side."""
    if len(cells) == len(SIDES) and len(set(cells.values())) == 1:
        return next(iter(cells.values()))
    return ", ".join(f"{text} ({SIDES[side]})" for side, text in cells.items())


def write(part: str, text: str) -> None:
    """Replace one part of the page, between its markers."""
    page = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- survey: {re.escape(part)} -->\n).*?(<!-- end -->)", re.S)
    if not pattern.search(page):
        raise ValueError(f"{PAGE.name} has no markers for the part {part}")
    PAGE.write_text(pattern.sub(lambda found: found[1] + text + found[2], page), encoding="utf-8")


def disagreements(models: Mapping[str, Results]) -> Sequence[str]:
    """Return the models whose verdict differs from the measurement."""
    return [
        f"{name}, padding on the {SIDES[side]}"
        for name, results in models.items()
        for side, result in results.items()
        if result.verdict != result.measured
    ]
