"""What padding will take, and whether there is room: asked before the first row is padded.

One long row among many short ones makes a rectangle of padding that fills disks. Knows
lengths and plans; that a row is to blame it is told.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np

from padmask.errors import OutputError, SpecError, size
from padmask.machine import free_disk, free_memory
from padmask.plan import LengthStats, Plan, make_plan
from padmask.spec import MaskSpec, PadSpec
from padmask.table import PadColumn

# Of the disk's free space: a full disk stops others too.
DISK_SHARE = 0.9
# Bytes that an id takes in text, with its comma; ids of vocabularies have about five digits.
ID_TEXT_BYTES = 6
STRING_BYTES = 8
WAYS_OUT = ("p99.9", "p99", "p95")


@dataclass(frozen=True)
class Widths:
    """Bytes that a place takes in the output, before compression.

    Args:
        real: where a token stands.
        padding: where padding stands.
    """

    real: float
    padding: float


def widths_of(columns: Sequence[PadColumn], mask: MaskSpec, format_: str) -> Widths:
    """Return what a place of all padded columns and the mask takes together.

    >>> widths_of([PadColumn("ids", "int", "int32", 0)], MaskSpec(dtype="int8"), "parquet")
    Widths(real=5.0, padding=5.0)
    """
    real = padding = 0.0
    text = format_ == "jsonl"
    for column in columns:
        numbers = column.inner if column.inner is not None else 1
        if column.dtype == "string":
            real, padding = real + STRING_BYTES, padding + len(str(column.value)) + 3
        elif text:
            real, padding = real + ID_TEXT_BYTES * numbers, padding + (len(str(column.value)) + 1) * numbers
        else:
            width = np.dtype(column.dtype).itemsize
            real, padding = real + width * numbers, padding + width * numbers
    if mask.column is not None:
        in_text = (5, 6) if mask.dtype == "bool" else (2, 2)
        in_bits = 1 if format_ == "npz" else 1 / 8
        in_bytes = in_bits if mask.dtype == "bool" else np.dtype(mask.dtype).itemsize
        real += in_text[0] if text else in_bytes
        padding += in_text[1] if text else in_bytes
    return Widths(real, padding)


def predicted(lengths: LengthStats, plan: Plan, widths: Widths) -> int:
    """Return the bytes of the padded columns and masks of all rows, before compression.

    >>> predicted(LengthStats.of([2, 1]), Plan(3, "given", 3), Widths(4.0, 1.0))
    15
    """
    kept = sum(min(length, plan.maxlen) * rows for length, rows in lengths.counts.items())
    return int(kept * widths.real + (lengths.rows * plan.maxlen - kept) * widths.padding)


def room_for(goal: str, max_bytes: int | None) -> int | None:
    """Return the bytes that an output may take; None where nothing bounds it, as in a pipe or a storage."""
    if max_bytes is not None:
        return max_bytes
    if "://" in goal or goal == "-" or (os.path.exists(goal) and not stat.S_ISREG(os.stat(goal).st_mode)):
        return None
    free = free_disk(goal)
    return None if free is None else int(DISK_SHARE * free)


def refuse_large_output(
    lengths: LengthStats, plan: Plan, spec: PadSpec, widths: Widths, room: int | None, longest: str
) -> None:
    """Refuse a plan whose output would take more than there is room for.

    Args:
        lengths: of all rows.
        plan: that was made.
        spec: what was asked for.
        widths: of a place.
        room: bytes; None for any number.
        longest: the place of the longest row, for people.

    Raises:
        SpecError: it would; with the row to blame, and ways out that are small enough.
    """
    total = predicted(lengths, plan, widths)
    if room is None or total <= room:
        return
    blamed = f"{longest}: {lengths.longest:,} tokens" if plan.found == "longest" else f"maxlen {plan.found}"
    raise SpecError(
        f"{blamed} would give all {lengths.rows:,} rows {plan.maxlen:,} places: {size(total)} before "
        f"compression, where {size(room)} may be written. {_ways_out(lengths, spec, widths, room)}",
        options=["maxlen", "pad_to_multiple_of"],
    )


def _ways_out(lengths: LengthStats, spec: PadSpec, widths: Widths, room: int) -> str:
    for name in WAYS_OUT:
        plan = make_plan(replace(spec, maxlen=name), lengths)
        total = predicted(lengths, plan, widths)
        if total <= room:
            return (
                f"Cut longer rows with --maxlen {name} ({plan.maxlen:,} places, {size(total)}), "
                "or allow more with --max-bytes."
            )
    return "Choose a smaller --maxlen, or allow more with --max-bytes."


def refuse_large_pieces(plan: Plan, widths: Widths, places: int) -> None:
    """Refuse a plan whose rows cannot be held in memory, as many places as are under way at once.

    Raises:
        SpecError: they cannot.
    """
    free = free_memory()
    needed = int(places * max(widths.real, widths.padding))
    if free is not None and needed > free:
        raise SpecError(
            f"maxlen {plan.maxlen:,} needs {size(needed)} of memory for the rows that are worked on at once, "
            f"and {size(free)} are free. Choose a smaller --maxlen.",
            options=["maxlen", "pad_to_multiple_of", "batch_rows", "threads"],
        )


class Bounded:
    """A stream to write to that refuses more than there is room for.

    Args:
        stream: to write to.
        room: bytes; None for any number.
        goal: name of the output, for people.
        less: options that make the output smaller, for people.
    """

    def __init__(self, stream: BinaryIO, room: int | None, goal: str, less: str) -> None:
        self._stream, self._room, self._goal, self._less = stream, room, goal, less
        self._written = 0

    def write(self, data: Any) -> int:
        self._written += memoryview(data).nbytes
        if self._room is not None and self._written > self._room:
            name = "stdout" if self._goal == "-" else repr(self._goal)
            raise OutputError(
                f"The output {name} would take more than the {size(self._room)} that may be written. "
                f"Write less, as with a smaller {self._less}, or allow more with --max-bytes."
            )
        return self._stream.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
