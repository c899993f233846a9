"""Violations of the rules about whole files."""

from __future__ import annotations

from padmask.verify.data.file_findings import report_files, report_sides, report_types
from padmask.verify.data.findings import FindingCollector


def found(collector):
    return {
        its.rule.name: (its.count, [str(place) for place in its.examples]) for its in collector.collected()
    }


def test_mixed_types():
    collector = FindingCollector()
    report_types(collector, "ids", {"a": "int32", "b": "int64", "c": "int32"})
    assert found(collector) == {"mixed-dtypes": (1, ["b (int64)"])}
    [finding] = collector.collected()
    assert finding.column == "ids"
    assert finding.detail.endswith("in the first file is int32")


def test_mixed_sides():
    collector = FindingCollector()
    report_sides(collector, "mask", {"a": "post", "b": "pre", "c": "post"})
    assert found(collector) == {"mixed-sides": (1, ["b (pre)"])}
    assert collector.collected()[0].column == "mask"


def test_files():
    collector = FindingCollector()
    report_files(collector, ["a.parquet"], ["a copy.jsonl"], ["cut.arrow", "b.arrow"])
    assert found(collector) == {
        "unmarked-padding": (1, ["a.parquet"]),
        "unlisted-file": (1, ["a copy.jsonl"]),
        "no-end-mark": (2, ["cut.arrow", "b.arrow"]),
    }


def test_good_files():
    collector = FindingCollector()
    report_types(collector, "ids", {"a": "int32", "b": "int32"})
    report_sides(collector, "mask", {"a": "post", "b": "post"})
    report_files(collector, [], [], [])
    assert collector.collected() == []
