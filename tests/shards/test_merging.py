"""Adding the findings of two shards does not change the operands."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from padmask.core.length_stats import LengthStats
from padmask.core.ragged import Ragged
from padmask.formats.jsonl.types import TypeSurvey
from padmask.inspect.read_files import InspectedRows
from padmask.stream.survey import Survey
from padmask.verify.data.rules import Audit, AuditColumn


def survey(*values: Any) -> Survey:
    types = TypeSurvey()
    types.add("x", values, [f"line {i}" for i in range(len(values))])
    return Survey(LengthStats.of([1] * len(values)), 1, "line 0", types, len(values))


def types_of(seen: Survey) -> str:
    assert seen.types is not None
    return str(seen.types.schema())


def test_surveys_are_not_changed():
    left, right = survey([1], [2]), survey([0.5], [1])
    before = types_of(left), types_of(right)

    sums = [left + right, left + right]

    assert (types_of(left), types_of(right)) == before
    assert types_of(sums[0]) == types_of(sums[1]) != before[0]


def test_nested_surveys_are_not_changed():
    left, right = survey({"a": [1]}), survey({"a": [0.5], "b": "text"})
    before = types_of(left)

    assert types_of(left + right) != before
    assert types_of(left) == before


def glance(*ids: int) -> InspectedRows:
    audit = Audit([AuditColumn("x", value=0)])
    audit.add_raw({"x": Ragged(np.array(ids), np.array([0]), np.array([len(ids)]))}, "post", "row {}".format)
    return InspectedRows(LengthStats.of([len(ids)]), [audit], [])


def found(seen: InspectedRows) -> Any:
    [audit] = seen.audits
    return [finding.as_dict() for finding in audit.findings()], audit.id_range("x")


def test_inspections_are_not_changed():
    left, right = glance(0, 1, 5), glance(0, 3, 2000)
    before = json.dumps([found(left), found(right)])

    sums = [left + right, left + right]

    assert json.dumps([found(left), found(right)]) == before
    assert found(sums[0]) == found(sums[1])
    assert found(sums[0])[0][0]["count"] == 2
