"""`inspect_file`: masks, lengths, plans and health of a dataset, as data.

One pass over raw or padded input; the files of a dataset are read in parallel.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.columns import PadColumn
from padmask.core.kernel import pad_batch
from padmask.core.plan import LengthStats, make_plan, make_segments
from padmask.core.ragged import Ragged
from padmask.errors import SpecError, WorkerDiedError, share
from padmask.formats.dataset import Dataset
from padmask.inspect.costs import Cost, candidate_costs
from padmask.shards.pool import WorkerPool
from padmask.spec.checks import at_least, choice, instance, optional
from padmask.spec.columns import Columns, as_list
from padmask.spec.files import FileOptions
from padmask.spec.formats import FormatTraits, input_formats, names_of
from padmask.spec.pad import MaskSpec, PadSpec, RowPolicy, Side
from padmask.spec.show import ShowSpec
from padmask.storage.source import Source, find_sources
from padmask.storage.urls import checked_paths
from padmask.stream.job import Job, PadRequest, make_job
from padmask.stream.progress import ProgressCallback
from padmask.stream.run import open_reading
from padmask.verify.data.reading import (
    PaddingInfo,
    Row,
    RowGetter,
    audit_column,
    audit_padded_rows,
    audit_raw_rows,
    find_padding_info,
)
from padmask.verify.data.rules import Audit, Finding

LENGTH_PERCENTILES = ("90", "95", "99")

# Share of padding below which nobody needs to think about it.
LITTLE_PADDING = 0.15

# How much larger the rectangle of the longest row must be for anybody to give tokens up.
WORTH_CUTTING = 1.1


@dataclass(frozen=True)
class ShownRow:
    """One row as it is, or will be, padded.

    Args:
        row: its number, from 0.
        length: its real tokens.
        values: shape (maxlen, ...).
        mask: bool, shape (maxlen,).
    """

    row: int
    length: int
    values: npt.NDArray[Any]
    mask: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Inspection:
    """What was seen.

    Args:
        name: of the input.
        column: whose tokens are shown.
        padded: whether the input was padded already.
        stats: rows by length.
        shown: the rows that were asked for.
        plans: the costs of candidate plans.
        health: what the audit found.
        advice: what the numbers speak for, in a sentence.
        notes: sentences about what else the user should know.
    """

    name: str
    column: str
    padded: bool
    stats: LengthStats
    shown: Sequence[ShownRow]
    plans: Sequence[Cost]
    health: Sequence[Finding]
    advice: str = field(default="")
    notes: Sequence[str] = ()

    def lengths(self) -> dict[str, int | float]:
        """Return the lengths' statistics, in tokens."""
        stats = self.stats
        percentiles = {f"p{percent}": stats.percentile(percent) for percent in LENGTH_PERCENTILES}
        return {
            "min": min(stats.counts, default=0),
            "median": stats.percentile("50"),
            "mean": stats.tokens / stats.rows if stats.rows else 0.0,
            **percentiles,
            "max": stats.longest,
            "empty": stats.counts.get(0, 0),
        }

    def histogram(self) -> list[dict[str, int]]:
        """Return rows by length, in bins that double: real lengths have long tails."""
        bins: dict[tuple[int, int], int] = {}
        top = self.stats.longest.bit_length() if self.stats.rows else -1
        for bit in range(top + 1):
            bins[(1 << bit) >> 1, (1 << bit) - 1] = 0
        for length, rows in self.stats.counts.items():
            bit = length.bit_length()
            bins[(1 << bit) >> 1, (1 << bit) - 1] += rows
        return [{"low": low, "high": high, "rows": rows} for (low, high), rows in bins.items()]

    def as_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "rows": self.stats.rows,
            "tokens": self.stats.tokens,
            "column": self.column,
            "padded": self.padded,
            "lengths": self.lengths(),
            "histogram": self.histogram(),
            "masks": [
                {"row": shown.row, "length": shown.length, "mask": shown.mask.tolist()}
                for shown in self.shown
            ],
            "plans": [cost.as_dict() for cost in self.plans],
            "health": [finding.as_dict() for finding in self.health],
            "advice": self.advice,
            "notes": list(self.notes),
        }


