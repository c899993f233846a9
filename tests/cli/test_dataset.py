"""`padmask pad data/ -o padded/`, even if processes or disks fail.

In every case, the folder either has the complete output, byte for byte, or it has no data files, and one
error message gives the reason.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from processes import SECONDS, children, default_signals, faulty, is_alive, wait_until, workers_of
from raised import has_facts
from tiers import represented

from padmask import FileOptions, PadSpec
from padmask.shards.pack_dataset import pack_dataset
from padmask.shards.pad_dataset import pad_dataset
from padmask.shards.processes import MOST_FORKED
from padmask.storage.names import MANIFEST

linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's /proc")

SHARDS, ROWS = 6, 50
# Number of moments for each signal.
MOMENTS = int(os.environ.get("PADMASK_MOMENTS", "2"))
# Slow workers, so that they are still busy when a test acts.
SLOW = "time.sleep(0.05)"
KILLS = "if shard.index == 2: os.kill(os.getpid(), signal.SIGKILL)"


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of eight shards in two folders."""
    folder, draw = tmp_path_factory.mktemp("dataset") / "data", random.Random(0)
    for shard in range(SHARDS):
        path = folder / f"half={shard // 3}" / f"{shard}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {"id": i, "input_ids": [draw.randrange(9) for _ in range(draw.randrange(20))]}
            for i in range(ROWS)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def wanted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The output of an undisturbed run."""
    folder = tmp_path_factory.mktemp("wanted")
    pad_dataset(data, folder)
    return bytes_in(folder)


@dataclass
class Place:
    """A run with a fault.

    Args:
        command: command that starts padmask.
        data: input folder.
        folder: output folder.
        wanted: expected output.
        env: environment of the run.
        asked: subcommand and its options.
        run_here: function that does the same as the command.
    """

    command: list[str]
    data: Path
    folder: Path
    wanted: dict[str, bytes]
    env: Mapping[str, str]
    asked: tuple[str, ...] = ("pad",)
    run_here: Callable[..., Any] = pad_dataset

    def start(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command, *self.asked, str(self.data), "-o", f"{self.folder}/", *args],
            env=self.env if env is None else env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # As in a terminal, Ctrl-C goes to the entire process group.
            start_new_session=True,
            preexec_fn=default_signals,
        )

    def run(self, *args: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run to the end and return the exit code and stderr."""
        with self.start(*args, env=env) as process:
            out, said = process.communicate(timeout=SECONDS)
        assert out == ""
        return process.returncode, said

    def names(self) -> set[str]:
        return set(bytes_in(self.folder)) if self.folder.exists() else set()

    def staged(self, ending: str = ".record") -> list[Path]:
        return sorted(self.folder.glob(f"_padmask-*/*{ending}"))

    def is_whole(self) -> bool:
        """Return whether the output is complete. Otherwise, check that the folder has no data files."""
        if MANIFEST in self.names():
            assert {
                name: data for name, data in bytes_in(self.folder).items() if name in self.wanted
            } == self.wanted
            assert not [name for name in self.names() - set(self.wanted) if not name.startswith("_padmask")]
            return True
        moved = [name for name in self.names() if not name.startswith("_padmask")]
        # Some of the files may be there only during the renames.
        assert not moved or "_padmask.replacing" in self.names()
        return False

    def goes_on(self) -> int:
        """Resume a stopped run, check that no finished shard was written again, and return their number."""
        done = {path.stem: path.with_suffix(".jsonl") for path in self.staged()}
        stamps = {f"{int(stem)}.jsonl": path.stat().st_ino for stem, path in done.items() if path.exists()}
        self.run_here(self.data, self.folder, resume=True)
        assert bytes_in(self.folder) == self.wanted
        now = {path.name: path.stat().st_ino for path in self.folder.rglob("*.jsonl")}
        assert {name: now[name] for name in stamps} == stamps
        return len(stamps)


@pytest.fixture
def place(command: list[str], data: Path, wanted: dict[str, bytes], tmp_path: Path) -> Place:
    """A run of two slow workers."""
    return Place(command, data, tmp_path / "padded", wanted, faulty(tmp_path / "fault", SLOW, "pass"))


