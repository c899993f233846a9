"""What the benchmark shows: the machine, tables, and RESULTS.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "padmask",
    "numpy",
    "pyarrow",
    "msgspec",
    "orjson",
    "duckdb",
    "polars",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "torch",
    "datasets",
    "transformers",
    "tokenizers",
)

INTRODUCTION = """\
# What padmask costs, beside what people use instead

Made by the commands below; every section says when and with what. Read the ratios rather than the seconds:
the machines are shared.

    python tests/bench/bench.py --rows 10000 100000 1000000 --write
    python tests/bench/bench.py --real --rows 100000 --write
    python tests/bench/bench.py --scale --huge --write

- Generated data: log-normal lengths with mean 70, from 1 to 1,024 tokens; ids of a vocabulary of 30,522, used
  as words are (Zipf); fields `id`, `text` (four characters a token, a word in fifty not ASCII) and
  `input_ids`; fixed seed. Parquet: zstd, 16,384 rows a row group.
- Real data: the 2,314 entries of the Jargon File (public domain), 2 to 2,603 tokens with mean 135; fields
  `id`, `headword`, `input_ids` and `labels`. The entries are repeated, in order, up to the rows asked for;
  only `id` counts on. Parquet gets smaller by that than as many different rows would.
- The job: ids and bool mask, maxlen 128, post and post, all other fields kept (`labels` too, as they are),
  rows in order. Every peer's output is compared with padmask's by value before anything is timed.
- Files are read and written by real processes, start-up included, with warm page caches. padmask also
  makes sure that its output has reached the disk (fsync); the peers do not. DuckDB, Polars and pyarrow
  write Parquet as padmask does: zstd at level 1, 32,768 rows a row group. Hugging Face datasets cannot be
  told to: it writes snappy, which is quicker and larger.
- Hugging Face datasets: `from_json` or `from_parquet`, `map(batched=True)` with a tokenizer's `pad`,
  `to_json` or `to_parquet`; a process a core, a fresh cache a run.
- "pyarrow, read and write alone" pads nothing: it reads the input, then writes the padded result, which
  lies in memory already. "`cat` of the output's bytes" copies padmask's output to another file.
- In memory: rows are int32. "Arrow rows" are one list array, "NumPy rows" a list of arrays. torch has the
  rows as tensors from the start, TensorFlow as one ragged tensor; both make a mask. Keras makes none.
- `padmask verify` proves all its reference models on generated rows, with its defaults.
- Pairs run by turns, A B A B. Seconds are medians; a ratio is the median of each turn's ratio,
  padmask : other. CPU is user and system time of all threads and child processes. Peak is the largest
  resident set of one process, padmask / other; it never reads less than the measuring process's own, about
  20 MiB. Output is the size of the two files.
- Targets are what padmask set out to reach, held against the ratio before it is rounded; "-": none was set.
- In the cost of a token, the time of ten rows is taken off: that is start-up. Its peak ratio is beside the
  line above, a tenth of the tokens.
"""


def machine() -> str:
    """Say what the numbers were made on: nothing that names the machine."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{date.today()}; {cores} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, load "
        f"{os.getloadavg()[0]:.1f} before the start; Python {platform.python_version()}, "
        + ", ".join(filter(None, map(_versioned, PACKAGES)))
    )


def _versioned(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def mebibytes(sizes: Sequence[int]) -> str:
    """Return sizes side by side."""
    return " / ".join(f"{size / 2**20:,.0f}" for size in sizes) or "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    left = [
        any(cell[:1].isalpha() or cell[:1] == "`" for cell in column) for column in zip(*rows, strict=True)
    ]
    lines = [
        "| "
        + " | ".join(
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(row, widths, left, strict=True)
        )
        + " |"
        for row in (head, *rows)
    ]
    rule = "|".join(
        "-" * (width + 2) if text else "-" * (width + 1) + ":"
        for width, text in zip(widths, left, strict=True)
    )
    return [lines[0], f"|{rule}|", *lines[1:]]


def write_section(path: Path, title: str, made_on: str, lines: Sequence[str]) -> None:
    """Put a section into the file, in the place of the one with the same title."""
    found = path.read_text().split("\n## ")[1:] if path.exists() else []
    sections = dict(section.split("\n", 1) for section in found)
    sections[title] = "\n".join(["", made_on, "", *lines, ""])
    bodies = (f"\n## {name}\n{body}" for name, body in sections.items())
    path.write_text(INTRODUCTION + "".join(body.rstrip("\n") + "\n" for body in bodies))
