"""`verify --against`: packed rows have the tokens of their input."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pairs import each_value
from raised import has_facts, raises_error

from padmask import PadSpec, RowPolicy, SpecError, WindowSpec
from padmask.spec.files import FileOptions, ReadOptions
from padmask.spec.pack import PackSpec
from padmask.stream.pack import pack_file
from padmask.verify.verify_file import verify_file

ANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LENGTHS = st.lists(st.integers(0, 20), min_size=1, max_size=25)
PACKINGS = st.builds(
    PackSpec,
    algorithm=st.sampled_from(["best-fit", "in-order"]),
    align=st.sampled_from([1, 4]),
    source=st.booleans(),
    eos=st.sampled_from([None, 7]),
    boundary_labels=st.sampled_from(["mask", "keep", "shift"]),
)
WRAP = st.builds(PackSpec, algorithm=st.just("wrap"), pad=st.booleans(), source=st.booleans())
CUTS = st.sampled_from(
    [
        {"truncating": "pre"},
        {"keep_first": 1, "keep_last": 2},
        {"windows": WindowSpec(overlap=2)},
        {"windows": WindowSpec(overlap=1, labels="new"), "keep_first": 2},
        {},
    ]
)


def pack(folder, lengths, packing=None, suffix="parquet", overlong="truncate", **spec):
    rows = [{"input_ids": [*range(100 * i, 100 * i + n)], "labels": [i] * n} for i, n in enumerate(lengths)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    packing = packing or PackSpec()
    pack_file(
        folder / "in.jsonl",
        folder / f"out.{suffix}",
        spec=PadSpec(maxlen=12, **spec),
        packing=packing,
        policy=RowPolicy(overlong="error" if packing.algorithm == "wrap" else overlong, empty_rows="drop"),
    )
    return folder / f"out.{suffix}"


def has_note(report, *facts):
    """Return whether a note contains these facts."""
    return any(has_facts(note, *facts) for note in report.notes)


def compared(path, **options):
    """Return the number of rows that violate each rule."""
    found = verify_file(path, against=path.parent / "in.jsonl", **options).data
    return {
        finding.rule.name: finding.count for finding in found if finding.rule.name != "pad-value-in-tokens"
    }


@pytest.mark.slow
@ANY
@given(lengths=LENGTHS, packing=PACKINGS | WRAP, cut=CUTS)
def test_good_files_pass(tmp_path, lengths, packing, cut):
    assume(any(lengths))
    cut = {} if packing.algorithm == "wrap" else cut
    path = pack(tmp_path, lengths, packing, **cut)
    added = int(packing.eos is not None)
    lossless = "windows" in cut or packing.algorithm == "wrap"
    cut_rows = 0 if lossless else sum(length + added > 12 for length in lengths)
    assert compared(path) == ({"tokens-lost": cut_rows} if cut_rows else {})
    assert compared(path, files=ReadOptions(limit=1)) == {}


@ANY
@given(lengths=LENGTHS, algorithm=st.sampled_from(["best-fit", "wrap"]))
@pytest.mark.slow
def test_json_lines_pass(tmp_path, lengths, algorithm):
    assume(any(lengths))
    windows = None if algorithm == "wrap" else WindowSpec(overlap=3)
    path = pack(tmp_path, lengths, PackSpec(algorithm=algorithm), "jsonl", windows=windows)
    assert compared(path) == {}


@pytest.mark.slow
@ANY
@given(lengths=LENGTHS, source=st.booleans(), name=st.sampled_from(["input_ids", "labels"]), data=st.data())
def test_changed_token_is_found(tmp_path, lengths, source, name, data):
    assume(any(lengths))
    path = pack(tmp_path, lengths, PackSpec(source=source, boundary_labels="keep"), windows=WindowSpec())
    table = pq.read_table(path)
    values, masks = table.column(name).to_pylist(), table.column("mask").to_pylist()
    row = data.draw(st.integers(0, len(values) - 1))
    at = data.draw(st.integers(0, sum(masks[row]) - 1))
    values[row][at] += 1
    place, field = table.schema.get_field_index(name), table.schema.field(name)
    pq.write_table(table.set_column(place, field, pa.array(values, field.type)), path)
    found = compared(path)
    assert found["differs-from-input"] == 1
    assert ("not-packed" in found) is (name == "input_ids" and not source)


def test_missing_packed_row(tmp_path):
    path = pack(tmp_path, [12, 12, 5])
    pq.write_table(pq.read_table(path).slice(1), path)
    assert compared(path) == {"not-packed": 1, "packed-counts": 1}


@each_value(
    options=[
        {"windows": WindowSpec(overlap=0)},
        {"windows": WindowSpec(overlap=3)},
        {"packing": PackSpec(algorithm="wrap")},
    ],
    source=[True, False],
)
def test_missing_piece(tmp_path, options, source):
    packing = replace(options.get("packing", PackSpec()), source=source)
    path = pack(tmp_path, [48], packing=packing, windows=options.get("windows"))
    table = pq.read_table(path)
    for row in range(table.num_rows):
        pq.write_table(pa.concat_tables([table.slice(0, row), table.slice(row + 1)]), path)
        assert compared(path)["not-packed"] == 1, row


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("lengths", "pieces", "found"),
    [
        # The row is truncated, or its other pieces are missing. Without metadata, the two look the same.
        ([10, 3], [(0, 0, 4), (1, 0, 3)], {"tokens-lost": 1}),
        ([10, 3], [(0, 6, 4), (1, 0, 3)], {"tokens-lost": 1}),
        # A truncated row has as many tokens as the longest sequence.
        ([10, 3, 4], [(0, 0, 3), (1, 0, 3), (2, 0, 4)], {"not-packed": 1}),
        ([10, 4], [(0, 8, 2), (1, 0, 4)], {"not-packed": 1}),
        # Another row has several pieces, so rows were split.
        ([10, 6], [(0, 0, 4), (1, 0, 4), (1, 4, 2)], {"not-packed": 1}),
        ([10, 6], [(1, 0, 4), (1, 4, 2)], {"not-packed": 1}),
        # Only a row that is longer than the packed rows may be dropped, and only if no row was truncated.
        ([10, 3], [(1, 0, 3)], {"tokens-lost": 1}),
        ([3, 4], [(1, 0, 4)], {"not-packed": 1}),
        ([10, 6, 6], [(0, 0, 4), (2, 0, 4)], {"tokens-lost": 2, "not-packed": 1}),
    ],
)
def test_missing_piece_without_metadata(tmp_path, lengths, pieces, found):
    rows = [[*range(100 * i, 100 * i + n)] for i, n in enumerate(lengths, 1)]
    packed = [
        {
            "input_ids": (rows[source][start : start + size] + [0] * 4)[:4],
            "seq_lengths": [size],
            "source_rows": [source],
            "source_starts": [start],
        }
        for source, start, size in pieces
    ]
    write_rows(tmp_path / "in.jsonl", [{"input_ids": row} for row in rows])
    assert compared(write_rows(tmp_path / "out.jsonl", packed)) == found


def test_dropped_rows_are_lost(tmp_path):
    assert compared(pack(tmp_path, [13, 5, 3], overlong="drop")) == {"tokens-lost": 1}


def test_missing_long_row(tmp_path):
    path = pack(tmp_path, [5, 3], overlong="drop")
    with (tmp_path / "in.jsonl").open("a") as file:
        file.write(json.dumps({"input_ids": [9] * 20, "labels": [9] * 20}) + "\n")
    assert compared(path) == {"not-packed": 1}, "according to the metadata, pack dropped no row"


def test_swapped_sources(tmp_path):
    path = pack(tmp_path, [12, 12])
    table = pq.read_table(path)
    place, field = table.schema.get_field_index("source_rows"), table.schema.field("source_rows")
    pq.write_table(table.set_column(place, field, pa.array([[1], [0]], field.type)), path)
    assert compared(path) == {"differs-from-input": 2}


def test_several_packed_files(tmp_path):
    pack(tmp_path, [12, 5]).rename(tmp_path / "a.parquet")
    first = (tmp_path / "in.jsonl").read_text()
    pack(tmp_path, [3, 12]).rename(tmp_path / "b.parquet")
    second = (tmp_path / "in.jsonl").read_text()
    (tmp_path / "in.jsonl").write_text(first + second)
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    assert verify_file(paths, against=tmp_path / "in.jsonl").verdict == "data-ok"
    report = verify_file(paths[:1], against=tmp_path / "in.jsonl")
    assert [
        (finding.rule.name, finding.count) for finding in report.data if finding.rule.severity == "error"
    ] == [("not-packed", 2)]
    pq.write_table(pq.read_table(paths[0]).slice(0, 0), paths[0])
    found = verify_file(paths, against=tmp_path / "in.jsonl").data
    assert ("not-packed", 2) in [(finding.rule.name, finding.count) for finding in found]


def test_rows_that_are_not_packed(tmp_path):
    pack(tmp_path, [3])
    with raises_error(SpecError, option="against"):
        verify_file(tmp_path / "in.jsonl", against=tmp_path / "in.jsonl")


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_output_without_rows(tmp_path, suffix):
    """An output without rows is correct only if the input has no rows. Otherwise, rows are missing."""
    path = pack(tmp_path, [], suffix=suffix)
    assert compared(path) == {}
    (tmp_path / "in.jsonl").write_text('{"input_ids": [5]}\n{"input_ids": []}\n{"input_ids": [7]}\n')
    rule = "not-padded" if suffix == "jsonl" else "not-packed"
    assert compared(path) == {rule: 2}


@pytest.mark.parametrize("columns", [None, ["words"]])
def test_empty_text_and_other_names(tmp_path, columns):
    path = pack(tmp_path, [], suffix="jsonl")
    (tmp_path / "in.jsonl").write_text('{"words": ["a", "b"]}\n')
    assert compared(path, columns=columns) == {"not-padded": 1}


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize("boundary", ["mask", "keep", "shift"])
def test_changed_label(tmp_path, boundary, suffix):
    packing = PackSpec(boundary_labels=boundary, algorithm="in-order")
    path = pack(tmp_path, [4, 5], packing, suffix)
    known = {"mask_column": "mask"} if suffix == "jsonl" else {}
    assert compared(path, **known) == {}
    rows = pq.read_table(path).to_pylist() if suffix == "parquet" else [json.loads(path.read_text())]
    rows[0]["labels"][5] += 7
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(path)), path)
    else:
        write_rows(path, rows)
    [found] = [
        its
        for its in verify_file(path, against=tmp_path / "in.jsonl", **known).data
        if its.column == "labels"
    ]
    assert (found.rule.name, found.count) == ("differs-from-input", 1)
    assert has_facts(found.detail, "sequence 1", "source row 1", "position 1", "has 8", "input has 1")


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize("number", [3_000_000_000, -3_000_000_000])
def test_wide_integers(tmp_path, number, suffix):
    rows = [{"input_ids": [number, 1]}, {"input_ids": [2]}]
    source, path = write_rows(tmp_path / "in.jsonl", rows), tmp_path / f"out.{suffix}"
    spec = PadSpec(maxlen=4, int_dtype="int64")
    pack_file(source, path, spec=spec, packing=PackSpec())
    assert compared(path) == {}
    # The lower 32 bits stay the same.
    write_rows(source, [{"input_ids": [number + 2**32, 1]}, {"input_ids": [2]}])
    assert compared(path) == {"differs-from-input": 1}


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_changed_float_is_found(tmp_path, suffix):
    source, path = write_rows(tmp_path / "in.jsonl", [{"x": [0.1, 2.5]}]), tmp_path / f"out.{suffix}"
    pack_file(source, path, columns=["x"], spec=PadSpec(maxlen=4), packing=PackSpec())
    assert compared(path, columns=["x"]) == {}
    write_rows(source, [{"x": [0.10001, 2.5]}])
    assert compared(path, columns=["x"]) == {"differs-from-input": 1}


def test_bad_rows_are_noted(tmp_path):
    rows = [{"input_ids": [1, 2]}, {"input_ids": None}, {"input_ids": [3, "x"]}, {"input_ids": [4]}]
    source, path = write_rows(tmp_path / "in.jsonl", rows), tmp_path / "out.parquet"
    pack_file(source, path, spec=PadSpec(maxlen=4), packing=PackSpec(), policy=RowPolicy(on_error="skip"))
    report = verify_file(path, against=source)
    assert report.verdict == "data-ok"
    assert has_note(report, "not compared", "2 rows", "in.jsonl, line 2", "input_ids")
    assert has_note(report, "compared", "input_ids", "2 sequences", "4 rows")


def test_columns_that_are_not_compared(tmp_path):
    path = pack(tmp_path, [4, 3])
    write_rows(tmp_path / "in.jsonl", [{"input_ids": [*range(4)]}, {"input_ids": [*range(100, 103)]}])
    assert has_note(verify_file(path, against=tmp_path / "in.jsonl"), "not compared", "labels")


def test_limit_is_noted(tmp_path):
    source, path = (
        write_rows(tmp_path / "in.jsonl", [{"input_ids": [i]} for i in range(5)]),
        tmp_path / "a.parquet",
    )
    pack_file(source, path, spec=PadSpec(maxlen=4), packing=PackSpec(), files=FileOptions(limit=3))
    report = verify_file(path, against=source)
    assert report.verdict == "data-ok"
    assert has_note(report, "not compared", "2 rows", "in.jsonl, line 4")


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_columns_of_kept_ends(tmp_path, suffix):
    rows = [
        {"input_ids": [*range(10 * i, 10 * i + n)], "first": i, "last": 1} for i, n in enumerate([9, 3, 9])
    ]
    source, path = tmp_path / f"in.{suffix}", tmp_path / "out.parquet"
    if suffix == "jsonl":
        write_rows(source, rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), source)
    spec = PadSpec(maxlen=6, keep_first="first", keep_last="last")
    pack_file(source, path, spec=spec, packing=PackSpec(), policy=RowPolicy(overlong="truncate"))
    found = {
        its.rule.name: its.count
        for its in verify_file(path, against=source).data
        if its.rule.name != "pad-value-in-tokens"
    }
    assert found == {"tokens-lost": 2}
    write_rows(tmp_path / "other.jsonl", [{"input_ids": row["input_ids"]} for row in rows])
    with raises_error(SpecError, "first", "other.jsonl", option="against"):
        verify_file(path, against=tmp_path / "other.jsonl")


def test_file_without_tokens(tmp_path):
    first, second = tmp_path / "a.jsonl", write_rows(tmp_path / "b.jsonl", [{"input_ids": []}])
    write_rows(first, [{"input_ids": [1, 2, 3]}])
    pack_file([first, second], tmp_path / "out.parquet", spec=PadSpec(maxlen=4), packing=PackSpec())
    assert verify_file(tmp_path / "out.parquet", against=[first, second]).verdict == "data-ok"


def test_wrapped_files_without_sources(tmp_path):
    files = [
        write_rows(tmp_path / f"{name}.jsonl", [{"input_ids": [*range(start, start + 7)]}])
        for name, start in (("a", 1), ("b", 11), ("c", 21))
    ]
    packing = PackSpec(algorithm="wrap", source=False)
    pack_file(files, tmp_path / "out.parquet", spec=PadSpec(maxlen=5), packing=packing)
    assert verify_file(tmp_path / "out.parquet", against=files).verdict == "data-ok"


def test_missing_metadata_is_named(tmp_path):
    source = write_rows(tmp_path / "in.jsonl", [{"input_ids": [*range(9)]}])
    spec, packing = PadSpec(maxlen=4, windows=WindowSpec(overlap=0)), PackSpec(source=False)
    pack_file(source, tmp_path / "out.jsonl", spec=spec, packing=packing)
    found = verify_file(tmp_path / "out.jsonl", against=source).data
    [differs] = [its for its in found if its.rule.name == "differs-from-input"]
    assert has_facts(differs.detail, "no metadata", "split")


@pytest.mark.parametrize("source", [True, False])
@pytest.mark.parametrize("batch_rows", [1, 10_000])
def test_first_difference(tmp_path, source, batch_rows):
    rows = [{"input_ids": [i, i + 1, i + 2], "x": [[0.5, i], [1, i], [2, i]]} for i in range(0, 60, 3)]
    write_rows(tmp_path / "in.jsonl", rows)
    path, columns = tmp_path / "out.jsonl", ["input_ids", "x"]
    packing = PackSpec(algorithm="in-order", source=source)
    pack_file(tmp_path / "in.jsonl", path, columns=columns, spec=PadSpec(maxlen=6), packing=packing)
    packed = [json.loads(line) for line in path.read_text().splitlines()]
    packed[7]["x"][4][1] = 77
    write_rows(path, packed)
    report = verify_file(
        path, columns=columns, against=tmp_path / "in.jsonl", files=ReadOptions(batch_rows=batch_rows)
    )
    [found] = [its for its in report.data if its.rule.name == "differs-from-input"]
    assert (found.column, [place.number for place in found.examples]) == ("x", [8])
    assert has_facts(found.detail, "sequence 1", "position 1", "has [1.0, 77.0]", "has [1.0, 45.0]")


def test_other_number_of_tokens(tmp_path):
    path = pack(tmp_path, [4, 3], PackSpec(algorithm="in-order"), "jsonl")
    write_rows(path, [{**json.loads(path.read_text()), "seq_lengths": [3, 4]}])
    report = verify_file(path, against=tmp_path / "in.jsonl", mask_column="mask")
    [found] = [its for its in report.data if its.rule.name == "differs-from-input"]
    assert found.column == "input_ids"
    assert has_facts(found.detail, "tokens", 3, 4)
