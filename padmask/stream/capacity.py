"""Predict the size of the output, and raise an error if the output does not fit on disk or in memory.

One long row among many short rows can cause an output that fills the disk. The predicted size depends only
on the row lengths and on maxlen.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from padmask.core.buckets import output_size, with_edges
from padmask.core.columns import PadColumn
from padmask.core.length_stats import LengthStats
from padmask.core.made_columns import made_columns
from padmask.core.memory_limit import refuse_large_rows
from padmask.core.plan import Plan, make_plan
from padmask.errors import DataError, Place, SpecError, count, size
from padmask.spec.formats import FormatTraits
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import FLOAT_DTYPES, PadSpec
from padmask.storage.system import free_disk
from padmask.stream.survey import Survey

# Share of the free disk space that an output may use. A full disk would also stop other programs.
DISK_SHARE = 0.9

# Size of an id and a comma as text, in bytes. The ids of usual vocabularies have about five digits.
ID_TEXT_BYTES = 6

# Size of a string token, in bytes.
STRING_BYTES = 8

# Values of --maxlen that an error suggests.
SUGGESTED_MAXLENS = ("p99.9", "p99", "p95")


@dataclass(frozen=True)
class PositionBytes:
    """The size of one position of the output, in bytes before compression.

    Args:
        real: size of a position with a token.
        padding: size of a padding position.
    """

    real: float
    padding: float


def bytes_per_position(columns: Sequence[PadColumn], mask: MaskSpec, format_: FormatTraits) -> PositionBytes:
    """Return the size of one position, summed over all padded columns and the mask.

    >>> from padmask.spec.formats import FORMATS
    >>> bytes_per_position([PadColumn("ids", "int", "int32", 0)], MaskSpec(dtype="int8"), FORMATS["parquet"])
    PositionBytes(real=5.0, padding=5.0)
    """
    real = padding = 0.0
    for column in [*columns, *made_columns(columns, mask, 1)]:
        numbers = column.inner if column.inner is not None else 1
        if column.dtype == "string":
            real, padding = real + STRING_BYTES, padding + len(str(column.value)) + 3
        elif format_.is_text:
            real, padding = real + ID_TEXT_BYTES * numbers, padding + (len(str(column.value)) + 1) * numbers
        else:
            width = np.dtype(column.dtype).itemsize
            real, padding = real + width * numbers, padding + width * numbers
    if mask.column is not None:
        dtype = mask.written_dtype
        in_bytes = format_.bool_bytes if dtype == "bool" else np.dtype(dtype).itemsize
        at_real, at_padding = _text_sizes(mask, dtype) if format_.is_text else (in_bytes, in_bytes)
        real, padding = real + at_real, padding + at_padding
    return PositionBytes(real, padding)


def _text_sizes(mask: MaskSpec, dtype: str) -> tuple[int, int]:
    """Return the number of bytes of a mask value, as JSON text with a comma: at real tokens, at padding."""
    if mask.kind == "additive":
        return len("0.0,"), len(f"{float(np.finfo(dtype).min)},")
    in_text = {"bool": (len("true,"), len("false,")), **dict.fromkeys(FLOAT_DTYPES, (4, 4))}
    true, false = in_text.get(dtype, (2, 2))
    return (true, false) if mask.polarity == "real" else (false, true)


def predict_bytes(lengths: LengthStats, plan: Plan, spec: PadSpec, widths: PositionBytes) -> int:
    """Return the size in bytes of the padded columns and masks of all rows, before compression.

    >>> predict_bytes(LengthStats.of([2, 1]), Plan(3, "given", 3), PadSpec(), PositionBytes(4.0, 1.0))
    15
    """
    size = output_size(lengths, plan, spec)
    # Batches have so little padding that the tokens determine the size.
    padding = 0 if spec.batches is not None else size.places - size.tokens
    return int(size.tokens * widths.real + padding * widths.padding)


def available_bytes(output: str, max_bytes: int | None) -> int | None:
    """Return the size limit of an output in bytes: `max_bytes`, else a share of the free disk space.

    If `max_bytes` is None, the result is None for a pipe, for remote storage, and if the free disk space is
    unknown.
    """
    if max_bytes is not None:
        return max_bytes
    if (
        "://" in output
        or output == "-"
        or (os.path.exists(output) and not (os.path.isfile(output) or os.path.isdir(output)))
    ):
        return None
    free = free_disk(output)
    return None if free is None else int(DISK_SHARE * free)


def refuse_large_output(
    lengths: LengthStats, plan: Plan, spec: PadSpec, widths: PositionBytes, limit: int | None, longest: str
) -> None:
    """Raise an error if the output would exceed a size limit.

    Args:
        lengths: lengths of all rows.
        plan: length of the output rows.
        spec: how to pad.
        widths: bytes per position of the output, summed over all columns.
        limit: size limit in bytes; None if there is no limit.
        longest: location of the longest row (file, and line or row), for messages.

    Raises:
        SpecError: the output would exceed the limit. The message suggests a smaller maxlen.
    """
    total = predict_bytes(lengths, plan, spec, widths)
    if limit is None or total <= limit:
        return
    cause = f"{longest}: the row has {lengths.longest:,} tokens" if plan.found == "longest" else ""
    to = f"{plan.maxlen:,} positions"
    if len(plan.edges) > 1:
        to = f"between {plan.edges[0]:,} and {to} ({len(plan.edges)} buckets)"
    raise SpecError(
        f"{cause or f'maxlen is {plan.maxlen:,} ({plan.found})'}. Padding all {lengths.rows:,} rows to "
        f"{to} needs {size(total)} before compression, but the limit is {size(limit)}. "
        f"{_suggestion(lengths, spec, widths, limit)}",
        options=["buckets"] if isinstance(spec.buckets, tuple) else ["maxlen", "pad_to_multiple_of"],
    )


def _suggestion(lengths: LengthStats, spec: PadSpec, widths: PositionBytes, limit: int) -> str:
    """Return a sentence that suggests how to make the output smaller."""
    if isinstance(spec.buckets, tuple):
        return "Choose a smaller last edge for --buckets, or raise the limit with --max-bytes."
    for name in SUGGESTED_MAXLENS:
        try:
            plan = with_edges(make_plan(replace(spec, maxlen=name), lengths), spec, lengths)
        except SpecError:
            # The kept ends or the overlap do not fit in this length.
            continue
        total = predict_bytes(lengths, plan, spec, widths)
        if total <= limit:
            return (
                f"Truncate longer rows with --maxlen {name} ({plan.maxlen:,} positions, {size(total)}), "
                "or raise the limit with --max-bytes."
            )
    return "Choose a smaller --maxlen, or raise the limit with --max-bytes."


def refuse_zero_maxlen(plan: Plan, survey: Survey | None, source: str) -> None:
    """Raise an error if the maxlen found from the data is 0, because the output would contain no tokens.

    Args:
        plan: maxlen of the output rows, and how it was determined.
        survey: lengths of the rows that can be padded, and the reasons why other rows are rejected; None if
            no pass over the rows was needed.
        source: name of the input, for the message.

    Raises:
        DataError: maxlen is 0, but the user did not request 0. For example, all rows are empty or rejected.
    """
    if plan.maxlen or plan.found == "given" or survey is None:
        return
    lengths, rejected = survey.lengths, survey.rejected
    reason = "the input has no rows to pad"
    if rejected.main_reason and not lengths.rows:
        raise DataError(
            f"no rows to pad, {count(rejected.rows_rejected, 'row')} rejected: {rejected.main_reason}",
            place=Place(source),
            remedy="Fix the rows.",
            options=["maxlen"],
        )
    if lengths.rows:
        reason = "all rows are empty"
        if plan.found != "longest":
            reason = f"{plan.found} of the row lengths is 0, so every token would be lost"
    raise DataError(
        f"the maxlen would be 0: {reason}",
        place=Place(source),
        remedy="Check the input, or set a length, such as --maxlen 128.",
        options=["maxlen"],
    )


def refuse_more_than_memory(plan: Plan, widths: PositionBytes, places: int) -> None:
    """Raise an error if the rows that are processed at the same time do not fit in memory.

    Args:
        plan: length of the output rows.
        widths: bytes per position of the output, summed over all columns.
        places: number of positions that are in memory at the same time.

    Raises:
        SpecError: the rows do not fit in the free memory.
    """
    needed = int(places * max(widths.real, widths.padding))
    refuse_large_rows(
        plan.maxlen,
        needed,
        "the rows that are processed at the same time",
        ["maxlen", "pad_to_multiple_of", "batch_rows", "threads"],
    )
