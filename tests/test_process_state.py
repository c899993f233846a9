"""A library call does not change the state of the process, which other threads share."""

from __future__ import annotations

import builtins
import json
import os
import signal
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import padmask
from padmask import FileOptions, PadSpec

THREADS = FileOptions(threads=3, batch_rows=20)
SPEC = PadSpec(maxlen=8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for shard in range(3):
        rows = [{"input_ids": [i] * (i % 9), "score": 0.5} for i in range(400)]
        (folder / f"{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def pad_formats(data: Path, out: Path) -> None:
    source: Path = data / "0.jsonl"
    for suffix in ("parquet", "arrow", "jsonl"):
        padmask.pad_file(source, out / f"padded.{suffix}", spec=SPEC, files=THREADS)
        source = out / f"padded.{suffix}"
        padmask.unpad_file(source, out / f"back.{suffix}", files=THREADS)
        source = out / f"back.{suffix}"


def pad_shards(data: Path, out: Path) -> None:
    with ThreadPoolExecutor(3) as executor:
        padmask.pad_dataset(data, out / "shards", spec=SPEC, executor=executor)


def look(data: Path, out: Path) -> None:
    padmask.inspect_file(data / "0.jsonl")
    padmask.verify_file(data / "0.jsonl")


CALLS = [pad_formats, pad_shards, look]


def changes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of calls that change the state of the process."""
    called: list[str] = []

    def watch(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def watched(*args: Any, **more: Any) -> Any:
            called.append(name)
            return real(*args, **more)

        monkeypatch.setattr(owner, name, watched)

    for name in ("simplefilter", "filterwarnings", "resetwarnings"):
        watch(warnings, name)
    for name in ("umask", "chdir", "putenv", "unsetenv"):
        watch(os, name)
    return called


def state() -> Any:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    return list(warnings.filters), dict(os.environ), list(sys.path), handlers, os.getcwd()


@pytest.mark.parametrize("call", CALLS)
def test_process_state_is_unchanged(
    call: Callable[[Path, Path], None], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first").mkdir()
    call(data, tmp_path / "first")  # imports of other packages may change the state
    before, called = state(), changes(monkeypatch)
    call(data, tmp_path)
    assert called == []
    assert state() == before


# --- The mode of output files ------------------------------------------------------------


@pytest.fixture(params=["as Linux shows it", "as a new file shows it"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way in which padmask finds the umask: from /proc, or from the mode of a new file."""
    real = builtins.open

    def without(file: Any, *args: Any, **more: Any) -> Any:
        if file == "/proc/self/status":
            raise FileNotFoundError(2, "No such file or directory", file)
        return real(file, *args, **more)

    if request.param == "as a new file shows it":
        monkeypatch.setattr(builtins, "open", without)
    return str(request.param)


@pytest.fixture(params=[0o022, 0o077, 0o002, 0])
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_mode_follows_the_umask(data: Path, tmp_path: Path, asked: str, mask: int) -> None:
    out = tmp_path / "out"
    out.mkdir()
    padmask.pad_file(data / "0.jsonl", out / "a.jsonl", spec=SPEC)
    assert stat.S_IMODE((out / "a.jsonl").stat().st_mode) == 0o666 & ~mask
    assert os.listdir(out) == ["a.jsonl"]


# --- Cores -------------------------------------------------------------------------------

POOLS = """
import os, sys, threading
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
import padmask
seen = set()
def look(_):
    seen.update(thread.name for thread in threading.enumerate())
padmask.pad_file(sys.argv[1], sys.argv[2], spec=padmask.PadSpec(maxlen=8), progress=look)
print(*sorted(name for name in seen if name.startswith("padmask_")))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
@pytest.mark.skipif(os.cpu_count() == 1, reason="this machine has one core")
def test_one_core_starts_no_pool(data: Path, tmp_path: Path) -> None:
    args = [sys.executable, "-c", POOLS, str(data / "0.jsonl"), str(tmp_path / "out.parquet")]
    done = subprocess.run(args, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
