"""The contract of every run, for all inputs and options."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

# Words that show that a message says what to do.
REMEDY = re.compile(
    r"(?<!\w)--?[a-z]|Did you mean|The columns are|They end in|"
    r"\b(must be|is not|is no|fix|skip|choose|create|check|(?<!cannot )write|rename|convert|free|give|"
    r"specify|list the|pass|shorten|make|pad|use|drop|install|look|remove|repeat|wait|add)\b",
    re.IGNORECASE,
)
# Words in messages of native libraries, which users cannot understand.
INNARDS = re.compile(
    r"\.(cc|h|cpp|py):\d|Traceback|Check failed|std::|arrow::|parquet::|0x[0-9a-f]{9}|<[a-z.]+ object|"
    r"\bgdb\b|JIRA|GitHub issue|bug report|Python int too large|argument \d|NoneType|numpy\.|\bnp\.",
    re.IGNORECASE,
)
LONGEST_MESSAGE = 1200


class Asked(Protocol):
    """An oracle for the output rows."""

    def wrong_rows(self, given: Mapping[str, bytes], files: Mapping[str, bytes]) -> list[str]:
        """Return the problems of the output rows."""


@dataclass(frozen=True)
class Case:
    """A run of the command line.

    Args:
        files: contents of the files in the folder, by name.
        args: arguments of the command line.
        source: input file that error messages must contain.
        asked: oracle for the output rows; None checks only the contract.
    """

    files: Mapping[str, bytes]
    args: tuple[str, ...]
    source: str | None = None
    asked: Asked | None = None


@dataclass(frozen=True)
class Outcome:
    """The visible result of a run. The exit code is None if an exception ended the run."""

    code: int | None
    out: bytes
    said: str
    files: Mapping[str, bytes] = field(default_factory=dict)


@contextmanager
def _caught(number: int) -> Iterator[Path]:
    """Redirect a descriptor to a file, also for native code."""
    name = Path(f"/dev/shm/padmask-{os.getpid()}-{number}") if Path("/dev/shm").is_dir() else None
    path = name or Path(f"/tmp/padmask-{os.getpid()}-{number}")
    kept = os.dup(number)
    with path.open("wb") as file:
        os.dup2(file.fileno(), number)
    try:
        yield path
    finally:
        os.dup2(kept, number)
        os.close(kept)
        path.unlink(missing_ok=True)


def call(args: Sequence[str]) -> Outcome:
    """Run the command in this process, in the current folder."""
    from padmask.cli import run

    streams = sys.stdout, sys.stderr
    with _caught(1) as out, _caught(2) as said:
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        code: int | None = None
        trace = ""
        try:
            code = run(list(args))
        except BaseException:  # noqa: BLE001 - whatever it is, it breaks the contract
            trace = traceback.format_exc()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = streams
        return Outcome(code, out.read_bytes(), said.read_bytes().decode("utf-8", "replace") + trace)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write these files to a folder, and delete all others."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def problems(case: Case, folder: Path) -> tuple[Outcome, list[str]]:
    """Run a case in a new folder, and return its violations of the contract."""
    fill(folder, case.files)
    os.chdir(folder)
    outcome = call(case.args)
    outcome = Outcome(outcome.code, outcome.out, outcome.said, contents(folder))
    return outcome, judged(case, outcome)


def judged(case: Case, outcome: Outcome) -> list[str]:
    """Return the violations of the contract in the outcome of a case."""
    if outcome.code is None:
        return ["raised: " + "\n".join(reversed(outcome.said.strip().splitlines()))]
    if outcome.code not in (0, 1, 2):
        return [f"exit code {outcome.code}"]
    found = _litter(outcome)
    # `verify` reports findings on stdout.
    refused = outcome.code == 2 or (
        outcome.code == 1 and (case.args[0] != "verify" or "Error: " in outcome.said)
    )
    if refused:
        return found + _complaint(case, outcome)
    if INNARDS.search(outcome.said):
        found.append(f"innards: {outcome.said[:200]}")
    if outcome.code == 0 and case.asked is not None:
        found += case.asked.wrong_rows(case.files, outcome.files)
    return found


def _litter(outcome: Outcome) -> list[str]:
    left = [name for name in outcome.files if name.split("/")[-1].startswith((".", "padmask-"))]
    return [f"left behind: {left}"] if left else []


def _complaint(case: Case, outcome: Outcome) -> list[str]:
    """Return the problems of an error message and of leftover files."""
    said, found = outcome.said, []
    lines = said.splitlines()
    error = next((line for line in lines if line.startswith("Error: ")), "")
    if not error:
        found.append(f"no error is said: {said[:300]}")
    if said.count("Error: ") > 1 or len(lines) > 12 or len(error) > LONGEST_MESSAGE:
        found.append(f"too much is said: {said[:300]}")
    if INNARDS.search(said):
        found.append(f"innards: {said[:300]}")
    if not REMEDY.search(said):
        found.append(f"no word of what to do: {said[:300]}")
    about_output = "memory" in said or "cannot store" in said or "cannot hold" in said
    if case.source and case.source not in said and not about_output:
        found.append(f"the input is not named: {said[:300]}")
    before = {name: bytes(data) for name, data in case.files.items()}
    changed = [name for name in {*before, *outcome.files} if before.get(name) != outcome.files.get(name)]
    reports = [name for name in changed if "--report" in case.args and _is_error_report(outcome, name)]
    if changed != reports:
        found.append(f"files changed: {sorted(changed)}")
    return found


def _is_error_report(outcome: Outcome, name: str) -> bool:
    """Return whether a file is the report of a run that failed."""
    from padmask.render.html import start_of_page

    data = outcome.files.get(name, b"")
    if data.startswith(b"<?xml"):
        return b"<error " in data
    if data.startswith(start_of_page("verify").encode()):
        return b"<title>error - padmask verify</title>" in data
    try:
        report = json.loads(data)
    except ValueError:
        return False
    return isinstance(report, dict) and report.get("exit_code") == outcome.code and "error" in report
