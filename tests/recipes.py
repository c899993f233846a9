"""Run the code blocks of the documents in `docs/`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def run_recipes(document: Path, *names: str) -> dict[str, Any]:
    """Run recipes of a document, and return the names that they define."""
    known: dict[str, Any] = {}
    for name in names:
        found = re.search(rf"<!-- recipe: {name} -->\n```python\n(.*?)```", document.read_text(), re.S)
        assert found, f"no recipe for {name}"
        exec(found[1], known)
    return known
