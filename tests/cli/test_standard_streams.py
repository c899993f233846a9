"""Standard streams as inputs and outputs: no file behind a stream is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from pairs import each_value
from raised import has_facts

Run = Callable[[str], CompletedProcess[str]]

ROWS = '{"input_ids": [1, 2]}\n{"input_ids": [3]}\n'
BAD = '{"input_ids": [1, 2]}\n{"input_ids": "no"}\n'


@pytest.mark.parametrize(
    "command",
    [
        "pad - -o out.jsonl --on-error skip --rejects in.txt",
        "pad -o out.jsonl --on-error skip --report in.txt",
        "pad /dev/stdin --input-format jsonl -o out.jsonl --on-error skip --report link.txt",
        "inspect - --export in.txt",
        "inspect --export hard.txt",
        "verify - --no-model --report json:in.txt",
    ],
)
def test_file_on_stdin_is_kept(shell: Run, tmp_path: Path, command: str) -> None:
    data = ROWS if command.startswith(("inspect", "verify")) else BAD
    (tmp_path / "in.txt").write_text(data)
    os.link(tmp_path / "in.txt", tmp_path / "hard.txt")
    (tmp_path / "link.txt").symlink_to("in.txt")

    done = shell(f"padmask {command} < in.txt")
    assert done.returncode == 2
    assert has_facts(done.stderr, "replace", "input")
    assert (tmp_path / "in.txt").read_text() == data
    assert (tmp_path / "hard.txt").read_text() == data


@pytest.mark.parametrize("path", ["/dev/stdin", "link.jsonl", "/dev/fd/0", "/proc/self/fd/0"])
def test_workers_read_the_file_on_stdin(shell: Run, tmp_path: Path, path: str) -> None:
    """Worker processes have another file on stdin."""
    (tmp_path / "in.jsonl").write_text(ROWS)
    (tmp_path / "link.jsonl").symlink_to("/dev/stdin")
    done = shell(f"padmask pad {path} --input-format jsonl --workers 2 --maxlen 2 -o out.jsonl < in.jsonl")
    assert (done.returncode, (tmp_path / "out.jsonl").read_text().count("mask")) == (0, 2), done.stderr


def test_file_on_stdin_pads_in_place(shell: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(ROWS)

    assert shell("padmask pad - -o in.jsonl --quiet < in.jsonl").returncode == 0
    assert (tmp_path / "in.jsonl").read_text().count("mask") == 2


@pytest.mark.parametrize(
    "command",
    [
        "inspect in.jsonl",
        "inspect in.jsonl --json",
        "verify in.jsonl --no-model",
        "verify in.jsonl --no-model --quiet --report json:/dev/stdout",
        "pad in.jsonl -o out.jsonl --quiet --report -",
        "pad in.jsonl -o out.jsonl --quiet --report /proc/self/fd/1",
        "unpad padded.jsonl in.jsonl --on-error skip -o out.jsonl --quiet --rejects -",
    ],
)
def test_report_never_goes_to_input(shell: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "in.jsonl").write_text(ROWS)
    (tmp_path / "padded.jsonl").write_text('{"input_ids": [1, 0], "mask": [true, false]}\n')

    done = shell(f"padmask {command} >> in.jsonl")
    assert done.returncode == 2
    assert has_facts(done.stderr, "input 'in.jsonl'")
    assert (tmp_path / "in.jsonl").read_text() == ROWS


@pytest.mark.parametrize(
    "command", ["inspect in.jsonl --export {}", "verify in.jsonl --no-model --report json:{}"]
)
@pytest.mark.parametrize("name", ["one.txt", "link.txt", "./one.txt"])
def test_stdout_counts_as_an_output(shell: Run, tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / "in.jsonl").write_text(ROWS)
    (tmp_path / "one.txt").write_text("kept\n")
    (tmp_path / "link.txt").symlink_to("one.txt")

    done = shell(f"padmask {command.format(name)} >> one.txt")
    assert done.returncode == 2
    assert has_facts(done.stderr, "stdout")
    assert (tmp_path / "one.txt").read_text() == "kept\n"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux names other processes' files")
def test_shell_stdout_is_appended(shell: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(ROWS)
    (tmp_path / "log").write_text("kept\n")

    done = shell("{ padmask pad in.jsonl --quiet --output-format jsonl -o /proc/$$/fd/1; } >> log")
    assert done.returncode == 0, done.stderr
    first, *rows = (tmp_path / "log").read_text().splitlines()
    assert (first, len(rows)) == ("kept", 2)


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no files in memory here")
def test_file_in_memory_is_atomic(shell: Run, tmp_path: Path) -> None:
    # Enough rows that output is written before the bad row.
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1, 2]}\n' * 200_000 + '{"input_ids": "no"}\n')
    kept = Path(f"/dev/shm/padmask-test-{os.getpid()}.jsonl")
    kept.write_text("kept\n")
    try:
        assert shell(f"padmask pad in.jsonl --maxlen 2 -o {kept}").returncode == 1
        assert kept.read_text() == "kept\n"
    finally:
        kept.unlink()


@each_value(
    name=["pipe", "pipe.jsonl"],
    command=["pad {} -o out.parquet", "pad {} -o out.jsonl", "verify {} --no-model"],
    limit=["", "--limit 1"],
)
def test_named_pipe_is_opened_once(shell: Run, tmp_path: Path, name: str, command: str, limit: str) -> None:
    os.mkfifo(tmp_path / name)
    line = f"(printf '%s' '{ROWS}' > {name}) & padmask"

    done = shell(f"{line} {command.format(name)} {limit}")
    assert done.returncode == 0, done.stderr


@each_value(
    command=[
        "pad in.jsonl -o log",
        "pad in.jsonl -o out.jsonl --report log",
        "pad in.jsonl -o out.jsonl --on-error skip --rejects log",
        "pad data -o padded/ --workers 1 --report log",
        "unpad padded.jsonl -o out.jsonl --report log",
        "inspect in.jsonl --export log",
        "verify in.jsonl --no-model --report json:log",
    ],
    stream={"stdout": "", "stderr": "2"},
)
def test_shell_log_is_not_replaced(shell: Run, tmp_path: Path, command: str, stream: str) -> None:
    (tmp_path / "data").mkdir()
    for name in ("in.jsonl", "data/in.jsonl"):
        (tmp_path / name).write_text(ROWS)
    (tmp_path / "padded.jsonl").write_text('{"input_ids": [1, 0], "mask": [true, false]}\n')
    (tmp_path / "log.txt").write_text("kept\n")
    command = command.replace("log", "log.txt")
    command += " --output-format jsonl" if "-o log" in command else ""

    done = shell(f"padmask {command} {stream}>> log.txt")
    assert done.returncode == 2, done.stderr
    assert (tmp_path / "log.txt").read_text().startswith("kept\n")
