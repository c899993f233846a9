"""If a file crashes workers, the error names this file and no other file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from processes import SECONDS, faulty, wait_until
from raised import has_facts

pytestmark = pytest.mark.slow

Run = Callable[..., "subprocess.CompletedProcess[str]"]

# Slow enough that the other shard is always in progress when the worker dies.
DIES = """
        time.sleep(0.5 if shard.index == 1 else 1.5)
        if shard.index == 1: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of a cluster with one worker of two threads. If the worker dies, it is started again."""
    pytest.importorskip("distributed", reason="--cluster needs Dask")
    scheduler, log = tmp_path / "scheduler.json", tmp_path / "cluster.log"
    parts = [["dask_scheduler", "--port", "0"], ["dask_worker", "--nworkers", "1", "--nthreads", "2"]]
    with log.open("w") as out, ExitStack() as stack:
        for name, *options in parts:
            options += ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(scheduler)]
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{name}", *options],
                cwd=tmp_path,
                env=faulty(tmp_path / "fault", DIES.strip()),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        wait_until(lambda: "Registered to" in log.read_text())
        yield str(json.loads(scheduler.read_text())["address"])


@pytest.fixture
def run(command: list[str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `padmask ARGS...` in a folder with two files in `data`."""
    (tmp_path / "data").mkdir()
    for shard in range(2):
        (tmp_path / "data" / f"{shard}.jsonl").write_text('{"input_ids": [1, 2]}\n' * 20)

    def start(*args: str, **more: Any) -> subprocess.CompletedProcess[str]:
        more |= {"capture_output": True, "text": True, "timeout": 4 * SECONDS, "check": False}
        return subprocess.run([*command, *args], cwd=tmp_path, **more)

    return start


@pytest.mark.exhaustive(by="test_inspect_names_the_bad_file")
def test_other_shards_continue(run: Run, tmp_path: Path, address: str) -> None:
    done = run("pad", "data", "-o", "out/", "--maxlen", "4", "--cluster", address, "--on-error", "skip")
    assert has_facts(done.stderr, "1.jsonl", "died")
    assert "0.jsonl" not in done.stderr
    assert done.returncode == 0
    assert [path.name for path in (tmp_path / "out").glob("*.jsonl")] == ["0.jsonl"]


OPENED = "event == 'open' and str(args[0]).endswith('1.jsonl')"


def test_inspect_names_the_bad_file(run: Run, tmp_path: Path) -> None:
    dies = f"sys.addaudithook(lambda event, args: {OPENED} and os.kill(os.getpid(), signal.SIGKILL))"
    done = run("inspect", "data", "--workers", "2", env=faulty(tmp_path / "fault", first=dies))
    assert has_facts(done.stderr, "1.jsonl", "died")
    assert done.returncode != 0
