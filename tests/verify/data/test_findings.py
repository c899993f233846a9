"""Findings count all violations, and have the locations of the first few."""

from __future__ import annotations

import numpy as np

from padmask.errors import Fault, Place
from padmask.verify.data.findings import FindingCollector


def place(row):
    return Place("a", "row", row)


def test_bad_rows_keep_first_reasons():
    found = FindingCollector()
    found.add_bad_rows([Fault(row, str(row), "ids") for row in range(9)], place)
    [bad] = found.collected()
    assert (bad.count, bad.reasons) == (9, ["0", "1", "2", "3", "4"])


def test_one_finding_per_column():
    found = FindingCollector()
    for column in ("ids", "labels", "ids"):
        found.add_rows("non-finite", np.array([False, True]), place, column)
    assert [(its.column, its.count) for its in found.collected()] == [("ids", 2), ("labels", 1)]
    assert found.has("non-finite", "labels") and not found.has("non-finite", None)


def test_no_violation_is_no_finding():
    found = FindingCollector()
    found.add_rows("non-finite", np.array([False]), place)
    found.add_count("no-end-mark", 0, [])
    assert found.collected() == []


def test_copies_are_independent():
    found, copy = FindingCollector(), FindingCollector()
    found.add_count("non-finite", 1, [place(3)])
    copy.copy_findings(found)
    found.join_findings(copy)
    assert [(its.count, len(its.examples)) for its in (*found.collected(), *copy.collected())] == [
        (2, 2),
        (1, 1),
    ]
