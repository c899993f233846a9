"""Blank and bad lines before the first good row are skipped quickly and in little memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterable

import pytest
from pairs import each_value
from tiers import represented

MIB = 1 << 20
ROW = b'{"x":[1,2]}\n'
BLANKS = {"newlines": b"\n", "crlf": b"\r\n", "spaces": b"  \t  \n"}
PASSES = {"one pass": ("--maxlen", "2"), "two passes": ()}


# The peak memory of a process includes that of its parent, so a small process starts the command.
MEASURE = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def piped(command: list[str], parts: Iterable[bytes]) -> tuple[bytes, float, float]:
    """Run a command on a pipe; return its output, CPU seconds and peak MiB."""
    arguments = [sys.executable, "-S", "-c", MEASURE, *command]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        for part in parts:
            process.stdin.write(part)
        process.stdin.close()
        output, said = process.stdout.read(), process.stderr.read()
    assert process.returncode == 0, said
    seconds, kibibytes = map(float, said.splitlines()[-1].split())
    return output, seconds, kibibytes / 1024


@pytest.mark.slow
@represented(
    "blank,options",
    {f"{blank}-{options}": (BLANKS[blank], PASSES[options]) for options in PASSES for blank in BLANKS},
    by={"newlines-two passes", "crlf-one pass", "spaces-one pass"},
)
def test_blank_lines_in_pipes(command, blank, options):
    mebibyte = blank * (MIB // len(blank))

    output, seconds, mebibytes = piped(
        [*command, "pad", "-", "--quiet", *options], [*[mebibyte] * 128, ROW * 2]
    )

    assert output.count(b"\n") == 2
    assert mebibytes < 150
    # A Python loop over the lines took more than 15 seconds.
    assert seconds < 5


@pytest.mark.slow
@represented("name,rows", [("in.jsonl.gz", 0), ("in.jsonl", 2), ("in.jsonl.gz", 2), ("in.jsonl", 0)], by=2)
def test_blank_lines_in_files(command, tmp_path, name, rows):
    with (gzip.open if name.endswith("gz") else open)(tmp_path / name, "wb") as file:
        for _ in range(128):
            file.write(b"\n" * MIB)
        file.write(ROW * rows)

    output, seconds, mebibytes = piped(
        [*command, "pad", str(tmp_path / name), "--maxlen", "2", "--quiet"], []
    )

    assert output.count(b"\n") == rows
    assert mebibytes < 150
    assert seconds < 5


@pytest.mark.slow
def test_bad_lines_in_pipes(command):
    line = b"x" * 200_000 + b"\n"

    output, _, mebibytes = piped(
        [*command, "pad", "-", "--maxlen", "2", "--on-error", "skip", "--quiet"], [*[line] * 1000, ROW]
    )

    assert output.count(b"\n") == 1
    assert mebibytes < 170


@pytest.mark.slow
def test_bad_lines_are_reported(padmask, tmp_path):
    # These are more bytes than padmask keeps of the start of a file. The order must stay the same.
    lines = [f"bad {i} ".encode() + b"x" * 100_000 for i in range(200)]

    ran = padmask(
        *("pad", "-", "--maxlen", "2", "--on-error", "skip", "--rejects", "r.jsonl"),
        stdin=b"\n".join([*lines, ROW]),
    )

    rejects = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [reject["line"] for reject in rejects] == [*range(1, 201)]
    assert json.loads(ran.stdout)["x"] == [1, 2]


@each_value(blank=BLANKS, suffix=["jsonl", "jsonl.gz", "-"], options=PASSES)
def test_line_numbers_count_blank_lines(padmask, tmp_path, blank, suffix, options):
    count = 300_000
    data = (
        blank * count
        + b'  {"x":[1]}\n'
        + blank * 3
        + b"\n \n"
        + b'{"x":[2]}\nbad\n'
        + blank * count
        + b"worse"
    )
    source = "-"
    if suffix != "-":
        source = f"in.{suffix}"
        (tmp_path / source).write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)

    ran = padmask(
        *("pad", source, "--on-error", "skip", "--rejects", "r.jsonl", *options),
        stdin=data if source == "-" else b"",
    )

    assert len(ran.stdout.splitlines()) == 2
    rejects = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [reject["line"] for reject in rejects] == [count + 8, 2 * count + 9]


@pytest.mark.parametrize("command_", ["inspect", "verify", "unpad"])
def test_other_commands_skip_blanks(padmask, tmp_path, command_):
    (tmp_path / "in.jsonl.gz").write_bytes(
        gzip.compress(b"\n" * 2 * MIB + b'{"x":[1,0],"mask":[1,0]}\n' * 3 + b"\n" * MIB)
    )
    options = {"inspect": ("-c", "x", "--json"), "verify": ("-c", "x", "--no-model"), "unpad": ()}[command_]

    ran = padmask(command_, "in.jsonl.gz", *options)

    assert ran.returncode == 0
    if command_ == "inspect":
        assert json.loads(ran.stdout)["rows"] == 3
    elif command_ == "verify":
        assert "3 rows" in ran.stdout
    else:
        assert ran.stdout == '{"x":[1]}\n' * 3


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_limit_ignores_blank_lines(padmask, limit):
    rows = [b'{"x":[%d]}' % i for i in range(4)]
    data = b"\n" * 70_000 + b"\n \n\t\r\n".join(rows) + b"\n" * 70_000

    ran = padmask("pad", "-", "--limit", str(limit), stdin=data)

    assert [json.loads(line)["x"] for line in ran.stdout.splitlines()] == [[i] for i in range(limit)]


def test_vertical_tab_is_not_blank(padmask):
    # These bytes are whitespace in Python but not in JSON.
    ran = padmask("pad", "-", stdin=b"\n\v\n" + ROW)

    assert ran.returncode != 0
    assert "line 2" in ran.stderr


@pytest.mark.parametrize("rows", [3, 60_000])
def test_percentile_of_a_pipe(padmask, rows):
    ran = padmask("verify", "-", "--no-model", "--maxlen", "p95", stdin=ROW * rows)

    assert ran.returncode == 0
    assert f"{rows:,} rows" in ran.stdout
