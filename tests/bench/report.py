"""The output of the benchmark: the machine, tables, and RESULTS.md."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"
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
    "trl",
    "grain",
)

INTRODUCTION = """\
# Benchmarks: padmask and other tools

The commands below produce the results. Each section starts with its date, machine and versions. The
machines are shared, so ratios are more reliable than seconds.

    python tests/bench/bench.py --write
    python tests/bench/bench.py --rows 10000 1000000 --write
    python tests/bench/bench.py --real --rows 100000 --write
    python tests/bench/bench.py --rows 300000 --only jsonl parquet formats found compressed disk
    python tests/bench/bench.py --only reports workers memory small
    python tests/bench/bench.py --scale --huge --write
    python tests/bench/packing.py --only peers plans memory --write

- Generated data: log-normal lengths with mean 70, from 1 to 1,024 tokens; ids of a vocabulary of 30,522
  with a Zipf distribution; fields `id`, `text` (four characters per token; one word in fifty is not
  ASCII) and `input_ids`; fixed seed. Parquet: zstd, 16,384 rows per row group.
- Real data: the 2,314 entries of the Jargon File (public domain), 2 to 2,603 tokens with mean 135;
  fields `id`, `headword`, `input_ids` and `labels`. The entries repeat, in order, until there are enough
  rows; only `id` keeps counting. The repetition makes Parquet files smaller than distinct rows would.
- The job: ids and a bool mask, maxlen 128, padding post, truncating post, all other fields unchanged
  (also `labels`), rows in order. Before the measurement, the output of each tool is compared with the
  output of padmask by value.
- Real processes read and write files, start-up included, with a warm page cache. padmask waits until its
  output is on disk (fsync); the other tools do not. DuckDB, Polars and pyarrow write Parquet with the
  settings of padmask: zstd at level 1, 32,768 rows per row group. Hugging Face datasets has no such
  settings and writes snappy, which is faster and larger.
- "padmask without fsync" is padmask itself without this wait.
- "orjson and pyarrow script" pads row by row in Python: `orjson.loads` or `to_pylist`, `orjson.dumps`,
  `Table.from_pylist` or `np.array`. It checks nothing. DuckDB has no reader and no writer for Arrow files.
- "p95" and "longest": each tool finds the length in a first pass, by the same rank.
- DuckDB computes the number, the sum, the histogram and the quantiles of the lengths. `inspect` also checks
  the ids with the rules, and compares plans. `verify` checks all ids and masks with the rules.
- Hugging Face datasets: `from_json` or `from_parquet`, `map(batched=True)` with the `pad` of a
  tokenizer, `to_json` or `to_parquet`; one process per core, and a new cache for each run.
- "pyarrow, read and write alone" does not pad: it reads the input, and writes the padded result, which
  is already in memory. "`cat` of the output's bytes" copies the output of padmask to another file.
- In memory, rows are int32. "Arrow rows" are one list array, and "NumPy rows" are a list of arrays.
  torch starts with the rows as tensors, and TensorFlow with one ragged tensor. Both compute a mask.
  Keras computes no mask.
- Batches of 32 rows: lists or int64 arrays, padded to int32, with a mask. Tokens are 28% of the positions
  with mean 70, and 13% with mean 700. The loops check nothing. padmask checks that all tokens fit int32, and
  joins the rows for this: with mean 700, a fifth of its time. `DataCollatorWithPadding` is compared with
  `preset="hf"`. With mean 70, 0.02 of its time is about 14 microseconds. NumPy needs as much to join the
  rows and to fill the ids and the mask, and reading the tokens of lists takes twice as long.
- `padmask verify` verifies all reference models on generated rows, with its defaults.
- padmask and the other tool run alternately, A B A B. Seconds are medians. A ratio is the median of the
  ratios padmask : other of all turns. CPU is the user and system time of all threads and child
  processes. Peak is the largest resident set of one process, padmask / other. Its minimum is the size of
  the measuring process, about 20 MiB. Output is the size of the two files.
- Targets are the ratios that the project aims for, compared before rounding. "-" means no target.
- The cost per token excludes the time for ten rows, which is start-up. The peak ratio compares a line
  with the line above it, which has a tenth of the tokens.
- Packing: Parquet files with `input_ids` only, and log-normal lengths. Rows with mean 70 are packed to 1,024
  positions, and rows with mean 700 to 2,048. No row is longer. padmask writes the columns of the other tool
  (`--dialect`, `--no-source`), and the check compares all sequences of both outputs. padmask and pyarrow
  write zstd at level 1. TRL's packer runs on two processes with `datasets.map`, and `to_parquet` always
  writes snappy. grain packs rows in memory, and pyarrow writes them with the settings of padmask. grain has
  one turn, because a turn takes a minute. Other processes used both cores, so CPU ratios are more reliable
  than wall ratios there.
- "without start-up" is the ratio of the CPU times minus those for ten rows. Importing TRL takes seconds.
- "full" is the share of positions with tokens, and "above the bound" compares the number of packed rows with
  a lower bound for all algorithms (Martello and Toth's L2), padmask / other.
- "Plans from lengths" measures the planners alone, without tokens, with maxlen 1,024 for lengths with mean
  70, and 2,048 for mean 700. The CPU time is the minimum of all turns.
"""


def machine() -> str:
    """Describe the machine and the versions, without identifying the machine."""
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
    """Return sizes in MiB as text, separated by slashes."""
    return " / ".join(f"{size / 2**20:,.0f}" for size in sizes) or "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table with right-aligned numbers."""
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
    """Write a section to the file, and replace the section with the same title."""
    found = path.read_text().split("\n## ")[1:] if path.exists() else []
    sections = dict(section.split("\n", 1) for section in found)
    sections[title] = "\n".join(["", made_on, "", *lines, ""])
    bodies = (f"\n## {name}\n{body}" for name, body in sections.items())
    path.write_text(INTRODUCTION + "".join(body.rstrip("\n") + "\n" for body in bodies))


def section(title: str, columns: Sequence[str], lines: Iterator[list[str]], write: bool) -> None:
    """Print each line of a table when it is complete, because the table takes minutes, and save the table."""
    here = machine()
    done = []
    for cells in lines:
        print(" | ".join(cells), file=sys.stderr)
        done.append(cells)
    if not done:
        return
    shown = table(columns, done)
    print("\n".join([f"## {title}", "", here, "", *shown, ""]))
    if write:
        write_section(RESULTS, title, here, shown)
