"""Every warning has a name that the table of warnings lists."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

import padmask
from padmask.spec.rules import RULES
from padmask.spec.warning_names import WARNINGS, Warned


def names_in_code() -> set[str]:
    """Return the strings in the first arguments of all calls of `Warned`."""
    files = Path(padmask.__file__).parent.rglob("*.py")
    texts = (file.read_text(encoding="utf-8") for file in files)
    return {name for text in texts for name in re.findall(r'\bWarned\(\s*"([\w-]+)"', text)}


def test_every_name_is_used():
    # One call chooses between these two names.
    assert names_in_code() | {"pieces-missing", "pieces-not-joined"} == set(WARNINGS)


def test_unknown_name_is_refused():
    with pytest.raises(KeyError, match="no-such-warning"):
        Warned("no-such-warning", "text")


def test_name_survives_pickling():
    copy = pickle.loads(pickle.dumps(Warned("no-rows-read", "no rows", allowed=True)))
    assert (copy, copy.name, copy.allowed) == ("no rows", "no-rows-read", True)


def test_some_rules_are_also_warnings():
    both = {"row-fully-masked", "no-end-mark", "non-finite", "unlisted-file"}
    assert set(WARNINGS) & set(RULES) == both
