"""External faults at any time: signals, full disks, changing files, too few descriptors.

In every case, the output path has the old file, the new file or no file, and no other file remains. The exit
code is 0 only if the new output is complete. Errors are short messages.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import cycle, product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fork_server import ForkServer
from pairs import all_pairs, each_value
from processes import default_signals
from tiers import represented

import padmask

linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's /proc")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="faults are injected as POSIX has them")

SUFFIXES = ["jsonl", "parquet"]
suffixes = pytest.mark.parametrize("suffix", SUFFIXES)
# `unpad` has separate code for reading and writing files.
VERBS = ["pad", "unpad"]
both = pytest.mark.parametrize("verb", VERBS, indirect=True)
# A number as maxlen needs one pass over the input. Other values need two.
PASSES = {"one pass": ("--maxlen", "40"), "two passes": ()}
passes = pytest.mark.parametrize("passes", PASSES.values(), ids=PASSES)

OLD = b"what was there before"
ROWS = 2000
# Number of moments for each signal and format.
MOMENTS = int(os.environ.get("PADMASK_MOMENTS", "4"))
SECONDS = 60


# --- Input and expected output -----------------------------------------------------------


@cache
def lines(rows: int = ROWS, seed: int = 0) -> bytes:
    """Rows of up to 40 tokens. The longest row is the last one."""
    draw = random.Random(seed)
    lengths = [*(draw.randrange(40) for _ in range(rows - 1)), 40]
    return b"".join(
        json.dumps({"id": i, "input_ids": [draw.randrange(30_000) for _ in range(n)]}).encode() + b"\n"
        for i, n in enumerate(lengths)
    )


@pytest.fixture
def verb(request: pytest.FixtureRequest) -> str:
    """Command to test."""
    return getattr(request, "param", "pad")


@cache
def lines_for(verb: str) -> bytes:
    """Input rows of the command, raw or padded."""
    if verb == "pad":
        return lines()
    rows = [json.loads(line) for line in lines().splitlines()]
    for row in rows:
        count = len(row["input_ids"])
        row["mask"] = [True] * count + [False] * (40 - count)
        row["input_ids"] += [0] * (40 - count)
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def maxlen_for(verb: str, maxlen: int = 40) -> list[str]:
    """Return the options with which one pass over the input is enough."""
    return ["--maxlen", str(maxlen)] if verb == "pad" else []


def passes_of(verb: str, passes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the options for one or two passes over the input. Only `pad` may need a second pass."""
    return passes if verb == "pad" else ()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """The same rows in every format, keyed by the command that reads them."""
    return {verb: _sources(tmp_path_factory.mktemp("source"), verb) for verb in VERBS}


def _sources(folder: Path, verb: str) -> dict[str, Path]:
    (folder / "in.jsonl").write_bytes(lines_for(verb))
    rows = [json.loads(line) for line in lines_for(verb).splitlines()]
    table = pa.table({name: [row[name] for row in rows] for name in rows[0]})
    pq.write_table(table, folder / "in.parquet", row_group_size=500)
    with pa.ipc.new_file(folder / "in.arrow", table.schema) as out:
        out.write_table(table, max_chunksize=500)
    return {name: folder / f"in.{name}" for name in ("jsonl", "parquet", "arrow")}


@pytest.fixture
def source(sources: dict[str, dict[str, Path]], verb: str) -> dict[str, Path]:
    """The input of the tested command in every format."""
    return sources[verb]


@pytest.fixture(scope="module")
def outputs(
    sources: dict[str, dict[str, Path]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, bytes]]:
    """The outputs of undisturbed runs, by command and suffix."""
    folder = tmp_path_factory.mktemp("wanted")
    for verb, run in (("pad", padmask.pad_file), ("unpad", padmask.unpad_file)):
        for suffix in SUFFIXES:
            run(sources[verb]["jsonl"], folder / f"{verb}.{suffix}")
    return {
        verb: {suffix: (folder / f"{verb}.{suffix}").read_bytes() for suffix in SUFFIXES} for verb in VERBS
    }


@pytest.fixture
def wanted(outputs: dict[str, dict[str, bytes]], verb: str) -> dict[str, bytes]:
    """The output of an undisturbed run, by suffix."""
    return outputs[verb]


