"""Frequent mistakes on the command line, and other names of options."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pairs import each_value
from raised import has_facts
from row_files import write_rows

from padmask._version import __version__

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(padmask: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    Path("train.jsonl").write_text('{"input_ids": [1, 2, 3]}\n{"input_ids": [4]}\n')
    return padmask


def ids(done: subprocess.CompletedProcess[str]) -> list[list[int]]:
    return [json.loads(line)["input_ids"] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("output", ["out.parquet", "out.jsonl", "out.npz", "padded/", "a b.parquet"])
@pytest.mark.parametrize("verb", ["pad", "unpad"])
def test_output_without_option(here: Run, verb: str, output: str) -> None:
    done = here(verb, "train.jsonl", output)
    assert done.returncode == 2
    assert "Did you mean -o " in done.stderr and output in done.stderr.partition("Did you mean")[2]


def test_existing_output_without_option(here: Run) -> None:
    Path("out.parquet").write_bytes(b"PAR1")
    done = here("pad", "train.jsonl", "out.parquet")
    assert done.returncode == 2
    assert "different formats" in done.stderr and "Did you mean -o out.parquet?" in done.stderr


@pytest.mark.parametrize(
    "args", [["missing.jsonl"], ["train.jsonl", "missing"], ["train.jsonl", "missing.jsonl", "-o", "x.jsonl"]]
)
def test_missing_inputs(here: Run, args: list[str]) -> None:
    done = here("pad", *args)
    assert done.returncode == 2
    assert "'missing" in done.stderr and "Did you mean" not in done.stderr


def test_missing_folder(here: Run) -> None:
    assert "folder 'no/such'" in here("pad", "no/such/a.jsonl").stderr
    assert "folder" not in here("pad", "a.jsonl").stderr


@pytest.mark.parametrize(
    ("options", "same"),
    [
        (["--padding", "left"], ["--padding", "pre"]),
        (["--padding", "right"], ["--padding", "post"]),
        (["--maxlen", "2", "--truncating", "left"], ["--maxlen", "2", "--truncating", "pre"]),
        (["--max-length", "2"], ["--maxlen", "2"]),
        (["--max-length=p50"], ["--maxlen=p50"]),
        (["-q"], ["--quiet"]),
    ],
    ids=lambda options: " ".join(options),
)
def test_other_names(here: Run, options: list[str], same: list[str]) -> None:
    done, other = here("pad", "train.jsonl", *options), here("pad", "train.jsonl", *same)
    assert (done.returncode, done.stdout, done.stderr) == (0, other.stdout, other.stderr)


@pytest.mark.parametrize("verb", ["inspect", "verify", "unpad"])
def test_names_in_other_commands(here: Run, verb: str) -> None:
    Path("padded.jsonl").write_text('{"input_ids": [0, 1], "mask": [false, true], "n": 1}\n')
    options = {"inspect": ["--max-length", "2"], "verify": ["--no-model"], "unpad": ["--length-column", "n"]}
    done = here(verb, "padded.jsonl", "--padding", "left", "-q", *options[verb])
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_short_version(here: Run) -> None:
    assert here("-V").stdout == here("--version").stdout == f"padmask {__version__}\n"


def test_names_in_pyproject(here: Run) -> None:
    Path("pyproject.toml").write_text('[tool.padmask]\nmax-length = 2\npadding = "left"\n')
    done = here("pad", "train.jsonl")
    assert ids(done) == [[1, 2], [0, 4]]
    assert has_facts(done.stderr, "--maxlen and --padding", "pyproject.toml")


def test_file_given_twice(here: Run) -> None:
    done = here("pad", "*.jsonl", "./train.jsonl")
    assert ids(done) == [[1, 2, 3], [4, 0, 0]]
    assert "more than once" in done.stderr and "train.jsonl" in done.stderr


def test_field_of_a_struct(here: Run) -> None:
    Path("in.jsonl").write_text('{"data": {"input_ids": [1]}, "x": [1]}\n')
    done = here("pad", "in.jsonl", "-c", "data.input_ids")
    assert done.returncode == 2
    assert has_facts(done.stderr, "'data.input_ids'", "'data'", "struct")


TEXTS = ["hello world", "hi"]
# The columns of the data, and the options.
TEXT_CASES = [("text", []), ("text", ["-c", "text"]), ("input_ids", [])]


@each_value(
    verb=["pad", "inspect", "pack"],
    format_=["jsonl", "parquet", "arrow"],
    case=dict(zip(["only", "asked", "input_ids"], TEXT_CASES, strict=True)),
)
def test_text_is_not_tokens(here: Run, verb: str, format_: str, case: tuple[str, list[str]]) -> None:
    """The error says how to get tokens."""
    name, options = case
    rows = [{name: text} for text in TEXTS]
    write_rows(Path(f"in.{format_}"), rows, pa.schema([(name, pa.string())]))
    length = ["--maxlen", "8"] if verb == "pack" else []
    done = here(verb, f"in.{format_}", *options, *length)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert has_facts(done.stderr, f"tokenizer.encode(row['{name}'])", "docs/tutorial.md")


def test_maxlen_of_an_empty_file(here: Run) -> None:
    Path("empty.jsonl").write_text("")
    done = here("pad", "empty.jsonl", "-o", "out.parquet")
    assert (done.returncode, Path("out.parquet").exists()) == (1, False)
    assert "--maxlen 128" in done.stderr
    assert here("pad", "empty.jsonl", "-o", "out.parquet", "--maxlen", "0").returncode == 0


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (["--no-mask", "--mask-column", "m"], ["--no-mask", "--mask-column"]),
        (["--no-mask", "--mask-dtype", "int8"], ["--no-mask", "--mask-dtype"]),
        (["--own-length", "x", "--own-length", "x=2"], ["--own-length", "'x'", "twice"]),
        (["--own-mask", "x=m", "--own-mask", "x=n"], ["--own-mask", "'x'", "twice"]),
        (["--maxlen", "4", "--overlong", "window", "--own-length", "x"], ["windows", "--own-length"]),
    ],
)
def test_options_that_disagree(here: Run, options: list[str], facts: list[str]) -> None:
    done = here("pad", "train.jsonl", *options)
    assert (done.returncode, has_facts(done.stderr, *facts)) == (2, True)


def test_overlong_overrides_pyproject(here: Run) -> None:
    Path("pyproject.toml").write_text("[tool.padmask]\nkeep-first = 1\noverlap = 2\n")
    assert here("pad", "train.jsonl", "--maxlen", "4", "--overlong", "drop").returncode == 0
    assert here("pad", "train.jsonl", "--maxlen", "4").returncode == 2
    done = here("pad", "train.jsonl", "--maxlen", "4", "--overlong", "drop", "--keep-first", "2")
    assert (done.returncode, "--keep-first" in done.stderr) == (2, True)


def test_no_mask_overrides_pyproject(here: Run) -> None:
    Path("pyproject.toml").write_text('[tool.padmask]\nmask-dtype = "int8"\n')
    assert here("pad", "train.jsonl", "--no-mask").returncode == 0


@each_value(
    asked={
        " ".join(options): (options, remedy)
        for options, remedy in [
            (["--stride", "8"], "--overlap N"),
            (["--doc_stride", "8"], "--overlap N"),
            (["--doc-stride=8"], "--overlap N"),
            (["--return_overflowing_tokens"], "--overlong window"),
            (["--pad_token_id", "3"], "--value N"),
            (["--pad-token", "<pad>"], "--value V"),
            (["--truncation_side", "left"], "--truncating left"),
            (["--padding-side", "left"], "--padding left"),
            (["--max_len", "8"], "--maxlen N"),
            (["--padding", "longest"], "--maxlen longest"),
            (["--padding", "max_length"], "--maxlen N"),
            (["--maxlen", "95%"], "'p95'"),
            (["--maxlen", "99.5 %"], "'p99.5'"),
            (["--maxlen", "0.95"], "'p95'"),
            (["--maxlen", ".5"], "'p50'"),
        ]
    },
    verb=["pad", "inspect"],
)
def test_options_of_other_tools(here: Run, verb: str, asked: tuple[list[str], str]) -> None:
    options, remedy = asked
    done = here(verb, "train.jsonl", *options)
    assert done.returncode == 2
    assert remedy in " ".join(done.stderr.replace("│", " ").split())
