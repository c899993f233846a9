"""Exit codes of all commands: 1 if the data or the model is at fault, 2 for other errors."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiers import represented

import padmask
from padmask import errors

Run = Callable[..., CompletedProcess[str]]

ROWS = '{"input_ids": [1, 2]}\n{"input_ids": [3]}\n'
PADDED = '{"input_ids": [1, 0], "mask": [true, false]}\n'
COMMANDS = {
    "pad": ["pad", "-o", "out.jsonl"],
    "unpad": ["unpad", "-o", "out.jsonl"],
    "inspect": ["inspect"],
    "verify": ["verify", "--no-model"],
}
TO_A_FOLDER = ["pad", "-o", "out/", "--workers", "2"]


def _truncated_parquet(folder: Path) -> str:
    pq.write_table(pa.table({"input_ids": [[1, 2]], "mask": [[True, False]]}), folder / "in.parquet")
    data = (folder / "in.parquet").read_bytes()
    (folder / "in.parquet").write_bytes(data[: len(data) // 2])
    return "in.parquet"


def _truncated_gzip(folder: Path) -> str:
    data = gzip.compress((ROWS + PADDED).encode() * 1000)
    (folder / "in.jsonl.gz").write_bytes(data[: len(data) - 12])
    return "in.jsonl.gz"


def _bad_row(folder: Path) -> str:
    (folder / "in.jsonl").write_text(PADDED + '{"input_ids": "no", "mask": [true]}\n')
    return "in.jsonl"


def _incomplete_folder(folder: Path) -> str:
    (folder / "in").mkdir()
    (folder / "in" / "a.jsonl").write_text(PADDED)
    (folder / "in" / "_padmask.replacing").write_text("[]")
    return "in"


def _nothing(folder: Path) -> str:
    return "nowhere.jsonl"


def _empty_folder(folder: Path) -> str:
    (folder / "in").mkdir()
    return "in"


def _no_match(folder: Path) -> str:
    return "in*.jsonl"


def _pickled_npz(folder: Path) -> str:
    np.savez(folder / "in.npz", input_ids=np.array([None], dtype=object))
    return "in.npz"


def _column_of_text(folder: Path) -> str:
    pq.write_table(pa.table({"input_ids": ["a"], "mask": [[True]]}), folder / "in.parquet")
    return "in.parquet"


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("made", [_truncated_parquet, _truncated_gzip, _bad_row, _incomplete_folder])
def test_bad_data_is_1(here: Run, tmp_path: Path, command: list[str], made: Callable[[Path], str]) -> None:
    name, more = made(tmp_path), ["--allow", "mask-shape"] if command[0] == "verify" else []
    done = here(*command, name, *more)
    # `verify` and `inspect` report a bad row as a finding, and check the other rows.
    is_finding = command[0] in ("verify", "inspect") and made is _bad_row
    code = 0 if is_finding and command[0] == "inspect" else 1
    assert (done.returncode, done.stderr[:7]) == (code, "" if is_finding else "Error: "), done
    assert ("bad-row: " in done.stdout) == is_finding


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("made", [_nothing, _empty_folder, _no_match, _pickled_npz, _column_of_text])
def test_unusable_input_is_2(
    here: Run, tmp_path: Path, command: list[str], made: Callable[[Path], str]
) -> None:
    done = here(*command, "-c", "input_ids", made(tmp_path))
    assert (done.returncode, done.stderr[:7]) == (2, "Error: "), done


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_missing_column_is_2(here: Run, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "in.jsonl").write_text(PADDED)
    assert here(*command, "in.jsonl", "-c", "nothing").returncode == 2


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (ROWS, ["--maxlen", "1", "--overlong", "error"]),
        ('{"input_ids": []}\n', ["--empty-rows", "error"]),
        ('{"input_ids": [1], "labels": [1, 2]}\n', ["-c", "input_ids", "-c", "labels"]),
        (PADDED, []),
    ],
    ids=["overlong", "empty", "unequal", "padded"],
)
def test_refused_rows_are_1(here: Run, tmp_path: Path, rows: str, options: list[str]) -> None:
    (tmp_path / "in.jsonl").write_text(rows)
    assert here("pad", "in.jsonl", "-o", "out.jsonl", *options).returncode == 1


def test_taken_mask_name_is_2(here: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1], "id": 7}\n')
    assert here("pad", "in.jsonl", "--mask-column", "id").returncode == 2


def test_unsupported_value_is_2(here: Run, tmp_path: Path) -> None:
    pq.write_table(pa.table({"input_ids": [[1]], "x": [float("nan")]}), tmp_path / "in.parquet")
    assert here("pad", "in.parquet", "-o", "out.jsonl").returncode == 2
    assert here("pad", "in.parquet", "-o", "out.arrow").returncode == 0


@pytest.mark.slow
@represented(
    "second,code",
    {"bad": ('{"input_ids": 5}\n', 1), "key": ('{"other": [1]}\n', 1), "none": ("", 0)},
    by=1,
)
def test_workers_give_the_same_code(padmask: Run, tmp_path: Path, second: str, code: int) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text(ROWS)
    (tmp_path / "in" / "b.jsonl").write_text(second)
    assert padmask(*TO_A_FOLDER, "in").returncode == code
    assert padmask("pad", "in", "-o", "out.jsonl").returncode == code


def test_full_disk_is_2(padmask: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(ROWS * 5000)
    done = padmask("pad", "in.jsonl", "-o", "/dev/full", "--output-format", "jsonl")
    assert (done.returncode, "No space left" in done.stderr) == (2, True), done.stderr


def test_pickled_errors_keep_blame() -> None:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in found if issubclass(kind, errors.PadmaskError)]
    assert {kind.blames_input for kind in kinds} == {True, False}
    for kind in kinds:
        sent = pickle.loads(pickle.dumps(kind("said")))
        assert (type(sent), str(sent), sent.blames_input) == (kind, "said", kind.blames_input)


def test_api_errors_say_who_is_at_fault(tmp_path: Path) -> None:
    with pytest.raises(padmask.DataError) as missing:
        padmask.pad_file(tmp_path / "nowhere.jsonl", tmp_path / "out.jsonl")
    (tmp_path / "in.jsonl").write_text('{"input_ids": "no"}\n')
    with pytest.raises(padmask.DataError) as bad:
        padmask.pad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert (missing.value.blames_input, bad.value.blames_input) == (False, True)