@dataclass(frozen=True)
class Place:
    """A folder for runs with faults.

    Args:
        folder: folder of the runs.
        wanted: output of a run without faults, by suffix.
    """

    folder: Path
    wanted: dict[str, bytes]

    def names(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}

    def settled(
        self, target: str, done: subprocess.CompletedProcess[bytes], *also: str, old: bytes | None = None
    ) -> bool:
        """Check the files after a run, and return whether the new output exists."""
        path = self.folder / target
        found = path.read_bytes() if path.exists() else None
        new = self.wanted[target.rpartition(".")[2]]
        assert found in (old, new), f"{len(found or b'')} bytes are neither the old nor the new output"
        assert self.names() - {target} == set(also)
        said = done.stderr.decode(errors="replace")
        assert "Traceback" not in said
        if done.returncode == 0:
            assert found == new, said
        elif done.returncode == 2:
            assert re.fullmatch(r"Error: [^\n]+[.?!]\n", said), said
        return found == new

    def refused(
        self,
        target: str,
        done: subprocess.CompletedProcess[bytes],
        *also: str,
        says: str,
        old: bytes | None = None,
    ) -> None:
        """Check that a run failed with these words and kept the old output."""
        assert done.returncode == 2, done
        assert says in done.stderr.decode(errors="surrogateescape")
        assert not self.settled(target, done, *also, old=old)


@pytest.fixture
def place(tmp_path: Path, wanted: dict[str, bytes]) -> Place:
    return Place(tmp_path, wanted)


