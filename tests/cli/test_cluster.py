"""`padmask pad --cluster`: runs on a scheduler and workers that start, stop and fail."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from processes import SECONDS, children, default_signals, faulty, is_alive, wait_until
from raised import has_facts, raises_error
from tiers import represented

from padmask.errors import PadmaskError, SpecError
from padmask.shards import dask
from padmask.shards.dask import open_cluster
from padmask.shards.pack_dataset import pack_dataset
from padmask.shards.pad_dataset import pad_dataset
from padmask.spec.pad import PadSpec
from padmask.storage.names import MANIFEST

pytest.importorskip("distributed", reason="--cluster needs Dask")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's /proc")]

SHARDS, ROWS = 6, 20
# Slow workers, so that they are still busy when a test acts.
SLOW = "time.sleep(0.1)"
HERE = ("--host", "127.0.0.1")


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def records_in(folder: Path) -> list[Path]:
    return list(folder.glob("_padmask-*/*.record"))


def seen_in(folder: Path) -> set[str]:
    """Return the files in a folder that readers would not ignore."""
    return (
        {name for name in bytes_in(folder) if not name.startswith("_padmask-")} if folder.exists() else set()
    )


def is_sentence(said: str) -> bool:
    return re.fullmatch(r"Error: [^\n]+[.?!]\n", said) is not None


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("dataset") / "data", random.Random(0)
    folder.mkdir()
    for shard in range(SHARDS):
        rows = [{"id": i, "input_ids": [draw.randrange(9)] * draw.randrange(20)} for i in range(ROWS)]
        (folder / f"{shard:02}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def wanted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The output of a run without a cluster."""
    folder = tmp_path_factory.mktemp("wanted")
    pad_dataset(data, folder)
    return bytes_in(folder)


# --- Clusters ----------------------------------------------------------------------------


@contextmanager
def started(command: str, *args: str, cwd: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Context manager for a running scheduler or worker process."""
    with (cwd / "cluster.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{command}", *args, *HERE, "--no-dashboard"],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Nodes:
    """A scheduler and a changing set of workers.

    Args:
        folder: folder for their files.
        env: environment of the workers.
    """

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder, self._env, self._stack = folder, env, ExitStack()
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Nodes:
        contact = self._folder / "scheduler.json"
        scheduler = started(
            "dask_scheduler",
            "--port",
            "0",
            "--scheduler-file",
            str(contact),
            cwd=self._folder,
            env=os.environ,
        )
        self.scheduler = self._stack.enter_context(scheduler)
        self.address = wait_until(
            lambda: contact.exists() and contact.read_text() and json.loads(contact.read_text())
        )["address"]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add_worker(self, env: Mapping[str, str] | None = None) -> None:
        """Start a worker that is not restarted when it dies, and wait until it is ready."""
        log, lines = self._folder / "cluster.log", "Registered to"
        before = log.read_text().count(lines)
        worker = started(
            "dask_worker",
            self.address,
            "--no-nanny",
            "--nthreads",
            "1",
            cwd=self._folder,
            env=env or self._env,
        )
        self.workers.append(self._stack.enter_context(worker))
        wait_until(lambda: log.read_text().count(lines) > before)

    def kill(self, number: int) -> None:
        self.workers[number].kill()
        self.workers.pop(number).wait()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A scheduler with two slow workers."""
    folder = tmp_path_factory.mktemp("nodes")
    with Nodes(folder, faulty(folder / "fault", SLOW)) as nodes:
        nodes.add_worker()
        nodes.add_worker()
        yield nodes


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Nodes]:
    """A scheduler without workers."""
    with Nodes(tmp_path, faulty(tmp_path / "fault", SLOW)) as nodes:
        yield nodes


