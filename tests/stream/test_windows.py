"""Windows and kept ends in files: values, other columns, counts and row numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import cut_between_ends, pad_lists, split_row
from raised import raises_error
from row_files import read_rows as read
from row_files import write_rows

from padmask import (
    DataError,
    FileOptions,
    MaskSpec,
    PadSpec,
    RowPolicy,
    SpecError,
    UnpadSpec,
    WindowSpec,
    pad,
    pad_file,
    pad_table,
    unpad_file,
    unpad_table,
)
from padmask.core import arrow_lists

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("ids", pa.list_(pa.int64())),
        ("labels", pa.list_(pa.int64())),
        ("n", pa.int64()),
    ]
)
SIDES = st.sampled_from(["pre", "post"])
FORMATS = st.sampled_from(["jsonl", "parquet", "arrow"])


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    return write_rows(path, rows, SCHEMA)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[dict[str, Any]], PadSpec]:
    """Generate rows and options. The first and last tokens to keep fit in each output row."""
    maxlen = draw(st.integers(1, 8))
    overlap = draw(st.none() | st.integers(0, maxlen - 1))
    room = maxlen if overlap is None else maxlen - overlap - 1
    first = draw(st.integers(0, room))
    last = draw(st.integers(0, room - first))
    lengths = draw(st.lists(st.integers(0, 20), min_size=1, max_size=7))
    rows = [
        {"name": str(i), "ids": list(range(100 * i, 100 * i + n)), "labels": [5] * n}
        | {"n": draw(st.integers(0, last))}
        for i, n in enumerate(lengths)
    ]
    labels = draw(st.sampled_from(["all", "new"]))
    return rows, PadSpec(
        maxlen=maxlen,
        padding=draw(SIDES),
        truncating=draw(SIDES),
        keep_first=first,
        keep_last=draw(st.sampled_from([last, "n"])),
        windows=None if overlap is None else WindowSpec(overlap=overlap, labels=labels),
    )


def parts_of(row: dict[str, Any], spec: PadSpec) -> list[tuple[list[int], set[int], dict[str, int]]]:
    """Return, for each output row: the places of its tokens, the repeated places, and the added columns."""
    length, first = len(row["ids"]), spec.keep_first
    last = row["n"] if spec.keep_last == "n" else spec.keep_last
    if spec.windows is None:
        return [(cut_between_ends(list(range(length)), spec.maxlen, first, last, spec.truncating), set(), {})]
    split = split_row(row["ids"], spec.maxlen, first, last, spec.windows.overlap, spec.truncating)
    parts, seen = [], set()
    for window, (start, stop) in enumerate(split):
        head = range(first) if len(split) > 1 else range(0)
        tail = range(length - last, length) if len(split) > 1 else range(0)
        body = [*head, *range(start, stop)]
        repeated = seen & {*body} | (set(tail) if window < len(split) - 1 else set())
        seen |= {*body}
        parts.append(
            ([*body, *tail], repeated, {"window": window, "source_start": start, "source_stop": stop})
        )
    return parts


def expected(rows: list[dict[str, Any]], spec: PadSpec) -> list[dict[str, Any]]:
    """Return the expected output rows, computed row by row with the oracle."""
    found = []
    sides = (spec.maxlen, spec.padding, "post")
    for number, row in enumerate(rows):
        for places, repeated, added in parts_of(row, spec):
            hidden = repeated if spec.windows is not None and spec.windows.labels == "new" else set()
            values, mask, _ = pad_lists([[row["ids"][i] for i in places]], *sides, 0)
            labels, _, _ = pad_lists([[-100 if i in hidden else 5 for i in places]], *sides, -100)
            added = {"source_row": number, **added} if added else {}
            found.append(row | {"ids": values[0], "labels": labels[0], "mask": mask[0]} | added)
    return found


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), FORMATS, FORMATS, st.sampled_from([None, 1, 3]), st.sampled_from([1, 3]))
@pytest.mark.slow
def test_every_format_gives_the_same_rows(tmp_path_factory, case, source, target, batch_rows, threads):
    rows, spec = case
    # The first row determines the type of the tokens.
    rows = [{"name": "-", "ids": [7], "labels": [5], "n": 0}, *rows]
    folder = tmp_path_factory.mktemp("windows")
    output = folder / f"out.{target}"
    result = pad_file(
        write(folder / f"in.{source}", rows),
        output,
        columns=["ids", "labels=-100"],
        spec=spec,
        files=FileOptions(batch_rows=batch_rows, threads=threads),
    )
    written, ledger = read(output), result.ledger
    assert written == expected(rows, spec)
    assert ledger.tokens_read == sum(len(row["ids"]) for row in rows)
    assert ledger.tokens_kept + ledger.tokens_repeated == sum(sum(row["mask"]) for row in written)
    assert ledger.rows_written == len(written)
    assert ledger.tokens_lost == 0 or spec.windows is None
    table = pad_table(pa.Table.from_pylist(rows, SCHEMA), ["ids", "labels=-100"], spec)
    assert table.to_pylist() == written
    if spec.windows is not None:
        assert unpad_table(table).to_pylist() == rows
        joined = folder / f"joined.{source}"
        unpad_file(output, joined, columns=["ids", "labels"], files=FileOptions(batch_rows=batch_rows))
        assert read(joined) == rows


WINDOWS = [
    {"ids": [1, 2, 0], "mask": [1, 1, 0], "source_row": 0, "window": 0, "source_start": 0, "source_stop": 2},
    {"ids": [3, 4, 9], "mask": [1, 1, 1], "source_row": 1, "window": 0, "source_start": 0, "source_stop": 2},
    {"ids": [4, 5, 9], "mask": [1, 1, 1], "source_row": 1, "window": 1, "source_start": 1, "source_stop": 3},
    {"ids": [5, 6, 9], "mask": [1, 1, 1], "source_row": 1, "window": 2, "source_start": 2, "source_stop": 4},
]


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (1, None),
        (2, None),
        (2, {"source_row": 2}),
        (2, {"window": 3}),
        (2, {"source_start": 3}),
        (2, {"source_stop": 2}),
        (3, {"source_stop": 5}),
        (2, {"window": "x"}),
        (2, {"source_start": None}),
        (2, {"source_stop": -1}),
    ],
    ids=str,
)
def test_bad_windows_are_not_joined(tmp_path, number, change):
    rows = [dict(row) for row in WINDOWS]
    rows[number : number + 1] = [] if change is None else [rows[number] | change]
    lines = [json.dumps(row) + "\n" for row in rows]
    (tmp_path / "in.jsonl").write_text("".join(lines))
    with pytest.raises(DataError):
        unpad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    result = unpad_file(
        tmp_path / "in.jsonl",
        tmp_path / "out.jsonl",
        on_error="skip",
        files=FileOptions(rejects=str(tmp_path / "rejects.jsonl"), batch_rows=1),
    )
    # Without the first window of row 1, its second window may belong to row 0.
    good = [] if number == 1 else [{"ids": [1, 2]}]
    assert read(tmp_path / "out.jsonl") == good
    assert result.ledger.rows_rejected == len(rows) - len(good) == len(read(tmp_path / "rejects.jsonl"))
    assert result.ledger.balanced


def write_windows(tmp_path, changes, suffix="jsonl"):
    rows = [row | change for row, change in zip(WINDOWS, changes, strict=True)]
    path = tmp_path / f"windows.{suffix}"
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
@pytest.mark.parametrize("number", [2, 3])
def test_rows_without_a_bad_window(tmp_path, number, batch_rows):
    # If the last window is bad, the windows before it are not the whole row.
    changes = [{"mask": [True, False, True]} if i == number else {} for i in range(4)]
    rejects, output = tmp_path / "rejects.jsonl", tmp_path / "out.jsonl"
    files = FileOptions(rejects=str(rejects), batch_rows=batch_rows)
    result = unpad_file(write_windows(tmp_path, changes), output, on_error="skip", files=files)
    assert [row["ids"] for row in read(output)] == [[1, 2]]
    assert result.ledger.rows_rejected == len(read(rejects)) == 3
    assert result.ledger.balanced


def test_rows_with_a_wrong_row_number(tmp_path):
    source = write_windows(tmp_path, [{}, {}, {}, {"source_row": 8}])
    result = unpad_file(source, tmp_path / "out.jsonl", on_error="skip")
    assert [row["ids"] for row in read(tmp_path / "out.jsonl")] == [[1, 2]]
    assert (result.ledger.rows_rejected, result.ledger.balanced) == (3, True)


def test_rows_that_continue_in_another_file(tmp_path):
    for name, rows in {"a": WINDOWS[:3], "b": WINDOWS[3:], "c": WINDOWS[:1]}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    inputs, output = [tmp_path / f"{name}.jsonl" for name in "abc"], tmp_path / "out.jsonl"
    result = unpad_file(inputs, output, on_error="skip")
    assert [row["ids"] for row in read(output)] == [[1, 2], [1, 2]]
    assert (result.ledger.rows_rejected, result.ledger.balanced) == (3, True)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("value", [1.5, "a", [1, 2], {"b": [3]}], ids=str)
def test_other_fields_must_be_equal(tmp_path, suffix, value):
    output = tmp_path / "out.parquet"
    source = write_windows(tmp_path, [{"x": value}] * 4, suffix)
    unpad_file(source, output, columns="ids")
    assert [row["x"] for row in read(output)] == [value] * 2
    source = write_windows(tmp_path, [*[{"x": value}] * 3, {"x": None}], suffix)
    with pytest.raises(DataError) as caught:
        unpad_file(source, output, columns="ids")
    assert (caught.value.column, caught.value.place.number) == ("x", 4 if suffix == "jsonl" else 3)
    if suffix == "parquet":
        with raises_error(DataError, place="row 3", column="x"):
            unpad_table(pq.read_table(source), "ids")


def test_nan_equals_nan_in_windows(tmp_path):
    source = write_windows(tmp_path, [{"x": [float("nan"), 1.0]}] * 4, "parquet")
    assert unpad_table(pq.read_table(source), "ids")["ids"].to_pylist() == [[1, 2], [3, 4, 5, 6, 9]]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("target", ["jsonl", "parquet"])
def test_kept_lengths_are_those_of_rows(tmp_path, suffix, target):
    source = write_windows(tmp_path, [{"n": n} for n in (2, 3, 3, 3)], suffix)
    output, spec = (
        tmp_path / f"out.{target}",
        UnpadSpec(length_column="n", mask_column="mask", keep_mask=True),
    )
    unpad_file(source, output, spec=spec)
    assert [row["n"] for row in read(output)] == [len(row["ids"]) for row in read(output)] == [2, 5]
    if suffix == "parquet":
        assert unpad_table(pq.read_table(source), spec=spec)["n"].to_pylist() == [2, 5]


def test_limit_could_cut_windows(tmp_path):
    source, files = write_windows(tmp_path, [{}] * 4), FileOptions(limit=2)
    with pytest.raises(SpecError) as caught:
        unpad_file(source, tmp_path / "out.jsonl", files=files)
    assert caught.value.options == ("limit", "join_windows")
    spec = UnpadSpec(join_windows=False)
    assert unpad_file(source, tmp_path / "out.jsonl", spec=spec, files=files).ledger.rows_written == 2


def test_unusable_windows_are_reported(tmp_path):
    source = write_windows(tmp_path, [{"window": 0.5}] * 4)
    note = "windows are not joined, because column 'window' has the type double"
    assert note in unpad_file(source, tmp_path / "out.jsonl").notes
    assert unpad_file(source, tmp_path / "out.jsonl", spec=UnpadSpec(join_windows=False)).notes == ()
    table = pad_table(pa.table({"ids": [[1, 2, 3]]}), spec=PadSpec(maxlen=2, windows=WindowSpec()))
    with pytest.warns(UserWarning, match="'source_stop'"):
        assert unpad_table(table.drop_columns(["source_stop"]))["ids"].to_pylist() == [[1, 2], [3]]


def test_windows_of_one_of_two_masks(tmp_path):
    table = pad_table(
        pa.table({"tokens": [[1, 2]], "frames": [[1, 2, 3, 4, 5]]}), "tokens", PadSpec(maxlen=3)
    )
    spec, mask = PadSpec(maxlen=2, windows=WindowSpec()), MaskSpec(column="frames_mask")
    padded = pad_table(table, "frames", spec, mask)
    assert unpad_table(padded).to_pylist() == [{"tokens": [1, 2], "frames": [1, 2, 3, 4, 5]}]
    with pytest.warns(UserWarning, match="windows are not joined"):
        assert unpad_table(padded, "tokens")["tokens"].to_pylist() == [[1, 2]] * 3


def test_own_columns_are_not_windows(tmp_path):
    """Columns of the user with the names of window columns are not windows, as the metadata shows.

    In JSON Lines, which has no metadata, the rows are joined, and the summary says so.
    """
    rows = [
        {"ids": [i], "source_row": 3, "window": i, "source_start": i, "source_stop": i + 1} for i in (0, 1)
    ]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    for suffix, number in (("parquet", 2), ("jsonl", 1)):
        padded = tmp_path / f"padded.{suffix}"
        pad_file(tmp_path / "in.jsonl", padded, columns=["ids"], spec=PadSpec(maxlen=2))
        result = unpad_file(padded, tmp_path / "rows.jsonl", columns=["ids"])
        assert result.ledger.rows_written == number
        assert any("source_row" in remark for remark in result.remarks) == (number == 1)


def test_windows_can_stay(tmp_path):
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in WINDOWS))
    unpad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", spec=UnpadSpec(join_windows=False))
    assert [row["ids"] for row in read(tmp_path / "out.jsonl")] == [
        [1, 2],
        [3, 4, 9],
        [4, 5, 9],
        [5, 6, 9],
    ]


def test_source_row_counts_bad_rows(tmp_path):
    lines = ['{"ids": [1, 2, 3]}', "", '{"ids": null}', '{"ids": []}', '{"ids": [4, 5, 6]}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "b.jsonl").write_text('{"ids": [7, 8]}\n')
    pad_file(
        [tmp_path / "a.jsonl", tmp_path / "b.jsonl"],
        tmp_path / "out.jsonl",
        spec=PadSpec(maxlen=2, windows=WindowSpec()),
        policy=RowPolicy(on_error="skip", empty_rows="drop"),
        files=FileOptions(batch_rows=1),
    )
    rows = read(tmp_path / "out.jsonl")
    assert [(row["source_row"], row["window"]) for row in rows] == [(0, 0), (0, 1), (3, 0), (3, 1), (4, 0)]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_large_ends_are_bad_rows(tmp_path, suffix):
    rows = [
        {"name": "short", "ids": [1, 2], "labels": [0, 0], "n": 9},
        {"name": "good", "ids": [1, 2, 3, 4], "labels": [0] * 4, "n": 2},
        {"name": "bad", "ids": [1, 2, 3, 4], "labels": [0] * 4, "n": 4},
        {"name": "null", "ids": [1, 2, 3, 4], "labels": [0] * 4, "n": None},
    ]
    source, output = tmp_path / f"in.{suffix}", tmp_path / "out.jsonl"
    spec = PadSpec(maxlen=3, keep_last="n")
    with pytest.raises(DataError) as caught:
        pad_file(write(source, rows), output, columns="ids", spec=spec)
    assert caught.value.options == ("keep_last",)
    with pytest.raises(DataError) as caught:
        pad_file(write(source, rows[:3]), output, columns="ids", spec=spec)
    assert caught.value.place.number == (3 if suffix == "jsonl" else 2)
    policy = RowPolicy(on_error="skip")
    ledger = pad_file(write(source, rows), output, columns="ids", spec=spec, policy=policy).ledger
    assert [(row["name"], row["ids"]) for row in read(output)] == [
        ("short", [1, 2, 0]),
        ("good", [1, 3, 4]),
    ]
    assert (ledger.rows_rejected, ledger.tokens_read, ledger.tokens_kept) == (2, 6, 5)


def test_new_labels_need_a_label_column(tmp_path):
    spec = PadSpec(maxlen=2, windows=WindowSpec(labels="new"))
    table = pa.table({"ids": [[1, 2, 3]], "tags": [[4, 5, 6]]})
    with pytest.raises(SpecError) as caught:
        pad_table(table, "ids", spec)
    assert (caught.value.options, "-c ids -c NAME=-100" in str(caught.value)) == (("window_labels",), True)
    assert pad_table(table, ["ids", "tags=-100"], spec)["tags"].to_pylist() == [[4, 5], [6, -100]]


@pytest.mark.parametrize("spec", [PadSpec(keep_first=1), PadSpec(windows=WindowSpec())], ids=repr)
def test_longest_cuts_no_row(spec):
    for call in (lambda: pad([[1, 2], [3]], spec), lambda: pad_table(pa.table({"ids": [[1]]}), spec=spec)):
        with pytest.raises(SpecError) as caught:
            call()
        assert "maxlen" in caught.value.options


def test_empty_json_lines_have_no_ends(tmp_path):
    (tmp_path / "in.jsonl").write_text("")
    spec = PadSpec(maxlen=4, keep_first="n", windows=WindowSpec(labels="new"))
    assert pad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", spec=spec).ledger.rows_read == 0


@pytest.mark.parametrize("policy", ["drop", "error"])
def test_cuts_need_truncation(tmp_path, policy):
    (tmp_path / "in.jsonl").write_text('{"ids": [1]}\n')
    for spec in (PadSpec(maxlen=4, keep_last=1), PadSpec(maxlen=4, windows=WindowSpec())):
        with pytest.raises(SpecError) as caught:
            pad_file(tmp_path / "in.jsonl", spec=spec, policy=RowPolicy(overlong=policy))
        assert "overlong" in caught.value.options


def test_added_names_are_refused(tmp_path):
    spec = PadSpec(maxlen=2, windows=WindowSpec())
    table = pa.table({"ids": [[1, 2, 3]], "window": [0]})
    with pytest.raises(SpecError) as caught:
        pad_table(table, spec=spec)
    assert caught.value.options == ("overlong",)
    with pytest.raises(SpecError) as caught:
        pad_table(table.drop_columns("window"), spec=spec, mask=MaskSpec(length_column="window"))
    assert caught.value.options == ("length_column",)
    (tmp_path / "in.jsonl").write_text('{"ids": [1]}\n' * 1001 + '{"ids": [1], "window": 3}\n')
    with pytest.raises(SpecError) as caught:
        pad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", spec=spec)
    assert caught.value.place.number == 1002


@pytest.mark.parametrize("source", ["jsonl", "parquet"])
@pytest.mark.parametrize(("truncating", "lost"), [("post", 102), ("pre", 101)])
def test_lost_ends_are_counted(tmp_path, source, truncating, lost):
    rows = [{"ids": [101, *[7] * n, 102], "labels": [], "name": "", "n": 0} for n in (1, 2, 3, 10)]
    rows.append({"ids": [7, 7, 7, 7], "labels": [], "name": "", "n": 0})
    path = write(tmp_path / f"in.{source}", rows)
    for suffix in ("jsonl", "parquet"):
        spec = PadSpec(maxlen=3, truncating=truncating)
        result = pad_file(path, tmp_path / f"out.{suffix}", columns="ids", spec=spec)
        assert (result.ledger.rows_truncated, result.ledger.ends_lost) == (4, 3)
        assert result.shared_end == lost
    end = {"keep_last": 1} if truncating == "post" else {"keep_first": 1}
    spec = PadSpec(maxlen=3, truncating=truncating, **end)
    assert pad_file(path, tmp_path / "out.jsonl", columns="ids", spec=spec).ledger.ends_lost == 0


def test_windows_do_not_copy_their_row(tmp_path):
    # A copy of the whole row in each window would need 5,000 * 5,000 * 8 bytes.
    table = pa.table({"ids": [list(range(5_000))], "attention_mask": [[1] * 5_000]})
    pq.write_table(table, tmp_path / "in.parquet")
    spec, pool = PadSpec(maxlen=2, windows=WindowSpec(overlap=1)), pa.default_memory_pool()
    counted = pa.proxy_memory_pool(pool)
    pa.set_memory_pool(counted)
    try:
        assert pad_table(table, "ids", spec).num_rows == 4_999
        pad_file(tmp_path / "in.parquet", tmp_path / "out.parquet", columns="ids", spec=spec)
    finally:
        pa.set_memory_pool(pool)
    assert counted.max_memory() < 50_000_000


def test_repeated_fields_must_fit(monkeypatch):
    def refuse(*_):
        # This is the error of Arrow for 2 GiB of text.
        raise pa.ArrowInvalid("Take operation overflowed binary array capacity")

    monkeypatch.setattr(arrow_lists, "take_rows", refuse)
    table = pa.table({"ids": [[1, 2, 3]], "text": ["x"]})
    with raises_error(SpecError, "'text'", "2 GiB", "3 rows", option="batch_rows"):
        pad_table(table, "ids", PadSpec(maxlen=1, windows=WindowSpec()))


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_windows_of_a_part_are_not_joined(tmp_path: Path, format_: str) -> None:
    raw = [{"input_ids": [1, 2, 3, 4, 5], "labels": [6, 7, 8, 9, 10]}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in raw))
    padded, once, twice = (tmp_path / f"{name}.{format_}" for name in ("padded", "once", "twice"))
    pad_file(tmp_path / "in.jsonl", padded, spec=PadSpec(maxlen=3, windows=WindowSpec()))
    result = unpad_file(padded, once, columns=["input_ids"])
    assert result.notes == (
        "kept: 'mask', which marks the padding of 'labels'",
        "windows are not joined, because some columns stay padded",
    )
    assert [row["input_ids"] for row in read(once)] == [[1, 2, 3], [4, 5]]
    unpad_file(padded, twice, columns=["input_ids", "labels"])
    assert read(twice) == raw
