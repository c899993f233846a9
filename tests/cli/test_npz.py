"""npz archives: which columns they keep, and how padmask reads archives of its own and of other tools."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raised import raises_error

from padmask import FileOptions, MaskSpec, PadSpec, WindowSpec, pad_file, unpad_file
from padmask.errors import DataError, PaddedError, PadmaskError, SpecError, UnreadableError, UnsupportedError

Run = Callable[..., CompletedProcess[str]]
Array = npt.NDArray[Any]

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def load(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- Columns besides the padded ones --------------------------------------------------------


def test_numbers_and_bools_are_kept(tmp_path: Path) -> None:
    rows = [{"input_ids": [1], "label": 3, "score": 0.5, "ok": True}, {"input_ids": [2], "label": -4}]
    rows[1] |= {"score": 2, "ok": False}

    result = pad_file(jsonl(tmp_path / "in.jsonl", rows), tmp_path / "out.npz")

    arrays = load(tmp_path / "out.npz")
    assert {name: str(arrays[name].dtype) for name in ("label", "score", "ok")} == {
        "label": "int64",
        "score": "float64",
        "ok": "bool",
    }
    assert [arrays[name].tolist() for name in ("label", "score", "ok")] == [
        [3, -4],
        [0.5, 2.0],
        [True, False],
    ]
    assert result.notes == ()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["a", "b"], "text in in.jsonl, line 1"),
        ([1, None], "null in in.jsonl, line 2"),
        ([1, [2]], "a list in in.jsonl, line 2"),
        ([{}, {}], "an object in in.jsonl, line 1"),
        ([1, True], "both bools and numbers"),
        ([2**53 + 1, 0.5], "floats, and integers that float64 cannot represent"),
        ([2**64, 1], "integers that no 64-bit type can represent"),
        ([2**63, -1], "integers that no 64-bit type can represent"),
    ],
    ids=str,
)
def test_other_values_are_left_out(here: Run, tmp_path: Path, values: list[Any], why: str) -> None:
    jsonl(tmp_path / "in.jsonl", [{"input_ids": [1], "x": value} for value in values])

    for tuning in ([], ["--batch-rows", "1"]):
        done = here("pad", "in.jsonl", "-o", "out.npz", *tuning)

        assert (done.returncode, f"'x' ({why})" in done.stderr) == (0, True), done.stderr
        assert "x" not in load(tmp_path / "out.npz")


def test_absent_keys_are_nulls(here: Run, tmp_path: Path) -> None:
    jsonl(tmp_path / "in.jsonl", [{"input_ids": [1], "x": 1}, {"input_ids": [2], "y": 2}])
    done = here("pad", "in.jsonl", "-o", "out.npz")
    assert "'x' (null in in.jsonl, line 2), 'y' (null in in.jsonl, line 1)" in done.stderr


numbers = st.one_of(
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.integers(-5, 5),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
)


@few
@given(st.lists(numbers, min_size=1, max_size=6), st.integers(1, 6))
def test_no_number_changes(tmp_path: Path, values: list[Any], batch_rows: int) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"input_ids": [1], "x": value} for value in values])

    pad_file(source, tmp_path / "out.npz", files=FileOptions(batch_rows=batch_rows))

    kept = load(tmp_path / "out.npz").get("x")
    kinds = {type(value) for value in values}
    if kept is not None:
        assert kept.tolist() == values
        assert (bool in kinds) == (kinds == {bool})
    elif len(kinds) == 1 and kinds != {type(None)}:
        assert min(values) < -(2**63) or max(values) >= 2**63


def test_typed_columns_keep_their_types(here: Run, tmp_path: Path) -> None:
    table = pa.table(
        {
            "input_ids": [[1], [2]],
            "label": pa.array([1, 2], pa.int8()),
            "half": pa.array([0.5, 1.5], pa.float16()),
            "name": ["a", "b"],
            "gap": [None, 1],
            "list": [[1], [2, 3]],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")

    done = here("pad", "in.parquet", "-o", "out.npz")

    arrays = load(tmp_path / "out.npz")
    assert {name: str(array.dtype) for name, array in arrays.items()} == {
        "input_ids": "int32",
        "mask": "bool",
        "length": "int32",
        "label": "int8",
        "half": "float16",
    }
    assert arrays["label"].tolist() == [1, 2]
    assert "'name' (string), 'list' (list<element: int64>), 'gap' (null in in.parquet, row 0)" in done.stderr


def test_dataset_reports_left_out(here: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    jsonl(tmp_path / "in" / "a.jsonl", [{"input_ids": [1], "x": 1, "y": 1}])
    jsonl(tmp_path / "in" / "b.jsonl", [{"input_ids": [1], "x": None, "y": 2}])
    command = ["pad", "in", "-o", "out/", "--output-format", "npz", "--workers", "1"]
    for ran in (here(*command), here(*command, "--resume")):
        assert (ran.returncode, "not written: 'x' (null in in/b.jsonl, line 1)" in ran.stderr) == (0, True)
    assert load(tmp_path / "out" / "b.npz")["y"].tolist() == [2]


def test_column_named_length(here: Run, tmp_path: Path) -> None:
    jsonl(tmp_path / "in.jsonl", [{"input_ids": [1, 2], "length": 7}])

    with pytest.raises(SpecError, match="--length-column") as caught:
        pad_file(tmp_path / "in.jsonl", tmp_path / "out.npz")
    assert caught.value.options == ("length_column",)

    assert here("pad", "in.jsonl", "-o", "out.npz", "--length-column", "tokens").returncode == 0
    arrays = load(tmp_path / "out.npz")
    assert (arrays["length"].tolist(), arrays["tokens"].tolist()) == ([7], [2])


@pytest.mark.parametrize("windows", [None, WindowSpec()], ids=["rows", "windows"])
def test_lengths_have_one_name(tmp_path: Path, windows: WindowSpec | None) -> None:
    rows = [{"input_ids": [1, 2, 3], "x": 1}, {"input_ids": [4], "x": 2}]
    source = jsonl(tmp_path / "in.jsonl", rows)
    spec = PadSpec(maxlen=3 if windows is None else 2, windows=windows)
    pad_file(source, tmp_path / "out.npz", spec=spec, mask=MaskSpec(length_column="tokens"))
    assert {"length", "tokens"} & {*load(tmp_path / "out.npz")} == {"tokens"}
    unpad_file(tmp_path / "out.npz", tmp_path / "rows.jsonl")
    assert rows_of(tmp_path / "rows.jsonl") == rows


def test_archive_without_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz")
    with raises_error(UnreadableError, "in.npz", "no arrays", option="input_format"):
        pad_file(tmp_path / "in.npz", tmp_path / "out.npz")


def test_lengths_are_replaced_with_the_mask(here: Run, tmp_path: Path) -> None:
    jsonl(tmp_path / "in.jsonl", [{"input_ids": [1, 2]}, {"input_ids": [3]}])
    assert here("pad", "in.jsonl", "-o", "once.npz").returncode == 0
    assert here("pad", "once.npz", "-o", "twice.npz").returncode == 1
    assert here("pad", "once.npz", "-o", "twice.npz", "--allow-padded", "--maxlen", "3").returncode == 0
    assert load(tmp_path / "twice.npz")["length"].tolist() == [2, 2]


# --- Reading ------------------------------------------------------------------------------------

row_lists = st.lists(st.lists(st.integers(-9, 9), max_size=4), max_size=6)


@few
@given(row_lists, st.sampled_from(["pre", "post"]), st.booleans(), st.integers(1, 4))
def test_unpad_reverses_pad(
    tmp_path: Path, rows: list[list[int]], side: Any, no_mask: bool, batch_rows: int
) -> None:
    records = [{"input_ids": row, "label": i} for i, row in enumerate(rows)]
    source = jsonl(tmp_path / "in.jsonl", [{"input_ids": [0], "label": 0}, *records])
    mask, files = MaskSpec(column=None if no_mask else "mask"), FileOptions(batch_rows=batch_rows)

    pad_file(source, tmp_path / "out.npz", spec=PadSpec(padding=side), mask=mask)
    unpad_file(tmp_path / "out.npz", tmp_path / "back.jsonl", files=files)

    assert rows_of(tmp_path / "back.jsonl") == rows_of(source)


arrays_of = st.one_of(
    st.tuples(st.sampled_from("?bBhHiIlLefd"), st.sampled_from("<>"), st.integers(0, 3)).map(
        lambda made: (
            np.arange(4 * made[2]).reshape(4, made[2]).astype(np.dtype(made[0]).newbyteorder(made[1]))
        )
    ),
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3), min_size=4, max_size=4
    ).map(np.array),
    st.just(np.arange(24, dtype="u1").reshape(4, 2, 3)),
)


@few
@given(st.lists(arrays_of, min_size=1, max_size=3), st.booleans(), st.integers(1, 5))
@pytest.mark.slow
def test_archives_of_numpy(tmp_path: Path, arrays: list[Array], small: bool, batch_rows: int) -> None:
    """Each array becomes a column with the same values."""
    named = {"ids": np.array([[1, 2]] * 4), **{f"x{i}": array for i, array in enumerate(arrays)}}
    (np.savez_compressed if small else np.savez)(tmp_path / "in.npz", **named)

    pad_file(
        tmp_path / "in.npz",
        tmp_path / "out.parquet",
        columns=["ids"],
        mask=MaskSpec(column=None),
        files=FileOptions(batch_rows=batch_rows),
    )

    table = pq.read_table(tmp_path / "out.parquet")
    assert table.to_pydict() == {name: array.tolist() for name, array in named.items()}


def test_padded_by_another_tool(here: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", ids=np.array([[1, 2], [3, 0]]), mask=np.array([[1, 1], [1, 0]]))
    assert here("unpad", "in.npz").stdout == '{"ids":[1,2]}\n{"ids":[3]}\n'
    with pytest.raises(PaddedError):
        pad_file(tmp_path / "in.npz", tmp_path / "out.jsonl", columns=["ids"])


@pytest.mark.parametrize("command", [["inspect"], ["verify", "--no-model"], ["unpad"]], ids=" ".join)
def test_commands_read_npz(here: Run, tmp_path: Path, command: list[str]) -> None:
    jsonl(tmp_path / "in.jsonl", [{"input_ids": [1, 2]}, {"input_ids": [3]}])
    assert here("pad", "in.jsonl", "-o", "out.npz").returncode == 0
    assert here(*command, "out.npz").returncode == 0


def test_npz_from_a_pipe(shell: Callable[[str], CompletedProcess[str]], tmp_path: Path) -> None:
    jsonl(tmp_path / "in.jsonl", [{"input_ids": [1, 2]}, {"input_ids": [3]}])
    done = shell("padmask pad in.jsonl --output-format npz -q | padmask unpad - -q")
    assert done.stdout == '{"input_ids":[1,2]}\n{"input_ids":[3]}\n'


def test_foreign_comment_is_ignored(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", ids=np.array([[1, 2]]))
    with zipfile.ZipFile(tmp_path / "in.npz", "a") as archive:
        archive.comment = b'{"author": 1}'
    pad_file(tmp_path / "in.npz", tmp_path / "out.jsonl")
    assert rows_of(tmp_path / "out.jsonl")[0]["ids"] == [1, 2]


# --- Archives that padmask refuses ---------------------------------------------------------------

IDS = np.array([[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (np.array([[1, "a"]], dtype=object).repeat(2, axis=0), UnsupportedError),
        (np.array([1 + 2j, 3]), UnsupportedError),
        (np.array([(1, 2), (3, 4)], dtype=[("a", "i4"), ("b", "i4")]), UnsupportedError),
        (np.array(["2024-01-01", "2024-01-02"], dtype="M8[D]"), UnsupportedError),
        (np.array([b"a", b"b"]), UnsupportedError),
        (np.asfortranarray(np.ones((2, 3))), UnsupportedError),
        (np.array(5), UnsupportedError),
        (np.array([1, 2, 3]), UnreadableError),
        (np.frombuffer(b"\1\7", dtype=bool), UnreadableError),
        (np.frombuffer(b"\xff\xff\xff\x7f" * 2, dtype="<U1"), UnreadableError),
        (np.frombuffer(b"\0\xd8\0\0" * 2, dtype="<U1"), UnreadableError),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value.dtype),
)
def test_refused_arrays(tmp_path: Path, array: Array, kind: type[PadmaskError]) -> None:
    np.savez(tmp_path / "in.npz", ids=IDS, x=array)
    with pytest.raises(kind, match="'x'") as caught:
        pad_file(tmp_path / "in.npz", tmp_path / "out.jsonl", columns=["ids"])
    assert type(caught.value) is kind
    assert not (tmp_path / "out.jsonl").exists()


def archive(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        for name, data in members.items():
            out.writestr(name, data)
    return made.getvalue()


NPY = b"\x93NUMPY\1\0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        archive(),
        archive(**{"a.npy": b""}),
        archive(**{"a.npy": NPY}),
        archive(**{"a.npy": NPY + b"\4\0{}\n\n"}),
        archive(**{"a.npy": NPY + b"\xff\xff" + b"(" * 65535}),
    ],
    ids=["empty", "start", "no arrays", "no header", "cut header", "no keys", "long header"],
)
def test_damaged_archives(here: Run, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in.npz").write_bytes(data)
    done = here("pad", "in.npz", "-o", "out.jsonl")
    assert (done.returncode, done.stderr[:15]) == (1, "Error: in.npz: "), done.stderr


def test_zip_of_other_files(here: Run, tmp_path: Path) -> None:
    (tmp_path / "in.npz").write_bytes(archive(**{"a.txt": b"x"}))
    done = here("pad", "in.npz", "-o", "out.jsonl")
    assert (done.returncode, "unzip" in done.stderr) == (2, True)


def test_npz_named_jsonl(here: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", ids=IDS)
    (tmp_path / "in.npz").rename(tmp_path / "in.jsonl")
    done = here("pad", "in.jsonl", "-o", "out.jsonl")
    assert (done.returncode, "--input-format npz" in done.stderr) == (2, True), done.stderr


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("npz") / "good.npz"
    np.savez_compressed(path, input_ids=np.arange(30).reshape(10, 3), name=np.array(["a", "bc"] * 5))
    return path.read_bytes()


@few
@given(st.data())
def test_damage_never_crashes(tmp_path: Path, good: bytes, data: st.DataObject) -> None:
    """A changed or cut archive gives the same rows or an error, never other rows."""
    spoiled = bytearray(good[: data.draw(st.integers(0, len(good)))] if data.draw(st.booleans()) else good)
    for place in data.draw(st.lists(st.integers(0, max(0, len(spoiled) - 1)), max_size=3)):
        spoiled[place : place + 1] = bytes([data.draw(st.integers(0, 255))])
    (tmp_path / "in.npz").write_bytes(spoiled)

    try:
        pad_file(tmp_path / "in.npz", tmp_path / "out.jsonl", columns=["input_ids"])
    except (DataError, SpecError):
        return
    padded = [row["input_ids"] for row in rows_of(tmp_path / "out.jsonl")]
    assert padded == np.arange(30).reshape(10, 3).tolist()