def runs(
    command: list[str], *args: str | Path | bytes, cwd: Path, verb: str = "pad", **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a new process."""
    more = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    if "input" in more:
        del more["stdin"]
    return subprocess.run([*command, verb, *args], cwd=cwd, timeout=SECONDS, check=False, **more)


def started(fault: str, *args: str | Path, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run `pad` in a new process, which first executes the Python code `fault`."""
    code = f"{fault}\nfrom padmask.__main__ import main\nmain()"
    return runs([sys.executable, "-c", code], *args, cwd=cwd)


class Pads:
    """Runs `padmask VERB ARGS...` in a forked process. A fault is Python code that runs there first."""

    def __init__(self, server: ForkServer, folder: Path, verb: str) -> None:
        self._server, self._folder, self._verb = server, folder, verb

    def __call__(
        self,
        *args: str | Path | bytes,
        fault: str = "",
        input: bytes = b"",
        stdin: Path | None = None,
        stdout: Path | None = None,
        flags: int = 0,
        file_size: int | None = None,
        env: Mapping[str, str | Path] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        if file_size is not None:
            limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({file_size}, {file_size}))"
            fault = f"{limit}\n{fault}"
        with ExitStack() as stack:
            given = None if stdin is None else stack.enter_context(opened(stdin, os.O_RDONLY))
            out = None if stdout is None else stack.enter_context(opened(stdout, os.O_WRONLY | flags))
            return self._server.run(
                self._verb,
                *args,
                cwd=self._folder,
                stdin=input if given is None else given,
                stdout=out,
                env=os.environ | {name: str(value) for name, value in (env or {}).items()},
                before=fault,
            )


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """Yield a descriptor of a file."""
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.fixture
def pads(fork_server: ForkServer, tmp_path: Path, verb: str) -> Pads:
    return Pads(fork_server, tmp_path, verb)


# Code that runs the fault before the first row is written, and after the pass that computes maxlen.
BETWEEN = """
import padmask.stream.plans, padmask.stream.unpad
def first(plain):
    def faulty(*args):
        fault()
        return plain(*args)
    return faulty
padmask.stream.plans.plan_job = first(padmask.stream.plans.plan_job)
padmask.stream.unpad._unpad_all = first(padmask.stream.unpad._unpad_all)
"""


# --- Signals -----------------------------------------------------------------------------


def takes_signals(pid: int) -> bool:
    """Return whether a process has installed a handler for SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(re.search(r"^SigCgt:\s*(\w+)", status, re.MULTILINE)[1], 16)
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
    """Start a run, and send a signal after some seconds.

    Return the result, and the seconds from the first moment at which the run handles signals to its end.
    """
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


@pytest.mark.slow
@linux
@represented(
    "verb,suffix,number",
    {
        f"{verb}-{suffix}-{number.name}": (verb, suffix, number)
        for verb, suffix, number in product(VERBS, SUFFIXES, CODES)
    },
    by={"pad-jsonl-SIGKILL", "pad-parquet-SIGINT", "unpad-jsonl-SIGTERM"},
    indirect=["verb"],
)
def test_signal_leaves_old_or_new_output(
    command: list[str],
    source: dict[str, Path],
    place: Place,
    suffix: str,
    number: signal.Signals,
    pads: Pads,
    verb: str,
) -> None:
    output = f"out.{suffix}"
    args: list[str | Path] = [source["jsonl"], "-o", output, "--quiet"]
    # Measure the duration of a run without signals.
    done, whole = hit(command, verb, args, place.folder, None, 0)
    assert place.settled(output, done)
    draw = random.Random(f"{number}{suffix}")
    for moment in range(MOMENTS):
        old = OLD if draw.random() < 0.5 else None
        (place.folder / output).unlink(missing_ok=True)
        if old:
            (place.folder / output).write_bytes(old)
        # One time in each part of the run.
        after = whole * (moment + draw.random()) / MOMENTS
        done, _ = hit(command, verb, args, place.folder, number, after)
        if number is signal.SIGKILL:
            # The run ends shortly after the guard process.
            wait_until(lambda: not list(place.folder.glob(".*")))
        assert done.returncode in (0, CODES[number]), done
        # click prints a line break after ^C.
        assert done.stderr.strip() == b""
        place.settled(output, done, old=old)
    assert place.settled(output, pads(*args), old=old)


# A kill between the naming of the temporary file and the rename.
KILL_AT = """
import os, signal
def die(*args, **more):
    os.kill(os.getpid(), signal.SIGKILL)
os.{name} = die
"""


@pytest.mark.slow
@all_pairs(indirect=["verb"], verb=VERBS, suffix=SUFFIXES, name=["fsync", "link", "replace"])
def test_kill_before_rename(
    source: dict[str, Path], place: Place, suffix: str, name: str, pads: Pads, verb: str
) -> None:
    output = f"out.{suffix}"
    (place.folder / output).write_bytes(OLD)

    done = pads(source["jsonl"], "-o", output, fault=KILL_AT.format(name=name))

    assert done.returncode == 137
    left = place.names() - {output}
    assert len(left) == (name == "replace")
    assert all(re.fullmatch(rf"\.out\.{suffix}\.\w+\.tmp", name) for name in left)
    assert (place.folder / output).read_bytes() == OLD
    # The next run ignores the temporary file, even if the folder is the input.
    assert place.settled(output, pads(source["jsonl"], "-o", output), *left)
    if verb == "unpad" or not left:
        return
    again = place.folder.parent / f"{place.folder.name}.{suffix}"
    done = pads(place.folder, "-o", again, "--overwrite-mask", "--allow-padded")
    assert (done.returncode, again.stat().st_size > 0) == (0, True), done
    again.unlink()


def test_early_ctrl_c_has_no_traceback(tmp_path: Path) -> None:
    # Send the signal at the first import after the handlers were installed.
    # Children inherit an ignored Ctrl-C, for example in background jobs of a shell.
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


# --- Closed pipes ------------------------------------------------------------------------


@each_value(indirect=["verb"], verb=VERBS, format_=["jsonl", "parquet", "arrow"], output=["-", "/dev/stdout"])
def test_closed_pipe_is_not_an_error(
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
    """Read a few bytes of a pipe in a thread, then close the pipe."""

    def read() -> None:
        with fifo.open("rb", buffering=0) as stream:
            stream.read(after)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader


@pytest.mark.slow
@all_pairs(indirect=["verb"], verb=VERBS, suffix=SUFFIXES, pipe=["rejects", "rejects.gz", "rejects.zst"])
def test_closed_rejects_keep_output(
    source: dict[str, Path],
    place: Place,
    pads: Pads,
    suffix: str,
    pipe: str,
    verb: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    fifo = place.folder / pipe
    os.mkfifo(fifo)
    # Much more than the capacity of a pipe, so that padmask writes after the reader has closed it.
    bad = b'{"input_ids": [null], "noise": "%s"}\n'
    if verb == "unpad":
        bad = bad.replace(b"[null]", b'[1], "mask": []')
    noise = random.Random(1)
    data = source["jsonl"].read_bytes()
    data += b"".join(bad % noise.randbytes(500).hex().encode() for _ in range(500))
    output = f"out.{suffix}"
    # The metadata contains the number of rejected rows.
    undisturbed = tmp_path_factory.mktemp("undisturbed") / output
    pads("-", "-o", undisturbed, "--on-error", "skip", input=data)
    place = replace(place, wanted={suffix: undisturbed.read_bytes()})
    reader = leaving(fifo, 0)
    done = pads("-", "-o", output, "--on-error", "skip", "--rejects", fifo, input=data)
    reader.join()
    assert done.returncode == 0, done
    assert b"500 rows rejected" in done.stderr
    assert place.settled(output, done, pipe)


@pytest.mark.parametrize("option", ["--rejects", "--report"])
def test_closed_stdout_keeps_output(source: dict[str, Path], place: Place, pads: Pads, option: str) -> None:
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


@each_value(
    indirect=["verb"],
    verb=VERBS,
    suffix=SUFFIXES,
    output=["-", "/dev/stdout"],
    fault={"buffered": "", "unbuffered": UNBUFFERED},
)
def test_full_disk_behind_stdout(
    source: dict[str, Path], place: Place, pads: Pads, fault: str, output: str, suffix: str
) -> None:
    # With PYTHONUNBUFFERED, Python does not report an incomplete write.
    to = place.folder / "to"
    args = [source["parquet"], "-o", output, "--output-format", suffix]
    for size in (50_000, len(place.wanted[suffix]) - 1):
        to.touch()
        done = pads(*args, stdout=to, file_size=size, fault=fault)
        assert done.returncode == 2
        assert re.fullmatch(r"Error: Cannot write '[/\w]+': File too large\. .+\n", done.stderr.decode())
        to.unlink()


@both
@pytest.mark.parametrize("format_", SUFFIXES)
def test_unbuffered_stdout_is_complete(
    source: dict[str, Path], place: Place, pads: Pads, format_: str
) -> None:
    done = pads(source["jsonl"], "--output-format", format_, fault=UNBUFFERED)
    assert (done.returncode, done.stdout) == (0, place.wanted[format_])


# --- Full and vanished disks -------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=128k", "padmask-test", str(folder)]
    if not shutil.which("mount") or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class TestSmallDisk:
    @pytest.mark.slow
    @each_value(indirect=["verb"], verb=VERBS, suffix=[*SUFFIXES, "jsonl.gz", "arrow", "npz"])
    def test_output_does_not_fit(
        self, source: dict[str, Path], small_disk: Path, suffix: str, pads: Pads, verb: str
    ) -> None:
        if (verb, suffix) == ("unpad", "npz"):
            pytest.skip("npz holds rows of the same length")
        output = small_disk / f"out.{suffix}"
        output.write_bytes(OLD)
        inputs = [small_disk.parent / f"in{number}.parquet" for number in range(5)]
        for path in inputs:
            shutil.copy(source["parquet"], path)
        for allowed in (["--max-bytes", "1GB"], []):
            # The error may be predicted or occur during writing.
            done = pads(*inputs, "-o", output, *maxlen_for(verb), *allowed)

            assert done.returncode == 2
            said = done.stderr.decode()
            assert re.fullmatch(r"Error: .+\n", said), said
            assert not allowed or "No space left on device" in said
            assert (output.read_bytes(), os.listdir(small_disk)) == (OLD, [output.name])

    @both
    @suffixes
    def test_stdin_copy_does_not_fit(
        self, source: dict[str, Path], small_disk: Path, suffix: str, pads: Pads, verb: str
    ) -> None:
        if (verb, suffix) == ("unpad", "jsonl"):
            pytest.skip("read once, and never copied")
        data = source["jsonl"].read_bytes()
        assert len(data) > 128 << 10
        # stdin is copied to the folder of the output. If the output is stdout, stdin is copied to TMPDIR.
        for args in (["-o", small_disk / f"out.{suffix}"], ["--output-format", suffix]):
            done = pads("-", *args, input=data, env={"TMPDIR": small_disk})

            assert done.returncode == 2, done
            said = done.stderr.decode()
            assert said.startswith("Error: stdin ")
            assert str(small_disk) in said
            assert "No space left" in said
            assert (done.stdout, os.listdir(small_disk)) == (b"", [])

    @both
    def test_full_disk_gets_no_file(self, source: dict[str, Path], small_disk: Path, pads: Pads) -> None:
        with suppressed(errno.ENOSPC), (small_disk / "full").open("wb") as full:
            while True:
                full.write(bytes(4096))
                full.flush()
        done = pads(source["jsonl"], "-o", small_disk / "out.jsonl", "--max-bytes", "1GB")
        assert (done.returncode, os.listdir(small_disk)) == (2, ["full"])
        assert b"No space left on device" in done.stderr

    @both
    @suffixes
    def test_read_only_disk_is_named(
        self, source: dict[str, Path], small_disk: Path, suffix: str, pads: Pads
    ) -> None:
        output = small_disk / f"out.{suffix}"
        output.write_bytes(OLD)
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        done = pads(source["jsonl"], "-o", output, "--max-bytes", "1GB")
        assert done.returncode == 2
        assert re.fullmatch(rf"Error: .*{output}.*Read-only file system.*\n", done.stderr.decode())
        assert (output.read_bytes(), os.listdir(small_disk)) == (OLD, [output.name])


class suppressed:  # noqa: N801 - reads as contextlib's
    """Context manager that suppresses each OSError with a given error number."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return isinstance(error, OSError) and error.errno == self._number


@pytest.mark.parametrize("output", ["-", "out.jsonl"])
def test_stdin_copy_hits_size_limit(source: dict[str, Path], place: Place, output: str, pads: Pads) -> None:
    data, folder = source["jsonl"].read_bytes(), {"TMPDIR": place.folder}
    done = pads("-", "-o", output, input=data, env=folder, file_size=1 << 16)
    place.refused("out.jsonl", done, says=f"a temporary file in {str(place.folder)!r}: File too large")
    assert done.stdout == b""


@all_pairs(
    indirect=["verb"],
    verb=VERBS,
    suffix=SUFFIXES,
    moment={"begin": BETWEEN, "end": "import os\nplain = os.fsync\n"},
)
def test_removed_folder_is_reported(
    source: dict[str, Path], place: Place, suffix: str, moment: str, pads: Pads
) -> None:
    (place.folder / "gone").mkdir()
    fault = 'import shutil\nfault = lambda *args: shutil.rmtree("gone") or (plain(*args) if args else None)\n'
    fault += moment if moment is BETWEEN else f"{moment}os.fsync = fault"
    done = pads(source["jsonl"], "-o", f"gone/out.{suffix}", fault=fault)
    place.refused(f"gone/out.{suffix}", done, says=f"Cannot write 'gone/out.{suffix}': ")
    assert ".tmp" not in done.stderr.decode()


@both
def test_recreated_folder_gets_output(source: dict[str, Path], place: Place, pads: Pads) -> None:
    (place.folder / "new").mkdir()
    fault = 'import os\nfault = lambda: (os.rename("new", "old"), os.mkdir("new"))\n' + BETWEEN
    done = pads(source["jsonl"], "-o", "new/out.jsonl", fault=fault)
    assert place.settled("new/out.jsonl", done, "new", "old")


# --- Inputs that change ------------------------------------------------------------------


def cut(path: Path) -> str:
    """Return Python code that cuts a file in half, at the end of a line in text files."""
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


@each_value(indirect=["verb"], verb=VERBS, suffix=SUFFIXES, passes=PASSES, change=CHANGES.keys())
def test_changed_input_is_refused(
    source: dict[str, Path],
    place: Place,
    suffix: str,
    passes: tuple[str, ...],
    change: str,
    pads: Pads,
    verb: str,
) -> None:
    # Otherwise, rows could be missing or cut.
    path = place.folder / f"in.{suffix}"
    shutil.copyfile(source[suffix], path)
    output = f"out.{suffix}"
    (place.folder / output).write_bytes(OLD)
    fault = f"import os, shutil\npath = {str(path)!r}\ndef fault():\n    {CHANGES[change](path)}\n{BETWEEN}"

    done = pads(path, "-o", output, *passes_of(verb, passes), fault=fault)

    happened = "removed" if change == "removed" else "changed"
    also = [path.name] if path.exists() else []
    place.refused(output, done, *also, says=f"{path} was {happened} ", old=OLD)


@both
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_late_change_is_refused(source: dict[str, Path], place: Place, suffix: str, pads: Pads) -> None:
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
    place.refused("out.jsonl", done, path.name, says=f"{path} was changed ")


# --- Input and output the same -----------------------------------------------------------

LINKS: dict[str, Callable[[Path, Path], None]] = {
    "hard link": lambda path, link: link.hardlink_to(path),
    "symbolic link": lambda path, link: link.symlink_to(path.name),
    "link to a link": lambda path, link: (
        (link.parent / "link").symlink_to(path.name) or link.symlink_to("link")
    ),
}


@each_value(indirect=["verb"], verb=VERBS, kind=LINKS.keys(), suffix=["jsonl", "parquet", "arrow"])
def test_output_may_link_to_input(
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
    # A hard link keeps the old content; a symbolic link points to the new file.
    assert path.read_bytes() == (before if kind == "hard link" else wanted)
    assert link.is_symlink() == (kind != "hard link")
    assert stat.S_IMODE(link.stat().st_mode) == mode


@both
def test_dangling_link_gets_its_file(source: dict[str, Path], place: Place, pads: Pads) -> None:
    (place.folder / "out.jsonl").symlink_to("real.jsonl")
    done = pads(source["jsonl"], "-o", "out.jsonl")
    assert place.settled("out.jsonl", done, "real.jsonl")
    assert (place.folder / "out.jsonl").is_symlink()


@all_pairs(
    indirect=["verb"],
    verb=VERBS,
    passes=PASSES,
    args=[["in.jsonl"], ["-"], ["."], ["in.jsonl", "-o", "/dev/stdout"]],
    mode={">>": os.O_APPEND, "1<>": 0},
)
def test_open_input_is_not_an_output(
    place: Place, passes: tuple[str, ...], args: list[str], mode: int, pads: Pads, verb: str
) -> None:
    # The run would read its own output until the disk is full.
    (place.folder / "in.jsonl").write_bytes(lines_for(verb))
    path = place.folder / "in.jsonl"
    done = pads(*args, *passes_of(verb, passes), stdin=path, stdout=path, flags=mode, file_size=1 << 23)
    place.refused("out.jsonl", done, "in.jsonl", says="input")
    assert (place.folder / "in.jsonl").read_bytes() == lines_for(verb)


def test_open_input_takes_no_rejects(place: Place, pads: Pads) -> None:
    (place.folder / "in.jsonl").write_bytes(lines())
    args = ["in.jsonl", "-o", "out.jsonl", "--rejects", "-", "--maxlen", "2", "--overlong", "drop"]
    done = pads(*args, stdout=place.folder / "in.jsonl", flags=os.O_APPEND)
    place.refused("out.jsonl", done, "in.jsonl", says="stdout")


# --- Several at once ---------------------------------------------------------------------


@pytest.mark.slow
@each_value(indirect=["verb"], verb=VERBS, suffix=SUFFIXES)
def test_concurrent_runs_write_whole_file(
    command: list[str], source: dict[str, Path], place: Place, suffix: str, verb: str
) -> None:
    output = place.folder / f"out.{suffix}"
    run, other = (
        (partial(padmask.pad_file, spec=padmask.PadSpec(padding="pre")), ["--padding", "pre"])
        if verb == "pad"
        else (partial(padmask.unpad_file, spec=padmask.UnpadSpec(keep_mask=True)), ["--keep-mask"])
    )
    run(source["jsonl"], output)
    results = {output.read_bytes(), place.wanted[suffix]}
    assert len(results) == 2
    both = [
        subprocess.Popen(
            [*command, verb, source["jsonl"], "-o", output, *extra, "--quiet"], stderr=subprocess.PIPE
        )
        for extra in ([], other)
    ]
    said = [process.communicate(timeout=SECONDS)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert output.read_bytes() in results
    assert place.names() == {output.name}


@pytest.mark.slow
@passes
def test_concurrent_runs_in_place(command: list[str], place: Place, passes: tuple[str, ...]) -> None:
    path = place.folder / "in.jsonl"
    path.write_bytes(lines())
    both = [
        subprocess.Popen([*command, "pad", path, "-o", path, *passes, "--quiet"], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=SECONDS)[1].decode() for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes, said
    # The slower run fails, because its input has changed or already has a mask.
    assert all(re.fullmatch(r"Error: .*(while it was read|already).*\n", s) for s in said if s), said
    assert path.read_bytes() == place.wanted["jsonl"]
    assert place.names() == {path.name}


# --- Pipes, devices and closed streams ---------------------------------------------------


@all_pairs(indirect=["verb"], verb=VERBS, passes=PASSES, suffix=["jsonl", "parquet", "arrow"])
def test_named_pipe_is_an_input(
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
def test_named_pipe_is_an_output(source: dict[str, Path], place: Place, format_: str, pads: Pads) -> None:
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


@all_pairs(passes=PASSES, pipe={"a pipe": True, "a file": False}, suffix=SUFFIXES)
def test_dev_stdin_and_dev_stdout(
    source: dict[str, Path], place: Place, passes: tuple[str, ...], suffix: str, pipe: bool, pads: Pads
) -> None:
    args = ["/dev/stdin", "-o", "/dev/stdout", "--output-format", suffix, *passes]
    given = {"input": source["jsonl"].read_bytes()} if pipe else {"stdin": source["jsonl"]}
    done = pads(*args, **given)
    assert done.returncode == 0, done
    if suffix == "parquet" and passes:
        # The metadata contains how the length was found.
        padmask.pad_file(source["jsonl"], place.folder / "to.parquet", spec=padmask.PadSpec(maxlen=40))
        assert done.stdout == (place.folder / "to.parquet").read_bytes()
    else:
        assert done.stdout == place.wanted[suffix]


def test_dev_stdin_is_copied_to_tmp(command: list[str], source: dict[str, Path], place: Place) -> None:
    # An anonymous pipe has no folder.
    args = ["/dev/stdin", "-o", "/dev/stdout"]
    done = runs(command, *args, cwd=place.folder, input=source["jsonl"].read_bytes())
    assert (done.returncode, done.stdout) == (0, place.wanted["jsonl"]), done


@pytest.mark.slow
@all_pairs(indirect=["verb"], verb=VERBS, suffix=SUFFIXES, closed=["<&- >&- 2>&-", ">&- 2>&-"])
def test_closed_streams_spare_output(
    padmask: Callable[..., Any], source: dict[str, Path], place: Place, suffix: str, closed: str, verb: str
) -> None:
    output = f"out.{suffix}"
    done = padmask(verb, source["jsonl"], "-o", output, redirect=closed)
    assert place.settled(output, subprocess.CompletedProcess([], done.returncode, b"", done.stderr.encode()))


@linux
def test_closed_stderr_spares_output(tmp_path: Path, pads: Pads) -> None:
    # Messages of native code on descriptor 2 must not appear in the output.
    target = tmp_path / "out.jsonl"
    fault = """
import os
os.close(2)
import sys
sys.stderr = None
import padmask.stream.plans as pipeline
plain = pipeline.plan_job
def faulty(*args):
    os.write(2, b"noise")
    return plain(*args)
pipeline.plan_job = faulty
"""
    done = pads("-", "-o", target, fault=fault, input=b'{"input_ids": [1]}\n')
    assert done.returncode == 0, done
    assert target.read_bytes() == b'{"input_ids":[1],"mask":[true]}\n'


# --- Names and locales -------------------------------------------------------------------

PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.slow
@linux
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_names_need_not_be_utf8(
    command: list[str], source: dict[str, Path], place: Place, suffix: str
) -> None:
    folder = os.fsencode(place.folder) + b"/f\xff"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    path, output = folder + b"/in\xfe." + suffix.encode(), folder + b"/out\xfd.jsonl"
    shutil.copyfile(source[suffix], path)
    report, rejects = folder + b"/\xe9.json", folder + b"/\xe9.jsonl"
    args = [path, b"-o", output, b"--report", report, b"--rejects", rejects]

    done = runs(command, *args, cwd=place.folder, env=os.environ | PLAIN)

    assert done.returncode == 0, done
    assert sorted(os.listdir(folder)) == sorted(os.path.basename(p) for p in (path, output, report, rejects))
    with open(output, "rb") as made:
        assert made.read() == place.wanted["jsonl"]
    with open(report, "rb") as made:
        assert json.load(made)["rows_written"] == ROWS


@linux
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_missing_file_need_not_be_utf8(place: Place, suffix: str, pads: Pads) -> None:
    done = pads(b"no\xff." + suffix.encode(), b"-o", b"out.jsonl")
    place.refused("out.jsonl", done, says="does not exist")


@pytest.mark.slow
@suffixes
def test_locale_does_not_matter(command: list[str], place: Place, suffix: str) -> None:
    rows = '{"é": "ü", "input_ids": [1, 2]}\n{"é": "ÿ", "input_ids": ["☃"]}\n'
    args = ["-", "-o", f"out.{suffix}", "--on-error", "skip", "--rejects", "rejects.jsonl"]
    done = runs(command, *args, cwd=place.folder, input=rows.encode(), env=os.environ | PLAIN)
    assert done.returncode == 0, done
    assert "☃" in (place.folder / "rejects.jsonl").read_text("utf-8")
    made = place.folder / f"out.{suffix}"
    row = json.loads(made.read_bytes()) if suffix == "jsonl" else pq.read_table(made).to_pylist()[0]
    assert row == {"é": "ü", "input_ids": [1, 2], "mask": [True, True]}


# --- Limits of the process ---------------------------------------------------------------


def limit_files(files: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


@cache
def python_starts(files: int) -> bool:
    """Return whether Python can import padmask with at most `files` open descriptors."""
    importing = [sys.executable, "-c", "import padmask.cli.pad"]
    return not subprocess.run(importing, preexec_fn=partial(limit_files, files), check=False).returncode


@pytest.mark.slow
@each_value(indirect=["verb"], verb=VERBS, suffix=SUFFIXES, files=[6, 8])
def test_few_descriptors(
    command: list[str], source: dict[str, Path], place: Place, suffix: str, files: int, verb: str
) -> None:
    output = f"out.{suffix}"
    if not python_starts(files):
        pytest.skip("Python itself cannot start with so few")
    args = [source["jsonl"], "-o", output]
    done = runs(command, *args, verb=verb, cwd=place.folder, preexec_fn=partial(limit_files, files))
    assert done.returncode in (0, 2)
    if done.returncode == 2:
        place.refused(output, done, says="ulimit -n")
    assert place.settled(output, done) == (done.returncode == 0)


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
    "SystemExit(0)": "exited",
}


# Each thread meets one error, and each error meets several threads.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "death", "error"),
    [
        ("pad" if death in DEATHS else "unpad", death, error)
        for death, error in zip([*DEATHS, *UNPAD_DEATHS], cycle(ERRORS), strict=False)
    ],
    indirect=["verb"],
)
def test_dying_thread_ends_the_run(
    source: dict[str, Path], place: Place, death: str, error: str, pads: Pads, verb: str
) -> None:
    suffix, module, name = (DEATHS | UNPAD_DEATHS)[death]
    output = f"out.{suffix}"
    (place.folder / output).write_bytes(OLD)
    # The first calls may read only the start of the file.
    after = 0 if verb == "unpad" else 1 if name == "_encode" else 2
    fault = DIE.format(module=module, name=name, after=after, error=error)
    args = [source[suffix], "-o", output, "--threads", "3"]
    args += ["--batch-rows", "100", *maxlen_for(verb)] if verb == "pad" else []
    done = pads(*args, fault=fault)
    place.refused(output, done, says=ERRORS[error], old=OLD)


@both
@suffixes
def test_thread_limit_is_reported(source: dict[str, Path], place: Place, suffix: str, pads: Pads) -> None:
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
def test_process_limit_is_reported(source: dict[str, Path], place: Place, pads: Pads) -> None:
    fault = """
import errno, os
def fork():
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
os.fork = fork
"""
    done = pads(source["jsonl"], "-o", "out.jsonl", fault=fault)
    place.refused("out.jsonl", done, says="ulimit -u")


def test_failed_import_is_reported(source: dict[str, Path], place: Place) -> None:
    # Simulate that there is no memory for loading a library.
    fault = "import sys\nsys.modules['pyarrow'] = None\n"
    done = started(fault, source["jsonl"], "-o", "out.jsonl", cwd=place.folder)
    place.refused("out.jsonl", done, says="dependency")


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


@each_value(
    indirect=["verb"],
    verb=VERBS,
    suffix=SUFFIXES,
    old={"new": None, "old": OLD},
    step=[
        ("fsync", "ENOSPC"),
        ("fsync", "EIO"),
        ("fchmod", "EPERM"),
        ("replace", "ENOSPC"),
        ("replace", "EACCES"),
    ],
)
def test_failed_last_step_keeps_output(
    source: dict[str, Path], place: Place, suffix: str, old: bytes | None, step: tuple[str, str], pads: Pads
) -> None:
    output = f"out.{suffix}"
    if old:
        (place.folder / output).write_bytes(old)
    name, error = step
    fault = FAIL.format(name=name, error=error, folder=False)
    done = pads(source["jsonl"], "-o", output, fault=fault)
    said = f"Cannot write '{output}': {os.strerror(getattr(errno, error))}."
    place.refused(output, done, says=said, old=old)


@both
@suffixes
def test_failed_link_is_reported(source: dict[str, Path], place: Place, suffix: str, pads: Pads) -> None:
    # The run checks at the start whether it can create a file. Later, the disk may be full.
    fault = """
import errno, itertools, os
plain, calls = os.link, itertools.count()
def fail(*args, **more):
    if next(calls):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *args[:1])
    return plain(*args, **more)
os.link = fail
"""
    output = f"out.{suffix}"
    done = pads(source["jsonl"], "-o", output, fault=fault)
    place.refused(output, done, says=f"'{output}': No space left on device")


@pytest.mark.slow
@both
@suffixes
def test_works_without_o_tmpfile(source: dict[str, Path], place: Place, suffix: str, pads: Pads) -> None:
    # tempfile looks for os.O_TMPFILE when tempfile is imported.
    fault = "import os, tempfile\ntempfile._O_TMPFILE_WORKS = False\n"
    fault += "if hasattr(os, 'O_TMPFILE'):\n    del os.O_TMPFILE\n"
    output = f"out.{suffix}"
    assert place.settled(output, pads(source["jsonl"], "-o", output, fault=fault))
    (place.folder / output).write_bytes(OLD)
    fault += FAIL.format(name="fsync", error="ENOSPC", folder=False)
    done = pads(source["jsonl"], "-o", output, fault=fault)
    place.refused(output, done, says="No space left on device", old=OLD)


@both
@pytest.mark.parametrize(("error", "code"), [("EINVAL", 0), ("EIO", 2)])
def test_folder_fsync_errors(
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
def test_fsync_surrounds_rename(
    source: dict[str, Path], place: Place, suffix: str, tmp_path_factory: pytest.TempPathFactory, pads: Pads
) -> None:
    calls = tmp_path_factory.mktemp("calls") / "calls"
    output = place.folder / f"out.{suffix}"
    environment = {"CALLS": calls}
    done = pads(source["jsonl"], "-o", output, fault=RECORD, env=environment)
    assert place.settled(output.name, done)
    *flushed, renamed, last = calls.read_text().splitlines()
    assert flushed == [f"fsync file {output.stat().st_size}"]
    assert renamed == f"replace file {output}"
    assert last.startswith("fsync folder")


@pytest.mark.slow
@suffixes
def test_system_calls_are_in_order(
    command: list[str], source: dict[str, Path], place: Place, suffix: str
) -> None:
    strace = ["strace", "-f", "-y", "-e", "trace=write,fsync,fdatasync,linkat,rename,renameat,renameat2"]
    if not shutil.which("strace") or subprocess.run(["strace", "true"], capture_output=True).returncode:
        pytest.skip("strace is not installed, or may not trace")
    output = place.folder / f"out.{suffix}"
    done = runs([*strace, *command], source["jsonl"], "-o", output, "--quiet", cwd=place.folder)
    assert done.returncode == 0, done
    # Only the last calls for this folder count. Earlier calls check the name of the output.
    here = re.escape(str(place.folder))
    calls = re.findall(rf"(?m)^(?:\[pid +\d+\] )?(\w+)\(.*{here}.*$", done.stderr.decode(errors="replace"))
    calls = [name for i, name in enumerate(calls) if i == 0 or calls[i - 1] != name]
    assert calls[-4:] in (
        ["write", "fsync", "rename", "fsync"],
        ["fsync", "linkat", "rename", "fsync"],
        ["fsync", "linkat", "renameat2", "fsync"],
    )
    assert "write" not in calls[-3:]
    assert output.read_bytes() == place.wanted[suffix]
