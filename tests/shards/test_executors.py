"""Worker processes and clusters run tasks, return results and errors, and end in time."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from processes import SECONDS, children, default_signals, is_alive, wait_until, workers_of
from raised import has_facts, raises_error

from padmask.errors import DataError, PadmaskError, WorkerDiedError
from padmask.shards.dask import open_cluster
from padmask.shards.processes import Processes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="asks POSIX for its processes")

# Tasks are Python code and exchange data through files.
DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
BEGINS = "open({0!r}, 'a').write('%d\\n' % __import__('os').getpid())"
WAITS = BEGINS + "; __import__('time').sleep(60)"
# The first attempt waits to be killed.
WAITS_ONCE = "import os, time; first = not os.path.exists({0!r}); " + BEGINS + "; time.sleep(60 * first)"


def pids_in(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def two() -> Iterator[Processes]:
    with Processes(2) as workers:
        yield workers


# --- Results and errors ------------------------------------------------------------------


def test_results_come_back(two):
    futures = [two.submit(pow, number, 2) for number in range(20)]
    assert [future.result(SECONDS) for future in futures] == [number**2 for number in range(20)]


@pytest.mark.parametrize(
    "error",
    [
        DataError("a.jsonl, line 3: no."),
        OSError(28, "No space left on device"),
        EOFError("early"),
        KeyError(7),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_back(two, error):
    before = workers_of(os.getpid())
    with pytest.raises(type(error)) as caught:
        two.submit(exec, "raise error", {"error": error}).result(SECONDS)
    assert caught.value.args == error.args
    assert before <= workers_of(os.getpid())


def test_unpicklable_results(two):
    with pytest.raises(RuntimeError, match="Odd: 7"):
        two.submit(exec, "class Odd(Exception): pass\nraise Odd(7)", {}).result(SECONDS)
    with pytest.raises((RuntimeError, TypeError, AttributeError, pickle.PicklingError), match="pickle"):
        two.submit(eval, "lambda: 1").result(SECONDS)
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError), match="pickle"):
        two.submit(lambda: 1).result(SECONDS)
    assert two.submit(abs, -1).result(SECONDS) == 1


def test_arrow_has_one_thread(two):
    assert two.submit(pa.cpu_count).result(SECONDS) == 1
    assert pa.cpu_count() > 1 or os.cpu_count() == 1


def test_workers_ignore_ctrl_c(two):
    pid = two.submit(os.getpid).result(SECONDS)
    os.kill(pid, signal.SIGINT)
    assert two.submit(abs, -1).result(SECONDS) == 1
    assert pid in workers_of(os.getpid())


# --- Processes that die ------------------------------------------------------------------


def test_killed_worker_is_replaced(two, tmp_path):
    begun = tmp_path / "begun"
    future = two.submit(exec, WAITS_ONCE.format(str(begun)), {})
    wait_until(lambda: pids_in(begun))
    os.kill(pids_in(begun)[0], signal.SIGKILL)
    assert future.result(SECONDS) is None
    assert len(set(pids_in(begun))) == 2


@pytest.mark.slow
def test_deadly_task_is_given_up(two):
    futures: list[Future[Any]] = [two.submit(exec, DIES, {}), *(two.submit(abs, -i) for i in range(5))]
    with raises_error(WorkerDiedError):
        futures[0].result(SECONDS)
    assert [future.result(SECONDS) for future in futures[1:]] == list(range(5))


def test_workers_start_late():
    # Workers of an earlier test may end during this test.
    before = workers_of(os.getpid())
    with Processes(3) as workers:
        assert workers_of(os.getpid()) <= before
        workers.submit(abs, -1).result(SECONDS)
        assert len(workers_of(os.getpid()) - before) == 1
    assert workers_of(os.getpid()) <= before


def test_shutdown_does_not_wait(tmp_path):
    before, begun = workers_of(os.getpid()), tmp_path / "begun"
    with Processes(2) as workers:
        futures = [workers.submit(exec, WAITS.format(str(begun)), {}) for _ in range(5)]
        wait_until(lambda: len(pids_in(begun)) == 2)
        ended = time.monotonic()
    assert time.monotonic() - ended < 5
    assert workers_of(os.getpid()) <= before
    assert len(pids_in(begun)) == 2
    assert all(future.cancelled() or isinstance(future.exception(0), PadmaskError) for future in futures)


SCRIPT = """
import sys
from padmask.shards.processes import Processes
{guard}
    with Processes(2) as workers:
        print(workers.submit(abs, -3).result())
