"""The command line as its users meet it: in a process of its own, or quickly in this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from padmask.cli import run

Completed = subprocess.CompletedProcess[str]

SECONDS = 60


def _text(data: bytes) -> str:
    # Binary output comes through whole: .encode("utf-8", "surrogateescape") gives it back.
    return data.decode("utf-8", "surrogateescape")


@pytest.fixture
def command() -> list[str]:
    """What starts `padmask` in a process of its own."""
    return [sys.executable, "-m", "padmask"]


@pytest.fixture
def padmask(command: list[str], tmp_path: Path) -> Callable[..., Completed]:
    """Run `padmask ARGS...` in a process of its own.

    `stdin` is text or bytes, nothing unless given; `redirect` is what a shell would be told
    after the command, such as `>&-`; `before` is what it would be told first, such as `ulimit -f 8`.
    """

    def start(
        *args: str | Path,
        stdin: str | bytes | None = None,
        cwd: Path = tmp_path,
        redirect: str = "",
        before: str = ":",
    ) -> Completed:
        whole = [*command, *map(str, args)]
        if redirect or before != ":":
            whole = ["sh", "-c", f'{before}; exec "$@" {redirect}', "sh", *whole]
        given = stdin.encode() if isinstance(stdin, str) else stdin or b""
        done = subprocess.run(whole, input=given, capture_output=True, cwd=cwd, timeout=SECONDS, check=False)
        return Completed(whole, done.returncode, _text(done.stdout), _text(done.stderr))

    return start


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Completed]:
    """Run `padmask ARGS...` inside this process, in the test's folder: a hundred times as quick."""

    def call(*args: str | Path) -> Completed:
        monkeypatch.chdir(tmp_path)
        capfd.readouterr()
        code = run([str(arg) for arg in args])
        said = capfd.readouterr()
        return Completed(["padmask", *map(str, args)], code, said.out, said.err)

    return call
