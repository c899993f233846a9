"""Packed files: rows, counts, and the same bytes for every kind of run."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raised import has_facts, raises_error
from row_files import read_rows, write_rows

from padmask import DataError, FileOptions, PadSpec, RowPolicy, SpecError, WindowSpec, pack_table, verify_file
from padmask.cli import run
from padmask.core import pack_windows
from padmask.spec.pack import PackSpec
from padmask.stream import pack_blocks, sort_windows
from padmask.stream.pack import pack_file

SCHEMA = pa.schema([("id", pa.int64()), ("ids", pa.list_(pa.int64())), ("labels", pa.list_(pa.int64()))])
FORMATS = st.sampled_from(["jsonl", "parquet", "arrow"])
COLUMNS = ["ids", "labels=-100"]
ANY = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(path, rows):
    return write_rows(path, rows, SCHEMA)


def rows_of(lengths):
    return [
        {"id": i, "ids": [*range(100 * i, 100 * i + n)], "labels": [i] * n} for i, n in enumerate(lengths)
    ]


def pack(source, target, maxlen=9, *, packing=None, files=None, **spec):
    policy = RowPolicy(overlong="truncate" if spec else "error", empty_rows="drop")
    return pack_file(
        source,
        target,
        columns=COLUMNS,
        spec=PadSpec(maxlen=maxlen, **spec),
        packing=packing,
        policy=policy,
        files=files,
    )


def sequences_of(rows):
    """Return (source row, first token, tokens, labels, id) of each sequence."""
    found = []
    for row in rows:
        first = 0
        places = zip(row["seq_lengths"], row["source_rows"], row["source_starts"], row["id"], strict=True)
        for length, source, start, name in places:
            part = slice(first, first + length)
            found.append((source, start, row["ids"][part], row["labels"][part], name))
            first += length
        assert row["mask"] == [True] * first + [False] * (len(row["ids"]) - first)
        assert row["ids"][first:] == [0] * (len(row["ids"]) - first)
        assert row["labels"][first:] == [-100] * (len(row["ids"]) - first)
    return found


@ANY
@given(
    lengths=st.lists(st.integers(0, 30), max_size=40),
    algorithm=st.sampled_from(["best-fit", "in-order", "wrap"]),
    formats=st.tuples(FORMATS, FORMATS),
    window=st.integers(1, 9),
    chunk=st.integers(1, 7),
)
def test_every_token_is_packed_once(tmp_path, lengths, algorithm, formats, window, chunk):
    rows = rows_of(lengths)
    source = write(tmp_path / f"in.{formats[0]}", rows)
    target = tmp_path / f"out.{formats[1]}"
    packing = PackSpec(algorithm=algorithm)
    spec = {} if algorithm == "wrap" else {"windows": WindowSpec()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sort_windows, "WINDOW_SEQUENCES", window)
        patch.setattr(pack_blocks, "BATCH_POSITIONS", 20)
        result = pack(source, target, packing=packing, files=FileOptions(batch_rows=chunk), **spec)
    packed = read_rows(target)
    pieces = {}
    for number, start, ids, labels, name in sequences_of(packed):
        assert labels == [-100, *[number] * (len(ids) - 1)]
        assert name == number
        pieces.setdefault(number, {})[start] = ids
    joined = {
        number: [i for _, its in sorted(parts.items()) for i in its] for number, parts in pieces.items()
    }
    assert joined == {row["id"]: row["ids"] for row in rows if row["ids"]}
    assert all(len(row["ids"]) == 9 for row in packed)
    ledger = result.ledger
    assert ledger.rows_written == len(packed) >= ledger.rows_at_least
    assert ledger.tokens_kept == ledger.tokens_read == sum(lengths)
    assert ledger.rows_dropped == lengths.count(0)
    assert ledger.places == 9 * len(packed)
    assert ledger.sequences == sum(len(row["seq_lengths"]) for row in packed)
    assert ledger.most_sequences == max((len(row["seq_lengths"]) for row in packed), default=0)


@ANY
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    format_=FORMATS,
    runs=st.lists(st.tuples(st.integers(1, 50), st.sampled_from([1, 2, 8])), min_size=2, max_size=2),
    window=st.integers(2, 20),
)
@pytest.mark.slow
def test_same_bytes_for_chunks_and_threads(tmp_path, lengths, format_, runs, window):
    source = write(tmp_path / f"in.{format_}", rows_of(lengths))
    found = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sort_windows, "WINDOW_SEQUENCES", window)
        for rows, threads in runs:
            target = tmp_path / f"out.{format_}"
            pack(source, target, files=FileOptions(batch_rows=rows, threads=threads))
            found.add(target.read_bytes())
    assert len(found) == 1


def test_row_longer_than_maxlen(tmp_path):
    source = write(tmp_path / "in.jsonl", rows_of([3, 10]))
    with pytest.raises(DataError) as error:
        pack(source, tmp_path / "out.jsonl")
    assert (error.value.place.number, error.value.options) == (2, ("maxlen", "overlong"))
    assert not (tmp_path / "out.jsonl").exists()


def test_end_tokens_are_counted(tmp_path):
    source = write(tmp_path / "in.jsonl", [{"id": 0, "ids": [5, 2], "labels": [5, 2]}, *rows_of([8])])
    result = pack(source, tmp_path / "out.jsonl", packing=PackSpec(eos=2))
    assert sorted(its[2] for its in sequences_of(read_rows(tmp_path / "out.jsonl"))) == [
        [*range(8), 2],
        [5, 2],
    ]
    ledger = result.ledger
    assert (ledger.tokens_read, ledger.tokens_kept, ledger.tokens_added) == (10, 10, 1)


def test_end_token_makes_a_row_too_long(tmp_path):
    source = write(tmp_path / "in.jsonl", rows_of([9]))
    with raises_error(DataError, "including the end token", "10 tokens", option="maxlen"):
        pack(source, tmp_path / "out.jsonl", packing=PackSpec(eos=2))
    # Truncation removes the end token again, so no token was added.
    result = pack(source, tmp_path / "out.jsonl", packing=PackSpec(eos=2), truncating="post")
    assert (result.ledger.tokens_kept, result.ledger.tokens_added) == (9, 0)
    result = pack(source, tmp_path / "out.jsonl", packing=PackSpec(eos=2), keep_last=1)
    assert (result.ledger.tokens_kept, result.ledger.tokens_added) == (8, 1)


def test_lost_end_tokens_are_counted(tmp_path):
    source = write(tmp_path / "in.jsonl", rows_of([4, 2]))
    result = pack(source, tmp_path / "out.jsonl", 4, packing=PackSpec(eos=2), truncating="post")
    ledger = result.ledger
    assert (ledger.tokens_lost, ledger.labels_lost, ledger.tokens_added) == (0, 0, 1)
    assert (ledger.rows_truncated, ledger.ends_lost, result.shared_end) == (1, 1, 2)
    source = write(tmp_path / "in.jsonl", rows_of([6]))
    result = pack(source, tmp_path / "out.jsonl", 4, packing=PackSpec(eos=2), truncating="post")
    assert (result.ledger.tokens_lost, result.ledger.labels_lost) == (2, 2)


@pytest.mark.parametrize("name", ["out.npz", "out.npy/"])
def test_array_files_are_refused(tmp_path, name):
    source = write(tmp_path / "in.jsonl", rows_of([4]))
    with pytest.raises(SpecError) as error:
        pack_file(source, f"{tmp_path}/{name}", columns=COLUMNS, spec=PadSpec(maxlen=4))
    assert "output_format" in error.value.options


def test_bad_rows_are_rejected(tmp_path):
    source = write(tmp_path / "in.jsonl", [*rows_of([3]), {"id": 1, "ids": [1], "labels": []}, *rows_of([2])])
    result = pack_file(
        source,
        tmp_path / "out.jsonl",
        columns=COLUMNS,
        spec=PadSpec(maxlen=9),
        policy=RowPolicy(on_error="skip", empty_rows="drop"),
        files=FileOptions(rejects=str(tmp_path / "bad.jsonl")),
    )
    assert (result.ledger.rows_used, result.ledger.rows_rejected) == (2, 1)
    assert [its[0] for its in sequences_of(read_rows(tmp_path / "out.jsonl"))] == [0, 2]
    assert len(read_rows(tmp_path / "bad.jsonl")) == 1


def test_companions_are_packed(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"input_ids":[1,2],"labels":[1,2],"spans":[[3]],"tags":[4]}\n')
    result = pack_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", spec=PadSpec(maxlen=4))
    assert any("also packed" in remark and "'labels'" in remark for remark in result.remarks)
    assert not any("--own-length" in note for note in result.notes)


def test_missing_fields_become_null(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"input_ids":[1],"a":"x"}\n{"b":{"c":1},"input_ids":[2]}\n')
    pack_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", spec=PadSpec(maxlen=4))
    [row] = read_rows(tmp_path / "out.jsonl")
    assert (row["a"], row["b"]) == (["x", None], [None, {"c": 1}])


def test_mask_of_ones_is_left_out(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"input_ids":[1,2],"attention_mask":[1,1]}\n')
    pack_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", spec=PadSpec(maxlen=4))
    [row] = read_rows(tmp_path / "out.jsonl")
    assert "attention_mask" not in row
    assert row["mask"] == [True, True, False, False]


@pytest.mark.parametrize(
    ("spec", "packing", "options"),
    [
        ({"padding": "pre"}, {}, ("padding", "algorithm")),
        ({"own_lengths": {"labels": 3}}, {}, ("own_lengths", "algorithm")),
        ({"windows": WindowSpec()}, {"algorithm": "wrap"}, ("algorithm", "overlong")),
        ({"keep_last": 1}, {"algorithm": "wrap"}, ("algorithm", "keep_last")),
        ({"maxlen": "longest"}, {"eos": 2}, ("eos", "maxlen")),
        ({"maxlen": 10}, {"align": 4}, ("maxlen", "align")),
        ({"maxlen": 0}, {}, ("maxlen",)),
        ({}, {"algorithm": "wrap", "align": 2}, ("algorithm", "align")),
        ({}, {"emit": ["positions"]}, ("emit",)),
    ],
)
def test_meaningless_options(spec, packing, options):
    with pytest.raises(SpecError) as error:
        PadSpec(**{"maxlen": 8, **spec}, packing=PackSpec(**packing))
    assert tuple(error.value.options) == options


def test_empty_input_gives_no_rows(tmp_path):
    source = write(tmp_path / "in.parquet", [])
    result = pack(source, tmp_path / "out.parquet")
    assert (result.ledger.rows_written, read_rows(tmp_path / "out.parquet")) == (0, [])


def test_few_rows_wait_for_the_next_window(tmp_path, monkeypatch):
    # No two rows fit together. The number of rows that wait for another row is limited, and so is the memory.
    monkeypatch.setattr(sort_windows, "WINDOW_SEQUENCES", 10)
    monkeypatch.setattr(pack_windows, "CARRIED_ROWS", 2)
    source = write(tmp_path / "in.parquet", rows_of([6] * 50))
    result = pack(source, tmp_path / "out.parquet")
    assert result.ledger.rows_written == 50


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 25), min_size=1, max_size=6),
    st.integers(0, 1),
    st.integers(0, 1),
    st.integers(0, 4),
)
def test_each_label_counts_once(tmp_path, lengths, first, last, overlap):
    """If only new tokens of a window have labels, packed windows contain each label of the input once."""
    tokens = iter(range(1, sum(lengths) + 1))
    rows = [[next(tokens) for _ in range(length)] for length in lengths]
    pq.write_table(pa.table({"input_ids": rows, "labels": rows}), tmp_path / "in.parquet")
    windows = WindowSpec(overlap=overlap, labels="new")
    spec = PadSpec(maxlen=8, keep_first=first, keep_last=last, windows=windows)

    def pack_with(boundary: str) -> tuple[list[int], int]:
        packing = PackSpec(boundary_labels=boundary)
        result = pack_file(tmp_path / "in.parquet", tmp_path / "out.parquet", spec=spec, packing=packing)
        labels = pq.read_table(tmp_path / "out.parquet")["labels"].to_pylist()
        return sorted(
            label for row in labels for label in row if label != -100
        ), result.ledger.boundary_labels

    every = sorted(token for row in rows for token in row)
    assert pack_with("keep") == (every, 0)
    for boundary in ("mask", "shift"):
        counted, masked = pack_with(boundary)
        assert len(counted) + masked == len(every)


def test_loss_mask_of_windows(tmp_path):
    pq.write_table(pa.table({"input_ids": [[1, 2, 3, 4, 5, 6]]}), tmp_path / "in.parquet")
    spec = PadSpec(maxlen=4, windows=WindowSpec(overlap=2, labels="new"))
    target = tmp_path / "out.parquet"
    pack_file(tmp_path / "in.parquet", target, spec=spec, packing=PackSpec(emit=["loss_mask"]))
    table = pq.read_table(target)
    assert table["input_ids"].to_pylist() == [[1, 2, 3, 4], [3, 4, 5, 6]]
    assert table["loss_mask"].to_pylist() == [[1, 1, 1, 0], [0, 1, 1, 0]]
    assert verify_file(target, proof=None).data == []


@pytest.mark.parametrize(
    ("options", "masked"),
    [
        ("", 1),
        ("--overlong split --maxlen 2", 2),
        ("--algorithm wrap --maxlen 2", 3),
        ("--boundary-labels shift", 1),
        ("--boundary-labels keep", 0),
    ],
)
def test_first_labels_are_counted(tmp_path, capsys, options, masked):
    rows = [{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}, {"input_ids": [4, 5], "labels": [4, 5]}]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    target, report = tmp_path / "out.jsonl", tmp_path / "report.json"
    assert run(["pack", str(source), "-o", str(target), "--report", str(report), *options.split()]) == 0
    counts = json.loads(report.read_text())
    assert (counts["boundary_labels"], counts["labels_lost"]) == (masked, 0)
    written = [label for row in map(json.loads, target.read_text().splitlines()) for label in row["labels"]]
    assert sum(label != -100 for label in written) == 4 - masked
    summary = capsys.readouterr().err
    assert has_facts(summary, masked, "label" if masked == 1 else "labels", "--boundary-labels") is (
        masked > 0
    )


def test_window_labels(tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"input_ids": [1, 2, 3, 4], "labels": [1, 2, 3, 4]}) + "\n")
    asked = ["--maxlen", "3", "--overlong", "window", "--overlap", "2", "--boundary-labels", "keep", "-q"]
    assert run(["pack", str(source), "-o", str(target), *asked, "--window-labels", "new"]) == 0
    assert [json.loads(line)["labels"] for line in target.read_text().splitlines()] == [
        [1, 2, 3],
        [-100, -100, 4],
    ]


@pytest.mark.parametrize("bad", [0, 1, 1200])
@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
@pytest.mark.slow
def test_companion_of_other_length(tmp_path, format_, bad):
    """A row whose labels have another length than its ids is bad, wherever the row is in the input."""
    rows = [{"input_ids": [1, 2], "labels": [1, 2]} for _ in range(1201)]
    rows[bad]["labels"] = [1]
    schema = pa.schema([("input_ids", pa.list_(pa.int64())), ("labels", pa.list_(pa.int64()))])
    source, target = write_rows(tmp_path / f"in.{format_}", rows, schema), tmp_path / "out.parquet"
    place = f"line {bad + 1}" if format_ == "jsonl" else f"row {bad}"
    with raises_error(DataError, "labels", "-c input_ids", place=place, option="columns") as error:
        pack_file(source, target)
    assert "own-length" not in str(error.value)
    with raises_error(DataError, "labels", "['input_ids']", place=f"row {bad}"):
        pack_table(pa.Table.from_pylist(rows, schema))
    result = pack_file(source, target, policy=RowPolicy(on_error="skip"))
    assert (result.ledger.rows_rejected, result.ledger.sequences) == (1, 1200)
    alone = pack_table(pa.Table.from_pylist(rows[:2], schema), ["input_ids"])
    assert alone["labels"].to_pylist() == [[row["labels"]] for row in rows[:2]]