"""


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text)
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.slow
def test_script_needs_main_guard(tmp_path):
    assert run_script(tmp_path, SCRIPT.format(guard="if __name__ == '__main__':")).stdout == "3\n"
    refused = run_script(tmp_path, SCRIPT.format(guard="if True:"))
    assert has_facts(refused.stderr, "if __name__ == '__main__'")


FORKED = """
import os, signal, sys
from padmask.shards.processes import Processes

def children():
    return open(f"/proc/self/task/{os.getpid()}/children").read().split()

DIES_ONCE = "open('died', 'x').close(); __import__('os').kill(__import__('os').getpid(), 9)"

if __name__ == "__main__":
    sys.stdout.write("buffered\\n")
    with Processes(2, fork=True) as workers:
        started = children()
        print(len(started), [workers.submit(pow, number, 2).result() for number in range(4)])
        print("stdin:", workers.submit(eval, "__import__('sys').stdin.read()").result())
        for child in started:
            os.kill(int(child), signal.SIGINT)
        try:
            workers.submit(exec, "raise KeyError(7)").result()
        except KeyError as error:
            print(repr(error), started == children())
        try:
            workers.submit(exec, DIES_ONCE).result()
        except FileExistsError:
            print("tried again", workers.submit(abs, -1).result())
    print("ended:", children())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks workers")
def test_forked_workers(tmp_path):
    (tmp_path / "script.py").write_text(FORKED)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        input="text",
        timeout=SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "buffered",
        "2 [0, 1, 4, 9]",
        "stdin: ",
        "KeyError(7) True",
        "tried again 1",
        "ended: []",
    ]


NO_MORE_PROCESSES = """
import os, signal
from padmask.shards.processes import Processes

fork, forked = os.fork, []
def limited():
    if forked:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    forked.append(1)
    return fork()

if __name__ == "__main__":
    os.fork = limited
    with Processes(2, fork=True) as workers:
        print(workers.submit(abs, -1).result(), signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""

IGNORED_CHILDREN = """
import signal
from padmask.shards.processes import Processes

if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with Processes(2, fork=True) as workers:
        print(workers.submit(abs, -1).result())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks workers")
@pytest.mark.parametrize(
    ("script", "printed"),
    [(NO_MORE_PROCESSES, "1 set()\n"), (IGNORED_CHILDREN, "1\n")],
    ids=["limit", "SIGCHLD"],
)
def test_limits_of_forked_workers(tmp_path, script, printed):
    done = run_script(tmp_path, script)
    assert (done.stdout, done.stderr, done.returncode) == (printed, "", 0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they end when their task does")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("fork", [False, True])
def test_workers_end_with_parent(tmp_path, number, fork):
    begun = tmp_path / "begun"
    text = f"""
from padmask.shards.processes import Processes
if __name__ == "__main__":
    workers = Processes(2, fork={fork})
    for _ in range(4):
        workers.submit(exec, {WAITS.format(str(begun))!r}, {{}})
"""
    (tmp_path / "script.py").write_text(text)
    with subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, preexec_fn=default_signals) as process:
        wait_until(lambda: len(pids_in(begun)) == 2)
        family = children(process.pid)
        process.send_signal(number)
    wait_until(lambda: not any(map(is_alive, family)))


# --- Dask --------------------------------------------------------------------------------

pytest.importorskip("distributed", reason="--cluster needs Dask")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with open_cluster("local", 2) as executor:
        assert executor.workers == 2
        yield executor


@pytest.mark.slow
def test_cluster_results_and_errors(cluster):
    assert cluster.submit(pow, 3, 2).result(SECONDS) == 9
    with pytest.raises(OSError, match="No space"):
        cluster.submit(exec, "raise OSError(28, 'No space left on device')", {}).result(SECONDS)
    with raises_error(DataError, "a.jsonl, line 3"):
        cluster.submit(exec, "raise error", {"error": DataError("a.jsonl, line 3: no.")}).result(SECONDS)


@pytest.mark.slow
def test_cluster_repeats_equal_tasks(cluster, tmp_path):
    begun = tmp_path / "begun"
    for _ in range(2):
        cluster.submit(exec, BEGINS.format(str(begun)), {}).result(SECONDS)
    assert len(pids_in(begun)) == 2


@pytest.mark.slow
def test_cluster_arrow_has_one_thread(cluster):
    assert cluster.submit(pa.cpu_count).result(SECONDS) == 1