@pytest.fixture
def pack_place(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run of two slow workers that pack."""
    folder = tmp_path_factory.mktemp("packed")
    run = partial(pack_dataset, spec=PadSpec(maxlen=32))
    run(place.data, folder)
    return replace(place, wanted=bytes_in(folder), asked=("pack", "--maxlen", "32"), run_here=run)


def is_sentence(said: str) -> bool:
    return re.fullmatch(r"Error: [^\n]+[.?!]\n", said) is not None


# --- Arguments and options ---------------------------------------------------------------


def test_folder_becomes_folder(padmask, data, wanted, tmp_path):
    done = padmask("pad", data, "-o", "padded/", "--report", "report.json")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(
        f"{SHARDS * ROWS} rows -> padded/ ({SHARDS} shards): maxlen 19 (found: longest)"
    )
    assert bytes_in(tmp_path / "padded") == wanted
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["shards"], report["rows_read"], report["faults"]) == (SHARDS, SHARDS * ROWS, [])


def test_patterns_and_lists_are_datasets(here, data, wanted, tmp_path):
    (tmp_path / "padded").mkdir()
    assert here("pad", f"{data}/half=*/*.jsonl", "-o", "padded", "--workers", "1").returncode == 0
    assert {name: bytes for name, bytes in bytes_in(tmp_path / "padded").items() if name != MANIFEST} == {
        name: bytes for name, bytes in wanted.items() if name != MANIFEST
    }
    done = here("pad", data / "half=0/0.jsonl", data / "half=1/5.jsonl", "-o", "two/", "--workers", "1")
    assert "(2 shards)" in done.stderr
    assert set(bytes_in(tmp_path / "two")) == {MANIFEST, "half=0/0.jsonl", "half=1/5.jsonl"}


@pytest.mark.parametrize("option", [("--cluster", "local"), ("--resume",), ("--shard-bytes", "1MB")])
def test_folder_options_need_a_folder(here, data, option):
    done = here("pad", data, "-o", "padded.jsonl", *option)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {option[0]} ")


@pytest.mark.slow
def test_workers_share_one_file(here, data, tmp_path):
    inputs = [data / "half=0/0.jsonl", data / "half=1/5.jsonl"]
    for name, workers in (("one.parquet", "1"), ("two.parquet", "2")):
        assert here("pad", *inputs, "-o", name, "--workers", workers).returncode == 0
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_workers_need_json_lines(here, data):
    done = here("pad", data, "-o", "out.npz", "--workers", "2")
    assert (done.returncode, "Remove --workers" in done.stderr) == (2, True)


def test_cluster_excludes_workers(here, data, tmp_path):
    done = here("pad", data, "-o", "padded/", "--workers", "2", "--cluster", "tcp://127.0.0.1:1")
    assert (done.returncode, "Remove --workers" in done.stderr) == (2, True)
    assert not (tmp_path / "padded").exists()


DEFAULTS = ["workers = 2", 'shard-bytes = "1MB"']


@pytest.mark.parametrize("default", DEFAULTS)
def test_files_ignore_folder_settings(here, data, tmp_path, default):
    (tmp_path / "pyproject.toml").write_text(f"[tool.padmask.pad]\n{default}\n")
    assert here("pad", data, "-o", "padded.jsonl").returncode == 0
    assert here("pad", data / "half=0/0.jsonl").stdout


def test_cluster_overrides_settings(here, data, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.padmask]\nworkers = 2\n")
    # Dask looks for certificates before it connects, so that nothing waits for an answer.
    done = here("pad", data, "-o", "padded/", "--cluster", "tls://127.0.0.1:1")
    assert (done.returncode, "certificates" in done.stderr) == (2, True)


def test_report_among_data_is_refused(here, data, tmp_path):
    (tmp_path / "padded").mkdir()
    done = here("pad", data, "-o", "padded/", "--report", "padded/report.json")
    assert (done.returncode, "output folder" in done.stderr) == (2, True)
    assert (
        here("pad", data, "-o", "padded/", "--workers", "1", "--report", "padded/_report.json").returncode
        == 0
    )


def test_output_folder_cannot_be_a_file(here, data, tmp_path):
    (tmp_path / "padded").write_text("mine")
    done = here("pad", data, "-o", "padded/")
    assert (done.returncode, is_sentence(done.stderr)) == (2, True)
    assert (tmp_path / "padded").read_text() == "mine"


def test_foreign_output_is_refused(here, data, tmp_path):
    (tmp_path / "padded").mkdir()
    (tmp_path / "padded" / "mine.parquet").write_text("mine")
    done = here("pad", data, "-o", "padded/")
    assert (done.returncode, ": mine.parquet." in done.stderr) == (2, True)
    assert bytes_in(tmp_path / "padded") == {"mine.parquet": b"mine"}


# --- Workers -----------------------------------------------------------------------------


@pytest.mark.slow
@linux
@pytest.mark.parametrize(("shards", "workers", "most"), [(1, 2, 2), (3, 2, 2), (3, 40, MOST_FORKED)])
def test_number_of_workers(place, tmp_path, shards, workers, most):
    started = tmp_path / "started"
    env = faulty(tmp_path / "fault", first=f"open({str(started)!r}, 'a').write('x')")
    place.data = tmp_path / "data"
    place.data.mkdir()
    for shard in range(shards):
        (place.data / f"{shard}.jsonl").write_text('{"input_ids": [1]}\n')
    assert place.run("--workers", str(workers), env=env)[0] == 0
    assert len(started.read_text()) <= most


@pytest.mark.slow
@linux
def test_killed_worker_is_replaced(place):
    killed: set[int] = set()
    with place.start("--workers", "2") as process:
        for _ in range(2):
            # Wait until a worker is busy, and choose one that has not been killed.
            done = len(place.staged())
            wait_until(lambda done=done: len(place.staged()) > done or process.poll() is not None)
            for pid in sorted(workers_of(process.pid) - killed)[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        _, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, len(killed)) == (0, 2), said
    assert said.startswith(f"{SHARDS * ROWS} rows -> ")
    assert bytes_in(place.folder) == place.wanted


@pytest.mark.slow
def test_deadly_shard_is_named(place, tmp_path):
    env = faulty(tmp_path / "fault", KILLS)
    code, said = place.run("--workers", "2", env=env)
    assert (code, is_sentence(said)) == (1, True), said
    assert has_facts(said, "half=0/2.jsonl", "died", f"of {SHARDS} shards")
    assert not place.is_whole()
    done = len(place.staged())
    assert place.goes_on() == done


@pytest.mark.slow
def test_deadly_shard_can_be_skipped(place, tmp_path):
    env = faulty(tmp_path / "fault", measuring=KILLS)
    report = tmp_path / "report.json"
    code, said = place.run("--workers", "2", "--on-error", "skip", "--report", str(report), env=env)
    assert code == 0, said
    assert f"({SHARDS - 1} shards)" in said
    [line] = [line for line in said.splitlines() if line.startswith("skipped: ")]
    assert has_facts(line, "2.jsonl", "died")
    assert json.loads(report.read_text())["faults"] == [line.removeprefix("skipped: ")]
    shards = json.loads((place.folder / MANIFEST).read_text())["shards"]
    assert [shard["index"] for shard in shards if shard["fault"]] == [2]
    assert place.names() == set(place.wanted) - {"half=0/2.jsonl"}


@pytest.mark.slow
def test_skipped_shard_is_reported(place, tmp_path):
    place.data = shutil.copytree(place.data, tmp_path / "data")
    (place.data / "half=0" / "2.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00 no gzip")
    code, said = place.run("--workers", "2", "--maxlen", "8", "--on-error", "skip")
    assert (code, f"({SHARDS} shards)" in said, "skipped: " in said) == (0, True, True), said


# --- The end of the driver ---------------------------------------------------------------


def hit(
    place: Place, number: signal.Signals, after: float, *, group: bool
) -> tuple[int, str, float, set[int]]:
    """Start a run, and send a signal after some seconds.

    Return the exit code, stderr, the seconds from the signal to the end of the run, and the child processes.
    """
    with place.start("--workers", "2") as process:
        wait_until(lambda: children(process.pid))
        time.sleep(after)
        family = children(process.pid)
        began = time.monotonic()
        (os.killpg if group else os.kill)(process.pid, number)
        _, said = process.communicate(timeout=SECONDS)
        took = time.monotonic() - began
    return process.returncode, said, took, family


CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}


NUMBERS = {number.name: number for number in CODES}
MOMENT_CASES = {f"{name}-{moment}": (NUMBERS[name], moment) for moment in range(MOMENTS) for name in NUMBERS}


@pytest.mark.slow
@linux
@represented("number,moment", MOMENT_CASES, by={"SIGINT-0", "SIGKILL-1"})
def test_resume_after_any_signal(place, number, moment):
    check_resume(place, number, moment)


@pytest.mark.slow
@linux
@represented("number", NUMBERS, by={"SIGTERM"})
def test_resume_of_pack(pack_place, number):
    check_resume(pack_place, number, 1)


def check_resume(place: Place, number: signal.Signals, moment: int) -> None:
    """Stop a run at a random moment, and resume the run."""
    draw = random.Random(f"{number} {moment}")
    # Ctrl-C in a terminal reaches all processes at once; `kill` reaches one.
    group = number == signal.SIGINT and moment % 2 == 0
    code, said, took, family = hit(place, number, draw.uniform(0, 1.0), group=group)
    assert code in (CODES[number], 0), said
    assert took < 2
    assert "Traceback" not in said
    wait_until(lambda: not any(map(is_alive, family)))
    # A run that is stopped after the last rename may report a complete dataset.
    assert place.is_whole() or code != 0
    place.goes_on()


@pytest.mark.slow
@represented(
    "suffix,ways",
    [
        ("jsonl", "--workers 2"),
        ("parquet", "--threads 8"),
        ("jsonl", "--workers 1"),
        ("jsonl", "--threads 8"),
        ("parquet", "--workers 1"),
        ("parquet", "--workers 2"),
        ("arrow", "--workers 1"),
        ("arrow", "--workers 2"),
        ("arrow", "--threads 8"),
    ],
    by=2,
)
def test_pack_writes_the_same_bytes(pack_place, ways, suffix):
    """The number of workers and threads does not change a byte."""
    code, said = pack_place.run("--output-format", suffix, *ways.split(), env=os.environ)
    assert code == 0, said
    files = FileOptions(output_format=suffix, threads=1)
    alone = pack_place.folder.with_name("alone")
    pack_place.run_here(pack_place.data, alone, files=files)
    assert bytes_in(pack_place.folder) == bytes_in(alone)


@pytest.mark.slow
@linux
@represented(
    "workers,number",
    [
        pytest.param(workers, number, id=f"{workers}-{number.name}")
        for workers in ("1", "2")
        for number in (signal.SIGINT, signal.SIGTERM)
    ],
    by={"1-SIGTERM", "2-SIGINT"},
)
def test_stopped_run_reports_shards(place, number, workers):
    with place.start("--workers", workers) as process:
        # The driver may not have read the last record yet.
        wait_until(lambda: len(place.staged()) >= 4)
        process.send_signal(number)
        _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == CODES[number]
    assert re.search(rf"^Stopped: \d+ of {SHARDS} shards are done \(.*\)\..* --resume keeps", said, re.M)


@pytest.mark.slow
@linux
def test_resume_keeps_finished_shards(place, tmp_path):
    with place.start("--workers", "2") as process:
        wait_until(lambda: len(place.staged()) >= 3)
        process.kill()
        process.communicate(timeout=SECONDS)
    assert not place.is_whole()
    done, again = len(place.staged()), tmp_path / "again"
    env = faulty(tmp_path / "fault", f"open({str(again)!r}, 'a').write('%d ' % shard.index)", KILLS)
    code, said = place.run("--resume", "--workers", "2", env=env)
    assert (code, len(again.read_text().split())) == (0, SHARDS - done), said
    assert bytes_in(place.folder) == place.wanted


# Code that kills the process at the n-th rename.
DIES_AT = """
import os, signal
import padmask.storage.folder as folder
plain, calls = folder.OutputFolder.move, iter(range(100))
def move(*args):
    if next(calls) == {}:
        os.kill(os.getpid(), signal.SIGKILL)
    plain(*args)
folder.OutputFolder.move = move
from padmask.__main__ import main
main()
"""


@pytest.mark.slow
@represented("move", [3, 0, SHARDS - 1], by=1)
def test_resume_after_kill_in_rename(place, move):
    place.command = [sys.executable, "-c", DIES_AT.format(move)]
    code, said = place.run("--workers", "1", env=os.environ)
    assert (code, "killed" in said) == (137, True), said
    assert not place.is_whole()
    place.goes_on()


@pytest.mark.slow
@linux
def test_second_run_is_refused(place, tmp_path):
    go = tmp_path / "go"
    waits = f"while shard.index == 5 and not os.path.exists({str(go)!r}): time.sleep(0.01)"
    with place.start("--workers", "2", env=faulty(tmp_path / "fault", waits)) as process:
        wait_until(place.staged)
        for more in ((), ("--resume",)):
            code, said = place.run(*more, env=os.environ)
            assert (code, is_sentence(said)) == (2, True), said
            assert has_facts(said, "Another run")
        go.touch()
        _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    assert bytes_in(place.folder) == place.wanted


@pytest.mark.slow
@linux
def test_changed_input_is_refused(place, tmp_path):
    place.data = shutil.copytree(place.data, tmp_path / "data")
    with place.start("--workers", "2") as process:
        wait_until(place.staged)
        with (place.data / "half=1" / "5.jsonl").open("a") as file:
            file.write('{"input_ids": [1]}\n')
        _, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, is_sentence(said)) == (2, True), said
    assert has_facts(said, "5.jsonl", "changed")
    assert not place.is_whole()


# --- Full disks --------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """A file system of 48 KiB for the output, and a function that resizes it."""
    folder = tmp_path / "padded"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=48k", "padmask-test", str(folder)]
    if not shutil.which("mount") or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_resume_after_full_disk(place, small_disk):
    # --max-bytes disables the check of free disk space, and each shard alone would fit.
    code, said = place.run("--workers", "2", "--max-bytes", "1GB")
    assert (code, is_sentence(said)) == (2, True), said
    assert has_facts(said, "No space left on device", f"of {SHARDS} shards")
    assert not place.is_whole()
    small_disk("4m")
    assert place.goes_on() >= 2


@pytest.mark.slow
def test_small_disk_is_refused(place, small_disk):
    code, said = place.run("--workers", "2")
    assert (code, is_sentence(said)) == (2, True), said
    assert "rows to 19 positions" in said
    assert place.names() == set()


@pytest.mark.slow
def test_file_size_limit_is_reported(place, padmask, data):
    done = padmask(
        "pad", data, "-o", place.folder, "--workers", "2", before=f"mkdir {place.folder}; ulimit -f 4"
    )
    assert (done.returncode, is_sentence(done.stderr)) == (2, True), done.stderr
    assert re.search(r"Cannot write '.*/padded/half=./.\.jsonl': File too large", done.stderr)
    assert not place.is_whole()


# --- Python ------------------------------------------------------------------------------


def test_progress_may_raise(data, tmp_path):
    def tell(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pad_dataset(data, tmp_path / "padded", spec=PadSpec(maxlen=4), progress=tell)


@pytest.mark.slow
@linux
@represented("number", {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}, by={"SIGTERM"})
def test_signal_waits_for_renames(command: list[str], tmp_path: Path, number: signal.Signals) -> None:
    # If the signal ended the run during the renames, an incomplete dataset would look complete.
    count, folder = 200, tmp_path / "out"
    (tmp_path / "data").mkdir()
    for shard in range(count):
        (tmp_path / "data" / f"{shard:03}.jsonl").write_text('{"input_ids":[1]}\n')
    args = ["pad", "data/", "-o", "out/", "--maxlen", "1", "--workers", "1", "--quiet"]
    with subprocess.Popen(
        [*command, *args],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        preexec_fn=default_signals,
    ) as process:
        wait_until(lambda: any(folder.glob("*.jsonl")) or process.poll() is not None)
        process.send_signal(number)
        process.wait(timeout=SECONDS)
    assert process.returncode in (0, 128 + number)
    assert len(list(folder.glob("*.jsonl"))) == count
    assert (folder / MANIFEST).exists()
