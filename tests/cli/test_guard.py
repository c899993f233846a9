"""The guard process reports a child that dies, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import default_signals
from raised import has_facts

from padmask.cli.failures import remedy_after_kill

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are guarded where processes can fork")

GUARD = """
import os, signal, sys, time
from padmask.cli.guard import run_guarded
def say(sentence):
    print("Error: " + sentence, file=sys.stderr)
    return 2
def run():
    {run}
    return 0
sys.exit(run_guarded(run, say, ["data.parquet"], bound_memory=False))
"""


def guarded(run: str) -> subprocess.CompletedProcess[str]:
    """Run a line of Python under the guard."""
    code = GUARD.format(run=run)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=20
    )


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE"])
def test_native_crash_names_the_input(name):
    ran = guarded(f"os.kill(os.getpid(), signal.{name})")

    assert ran.returncode == 1
    assert ran.stderr == (
        f"Error: Reading 'data.parquet' crashed ({name}): the file is probably corrupt. "
        "No output was written. Check that another tool can read the file.\n"
    )


def test_ignored_child_signal():
    """A program that ignores SIGCHLD starts padmask."""
    code = GUARD.format(run="print('ran')")
    ran = subprocess.run(
        [sys.executable, "-c", f"import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "ran\n", "")


def test_kill_is_reported():
    ran = guarded("os.kill(os.getpid(), signal.SIGKILL)")

    assert ran.returncode == 137
    assert "memory" in ran.stderr


def test_killed_folder_run_names_its_shards(tmp_path):
    staging = tmp_path / "out" / "_padmask-0123456789abcdef"
    staging.mkdir(parents=True)
    assert has_facts(remedy_after_kill("pad", f"{tmp_path}/out/"), "--workers", "--batch-rows", "--maxlen")
    for index in range(3):
        (staging / f"{index:06}.record").touch()
    remedy = remedy_after_kill("pad", f"{tmp_path}/out/")
    assert has_facts(remedy, "3 shards are done", "--resume", "--workers", "--batch-rows")
    # A smaller maxlen would rule out --resume.
    assert "--maxlen" not in remedy


@pytest.mark.parametrize(
    ("command", "option"), [("pad", "--batch-rows"), ("verify", "--batch-size"), ("unpad", "memory")]
)
def test_remedy_fits_the_command(command, option):
    assert option in remedy_after_kill(command, "out.parquet")


@pytest.mark.parametrize("code", [0, 1, 3])
def test_unexpected_exit_is_an_error(code):
    ran = guarded(f"os._exit({code})")

    assert ran.returncode == 2
    assert "exited" in ran.stderr


@pytest.mark.parametrize("code", [0, 1, 2])
def test_exit_code_is_passed_on(code):
    assert guarded(f"return {code}").returncode == code


def alive(pid: int) -> bool:
    """Return whether a process is running. A zombie is not running."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_killed_guard_ends_its_run():
    code = GUARD.format(run="print(os.getpid(), flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        assert alive(child)
        process.kill()
        process.wait()
        end = time.monotonic() + 5
        while alive(child) and time.monotonic() < end:
            time.sleep(0.02)
    assert not alive(child)


@pytest.mark.slow
def test_repeated_signal_counts_once(tmp_path, command):
    # Ctrl-C in a terminal reaches both processes, and the guard forwards its own.
    with subprocess.Popen(
        [*command, "pad", "-", "-o", "out.jsonl", "--maxlen", "2"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        start_new_session=True,
        preexec_fn=default_signals,
    ) as process:
        process.stdin.write(b'{"input_ids": [1, 2, 3]}\n' * 50_000)
        process.stdin.flush()
        time.sleep(0.3)
        for _ in range(3):
            os.killpg(process.pid, signal.SIGINT)
        code = process.wait(timeout=10)
        assert process.stderr.read().strip() == b""
    assert code == 130
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system has no files without names")
@pytest.mark.slow
def test_killed_run_leaves_no_file(tmp_path, command):
    with subprocess.Popen(
        [*command, "pad", "-", "-o", "out.jsonl", "--maxlen", "2"], stdin=subprocess.PIPE, cwd=tmp_path
    ) as process:
        process.stdin.write(b'{"input_ids": [1, 2, 3]}\n' * 50_000)
        process.stdin.flush()
        time.sleep(0.3)
        process.kill()
        # Send the signal before stdin ends. Otherwise the run might finish first.
        process.wait()
    time.sleep(0.2)
    assert os.listdir(tmp_path) == []
