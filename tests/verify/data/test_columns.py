"""Which columns `verify` audits, and which rows are bad, on small files of every format."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import has_facts

from padmask import PadSpec, pad_file
from padmask.errors import DataError
from padmask.inspect.inspect_file import inspect_file
from padmask.spec.files import ReadOptions
from padmask.verify.data.columns import accepts_pad_value
from padmask.verify.verify_file import verify_file


@pytest.fixture(params=["jsonl", "parquet", "arrow"])
def write(request, tmp_path):
    """Write rows to a file of each format, and return its path."""

    def to_file(*rows):
        path = tmp_path / f"in.{request.param}"
        if request.param == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            return path
        table = pa.Table.from_pylist(list(rows))
        if request.param == "parquet":
            pq.write_table(table, path)
        else:
            with pa.ipc.new_file(path, table.schema) as file:
                file.write_table(table)
        return path

    return to_file


def audited(path, **options):
    """The findings: number of rows by rule and column."""
    report = verify_file(path, **options)
    return {(finding.rule.name, finding.column): finding.count for finding in report.data}


# --- labels ----------------------------------------------------------------------------------------------


def test_null_labels_are_bad_rows(write):
    path = write({"input_ids": [5, 6], "labels": [1, 2]}, {"input_ids": [7], "labels": None})
    assert audited(path) == {("bad-row", "labels"): 1}


def test_labels_that_start_with_null(write):
    path = write({"input_ids": [5], "labels": None}, {"input_ids": [7, 8], "labels": [1, 2]})
    assert audited(path) == {("bad-row", "labels"): 1}


def test_first_rows_decide_as_in_pad(write, tmp_path):
    same, short = {"input_ids": [5, 6], "labels": [1, 2]}, {"input_ids": [5, 6], "labels": [1]}
    path = write(*[same] * 1000, short)
    assert audited(path) == {("bad-row", None): 1}
    with pytest.raises(DataError):
        pad_file(path, tmp_path / "out.jsonl")
    path = write(*[same] * 900, *[short] * 100)
    assert audited(path) == {("bad-row", None): 100}
    path = write(*[same] * 899, *[short] * 101)
    assert audited(path) == {("misaligned-column", "labels"): 101}
    differ = "'labels' (lengths differ from 'input_ids'"
    assert verify_file(path).notes == (f"not checked: {differ}). To check: -c labels",)
    [note] = pad_file(path, tmp_path / "out.jsonl").notes
    assert note.startswith(f"not padded: {differ} in 101 of the first 1,000 rows)")
    assert verify_file(path, columns=["input_ids"]).notes == ()


def test_nearly_equal_column_is_checked_with_the_ids(write):
    same, short = {"input_ids": [5, 6], "tags": [1, 2]}, {"input_ids": [5, 6], "tags": [1]}
    path = write(*[same] * 9, short)
    [note] = verify_file(path).notes
    assert note.endswith("To check: -c input_ids -c tags")
    assert audited(path, columns=["input_ids", "tags"]) == {("bad-row", None): 1}


def test_late_labels_are_reported_as_in_pad(write, tmp_path):
    rows = [{"input_ids": [5], "labels": None}] * 1000
    path = write(*rows, {"input_ids": [7, 8], "labels": [1]})
    late = "'labels' (not in the first 1,000 rows)"
    assert verify_file(path).notes == (
        f"not checked: {late}. To check it, move a row that has all fields to the start of the input",
    )
    assert pad_file(path, tmp_path / "out.jsonl").notes == (
        f"not padded: {late}. To pad it, move a row that has all fields to the start of the input",
    )
    assert verify_file(path, columns=["input_ids"]).notes == ()


def test_columns_of_nulls_are_not_reported(write, tmp_path):
    path = write(*[{"input_ids": [5], "labels": None}, {"input_ids": [5, 6], "labels": None}])
    assert (verify_file(path).notes, pad_file(path, tmp_path / "out.jsonl").notes) == ((), ())


@pytest.mark.parametrize(
    "labels",
    [[[1, 2, 3], [4, 5, 6]], [1, 2], [[0.5, 0.5], [0.5]], [None, None], [[], []]],
    ids=["own-length", "scalars", "floats", "null", "empty"],
)
def test_other_labels_are_not_audited(write, labels):
    first, second = labels
    path = write({"input_ids": [5, 6], "labels": first}, {"input_ids": [7], "labels": second})
    assert audited(path) == {}


def test_labels_on_foreign_padding(write):
    path = write({"input_ids": [5, 6, 0], "attention_mask": [1, 1, 0], "labels": [1, 2, 0]})
    assert audited(path) == {("labels-on-padding", "labels"): 1}
    path = write({"input_ids": [5, 6, 0], "attention_mask": [1, 1, 0], "labels": [1, 2, -100]})
    assert audited(path) == {}


def test_requested_columns_only(write):
    path = write({"input_ids": [5, 6], "labels": [1, 2]}, {"input_ids": [7], "labels": None})
    assert audited(path, columns=["input_ids"]) == {}


def test_inspect_leaves_labels_out(write):
    path = write({"input_ids": [5, 6], "labels": [1, 2]}, {"input_ids": [7], "labels": None})
    assert inspect_file(path).stats.rows == 2


@pytest.mark.parametrize("mask", ["mask", "attention_mask"])
def test_short_labels_beside_padded_ids(write, mask):
    first = {"input_ids": [1, 2, 0], mask: [1, 1, 0], "labels": [1, 2, -100]}
    path = write(first, {"input_ids": [1, 2, 3], mask: [1, 1, 1], "labels": [1, 2]})
    assert audited(path) == {}
    assert [note[:21] for note in verify_file(path).notes] == ["not checked: 'labels'"]
    path = write(*[first] * 1000, {"input_ids": [1, 2, 3], mask: [1, 1, 1], "labels": [1, 2]})
    assert audited(path) == {("bad-row", "labels"): 1}
    path = write(first, {"input_ids": [1, 2, 3], mask: [1, 1], "labels": [1, 2, 3]})
    assert audited(path) == {("mask-shape", mask): 1}


@pytest.mark.parametrize(("differ", "rule"), [(1, "bad-row"), (2, "misaligned-column"), (6, None)])
def test_misaligned_labels(write, differ, rule):
    good, bad = {"input_ids": [1, 2], "labels": [5, 6]}, {"input_ids": [1, 2], "labels": [5]}
    path = write(*[good] * (10 - differ), *[bad] * differ)
    assert audited(path) == ({} if rule is None else {(rule, "labels" if differ > 1 else None): differ})


def test_labels_without_padding(write):
    same = [{"input_ids": [1, 2], "labels": [5, 6]}] * 2
    assert audited(write(*same), columns=["labels"]) == {}
    path = write(*same, {"input_ids": [1], "labels": [5]})
    assert audited(path, columns=["labels"]) == {("labels-on-padding", "labels"): 1}


# --- masks beside the tokens -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["attention_mask", "padding_mask"])
def test_ragged_mask_beside_padded_ids(write, name):
    path = write({"input_ids": [5, 6, 9], name: [1, 1]}, {"input_ids": [5, 9, 9], name: [1]})
    assert audited(path) == {("mask-shape", name): 2}


def test_ragged_mask_beside_the_mask(write):
    rows = [{"input_ids": [5, 6, 0], "mask": [1, 1, 0], "attention_mask": [1, 1]}]
    rows += [{"input_ids": [5, 0, 0], "mask": [1, 0, 0], "attention_mask": [1]}]
    assert audited(write(*rows)) == {("mask-shape", "attention_mask"): 2}


def test_mask_of_ones_after_padding(write, tmp_path):
    path = write({"input_ids": [5, 6], "attention_mask": [1, 1]}, {"input_ids": [5], "attention_mask": [1]})
    pad_file(path, tmp_path / "padded.parquet", columns=["input_ids"])
    assert audited(tmp_path / "padded.parquet") == {}


def test_mask_of_raw_rows_is_fine(write):
    path = write({"input_ids": [5, 6], "attention_mask": [1, 1]}, {"input_ids": [5], "attention_mask": [1]})
    assert audited(path) == {}


def test_raw_rows_need_no_mask(write, tmp_path):
    path = write({"input_ids": [5, 6], "attention_mask": [1, 1]}, {"input_ids": [5], "attention_mask": None})
    assert audited(path) == {}
    other = path.rename(tmp_path / f"other{path.suffix}")
    assert audited([other, write({"input_ids": [5, 6]})]) == {}


def test_padding_after_the_first_rows(write):
    good = [{"input_ids": [5, 6], "attention_mask": [1, 1]}, {"input_ids": [5], "attention_mask": [1]}]
    path = write(*good * 1000, {"input_ids": [5, 9], "attention_mask": [1, 0]})
    assert audited(path) == {("bad-row", "attention_mask"): 1}


def test_padded_rows_after_full_rows(write):
    full = {"input_ids": [5, 6], "attention_mask": [1, 1]}
    path = write(*[full] * 1000, {"input_ids": [5, 0], "attention_mask": [1, 0]})
    assert audited(path) == {}
    assert inspect_file(path).stats.tokens == 2001


def test_inverted_mask(write):
    path = write({"input_ids": [5, 6], "mask": [0, 0]}, {"input_ids": [7, 0], "mask": [0, 1]})
    [note] = verify_file(path).notes
    assert has_facts(note, "'mask'", "inverted", "--mask-polarity padding")
    for polarity in ("padding", "real"):
        assert not verify_file(path, mask_polarity=polarity).notes


def test_mask_of_other_tokens(write):
    first = {"input_ids": [5, 6], "attention_mask": [1, 1], "decoder_input_ids": [7]}
    path = write(first, {"input_ids": [5], "attention_mask": [1], "decoder_input_ids": [7, 8, 9]})
    assert audited(path, columns=["decoder_input_ids"]) == {}


# --- bad rows --------------------------------------------------------------------------------------------


def test_other_rows_are_audited(write):
    path = write({"input_ids": None}, {"input_ids": [5, 0]}, {"input_ids": []}, {"input_ids": [7]})
    assert audited(path) == {
        ("bad-row", "input_ids"): 1,
        ("pad-value-in-tokens", "input_ids"): 1,
        ("row-fully-masked", None): 1,
    }


def test_bad_rows_of_padded_data(write):
    good = {"input_ids": [5, 6, 0], "mask": [1, 1, 0]}
    path = write({"input_ids": None, "mask": [1, 1, 0]}, good, {"input_ids": [5, 6, 9], "mask": [1, 1, 0]})
    # The first good row decides the length of the rows, and most rows the pad value.
    assert audited(path, columns=["input_ids=9"])[("bad-row", "input_ids")] == 1
    assert ("rows-unequal", "input_ids") not in audited(path)


def test_null_mask_of_padded_rows(write):
    good = {"input_ids": [5, 6, 0], "mask": [1, 1, 0]}
    assert audited(write(good, {"input_ids": [5, 6, 0], "mask": None})) == {("mask-shape", "mask"): 1}


def test_places_of_bad_rows(write):
    path = write({"input_ids": [5]}, {"input_ids": None}, {"input_ids": [6]}, {"input_ids": [], "x": 1})
    bad, empty = verify_file(path).data
    first = 1 if path.suffix == ".jsonl" else 0
    assert [place.number for place in bad.examples] == [first + 1]
    assert [place.number for place in empty.examples] == [first + 3]


def test_inspect_has_the_same_findings(write):
    path = write({"input_ids": [5]}, {"input_ids": None}, {"input_ids": []})
    assert inspect_file(path).health == verify_file(path).data


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
@pytest.mark.parametrize("threads", [1, 3])
def test_batches_do_not_matter(tmp_path, batch_rows, threads):
    rows = ['{"input_ids": [5, 6], "labels": [1, 2]}', "no JSON", '{"input_ids": [5], "labels": null}'] * 4
    (tmp_path / "in.jsonl").write_text("\n".join(rows))
    report = verify_file(tmp_path / "in.jsonl", files=ReadOptions(batch_rows=batch_rows, threads=threads))
    assert [(bad.column, bad.count) for bad in report.data] == [("labels", 4), (None, 4)]
    assert [[place.number for place in bad.examples] for bad in report.data] == [[3, 6, 9, 12], [2, 5, 8, 11]]


def test_percentile_without_bad_rows(tmp_path):
    rows = ['{"input_ids": [5, 6]}', '{"input_ids": [5, 0]}', '{"input_ids": null}', "no JSON"]
    (tmp_path / "in.jsonl").write_text("\n".join(rows))
    assert audited(tmp_path / "in.jsonl", spec=PadSpec(maxlen="p90"))["bad-row", "input_ids"] == 1


# --- columns in which the pad value is a token -------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["token_type_ids", "special_tokens_mask", "loss_mask", "assistant_masks", "position_ids", "ner_tags"],
)
def test_zeros_are_valid(write, name):
    path = write({"input_ids": [5, 6], name: [0, 3]}, {"input_ids": [7], name: [0]})
    assert audited(path, columns=["input_ids", name]) == {}


@pytest.mark.parametrize("name", ["input_ids", "tokens", "decoder_input_ids", "features", "sequence", "ids"])
def test_zeros_are_not_valid(name):
    assert not accepts_pad_value(name)


def test_weights_beside_the_tokens(write):
    path = write({"input_ids": [5, 6], "advantages": [0.0, 3.5]}, {"input_ids": [7], "advantages": [0.5]})
    assert audited(path, columns=["input_ids", "advantages"]) == {}


def test_column_of_another_mask(tmp_path):
    rows = [
        {"input_ids": [5, 6, 7], "labels": [1, 2, -100], "mask": [1, 1, 1], "lm": [1, 1, 0]},
        {"input_ids": [5, 0, 0], "labels": [1, 2, 3], "mask": [1, 0, 0], "lm": [1, 1, 1]},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = verify_file(tmp_path / "in.jsonl")
    assert list(report.data) == []
    assert [("labels" in note, "lm" in note) for note in report.notes] == [(True, True)]
