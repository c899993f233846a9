"""If a signal or a crash ends a run, no report of an earlier run remains."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fork_server import ForkServer
from processes import default_signals, wait_until
from raised import has_facts
from tiers import represented

# `wait` creates a file when it starts, and does not return for a minute.
MODELS = """
import os, time
def wait(ids, mask):
    open("started", "w").close()
    time.sleep(60)
def crash(ids, mask):
    os.abort()
"""

VERIFY = (
    *("verify", "in.jsonl", "--report", "json:out.json", "--report", "junit:out.xml"),
    *("--report", "html:out.html", "--predict"),
)


@pytest.fixture
def folder(fork_server: ForkServer, tmp_path: Path) -> Path:
    """A folder with data, models, and the reports of an earlier run."""
    (tmp_path / "in.jsonl").write_text('{"input_ids": [5, 6]}\n{"input_ids": [7]}\n')
    (tmp_path / "models.py").write_text(MODELS)
    done = fork_server.run(*VERIFY[:-1], "--no-model", cwd=tmp_path)
    assert done.returncode == 0 and verdict(tmp_path) == "data-ok"
    return tmp_path


def started(folder: Path, *args: str, stdin: int | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "padmask", *args],
        cwd=folder,
        stdin=stdin,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,
    )


def verdict(folder: Path) -> str:
    return str(json.loads((folder / "out.json").read_text())["verdict"])


def errors(folder: Path) -> str | None:
    return ElementTree.parse(folder / "out.xml").getroot().get("errors")


@pytest.mark.slow
@represented("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], by=1)
def test_stopped_run_leaves_an_error(folder: Path, number: signal.Signals) -> None:
    process = started(folder, *VERIFY, "models:wait")
    wait_until((folder / "started").exists)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    assert (verdict(folder), errors(folder)) == ("error", "1")
    seen = json.loads((folder / "out.json").read_text())
    assert (seen["exit_code"], "not finished" in seen["error"]["message"]) == (None, True)
    # No temporary file remains.
    left = {path.name for path in folder.iterdir()} - {"__pycache__"}
    assert left == {"in.jsonl", "models.py", "out.html", "out.json", "out.xml", "started"}


@pytest.mark.slow
def test_crashed_run_leaves_an_error(folder: Path) -> None:
    process = started(folder, *VERIFY, "models:crash")
    _, said = process.communicate(timeout=60)
    assert (process.returncode, verdict(folder), errors(folder)) == (1, "error", "1")
    # The message does not blame the data.
    assert has_facts(said, "model", "function") and "corrupt" not in said


def test_new_report_is_written_at_once(folder: Path, fork_server: ForkServer) -> None:
    for name in ("out.json", "out.xml"):
        (folder / name).unlink()
    fork_server.run(*VERIFY, "models:crash", cwd=folder)
    assert (verdict(folder), errors(folder)) == ("error", "1")
    # The page of the earlier run is replaced too.
    assert "not finished" in (folder / "out.html").read_text()


def test_other_file_is_kept_until_the_end(folder: Path, fork_server: ForkServer) -> None:
    (folder / "out.json").write_text('{"vocab": 9}')
    fork_server.run(*VERIFY, "models:crash", cwd=folder)
    assert (folder / "out.json").read_text() == '{"vocab": 9}'


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["pad", "unpad"])
def test_stopped_pad_leaves_an_error(folder: Path, verb: str) -> None:
    report = folder / "pad.json"
    report.write_text('{\n  "version": "of yesterday"}')
    process = started(
        folder, verb, "-", "-o", "out.parquet", "--report", "json:pad.json", stdin=subprocess.PIPE
    )
    wait_until(lambda: "has not finished" in report.read_text())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert json.loads(report.read_text())["exit_code"] is None


def test_report_to_a_pipe_is_written_once(folder: Path, fork_server: ForkServer) -> None:
    done = fork_server.run(*VERIFY[:2], "--no-model", "--report", "json:/dev/fd/1", "-q", cwd=folder)
    assert json.loads(done.stdout)["verdict"] == "data-ok"
