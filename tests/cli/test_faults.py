"""Faults from without, at any moment: signals, full disks, files that change, descriptors that run out.

Whatever happens, the output is the old file, the new file or absent; nothing else is left; the exit
code is 0 only where the new output is whole; and what is said is a sentence.
"""

from __future__ import annotations

import errno
import json
import os
import random
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import default_signals

import padmask

linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's /proc")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="faults are injected as POSIX has them")

SUFFIXES = ["jsonl", "parquet"]
suffixes = pytest.mark.parametrize("suffix", SUFFIXES)
# What takes padding away has a way through the files of its own.
both = pytest.mark.parametrize("verb", ["pad", "unpad"], indirect=True)
# A given length is padded while reading; one that must be found is a pass of its own before.
passes = pytest.mark.parametrize("passes", [("--maxlen", "40"), ()], ids=["one pass", "two passes"])

OLD = b"what was there before"
ROWS = 4000
# Moments at which a run is hit, for each signal and format.
MOMENTS = int(os.environ.get("PADMASK_MOMENTS", "4"))
SECONDS = 60


# --- What is padded, and what must come of it --------------------------------------------


def lines(rows: int = ROWS, seed: int = 0) -> bytes:
    """Rows of up to 40 tokens, the longest not among the first."""
    draw = random.Random(seed)
    lengths = [*(draw.randrange(40) for _ in range(rows - 1)), 40]
    return b"".join(
        json.dumps({"id": i, "input_ids": [draw.randrange(30_000) for _ in range(n)]}).encode() + b"\n"
        for i, n in enumerate(lengths)
    )


@pytest.fixture(scope="module")
def verb(request: pytest.FixtureRequest) -> str:
    """The command that meets the faults."""
    return getattr(request, "param", "pad")


def lines_for(verb: str) -> bytes:
    """The rows as the command takes them: raw, or padded."""
    if verb == "pad":
        return lines()
    rows = [json.loads(line) for line in lines().splitlines()]
    for row in rows:
        count = len(row["input_ids"])
        row["mask"] = [True] * count + [False] * (40 - count)
        row["input_ids"] += [0] * (40 - count)
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def maxlen_for(verb: str, maxlen: int = 40) -> list[str]:
    """What makes a run of the command one pass."""
    return ["--maxlen", str(maxlen)] if verb == "pad" else []


def passes_of(verb: str, passes: tuple[str, ...]) -> tuple[str, ...]:
    """A length is for those to find who pad."""
    return passes if verb == "pad" else ()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, verb: str) -> dict[str, Path]:
    """The same rows in every format, as the command takes them."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "in.jsonl").write_bytes(lines_for(verb))
    rows = [json.loads(line) for line in lines_for(verb).splitlines()]
    table = pa.table({name: [row[name] for row in rows] for name in rows[0]})
    pq.write_table(table, folder / "in.parquet", row_group_size=500)
    with pa.ipc.new_file(folder / "in.arrow", table.schema) as out:
        out.write_table(table, max_chunksize=500)
    return {name: folder / f"in.{name}" for name in ("jsonl", "parquet", "arrow")}


@pytest.fixture(scope="module")
def wanted(source: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, verb: str) -> dict[str, bytes]:
    """What an undisturbed run writes, by suffix."""
    folder = tmp_path_factory.mktemp("wanted")
    run = padmask.pad_file if verb == "pad" else padmask.unpad_file
    for suffix in SUFFIXES:
        run(source["jsonl"], folder / f"out.{suffix}")
    return {suffix: (folder / f"out.{suffix}").read_bytes() for suffix in SUFFIXES}


@dataclass(frozen=True)
class Place:
    """A folder in which runs meet their faults.

    Args:
        folder: where they run.
        wanted: what an undisturbed run writes, by suffix.
    """

    folder: Path
    wanted: dict[str, bytes]

    def names(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}

    def settled(
        self, goal: str, done: subprocess.CompletedProcess[bytes], *also: str, old: bytes | None = None
    ) -> bool:
        """Check what a run has left, and return whether the new output is there."""
        path = self.folder / goal
        found = path.read_bytes() if path.exists() else None
        new = self.wanted[goal.rpartition(".")[2]]
        assert found in (old, new), f"{len(found or b'')} bytes are neither the old nor the new output"
        assert self.names() - {goal} == set(also)
        said = done.stderr.decode(errors="replace")
        assert "Traceback" not in said
        if done.returncode == 0:
            assert found == new, said
        elif done.returncode == 2:
            assert re.fullmatch(r"Error: [^\n]+[.?!]\n", said), said
        return found == new

    def refused(
        self,
        goal: str,
        done: subprocess.CompletedProcess[bytes],
        *also: str,
        says: str,
        old: bytes | None = None,
    ) -> None:
        """Check that a run refused in a sentence that says this, and that the output is the old one."""
        assert done.returncode == 2, done
        assert says in done.stderr.decode(errors="surrogateescape")
        assert not self.settled(goal, done, *also, old=old)


@pytest.fixture
def place(tmp_path: Path, wanted: dict[str, bytes]) -> Place:
    return Place(tmp_path, wanted)


def runs(
    command: list[str], *args: str | Path | bytes, cwd: Path, verb: str = "pad", **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run a command from the start of Python on."""
    more = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    if "input" in more:
        del more["stdin"]
    return subprocess.run([*command, verb, *args], cwd=cwd, timeout=SECONDS, check=False, **more)


