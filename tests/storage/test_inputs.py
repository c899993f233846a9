"""Which files inputs stand for: none is missing in silence, none comes in without end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from padmask.core.plan import Plan
from padmask.errors import DataError, UnreadableError
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
def test_all_that_is_not_hidden_is_found(data: Path, way: str) -> None:
    assert sorted(names(data, way)) == ["a.jsonl", "in/b.jsonl", "in/deep/c.jsonl"]


@ways
def test_a_folder_behind_a_link_is_read(data: Path, way: str) -> None:
    other = data.parent / "other"
    other.mkdir()
    (other / "z.jsonl").write_text("{}")
    (data / "link").symlink_to(other)
    assert "link/z.jsonl" in names(data, way)


@ways
def test_links_back_are_no_new_files(data: Path, way: str) -> None:
    before = names(data, way)
    (data / "loop").symlink_to(".")
    (data / "in" / "up").symlink_to(data)
    assert names(data, way) == before


@ways
def test_a_folder_that_is_there_twice_is_refused(data: Path, way: str) -> None:
    (data / "latest").symlink_to("in")
    with pytest.raises(UnreadableError, match="are one folder, whose rows would be there twice"):
        names(data, way)
    assert names(data, "in/*") == ["b.jsonl", "deep/c.jsonl"]


@ways
def test_many_links_take_no_time(data: Path, way: str) -> None:
    folders = [data / f"f{number:02}" for number in range(30)]
    for folder, below in zip(folders, [*folders[1:], None], strict=True):
        folder.mkdir()
        for name in ("x", "y"):
            if below:
                (folder / name).symlink_to(below)
    with pytest.raises(UnreadableError, match="are one folder"):
        names(data, way)


def test_folders_may_be_deep(data: Path) -> None:
    # Deeper than Python calls itself, which goes for pytest's tidying up too.
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
def test_what_is_no_file_is_refused(data: Path, way: str) -> None:
    os.mkfifo(data / "in" / "pipe.jsonl")
    with pytest.raises(UnreadableError, match=r"pipe\.jsonl' is a pipe or a device"):
        names(data, way)
    (data / "in" / "pipe.jsonl").unlink()
    (data / "in" / "link.jsonl").symlink_to("nowhere")
    with pytest.raises(UnreadableError, match=r"link\.jsonl' is a link to nothing"):
        names(data, way)


@pytest.fixture
def locked(data: Path) -> Iterator[Path]:
    """A folder in which one may not be read; by root either, who may read everything."""
    (data / "in").chmod(0)
    if os.access(data / "in", os.R_OK):
        (data / "in").chmod(0o755)
        pytest.skip("root may read everything")
    yield data
    (data / "in").chmod(0o755)


@ways
def test_a_folder_that_cannot_be_read_is_named(data: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UnreadableError, match=r"in/deep': Permission denied"):
        names(data, way)


@ways
def test_so_it_is_for_those_who_are_not_root(locked: Path, way: str) -> None:
    with pytest.raises(UnreadableError, match="Permission denied"):
        names(locked, way)


def test_what_has_no_name_of_data_is_told(data: Path) -> None:
    for name in ("README.md", "in/b.jsonl.bz2", "in/x.npz", ".hidden", "_x/y.txt"):
        (data / name).write_text("")
    assert find_inputs([str(data)]).passed_over == ["README.md", "in/b.jsonl.bz2", "in/x.npz"]
    assert find_inputs([f"{data}/*"]).passed_over == ["README.md", "in/b.jsonl.bz2", "in/x.npz"]
    # Whoever writes a suffix or a name has chosen.
    assert find_inputs([f"{data}/*.md", f"{data}/README.md", "-"]).passed_over == []


def test_a_pattern_takes_what_has_no_suffix_or_its_own(data: Path) -> None:
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
def test_patterns(data: Path, pattern: str, found: list[str]) -> None:
    assert names(data, pattern) == found


@pytest.mark.parametrize("way", ["", "/", "/*.jsonl", "/a.jsonl"])
def test_keys_that_are_folders_stay(tmp_path: Path, way: str) -> None:
    deep = tmp_path / "run=1" / "data" / "year=2024" / "month=1"
    deep.mkdir(parents=True)
    (deep / "a.jsonl").write_text("{}")
    assert names(Path(f"{deep}{way}")) == ["year=2024/month=1/a.jsonl"]
    assert names(deep.parent.parent) == ["year=2024/month=1/a.jsonl"]


def test_a_pattern_without_a_file_is_an_error(data: Path) -> None:
    for pattern in ("*.x", "no/*", "a.jsonl/*"):
        with pytest.raises(DataError, match="No file matches"):
            names(data, pattern)


def test_a_folder_half_of_whose_files_have_their_names_is_refused(data: Path) -> None:
    (data / REPLACING).write_text("[]")
    with pytest.raises(DataError, match="--resume"):
        names(data)
    written(data)
    assert names(data)


def written(data: Path, **sizes: int) -> None:
    """Say that padmask wrote these."""
    record(data, {f"{name}.jsonl": size for name, size in sizes.items()})


def record(data: Path, sizes: dict[str, int]) -> None:
    records = [ShardRecord(i, name, name, size=size) for i, (name, size) in enumerate(sizes.items())]
    left_out = ShardRecord(len(records), "", "x.jsonl", fault="x.jsonl cannot be read.")
    manifest = Manifest(Fingerprint("job", {}, {}), Plan(3, "given", 3), [*records, left_out])
    (data / MANIFEST).write_bytes(manifest.to_bytes())


def test_a_folder_that_lacks_what_was_written_is_refused(data: Path) -> None:
    written(data, **{"a": 2, "in/b": 2})
    assert len(names(data)) == 3
    written(data, a=2, gone=2)
    with pytest.raises(DataError, match=r"lacks what its _padmask\.json tells of: gone\.jsonl\. "):
        names(data)
    written(data, a=3)
    with pytest.raises(DataError, match=r"has with another size .*: a\.jsonl\. "):
        names(data)
    # As is said there.
    assert names(data, "*") == ["a.jsonl", "in/b.jsonl", "in/deep/c.jsonl"]


def test_a_folder_below_that_is_not_whole_is_refused_too(data: Path) -> None:
    written(data / "in", gone=2)
    for way in (None, "i*"):
        with pytest.raises(DataError, match=r"in' lacks what its _padmask\.json tells of: gone\.jsonl"):
            names(data, way)
    (data / "in" / MANIFEST).rename(data / "in" / REPLACING)
    for way in (None, "i*"):
        with pytest.raises(DataError, match="a part of a run's output only"):
            names(data, way)


def test_what_was_written_may_be_empty_hidden_or_no_data(data: Path) -> None:
    for name in ("e.jsonl", "_h.jsonl", "z.npz"):
        (data / name).write_text("")
    record(data, dict.fromkeys(("e.jsonl", "_h.jsonl", "z.npz"), 0))
    assert "e.jsonl" in names(data)


@pytest.mark.parametrize(
    "told", ["", "[]", '{"shards": 1}', '{"shards": [{"name": "a.jsonl"}]}', "[" * 100_000], ids=len
)
def test_a_file_of_that_name_that_says_something_else_is_refused(data: Path, told: str) -> None:
    (data / MANIFEST).write_text(told)
    with pytest.raises(DataError, match="is not a manifest"):
        names(data)
    # As is said there.
    assert len(names(data, "*")) == 3
