"""Rules for packed rows: good files have no findings, and each changed value is found."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pairs import each_value
from raised import has_facts

from padmask import PadSpec, RowPolicy, WindowSpec, unpad_file
from padmask.spec.files import ReadOptions
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import DERIVED, PackSpec
from padmask.stream import sort_windows
from padmask.stream.pack import pack_file
from padmask.verify.data.source_rows import _find_wrong
from padmask.verify.verify_file import verify_file

ANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LENGTHS = st.lists(st.integers(1, 20), min_size=1, max_size=25)
PACKINGS = st.builds(
    PackSpec,
    algorithm=st.sampled_from(["best-fit", "in-order"]),
    max_segments=st.sampled_from([None, 2]),
    align=st.sampled_from([1, 4]),
    pad=st.booleans(),
    source=st.booleans(),
    eos=st.sampled_from([None, 7]),
    emit=st.sets(st.sampled_from(DERIVED)).map(sorted),
    names=st.sampled_from([{}, {"position_ids": "{column}_positions", "seq_lens": "sizes"}]),
    first_segment=st.sampled_from([1, 0]),
    position_padding=st.sampled_from(["restart", "zero", "continue"]),
    boundary_labels=st.sampled_from(["mask", "keep", "shift"]),
)
WRAP = st.builds(PackSpec, algorithm=st.just("wrap"), emit=st.just(DERIVED), pad=st.booleans())
CUTS = st.sampled_from(
    [
        {"truncating": "pre"},
        {"keep_first": 1, "keep_last": 2},
        {"windows": WindowSpec(overlap=2)},
        {"windows": WindowSpec(overlap=1), "keep_first": 2, "truncating": "pre"},
        {},
    ]
)


def pack(folder, lengths, packing, suffix="parquet", mask="mask", **spec):
    rows = [{"id": i, "input_ids": [9] * n, "labels": [i] * n} for i, n in enumerate(lengths)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    overlong = "error" if packing.algorithm == "wrap" else "truncate"
    has_mask = mask is not None and (packing.pad or packing.align > 1)
    pack_file(
        folder / "in.jsonl",
        folder / f"out.{suffix}",
        spec=PadSpec(maxlen=12, **spec),
        packing=packing,
        mask=MaskSpec(column=mask if has_mask else None, named=True),
        policy=RowPolicy(overlong=overlong, empty_rows="drop"),
    )
    return folder / f"out.{suffix}"


def rules(path, **options):
    return {finding.rule.name for finding in verify_file(path, **options).data}


@pytest.mark.slow
@ANY
@given(
    lengths=LENGTHS,
    packing=PACKINGS | WRAP,
    cut=CUTS,
    suffix=st.sampled_from(["parquet", "jsonl", "arrow"]),
    mask=st.sampled_from(["mask", "real", None]),
    window=st.integers(1, 9),
)
def test_good_files_pass(tmp_path, lengths, packing, cut, suffix, mask, window):
    cut = {} if packing.algorithm == "wrap" else cut
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sort_windows, "WINDOW_SEQUENCES", window)
        path = pack(tmp_path, lengths, packing, suffix, mask, **cut)
    known, warned = None, {"ignored-positions"}
    if suffix == "jsonl" and (packing.pad or packing.align > 1):
        # JSON Lines has no metadata, so only the mask shows the padding between sequences.
        assume(mask is not None or packing.align == 1)
        known = mask
    assert rules(path, mask_column=known) - warned == set()
    partly = ReadOptions(limit=2, batch_rows=1)
    assert rules(path, mask_column=known, files=partly) - warned == set()


@pytest.mark.slow
@ANY
@given(lengths=LENGTHS, data=st.data(), align=st.sampled_from([1, 4]))
def test_changed_value_is_found(tmp_path, lengths, data, align):
    path = pack(tmp_path, lengths, PackSpec(emit=DERIVED, align=align), windows=WindowSpec())
    table = pq.read_table(path)
    name = data.draw(st.sampled_from(["mask", "seq_lengths", "source_rows", "source_starts", *DERIVED]))
    place, field = table.schema.get_field_index(name), table.schema.field(name)
    values = table.column(name).to_pylist()
    row = data.draw(st.integers(0, len(values) - 1))
    at = data.draw(st.integers(0, len(values[row]) - 1))
    values[row][at] = not values[row][at] if name == "mask" else values[row][at] + 1
    pq.write_table(table.set_column(place, field, pa.array(values, field.type)), path)
    found = rules(path)
    if name == "source_rows":
        # The changed source may be a row that does not occur otherwise.
        found |= {"source-rows"} if values[row][at] == len(lengths) else set()
    assert found - {"ignored-positions"}


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize(
    ("emit", "found"),
    [
        (["position_ids", "attention_mask"], {"ignored-positions"}),
        (["position_ids"], set()),
        (["attention_mask"], set()),
    ],
)
def test_numbers_in_the_mask(tmp_path, suffix, emit, found):
    """A model that gets an attention mask ignores positions, even if the mask has sequence numbers."""
    assert rules(pack(tmp_path, [3, 2, 1], PackSpec(emit=emit), suffix)) == found


def test_lengths_replace_the_mask(tmp_path):
    path = pack(tmp_path, [3, 4, 2], PackSpec(), mask=None)
    assert "mask" not in pq.read_schema(path).names
    assert rules(path) == set()


@pytest.mark.parametrize("name", ["input_ids", "labels"])
def test_padding_is_found_without_mask(tmp_path, name):
    path = pack(tmp_path, [3, 4], PackSpec(), mask=None)
    table = pq.read_table(path)
    [ids] = table.column(name).to_pylist()
    changed = pa.array([[*ids[:-1], 5]], table.schema.field(name).type)
    place, field = table.schema.get_field_index(name), table.schema.field(name)
    pq.write_table(table.set_column(place, field, changed), path)
    assert "padding-not-pad-value" in rules(path)


def numbers(*values):
    return np.array(values, dtype=np.int64)


def change(path, name, change_values):
    """Change the values of a column of a Parquet file in place."""
    table = pq.read_table(path)
    place, field = table.schema.get_field_index(name), table.schema.field(name)
    values = table.column(name).to_pylist()
    change_values(values)
    pq.write_table(table.set_column(place, field, pa.array(values, field.type)), path)


@pytest.mark.parametrize("counts", [(1, 0), (1, -1), (-1, 1)])
def test_unequal_labels(tmp_path, counts):
    path = pack(tmp_path, [12, 12], PackSpec(pad=False))
    change(path, "labels", lambda its: its.__setitem__(slice(2), map(resize, its, counts)))
    found = {finding.rule.name: finding.count for finding in verify_file(path).data}
    assert found == {"bad-row": sum(count != 0 for count in counts)}
    against = verify_file(path, against=tmp_path / "in.jsonl").data
    assert {finding.rule.name: finding.count for finding in against} == {
        **found,
        "not-packed": sum(found.values()),
    }


def resize(values, count):
    return values[: len(values) + count] + [7] * count


@pytest.mark.parametrize("emit", [["position_ids"], ["cu_seqlens", "loss_mask"]])
def test_padding_between_sequences(tmp_path, emit):
    packing = PackSpec(align=4, emit=emit, algorithm="in-order")
    path = pack(tmp_path, [3, 4, 1, 2, 7], packing, "jsonl", mask=None)
    report = verify_file(path, against=tmp_path / "in.jsonl")
    assert report.verdict == "data-ok", "the emitted column shows the positions of the sequences"
    assert any(has_facts(note, "compared", "5 sequences") for note in report.notes)


def test_padding_that_nothing_shows(tmp_path):
    packing = PackSpec(align=4, algorithm="in-order")
    path = pack(tmp_path, [3, 4, 1, 2, 7], packing, "jsonl", mask=None)
    found = [finding for finding in verify_file(path).data if finding.rule.severity == "error"]
    assert [finding.rule.name for finding in found] == ["seq-lengths-sum"]
    assert has_facts(found[0].detail, "--align")
    notes = verify_file(path, against=tmp_path / "in.jsonl").notes
    assert any(has_facts(note, "not compared", "errors") for note in notes)


def test_padded_strings(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"input_ids": ["a", "b"]}\n')
    pack_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", spec=PadSpec(maxlen=4), packing=PackSpec())
    assert rules(tmp_path / "out.jsonl") == set()


@pytest.mark.parametrize("ends", [{"keep_last": 12}, {"keep_last": 11}, {"keep_first": 1, "keep_last": 11}])
def test_kept_end_fills_the_row(tmp_path, ends):
    assert rules(pack(tmp_path, [13, 5, 30], PackSpec(), **ends)) == set()


def test_parts_of_a_source_row():
    spec = PadSpec(maxlen=4, windows=WindowSpec(overlap=1), packing=PackSpec())
    tiled = numbers(0, 0, 0), numbers(0, 3, 6), numbers(4, 4, 2)
    assert not _find_wrong(*tiled, spec, whole=True).any()
    gap = numbers(0, 0), numbers(0, 6), numbers(4, 2)
    assert _find_wrong(*gap, spec, whole=True).tolist() == [False, True]
    assert not _find_wrong(*gap, spec, whole=False).any()
    late = numbers(0), numbers(3), numbers(4)
    assert _find_wrong(*late, spec, whole=True).tolist() == [True]


def test_segment_ids_of_other_tools(tmp_path):
    row = {"input_ids": [5, 6, 7, 0], "seq_lengths": [1, 2]}
    for ids, found in {
        (1, 2, 2, 0): set(),
        (0, 1, 1, -1): set(),
        (0, 1, 1, 0): {"token-type-segments"},
        (0, 0, 1, -1): {"token-type-segments"},
        (1, 1, 2, 0): {"derived-column"},
    }.items():
        (tmp_path / "in.jsonl").write_text(json.dumps({**row, "segment_ids": ids}) + "\n")
        assert rules(tmp_path / "in.jsonl") == found, ids


@pytest.mark.parametrize("right", [0, 1])
def test_lengths_differ_from_the_mask(tmp_path, right):
    """Rows of another tool are compared with their masks, also if no row is right."""
    row = {"input_ids": [5, 6, 7, 0], "attention_mask": [1, 1, 1, 0]}
    rows = [{**row, "seq_lengths": [1, 2]}] * right + [{**row, "seq_lengths": [1, 1]}] * 2
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    [finding] = verify_file(tmp_path / "in.jsonl").data
    assert (finding.rule.name, finding.count) == ("seq-lengths-sum", 2)


@pytest.mark.parametrize(
    ("ids", "facts"),
    [
        ([[0, 1, 0, 1], [0, 1, 2, 1]], ("position 3", "has 1", "give 3")),
        ([[0, 1, 0, 1], [0, 1, 2]], ("3 values", "4 values")),
    ],
)
def test_first_difference_is_described(tmp_path, ids, facts):
    """A finding on a derived column has the row, the position and both values."""
    row = {"input_ids": [1, 2, 3, 4]}
    packed = [{**row, "seq_lengths": [2, 2]}, {**row, "seq_lengths": [4]}]
    lines = [json.dumps({**row, "position_ids": its}) for row, its in zip(packed, ids, strict=True)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    [found] = verify_file(tmp_path / "in.jsonl").data
    assert (found.rule.name, found.column) == ("derived-column", "position_ids")
    assert [place.number for place in found.examples] == [2]
    assert has_facts(found.detail, *facts)


def with_counts(path, **changed):
    """Change the numbers of rows and tokens in the metadata of a packed file. Return the old numbers."""
    table = pq.read_table(path)
    described = json.loads(table.schema.metadata[b"padmask"])
    counts = dict(described["counts"])
    described["counts"] |= changed
    pq.write_table(table.replace_schema_metadata({b"padmask": json.dumps(described)}), path)
    return counts


def test_counts_in_the_metadata(tmp_path):
    path = pack(tmp_path, [3, 14, 2, 0, 12], PackSpec(eos=7), windows=WindowSpec(overlap=1))
    counts = with_counts(path)
    assert counts == {
        "rows_read": 5,
        "rows_used": 4,
        "rows_dropped": 1,
        "rows_rejected": 0,
        "rows_empty": 0,
        "rows_written": 4,
        "sequences": 6,
        "tokens_read": 31,
        "tokens_kept": 31,
        "tokens_lost": 0,
        "tokens_repeated": 2,
        "tokens_added": 4,
        "limit": None,
    }
    assert rules(path) == set()


COUNTS = ["rows_read", "rows_used", "rows_dropped", "rows_rejected", "rows_written", "sequences"]
COUNTS += ["tokens_read", "tokens_kept", "tokens_lost", "tokens_repeated", "tokens_added"]


@each_value(name=COUNTS, by=[1, -1])
def test_changed_count_is_found(tmp_path, name, by):
    path = pack(tmp_path, [3, 12, 2], PackSpec())
    with_counts(path, **{name: with_counts(path)[name] + by})
    assert rules(path) == {"packed-counts"}


@pytest.mark.parametrize("source", [True, False])
def test_removed_row_is_found(tmp_path, source):
    path = pack(tmp_path, [12, 12, 5], PackSpec(source=source))
    pq.write_table(pq.read_table(path).slice(0, 2), path)
    assert rules(path) == {"packed-counts"}
    assert rules(path, files=ReadOptions(limit=1)) == set()


def test_removed_row_of_an_arrow_file(tmp_path):
    """An Arrow file has the numbers of rows and tokens in its footer: they are known only at the end."""
    path = pack(tmp_path, [12, 12, 5], PackSpec(), "arrow")
    assert rules(path) == set()
    table = pa.ipc.open_file(path).read_all()
    with pa.ipc.new_file(tmp_path / "part.arrow", table.schema) as writer:
        writer.write_table(table.slice(0, 2))
    assert rules(tmp_path / "part.arrow") == {"packed-counts"}


def test_other_source_row_is_found(tmp_path):
    path = pack(tmp_path, [12], PackSpec())
    table = pq.read_table(path)
    place, field = table.schema.get_field_index("source_rows"), table.schema.field("source_rows")
    pq.write_table(table.set_column(place, field, pa.array([[1]], field.type)), path)
    assert rules(path) == {"packed-counts"}


def test_same_file_without_end_metadata(tmp_path):
    """pyarrow reads the numbers of rows and tokens in the metadata, and `unpad` removes this metadata."""
    path = pack(tmp_path, [3, 12, 2], PackSpec())
    assert "counts" in json.loads(pq.read_schema(path).metadata[b"padmask"])
    unpad_file(path, tmp_path / "rows.parquet")
    assert b"padmask" not in (pq.read_schema(tmp_path / "rows.parquet").metadata or {})
