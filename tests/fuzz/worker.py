"""Cases in a process of their own, which native code may bring down.

`python tests/fuzz/worker.py` reads pickled cases from stdin and answers on stdout.
"""

from __future__ import annotations

import pickle
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

SECONDS = 30
MEMORY = 6 << 30


@dataclass(frozen=True)
class Answer:
    """What became of a case: how it ended the process, if it did, and how it broke the contract."""

    outcome: Outcome | None
    problems: tuple[str, ...]
    died: str = ""


class Worker:
    """Runs cases one after another in a process that is started anew when one brings it down."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, case: Case) -> Answer:
        """Run a case."""
        if self._process is None:
            command = [sys.executable, str(Path(__file__).resolve())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        pickle.dump(case, stdin)
        stdin.flush()
        if not select.select([stdout], [], [], self._seconds)[0]:
            self._end()
            return Answer(None, (f"more than {self._seconds} seconds",), "SLOW")
        try:
            outcome, found = pickle.load(stdout)
        except EOFError:
            code = self._process.wait()
            self._end()
            if code >= 0:
                return Answer(None, ("the fuzzer itself broke down",), "BROKEN")
            return Answer(None, (), signal.Signals(-code).name)
        return Answer(outcome, tuple(found))

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _serve(reading: Any, writing: Any) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        while True:
            try:
                case = pickle.load(reading)
            except EOFError:
                return
            pickle.dump(problems(case, Path(folder)), writing)
            writing.flush()


def scratch() -> str | None:
    """Return a folder in memory, where there is one: a run waits for the disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    import os

    # What a run reads and says is kept apart from the cases and the answers.
    cases, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _serve(cases, answers)
