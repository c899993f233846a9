"""The code blocks of the README and the pages in `docs/`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from storages import Bucket, environment, object_store

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
        mark: the comment before the block; empty without a comment. `run`: the block runs in a separate
            process. `file: NAME`: the block is saved as this file, which later commands use. `slow`: this
            block and the following blocks of the page are tested together with the slow tests. `bucket`: like
            `slow`, and the commands use the bucket `corpus`. `recipe: NAME`: a test runs the block.
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


def is_slow(block: Block) -> bool:
    """Whether this block, and the following ones on its page, are tested together with the slow tests."""
    return block.mark in ("run", "slow", "bucket") or block.mark.startswith("file: ")


def quick_blocks(page: Path) -> list[Block]:
    """Return the blocks before the first slow block. Later blocks may need the files of slow blocks."""
    return list(takewhile(lambda block: not is_slow(block), blocks(page)))


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


@contextmanager
def bucket_of(page: Path, folder: Path) -> Iterator[None]:
    """Start an object store with the bucket `corpus`, if the commands of a page use the bucket."""
    if not any(block.mark == "bucket" for block in blocks(page)):
        yield
        return
    with object_store(folder / "store.log") as reached, environment(reached):
        bucket = Bucket("corpus")
        lines = (ROOT / "sample_data" / "jargon.jsonl").read_bytes().splitlines(keepends=True)
        bucket.write("train/a.jsonl", b"".join(lines[:200]))
        bucket.write("train/b.jsonl", b"".join(lines[200:]))
        yield


def make_files(block: Block, folder: Path) -> None:
    """Save a block with the mark `file: NAME`, or run a block with the mark `run`."""
    if block.mark.startswith("file: "):
        (folder / block.mark.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
    elif block.mark == "run":
        subprocess.run([sys.executable, "-W", "ignore", "-c", block.text], cwd=folder, check=True)
