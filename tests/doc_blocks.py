"""The code blocks of the README and the pages in `docs/`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^>]*) -->\n)?^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^ *```", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A code block.

    Args:
        page: the page.
        mark: the comment before the block, such as `recipe: hf` or `run`; empty without a comment.
        kind: language of the block, such as `console`; empty without a language.
        text: the code, without the indentation of the block.
    """

    page: Path
    mark: str
    kind: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command in a `console` block, and the output that the page shows."""

    line: str
    output: str


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page."""
    return [
        Block(page, m["mark"] or "", m["kind"], re.sub(rf"(?m)^{m['indent']}", "", m["text"]))
        for m in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def quick_blocks(page: Path) -> list[Block]:
    """Return the blocks before the first Python block with the mark `run`. Later commands need its files."""
    return list(takewhile(lambda block: block.mark != "run", blocks(page)))


def commands(block: Block) -> list[Command]:
    """Return the commands of a `console` block."""
    if block.kind != "console":
        return []
    parts = re.split(r"(?m)^\$ ", block.text)
    assert parts[0] == "", f"{block.page}: a console block starts with `$ `"
    return [Command(*part.split("\n", 1)) for part in parts[1:]]


def run(line: str, folder: Path) -> str:
    """Run a command in a shell. Return its output and messages, without trailing blanks."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "100",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines())


def run_python(block: Block, folder: Path) -> None:
    """Run a Python block in a process of its own."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", block.text], cwd=folder, check=True)