def started(fault: str, *args: str | Path, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """The same, after some lines of Python."""
    code = f"{fault}\nfrom padmask.__main__ import main\nmain()"
    return runs([sys.executable, "-c", code], *args, cwd=cwd)


# Has imported everything, and forks for each run: a process of its own, in a tenth of the time.
FORKS = """
import json, os, resource, sys, traceback
import pyarrow.parquet
import padmask.__main__, padmask.cli.guard, padmask.cli.pad, padmask.cli.unpad, padmask.render.report
import padmask.stream.pad, padmask.stream.unpad
import padmask.formats.arrow, padmask.formats.jsonl.reader, padmask.formats.npz, padmask.formats.parquet

def opened(job):
    stdin = os.open(job["stdin"] or os.devnull, os.O_RDONLY)
    if job["piped"]:
        reading, writing = os.pipe()
        if not os.fork():
            os.close(reading)
            while data := os.read(stdin, 1 << 16):
                os.write(writing, data)
            os._exit(0)
        os.close(writing)
        stdin = reading
    return stdin, os.open(job["stdout"], os.O_WRONLY | job["flags"]), os.open(job["stderr"], os.O_WRONLY)

def run(job):
    for number, descriptor in enumerate(opened(job)):
        os.dup2(descriptor, number)
    os.closerange(3, 100)
    sys.stdin, sys.stdout, sys.stderr = (open(n, mode, closefd=False) for n, mode in enumerate("rww"))
    os.chdir(job["cwd"])
    os.environ |= job["env"]
    sys.argv = ["padmask", job["verb"], *job["args"]]
    if job["file_size"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_size"],) * 2)
    exec(job["fault"], {})
    padmask.__main__.main()

for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            run(json.loads(line))
        except SystemExit as ended:
            os._exit(ended.code)
        finally:
            traceback.print_exc()
            os._exit(99)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def forks() -> Iterator[subprocess.Popen[str]]:
    """The process that forks for every run."""
    with subprocess.Popen(
        [sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


class Pads:
    """Runs `padmask VERB ARGS...` in a forked process; a fault is Python that is run there first."""

    def __init__(self, forks: subprocess.Popen[str], streams: Path, folder: Path, verb: str) -> None:
        self._forks, self._streams, self._folder, self._verb = forks, streams, folder, verb

    def __call__(
        self, *args: str | Path | bytes, fault: str = "", **more: Any
    ) -> subprocess.CompletedProcess[bytes]:
        out, err, given = (self._streams / name for name in ("out", "err", "in"))
        out.write_bytes(b"")
        err.write_bytes(b"")
        if "input" in more:
            given.write_bytes(more["input"])
        job = {
            "verb": self._verb,
            "args": [os.fsdecode(arg) for arg in args],
            "fault": fault,
            "cwd": str(more.get("cwd", self._folder)),
            "env": {name: str(value) for name, value in more.get("env", {}).items()},
            "stdin": str(given) if "input" in more else str(more.get("stdin", "")),
            "piped": "input" in more,
            "stdout": str(more.get("stdout", out)),
            "stderr": str(err),
            "flags": more.get("flags", 0),
            "file_size": more.get("file_size"),
        }
        self._forks.stdin.write(json.dumps(job) + "\n")
        self._forks.stdin.flush()
        code = int(self._forks.stdout.readline())
        return subprocess.CompletedProcess(job["args"], code, out.read_bytes(), err.read_bytes())


@pytest.fixture
def pads(
    forks: subprocess.Popen[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, verb: str
) -> Pads:
    return Pads(forks, tmp_path_factory.mktemp("streams"), tmp_path, verb)


# At the moment when the first row is about to be written; what went before is another pass, or a look.
BETWEEN = """
import padmask.stream.pad, padmask.stream.unpad
def first(plain):
    def faulty(*args):
        fault()
        return plain(*args)
    return faulty
padmask.stream.pad.make_plan = first(padmask.stream.pad.make_plan)
padmask.stream.unpad._unpad_all = first(padmask.stream.unpad._unpad_all)
"""


# --- Signals -----------------------------------------------------------------------------


def takes_signals(pid: int) -> bool:
    """Tell whether a process has said what it does with SIGTERM."""
    told = Path(f"/proc/{pid}/status").read_text()
    caught = int(re.search(r"^SigCgt:\s*(\w+)", told, re.MULTILINE)[1], 16)
    return bool(caught >> signal.SIGTERM - 1 & 1)


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.001)


def hit(
    command: list[str],
    verb: str,
    args: list[str | Path],
    cwd: Path,
    number: signal.Signals | None,
    after: float,
) -> tuple[subprocess.CompletedProcess[bytes], float]:
    """Run, send a signal so many seconds after the run has begun, and return how long it took."""
    with subprocess.Popen(
        [*command, verb, *args],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=default_signals,
    ) as process:
        wait_until(lambda: takes_signals(process.pid))
        began = time.monotonic()
        if number is not None:
            time.sleep(after)
            process.send_signal(number)
        _, said = process.communicate(timeout=SECONDS)
        took = time.monotonic() - began
    return subprocess.CompletedProcess(args, process.returncode, b"", said), took


CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}


@both
@linux
@suffixes
@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_signal_at_any_moment_leaves_the_old_output_or_the_new(
    command: list[str],
    source: dict[str, Path],
    place: Place,
    suffix: str,
    number: signal.Signals,
    pads: Pads,
    verb: str,
) -> None:
    goal = f"out.{suffix}"
    args: list[str | Path] = [source["jsonl"], "-o", goal, "--quiet"]
    # An undisturbed run tells how long it takes.
    done, whole = hit(command, verb, args, place.folder, None, 0)
    assert place.settled(goal, done)
    draw = random.Random(f"{number}{suffix}")
    for moment in range(MOMENTS):
        old = OLD if draw.random() < 0.5 else None
        (place.folder / goal).unlink(missing_ok=True)
        if old:
            (place.folder / goal).write_bytes(old)
        # One moment in each part of the run.
        after = whole * (moment + draw.random()) / MOMENTS
        done, _ = hit(command, verb, args, place.folder, number, after)
        if number is signal.SIGKILL:
            # The waiting process takes the run along, a little later.
            wait_until(lambda: not list(place.folder.glob(".*")))
        assert done.returncode in (0, CODES[number]), done
        # click ends the line on which ^C stands.
        assert done.stderr.strip() == b""
        place.settled(goal, done, old=old)
    assert place.settled(goal, pads(*args), old=old)


# What a rerun finds after a kill between naming the temporary file and renaming it.
KILL_AT = """
import os, signal
def die(*args, **more):
    os.kill(os.getpid(), signal.SIGKILL)
os.{name} = die
"""


@both
@suffixes
@pytest.mark.parametrize("name", ["fsync", "link", "replace"])
def test_a_kill_at_the_very_end_leaves_nothing_that_anybody_takes_for_data(
    source: dict[str, Path], place: Place, suffix: str, name: str, pads: Pads, verb: str
) -> None:
    goal = f"out.{suffix}"
    (place.folder / goal).write_bytes(OLD)

    done = pads(source["jsonl"], "-o", goal, fault=KILL_AT.format(name=name))

    assert done.returncode == 137
    left = place.names() - {goal}
    assert len(left) == (name == "replace")
    assert all(re.fullmatch(rf"\.out\.{suffix}\.\w+\.tmp", name) for name in left)
    assert (place.folder / goal).read_bytes() == OLD
    # The next run neither stumbles over it nor, given the folder, reads it.
    assert place.settled(goal, pads(source["jsonl"], "-o", goal), *left)
    if verb == "unpad":
        return
    again = place.folder.parent / f"{place.folder.name}.{suffix}"
    done = pads(place.folder, "-o", again, "--overwrite-mask")
    assert (done.returncode, again.stat().st_size > 0) == (0, True), done
    again.unlink()


def test_ctrl_c_while_nothing_is_imported_yet_is_no_traceback(tmp_path: Path) -> None:
    # The first import after the signals were taken is where the signal comes.
    # Where Ctrl-C is ignored, as for a shell's background jobs, children inherit that.
    fault = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "padmask.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
    done = started(fault, "-", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, b"")


# --- Readers that leave ------------------------------------------------------------------


@both
@pytest.mark.parametrize("format_", ["jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
def test_a_reader_that_leaves_is_no_error(
    source: dict[str, Path], place: Place, pads: Pads, format_: str, output: str
) -> None:
    fifo = place.folder / "fifo"
    os.mkfifo(fifo)
    reader = leaving(fifo, 10)
    done = pads(source["parquet"], "-o", output, "--output-format", format_, stdout=fifo)
    reader.join()
    assert (done.returncode, done.stderr) == (0, b"")
    assert place.names() == {"fifo"}


def leaving(fifo: Path, after: int) -> threading.Thread:
    """Read a few bytes of a pipe in a thread, and leave."""

    def read() -> None:
        with fifo.open("rb", buffering=0) as stream:
            stream.read(after)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader


@both
@suffixes
@pytest.mark.parametrize("pipe", ["rejects", "rejects.gz", "rejects.zst"])
def test_a_reader_of_the_rejects_that_leaves_does_not_undo_the_output(
    source: dict[str, Path], place: Place, pads: Pads, suffix: str, pipe: str, verb: str
) -> None:
    fifo = place.folder / pipe
    os.mkfifo(fifo)
    # Much more than a pipe holds, so that it is written while nobody reads.
    bad = b'{"input_ids": [null], "noise": "%s"}\n'
    if verb == "unpad":
        bad = bad.replace(b"[null]", b'[1], "mask": []')
    noise = random.Random(1)
    data = source["jsonl"].read_bytes()
    data += b"".join(bad % noise.randbytes(500).hex().encode() for _ in range(500))
    goal = f"out.{suffix}"
    reader = leaving(fifo, 0)
    done = pads("-", "-o", goal, "--on-error", "skip", "--rejects", fifo, input=data)
    reader.join()
    assert done.returncode == 0, done
    assert b"500 rows rejected" in done.stderr
    assert place.settled(goal, done, pipe)


@pytest.mark.parametrize("option", ["--rejects", "--report"])
def test_a_reader_of_rejects_or_report_on_stdout_that_leaves_does_not_undo_the_output(
    source: dict[str, Path], place: Place, pads: Pads, option: str
) -> None:
    fifo = place.folder / "fifo"
    os.mkfifo(fifo)
    reader = leaving(fifo, 0)
    policy = ["--overlong", "drop", "--maxlen", "39"] if option == "--rejects" else []
    done = pads(source["jsonl"], "-o", "out.jsonl", option, "-", "--quiet", *policy, stdout=fifo)
    reader.join()
    assert (done.returncode, done.stderr) == (0, b"")
    if policy:
        assert (place.folder / "out.jsonl").read_bytes().count(b"\n") == ROWS - 1
    else:
        assert place.settled("out.jsonl", done, "fifo")


UNBUFFERED = """
import io, sys
sys.stdout = sys.__stdout__ = io.TextIOWrapper(open(1, "wb", buffering=0, closefd=False), write_through=True)
"""


@both
@suffixes
@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
@pytest.mark.parametrize("fault", ["", UNBUFFERED], ids=["buffered", "unbuffered"])
def test_what_a_full_disk_does_not_take_from_stdout_is_missed(
    source: dict[str, Path], place: Place, pads: Pads, fault: str, output: str, suffix: str
) -> None:
    # Unbuffered, as with PYTHONUNBUFFERED, a write that was cut short is no error to Python.
    to = place.folder / "to"
    args = [source["parquet"], "-o", output, "--output-format", suffix]
    for size in (100_000, len(place.wanted[suffix]) - 1):
        to.touch()
        done = pads(*args, stdout=to, file_size=size, fault=fault)
        assert done.returncode == 2
        assert re.fullmatch(r"Error: Cannot write '[/\w]+': File too large\. .+\n", done.stderr.decode())
        to.unlink()


@both
@pytest.mark.parametrize("format_", SUFFIXES)
def test_an_unbuffered_stdout_takes_everything(
    source: dict[str, Path], place: Place, pads: Pads, format_: str
) -> None:
    done = pads(source["jsonl"], "--output-format", format_, fault=UNBUFFERED)
    assert (done.returncode, done.stdout) == (0, place.wanted[format_])


# --- Full and vanished disks -------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=256k", "padmask-test", str(folder)]
    if not shutil.which("mount") or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class TestASmallDisk:
    @both
    @pytest.mark.parametrize("suffix", [*SUFFIXES, "jsonl.gz", "arrow", "npz"])
    def test_has_no_room_for_the_output(
        self, source: dict[str, Path], small_disk: Path, suffix: str, pads: Pads, verb: str
    ) -> None:
        if (verb, suffix) == ("unpad", "npz"):
            pytest.skip("npz holds rows of one length")
        goal = small_disk / f"out.{suffix}"
        goal.write_bytes(OLD)
        for allowed in (["--max-bytes", "1GB"], []):
            # Foreseen, or not.
            done = pads(*[source["parquet"]] * 9, "-o", goal, *maxlen_for(verb), *allowed)

            assert done.returncode == 2
            said = done.stderr.decode()
            assert re.fullmatch(r"Error: .+\n", said), said
            assert not allowed or "No space left on device. Free some space" in said
            assert (goal.read_bytes(), os.listdir(small_disk)) == (OLD, [goal.name])

    @both
    @suffixes
    def test_has_no_room_for_what_comes_from_stdin(
        self, source: dict[str, Path], small_disk: Path, suffix: str, pads: Pads, verb: str
    ) -> None:
        if (verb, suffix) == ("unpad", "jsonl"):
            pytest.skip("read once, and never copied")
        data = source["jsonl"].read_bytes()
        assert len(data) > 256 << 10
        # Beside the output, which has a folder; else in the folder for temporary files.
        for args in (["-o", small_disk / f"out.{suffix}"], ["--output-format", suffix]):
            done = pads("-", *args, input=data, env={"TMPDIR": small_disk})

            assert done.returncode == 2, done
            said = done.stderr.decode()
            assert said.startswith("Error: stdin cannot be copied to a temporary file in ")
            assert str(small_disk) in said
            assert "No space left" in said
            assert (done.stdout, os.listdir(small_disk)) == (b"", [])

    @both
    def test_that_is_full_makes_no_file_at_all(
        self, source: dict[str, Path], small_disk: Path, pads: Pads
    ) -> None:
        with suppressed(errno.ENOSPC), (small_disk / "full").open("wb") as full:
            while True:
                full.write(bytes(4096))
                full.flush()
        done = pads(source["jsonl"], "-o", small_disk / "out.jsonl", "--max-bytes", "1GB")
        assert (done.returncode, os.listdir(small_disk)) == (2, ["full"])
        assert b"No space left on device" in done.stderr

    @both
    @suffixes
    def test_that_is_read_only_is_named(
        self, source: dict[str, Path], small_disk: Path, suffix: str, pads: Pads
    ) -> None:
        goal = small_disk / f"out.{suffix}"
        goal.write_bytes(OLD)
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        done = pads(source["jsonl"], "-o", goal, "--max-bytes", "1GB")
        assert done.returncode == 2
        assert re.fullmatch(rf"Error: .*{goal}.*Read-only file system.*\n", done.stderr.decode())
        assert (goal.read_bytes(), os.listdir(small_disk)) == (OLD, [goal.name])


class suppressed:  # noqa: N801 - reads as contextlib's
    """Let errors of this number pass."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return isinstance(error, OSError) and error.errno == self._number


@pytest.mark.parametrize("output", ["-", "out.jsonl"])
def test_a_pipe_that_outgrows_the_limit_on_files_is_named_with_its_folder(
    source: dict[str, Path], place: Place, output: str, pads: Pads
) -> None:
    data, folder = source["jsonl"].read_bytes(), {"TMPDIR": place.folder}
    done = pads("-", "-o", output, input=data, env=folder, file_size=1 << 16)
    place.refused("out.jsonl", done, says=f"a temporary file in {str(place.folder)!r}: File too large")
    assert done.stdout == b""


@both
@suffixes
@pytest.mark.parametrize("moment", [BETWEEN, "import os\nplain = os.fsync\n"], ids=["begin", "end"])
def test_a_folder_that_is_removed_during_the_run_is_a_sentence(
    source: dict[str, Path], place: Place, suffix: str, moment: str, pads: Pads
) -> None:
    (place.folder / "gone").mkdir()
    fault = 'import shutil\nfault = lambda *args: shutil.rmtree("gone") or (plain(*args) if args else None)\n'
    fault += moment if moment is BETWEEN else f"{moment}os.fsync = fault"
    done = pads(source["jsonl"], "-o", f"gone/out.{suffix}", fault=fault)
    place.refused(f"gone/out.{suffix}", done, says=f"Cannot write 'gone/out.{suffix}': ")
    assert ".tmp" not in done.stderr.decode()


@both
def test_a_folder_that_is_made_anew_during_the_run_takes_the_output(
    source: dict[str, Path], place: Place, pads: Pads
) -> None:
    (place.folder / "anew").mkdir()
    fault = 'import os\nfault = lambda: (os.rename("anew", "old"), os.mkdir("anew"))\n' + BETWEEN
    done = pads(source["jsonl"], "-o", "anew/out.jsonl", fault=fault)
    assert place.settled("anew/out.jsonl", done, "anew", "old")


# --- Inputs that change ------------------------------------------------------------------


def cut(path: Path) -> str:
    """Return Python that cuts a file in half, at the end of a line where it has lines."""
    data = path.read_bytes()
    half = len(data) // 2
    if path.suffix == ".jsonl":
        half = data.index(b"\n", half) + 1
    return f"os.truncate(path, {half})"


CHANGES: dict[str, Callable[[Path], str]] = {
    "truncated": cut,
    "emptied": lambda path: "os.truncate(path, 0)",
    "grown": lambda path: "open(path, 'ab').write(open(path, 'rb').read())",
    "written again": lambda path: "d = open(path, 'rb').read(); open(path, 'wb').write(d[::-1])",
    "replaced": lambda path: "shutil.copyfile(path, path + '2'); os.replace(path + '2', path)",
    "removed": lambda path: "os.unlink(path)",
}


@both
@suffixes
@passes
@pytest.mark.parametrize("change", CHANGES)
def test_an_input_that_changes_is_refused(
    source: dict[str, Path],
    place: Place,
    suffix: str,
    passes: tuple[str, ...],
    change: str,
    pads: Pads,
    verb: str,
) -> None:
    # Rows would be missing, or cut: JSON Lines that end early, or are fewer in one pass than in the other.
    path = place.folder / f"in.{suffix}"
    shutil.copyfile(source[suffix], path)
    goal = f"out.{suffix}"
    (place.folder / goal).write_bytes(OLD)
    fault = f"import os, shutil\npath = {str(path)!r}\ndef fault():\n    {CHANGES[change](path)}\n{BETWEEN}"

    done = pads(path, "-o", goal, *passes_of(verb, passes), fault=fault)

    happened = "removed" if change == "removed" else "changed"
    also = [path.name] if path.exists() else []
    place.refused(goal, done, *also, says=f"{path} was {happened} while it was read.", old=OLD)


@both
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_typed_input_that_changes_at_the_last_moment_is_refused(
    source: dict[str, Path], place: Place, suffix: str, pads: Pads
) -> None:
    path = place.folder / f"in.{suffix}"
    shutil.copyfile(source[suffix], path)
    fault = f"""
import os
import padmask.stream.run as files
class Late(files.ReadAhead):
    def __exit__(self, *args):
        os.utime({str(path)!r}, ns=(1, 1))
        super().__exit__(*args)
files.ReadAhead = Late
"""
    done = pads(path, "-o", "out.jsonl", *maxlen_for(verb, 9), "--threads", "2", fault=fault)
    place.refused("out.jsonl", done, path.name, says=f"{path} was changed while it was read.")


# --- Input and output the same -----------------------------------------------------------

LINKS: dict[str, Callable[[Path, Path], None]] = {
    "hard link": lambda path, link: link.hardlink_to(path),
    "symbolic link": lambda path, link: link.symlink_to(path.name),
    "link to a link": lambda path, link: (
        (link.parent / "link").symlink_to(path.name) or link.symlink_to("link")
    ),
}


@both
@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_an_output_that_is_a_link_to_the_input_is_written_whole(
    source: dict[str, Path], tmp_path: Path, suffix: str, kind: str, pads: Pads, verb: str
) -> None:
    path, link = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    shutil.copyfile(source[suffix], path)
    before, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
    LINKS[kind](path, link)
    names = set(os.listdir(tmp_path))
    run = padmask.pad_file if verb == "pad" else padmask.unpad_file
    run(source[suffix], tmp_path / f"wanted.{suffix}")
    wanted = (tmp_path / f"wanted.{suffix}").read_bytes()
    (tmp_path / f"wanted.{suffix}").unlink()

    done = pads(path, "-o", link)

    assert done.returncode == 0, done
    assert link.read_bytes() == wanted
    assert set(os.listdir(tmp_path)) == names
    # A second name of the same file keeps the old content; a link still points to the new.
    assert path.read_bytes() == (before if kind == "hard link" else wanted)
    assert link.is_symlink() == (kind != "hard link")
    assert stat.S_IMODE(link.stat().st_mode) == mode


@both
def test_a_link_to_nothing_gets_its_file(source: dict[str, Path], place: Place, pads: Pads) -> None:
    (place.folder / "out.jsonl").symlink_to("real.jsonl")
    done = pads(source["jsonl"], "-o", "out.jsonl")
    assert place.settled("out.jsonl", done, "real.jsonl")
    assert (place.folder / "out.jsonl").is_symlink()


@both
@passes
@pytest.mark.parametrize("args", [["in.jsonl"], ["-"], ["."], ["in.jsonl", "-o", "/dev/stdout"]], ids=str)
@pytest.mark.parametrize("mode", [os.O_APPEND, 0], ids=[">>", "1<>"])
def test_an_output_that_is_an_open_input_is_refused(
    place: Place, passes: tuple[str, ...], args: list[str], mode: int, pads: Pads, verb: str
) -> None:
    # It would read what it has just written, until the disk is full.
    (place.folder / "in.jsonl").write_bytes(lines_for(verb))
    path = place.folder / "in.jsonl"
    done = pads(*args, *passes_of(verb, passes), stdin=path, stdout=path, flags=mode, file_size=1 << 23)
    place.refused("out.jsonl", done, "in.jsonl", says="is the same file as an input")
    assert (place.folder / "in.jsonl").read_bytes() == lines_for(verb)


def test_rejects_that_go_to_an_open_input_are_refused(place: Place, pads: Pads) -> None:
    (place.folder / "in.jsonl").write_bytes(lines())
    args = ["in.jsonl", "-o", "out.jsonl", "--rejects", "-", "--maxlen", "2", "--overlong", "drop"]
    done = pads(*args, stdout=place.folder / "in.jsonl", flags=os.O_APPEND)
    place.refused("out.jsonl", done, "in.jsonl", says="stdout is the same file as an input")


# --- Several at once ---------------------------------------------------------------------


@both
@suffixes
def test_of_two_runs_to_one_output_one_wins_whole(
    command: list[str], source: dict[str, Path], place: Place, suffix: str, verb: str
) -> None:
    goal = place.folder / f"out.{suffix}"
    run, other = (
        (partial(padmask.pad_file, spec=padmask.PadSpec(padding="pre")), ["--padding", "pre"])
        if verb == "pad"
        else (partial(padmask.unpad_file, spec=padmask.UnpadSpec(keep_mask=True)), ["--keep-mask"])
    )
    run(source["jsonl"], goal)
    results = {goal.read_bytes(), place.wanted[suffix]}
    assert len(results) == 2
    both = [
        subprocess.Popen(
            [*command, verb, source["jsonl"], "-o", goal, *extra, "--quiet"], stderr=subprocess.PIPE
        )
        for extra in ([], other)
    ]
    said = [process.communicate(timeout=SECONDS)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert goal.read_bytes() in results
    assert place.names() == {goal.name}


@passes
def test_of_two_runs_in_place_none_pads_what_the_other_has_padded(
    command: list[str], place: Place, passes: tuple[str, ...]
) -> None:
    path = place.folder / "in.jsonl"
    path.write_bytes(lines())
    both = [
        subprocess.Popen([*command, "pad", path, "-o", path, *passes, "--quiet"], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=SECONDS)[1].decode() for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes, said
    # Who came too late refuses: the input changed, or has a mask by now.
    assert all(re.fullmatch(r"Error: .*(while it was read|already).*\n", s) for s in said if s), said
    assert path.read_bytes() == place.wanted["jsonl"]
    assert place.names() == {path.name}


# --- Pipes, devices and closed streams ---------------------------------------------------


@both
@passes
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_a_named_pipe_is_an_input(
    source: dict[str, Path], place: Place, passes: tuple[str, ...], suffix: str, pads: Pads, verb: str
) -> None:
    os.mkfifo(place.folder / "fifo")
    writer = threading.Thread(
        target=lambda: (place.folder / "fifo").write_bytes(source[suffix].read_bytes()), daemon=True
    )
    writer.start()
    done = pads("fifo", "-o", "out.jsonl", *passes_of(verb, passes))
    writer.join()
    assert place.settled("out.jsonl", done, "fifo"), done


@both
@pytest.mark.parametrize("format_", SUFFIXES)
def test_a_named_pipe_is_an_output(source: dict[str, Path], place: Place, format_: str, pads: Pads) -> None:
    fifo = place.folder / f"fifo.{format_}"
    os.mkfifo(fifo)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()), daemon=True)
    reader.start()
    done = pads(source["jsonl"], "-o", fifo)
    reader.join()
    assert done.returncode == 0, done
    assert got == [place.wanted[format_]]
    assert place.names() == {fifo.name}


@passes
@pytest.mark.parametrize("pipe", [True, False], ids=["a pipe", "a file"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_dev_stdin_and_dev_stdout_are_what_they_stand_for(
    source: dict[str, Path], place: Place, passes: tuple[str, ...], suffix: str, pipe: bool, pads: Pads
) -> None:
    args = ["/dev/stdin", "-o", "/dev/stdout", "--output-format", suffix, *passes]
    given = {"input": source["jsonl"].read_bytes()} if pipe else {"stdin": source["jsonl"]}
    done = pads(*args, **given)
    assert done.returncode == 0, done
    if suffix == "parquet" and passes:
        # Its metadata say how the length was found.
        padmask.pad_file(source["jsonl"], place.folder / "to.parquet", spec=padmask.PadSpec(maxlen=40))
        assert done.stdout == (place.folder / "to.parquet").read_bytes()
    else:
        assert done.stdout == place.wanted[suffix]


def test_dev_stdin_is_copied_where_there_is_room_and_not_beside_dev_stdout(
    command: list[str], source: dict[str, Path], place: Place
) -> None:
    # A pipe without a name stands in no folder.
    args = ["/dev/stdin", "-o", "/dev/stdout"]
    done = runs(command, *args, cwd=place.folder, input=source["jsonl"].read_bytes())
    assert (done.returncode, done.stdout) == (0, place.wanted["jsonl"]), done


@both
@suffixes
@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&- 2>&-"])
def test_closed_streams_do_not_get_into_the_output(
    padmask: Callable[..., Any], source: dict[str, Path], place: Place, suffix: str, closed: str, verb: str
) -> None:
    goal = f"out.{suffix}"
    done = padmask(verb, source["jsonl"], "-o", goal, redirect=closed)
    assert place.settled(goal, subprocess.CompletedProcess([], done.returncode, b"", done.stderr.encode()))


@linux
def test_a_closed_stream_leaves_no_place_for_a_file_of_ours(tmp_path: Path, pads: Pads) -> None:
    # What native code says on descriptor 2 must not land in the output.
    goal = tmp_path / "out.jsonl"
    fault = """
import os
os.close(2)
import sys
sys.stderr = None
import padmask.stream.pad as pipeline
plain = pipeline.make_plan
def faulty(*args):
    os.write(2, b"noise")
    return plain(*args)
pipeline.make_plan = faulty
"""
    done = pads("-", "-o", goal, fault=fault, input=b'{"input_ids": [1]}\n')
    assert done.returncode == 0, done
    assert goal.read_bytes() == b'{"input_ids":[1],"mask":[true]}\n'


# --- Names and locales -------------------------------------------------------------------

PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@linux
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_names_may_be_no_utf8(command: list[str], source: dict[str, Path], place: Place, suffix: str) -> None:
    folder = os.fsencode(place.folder) + b"/f\xff"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    path, goal = folder + b"/in\xfe." + suffix.encode(), folder + b"/out\xfd.jsonl"
    shutil.copyfile(source[suffix], path)
    report, rejects = folder + b"/\xe9.json", folder + b"/\xe9.jsonl"
    args = [path, b"-o", goal, b"--report", report, b"--rejects", rejects]

    done = runs(command, *args, cwd=place.folder, env=os.environ | PLAIN)

    assert done.returncode == 0, done
    assert sorted(os.listdir(folder)) == sorted(os.path.basename(p) for p in (path, goal, report, rejects))
    with open(goal, "rb") as made:
        assert made.read() == place.wanted["jsonl"]
    with open(report, "rb") as made:
        assert json.load(made)["rows_written"] == ROWS


@linux
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_a_missing_file_whose_name_is_no_utf8_is_a_sentence(place: Place, suffix: str, pads: Pads) -> None:
    done = pads(b"no\xff." + suffix.encode(), b"-o", b"out.jsonl")
    place.refused("out.jsonl", done, says="There is no file")


@suffixes
def test_data_do_not_depend_on_the_locale(command: list[str], place: Place, suffix: str) -> None:
    rows = '{"é": "ü", "input_ids": [1, 2]}\n{"é": "ÿ", "input_ids": ["☃"]}\n'
    args = ["-", "-o", f"out.{suffix}", "--on-error", "skip", "--rejects", "rejects.jsonl"]
    done = runs(command, *args, cwd=place.folder, input=rows.encode(), env=os.environ | PLAIN)
    assert done.returncode == 0, done
    assert "☃" in (place.folder / "rejects.jsonl").read_text("utf-8")
    made = place.folder / f"out.{suffix}"
    row = json.loads(made.read_bytes()) if suffix == "jsonl" else pq.read_table(made).to_pylist()[0]
    assert row == {"é": "ü", "input_ids": [1, 2], "mask": [True, True]}


# --- What the process may have -----------------------------------------------------------


@both
@suffixes
@pytest.mark.parametrize("files", [6, 8])
def test_few_descriptors_are_enough_or_a_sentence(
    command: list[str], source: dict[str, Path], place: Place, suffix: str, files: int, verb: str
) -> None:
    goal = f"out.{suffix}"
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))  # noqa: E731
    inputs = [source["jsonl"]]
    started = subprocess.run([sys.executable, "-c", "import padmask.cli.pad"], preexec_fn=limit, check=False)
    if started.returncode:
        pytest.skip("Python itself cannot start with so few")
    done = runs(command, *inputs, "-o", goal, verb=verb, cwd=place.folder, preexec_fn=limit)
    assert done.returncode in (0, 2)
    if done.returncode == 2:
        place.refused(goal, done, says="Raise the limit on open files (ulimit -n)")
    assert place.settled(goal, done) == (done.returncode == 0)


DIE = """
import itertools
import {module} as module
calls = itertools.count()
plain = module.{name}
def faulty(*args, **more):
    if next(calls) == {after}:
        raise {error}
    return plain(*args, **more)
module.{name} = faulty
"""
DEATHS = {
    "a worker that reads": ("jsonl", "padmask.formats.jsonl.reader", "_lines"),
    "a worker that reads Parquet": ("parquet", "padmask.formats.parquet", "select_columns"),
    "a worker that pads": ("parquet", "padmask.stream.rows", "pad_prepared_rows"),
    "a worker that encodes Parquet": ("parquet", "padmask.formats.parquet", "_encode"),
    "the thread that reads": ("parquet", "padmask.formats.dataset", "replace"),
}
UNPAD_DEATHS = {
    "a worker that reads masks": ("jsonl", "padmask.stream.json_masks", "read_mask_column"),
    "a worker that cuts text": ("jsonl", "padmask.stream.json_text_unpad", "split_bad_rows"),
    "a worker that cuts": ("parquet", "padmask.stream.unpad", "cut_columns"),
}
ERRORS = {
    "RuntimeError('a fault')": "Internal error",
    "MemoryError()": "Not enough memory",
    "SystemExit(0)": "exited before the run was complete",
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("verb", "death"),
    [*(("pad", death) for death in DEATHS), *(("unpad", death) for death in UNPAD_DEATHS)],
    indirect=["verb"],
)
def test_a_thread_that_dies_ends_the_run_in_a_sentence(
    source: dict[str, Path], place: Place, death: str, error: str, pads: Pads, verb: str
) -> None:
    suffix, module, name = (DEATHS | UNPAD_DEATHS)[death]
    goal = f"out.{suffix}"
    (place.folder / goal).write_bytes(OLD)
    # The first calls may only be a look at the first rows.
    after = 0 if verb == "unpad" else 1 if name == "_encode" else 2
    fault = DIE.format(module=module, name=name, after=after, error=error)
    args = [source[suffix], "-o", goal, "--threads", "3"]
    args += ["--batch-rows", "100", *maxlen_for(verb)] if verb == "pad" else []
    done = pads(*args, fault=fault)
    place.refused(goal, done, says=ERRORS[error], old=OLD)


@both
@suffixes
def test_threads_that_cannot_be_started_are_a_sentence(
    source: dict[str, Path], place: Place, suffix: str, pads: Pads
) -> None:
    fault = """
import threading
def start(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
    args = [source["parquet"], "-o", f"out.{suffix}", "--threads", "3"]
    done = pads(*args, fault=fault)
    place.refused(f"out.{suffix}", done, says="Choose fewer --threads")


@both
def test_a_process_that_cannot_be_started_is_a_sentence(
    source: dict[str, Path], place: Place, pads: Pads
) -> None:
    fault = """
import errno, os
def fork():
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
os.fork = fork
"""
    done = pads(source["jsonl"], "-o", "out.jsonl", fault=fault)
    place.refused("out.jsonl", done, says="ulimit -u")


def test_what_cannot_be_loaded_is_a_sentence(source: dict[str, Path], place: Place) -> None:
    # As where there is no memory left to map a library.
    fault = "import sys\nsys.modules['pyarrow'] = None\n"
    done = started(fault, source["jsonl"], "-o", "out.jsonl", cwd=place.folder)
    place.refused("out.jsonl", done, says="Cannot import a dependency")


# --- The last steps: flush, name, rename -------------------------------------------------

FAIL = """
import errno, os, stat
plain = os.{name}
def fail(*args, **more):
    if "{name}" == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode) != {folder}:
        return plain(*args, **more)
    raise OSError(errno.{error}, os.strerror(errno.{error}), *args[: "{name}" == "replace"])
