"""Print every message of padmask, for review: `make messages`.

A message is a string of at least three words that is not a docstring. Values are shown in braces.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FEWEST_WORDS = 3


def messages(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each message in a module.

    >>> list(messages('raise E(f"{path}: the file " "is empty.")'))
    [(1, '{path}: the file is empty.')]
    """
    tree = ast.parse(source)
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in ast.walk(node) if part is not node}
        if id(node) not in skipped and (text := text_of(node)) and len(text.split()) >= FEWEST_WORDS:
            yield node.lineno, text  # type: ignore[attr-defined]


def text_of(node: ast.AST) -> str:
    """Return the text of a string or f-string, or an empty string for other nodes."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    return "{" + ast.unparse(node.value) + "}" if isinstance(node, ast.FormattedValue) else ""


def main(package: Path) -> None:
    """Print the messages of a package by module."""
    for file in sorted(package.rglob("*.py")):
        found = sorted(messages(file.read_text()))
        if found:
            print(f"\n{file.relative_to(package.parent)}")
        for line, text in found:
            print(f"  {line:4}  {text.strip()!r}" if "\n" in text.strip() else f"  {line:4}  {text.strip()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
