"""`verify --against`: packed rows have the tokens of their input."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from raised import raises_error

from padmask import PadSpec, RowPolicy, SpecError, WindowSpec
from padmask.spec.files import ReadOptions
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
    assert ("not-packed" in found) is not source


def test_missing_packed_row(tmp_path):
    path = pack(tmp_path, [12, 12, 5])
    pq.write_table(pq.read_table(path).slice(1), path)
    assert compared(path) == {"not-packed": 1, "packed-counts": 1}


def test_dropped_rows_are_lost(tmp_path):
    assert compared(pack(tmp_path, [13, 5, 3], overlong="drop")) == {"tokens-lost": 1}


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


def test_rows_that_are_not_packed(tmp_path):
    pack(tmp_path, [3])
    with raises_error(SpecError, option="against"):
        verify_file(tmp_path / "in.jsonl", against=tmp_path / "in.jsonl")