os.{name} = fail
"""


@both
@suffixes
@pytest.mark.parametrize("old", [None, OLD], ids=["new", "old"])
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("fsync", "ENOSPC"),
        ("fsync", "EIO"),
        ("fchmod", "EPERM"),
        ("replace", "ENOSPC"),
        ("replace", "EACCES"),
    ],
)
def test_a_last_step_that_fails_leaves_the_old_output(
    source: dict[str, Path], place: Place, suffix: str, old: bytes | None, name: str, error: str, pads: Pads
) -> None:
    goal = f"out.{suffix}"
    if old:
        (place.folder / goal).write_bytes(old)
    fault = FAIL.format(name=name, error=error, folder=False)
    done = pads(source["jsonl"], "-o", goal, fault=fault)
    said = f"Cannot write '{goal}': {os.strerror(getattr(errno, error))}."
    place.refused(goal, done, says=said, old=old)


@both
@suffixes
def test_a_file_that_cannot_get_a_name_at_the_end_is_a_sentence(
    source: dict[str, Path], place: Place, suffix: str, pads: Pads
) -> None:
    # Room for a name is found out at the beginning, and may be gone at the end.
    fault = """
import errno, itertools, os
plain, calls = os.link, itertools.count()
def fail(*args, **more):
    if next(calls):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *args[:1])
    return plain(*args, **more)