def start(
    command: list[str],
    data: Path,
    folder: Path,
    *args: str,
    env: Mapping[str, str] = os.environ,
    asked: Sequence[str] = ("pad",),
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, *asked, str(data), "-o", f"{folder}/", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(env),
        preexec_fn=default_signals,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait until a run ends. Return its exit code and its stderr."""
    with process:
        # Dask may try for half a minute to reach a dead worker.
        out, said = process.communicate(timeout=4 * SECONDS)
    assert out == ""
    return process.returncode, said


# --- The same output as without a cluster ------------------------------------------------


def test_cluster_writes_the_same_bytes(command, data, wanted, nodes, tmp_path):
    code, said = end(start(command, data, tmp_path / "padded", "--cluster", nodes.address))
    assert code == 0, said
    assert bytes_in(tmp_path / "padded") == wanted
    # The summary and a warning of padmask; no message of Dask.
    starts = [line.partition(" ")[0] for line in said.splitlines()]
    assert starts == [str(SHARDS * ROWS), "warning[row-fully-masked]:"]


@pytest.mark.exhaustive(by="test_cluster_writes_the_same_bytes")
def test_cluster_packs_the_same_bytes(command, data, nodes, tmp_path):
    pack_dataset(data, tmp_path / "alone", spec=PadSpec(maxlen=32))
    asked = ("pack", "--maxlen", "32")
    process = start(command, data, tmp_path / "packed", "--cluster", nodes.address, asked=asked)
    wait_until(lambda: records_in(tmp_path / "packed"))
    process.send_signal(signal.SIGKILL)
    end(process)
    resumed = ("--cluster", nodes.address, "--resume")
    code, said = end(start(command, data, tmp_path / "packed", *resumed, asked=asked))
    assert code == 0, said
    assert bytes_in(tmp_path / "packed") == bytes_in(tmp_path / "alone")


@pytest.mark.exhaustive(by="test_cluster_writes_the_same_bytes")
def test_cluster_resolves_relative_paths(command, data, wanted, nodes, tmp_path, monkeypatch):
    monkeypatch.chdir(data.parent)
    code, said = end(start(command, Path("data"), tmp_path / "padded", "--cluster", nodes.address))
    assert code == 0, said
    shards = json.loads((tmp_path / "padded" / MANIFEST).read_text())["shards"]
    assert [shard["source"] for shard in shards] == [
        str(data / f"{shard:02}.jsonl") for shard in range(SHARDS)
    ]
    monkeypatch.chdir(tmp_path)
    code, said = end(start(command, data, Path("again"), "--cluster", nodes.address))
    assert code == 0, said
    assert bytes_in(tmp_path / "again") == wanted


def test_dead_node_is_replaced(command, data, wanted, nodes, tmp_path):
    process = start(command, data, tmp_path / "padded", "--cluster", nodes.address, "--no-progress")
    wait_until(lambda: records_in(tmp_path / "padded"))
    nodes.kill(0)
    code, said = end(process)
    nodes.add_worker()
    assert code == 0, said
    assert bytes_in(tmp_path / "padded") == wanted
    assert len(said.splitlines()) == 2


STOPPED = re.compile(r"Stopped: \d of 6 shards are done( \(.*\).*--resume keeps these shards)?\.")


def test_interrupted_run_frees_cluster(command, data, wanted, nodes, tmp_path):
    process = start(command, data, tmp_path / "padded", "--cluster", nodes.address)
    wait_until(lambda: records_in(tmp_path / "padded"))
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    code, said = end(process)
    assert code == 130
    assert STOPPED.fullmatch(said.strip())
    assert time.monotonic() - began < 3
    assert not seen_in(tmp_path / "padded")
    code, said = end(start(command, data, tmp_path / "padded", "--cluster", nodes.address, "--resume"))
    assert code == 0, said
    assert bytes_in(tmp_path / "padded") == wanted


# --- Clusters that fail ------------------------------------------------------------------


def test_run_resumes_without_scheduler(command, data, wanted, empty, tmp_path):
    empty.add_worker()
    process = start(command, data, tmp_path / "padded", "--cluster", empty.address)
    # At this time, the scheduler has reported the first workers.
    wait_until(lambda: len(records_in(tmp_path / "padded")) >= 3)
    empty.scheduler.kill()
    began = time.monotonic()
    code, said = end(process)
    assert time.monotonic() - began < 15
    assert (code, is_sentence(said)) == (2, True), said
    assert has_facts(said, "connection to the cluster", f"of {SHARDS} shards")
    assert not seen_in(tmp_path / "padded")
    code, said = end(start(command, data, tmp_path / "padded", "--resume"))
    assert code == 0, said
    assert bytes_in(tmp_path / "padded") == wanted


def test_absent_workers_end_the_run(data, empty, tmp_path, monkeypatch):
    monkeypatch.setattr(dask, "NO_WORKERS_SECONDS", 1.0)
    empty.add_worker()
    with open_cluster(empty.address) as executor:
        assert executor.workers == 1

        def tell(progress: object) -> None:
            if empty.workers:
                empty.kill(0)

        with raises_error(PadmaskError, "no workers"):
            pad_dataset(data, tmp_path / "padded", executor=executor, progress=tell)
    assert not seen_in(tmp_path / "padded")


def test_empty_cluster_is_refused(here, data, empty, tmp_path):
    done = here("pad", data, "-o", "padded/", "--cluster", empty.address)
    assert (done.returncode, is_sentence(done.stderr)) == (2, True), done.stderr
    assert has_facts(done.stderr, "no workers")
    assert not (tmp_path / "padded").exists()


def test_other_version_is_refused(here, data, empty, tmp_path):
    first = 'import padmask._version; padmask._version.__version__ = "0.0.7"'
    empty.add_worker(faulty(tmp_path / "other", first=first))
    done = here("pad", data, "-o", "padded/", "--cluster", empty.address)
    assert (done.returncode, is_sentence(done.stderr)) == (2, True), done.stderr
    assert has_facts(done.stderr, "0.0.7")
    assert not (tmp_path / "padded").exists()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "tcp://127.0.0.1:x", "ftp://a:1"])
def test_wrong_address_is_refused(here, data, tmp_path, monkeypatch, address):
    monkeypatch.setattr(dask, "CONNECT_SECONDS", 0.2)
    done = here("pad", data, "-o", "padded/", "--cluster", address)
    assert (done.returncode, is_sentence(done.stderr)) == (2, True), done.stderr
    assert has_facts(done.stderr, repr(address))
    assert not (tmp_path / "padded").exists()


# --- A cluster of this machine -----------------------------------------------------------


def listening() -> dict[str, str]:
    """Return the addresses of all listening sockets, keyed by the number of the socket."""
    found = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, address, _, state, *rest = line.split()
            if state == "0A":
                found[rest[5]] = address.partition(":")[0]
    return found


def sockets_of(pid: int) -> set[str]:
    found = set()
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            number = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))
            found |= {number[1]} if number else set()
    except OSError:
        pass  # The process has ended.
    return found


LOOPBACK = {"0100007F", "00000000000000000000000001000000"}


def watched(process: subprocess.Popen[str], folder: Path) -> tuple[set[int], set[str]]:
    """Watch a run until padding begins. Return its processes and the addresses on which they listened."""
    family, seen = set[int](), set[str]()
    while process.poll() is None and not records_in(folder):
        family |= {process.pid, *children(process.pid)}
        found = listening()
        seen |= {found[number] for pid in family for number in sockets_of(pid) if number in found}
        time.sleep(0.02)
    return family, seen


@represented("number", {"SIGKILL": signal.SIGKILL, "SIGINT": signal.SIGINT}, by={"SIGINT"})
def test_local_cluster_ends_with_run(command, data, tmp_path, number):
    env = faulty(tmp_path / "fault", SLOW)
    process = start(command, data, tmp_path / "padded", "--cluster", "local", env=env)
    family, seen = watched(process, tmp_path / "padded")
    process.send_signal(number)
    code, said = end(process)
    assert code == {signal.SIGKILL: -9, signal.SIGINT: 130}[number]
    # A killed process prints nothing.
    assert said == "" if number == signal.SIGKILL else STOPPED.fullmatch(said.strip())
    assert len(family) >= 3
    assert seen
    assert seen <= LOOPBACK
    wait_until(lambda: not any(map(is_alive, family)))
    assert not seen_in(tmp_path / "padded")


def test_shard_that_kills_workers(command, data, wanted, tmp_path):
    env = faulty(tmp_path / "fault", "if shard.index == 2: os.kill(os.getpid(), signal.SIGKILL)")
    code, said = end(start(command, data, tmp_path / "padded", "--cluster", "local", env=env))
    assert (code, is_sentence(said)) == (1, True), said
    assert has_facts(said, "02.jsonl", "died")
    assert not seen_in(tmp_path / "padded")
    pad_dataset(data, tmp_path / "padded", resume=True)
    assert bytes_in(tmp_path / "padded") == wanted


def test_tls_needs_certificates():
    # Dask reads the certificates before it connects, so no process listens at the address.
    with raises_error(SpecError, "certificates"), open_cluster("tls://127.0.0.1:1"):
        pass


@pytest.mark.parametrize(
    "address", ["tls://u:er2@127.0.0.1:1", "u:er2@127.0.0.1:1", "ws://127.0.0.1:1/?token=er2", "er2@x"]
)
def test_address_secrets_stay_hidden(here, data, monkeypatch, address):
    monkeypatch.setattr(dask, "CONNECT_SECONDS", 0.2)
    done = here("pad", data, "-o", "padded/", "--cluster", address)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "er2" not in done.stderr
