"""`-o out.npy/`: a folder with one npy file for each column."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiers import represented

from padmask import FileOptions, PadSpec, pad_file, unpad_file
from padmask.errors import OutputError, SpecError, UnreadableError
from padmask.storage.array_folder import DESCRIPTION

Run = Callable[..., CompletedProcess[str]]

ROWS = [{"input_ids": [1, 2], "label": 5}, {"input_ids": [3], "label": 6}]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "in.jsonl", ROWS)


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def load(folder: Path) -> dict[str, Any]:
    return {path.stem: np.load(path, mmap_mode="r").tolist() for path in folder.glob("*.npy")}


def test_folder_has_a_file_for_each_column(here: Run, tmp_path: Path, rows: Path) -> None:
    done = here("pad", "in.jsonl", "-o", "out.npy/")

    assert (done.returncode, done.stderr[:20]) == (0, "2 rows -> out.npy/: ")
    assert load(tmp_path / "out.npy") == {
        "input_ids": [[1, 2], [3, 0]],
        "mask": [[True, True], [True, False]],
        "length": [2, 1],
        "label": [5, 6],
    }
    assert isinstance(np.load(tmp_path / "out.npy" / "label.npy", mmap_mode="r"), np.memmap)
    assert sorted(os.listdir(tmp_path)) == ["in.jsonl", "out.npy"]


def test_several_inputs_are_one_dataset(here: Run, tmp_path: Path, rows: Path) -> None:
    jsonl(tmp_path / "b.jsonl", ROWS)
    assert here("pad", "in.jsonl", "b.jsonl", "-o", "out.npy/").returncode == 0
    assert load(tmp_path / "out.npy")["label"] == [5, 6, 5, 6]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.integers(-9, 9), max_size=4), max_size=6),
    st.sampled_from(["pre", "post"]),
    st.integers(1, 4),
)
@pytest.mark.slow
def test_unpad_reverses_pad(tmp_path: Path, rows: list[list[int]], side: Any, batch_rows: int) -> None:
    records = [{"input_ids": row, "label": i} for i, row in enumerate([[0], *rows])]
    source = jsonl(tmp_path / "in.jsonl", records)
    files = FileOptions(batch_rows=batch_rows)

    pad_file(source, f"{tmp_path}/out.npy/", spec=PadSpec(padding=side), files=files)
    unpad_file(tmp_path / "out.npy", tmp_path / "back.jsonl", files=files)

    assert [json.loads(line) for line in (tmp_path / "back.jsonl").read_text().splitlines()] == records


def test_same_arrays_as_npz(tmp_path: Path, rows: Path) -> None:
    pad_file(rows, f"{tmp_path}/out.npy/")
    pad_file(rows, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        assert {name: array.tolist() for name, array in arrays.items()} == load(tmp_path / "out.npy")


def test_no_rows(tmp_path: Path) -> None:
    pad_file(jsonl(tmp_path / "in.jsonl", []), f"{tmp_path}/out.npy/", columns=["x"], spec=PadSpec(maxlen=3))
    assert np.load(tmp_path / "out.npy" / "x.npy").shape == (0, 3)


# --- Existing folders -----------------------------------------------------------------------------


def test_folder_of_arrays_is_replaced(here: Run, tmp_path: Path, rows: Path) -> None:
    (tmp_path / "out.npy").mkdir()
    np.save(tmp_path / "out.npy" / "old.npy", [1])
    assert here("pad", "in.jsonl", "-o", "out.npy/").returncode == 0
    assert "old" not in load(tmp_path / "out.npy")
    assert sorted(os.listdir(tmp_path)) == ["in.jsonl", "out.npy"]


@pytest.mark.parametrize("name", ["notes.txt", "deep/a.npy", "link.npy", "bad.jsonl"])
def test_other_folders_are_kept(here: Run, tmp_path: Path, rows: Path, name: str) -> None:
    path = tmp_path / "out.npy" / name
    path.parent.mkdir(parents=True)
    if name == "link.npy":
        path.symlink_to(rows)
    elif name != "bad.jsonl":
        path.write_text("mine")
    rejects = ["--rejects", f"out.npy/{name}", "--empty-rows", "drop"] if name == "bad.jsonl" else []

    done = here("pad", "in.jsonl", "-o", "out.npy/", *rejects)

    assert (done.returncode, "Cannot replace the folder 'out.npy'" in done.stderr) == (2, True), done.stderr
    assert os.listdir(tmp_path / "out.npy") == [name.partition("/")[0]]


def test_failed_run_keeps_the_old_folder(here: Run, tmp_path: Path, rows: Path) -> None:
    assert here("pad", "in.jsonl", "-o", "out.npy/").returncode == 0
    before = load(tmp_path / "out.npy")
    with rows.open("a") as file:
        file.write("broken\n")
    assert here("pad", "in.jsonl", "-o", "out.npy/", "--maxlen", "3").returncode == 1
    assert load(tmp_path / "out.npy") == before
    assert sorted(os.listdir(tmp_path)) == ["in.jsonl", "out.npy"]


def test_failed_rename(tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pad_file(rows, f"{tmp_path}/out.npy/")
    before, rename, calls = load(tmp_path / "out.npy"), os.rename, []

    def second_fails(*paths: Any) -> None:
        calls.append(paths)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        rename(*paths)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OutputError, match="Input/output error"):
        pad_file(rows, f"{tmp_path}/out.npy/", spec=PadSpec(maxlen=3))
    assert load(tmp_path / "out.npy") == before
    assert sorted(os.listdir(tmp_path)) == ["in.jsonl", "out.npy"]


@pytest.mark.slow
@represented("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], by=1)
def test_interruption_leaves_nothing(command: list[str], tmp_path: Path, number: signal.Signals) -> None:
    os.mkfifo(tmp_path / "in.jsonl")
    with (
        subprocess.Popen(
            [*command, "pad", "in.jsonl", "-o", "out.npy/", "--maxlen", "2"], cwd=tmp_path
        ) as run,
        (tmp_path / "in.jsonl").open("w") as pipe,
    ):
        pipe.write(json.dumps(ROWS[0]) + "\n")
        pipe.flush()
        time.sleep(0.5)
        run.send_signal(number)
        run.wait(timeout=20)
    assert run.returncode != 0
    assert os.listdir(tmp_path) == ["in.jsonl"]


def test_limit_counts_all_files(here: Run, rows: Path) -> None:
    done = here("pad", "in.jsonl", "-o", "out.npy/", "--max-bytes", "300")
    assert (done.returncode, "limit of 300 B" in done.stderr) == (2, True), done.stderr


# --- Requests that are refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "remedy"),
    [
        (["-o", "out.npy"], "end the path with /"),
        (["-o", "-", "--output-format", "npy"], "-o padded.npy/"),
        (["-o", "out/", "--output-format", "npy"], "-o padded.npy/"),
        (["-o", "s3://bucket/out.npy/"], "Write a local folder"),
        (["-o", "out.npy/", "--resume"], "requires an output folder"),
        (["-o", "out.npy/", "--output-format", "parquet"], "Change the suffix or --output-format"),
    ],
    ids=" ".join,
)
def test_refused_outputs(here: Run, tmp_path: Path, rows: Path, args: list[str], remedy: str) -> None:
    done = here("pad", "in.jsonl", *args)
    assert (done.returncode, remedy in done.stderr) == (2, True), done.stderr
    assert os.listdir(tmp_path) == ["in.jsonl"]


def test_file_is_not_replaced(tmp_path: Path, rows: Path) -> None:
    np.save(tmp_path / "out.npy", [1])
    with pytest.raises((OutputError, SpecError)):
        pad_file(rows, f"{tmp_path}/out.npy/")
    assert np.load(tmp_path / "out.npy").tolist() == [1]


@pytest.mark.parametrize("name", ["a/b", "x" * 260], ids=["slash", "long"])
def test_unsafe_names(here: Run, tmp_path: Path, name: str) -> None:
    jsonl(tmp_path / "in.jsonl", [{name: [1]}])
    done = here("pad", "in.jsonl", "-c", name, "-o", "out.npy/")
    assert (done.returncode, "not a valid file name" in done.stderr) == (2, True)


# --- Reading ----------------------------------------------------------------------------------------


def test_folder_of_numpy(here: Run, tmp_path: Path) -> None:
    (tmp_path / "in.npy").mkdir()
    np.save(tmp_path / "in.npy" / "ids.npy", [[1, 2], [3, 0]])
    np.save(tmp_path / "in.npy" / "mask.npy", [[1, 1], [1, 0]])
    assert here("unpad", "in.npy/", "-c", "ids").stdout == '{"ids":[1,2]}\n{"ids":[3]}\n'


@pytest.mark.parametrize(
    "command", [["inspect"], ["verify", "--no-model"], ["pad", "--allow-padded"]], ids=" ".join
)
def test_commands_read_folders(here: Run, tmp_path: Path, rows: Path, command: list[str]) -> None:
    assert here("pad", "in.jsonl", "-o", "out.npy/").returncode == 0
    assert here(*command, "out.npy/").returncode == 0


def test_missing_file(tmp_path: Path, rows: Path) -> None:
    pad_file(rows, f"{tmp_path}/out.npy/")
    (tmp_path / "out.npy" / "label.npy").unlink()
    with pytest.raises(UnreadableError, match=r"lacks the file 'label\.npy'"):
        unpad_file(tmp_path / "out.npy", tmp_path / "back.jsonl")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"order": 1, "padmask": {}}', '{"order": []}', "[" * 99_999], ids=len
)
def test_damaged_description(tmp_path: Path, rows: Path, text: str) -> None:
    pad_file(rows, f"{tmp_path}/out.npy/")
    (tmp_path / "out.npy" / DESCRIPTION).write_text(text)
    with pytest.raises(UnreadableError, match=DESCRIPTION):
        unpad_file(tmp_path / "out.npy", tmp_path / "back.jsonl")


def test_description_names_no_paths(tmp_path: Path, rows: Path) -> None:
    pad_file(rows, f"{tmp_path}/out.npy/")
    np.save(tmp_path / "secret.npy", [1, 2])
    (tmp_path / "out.npy" / DESCRIPTION).write_text('{"order": ["../secret"], "padmask": null}')
    with pytest.raises(UnreadableError, match="lacks the file"):
        unpad_file(tmp_path / "out.npy", tmp_path / "back.jsonl")