os.link = fail
"""
    goal = f"out.{suffix}"
    done = pads(source["jsonl"], "-o", goal, fault=fault)
    place.refused(goal, done, says=f"Cannot write '{goal}': No space left on device. Free some space")


@both
@suffixes
def test_a_file_system_without_nameless_files_does_as_well(
    source: dict[str, Path], place: Place, suffix: str, pads: Pads
) -> None:
    fault = "import os\nif hasattr(os, 'O_TMPFILE'):\n    del os.O_TMPFILE\n"
    goal = f"out.{suffix}"
    assert place.settled(goal, pads(source["jsonl"], "-o", goal, fault=fault))
    (place.folder / goal).write_bytes(OLD)
    fault += FAIL.format(name="fsync", error="ENOSPC", folder=False)
    done = pads(source["jsonl"], "-o", goal, fault=fault)
    place.refused(goal, done, says="No space left on device", old=OLD)


@both
@pytest.mark.parametrize(("error", "code"), [("EINVAL", 0), ("EIO", 2)])
def test_a_folder_that_cannot_be_flushed_is_told_of_only_where_it_could_be(
    source: dict[str, Path], place: Place, error: str, code: int, pads: Pads
) -> None:
    fault = FAIL.format(name="fsync", error=error, folder=True)
    done = pads(source["jsonl"], "-o", "out.jsonl", fault=fault)
    assert done.returncode == code, done
    assert place.settled("out.jsonl", done)


RECORD = """
import os, stat, sys
def recorded(name):
    plain = getattr(os, name)
    def call(*args, **more):
        kind = "folder" if name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode) else "file"
        with open(os.environ["CALLS"], "a") as calls:
            calls.write(f"{name} {kind} {os.fstat(args[0]).st_size if name == 'fsync' else args[1]}\\n")
        return plain(*args, **more)
    setattr(os, name, call)
