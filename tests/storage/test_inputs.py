"""The files that inputs refer to: no file is silently missing or found twice."""

from __future__ import annotations

import bz2
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from raised import raises_error

from padmask.core.plan import Plan
from padmask.errors import AccessError, DataError, UnreadableError
from padmask.shards.fingerprint import Fingerprint
from padmask.shards.manifest import Manifest, ShardRecord
from padmask.storage.inputs import find_inputs, list_inputs
from padmask.storage.names import MANIFEST, REPLACING

WAYS = ["", "**", "**/*.jsonl"]
ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("a.jsonl", "in/b.jsonl", "in/deep/c.jsonl", "_x/d.jsonl", ".y/e.jsonl", "in/_f.jsonl"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("{}")
    return tmp_path / "data"


def names(data: Path, way: str | None = None) -> list[str]:
    return [file.name for file in list_inputs([str(data) if way is None else f"{data}/{way}"])]


@ways
def test_visible_files_are_found(data: Path, way: str) -> None:
    assert sorted(names(data, way)) == ["a.jsonl", "in/b.jsonl", "in/deep/c.jsonl"]


@pytest.mark.parametrize("prefix", ["", "file://"])
@pytest.mark.parametrize("way", ["", "*", *WAYS[1:]])
def test_files_are_sorted_by_path(tmp_path: Path, way: str, prefix: str) -> None:
    for name in ("b.jsonl", "a/x.jsonl", "a/in/y.jsonl", "a-b.jsonl", "a.jsonl", "c/z.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    found = [file.name for file in list_inputs([f"{prefix}{tmp_path}/{way}"])]
    assert found == ["a-b.jsonl", "a.jsonl", "a/in/y.jsonl", "a/x.jsonl", "b.jsonl", "c/z.jsonl"]


@ways
def test_linked_folder_is_read(data: Path, way: str) -> None:
    other = data.parent / "other"
    other.mkdir()
    (other / "z.jsonl").write_text("{}")
    (data / "link").symlink_to(other)
    assert "link/z.jsonl" in names(data, way)


@ways
def test_link_cycles_add_no_files(data: Path, way: str) -> None:
    before = names(data, way)
    (data / "loop").symlink_to(".")
    (data / "in" / "up").symlink_to(data)
    assert names(data, way) == before


@ways
def test_folder_found_twice_is_refused(data: Path, way: str) -> None:
    (data / "latest").symlink_to("in")
    with raises_error(AccessError, f"{data}/in", f"{data}/latest", "same folder"):
        names(data, way)
    assert names(data, "in/*") == ["b.jsonl", "deep/c.jsonl"]


@ways
def test_many_links_are_fast(data: Path, way: str) -> None:
    folders = [data / f"f{number:02}" for number in range(30)]
    for folder, below in zip(folders, [*folders[1:], None], strict=True):
        folder.mkdir()
        for name in ("x", "y"):
            if below:
                (folder / name).symlink_to(below)
    with raises_error(AccessError, "same folder"):
        names(data, way)


def test_deep_folders(data: Path) -> None:
    # Deeper than Python's recursion limit, which also affects the cleanup by pytest.
    deep = str(data)
    for _ in range(1200):
        deep += "/d"
        os.mkdir(deep)
    try:
        Path(deep, "z.jsonl").write_text("{}")
        assert [name for name in names(data) if name.startswith("d/")] == ["d/" * 1200 + "z.jsonl"]
    finally:
        subprocess.run(["rm", "-rf", data / "d"], check=True)


@ways
def test_pipes_in_folders_are_refused(data: Path, way: str) -> None:
    os.mkfifo(data / "in" / "pipe.jsonl")
    with raises_error(AccessError, f"'{data}/in/pipe.jsonl'", "pipe or a device"):
        names(data, way)
    (data / "in" / "pipe.jsonl").unlink()
    (data / "in" / "link.jsonl").symlink_to("nowhere")
    with raises_error(AccessError, f"'{data}/in/link.jsonl'", "broken link"):
        names(data, way)


@pytest.fixture
def locked(data: Path) -> Iterator[Path]:
    """A folder that contains a folder that even root cannot read."""
    (data / "in").chmod(0)
    if os.access(data / "in", os.R_OK):
        (data / "in").chmod(0o755)
        pytest.skip("root may read everything")
    yield data
    (data / "in").chmod(0o755)


@ways
def test_unreadable_folder_is_named(data: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with raises_error(AccessError, f"'{data}/in/deep'", "Permission denied"):
        names(data, way)


@ways
def test_locked_folder_is_named(locked: Path, way: str) -> None:
    with raises_error(AccessError, f"'{locked}/in'", "Permission denied"):
        names(locked, way)


def test_other_files_are_listed(data: Path) -> None:
    for name in ("notes.md", "in/b.jsonl.bz2", "in/x.npy", ".hidden", "_x/y.txt", "README.md", "in/LICENSE"):
        (data / name).write_text("")
    # Users do not expect rows in README.md and LICENSE.
    assert find_inputs([str(data)]).skipped_files == ["in/b.jsonl.bz2", "in/x.npy", "notes.md"]
    assert find_inputs([f"{data}/*"]).skipped_files == ["in/b.jsonl.bz2", "in/x.npy", "notes.md"]
    # A pattern with a suffix or a name is a choice.
    assert find_inputs([f"{data}/*.md", f"{data}/in/LICENSE", "-"]).skipped_files == []


@pytest.mark.parametrize(
    "inputs",
    [
        ["data/*.jsonl", "data/a.jsonl"],
        ["data/a.jsonl", "data/../data/a.jsonl"],
        ["data", "data/a.jsonl"],
        ["data/**", "./data"],
    ],
    ids=["pattern and name", "two paths", "folder and name", "pattern and folder"],
)
def test_repeated_file_is_read_once(data: Path, monkeypatch: pytest.MonkeyPatch, inputs: list[str]) -> None:
    monkeypatch.chdir(data.parent)
    found = find_inputs(inputs)
    assert [os.path.normpath(file.path) for file in found.files].count("data/a.jsonl") == 1
    assert "data/a.jsonl" in found.repeated
    assert any("only once: data/a.jsonl" in note for note in found.notes)


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symlink", "hard link"])
@pytest.mark.parametrize("inputs", [["a.jsonl", "in/z.jsonl"], ["."], ["in/../*.jsonl", "in"]], ids=str)
def test_linked_file_is_read_once(data: Path, monkeypatch, link, inputs: list[str]) -> None:
    monkeypatch.chdir(data)
    link(data / "a.jsonl", "in/z.jsonl")
    found = find_inputs(inputs)
    assert [os.path.basename(file.path) for file in found.files].count("a.jsonl") == 1
    assert "z.jsonl" not in [os.path.basename(file.path) for file in found.files]
    [repeated] = found.repeated
    both = repeated.removesuffix(")").split(" (also named ")
    assert [os.path.normpath(path) for path in both] == ["a.jsonl", "in/z.jsonl"]


def test_copies_are_different_files(data: Path) -> None:
    (data / "copy.jsonl").write_bytes((data / "a.jsonl").read_bytes())
    assert "copy.jsonl" in names(data) and not find_inputs([str(data)]).repeated


def test_pattern_matches_plain_names(data: Path) -> None:
    for name in ("README.md", "part-0", "x.txt"):
        (data / name).write_text("")
    assert [name for name in names(data, "*") if "/" not in name] == ["a.jsonl", "part-0"]
    assert names(data, "*.txt") == ["x.txt"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jsonl", ["a.jsonl"]),
        ("*/*.jsonl", ["in/b.jsonl"]),
        ("in/**/c*", ["deep/c.jsonl"]),
        ("i[mn]", ["in/b.jsonl", "in/deep/c.jsonl"]),
        ("**/deep/*", ["in/deep/c.jsonl"]),
        ("*", ["a.jsonl", "in/b.jsonl", "in/deep/c.jsonl"]),
        ("?.jsonl", ["a.jsonl"]),
    ],
)
def test_patterns_find_files(data: Path, pattern: str, found: list[str]) -> None:
    assert names(data, pattern) == found


@pytest.mark.parametrize("way", ["", "/", "/*.jsonl", "/a.jsonl"])
def test_hive_keys_are_kept(tmp_path: Path, way: str) -> None:
    deep = tmp_path / "run=1" / "data" / "year=2024" / "month=1"
    deep.mkdir(parents=True)
    (deep / "a.jsonl").write_text("{}")
    assert names(Path(f"{deep}{way}")) == ["year=2024/month=1/a.jsonl"]
    assert names(deep.parent.parent) == ["year=2024/month=1/a.jsonl"]


def test_unmatched_pattern_is_an_error(data: Path) -> None:
    for pattern in ("*.x", "no/*", "a.jsonl/*"):
        with raises_error(AccessError, f"{data}/{pattern}"):
            names(data, pattern)


def test_half_renamed_folder_is_refused(data: Path) -> None:
    (data / REPLACING).write_text("[]")
    with raises_error(DataError, f"'{data}'", "--resume"):
        names(data)
    written(data)
    assert names(data)


def written(data: Path, **sizes: int) -> None:
    """Write a manifest that lists these files."""
    record(data, {f"{name}.jsonl": size for name, size in sizes.items()})


def record(data: Path, sizes: dict[str, int]) -> None:
    records = [ShardRecord(i, name, name, size=size) for i, (name, size) in enumerate(sizes.items())]
    left_out = ShardRecord(len(records), "", "x.jsonl", fault="x.jsonl cannot be read.")
    manifest = Manifest(Fingerprint("job", {}, {}), Plan(3, "given", 3), [*records, left_out])
    (data / MANIFEST).write_bytes(manifest.to_bytes())


def test_incomplete_folder_is_refused(data: Path) -> None:
    written(data, **{"a": 2, "in/b": 2})
    assert len(names(data)) == 3
    written(data, a=2, gone=2)
    with raises_error(DataError, f"'{data}'", "_padmask.json", "Missing files: gone.jsonl."):
        names(data)
    written(data, a=3)
    with raises_error(DataError, "different size: a.jsonl."):
        names(data)
    # As the message suggests.
    assert names(data, "*") == ["a.jsonl", "in/b.jsonl", "in/deep/c.jsonl"]


def test_incomplete_folder_below(data: Path) -> None:
    written(data / "in", gone=2)
    for way in (None, "i*"):
        with raises_error(DataError, f"'{data}/in'", "Missing files: gone.jsonl."):
            names(data, way)
    (data / "in" / MANIFEST).rename(data / "in" / REPLACING)
    for way in (None, "i*"):
        with raises_error(DataError, f"'{data}/in'", "incomplete"):
            names(data, way)


def test_manifest_may_list_other_files(data: Path) -> None:
    for name in ("e.jsonl", "_h.jsonl", "z.npz"):
        (data / name).write_text("")
    record(data, dict.fromkeys(("e.jsonl", "_h.jsonl", "z.npz"), 0))
    assert "e.jsonl" in names(data)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"shards": 1}', '{"shards": [{"name": "a.jsonl"}]}', "[" * 100_000], ids=len
)
def test_foreign_manifest_is_refused(data: Path, content: str) -> None:
    (data / MANIFEST).write_text(content)
    with raises_error(DataError, f"'{data}/_padmask.json'", "not a manifest"):
        names(data)
    # As the message suggests.
    assert len(names(data, "*")) == 3


def test_only_other_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.bz2").write_bytes(bz2.compress(b"{}"))
    with raises_error(UnreadableError, "a.jsonl.bz2", "bzip2 -dc"):
        list_inputs([str(tmp_path)])


def test_pipe_in_a_folder_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with raises_error(UnreadableError, "a.csv"):
        list_inputs([str(tmp_path)])
