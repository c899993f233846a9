"""The processes that the benchmark starts. This module imports only the standard library."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from measure import Cost, run
from peers import MAXLEN

HERE = Path(__file__).parent
PADMASK = [sys.executable, "-m", "padmask"]
if (_script := Path(sys.executable).with_name("padmask")).exists():
    PADMASK = [str(_script)]


def python(script: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this folder."""
    return [sys.executable, str(HERE / script), *map(str, arguments)]


def answer(command: Sequence[str]) -> dict:
    """Run a module of this folder, and parse the JSON that the module prints."""
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def pad(source: Path, destination: Path, *options: str, maxlen: str = str(MAXLEN)) -> list[str]:
    """Return the command that pads a file."""
    return [*PADMASK, "pad", str(source), "-o", str(destination), "--maxlen", maxlen, "--quiet", *options]


def without_fsync(command: Sequence[str]) -> list[str]:
    """Return a command of padmask that does not wait until the output is on disk."""
    code = "import os; os.fsync = os.fdatasync = lambda _: None; from padmask.__main__ import main; main()"
    return [sys.executable, "-c", code, *command[len(PADMASK) :]]


def peer(name: str, source: Path, destination: Path, maxlen: str = str(MAXLEN)) -> list[str]:
    """Return the command of a peer."""
    return python("peers.py", name, source, destination, maxlen)


def cat(source: Path, destination: Path) -> list[str]:
    """Return the command that copies a file's bytes."""
    return ["sh", "-c", 'exec cat "$0" > "$1"', str(source), str(destination)]


def importing(modules: str) -> list[str]:
    """Return the command that imports some modules and ends."""
    return [sys.executable, "-c", f"import {modules}"]


def writing(command: Sequence[str], destination: Path) -> Callable[[], Cost]:
    """Return a function that deletes the output file and then runs the command."""

    def fresh() -> Cost:
        destination.unlink(missing_ok=True)
        return run(command)

    return fresh
