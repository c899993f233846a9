"""Violations of the rules: `Finding`, and the object that collects findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from padmask.core.arrow_lists import Flags
from padmask.errors import Fault, Place
from padmask.spec.rules import RULES, Rule

EXAMPLES = 5

Places = Callable[[int], Place]


@dataclass
class Finding:
    """All violations of one rule.

    Args:
        rule: violated rule.
        count: number of rows or files that violate the rule.
        examples: locations of the first violations.
        detail: description of the violations, and how to fix them.
        column: column that violates the rule; None if the violation is not in one column.
        reasons: for `bad-row`, the reason for each example; empty for other rules.
    """

    rule: Rule
    count: int = 0
    examples: list[Place] = field(default_factory=list)
    detail: str = ""
    column: str | None = None
    reasons: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as a dict for JSON."""
        return {
            "rule": self.rule.name,
            "severity": self.rule.severity,
            "column": self.column,
            "count": self.count,
            "examples": [str(place) for place in self.examples],
            "reasons": list(self.reasons),
            "detail": self.detail or self.rule.means,
        }

    def extend(self, count: int, places: Iterable[Place], reasons: Iterable[str] = ()) -> None:
        """Count more violations. Store only the first violations as examples."""
        self.count += count
        self.examples += islice(places, EXAMPLES - len(self.examples))
        self.reasons += islice(reasons, EXAMPLES - len(self.reasons))

    def copy(self) -> Finding:
        """Return an independent copy."""
        return replace(self, examples=list(self.examples), reasons=list(self.reasons))


class FindingCollector:
    """Collects violations of rules, as one finding for each rule and column.

    >>> found = FindingCollector()
    >>> found.add_rows("row-fully-masked", np.array([True, False]), lambda row: Place("a", "row", row))
    >>> [(its.rule.name, its.count, str(its.examples[0])) for its in found.collected()]
    [('row-fully-masked', 1, 'a, row 0')]
    """

    def __init__(self) -> None:
        # The findings, by the name of the rule and of the column.
        self._found: dict[tuple[str, str | None], Finding] = {}

    def add_bad_rows(self, faults: Iterable[Fault], place: Places) -> None:
        """Report rows that cannot be read or padded."""
        for fault in faults:
            key = ("bad-row", fault.column)
            finding = self._found.setdefault(key, Finding(RULES["bad-row"], column=fault.column))
            finding.extend(1, [place(fault.row)], [fault.reason])

    def add_rows(
        self, rule: str, bad: Flags, place: Places, column: str | None = None, detail: str = ""
    ) -> None:
        """Report rows that violate a rule.

        Args:
            rule: name of the rule.
            bad: for each row, whether it violates the rule.
            place: function that returns the location of a row, given its index.
            column: column that violates the rule; None if the violation is not in one column.
            detail: description of the violation. If empty, the description of the rule is used.
        """
        count = int(bad.sum())
        if count:
            examples = map(place, np.flatnonzero(bad)[:EXAMPLES].tolist())
            self.add_count(rule, count, examples, column, detail)

    def add_count(
        self, rule: str, count: int, examples: Iterable[Place], column: str | None = None, detail: str = ""
    ) -> None:
        """Report rows or files that violate a rule, given their count and the locations of the first ones.

        Args:
            rule: name of the rule.
            count: number of rows or files that violate the rule.
            examples: locations of the first violations.
            column, detail: as in `add_rows`.
        """
        if count:
            new = Finding(RULES[rule], detail=detail or RULES[rule].means, column=column)
            self._found.setdefault((rule, column), new).extend(count, examples)

    def collected(self) -> list[Finding]:
        """Return the findings, in the order in which their first violations were added."""
        return list(self._found.values())

    def has(self, rule: str, column: str | None) -> bool:
        """Return whether the rule is violated in the column."""
        return (rule, column) in self._found

    def join_findings(self, later: FindingCollector) -> None:
        """Add the findings of another object, whose rows follow the rows of this object."""
        for key, found in later._found.items():
            new = Finding(found.rule, detail=found.detail, column=found.column)
            self._found.setdefault(key, new).extend(found.count, found.examples, found.reasons)

    def copy_findings(self, other: FindingCollector) -> None:
        """Replace the findings with independent copies of the findings of another object."""
        self._found = {key: found.copy() for key, found in other._found.items()}
