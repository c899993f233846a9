"""Patterns match names in an object store like files in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padmask.storage.glob import expand, matches

NAMES = ["a.x", "b.x", "in/a.x", "in/b.y", "in/deep/a.x", "other/a.x"]
PARTS = ["*", "**", "*.x", "a.*", "in", "?n", "[ab].x", "deep", "*e*"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walk")
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


@settings(deadline=None)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4))
def test_matches_agrees_with_expand(folder: Path, pattern: list[str]) -> None:
    walked = {os.path.relpath(path, folder) for path in expand(str(folder), pattern) if os.path.isfile(path)}
    assert walked == {name for name in NAMES if matches(name.split("/"), pattern)}
