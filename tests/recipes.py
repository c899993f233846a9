"""Run the code blocks of the documents in `docs/`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def read_recipe(document: Path, name: str) -> str:
    """Return the code of a recipe of a document."""
    found = re.search(
        rf"<!-- recipe: {name} -->\n```python\n(.*?)```", document.read_text(encoding="utf-8"), re.S
    )
    assert found, f"no recipe for {name}"
    return found[1]


def run_recipes(document: Path, *names: str) -> dict[str, Any]:
    """Run recipes of a document, and return the names that they define."""
    known: dict[str, Any] = {}
    for name in names:
        exec(read_recipe(document, name), known)
    return known
