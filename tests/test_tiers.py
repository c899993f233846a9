"""Each exhaustive test has a representative in a quicker tier, and no tier runs the tests of another."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiers import represented

TESTS = Path(__file__).parent

MODULE = """
import pytest
def test_quick(): ...
@pytest.mark.slow
def test_slow(): ...
@pytest.mark.exhaustive(by="test_quick")
def test_more(): ...
@pytest.mark.slow
@pytest.mark.exhaustive(by="test_slow")
def test_both(): ...
"""


def collected(folder: Path, *options: str) -> set[str]:
    """Return the tests of MODULE that pytest selects with the settings of the project."""
    (folder / "test_module.py").write_text(MODULE)
    settings = ["-c", str(TESTS.parent / "pyproject.toml"), "--rootdir", str(folder), "-p", "conftest"]
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *settings, *options, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    return {line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line}


@represented(
    "options,tests",
    {
        "default": ([], {"test_quick"}),
        "slow": (["-m", "slow"], {"test_slow"}),
        "not slow": (["-m", "not slow"], {"test_quick"}),
        "exhaustive": (["-m", "exhaustive"], {"test_more", "test_both"}),
        "all": (["-m", ""], {"test_quick", "test_slow", "test_more", "test_both"}),
    },
    by={"slow"},
)
def test_marker_selects_one_tier(tmp_path, options, tests):
    assert collected(tmp_path, *options) == tests


def test_others_are_exhaustive():
    mark = represented("size", {"small": 1, "large": 10**6, "huge": 10**9}, by={"small", "huge"}).mark
    assert [param.id for param in mark.args[1] if param.marks] == ["large"]


def test_first_cases_represent():
    cases = [("pad", 1), pytest.param("pad", 2, marks=pytest.mark.slow), ("unpad", 3)]
    mark = represented("verb,size", cases, by=1).mark
    assert [(param.values, len(param.marks)) for param in mark.args[1]] == [
        (("pad", 1), 0),
        (("pad", 2), 2),
        (("unpad", 3), 1),
    ]


@pytest.mark.parametrize("by", [set(), 0, {"small", "tiny"}])
def test_representatives_exist(by):
    with pytest.raises(ValueError, match="represents the cases of size"):
        represented("size", {"small": 1, "large": 10**6}, by=by)


def test_representatives_are_named():
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"^ *@pytest\.mark\.exhaustive\(by=\"(\w+)\"\)", text, re.M)
        tests = re.findall(r"^ *def (test_\w+)", text, re.M)
        assert set(named) <= set(tests), path
        assert path == Path(__file__) or len(named) == text.count("mark.exhaustive"), path