recorded("fsync")
recorded("replace")
"""


@both
@suffixes
def test_data_are_flushed_before_the_rename_and_the_folder_after(
    source: dict[str, Path], place: Place, suffix: str, tmp_path_factory: pytest.TempPathFactory, pads: Pads
) -> None:
    calls = tmp_path_factory.mktemp("calls") / "calls"
    goal = place.folder / f"out.{suffix}"
    environment = {"CALLS": calls}
    done = pads(source["jsonl"], "-o", goal, fault=RECORD, env=environment)
    assert place.settled(goal.name, done)
    *flushed, renamed, last = calls.read_text().splitlines()
    assert flushed == [f"fsync file {goal.stat().st_size}"]
    assert renamed == f"replace file {goal}"
    assert last.startswith("fsync folder")


@suffixes
def test_the_kernel_sees_the_flush_before_the_rename(
    command: list[str], source: dict[str, Path], place: Place, suffix: str
) -> None:
    strace = ["strace", "-f", "-y", "-e", "trace=write,fsync,fdatasync,linkat,rename,renameat,renameat2"]
    if not shutil.which("strace") or subprocess.run(["strace", "true"], capture_output=True).returncode:
        pytest.skip("strace is not installed, or may not trace")
    goal = place.folder / f"out.{suffix}"
    done = runs([*strace, *command], source["jsonl"], "-o", goal, "--quiet", cwd=place.folder)
    assert done.returncode == 0, done
    # Only what is done in this folder, after the name was tried.
    here = re.escape(str(place.folder))
    calls = re.findall(rf"(?m)^(?:\[pid +\d+\] )?(\w+)\(.*{here}.*$", done.stderr.decode(errors="replace"))
    calls = [name for i, name in enumerate(calls) if i == 0 or calls[i - 1] != name]
    assert calls[-4:] in (
        ["write", "fsync", "rename", "fsync"],
        ["fsync", "linkat", "rename", "fsync"],
        ["fsync", "linkat", "renameat2", "fsync"],
    )
    assert "write" not in calls[-3:]
    assert goal.read_bytes() == place.wanted[suffix]
