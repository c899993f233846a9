"""Inputs that are rewritten in place with the same size and modification time."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from raised import has_facts
from tiers import represented

Completed = subprocess.CompletedProcess[str]


def write(path: Path, token: int, rows: int = 2) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{{"input_ids": [{token}]}}\n' * rows)
    return path


def tokens_of(path: Path) -> list[int]:
    return [json.loads(line)["input_ids"][0] for line in path.read_text().splitlines()]


def rewrite(path: Path, token: int) -> None:
    """Change the token of every row, but not the size and modification time of the file."""
    before = path.stat()
    with path.open("r+b") as file:
        whole = file.read()
        file.seek(0)
        file.write(whole.replace(b"[1]", b"[%d]" % token))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    kept = ("st_ino", "st_size", "st_mtime_ns")
    assert [getattr(before, name) for name in kept] == [getattr(after, name) for name in kept]


def rewrite_while_it_runs(args: list[str], path: Path, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command, and rewrite its input while a full output pipe blocks the command."""
    with subprocess.Popen(args, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        time.sleep(0.05)
        rewrite(path, 2)
        out, said = process.communicate(timeout=60)
    return subprocess.CompletedProcess(args, process.returncode, first + out, said)


@pytest.mark.slow
@represented("verb", {"given": ["pad", "--maxlen", "2"], "found": ["pad"], "unpad": ["unpad"]}, by={"found"})
def test_rewritten_input_is_refused(command: list[str], tmp_path: Path, verb: list[str]) -> None:
    row = {"input_ids": [1], "mask": [True]} if verb == ["unpad"] else {"input_ids": [1]}
    path = tmp_path / "in.jsonl"
    path.write_text((json.dumps(row) + "\n") * 400_000)
    done = rewrite_while_it_runs([*command, *verb, str(path), "--quiet"], path, tmp_path)
    assert done.returncode not in (0, -13)
    assert has_facts(done.stderr.decode(), "in.jsonl", "changed")


@pytest.mark.slow
@represented("length", ["longest", "2"], by=1)
def test_resume_detects_rewrites(padmask: Callable[..., Completed], tmp_path: Path, length: str) -> None:
    first = write(tmp_path / "in" / "a.jsonl", 1)
    write(tmp_path / "in" / "b.jsonl", 1)
    args = ["pad", "in", "-o", "out/", "--maxlen", length, "--resume"]
    assert padmask(*args).returncode == 0
    rewrite(first, 2)
    done = padmask(*args)
    assert done.returncode == 0
    assert tokens_of(tmp_path / "out" / "a.jsonl") == [2, 2]
    # If one input changed, a length computed from all inputs is computed again.
    assert has_facts(done.stderr, "1 of them", "earlier run") == (length == "2")


def test_resume_after_a_failure(padmask: Callable[..., Completed], tmp_path: Path) -> None:
    first = write(tmp_path / "in" / "a.jsonl", 1)
    bad = write(tmp_path / "in" / "b.jsonl", 1)
    bad.write_text("{\n")
    args = ["pad", "in", "-o", "out/", "--maxlen", "2", "--resume", "--workers", "1"]
    stopped = padmask(*args)
    assert stopped.returncode
    assert "1 of 2 shards" in stopped.stderr
    rewrite(first, 2)
    write(bad, 1)
    done = padmask(*args)
    assert done.returncode == 0
    assert tokens_of(tmp_path / "out" / "a.jsonl") == [2, 2]


@pytest.mark.slow
@represented(
    "verb",
    {"inspect": ["inspect"], "unpad": ["unpad"], "verify": ["verify", "--no-model"], "pad": ["pad"]},
    by=2,
)
def test_readers_detect_rewrites(command: list[str], tmp_path: Path, verb: list[str]) -> None:
    path, pipe, row = tmp_path / "in.jsonl", tmp_path / "pipe.jsonl", '{"input_ids": [1], "mask": [true]}\n'
    path.write_text(row * 2)
    os.mkfifo(pipe)
    options = ["--overwrite-mask", "--allow-padded", "--maxlen", "2"] if verb == ["pad"] else []
    args = [*command, *verb, *options, str(path), str(pipe)]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        # padmask opens the pipe after it has read the previous file.
        with pipe.open("w") as stream:
            rewrite(path, 2)
            stream.write(row)
        _, said = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert has_facts(said, "in.jsonl", "changed")