def inspect_file(  # noqa: PLR0913 - a keyword each for what the command takes
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    columns: Columns = None,
    specs: Sequence[PadSpec] = (PadSpec(),),
    show: ShowSpec | None = None,
    mask_column: str | None = None,
    declared: Side | None = None,
    input_format: str | None = None,
    limit: int | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> Inspection:
    """Look at a dataset of sequences, raw or already padded.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "in.jsonl"
    >>> _ = file.write_text('{"input_ids": [7, 8]}\\n{"input_ids": [9]}\\n')
    >>> seen = inspect_file([str(file)], show=ShowSpec())
    >>> seen.stats.rows, [row.mask.tolist() for row in seen.shown]
    (2, [[True, True], [True, False]])

    Args:
        inputs: paths, read as one dataset; `-` is standard input.
        columns: as in `pad_table`; the first one's tokens are shown.
        specs: how to pad; masks are shown for the first, plans for all.
        show: which rows to show; None shows none.
        mask_column: of padded input; default what the file's metadata says, else `mask` or
            `attention_mask` where all rows are equally long.
        declared: side of the padding of padded input; default what its metadata say, else that of
            most rows.
        input_format: None finds it out.
        limit: look at the first rows only.
        executor: where the files of a dataset that is not padded are looked at; None is here.
        workers: how many the executor works on at once; None is its own `workers`, else the cores.
        progress: called now and then with how far the pass is.

    Raises:
        SpecError, DataError: as `pad_file`.
    """
    inputs = checked_paths(inputs)
    columns, limit = as_list(columns), optional(at_least(0))("limit", limit)
    workers = optional(at_least(1))("workers", workers)
    show = optional(instance(ShowSpec))("show", show)
    declared = optional(choice(("post", "pre")))("declared", declared)
    input_format = optional(choice(names_of(input_formats())))("input_format", input_format)
    specs = [instance(PadSpec)("specs", spec) for spec in ([specs] if isinstance(specs, PadSpec) else specs)]
    if not inputs or not specs:
        raise SpecError("There is nothing to look at: give at least one input and one PadSpec.")
    spec = specs[0]
    sources = find_sources(inputs)
    with closing(Dataset(sources, input_format)) as dataset:
        layout = find_padding_info(dataset, columns, mask_column)
        if layout is not None and declared is not None:
            layout = replace(layout, padding=declared)
        chosen = columns or (list(layout.values) if layout else None)
        job = make_job(
            dataset, PadRequest(chosen, spec, MaskSpec(column=None), RowPolicy()), keep_others=False
        )
        looking = _InspectRequest(
            dataset.format, dataset.schema(), job, layout, limit, show or ShowSpec(last=0)
        )
        # The side of the padding and its values are those of the first rows: padded files are one piece.
        # What comes once comes to this process.
        once = any(source.is_pipe for source in sources)
        apart = len(sources) > 1 and layout is None and limit is None and not once
        if apart:
            seen = _inspect_files(looking, sources, executor, workers, progress)
            if show is not None and show.sample is None:
                first = replace(looking, limit=show.last)
                seen = replace(seen, shown=_inspect_rows(first, dataset, None).shown)
        else:
            seen = _inspect_rows(looking, dataset, progress)
        for column in job.columns:
            seen.audit.add_types(column.name, dataset.types_of(column.name))
        notes = dataset.warnings()
    stats = seen.stats
    plans = candidate_costs(
        stats,
        [s.maxlen for s in specs if s.maxlen != "longest"],
        spec.pad_to_multiple_of,
        _token_bytes(job.columns[0]),
    )
    shown = [_show(row, job, spec, stats) for row in seen.rows(show)]
    return Inspection(
        dataset.name,
        job.columns[0].name,
        layout is not None,
        stats,
        shown,
        plans,
        _health(seen.audit, dataset),
        plan_advice(plans),
        notes,
    )


def _health(audit: Audit, dataset: Dataset) -> list[Finding]:
    """Return what the rules found. A file that does not belong to its folder is an error to verify alone."""
    audit.add_strangers(dataset.strangers)
    found = audit.findings()
    return [
        replace(one, rule=replace(one.rule, severity="warning")) if one.rule.name == "stranger-file" else one
        for one in found
    ]


def _token_bytes(column: PadColumn) -> int:
    size = 1 if column.dtype == "string" else np.dtype(column.dtype).itemsize
    return size * (column.inner or 1)


@dataclass(frozen=True)
class _InspectRequest:
    """How rows are looked at.

    Args:
        format: of the input.
        schema: the columns of the whole dataset.
        job: what is looked at.
        layout: of padded input; None of raw input.
        limit: look at the first rows only.
        show: which rows to keep.
    """

    format: FormatTraits
    schema: pa.Schema
    job: Job
    layout: PaddingInfo | None
    limit: int | None
    show: ShowSpec


@dataclass(frozen=True)
class _Seen:
    """What was seen of some rows; glances add up, in the order of the rows.

    Args:
        stats: rows by length.
        audit: what the rules found.
        shown: the rows that were kept, each with the lot that it drew: of all, the lowest are shown.
    """

    stats: LengthStats
    audit: Audit
    shown: Sequence[tuple[float, Row]]

    def __add__(self, later: _Seen) -> _Seen:
        before = self.stats.rows
        moved = [(lot, replace(row, number=row.number + before)) for lot, row in later.shown]
        audit = self.audit.copy()
        audit.join(later.audit)
        return _Seen(self.stats + later.stats, audit, [*self.shown, *moved])

    def rows(self, show: ShowSpec | None) -> list[Row]:
        """Return the rows to show, in their order."""
        if show is None:
            return []
        lowest = sorted(self.shown, key=lambda kept: kept[0])[: show.sample]
        return sorted((row for _, row in lowest), key=lambda row: row.number)


def _inspect_files(
    looking: _InspectRequest,
    sources: Sequence[Source],
    executor: Executor | None,
    workers: int | None,
    progress: ProgressCallback | None,
) -> _Seen:
    """Look at files apart, on whatever executor, and add up what was seen."""
    team = WorkerPool.of(executor, workers, len(sources), progress)
    whole, rows, read = sum(source.size or 0 for source in sources), 0, 0
    found: dict[int, _Seen] = {}
    if looking.show.sample is None:
        looking = replace(looking, show=replace(looking.show, last=0))
    with closing(team.each(partial(_inspect_one_file, looking), list(enumerate(sources)))) as outcomes:
        for (number, source), seen in outcomes:
            if isinstance(seen, WorkerDiedError):
                raise WorkerDiedError(f"{source.name}: {seen}")
            if isinstance(seen, Exception):
                raise seen
            found[number] = seen
            rows, read = rows + seen.stats.rows, read + (source.size or 0)
            team.report("measuring", rows, read, whole)
    return reduce(_Seen.__add__, (found[number] for number in sorted(found)))


def _inspect_one_file(looking: _InspectRequest, numbered: tuple[int, Source]) -> _Seen:
    """Look at one file of several."""
    number, source = numbered
    # Each file draws for itself, so that who looks at it makes no difference.
    show = replace(looking.show, seed=(*looking.show.seeds, number))
    with closing(Dataset([source], looking.format.name, schema=looking.schema)) as dataset:
        return _inspect_rows(replace(looking, show=show), dataset, None, threads=1)


def _inspect_rows(
    looking: _InspectRequest, dataset: Dataset, progress: ProgressCallback | None, threads: int | None = None
) -> _Seen:
    """Look at rows in one pass."""
    job, layout = looking.job, looking.layout
    audit = Audit([audit_column(column, layout) for column in job.columns])
    audit.add_sides(layout.sides if layout else {})
    keep, stats = _Keeper(looking.show), LengthStats()
    with open_reading(dataset, FileOptions(limit=looking.limit, threads=threads), progress) as reading:
        source = (
            audit_raw_rows(reading, "measuring", job, audit)
            if layout is None
            else audit_padded_rows(reading, "measuring", job, audit, layout)
        )
        with closing(source):
            for lengths, rows in source:
                keep.take(rows, stats.rows, len(lengths))
                stats += LengthStats.of(lengths)
    return _Seen(stats, audit, keep.kept)


class _Keeper:
    """Keeps the rows that will be shown, in one pass."""

    def __init__(self, show: ShowSpec) -> None:
        self._show = show
        self._random = np.random.default_rng(show.seeds)
        self.kept: list[tuple[float, Row]] = []

    def take(self, rows: RowGetter, first: int, count: int) -> None:
        show = self._show
        if show.sample is None:
            for number in range(max(show.first, first), min(show.last, first + count)):
                self.kept.append((0.0, rows(number - first, number)))
            return
        # Every row draws a lot, and the lowest stay: so each has the same chance, however many will come,
        # and what is kept of several files is what would be kept of one.
        lots = self._random.random(count)
        worst = self.kept[-1][0] if len(self.kept) == show.sample else np.inf
        for place in np.flatnonzero(lots < worst).tolist():
            self.kept.append((float(lots[place]), rows(place, first + place)))
            if len(self.kept) >= 2 * show.sample:
                self._cut(show.sample)
        self._cut(show.sample)

    def _cut(self, count: int) -> None:
        self.kept.sort(key=lambda kept: kept[0])
        del self.kept[count:]


def _show(row: Row, job: Job, spec: PadSpec, stats: LengthStats) -> ShownRow:
    """Pad one row as `padmask pad` would, or show it as it was padded."""
    column = job.columns[0]
    values = row.values[column.name]
    if row.mask is not None:
        return ShownRow(row.number, int(row.mask.sum()), values, row.mask)
    one = Ragged(values, np.array([0]), np.array([len(values)]))
    segments = make_segments(one.lengths, make_plan(spec, stats), spec)
    padded = pad_batch(one, segments, value=column.value, dtype=column.numpy_dtype)
    return ShownRow(row.number, int(padded.lengths[0]), padded.values[0], padded.mask[0])


def plan_advice(plans: Sequence[Cost]) -> str:
    """Say in a sentence what the numbers speak for."""
    by_name = {cost.name: cost for cost in plans}
    if not by_name:
        return "There are no rows to pad."
    longest, cut = by_name["longest"], by_name["p99"]
    if longest.padding_share <= LITTLE_PADDING:
        return (
            f"Pad to the longest row ({longest.edges[0]}): only {longest.padding_share:.0%} of the places "
            "are padding, and nothing is lost."
        )
    buckets = [by_name[name] for name in ("buckets-2", "buckets-4", "buckets-8")]
    chosen = next((cost for cost in buckets if cost.padding_share <= LITTLE_PADDING), None)
    chosen = chosen or min(buckets, key=lambda cost: cost.padding_share)
    lossless = (
        f"{chosen.name} loses nothing and leaves {chosen.padding_share:.0%} padding in {chosen.shapes} shapes"
    )
    if longest.places < WORTH_CUTTING * cut.places:
        return f"Long rows are no rarity here, so cutting does not pay; {lossless}."
    return (
        f"p99 (maxlen {cut.edges[0]}) is {longest.places / cut.places:.1f} times smaller than the longest "
        f"row ({longest.edges[0]}) and loses {share(cut.lost_share)} of the tokens; {lossless}."
    )
