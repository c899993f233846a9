"""No output replaces an input, another output, or the file behind a standard stream."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from pairs import all_pairs
from raised import has_facts

Run = Callable[..., CompletedProcess[str]]

GOOD = '{"input_ids": [1, 2]}\n{"input_ids": [3]}\n'
BAD = '{"input_ids": [1, 2]}\n{"input_ids": "no"}\n{"input_ids": [3]}\n'
PADDED = '{"input_ids": [1, 0], "mask": [true, false]}\n{"input_ids": [1, 0], "mask": [true]}\n'
STDOUT_NAMES = ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1", "link"]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text(GOOD)
    return path


@pytest.fixture(autouse=True)
def link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")


@all_pairs(
    name=STDOUT_NAMES,
    option=["--rejects", "--report"],
    command={"pad": ("pad", BAD), "unpad": ("unpad", PADDED)},
)
def test_stdout_takes_one_output(
    shell: Run, tmp_path: Path, command: tuple[str, str], option: str, name: str
) -> None:
    verb, data = command
    (tmp_path / "in.jsonl").write_text(data)
    (tmp_path / "log").write_text("kept\n")
    done = shell(f"padmask {verb} in.jsonl --on-error skip {option} {name} >> log")
    assert done.returncode == 2
    assert has_facts(done.stderr, "both", "stdout")
    assert (tmp_path / "log").read_text() == "kept\n"


@pytest.mark.parametrize("name", STDOUT_NAMES)
def test_named_stdout_is_appended(shell: Run, tmp_path: Path, rows: Path, name: str) -> None:
    (tmp_path / "log").write_text("kept\n")
    done = shell(f"padmask pad {rows.name} -o {name} --output-format jsonl --quiet >> log")
    assert done.returncode == 0, done.stderr
    kept, *lines = (tmp_path / "log").read_text().splitlines()
    assert kept == "kept"
    assert [json.loads(line)["input_ids"] for line in lines] == [[1, 2], [3, 0]]


@pytest.mark.parametrize("name", ["/dev/fd/3", "/proc/self/fd/3"])
def test_open_descriptor_is_appended(shell: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "in.jsonl").write_text(BAD)
    (tmp_path / "log").write_text("kept\n")
    done = shell(f"padmask pad in.jsonl --on-error skip -o out.jsonl --rejects {name} 3>> log")
    assert done.returncode == 0, done.stderr
    kept, line = (tmp_path / "log").read_text().splitlines()
    assert (kept, json.loads(line)["line"]) == ("kept", 2)


def test_hard_links_are_one_output(here: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(BAD)
    (tmp_path / "one").write_text("kept")
    os.link(tmp_path / "one", tmp_path / "two")
    done = here(
        "pad", "in.jsonl", "--on-error", "skip", "-o", "out.jsonl", "--rejects", "one", "--report", "two"
    )
    assert done.returncode == 2
    assert (tmp_path / "one").read_text() == "kept"


def test_dev_null_takes_everything(here: Run, rows: Path) -> None:
    done = here("pad", rows, "-o", "/dev/null", "--output-format", "jsonl", "--rejects", "/dev/null")
    assert done.returncode == 0, done.stderr


def inputs_named(folder: Path) -> dict[str, str]:
    """Create some files, and return four ways to name the input `d/a.jsonl` on the command line."""
    (folder / "d").mkdir()
    for name in "ab":
        (folder / "d" / f"{name}.jsonl").write_text(GOOD)
    os.link(folder / "d" / "a.jsonl", folder / "hard.jsonl")
    (folder / "soft.jsonl").symlink_to("d/a.jsonl")
    (folder / "other").symlink_to("d")
    return {"file": "d/a.jsonl", "pattern": "d/*.jsonl", "folder": "d", "linked folder": "other"}


OUTPUT_NAMES = ["d/a.jsonl", "./d/../d/a.jsonl", "hard.jsonl", "soft.jsonl", "other/a.jsonl"]
WRITES = {
    "pad --rejects": ["pad", "{}", "-o", "out.jsonl", "--rejects", "{out}"],
    "pad --report": ["pad", "{}", "-o", "out.jsonl", "--report", "{out}"],
    "pad --report json:": ["pad", "{}", "-o", "out.jsonl", "--report", "json:{out}"],
    "pad to a folder --rejects": ["pad", "{}", "-o", "padded/", "--rejects", "{out}"],
    "pack --rejects": ["pack", "{}", "-o", "out.jsonl", "--rejects", "{out}"],
    "pack --report": ["pack", "{}", "-o", "out.jsonl", "--report", "{out}"],
    "unpad --rejects": ["unpad", "{}", "-o", "out.jsonl", "--rejects", "{out}"],
    "unpad --report": ["unpad", "{}", "-o", "out.jsonl", "--report", "{out}"],
    "verify --report": ["verify", "{}", "--no-model", "--report", "json:{out}"],
    "verify --report junit:": ["verify", "{}", "--no-model", "--report", "junit:{out}"],
}


@all_pairs(command=WRITES.keys(), named=["file", "pattern", "folder", "linked folder"], output=OUTPUT_NAMES)
def test_nothing_replaces_an_input(here: Run, tmp_path: Path, command: str, named: str, output: str) -> None:
    source = inputs_named(tmp_path)[named]
    done = here(*(word.format(source, out=output) for word in WRITES[command]))
    assert done.returncode == 2, done.stderr
    assert (tmp_path / "d" / "a.jsonl").read_text() == GOOD
    assert not (tmp_path / "out.jsonl").exists()


@all_pairs(named=["file", "pattern", "folder"], output=OUTPUT_NAMES)
def test_pack_keeps_its_input(here: Run, tmp_path: Path, named: str, output: str) -> None:
    source = inputs_named(tmp_path)[named]
    done = here("pack", source, "-o", output)
    assert done.returncode == 2, done.stderr
    assert (tmp_path / "d" / "a.jsonl").read_text() == GOOD


@all_pairs(named=["pattern", "folder", "linked folder"], output=OUTPUT_NAMES, verb=["pad", "pack", "unpad"])
def test_output_replaces_no_shard(here: Run, tmp_path: Path, verb: str, named: str, output: str) -> None:
    source = inputs_named(tmp_path)[named]
    done = here(verb, source, "-o", output)
    assert done.returncode == 2, done.stderr
    assert (tmp_path / "d" / "a.jsonl").read_text() == GOOD


@pytest.mark.parametrize("output", ["in.jsonl", "./in.jsonl"])
def test_output_may_be_the_only_input(here: Run, rows: Path, output: str) -> None:
    assert here("pad", "in.jsonl", "-o", output).returncode == 0
    assert [json.loads(line)["input_ids"] for line in rows.read_text().splitlines()] == [[1, 2], [3, 0]]


@pytest.mark.parametrize("name", ["masks.txt", "./masks.txt", "hard.txt"])
def test_export_keeps_the_input(here: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "masks.txt").write_text(GOOD)
    os.link(tmp_path / "masks.txt", tmp_path / "hard.txt")
    done = here("inspect", "masks.txt", "--input-format", "jsonl", "--export", name)
    assert done.returncode == 2
    assert (tmp_path / "masks.txt").read_text() == GOOD


@pytest.mark.parametrize("name", ["serve.py", "./serve.py", "hard.py"])
def test_report_keeps_the_module(padmask: Run, tmp_path: Path, rows: Path, name: str) -> None:
    code = "def f(ids, mask):\n    return ids * mask\n"
    (tmp_path / "serve.py").write_text(code)
    os.link(tmp_path / "serve.py", tmp_path / "hard.py")
    done = padmask("verify", rows, "--predict", "serve:f", "--report", f"json:{name}")
    assert done.returncode == 2
    assert (tmp_path / "serve.py").read_text() == code


def test_report_keeps_imported_modules(padmask: Run, tmp_path: Path, rows: Path) -> None:
    (tmp_path / "helper.py").write_text("X = 1\n")
    (tmp_path / "serve.py").write_text("import helper\n\ndef f(ids, mask):\n    return ids * mask\n")
    done = padmask("verify", rows, "--predict", "serve:f", "--report", "json:helper.py")
    assert done.returncode == 2
    assert (tmp_path / "helper.py").read_text() == "X = 1\n"


@pytest.mark.parametrize("option", ["--model", "--custom-objects"])
def test_report_keeps_the_model(here: Run, tmp_path: Path, rows: Path, option: str) -> None:
    (tmp_path / "m").write_text("kept")
    model = ["--model", "m"] if option == "--model" else ["--model", "x.keras", option, "m"]
    done = here("verify", rows, *model, "--report", "json:m")
    assert done.returncode == 2
    assert has_facts(done.stderr, "input 'm'")
    assert (tmp_path / "m").read_text() == "kept"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("options", [["--maxlen", "longest"], ["--maxlen", "2", "--limit", "1"], []])
def test_named_pipe_is_opened_once(padmask: Run, tmp_path: Path, options: list[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen(["sh", "-c", f"printf '%s' '{GOOD}' > {pipe}"])
    try:
        done = padmask("pad", pipe, "-o", "out.parquet", "--limit", "2", *options)
        assert done.returncode == 0, done.stderr
    finally:
        writer.kill()
        writer.wait()


def test_pipe_is_not_both_ends(here: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    # Open at both ends, so that neither end waits.
    descriptor = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        os.write(descriptor, b'{"input_ids": [1]}\n')
        done = here("pad", "pipe", "-o", "pipe")
    finally:
        os.close(descriptor)
    assert done.returncode == 2
    assert has_facts(done.stderr, "input 'pipe'")


def test_closed_descriptor_is_named(here: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1]}\n')
    done = here("pad", "in.jsonl", "-o", "/dev/fd/99")
    assert done.returncode == 2
    assert has_facts(done.stderr, "descriptor 99")
