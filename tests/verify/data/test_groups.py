"""The audit of columns with different masks: all groups that the metadata describes are checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pairs import each_value

from padmask import MaskSpec, PadSpec, pad_file, pad_table
from padmask.formats.dataset import open_inputs
from padmask.inspect.inspect_file import inspect_file
from padmask.spec.files import ReadOptions
from padmask.spec.pad import RowPolicy
from padmask.stream.job import PadRequest
from padmask.verify.data.audit_data import AuditRequest, RuleSpec, audit_and_sample
from padmask.verify.data.findings import Finding
from padmask.verify.verify_file import verify_file

# The labels have a padded length of 3, and the ids of 4.
ROWS: Mapping[str, Any] = {
    "input_ids": [[5, 6, 7, 8], [9], [3, 4]],
    "labels": [[1], [2, 3, 4], [6, 7]],
}

FIRST, LABELS = ["input_ids"], ["labels"]


@pytest.fixture
def padded() -> pa.Table:
    """Ids with the mask `mask`, and labels with the mask `labels_mask` and the lengths `labels_n`."""
    first = pad_table(pa.table(ROWS), columns=FIRST, mask=MaskSpec(length_column="n"))
    labels = MaskSpec(column="labels_mask", length_column="labels_n")
    return pad_table(first, columns=["labels=-100"], spec=PadSpec(padding="pre"), mask=labels)


def changed(table: pa.Table, column: str, row: int, value: Any) -> pa.Table:
    """Return a table with another value in one row of a column."""
    place = table.schema.get_field_index(column)
    values = table.column(column).to_pylist()
    values[row] = value
    return table.set_column(
        place, table.schema.field(place), pa.array(values, table.schema.field(place).type)
    )


def found(path: Path, **options: Any) -> list[tuple[str, str | None, int]]:
    return sorted(map(summary, verify_file(path, **options).data), key=str)


def summary(finding: Finding) -> tuple[str, str | None, int]:
    return finding.rule.name, finding.column, finding.count


BROKEN = {
    "value": ("labels", 0, [9, -100, 1], ("padding-not-pad-value", "labels", 1)),
    "hole": ("labels_mask", 1, [True, False, True], ("mask-not-contiguous", "labels_mask", 1)),
    "side": ("labels_mask", 0, [True, False, False], ("mask-wrong-side", "labels_mask", 1)),
    "mask-shape": ("labels_mask", 0, [True], ("mask-shape", "labels_mask", 1)),
    "length": ("labels_n", 2, 3, ("mask-length", "labels_n", 1)),
    "null-length": ("labels_n", 2, None, ("mask-length", "labels_n", 1)),
    "null-row": ("labels", 2, None, ("bad-row", "labels", 1)),
    "token": ("input_ids", 1, [9, 0, 0, 7], ("padding-not-pad-value", "input_ids", 1)),
    "mask": ("mask", 1, [True, False, True, False], ("mask-not-contiguous", "mask", 1)),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_every_group_is_checked(tmp_path: Path, padded: pa.Table, fault: str) -> None:
    column, row, value, expected = BROKEN[fault]
    path = tmp_path / "in.parquet"
    pq.write_table(changed(padded, column, row, value), path)
    every = found(path)
    assert expected in every
    # One run finds the same as one run for each group.
    assert every == sorted(found(path, columns=FIRST) + found(path, columns=LABELS), key=str)
    assert every == found(path, columns=LABELS + FIRST)
    assert every == sorted(map(summary, inspect_file(path).health), key=str)


def test_sound_groups_have_no_findings(tmp_path: Path, padded: pa.Table) -> None:
    pq.write_table(padded, tmp_path / "in.parquet")
    # The labels are padded at the start.
    assert found(tmp_path / "in.parquet") == []


def test_lengths_mark_a_group(tmp_path: Path) -> None:
    table = pad_table(pa.table(ROWS), columns=FIRST)
    labels = pad_table(table, columns=["labels=-100"], mask=MaskSpec(column=None, length_column="labels_n"))
    pq.write_table(changed(labels, "labels_n", 1, 7), tmp_path / "in.parquet")
    assert found(tmp_path / "in.parquet") == [("length-range", "labels_n", 1)]


def test_mask_of_another_group(tmp_path: Path) -> None:
    table = pad_table(pa.table(ROWS), columns=FIRST)
    table = pad_table(table, columns=["labels=-100"], mask=MaskSpec(column="padding_mask"))
    pq.write_table(table, tmp_path / "in.parquet")
    assert found(tmp_path / "in.parquet") == []


def test_mask_of_a_group_is_missing(tmp_path: Path, padded: pa.Table) -> None:
    path = tmp_path / "in.parquet"
    broken = changed(padded, "labels", 0, [9, -100, 1])
    pq.write_table(broken.drop_columns(["mask", "n"]), path)
    assert ("padding-not-pad-value", "labels", 1) in found(path)
    assert ("unmarked-padding", None, 1) in found(path)


def test_unmarked_group_is_in_the_notes(tmp_path: Path, padded: pa.Table) -> None:
    rows = {**ROWS, "tags": [[1], [2, 3], [4]]}
    table = pad_table(pa.table(rows), columns=["tags"], mask=MaskSpec(column=None))
    table = pad_table(table, columns=FIRST)
    table = pad_table(table, columns=["labels=-100"], mask=MaskSpec(column="labels_mask"))
    pq.write_table(changed(table, "labels", 0, [9, -100, 1]), tmp_path / "in.parquet")
    report = verify_file(tmp_path / "in.parquet")
    assert [summary(finding)[:2] for finding in report.data if finding.rule.severity == "error"] == [
        ("padding-not-pad-value", "labels")
    ]
    assert report.notes == ("not checked: 'tags' (no column marks the padding)",)


def test_labels_do_not_empty_rows(tmp_path: Path) -> None:
    rows = {"input_ids": [[5, 6], [7]], "labels": [[1], []]}
    table = pad_table(pa.table({name: pa.array(rows[name], pa.list_(pa.int32())) for name in rows}), FIRST)
    table = pad_table(table, columns=["labels=-100"], mask=MaskSpec(column="labels_mask"))
    pq.write_table(table, tmp_path / "in.parquet")
    asked = PadRequest(None, PadSpec(), MaskSpec(column=None), RowPolicy())
    with closing(open_inputs([str(tmp_path / "in.parquet")], ReadOptions())) as dataset:
        data = audit_and_sample(dataset, AuditRequest(asked, RuleSpec()))
    assert ("row-fully-masked", "labels_mask", 1) in map(summary, data.findings)
    # Models run on the ids.
    assert not data.has_empty_rows


def test_files_of_a_folder_are_checked(tmp_path: Path, padded: pa.Table) -> None:
    for name, table in (("a", padded), ("b", changed(padded, "labels_mask", 1, [True, False, True]))):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    [finding] = [one for one in verify_file(tmp_path).data if one.rule.name == "mask-not-contiguous"]
    assert (finding.column, str(finding.examples[0])) == ("labels_mask", f"{tmp_path}/b.parquet, row 1")
    assert ("mask-not-contiguous", "labels_mask", 1) in map(summary, inspect_file(tmp_path).health)


# --- companions in inspect -------------------------------------------------------------------------------

GOOD = {"input_ids": [5, 6], "labels": [1, 2]}
BAD_COMPANIONS = {
    "lengths": {"input_ids": [5, 6, 7], "labels": [1]},
    "null": {"input_ids": [5, 6, 7], "labels": None},
    "missing": {"input_ids": [5, 6, 7]},
    "null-token": {"input_ids": [5, 6, 7], "labels": [1, None, 2]},
}


@each_value(fault=BAD_COMPANIONS.keys(), suffix=["jsonl", "parquet"])
def test_inspect_checks_companions(tmp_path: Path, fault: str, suffix: str) -> None:
    rows, path = [GOOD] * 1000 + [BAD_COMPANIONS[fault], {"input_ids": [9], "labels": [3]}], tmp_path / "in"
    path = path.with_suffix(f".{suffix}")
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    seen = inspect_file(path)
    assert [finding.rule.name for finding in seen.health] == ["bad-row"]
    assert [one.as_dict() for one in seen.health] == [one.as_dict() for one in verify_file(path).data]
    # The tokens of a row with bad labels count.
    assert (seen.stats.rows, seen.stats.tokens) == (1002, 2000 + 3 + 1)


def test_inspect_checks_label_padding(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"input_ids": [[5, 6], [7]], "labels": [[1, 2], [3]]}), path)
    pad_file(path, tmp_path / "out.parquet", columns=["input_ids", "labels=0"])
    [finding] = [one for one in inspect_file(tmp_path / "out.parquet").health if one.column == "labels"]
    assert summary(finding) == ("labels-on-padding", "labels", 1)
