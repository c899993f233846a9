"""Targets for the ratio of padmask to another tool. The keys are the names in a line of the table."""

from __future__ import annotations

from dataclasses import dataclass

NAMES = {"jsonl": "JSON Lines", "parquet": "Parquet", "arrow": "Arrow", "npz": "npz"}


def job_of(source: str, output: str) -> str:
    """Return the name of a job, from the suffixes of its formats."""
    return f"{NAMES[source]} -> {NAMES[output]}"


JSON_LINES = job_of("jsonl", "jsonl")
PARQUET = job_of("parquet", "parquet")
TO_PARQUET, TO_JSON = job_of("jsonl", "parquet"), job_of("parquet", "jsonl")
INSPECT, VERIFY = "`padmask inspect`, Parquet", "`padmask verify --no-model`, Parquet"
# Largest acceptable ratio of the peak memory to the peak memory for a tenth of the tokens.
MEMORY_GROWTH = 1.1


@dataclass(frozen=True)
class Target:
    """The largest acceptable ratios. A field is None if there is no target."""

    wall: float | None = None
    cpu: float | None = None


# The target is 0.7 times the CPU time of the best peer.
_ANY_PEER = 0.7
TARGETS = {
    (JSON_LINES, "json script"): Target(cpu=_ANY_PEER),
    (JSON_LINES, "orjson script"): Target(wall=0.5, cpu=_ANY_PEER),
    (JSON_LINES, "DuckDB"): Target(wall=0.5, cpu=_ANY_PEER),
    (JSON_LINES, "Polars"): Target(cpu=_ANY_PEER),
    (JSON_LINES, "Hugging Face datasets"): Target(cpu=_ANY_PEER),
    (PARQUET, "DuckDB"): Target(wall=0.6),
    (PARQUET, "Polars"): Target(wall=0.9),
    (TO_PARQUET, "DuckDB"): Target(wall=0.85),
    (TO_PARQUET, "Polars"): Target(wall=1.1),
    (TO_PARQUET, "orjson and pyarrow script"): Target(wall=0.3),
    (TO_JSON, "DuckDB"): Target(wall=0.5),
    (INSPECT, "DuckDB, quantiles and histogram"): Target(wall=1.5),
    **{(f"{job}, --workers 2", "--workers 1"): Target(wall=0.6) for job in (JSON_LINES, TO_PARQUET)},
    (PARQUET, "pyarrow, read and write alone"): Target(wall=0.8),
    ("`pad_sequences`, Python lists", "Keras"): Target(wall=0.65),
    ("`pad_sequences`, NumPy rows", "Keras"): Target(wall=0.3),
    ("`pad` with its mask, Arrow rows", "Keras, NumPy rows, no mask"): Target(wall=0.12),
    ("`pad` with its mask, Arrow rows", "a copy of the result"): Target(wall=2.0),
    # The loops check nothing.
    ("`Collator`, lists, mean 70", "NumPy loop"): Target(wall=1.2),
    ("`Collator`, lists, mean 700", "NumPy loop"): Target(wall=1.2),
    ("`Collator`, arrays, mean 70", "NumPy loop"): Target(wall=1.2),
    ("`Collator`, arrays, mean 700", "NumPy loop"): Target(wall=1.2),
    **{
        (f"`Collator`, {kind} of ids, mean {mean}", "`DataCollatorWithPadding`"): Target(wall=0.02)
        for kind in ("lists", "arrays")
        for mean in (70, 700)
    },
    ("`pad`, lists, mean 70", "NumPy loop"): Target(wall=1.2),
    ("`pad`, lists, mean 700", "NumPy loop"): Target(wall=1.2),
    ("`pad`, arrays, mean 70", "NumPy loop"): Target(wall=1.0),
    ("`pad`, arrays, mean 700", "NumPy loop"): Target(wall=1.0),
    ("`padmask --version`", "`python -c 'import click'`"): Target(wall=1.5),
    ("`padmask pad` on 10 rows", "`python -c 'import numpy, pyarrow'`"): Target(wall=1.5),
    ("`padmask verify` on 2,000 rows", "`python -c 'import tensorflow'`"): Target(wall=2.5),
}

TRL, GRAIN, READ_AND_WRITE = (
    "TRL, 2 processes, snappy",
    "grain, best fit, 1,024 bins",
    "pyarrow, read and write alone",
)
# By the mean number of tokens in a row, and the tool.
PACK_TARGETS = {
    (70, TRL): Target(wall=0.5),
    (700, TRL): Target(wall=1.0),
    (70, GRAIN): Target(wall=0.05),
    (700, GRAIN): Target(wall=0.05),
    (70, READ_AND_WRITE): Target(cpu=2.5),
    (700, READ_AND_WRITE): Target(cpu=2.5),
}


@dataclass(frozen=True)
class PlanTarget:
    """Targets for output rows that are planned from lengths. A field is None if there is no target.

    Args:
        full: minimum share of positions with tokens, in percent.
        cpu: maximum CPU time for 10^6 lengths, in seconds.
        over: maximum number of rows above the lower bound, in percent of the bound.
    """

    full: float | None = None
    cpu: float | None = None
    over: float | None = None


# Commands of padmask.
PAD, PACK = "pad", "pack"
BUCKETS, BATCHES = "pad --buckets 8", "pad --batch-tokens 8192"
CAPPED, IN_ORDER = "pack --max-segments 32", "pack --algorithm in-order"
# By the mean number of tokens in a row, and the command.
PLAN_TARGETS = {
    (70, BATCHES): PlanTarget(full=97.3),
    (700, BATCHES): PlanTarget(full=99.75),
    (70, PACK): PlanTarget(full=99.99, cpu=0.2, over=0.02),
    (700, PACK): PlanTarget(full=99.97, cpu=0.2, over=0.02),
    (70, CAPPED): PlanTarget(full=99.9),
}
# Maximum peak memory of `padmask pack`, in MiB, for rows up to this length.
PACK_MEMORY, PACK_MEMORY_MAXLEN = 600, 8_192


def verdict(value: float, limit: float | None) -> str:
    """Return text that says whether an unrounded value is at most its target."""
    if limit is None:
        return "-"
    return f"{'met' if value <= limit else 'missed'}, <= {limit}"


def verdict_at_least(value: float, limit: float | None) -> str:
    """Return text that says whether an unrounded value is at least its target."""
    if limit is None:
        return "-"
    return f"{'met' if value >= limit else 'missed'}, >= {limit}"
