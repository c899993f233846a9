"""Packed files that are unpacked: the same rows, or an error that says which row is bad."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairs import each_value
from raised import raises_error
from row_files import read_rows as read
from row_files import write_rows

from padmask import (
    FileOptions,
    MaskSpec,
    PadSpec,
    RowError,
    RowPolicy,
    SpecError,
    UnpadSpec,
    WindowSpec,
    pack_table,
    pad_file,
    pad_table,
    unpad_file,
    unpad_table,
    verify_file,
)
from padmask.errors import PaddedError
from padmask.spec.pack import DERIVED, PackSpec
from padmask.stream.pack import pack_file

FORMATS = st.sampled_from(["jsonl", "parquet", "arrow"])
# The mask of packed rows has its own name, also beside an attention_mask of ones.
PACK_MASK = MaskSpec(named=True)
ANY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("tags", pa.list_(pa.string())),
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
        ("place", pa.struct([("x", pa.float64())])),
    ]
)


def row_of(number, length, tags=(), x=None):
    ids = [*range(1000 * number + 1, 1000 * number + 1 + length)]
    labels = [-100, *ids[1:]][:length]
    return {"id": number, "tags": [*tags], "input_ids": ids, "labels": labels, "place": {"x": x}}


def rows_of(*lengths):
    return [row_of(i, n) for i, n in enumerate(lengths)]


def write(path, rows):
    return write_rows(path, rows, SCHEMA)


def pack(rows, target, maxlen=9, *, mask=PACK_MASK, overlong="error", files=None, **options):
    spec = {name: options.pop(name) for name in ("windows", "keep_first", "keep_last") if name in options}
    return pack_file(
        rows,
        target,
        spec=PadSpec(maxlen=maxlen, **spec),
        packing=PackSpec(**options),
        mask=mask,
        policy=RowPolicy(overlong="truncate" if spec else overlong, empty_rows="drop"),
        files=files,
    )


ROWS = st.builds(
    row_of,
    st.just(0),
    st.integers(0, 30),
    st.lists(st.sampled_from(["a", '"', "ü", "[1]"]), max_size=2),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
)


def without_labels(rows):
    """Return the rows without labels, which pack replaces where sequences start."""
    return [{name: value for name, value in row.items() if name != "labels"} for row in rows]


PACKINGS = st.builds(
    dict,
    algorithm=st.sampled_from(["best-fit", "in-order", "wrap"]),
    pad=st.booleans(),
    align=st.sampled_from([1, 2, 4]),
    overlap=st.integers(0, 2),
    keep_first=st.integers(0, 2),
    keep_last=st.integers(0, 1),
    emit=st.sets(st.sampled_from(DERIVED)),
    boundary_labels=st.sampled_from(["keep", "mask"]),
)


def options_of(drawn, described):
    """Return drawn options of `pack`.

    If `described` is False, as in JSON Lines, options that need metadata have their defaults.
    """
    options = {name: drawn[name] for name in ("algorithm", "pad", "boundary_labels")}
    if described:
        options["emit"] = tuple(drawn["emit"])
    if drawn["algorithm"] != "wrap":
        options |= {name: drawn[name] for name in ("align", "keep_first")}
        options |= {"windows": WindowSpec(overlap=drawn["overlap"])}
        options["keep_last"] = drawn["keep_last"] if described else 0
    has_mask = options["pad"] or options.get("align", 1) > 1
    return options | {"mask": PACK_MASK if has_mask else MaskSpec(column=None)}


@pytest.mark.slow
@ANY
@given(
    drawn=st.lists(ROWS, max_size=25),
    formats=st.tuples(FORMATS, FORMATS, FORMATS),
    packing=PACKINGS,
    chunks=st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
def test_pack_and_unpad(tmp_path, drawn, formats, packing, chunks):
    rows = [row_of(i, len(row["input_ids"]), row["tags"], row["place"]["x"]) for i, row in enumerate(drawn)]
    source = write(tmp_path / f"in.{formats[0]}", rows)
    packed, target = tmp_path / f"packed.{formats[1]}", tmp_path / f"out.{formats[2]}"
    described = formats[1] != "jsonl"
    pack(source, packed, 8, files=FileOptions(batch_rows=chunks[0]), **options_of(packing, described))
    result = unpad_file(packed, target, files=FileOptions(batch_rows=chunks[1]))
    expected, found = [row for row in rows if row["input_ids"]], read(target)
    # JSON Lines has the packed columns last.
    if described and formats[0] != "jsonl":
        assert [[*row] for row in found] == [[*row] for row in expected]
    if packing["boundary_labels"] == "mask":
        expected, found = without_labels(expected), without_labels(found)
    assert found == expected
    assert result.ledger.rows_written == len(expected)
    assert result.ledger.tokens_kept == sum(len(row["input_ids"]) for row in expected)
    if formats[1] == "parquet":
        table = unpad_table(pq.read_table(packed))
        assert without_labels(table.to_pylist()) == without_labels(expected)


def test_rows_of_several_files(tmp_path):
    (tmp_path / "packed").mkdir()
    for name, first in (("a", 0), ("b", 5)):
        source = write(tmp_path / f"{name}.parquet", [row_of(first + i, n) for i, n in enumerate([3, 5, 4])])
        pack(source, tmp_path / f"packed/{name}.parquet")
    unpad_file(tmp_path / "packed", tmp_path / "out.jsonl")
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == [0, 1, 2, 5, 6, 7]


def test_without_sources(tmp_path):
    source = write(tmp_path / "in.jsonl", rows_of(4, 9, 5))
    pack(source, tmp_path / "packed.parquet", source=False)
    result = unpad_file(tmp_path / "packed.parquet", tmp_path / "out.jsonl")
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == [0, 2, 1]
    assert any("source_rows" in note for note in result.notes)


def test_end_tokens_stay(tmp_path):
    source = write(tmp_path / "in.jsonl", rows_of(2))
    pack(source, tmp_path / "packed.parquet", eos=7)
    result = unpad_file(tmp_path / "packed.parquet", tmp_path / "out.jsonl")
    assert read(tmp_path / "out.jsonl")[0]["input_ids"] == [1, 2, 7]
    assert "--eos" in result.remarks[0]


@pytest.mark.parametrize("joins", [True, False])
def test_pieces_as_rows(tmp_path, joins):
    source = write(tmp_path / "in.jsonl", rows_of(20))
    pack(source, tmp_path / "packed.parquet", windows=WindowSpec())
    spec = UnpadSpec(join_windows=joins)
    unpad_file(tmp_path / "packed.parquet", tmp_path / "out.jsonl", spec=spec)
    assert [len(row["input_ids"]) for row in read(tmp_path / "out.jsonl")] == ([20] if joins else [9, 9, 2])


@each_value(
    case=[
        ({"seq_lengths": [9, 1]}, "seq_lengths"),
        ({"seq_lengths": [4, 4]}, "mask"),
        ({"seq_lengths": [-4, 13]}, "seq_lengths"),
        ({"seq_lengths": [4, 5, 0]}, "source_rows"),
        ({"source_rows": [7]}, "source_rows"),
        ({"source_starts": None}, "source_starts"),
        ({"id": [0]}, "id"),
        ({"labels": [1]}, "labels"),
        ({"mask": [True] * 3 + [False, True] + [True] * 4}, "mask"),
    ],
    format_=["jsonl", "parquet"],
)
def test_bad_row(tmp_path, case, format_):
    change, column = case
    source = write(tmp_path / "in.jsonl", rows_of(4, 6, 5, 3))
    pack(source, tmp_path / "packed.jsonl")
    good, bad = read(tmp_path / "packed.jsonl")
    table = pa.Table.from_pylist([good, {**bad, **change}])
    path = tmp_path / f"bad.{format_}"
    if format_ == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        pq.write_table(table, path)
    with pytest.raises(RowError) as error:
        unpad_file(path, tmp_path / "out.jsonl")
    assert (error.value.column, error.value.place.number) == (column, 1 + (format_ == "jsonl"))
    rejects = tmp_path / "rejects.jsonl"
    files = FileOptions(rejects=rejects)
    result = unpad_file(path, tmp_path / "out.jsonl", on_error="skip", files=files)
    assert (result.ledger.rows_read, result.ledger.rows_rejected, result.ledger.rows_used) == (2, 1, 1)
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == good["id"]
    assert len(read(rejects)) == 1


def test_missing_piece(tmp_path):
    source = write(tmp_path / "in.jsonl", rows_of(20, 3))
    pack(source, tmp_path / "packed.parquet", windows=WindowSpec())
    table = pq.read_table(tmp_path / "packed.parquet")
    pq.write_table(table.slice(1), tmp_path / "part.parquet")
    with pytest.raises(RowError, match="source row 0"):
        unpad_file(tmp_path / "part.parquet", tmp_path / "out.jsonl")
    with pytest.raises(RowError, match="source row 0"):
        unpad_table(table.slice(1))
    result = unpad_file(tmp_path / "part.parquet", tmp_path / "out.jsonl", on_error="skip")
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == [1]
    assert (result.ledger.sequences, result.ledger.sequences_rejected) == (3, 2)


def test_joined_packed_files(tmp_path):
    for name in "ab":
        pack(write(tmp_path / f"{name}.jsonl", rows_of(4, 5)), tmp_path / f"packed-{name}.jsonl")
    both = tmp_path / "both.jsonl"
    both.write_text((tmp_path / "packed-a.jsonl").read_text() + (tmp_path / "packed-b.jsonl").read_text())
    with pytest.raises(RowError, match="several packed files"):
        unpad_file(both, tmp_path / "out.jsonl")


def test_unknown_kept_ends(tmp_path):
    source = write(tmp_path / "in.jsonl", rows_of(20))
    pack(source, tmp_path / "packed.jsonl", windows=WindowSpec(overlap=1), keep_last=2)
    with pytest.raises(RowError, match="overlaps the previous piece, but the repeated tokens differ"):
        unpad_file(tmp_path / "packed.jsonl", tmp_path / "out.jsonl")


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
@pytest.mark.parametrize("pad", [True, False])
def test_packed_rows_are_refused(tmp_path, format_, pad):
    packed = tmp_path / f"packed.{format_}"
    mask = PACK_MASK if pad else MaskSpec(column=None)
    pack(write(tmp_path / "in.jsonl", rows_of(4, 9, 5)), packed, pad=pad, mask=mask)
    for run in (pack, pad_file):
        with pytest.raises(PaddedError) as error:
            run(packed, tmp_path / "out.jsonl")
        assert error.value.column == "input_ids"
        assert "padmask unpad" in str(error.value)
    result = pad_file(packed, tmp_path / "out.jsonl", mask=MaskSpec(allow_padded=True, overwrite=True))
    assert result.ledger.rows_written == 2


def test_packed_table_is_refused(tmp_path):
    pack(write(tmp_path / "in.jsonl", rows_of(4, 5)), tmp_path / "packed.parquet")
    with pytest.raises(PaddedError):
        pad_table(pq.read_table(tmp_path / "packed.parquet"))


def test_limit_could_lose_pieces(tmp_path):
    pack(write(tmp_path / "in.jsonl", rows_of(20)), tmp_path / "packed.parquet", windows=WindowSpec())
    with pytest.raises(SpecError) as error:
        unpad_file(tmp_path / "packed.parquet", tmp_path / "out.jsonl", files=FileOptions(limit=1))
    assert "limit" in error.value.options


def test_differently_packed_files(tmp_path):
    (tmp_path / "packed").mkdir()
    for name, options in (("a", {}), ("b", {"windows": WindowSpec()})):
        pack(write(tmp_path / f"{name}.jsonl", rows_of(4, 5)), tmp_path / f"packed/{name}.parquet", **options)
    with pytest.raises(PaddedError):
        unpad_file(tmp_path / "packed", tmp_path / "out.jsonl")


def test_unrelated_seq_lengths(tmp_path):
    """The name and the type of `seq_lengths` show packed rows.

    Rows in which `seq_lengths` is wrong are therefore bad, and are not read as padded rows.
    """
    row = {"input_ids": [1, 2, 0], "mask": [True, True, False], "seq_lengths": [9]}
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
    with raises_error(RowError, "rename", column="seq_lengths"):
        unpad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    [finding] = verify_file(tmp_path / "in.jsonl").data
    assert (finding.rule.name, finding.column) == ("seq-lengths-sum", "seq_lengths")


def with_packing(table, **options):
    """Return a packed table whose metadata describes other options of packing."""
    described = json.loads(table.schema.metadata[b"padmask"])
    described["packing"] |= options
    return table.replace_schema_metadata({b"padmask": json.dumps(described)})


def test_shifted_labels_and_names(tmp_path):
    pack(write(tmp_path / "in.jsonl", rows_of(4)), tmp_path / "packed.parquet", emit=["position_ids"])
    table = pq.read_table(tmp_path / "packed.parquet")
    metadata = table.schema.metadata
    labels = pa.array([[2, 3, 4, *[-100] * 6]], table.schema.field("labels").type)
    table = table.set_column(table.schema.names.index("labels"), "labels", labels)
    names = ["input_ids_places" if name == "position_ids" else name for name in table.schema.names]
    packed = table.rename_columns(names).replace_schema_metadata(metadata)
    packed = with_packing(packed, boundary_labels="shift", names=[["position_ids", "{column}_places"]])
    assert unpad_table(packed).to_pylist() == rows_of(4)


@pytest.mark.parametrize("options", [{"align": "2"}, {"align": -1}, {"emit": 3}, {"names": [1]}])
def test_bad_description_of_packing(tmp_path, options):
    pack(write(tmp_path / "in.jsonl", rows_of(4, 5)), tmp_path / "packed.parquet")
    packed = with_packing(pq.read_table(tmp_path / "packed.parquet"), **options)
    assert unpad_table(packed)["id"].to_pylist() == [0, 1]


def test_lost_column_of_kept_ends(tmp_path):
    pack(
        write(tmp_path / "in.jsonl", rows_of(20)),
        tmp_path / "packed.parquet",
        windows=WindowSpec(),
        keep_last="id",
        fields="drop",
    )
    with pytest.raises(SpecError, match="keep-last"):
        unpad_file(tmp_path / "packed.parquet", tmp_path / "out.jsonl")


def test_sources_without_lengths(tmp_path):
    """The source columns show packed rows, even if no column separates the sequences."""
    packed = pack(write(tmp_path / "in.jsonl", rows_of(4, 5)), tmp_path / "packed.parquet")
    assert packed.ledger.rows_written == 1
    table = pq.read_table(tmp_path / "packed.parquet").drop_columns(["seq_lengths"])
    table = table.replace_schema_metadata(None)
    with raises_error(SpecError, "seq_lengths", "source_rows"):
        unpad_table(table)
    with raises_error(PaddedError, "source_rows", column="input_ids"):
        pad_table(table)
    for path in (tmp_path / "part.parquet", tmp_path / "part.jsonl"):
        if path.suffix == ".parquet":
            pq.write_table(table, path)
        else:
            write_rows(path, table.to_pylist(), table.schema)
        with raises_error(SpecError, "seq_lengths"):
            unpad_file(path, tmp_path / "out.jsonl")
        for run in (pack, pad_file):
            with raises_error(PaddedError, column="input_ids"):
                run(path, tmp_path / "out.jsonl")


@pytest.mark.parametrize("kept", [[0, 1], [2]])
def test_removed_packed_rows(tmp_path, kept):
    """A row without its last piece looks complete, but the metadata has the number of packed rows."""
    pack(write(tmp_path / "in.jsonl", rows_of(18, 9)), tmp_path / "packed.parquet", windows=WindowSpec())
    table = pq.read_table(tmp_path / "packed.parquet")
    pq.write_table(table.take(kept), tmp_path / "part.parquet")
    spec = UnpadSpec(join_windows=False)
    [note] = unpad_file(tmp_path / "part.parquet", tmp_path / "out.jsonl", spec=spec).notes
    assert "3 packed rows" in note and str(len(kept)) in note
    with pytest.warns(UserWarning, match="3 packed rows"):
        unpad_table(table.take(kept), spec=spec)
    made = pack_table(pa.Table.from_pylist(rows_of(18, 9)), spec=PadSpec(maxlen=10, windows=WindowSpec()))
    with pytest.warns(UserWarning, match="3 packed rows"):
        unpad_table(made.take(kept), spec=spec)
    assert not unpad_file(tmp_path / "packed.parquet", tmp_path / "out.jsonl").notes
    assert not unpad_file(
        tmp_path / "part.parquet", tmp_path / "out.jsonl", spec=spec, files=FileOptions(limit=1)
    ).notes


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_missing_first_piece(tmp_path, suffix):
    """Without metadata, a row without its first tokens may be truncated, so a note counts these rows."""
    pack(write(tmp_path / "in.jsonl", rows_of(20, 9)), tmp_path / "packed.parquet", windows=WindowSpec())
    table = pq.read_table(tmp_path / "packed.parquet").replace_schema_metadata(None)
    path = tmp_path / f"part.{suffix}"
    for rows, count in ((table.slice(2), 1), (table, None)):
        if suffix == "parquet":
            pq.write_table(rows, path)
        else:
            write_rows(path, rows.to_pylist(), rows.schema)
        notes = unpad_file(path, tmp_path / "out.jsonl").notes
        assert [f": {count}." in note for note in notes] == ([] if count is None else [True])
    with pytest.warns(UserWarning, match=": 1."):
        unpad_table(table.slice(2))


@pytest.mark.parametrize("described", [True, False])
@pytest.mark.parametrize("length", [9, 20])
def test_pieces_in_input_order(tmp_path, described, length):
    """If the order of the source rows is not restored, pieces are not joined, and a note says so."""
    pack(write(tmp_path / "in.jsonl", rows_of(length)), tmp_path / "packed.parquet", windows=WindowSpec())
    table = pq.read_table(tmp_path / "packed.parquet")
    pq.write_table(table if described else table.replace_schema_metadata(None), tmp_path / "p.parquet")
    spec = UnpadSpec(restore_order=False)
    notes = unpad_file(tmp_path / "p.parquet", tmp_path / "out.jsonl", spec=spec).notes
    assert ["--no-restore-order" in note for note in notes] == ([True] if length == 20 else [])
    alone = UnpadSpec(restore_order=False, join_windows=False)
    assert not unpad_file(tmp_path / "p.parquet", tmp_path / "out.jsonl", spec=alone).notes


@pytest.mark.parametrize("options", [{"padding": "pre"}, {"padding": "post"}, {"keep_mask": True}])
def test_unsupported_options(tmp_path, options):
    pack(write(tmp_path / "in.jsonl", rows_of(4)), tmp_path / "packed.parquet")
    [option] = options
    with raises_error(SpecError, option=option):
        unpad_file(tmp_path / "packed.parquet", tmp_path / "out.jsonl", spec=UnpadSpec(**options))
    with raises_error(SpecError, option=option):
        unpad_table(pq.read_table(tmp_path / "packed.parquet"), spec=UnpadSpec(**options))


@pytest.mark.parametrize("type_", [pa.float32(), pa.float64(), pa.list_(pa.float32(), 2)], ids=str)
def test_repeated_nan(tmp_path, type_):
    """Windows that repeat NaN are joined."""
    values = [1.0, 2.0, float("nan"), 4.0, 5.0]
    if not pa.types.is_floating(type_):
        values = [[value, float("nan")] for value in values]
    table = pa.table({"x": pa.array([values], pa.list_(type_))})
    pq.write_table(table, tmp_path / "in.parquet")
    pack(tmp_path / "in.parquet", tmp_path / "packed.parquet", 3, windows=WindowSpec(overlap=1))
    unpad_file(tmp_path / "packed.parquet", tmp_path / "out.parquet")
    for found in (
        pq.read_table(tmp_path / "out.parquet"),
        unpad_table(pq.read_table(tmp_path / "packed.parquet")),
    ):
        assert repr(found.to_pylist()) == repr(table.to_pylist())


@pytest.mark.parametrize(("suffix", "unit"), [("parquet", "rows 0 and 1"), ("jsonl", "lines 1 and 2")])
def test_repeated_source_row(tmp_path, suffix, unit):
    """Two packed rows with the same source row are both named."""
    pack(write(tmp_path / "in.jsonl", rows_of(8, 9)), tmp_path / "packed.parquet")
    table = pq.read_table(tmp_path / "packed.parquet")
    index = table.schema.names.index("source_rows")
    table = table.set_column(index, table.schema.field(index), [pa.array([[1], [1]], pa.list_(pa.int64()))])
    path = tmp_path / f"bad.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        write_rows(path, table.to_pylist(), table.schema)
    with raises_error(RowError, "source row 1", unit):
        unpad_file(path, tmp_path / "out.jsonl")
    if suffix == "parquet":
        with raises_error(RowError, "source row 1", unit):
            unpad_table(table)


def test_note_of_shifted_labels(tmp_path):
    """JSON Lines does not say whether pack moved the labels, so the note names both options."""
    pack(write(tmp_path / "in.jsonl", rows_of(4, 3)), tmp_path / "packed.jsonl", boundary_labels="shift")
    [remark] = unpad_file(tmp_path / "packed.jsonl", tmp_path / "out.jsonl").remarks
    assert "--boundary-labels shift" in remark and "--boundary-labels mask" in remark


TYPED = pa.table(
    {
        "input_ids": pa.array([[1, 2], [3], [4, 5, 6]], pa.list_(pa.int32())),
        "name": pa.array(["a", None, "a"], pa.dictionary(pa.int8(), pa.string())),
        "key": pa.array([b"0" * 16, b"1" * 16, None], pa.binary(16)).cast(pa.uuid()),
        "flag": pa.array([1, 0, None], pa.int8()).cast(pa.bool8()),
    }
)


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
def test_types_of_fields(tmp_path, suffix):
    """Dictionaries and extension types of other columns are restored."""
    source, packed, target = (tmp_path / f"{name}.{suffix}" for name in ("in", "packed", "out"))
    write_table(source, TYPED)
    pack_file(source, packed, spec=PadSpec(maxlen=4), columns=["input_ids"])
    unpad_file(packed, target)
    assert read_table(target).equals(TYPED)
    assert unpad_table(read_table(packed)).equals(TYPED)


def test_several_dictionaries():
    """Batches with different dictionaries are joined."""
    parts = [
        pack_table(TYPED.take([2 * i, 1]), ["input_ids"], PadSpec(maxlen=4), packing=PackSpec(source=False))
        for i in range(2)
    ]
    names = unpad_table(pa.concat_tables(parts))["name"]
    assert (names.to_pylist(), names.type) == (["a", None, "a", None], TYPED["name"].type)


def write_table(path, table):
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)


def read_table(path):
    return pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()
