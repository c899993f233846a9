"""The data files of a folder: saved datasets, Hub repositories, `.json` beside other data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from raised import raises_error

from padmask.errors import DataError, UnsupportedError
from padmask.storage.data_files import DataFiles, choose_data_files, split_of


def choose(*names: str, wanted: tuple[str, ...] = (), **contents: Any) -> DataFiles:
    """Choose the data files among `names`. The argument `state` is the content of the files state.json."""

    def read(name: str) -> bytes | None:
        found = contents.get(name.rpartition("/")[2].removesuffix(".json"))
        return None if found is None else json.dumps(found).encode()

    return choose_data_files(names, read, wanted, "ds")


def state(*names: str, **more: Any) -> dict[str, Any]:
    return {"_data_files": [{"filename": name} for name in names], **more}


SAVED = ("data-00000-of-00001.arrow", "dataset_info.json", "state.json")


@pytest.mark.parametrize(
    ("names", "data"),
    [
        (SAVED, SAVED[:1]),
        (["dataset_infos.json", "README.md", "data/train.parquet"], ["data/train.parquet"]),
        (["dataset_infos.json", "README.md", "train.json"], ["train.json"]),
        (["a.json", "b.json", "in/c.ndjson"], ["in/c.ndjson"]),
        (["a.json", "b.json"], ["a.json", "b.json"]),
        (["a.json.gz", "config.json"], ["a.json.gz"]),
        (["a.JSON", "a.jsonl"], ["a.jsonl"]),
        (["state.json"], ["state.json"]),
        (["dataset_info.json", "README.md"], []),
    ],
    ids=str,
)
def test_data_files(names: list[str], data: list[str]) -> None:
    assert list(choose(*names).data) == list(data)


def test_other_json_files_are_named() -> None:
    found = choose("a.jsonl", "config.json", "dataset_infos.json", "notes.txt")
    assert (found.unsure, found.unknown) == (["config.json"], ["notes.txt"])


def test_chosen_json_files_are_data() -> None:
    names = ("a.json", "dataset_infos.json")
    assert choose(*names, wanted=names).data == ["a.json"]


def test_caches_of_map_are_not_data() -> None:
    found = choose(*SAVED, "cache-1f2e.arrow", state=state(SAVED[0]))
    assert (found.data, found.unlisted) == ([SAVED[0]], ["cache-1f2e.arrow"])
    # The list in state.json applies only to the folder of state.json.
    below = choose("other.arrow", *(f"train/{name}" for name in SAVED), state=state(SAVED[0]))
    assert below.data == ["other.arrow", f"train/{SAVED[0]}"]


def test_missing_shard_is_named() -> None:
    with raises_error(DataError, "ds/state.json", "data-00001-of-00002.arrow"):
        choose(*SAVED, state=state(SAVED[0], "data-00001-of-00002.arrow"))


def test_index_of_rows_is_refused() -> None:
    with raises_error(UnsupportedError, "ds/state.json", "ds.flatten_indices"):
        choose(*SAVED, state=state(SAVED[0], _indices_data_files=[{"filename": "indices.arrow"}]))


@pytest.mark.parametrize("broken", ["[]", 7, {"_data_files": 3}, {"_data_files": [None, {"filename": 1}]}])
def test_unusual_state_lists_nothing(broken: Any) -> None:
    assert choose(*SAVED, state=broken).data == [SAVED[0]]


def test_splits_with_data() -> None:
    names = ["dataset_dict.json", "train/a.arrow", "test/a.arrow"]
    found = choose(*names, dataset_dict={"splits": ["train", "test", "validation"]})
    assert found.splits == {"": ["train", "test"]}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00001.parquet", "train"),
        ("squad-validation.arrow", "validation"),
        ("val/part-0.jsonl", "validation"),
        ("train/test.jsonl", "test"),
        ("contest.jsonl", None),
        ("devices/a.jsonl", None),
    ],
)
def test_split_in_a_name(name: str, split: str | None) -> None:
    assert split_of(name) == split
