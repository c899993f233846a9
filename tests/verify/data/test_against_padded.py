"""`verify --against`: padded rows have the tokens of their input."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairs import each_value
from raised import has_facts, raises_error
from tiers import represented

from padmask import MaskSpec, PadSpec, RowPolicy, SpecError, WindowSpec, pad_dataset, pad_file
from padmask.core.metadata import METADATA_KEY, RUN_KEY
from padmask.core.padded_run import PaddedRun
from padmask.spec.batches import BatchSpec
from padmask.spec.files import FileOptions, ReadOptions
from padmask.spec.pack import PackSpec
from padmask.verify.verify_file import verify_file

ANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LENGTHS = st.lists(st.integers(0, 30), min_size=1, max_size=25)
WIDTH = 8
SHAPES = [
    {},
    {"truncating": "pre", "padding": "pre"},
    {"keep_first": 1, "keep_last": 2},
    {"keep_first": 2, "truncating": "pre"},
    {"windows": WindowSpec(overlap=2)},
    {"windows": WindowSpec(overlap=1, labels="new"), "keep_first": 1, "keep_last": 2},
    {"windows": WindowSpec(), "truncating": "pre", "padding": "pre"},
    {"batches": BatchSpec(tokens=24)},
]
# Each shape with one format, and each format with several shapes.
PARQUET_FIRST = {f"{shape}-{suffix}" for shape, suffix in zip(SHAPES, ["parquet", "jsonl"] * 4, strict=True)}
# Windows with new labels, and windows that are truncated at the start, are left out.
JSONL_FIRST = {f"{SHAPES[place]}-{'parquet' if place % 2 else 'jsonl'}" for place in (0, 1, 2, 3, 4, 7)}


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pad(folder, lengths, suffix="parquet", columns=None, mask=None, policy=None, **spec):
    rows = [
        {"input_ids": [*range(100 * i + 1, 100 * i + n + 1)], "labels": [i] * n}
        for i, n in enumerate(lengths)
    ]
    write_rows(folder / "in.jsonl", rows)
    path = folder / f"out.{suffix}"
    shape = PadSpec(maxlen=WIDTH, **spec)
    pad_file(folder / "in.jsonl", path, columns=columns, spec=shape, mask=mask, policy=policy)
    return path


def check(path, against="in.jsonl", **options):
    """Return the findings of the comparison, by rule."""
    found = verify_file(path, against=path.parent / against, **options).data
    return {
        its.rule.name: its
        for its in found
        if its.rule.name not in ("pad-value-in-tokens", "row-fully-masked")
    }


def change(path, name, row, change_row):
    """Change a row of a column of a Parquet file."""
    table = pq.read_table(path)
    values = table[name].to_pylist()
    change_row(values[row])
    place, schema = table.schema.get_field_index(name), table.schema
    changed = table.set_column(place, schema.field(place), pa.array(values, schema.field(place).type))
    pq.write_table(changed.replace_schema_metadata(schema.metadata), path)


@pytest.mark.slow
@represented("shape,suffix", product(SHAPES, ["parquet", "jsonl"]), by=PARQUET_FIRST)
@ANY
@given(lengths=LENGTHS)
def test_good_files_pass(tmp_path, lengths, shape, suffix):
    found = check(pad(tmp_path, lengths, suffix, **shape), mask_column="mask")
    cut = 0 if "windows" in shape else sum(length > WIDTH for length in lengths)
    assert {rule: its.count for rule, its in found.items()} == ({"tokens-lost": cut} if cut else {})


@pytest.mark.parametrize("suffix", ["npz", "arrow", "feather"])
def test_formats_find_lost_tokens(tmp_path, suffix):
    path = pad(tmp_path, [3, 9, 0, 8], suffix)
    assert list(check(path)) == ["tokens-lost"]


def test_npy_folder(tmp_path):
    pad(tmp_path, [3, 9, 0, 8])
    pad_file(tmp_path / "in.jsonl", f"{tmp_path}/arrays.npy/", spec=PadSpec(maxlen=WIDTH))
    assert list(check(tmp_path / "arrays.npy")) == ["tokens-lost"]
    ids = np.load(tmp_path / "arrays.npy/input_ids.npy")
    ids[1, 2] = 999
    np.save(tmp_path / "arrays.npy/input_ids.npy", ids)
    assert has_facts(check(tmp_path / "arrays.npy")["differs-from-input"].detail, "position 2", 999, 103)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_changed_token(tmp_path, shape):
    path = pad(tmp_path, [3, 5, 20, 6], **shape)
    rows = pq.read_table(path)["input_ids"].to_pylist()
    row = next(row for row, ids in enumerate(rows) if 103 in ids)
    change(path, "input_ids", row, lambda ids: ids.__setitem__(ids.index(103), 999))
    found = check(path)["differs-from-input"]
    assert (found.column, [its.number for its in found.examples]) == ("input_ids", [row])
    assert has_facts(found.detail, f"position {rows[row].index(103)}", 999, 103, "in.jsonl, line 2")


@pytest.mark.slow
@represented("shape,suffix", product(SHAPES, ["parquet", "jsonl"]), by=JSONL_FIRST)
@ANY
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=9), data=st.data())
def test_any_change_is_found(tmp_path, lengths, shape, suffix, data):
    path = pad(tmp_path, lengths, suffix, **shape)
    name = data.draw(st.sampled_from(["input_ids", "labels"]))
    if suffix == "parquet":
        rows = pq.read_table(path).to_pylist()
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    places = [(row, at) for row, its in enumerate(rows) for at, real in enumerate(its["mask"]) if real]
    row, at = data.draw(st.sampled_from(places))
    if suffix == "parquet":
        change(path, name, row, lambda values: values.__setitem__(at, 31_000))
    else:
        rows[row][name][at] = 31_000
        write_rows(path, rows)
    assert "differs-from-input" in check(path, mask_column="mask")


def drop(path, row):
    table = pq.read_table(path)
    kept = [number for number in range(len(table)) if number != row]
    pq.write_table(table.take(kept), path)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_missing_row(tmp_path, shape):
    path = pad(tmp_path, [3, 5, 6], **shape)
    row = next(row for row, ids in enumerate(pq.read_table(path)["input_ids"].to_pylist()) if 103 in ids)
    drop(path, row)
    found = check(path)
    assert list(found) == ["not-padded"]
    assert [its.number for its in found["not-padded"].examples] == [2]


def swap(path, suffix, first=0, second=1):
    if suffix == "parquet":
        table = pq.read_table(path)
        order = [*range(len(table))]
        order[first], order[second] = second, first
        pq.write_table(table.take(order), path)
    else:
        lines = path.read_text().splitlines(keepends=True)
        lines[first], lines[second] = lines[second], lines[first]
        path.write_text("".join(lines))


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_swapped_rows(tmp_path, suffix):
    path = pad(tmp_path, [3, 9, 5, 0, 6], suffix)
    swap(path, suffix, 1, 2)
    found = check(path, mask_column="mask")
    assert found.keys() == {"differs-from-input", "tokens-lost"}
    assert has_facts(found["differs-from-input"].detail, "order")


def test_swapped_labels(tmp_path):
    rows = [{"input_ids": [5, 6], "labels": [i, i]} for i in range(3)]
    write_rows(tmp_path / "in.jsonl", rows)
    pad_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", spec=PadSpec(maxlen=2))
    swap(tmp_path / "out.parquet", "parquet")
    found = check(tmp_path / "out.parquet")["differs-from-input"]
    assert (found.column, found.count) == ("labels", 2)


def test_equal_rows_are_in_order(tmp_path):
    write_rows(tmp_path / "in.jsonl", [{"input_ids": ids} for ids in ([5, 6, 7], [5, 6], [8], [5, 6])])
    pad_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", spec=PadSpec(maxlen=2))
    assert list(check(tmp_path / "out.parquet")) == ["tokens-lost"]


def test_other_order_of_files(tmp_path):
    files = [write_rows(tmp_path / f"{i}.jsonl", [{"input_ids": [i, 7]}, {"input_ids": [7]}]) for i in (1, 2)]
    pad_file(files[::-1], tmp_path / "out.parquet")
    found = verify_file(tmp_path / "out.parquet", against=files).data
    assert not [its for its in found if its.rule.compares]


def test_equal_tokens_in_two_files(tmp_path):
    """Rows of both files have the same tokens, so only the labels show the order of the files."""
    rows = [{"input_ids": [7], "labels": [i]} for i in range(2)]
    files = [write_rows(tmp_path / f"{row['labels'][0]}.jsonl", [row]) for row in rows]
    pad_file(files[::-1], tmp_path / "out.parquet")
    found = verify_file(tmp_path / "out.parquet", against=files).data
    assert not [its for its in found if its.rule.compares]


def set_number(path, name, row, number):
    """Change a number in a row of a Parquet or JSON Lines file."""
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows[row][name] = number
        write_rows(path, rows)
    else:
        table = pq.read_table(path)
        values, place = table[name].to_pylist(), table.schema.get_field_index(name)
        values[row] = number
        field = table.schema.field(place)
        pq.write_table(table.set_column(place, field, pa.array(values, field.type)), path)


@pytest.mark.parametrize("number", [77, 1])
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_wrong_source(tmp_path, suffix, number):
    path = pad(tmp_path, [3, 5, 1], suffix, batches=BatchSpec(tokens=24))
    set_number(path, "source_row", 0, number)
    assert "differs-from-input" in check(path, mask_column="mask")


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize(
    ("name", "number"), [("source_stop", 9), ("source_row", 1), ("window", 2), ("source_start", 7)]
)
def test_wrong_window(tmp_path, suffix, name, number):
    path = pad(tmp_path, [14, 5], suffix, windows=WindowSpec())
    set_number(path, name, 1, number)
    assert "differs-from-input" in check(path, mask_column="mask")


def forget_run(path):
    """Remove the description of the run from the metadata, as in files of earlier versions of padmask."""
    table = pq.read_table(path)
    described = json.loads(table.schema.metadata[METADATA_KEY])
    del described[RUN_KEY]
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(described)}), path)


@pytest.mark.parametrize("lengths", [[3, 0, 5], [3, 9, 5], [3, 9, 9, 5]])
def test_metadata_prove_missing_row(tmp_path, lengths):
    """The metadata says that no row was dropped, so a row without tokens and a long row are missing."""
    path = pad(tmp_path, lengths)
    assert "not-padded" not in check(path)
    drop(path, 1)
    assert [its.number for its in check(path)["not-padded"].examples] == [2]


def test_missing_row_beside_dropped_row(tmp_path):
    """If long rows were dropped, a missing row without tokens is still an error."""
    path = pad(tmp_path, [3, 9, 0, 5], policy=RowPolicy(overlong="drop"))
    assert has_facts(check(path)["tokens-lost"].detail, "1 row", "--overlong drop")
    drop(path, 1)
    found = check(path)
    assert {rule: [its.number for its in found[rule].examples] for rule in found} == {
        "not-padded": [3],
        "tokens-lost": [2],
    }


def test_dropped_for_another_column(tmp_path):
    """The metadata also counts rows that were dropped because a column with its own length is too long."""
    rows = [
        {"input_ids": [i] * n, "y": [i] * m} for i, (n, m) in enumerate(((3, 2), (4, 9), (9, 3), (5, 4)), 1)
    ]
    write_rows(tmp_path / "in.jsonl", rows)
    path = tmp_path / "out.parquet"
    spec, policy = PadSpec(maxlen=WIDTH, own_lengths={"y": 6}), RowPolicy(overlong="drop")
    mask = MaskSpec(own={"y": "y_mask"})
    pad_file(tmp_path / "in.jsonl", path, columns=["input_ids"], spec=spec, mask=mask, policy=policy)
    assert list(check(path)) == ["tokens-lost"]
    drop(path, 1)
    assert has_facts(check(path)["not-padded"].detail, "pad dropped only 2 rows")


def test_skipped_for_another_column(tmp_path):
    """The metadata also counts rows that were skipped because a column with its own length is bad."""
    rows = [{"input_ids": [1, 2], "y": [1]}, {"input_ids": [3], "y": ["x"]}, {"input_ids": [4], "y": [2]}]
    write_rows(tmp_path / "in.jsonl", rows)
    path, spec = tmp_path / "out.parquet", PadSpec(maxlen=WIDTH, own_lengths={"y": 6})
    policy, mask = RowPolicy(on_error="skip"), MaskSpec(own={"y": "y_mask"})
    pad_file(tmp_path / "in.jsonl", path, columns=["input_ids"], spec=spec, mask=mask, policy=policy)
    assert has_facts(check(path)["tokens-lost"].detail, "1 row", "--on-error skip")
    assert "not-padded" not in check(path)
    drop(path, 1)
    found = verify_file(path, against=tmp_path / "in.jsonl").data
    # In the column `y`, the second row is bad, so only the third row is missing.
    assert [its.count for its in found if its.rule.name == "not-padded"] == [2, 1]


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "npz"])
def test_limit_in_the_metadata(tmp_path, suffix):
    rows = [{"input_ids": [*range(1, n + 1)]} for n in (3, 9, 5, 6)]
    write_rows(tmp_path / "in.jsonl", rows)
    path, files = tmp_path / f"out.{suffix}", FileOptions(limit=3)
    pad_file(tmp_path / "in.jsonl", path, spec=PadSpec(maxlen=WIDTH), files=files)
    report = verify_file(path, against=tmp_path / "in.jsonl")
    assert [its.rule.name for its in report.data] == ["tokens-lost"]
    assert any(
        has_facts(note, "not compared", "1 row", "in.jsonl, line 4", "pad", "3 rows") for note in report.notes
    )
    # Without a limit, the same rows of a longer input are missing.
    pad_file(tmp_path / "in.jsonl", path, spec=PadSpec(maxlen=WIDTH))
    write_rows(tmp_path / "in.jsonl", [*rows, {"input_ids": [7]}])
    assert [its.number for its in check(path)["not-padded"].examples] == [5]


def test_limit_of_several_shards(tmp_path):
    write_rows(tmp_path / "in.jsonl", [{"input_ids": [i, i]} for i in range(1, 8)])
    for name, first in (("a", 1), ("b", 5)):
        write_rows(tmp_path / f"{name}.jsonl", [{"input_ids": [i, i]} for i in range(first, first + 4)])
    inputs = [tmp_path / f"{name}.jsonl" for name in "ab"]
    files = FileOptions(limit=6, output_format="parquet")
    pad_dataset(inputs, tmp_path / "out", spec=PadSpec(maxlen=3), files=files)
    report = verify_file(tmp_path / "out", against=inputs)
    assert report.verdict == "data-ok"
    assert any(has_facts(note, "not compared", "2 rows", "b.jsonl, line 3") for note in report.notes)


def test_joined_files(tmp_path):
    """The metadata of the first of two joined files does not describe the rows of the second."""
    write_rows(tmp_path / "in.jsonl", [{"input_ids": [i, i]} for i in range(1, 7)])
    path, files = tmp_path / "out.parquet", FileOptions(limit=2)
    pad_file(tmp_path / "in.jsonl", path, spec=PadSpec(maxlen=3), files=files)
    first = pq.read_table(path)
    pad_file(tmp_path / "in.jsonl", path, spec=PadSpec(maxlen=3))
    pq.write_table(pa.concat_tables([first, pq.read_table(path).slice(2)]).cast(first.schema), path)
    assert not check(path)


def test_second_run_forgets_the_first(tmp_path):
    """The first run may have left out rows too, so the metadata does not prove that rows are missing."""
    rows = [{"input_ids": [*range(1, n + 1)], "y": [1] * m} for n, m in ((3, 2), (9, 9), (5, 4))]
    write_rows(tmp_path / "in.jsonl", rows)
    first, path = tmp_path / "first.parquet", tmp_path / "out.parquet"
    spec, policy = PadSpec(maxlen=WIDTH), RowPolicy(overlong="drop")
    pad_file(tmp_path / "in.jsonl", first, columns=["input_ids"], spec=spec, policy=policy)
    mask = MaskSpec(column="y_mask")
    pad_file(first, path, columns=["y"], spec=spec, mask=mask, policy=RowPolicy())
    assert PaddedRun.read(pq.read_schema(first)) is not None
    assert PaddedRun.read(pq.read_schema(path)) is None
    assert list(check(path)) == ["tokens-lost"]


def test_missing_row_without_tokens(tmp_path):
    """Without the description of the run, it is unknown whether all rows without tokens were dropped."""
    path = pad(tmp_path, [3, 0, 5, 0])
    forget_run(path)
    drop(path, 1)
    assert check(path)["not-padded"].count == 1
    drop(path, 2)
    report = verify_file(path, against=tmp_path / "in.jsonl")
    assert any(has_facts(note, "2 rows", "without tokens") for note in report.notes)


def test_missing_long_row(tmp_path):
    path = pad(tmp_path, [3, 9, 5])
    forget_run(path)
    drop(path, 1)
    assert has_facts(check(path)["tokens-lost"].detail, "1 row", "deleted")


def test_pad_with_limit(tmp_path):
    """Rows that are missing at the end may come from --limit, but earlier missing rows are errors."""
    path = pad(tmp_path, [3, 4, 5, 6])
    forget_run(path)
    drop(path, 3)
    drop(path, 2)
    assert has_facts(check(path)["not-padded"].detail, "--limit 2")
    assert not check(path, files=ReadOptions(limit=2))
    drop(path, 0)
    assert [its.number for its in check(path, files=ReadOptions(limit=2))["not-padded"].examples] == [1]
    assert [its.number for its in check(path, files=ReadOptions(limit=1))["not-padded"].examples] == [1]


def test_no_rows(tmp_path):
    write_rows(tmp_path / "in.jsonl", [{"input_ids": [5]}, {"input_ids": []}])
    report = verify_file(write_rows(tmp_path / "out.jsonl", []), against=tmp_path / "in.jsonl")
    assert [its.rule.name for its in report.data] == ["not-padded"]


def test_missing_window(tmp_path):
    path = pad(tmp_path, [3, 20, 6], windows=WindowSpec())
    drop(path, 2)
    assert list(check(path)) == ["not-padded"]


def test_row_that_is_not_in_the_input(tmp_path):
    path = pad(tmp_path, [3, 5, 6])
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(1, 1)]), path)
    found = check(path)
    assert list(found) == ["differs-from-input"]
    assert [its.number for its in found["differs-from-input"].examples] == [3]


def test_dropped_rows_are_lost(tmp_path):
    path = pad(tmp_path, [3, 20, 0, 6], policy=RowPolicy(overlong="drop", empty_rows="drop"))
    found = check(path)
    assert {rule: [its.number for its in found[rule].examples] for rule in found} == {"tokens-lost": [2]}


def test_dropped_row_that_starts_like_another(tmp_path):
    write_rows(tmp_path / "in.jsonl", [{"input_ids": ids} for ids in ([5, 6, 7], [5, 6], [5, 6])])
    policy = RowPolicy(overlong="drop")
    pad_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", spec=PadSpec(maxlen=2), policy=policy)
    found = check(tmp_path / "out.parquet")
    assert {rule: [its.number for its in found[rule].examples] for rule in found} == {"tokens-lost": [1]}


@pytest.mark.parametrize("cut", [{}, {"truncating": "pre"}, {"keep_last": 1}, {"keep_last": 2}], ids=str)
def test_ambiguous_cut(tmp_path, cut):
    rows = [[1, 1, 2, 1, 2], [2, 1, 2, 2], [1, 2, 1, 2, 2, 1], [2, 2, 2]]
    write_rows(tmp_path / "in.jsonl", [{"input_ids": ids} for ids in rows])
    pad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", spec=PadSpec(maxlen=3, **cut))
    assert list(check(tmp_path / "out.jsonl", mask_column="mask")) == ["tokens-lost"]


def test_only_truncated_row(tmp_path):
    """One row shows on which side rows were truncated, so the warning says what it assumes."""
    path = pad(tmp_path, [3, 9, 5], "jsonl", truncating="pre")
    found = check(path, mask_column="mask")
    assert list(found) == ["tokens-lost"]
    assert has_facts(found["tokens-lost"].detail, "assumed", "1 row", "--truncating pre")


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_maxlen_0(tmp_path, suffix):
    write_rows(tmp_path / "in.jsonl", [{"input_ids": [7, 8]}, {"input_ids": []}])
    path = tmp_path / f"out.{suffix}"
    pad_file(tmp_path / "in.jsonl", path, spec=PadSpec(maxlen=0))
    assert list(check(path, mask_column="mask")) == ["tokens-lost"]


def test_skipped_rows_are_noted(tmp_path):
    write_rows(tmp_path / "in.jsonl", [{"input_ids": [1, 2]}, {"input_ids": ["x"]}, {"input_ids": [3]}])
    pad_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", policy=RowPolicy(on_error="skip"))
    report = verify_file(tmp_path / "out.parquet", against=tmp_path / "in.jsonl")
    assert report.verdict == "data-ok"
    assert any(has_facts(note, "not compared", "1 row", "line 2") for note in report.notes)


@pytest.mark.parametrize("source", [True, False])
def test_changed_token_in_bucket(tmp_path, source):
    pad(tmp_path, [3, 9, 20, 5, 7, 12])
    spec, files = PadSpec(buckets=(4, 8, 16), source_row=source), FileOptions(output_format="parquet")
    pad_dataset(tmp_path / "in.jsonl", tmp_path / "out", spec=spec, files=files)
    assert {rule: its.count for rule, its in check(tmp_path / "out").items()} == {"tokens-lost": 1}
    [path] = (tmp_path / "out").glob("bucket=00008/*.parquet")
    change(path, "input_ids", 0, lambda ids: ids.__setitem__(1, 999))
    found = verify_file(path, against=tmp_path / "in.jsonl").data
    [differs] = [its for its in found if its.rule.name == "differs-from-input"]
    assert has_facts(differs.detail, "position 1", 999, 302, "line 4")


def test_unchanged_shards_pass(tmp_path):
    (tmp_path / "in").mkdir()
    for i in (1, 2):
        write_rows(tmp_path / f"in/{i}.jsonl", [{"input_ids": [i, i + 1]}, {"input_ids": [7]}])
    pad_dataset(tmp_path / "in", tmp_path / "out")
    assert not check(tmp_path / "out", "in")


def test_own_lengths(tmp_path):
    rows = [{"input_ids": [*range(n)], "target": [*range(2 * n)]} for n in (2, 3, 4)]
    write_rows(tmp_path / "in.jsonl", rows)
    spec = PadSpec(maxlen=4, own_lengths={"target": 8})
    mask = MaskSpec(own={"target": "target_mask"})
    pad_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", spec=spec, mask=mask)
    assert not check(tmp_path / "out.parquet")
    change(tmp_path / "out.parquet", "target", 1, lambda ids: ids.__setitem__(2, 999))
    assert check(tmp_path / "out.parquet")["differs-from-input"].column == "target"


def test_length_column(tmp_path):
    path = pad(tmp_path, [3, 9, 5], padding="pre", mask=MaskSpec(column=None, length_column="n"))
    assert list(check(path)) == ["tokens-lost"]


@pytest.mark.parametrize("mask", [MaskSpec(), MaskSpec(column="key_padding_mask", polarity="padding")])
def test_no_row_needs_padding(tmp_path, mask):
    source = write_rows(tmp_path / "in.jsonl", [{"input_ids": [1, 2, 3]}])
    pad_file(source, tmp_path / "out.jsonl", spec=PadSpec(maxlen=2), mask=mask)
    assert list(check(tmp_path / "out.jsonl")) == ["tokens-lost"]


def test_mask_of_ones_is_replaced(tmp_path):
    row = {"input_ids": [1, 2, 3], "attention_mask": [1, 1, 1]}
    pad_file(write_rows(tmp_path / "in.jsonl", [row]), tmp_path / "out.jsonl", spec=PadSpec(maxlen=2))
    assert list(check(tmp_path / "out.jsonl")) == ["tokens-lost"]


def test_raw_rows_are_refused(tmp_path):
    path = write_rows(tmp_path / "in.jsonl", [{"input_ids": [1, 2]}])
    with raises_error(SpecError, "padded or packed", option="against"):
        verify_file(path, against=path)


CHAT = [
    {"input_ids": [5, 6, 7, 8], "completion_mask": [0, 0, 1, 1]},
    {"input_ids": [9, 5], "completion_mask": [0, 1]},
    {"input_ids": [4, 5, 6], "completion_mask": [0, 0, 1]},
]


# JSON Lines has no metadata, so the end tokens that packing adds would be findings.
LAYOUTS = {
    "padded": (None, "parquet"),
    "padded text": (None, "jsonl"),
    "packed": (PackSpec(), "parquet"),
    "packed text": (PackSpec(), "jsonl"),
    "end tokens": (PackSpec(eos=2), "parquet"),
}


@each_value(layout=LAYOUTS, columns=[["input_ids"], ["input_ids", "completion_mask"]])
def test_copied_labels(tmp_path, layout, columns):
    packing, suffix = layout
    source = write_rows(tmp_path / "in.jsonl", CHAT)
    mask, path = MaskSpec(labels_from="input_ids"), tmp_path / f"out.{suffix}"
    pad_file(source, path, columns=columns, spec=PadSpec(maxlen=12, packing=packing), mask=mask)
    assert not check(path)
    if suffix == "jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows[0]["labels"][2] = 999
        write_rows(path, rows)
    else:
        change(path, "labels", 0, lambda labels: labels.__setitem__(2, 999))
    found = check(path)["differs-from-input"]
    assert found.column == "labels"
    assert has_facts(found.detail, "position 2", 999, 7)


@pytest.mark.parametrize("packs", [True, False])
def test_label_that_the_mask_excludes(tmp_path, packs):
    """The label is a copy of the token, but the completion mask excludes the token."""
    masks = [[1, 0, 1], [1, 1, 1], [1, 1, 1]]
    chat = [{"input_ids": [5, 6, 7], "completion_mask": mask} for mask in masks]
    source = write_rows(tmp_path / "in.jsonl", chat)
    path, shape = tmp_path / "out.jsonl", PadSpec(maxlen=12, packing=PackSpec() if packs else None)
    pad_file(source, path, spec=shape, mask=MaskSpec(labels_from="input_ids"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["labels"][1] = 6
    write_rows(path, rows)
    assert check(path)["differs-from-input"].column == "labels"


def test_labels_from_elsewhere(tmp_path):
    pad(tmp_path, [3, 4, 5], "jsonl", mask=MaskSpec())
    write_rows(
        tmp_path / "ids.jsonl", [{"input_ids": [*range(100 * i + 1, 100 * i + i + 4)]} for i in range(3)]
    )
    report = verify_file(tmp_path / "out.jsonl", against=tmp_path / "ids.jsonl")
    assert report.verdict == "data-ok"
    assert any(has_facts(note, "not compared", "labels") for note in report.notes)


def test_changed_position_is_found(tmp_path):
    path = pad(tmp_path, [3, 9], mask=MaskSpec(position_ids="position_ids"))
    change(path, "position_ids", 1, lambda places: places.__setitem__(4, 3))
    found = check(path)["differs-from-input"]
    assert found.column == "position_ids"
    assert has_facts(found.detail, "position 4", 3)


def test_input_without_end_column(tmp_path):
    rows = [{"input_ids": [*range(1, 10)], "first": 2}]
    write_rows(tmp_path / "in.jsonl", rows)
    path = tmp_path / "out.parquet"
    pad_file(tmp_path / "in.jsonl", path, spec=PadSpec(maxlen=WIDTH, keep_first="first"))
    write_rows(tmp_path / "other.jsonl", [{"input_ids": rows[0]["input_ids"]}])
    with raises_error(SpecError, "first", "other.jsonl", "padded rows", option="against"):
        check(path, "other.jsonl")
