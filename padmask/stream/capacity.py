"""Predict how large the output will be, and refuse what does not fit on disk or in memory.

One long row among many short ones makes a rectangle that fills a disk. The prediction needs lengths and plans
only; its error names the longest row.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from padmask.core.columns import PadColumn
from padmask.core.plan import LengthStats, Plan, make_plan
from padmask.errors import SpecError, size
from padmask.spec.formats import FormatTraits
from padmask.spec.pad import MaskSpec, PadSpec
from padmask.storage.system import free_disk, free_memory

# Of the disk's free space: a full disk stops others too.
DISK_SHARE = 0.9

# Bytes that an id takes in text, with its comma; ids of vocabularies have about five digits.
ID_TEXT_BYTES = 6

STRING_BYTES = 8

WAYS_OUT = ("p99.9", "p99", "p95")


@dataclass(frozen=True)
class PlaceBytes:
    """Bytes that a place takes in the output, before compression.

    Args:
        real: where a token stands.
        padding: where padding stands.
    """

    real: float
    padding: float


def bytes_per_place(columns: Sequence[PadColumn], mask: MaskSpec, format_: FormatTraits) -> PlaceBytes:
    """Return what a place of all padded columns and the mask takes together.

    >>> from padmask.spec.formats import FORMATS
    >>> bytes_per_place([PadColumn("ids", "int", "int32", 0)], MaskSpec(dtype="int8"), FORMATS["parquet"])
    PlaceBytes(real=5.0, padding=5.0)
    """
    real = padding = 0.0
    for column in columns:
        numbers = column.inner if column.inner is not None else 1
        if column.dtype == "string":
            real, padding = real + STRING_BYTES, padding + len(str(column.value)) + 3
        elif format_.is_text:
            real, padding = real + ID_TEXT_BYTES * numbers, padding + (len(str(column.value)) + 1) * numbers
        else:
            width = np.dtype(column.dtype).itemsize
            real, padding = real + width * numbers, padding + width * numbers
    if mask.column is not None:
        in_text = (5, 6) if mask.dtype == "bool" else (2, 2)
        in_bytes = format_.bool_bytes if mask.dtype == "bool" else np.dtype(mask.dtype).itemsize
        real += in_text[0] if format_.is_text else in_bytes
        padding += in_text[1] if format_.is_text else in_bytes
    return PlaceBytes(real, padding)


def predict_bytes(lengths: LengthStats, plan: Plan, widths: PlaceBytes) -> int:
    """Return the bytes of the padded columns and masks of all rows, before compression.

    >>> predict_bytes(LengthStats.of([2, 1]), Plan(3, "given", 3), PlaceBytes(4.0, 1.0))
    15
    """
    kept = sum(min(length, plan.maxlen) * rows for length, rows in lengths.counts.items())
    return int(kept * widths.real + (lengths.rows * plan.maxlen - kept) * widths.padding)


def available_bytes(goal: str, max_bytes: int | None) -> int | None:
    """Return the bytes that an output may take; None where nothing bounds it, as in a pipe or a storage."""
    if max_bytes is not None:
        return max_bytes
    if "://" in goal or goal == "-" or (os.path.exists(goal) and not stat.S_ISREG(os.stat(goal).st_mode)):
        return None
    free = free_disk(goal)
    return None if free is None else int(DISK_SHARE * free)


def refuse_large_output(
    lengths: LengthStats, plan: Plan, spec: PadSpec, widths: PlaceBytes, room: int | None, longest: str
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
    total = predict_bytes(lengths, plan, widths)
    if room is None or total <= room:
        return
    blamed = f"{longest}: {lengths.longest:,} tokens" if plan.found == "longest" else f"maxlen {plan.found}"
    raise SpecError(
        f"{blamed} would give all {lengths.rows:,} rows {plan.maxlen:,} places: {size(total)} before "
        f"compression, where {size(room)} may be written. {_ways_out(lengths, spec, widths, room)}",
        options=["maxlen", "pad_to_multiple_of"],
    )


def _ways_out(lengths: LengthStats, spec: PadSpec, widths: PlaceBytes, room: int) -> str:
    for name in WAYS_OUT:
        plan = make_plan(replace(spec, maxlen=name), lengths)
        total = predict_bytes(lengths, plan, widths)
        if total <= room:
            return (
                f"Cut longer rows with --maxlen {name} ({plan.maxlen:,} places, {size(total)}), "
                "or allow more with --max-bytes."
            )
    return "Choose a smaller --maxlen, or allow more with --max-bytes."


def refuse_large_pieces(plan: Plan, widths: PlaceBytes, places: int) -> None:
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
