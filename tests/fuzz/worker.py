"""A worker process that runs cases, because native code may crash.

`python tests/fuzz/worker.py FOLDER` reads cases from stdin, one line of JSON each, and writes results to
stdout.
"""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from fuzz.contract import Case, Outcome, problems
from fuzz.wire import case_of_line, line_of_case, line_of_outcome, outcome_of_line

SECONDS = 30
MEMORY = 6 << 30


@dataclass(frozen=True)
class Answer:
    """The result of a case: whether the process died, and the violations of the contract."""

    outcome: Outcome | None
    problems: tuple[str, ...]
    died: str = ""


class Worker:
    """An object that runs cases in a process, which it restarts after a crash."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        # This process removes the folder, because the worker may be killed.
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, case: Case) -> Answer:
        """Run a case."""
        if self._process is None:
            self._folder = tempfile.TemporaryDirectory(dir=scratch())
            command = [sys.executable, str(Path(__file__).resolve()), self._folder.name]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(line_of_case(case))
        stdin.flush()
        if not select.select([stdout], [], [], self._seconds)[0]:
            self._end()
            return Answer(None, (f"more than {self._seconds} seconds",), "SLOW")
        line = stdout.readline()
        if not line.endswith(b"\n"):
            code = self._process.wait()
            self._end()
            if code >= 0:
                return Answer(None, ("the fuzzer itself broke down",), "BROKEN")
            return Answer(None, (), signal.Signals(-code).name)
        outcome, found = outcome_of_line(line)
        return Answer(outcome, tuple(found))

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _serve(reading: Any, writing: Any, folder: Path) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # These packages need more address space than the limit, so treat them as not installed.
    sys.modules |= dict.fromkeys(("tensorflow", "keras"))
    for line in reading:
        writing.write(line_of_outcome(*problems(case_of_line(line), folder)))
        writing.flush()


def scratch() -> str | None:
    """Return a folder in memory, because disks are slow; None if this machine has none."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    import os

    # The streams of runs are separate from the streams for cases and results.
    cases, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _serve(cases, answers, Path(sys.argv[1]))
