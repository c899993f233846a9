"""Run the command line as users do: as a process, or faster, in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fork_server import SECONDS, ForkServer, needs_new_process

from padmask.cli import run

Completed = subprocess.CompletedProcess[str]

# If set, every command runs in a new process, to check the server process.
NEW_PROCESSES = "PADMASK_NEW_PROCESSES" in os.environ


def _text(data: bytes) -> str:
    # Binary output is not lost: .encode("utf-8", "surrogateescape") restores the bytes.
    return data.decode("utf-8", "surrogateescape")


@pytest.fixture
def command() -> list[str]:
    """Command line that starts `padmask` in a new process."""
    return [sys.executable, "-m", "padmask"]


@pytest.fixture
def quick_command(command: list[str], fork_server: ForkServer) -> list[str]:
    """Command line that runs `padmask` in a child of the server process, for shells and pipelines."""
    return command if NEW_PROCESSES else fork_server.command


@pytest.fixture
def shell(quick_command: list[str], tmp_path: Path) -> Callable[[str], Completed]:
    """Run a shell command in which `padmask` is this version of padmask."""

    def start(line: str) -> Completed:
        code = f'padmask() {{ {" ".join(quick_command)} "$@"; }}; {line}'
        return subprocess.run(
            ["sh", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    return start


@pytest.fixture
def padmask(command: list[str], request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Completed]:
    """Run `padmask ARGS...` as a process.

    The server process forks a child, unless an argument requires a new process. `stdin` is text or bytes, by
    default empty. `redirect` is shell syntax after the command, such as `>&-`. `before` is shell syntax
    before the command, such as `ulimit -f 8`. `new` starts a new process.
    """

    def start(
        *args: str | Path,
        stdin: str | bytes | None = None,
        cwd: Path = tmp_path,
        redirect: str = "",
        before: str = "",
        new: bool = False,
    ) -> Completed:
        given = stdin.encode() if isinstance(stdin, str) else stdin or b""
        whole, shown = list(map(str, args)), ["padmask", *map(str, args)]
        if new or before or NEW_PROCESSES or needs_new_process(os.environ):
            whole = [*command, *whole]
        else:
            server = request.getfixturevalue("fork_server")
            if not redirect:
                done = server.run(*args, stdin=given, cwd=cwd)
                return Completed(shown, done.returncode, _text(done.stdout), _text(done.stderr))
            whole = [*server.command, *whole]
        if redirect or before:
            whole = ["sh", "-c", f'{before or ":"}; exec "$@" {redirect}', "sh", *whole]
        done = subprocess.run(whole, input=given, capture_output=True, cwd=cwd, timeout=SECONDS, check=False)
        return Completed(shown, done.returncode, _text(done.stdout), _text(done.stderr))

    return start


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Completed]:
    """Run `padmask ARGS...` in this process, in the test's folder, which is the fastest way."""

    def call(*args: str | Path) -> Completed:
        monkeypatch.chdir(tmp_path)
        capfd.readouterr()
        code = run([str(arg) for arg in args])
        said = capfd.readouterr()
        return Completed(["padmask", *map(str, args)], code, said.out, said.err)

    return call
