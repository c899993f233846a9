"""Which files inputs stand for: none is missing in silence, none comes in without end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from padmask.errors import DataError, UnreadableError
from padmask.formats.listing import MANIFEST, REPLACING, list_inputs, passed_over

WAYS = ["", "**", "**/*.jsonl"]
ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("a.jsonl", "in/b.jsonl", "in/deep/c.jsonl", "_x/d.jsonl", ".y/e.jsonl", "in/_f.jsonl"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("{}")
    return tmp_path / "data"


def names(data: Path, way: str = "") -> list[str]:
    return [file.name for file in list_inputs([f"{data}/{way}"])]


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
    assert passed_over([str(data)]) == ["README.md", "in/b.jsonl.bz2", "in/x.npz"]
    # Whoever writes a pattern or a name has chosen.
    assert passed_over([f"{data}/*", f"{data}/README.md", "-"]) == []


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jsonl", ["a.jsonl"]),
        ("*/*.jsonl", ["in/b.jsonl"]),
        ("in/**/c*", ["deep/c.jsonl"]),
        ("i[mn]", ["in/b.jsonl", "in/deep/c.jsonl"]),
        ("**/deep/*", ["in/deep/c.jsonl"]),
        ("?.jsonl", ["a.jsonl"]),
    ],
)
def test_patterns(data: Path, pattern: str, found: list[str]) -> None:
    assert names(data, pattern) == found


def test_a_pattern_without_a_file_is_an_error(data: Path) -> None:
    for pattern in ("*.x", "no/*", "a.jsonl/*"):
        with pytest.raises(DataError, match="No file matches"):
            names(data, pattern)


def test_a_folder_half_of_whose_files_have_their_names_is_refused(data: Path) -> None:
    (data / REPLACING).write_text("[]")
    with pytest.raises(DataError, match="--resume"):
        names(data)
    (data / MANIFEST).write_text("{}")
    assert names(data)
