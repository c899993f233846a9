"""One answer to "are these rows packed?": the columns that separate sequences, in every dialect."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pairs import each_value
from raised import raises_error

from padmask import (
    PackSpec,
    PadSpec,
    RowError,
    SpecError,
    UnpadSpec,
    inspect_file,
    pack_preset,
    pack_table,
    pad_file,
    pad_table,
    unpad_file,
    unpad_table,
    verify_file,
)
from padmask.core.unpack_table import find_table_packing
from padmask.errors import PaddedError
from padmask.spec.mask import MaskSpec
from padmask.spec.pack_presets import PACK_PRESETS

TABLE = pa.table({"id": ["a", "b", "c"], "input_ids": [[1, 2, 3], [4, 5], [6, 7]]})
IDS = TABLE["input_ids"].to_pylist()

# The columns that separate the sequences in a dialect without `seq_lengths`. `trl` has no other column.
MARKERS = {
    "hf": ["position_ids"],
    "bridge": ["seq_start_id"],
    "seqio": ["input_ids_segment_ids", "input_ids_positions"],
    "grain": ["input_ids_segment_ids", "input_ids_positions"],
    "levanter": ["segment_ids"],
    "llm-foundry": ["sequence_id"],
    "torchtune": ["input_pos", "seq_lens"],
}
ALWAYS = ["seq_lengths", "source_rows", "source_starts"]


def packed_in(dialect, table=TABLE, maxlen=5, **options):
    spec, mask = pack_preset(dialect, maxlen=maxlen, algorithm="in-order", **options)
    return pack_table(table, spec=spec, mask=mask)


def without_metadata(table):
    return table.replace_schema_metadata(None)


def ids_of(table):
    """Return the name of the column of ids, which is `tokens` in levanter and torchtune."""
    [name] = {"input_ids", "tokens"}.intersection(table.column_names)
    return name


def only(table, names):
    """Return a packed table in which only the columns `names` separate the sequences."""
    others = {name for its in MARKERS.values() for name in its} - {*names}
    return table.drop_columns(["seq_lengths", *others.intersection(table.schema.names)])


def rules(table, path, **options):
    pq.write_table(table, path)
    return {finding.rule.name for finding in verify_file(path, **options).data}


def test_every_dialect_is_listed():
    assert {*MARKERS, "trl"} == {*PACK_PRESETS}


CASES = [(dialect, marker) for dialect, markers in MARKERS.items() for marker in markers]


@pytest.mark.parametrize(("dialect", "marker"), CASES)
def test_one_column_of_a_dialect(tmp_path, dialect, marker):
    """Rows are unpacked with the metadata, the source columns and any column that separates sequences."""
    table = only(packed_in(dialect), [marker])
    found = unpad_table(table).select(["id", "input_ids"]).to_pydict()
    if marker == "input_pos":
        # The positions of torchtune continue at padding, so padding stays in the last sequence of a row.
        assert found["input_ids"] == [*IDS[:2], [6, 7, 0, 0, 0]]
    else:
        assert found == TABLE.to_pydict()
        assert rules(table, tmp_path / "packed.parquet") == set()
    pq.write_table(table, tmp_path / "packed.parquet")
    assert inspect_file(tmp_path / "packed.parquet").packed is not None
    with raises_error(PaddedError, marker, column=ids_of(table)):
        pad_table(table)


# Without mask and metadata, these columns alone do not show where the padding after the last sequence starts.
UNSURE = {"position_ids", "input_pos", "seq_lens", "input_ids_positions", "seq_start_id"}


@each_value(
    case={f"{dialect}-{marker}": (dialect, marker) for dialect, marker in CASES}, suffix=["jsonl", "parquet"]
)
def test_one_column_without_metadata(tmp_path, case, suffix):
    """Without the metadata, the names and the first rows decide."""
    dialect, marker = case
    table = only(without_metadata(packed_in(dialect, fields="drop")), [marker]).drop_columns(ALWAYS[1:])
    path = tmp_path / f"packed.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    result = unpad_file(path, tmp_path / "rows.parquet")
    rows = pq.read_table(tmp_path / "rows.parquet")[ids_of(table)].to_pylist()
    if marker in UNSURE:
        assert [row[: len(ids)] for row, ids in zip(rows, IDS, strict=False)] == IDS
        assert any(marker in note for note in result.remarks)
    else:
        assert rows == IDS
        assert not any("padding" in note for note in result.remarks)
    with raises_error(PaddedError, marker):
        pad_file(path, tmp_path / "again.parquet")
    report = verify_file(path)
    assert {finding.rule.name for finding in report.data} <= {"pad-value-in-tokens", "labels-on-padding"}


@pytest.mark.parametrize("kind", ["mask", "attention_mask"])
@pytest.mark.parametrize("marker", ["cu_seqlens", "seq_start_id", "seq_lens", "position_ids", "segment_ids"])
@pytest.mark.parametrize("align", [1, 4])
def test_mask_shows_the_padding(tmp_path, kind, marker, align):
    packing = PackSpec(emit=[marker], align=align)
    mask = MaskSpec(column=kind, dtype="int64", named=True)
    packed = pack_table(TABLE, spec=PadSpec(maxlen=8), packing=packing, mask=mask)
    table = without_metadata(packed).drop_columns(ALWAYS)
    [ids] = [unpad_table(table)["input_ids"].to_pylist()]
    assert sorted(ids) == sorted(IDS)
    assert rules(table, tmp_path / "packed.parquet") <= {"ignored-positions"}


def test_numbered_attention_mask():
    packed = pack_table(TABLE, spec=PadSpec(maxlen=8), packing=PackSpec(emit=["attention_mask"]))
    table = without_metadata(packed).drop_columns([*ALWAYS, "mask"])
    assert unpad_table(table)["input_ids"].to_pylist() == IDS
    assert "attention_mask" not in unpad_table(table).schema.names


@pytest.mark.parametrize(
    "columns",
    [
        {"segment_ids": [[0, 0, 0, 1, 1]]},
        {"segment_ids": [[1, 1, 1, 1, 0]]},
        {"attention_mask": [[1, 1, 1, 1, 0]]},
        {"position_ids": [[0, 1, 2, 3, 0]]},
        {"position_ids": [[0, 0, 0, 1, 2]], "attention_mask": [[0, 0, 1, 1, 1]]},
        {"cu_seqlens": [[3, 1]]},
        {"seq_lens": [["a", "b"]]},
        {"seq_lengths": [5]},
    ],
)
def test_rows_that_are_not_packed(columns):
    """Token types, masks, and positions with padding may have the same names as columns of packed rows."""
    table = pa.table({"input_ids": [[5, 6, 7, 8, 9]], **columns})
    assert find_table_packing(table) is None


def test_lost_columns(tmp_path):
    """The metadata says that the rows are packed, but nothing separates the sequences."""
    table = packed_in("trl").drop_columns(["seq_lengths"])
    with raises_error(SpecError, "seq_lengths"):
        unpad_table(table)
    with raises_error(PaddedError, column="input_ids"):
        pad_table(table)
    pq.write_table(table, tmp_path / "packed.parquet")
    with raises_error(SpecError, "seq_lengths"):
        unpad_file(tmp_path / "packed.parquet", tmp_path / "rows.jsonl")


@pytest.mark.parametrize("drop", [["id"], ["source_rows"], ["input_ids_positions"]])
def test_other_lost_columns(drop):
    """Packed rows are recognized even if a user removed other columns."""
    found = unpad_table(packed_in("grain").drop_columns(drop))
    assert sorted(found["input_ids"].to_pylist()) == sorted(IDS)


@pytest.mark.parametrize(
    ("marker", "values", "bad"),
    [
        ("segment_ids", [1, 2, 1, 2, 2], True),
        ("position_ids", [1, 2, 0, 1, 2], True),
        ("position_ids", [0, 2, 0, 1, 2], True),
        ("cu_seqlens", [0, 3, 2], True),
        ("cu_seqlens", [0, 3, 9], True),
        ("cu_seqlens", [0, 3, 5, 5, 5], False),
        ("seq_start_id", [1, 3], True),
        ("seq_start_id", [0, 3, 3], True),
        ("seq_start_id", [0, 5], True),
        ("seq_lens", [3, 3], True),
        ("seq_lens", [3, 2, 0], False),
    ],
)
def test_bad_separators(tmp_path, marker, values, bad):
    """`verify` reports a column that does not divide a row into sequences, and `unpad` refuses it."""
    names = {"segment_ids": [1, 1, 1, 2, 3], "position_ids": [0, 1, 2, 0, 1], "seq_start_id": [0, 3]}
    good = {"cu_seqlens": [0, 3, 5], "seq_lens": [3, 2], **names}[marker]
    table = pa.table({"input_ids": [[5, 6, 7, 8, 9]] * 3, marker: [good, good, values]})
    assert bool(rules(table, tmp_path / "packed.parquet") & {"seq-length-range"}) is bad
    if bad:
        with pytest.raises(Exception, match=marker):
            unpad_table(table)
    else:
        assert unpad_table(table).num_rows == 6


def test_padded_rows_are_not_packed(tmp_path):
    """Metadata that describe padding take precedence over a column that looks like sequence numbers."""
    table = pa.table({"input_ids": [[5, 6, 7], [8]], "segment_ids": [[0, 1, 2], [0]]})
    with raises_error(PaddedError, "segment_ids"):
        pad_table(table)
    padded = pad_table(table, ["input_ids", "segment_ids"], mask=MaskSpec(allow_padded=True))
    assert unpad_table(padded).to_pylist() == table.to_pylist()
    assert rules(padded, tmp_path / "padded.parquet") <= {"pad-value-in-tokens"}
    unpad_file(tmp_path / "padded.parquet", tmp_path / "rows.parquet")
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == table.to_pylist()


def test_padded_packed_rows():
    """If packed rows were padded afterwards, `unpad` removes only this padding, and the rows stay packed."""
    packed = without_metadata(packed_in("trl"))
    padded = pad_table(packed, mask=MaskSpec(allow_padded=True))
    assert unpad_table(padded).to_pylist() == packed.to_pylist()


ALIGNED = pa.table({"input_ids": [[11, 12, 13], [21, 22, 23, 24, 25], [31]]})


def pack_ids(align, *, emit=(), mask=None, table=ALIGNED):
    packing = PackSpec(align=align, emit=emit, algorithm="in-order")
    packed = pack_table(table, spec=PadSpec(maxlen=16), packing=packing, mask=mask or MaskSpec(column=None))
    return without_metadata(packed)


@each_value(dialect=MARKERS.keys(), suffix=["jsonl", "parquet"], align=[1, 4])
def test_align_without_metadata(tmp_path, dialect, suffix, align):
    """If there is neither a mask nor metadata, another column shows the padding between sequences."""
    table = without_metadata(packed_in(dialect, ALIGNED, 16, align=align))
    path = tmp_path / f"packed.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    unpad_file(path, tmp_path / "rows.parquet")
    found = pq.read_table(tmp_path / "rows.parquet")[ids_of(table)]
    assert found.to_pylist() == ALIGNED["input_ids"].to_pylist()
    assert not {finding.rule.name for finding in verify_file(path).data}


@pytest.mark.parametrize("align", [1, 4])
@pytest.mark.parametrize("dtype", ["bool", "int32"])
@pytest.mark.parametrize("name", ["mask", "attention_mask", "padding_mask"])
def test_mask_of_aligned_rows(align, dtype, name):
    packed = pack_ids(align, mask=MaskSpec(column=name, dtype=dtype, named=True))
    assert unpad_table(packed)["input_ids"].equals(ALIGNED["input_ids"].cast(pa.list_(pa.int32())))


@pytest.mark.parametrize("align", [1, 4])
def test_unknown_align(tmp_path, align):
    """Lengths alone do not show where the padding is, so `unpad` needs the option `align`."""
    packed = pack_ids(align)
    with raises_error(RowError, "seq_lengths", place="row 0", column="seq_lengths", option="align"):
        unpad_table(packed)
    spec = UnpadSpec(align=align)
    assert unpad_table(packed, spec=spec)["input_ids"].to_pylist() == ALIGNED["input_ids"].to_pylist()
    path = tmp_path / "packed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in packed.to_pylist()))
    with raises_error(RowError, "--align", place="packed.jsonl, line 1", option="align"):
        unpad_file(path, tmp_path / "rows.parquet")
    unpad_file(path, tmp_path / "rows.parquet", spec=spec)
    found = pq.read_table(tmp_path / "rows.parquet")["input_ids"]
    assert found.to_pylist() == ALIGNED["input_ids"].to_pylist()


def test_align_is_not_needed():
    """Rows without padding, and rows with one sequence, have no padding between sequences."""
    for ids in ([[1, 2, 3], [4, 5]], [[1, 2]]):
        packed = pack_table(pa.table({"input_ids": ids}), spec=PadSpec(maxlen=5), mask=MaskSpec(column=None))
        assert unpad_table(without_metadata(packed))["input_ids"].to_pylist() == ids


def test_later_rows_need_align():
    """The first 1,000 rows fit several values of align, and a later row fits only one."""
    lists = {"input_ids": [[1, 2, 3, 0, 4, 5, 6, 0]] * 1000, "seq_lengths": [[3, 3]] * 1000}
    starts = {"seq_start_id": [[0, 4]] * 1001}
    later = {"input_ids": [[1, 0, 4, 5, 6, 0, 0, 0]], "seq_lengths": [[1, 3]]}
    table = pa.table({**{name: lists[name] + later[name] for name in lists}, **starts})
    with raises_error(RowError, place="row 1000", option="align"):
        unpad_table(table)


@pytest.mark.parametrize("kept", ["metadata", "mask"])
def test_conflicting_align(kept):
    mask = MaskSpec() if kept == "mask" else MaskSpec(column=None)
    packed = pack_table(ALIGNED, spec=PadSpec(maxlen=16), packing=PackSpec(align=4), mask=mask)
    packed = packed if kept == "metadata" else without_metadata(packed)
    with raises_error(SpecError, option="align"):
        unpad_table(packed, spec=UnpadSpec(align=2))
