"""Folders that Hugging Face `datasets` and the Hub wrote, as inputs of the commands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

TABLE = pa.table({"input_ids": [[1, 2, 3], [4]]})


@pytest.fixture
def here(padmask: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return padmask


def save(folder: str) -> None:
    """Write the files that `Dataset.save_to_disk` would write."""
    Path(folder).mkdir(parents=True)
    with pa.ipc.new_stream(f"{folder}/data-00000-of-00001.arrow", TABLE.schema) as sink:
        sink.write_table(TABLE)
    files = [{"filename": "data-00000-of-00001.arrow"}]
    Path(folder, "state.json").write_text(json.dumps({"_data_files": files}, indent=2))
    Path(folder, "dataset_info.json").write_text(json.dumps({"features": {"input_ids": {}}}, indent=2))


def ids(name: str) -> list[list[int]]:
    return [json.loads(line)["input_ids"] for line in Path(name).read_text().splitlines()]


PADDED = [[1, 2, 3], [4, 0, 0]]


@pytest.mark.parametrize("way", ["ds", "ds/*", "**"])
def test_saved_dataset(here: Run, way: str) -> None:
    save("ds")
    done = here("pad", way, "-o", "out.jsonl")
    assert (done.returncode, ids("out.jsonl")) == (0, PADDED)
    assert "warning" not in done.stderr


def test_caches_are_named(here: Run) -> None:
    save("ds")
    Path("ds/cache-12ab.arrow").write_bytes(Path("ds/data-00000-of-00001.arrow").read_bytes())
    done = here("pad", "ds", "-o", "out.jsonl")
    assert ids("out.jsonl") == PADDED
    assert "cache-12ab.arrow" in done.stderr


@pytest.fixture
def splits(here: Run) -> Run:
    """A saved `DatasetDict`."""
    save("ds/train")
    save("ds/test")
    Path("ds/dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    return here


@pytest.mark.parametrize("verb", ["pad", "unpad"])
def test_splits_are_not_joined(splits: Run, verb: str) -> None:
    done = splits(verb, "ds", "-o", "out.jsonl")
    assert done.returncode == 2
    assert "2 splits" in done.stderr and "train, test" in done.stderr and "ds/train" in done.stderr
    assert not Path("out.jsonl").exists()


def test_one_split_is_read(splits: Run) -> None:
    assert splits("pad", "ds/test", "-o", "out.jsonl").returncode == 0
    assert ids("out.jsonl") == PADDED


def test_output_folder_keeps_splits(splits: Run) -> None:
    done = splits("pad", "ds", "-o", "padded/", "--output-format", "jsonl", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert (
        ids("padded/train/data-00000-of-00001.jsonl")
        == ids("padded/test/data-00000-of-00001.jsonl")
        == PADDED
    )


def test_hub_repository(here: Run) -> None:
    Path("hub/data").mkdir(parents=True)
    pq.write_table(TABLE, "hub/data/train-00000-of-00001.parquet")
    Path("hub/dataset_infos.json").write_text('{"default": {}}')
    Path("hub/README.md").write_text("---\nlicense: mit\n---\n")
    done = here("pad", "hub", "-o", "out.jsonl")
    assert (done.returncode, ids("out.jsonl")) == (0, PADDED)
    assert "warning" not in done.stderr


def test_joined_splits_are_named(here: Run) -> None:
    Path("hub").mkdir()
    for name in ("train-00000-of-00001", "validation-00000-of-00001"):
        pq.write_table(TABLE, f"hub/{name}.parquet")
    done = here("pad", "hub", "-o", "out.jsonl")
    assert ids("out.jsonl") == PADDED * 2
    assert "splits: train, validation" in done.stderr
    assert "splits" not in here("pad", "hub", "-o", "padded/", "--workers", "1").stderr


@pytest.mark.parametrize("verb", ["pad", "unpad", "inspect", "verify"])
def test_notes_in_all_commands(here: Run, verb: str) -> None:
    Path("data").mkdir()
    Path("data/a.jsonl").write_text(
        '{"input_ids": [1, 0], "mask": [true, false]}\n{"input_ids": [1], "mask": [true]}\n'
    )
    Path("data/settings.json").write_text("{}")
    more = {
        "pad": ["-o", "x.jsonl", "--overwrite-mask", "--allow-padded"],
        "unpad": ["-o", "x.jsonl"],
        "verify": ["--no-model"],
    }
    done = here(verb, "data", "data/a.jsonl", *more.get(verb, []))
    text = " ".join((done.stdout + done.stderr).split())
    assert "settings.json" in text and "only once: data/a.jsonl" in text
