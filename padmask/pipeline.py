"""pad_file: read, plan, pad, write; streaming, with reading, padding and writing overlapped.

Reads at most twice: once for the lengths (and, from JSON Lines to a typed format, the
types) where they must be found, and once to pad. Knows nothing of terminals: progress is
a callback, and what happened is a `PadResult`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from padmask.bounds import refuse_large_output, refuse_large_pieces, room_for, widths_of
from padmask.decide import Asked, decide, find_unpadded, padded_already
from padmask.errors import few
from padmask.files import (
    GROUP_PLACES,
    FileOptions,
    Paths,
    Run,
    check_paths,
    open_dataset,
    open_outlet,
    open_pool,
    settle_threads,
    stranger_notes,
)
from padmask.flow import ordered_map
from padmask.formats import output_format
from padmask.formats.batch import Chunk, Layout
from padmask.formats.dataset import Dataset, survey_types
from padmask.formats.jsontypes import TypeSurvey
from padmask.ledger import Ledger, PadResult
from padmask.plan import LengthStats, Plan, make_plan, needs_lengths
from padmask.progress import ProgressCallback
from padmask.rows import Job, Rows, fit, pad_piece, split, take_in
from padmask.spec import Columns, MaskSpec, PadSpec, RowPolicy, given, listed
from padmask.table import check_names, padded_schema
from padmask.textrows import TextPadder, TextRows, read_text_rows, takes_text

# Places padded at a time: a batch's ids, mask and their text stay near the processor.
BATCH_PLACES = 1 << 18

PADDED_ALREADY = (
    "the input looks padded already: its padding counts as real tokens here, and the mask will not show it; "
    "padmask unpad takes it away"
)
NOT_READ = "not read, since padmask knows no format of such a name: {}"


def pad_file(
    inputs: Paths,
    output: str | os.PathLike[str] = "-",
    *,
    columns: Columns = None,
    spec: PadSpec | None = None,
    mask: MaskSpec | None = None,
    policy: RowPolicy | None = None,
    files: FileOptions | None = None,
    progress: ProgressCallback | None = None,
) -> PadResult:
    """Pad files of sequences into one file: what `padmask pad` calls.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "in.jsonl").write_text('{"input_ids": [7, 8]}\\n{"input_ids": [9]}\\n')
    >>> result = pad_file(folder / "in.jsonl", folder / "out.jsonl", spec=PadSpec(maxlen=2))
    >>> print((folder / "out.jsonl").read_text(), end="")
    {"input_ids":[7,8],"mask":[true,true]}
    {"input_ids":[9,0],"mask":[true,false]}

    Args:
        inputs: one path or several, read as one dataset; a folder means the data files in it, `-` is
            standard input.
        output: a path, or `-` for standard output. It is complete or absent.
        columns: as in `pad_table`.
        spec: how to pad; default `PadSpec()`.
        mask: which mask to add; default `MaskSpec()`.
        policy: which rows are written; default `RowPolicy()`.
        files: formats, limits and tuning; default `FileOptions()`.
        progress: called now and then with how far the run is.

    Returns:
        The counts of rows and tokens read, written and lost, and how the length was found.

    Raises:
        SpecError: what was asked for cannot be.
        DataError: the input cannot be read or padded.
        OutputError: the output cannot be written.
    """
    spec, files = given("spec", spec, PadSpec), given("files", files, FileOptions)
    mask, policy = given("mask", mask, MaskSpec), given("policy", policy, RowPolicy)
    columns = listed(columns)
    paths, goal = check_paths(inputs, output, files.rejects)
    format_ = output_format(goal, files.output_format)
    with ExitStack() as stack:
        dataset = stack.enter_context(open_dataset(paths, goal, files))
        typed = dataset.format == "jsonl" and format_ in ("parquet", "arrow")
        if needs_lengths(spec) or typed:
            dataset.spool(files.limit)
        asked = Asked(columns, spec, mask, policy)
        job = decide(dataset, asked, keep_others=format_ != "npz")
        job = replace(job, fixed_size=files.fixed_size_list)
        files = settle_threads(files, dataset.format, format_)
        as_text = dataset.format == format_ == "jsonl" and takes_text(job)
        pool, room = stack.enter_context(open_pool(files)), room_for(goal, files.max_bytes)
        run = PadRun(dataset, files, pool, progress, room, job, as_text)
        unpadded = find_unpadded(dataset, job, columns)
        notes = notes_on(dataset, job, format_)
        seen = survey(run, typed) if needs_lengths(spec) or typed else None
        plan = settle_plan(job, seen, format_, room, places_under_way(files, run.ahead))
        ledger = pad_all(replace(run, job=typed_job(job, seen)), plan, goal, format_)
    return result_of(ledger, plan, job, unpadded, notes)


@dataclass(frozen=True)
class PadRun(Run):
    """A run that pads: what to do, too, and whether rows may stay text."""

    job: Job
    as_text: bool

    def rows(
        self, phase: str, longest: int | None = None
    ) -> AbstractContextManager[Iterator[Rows | TextRows]]:
        """Give all rows in order, taken in on the pool.

        Args:
            phase: for the progress.
            longest: a longer row is not taken as text; None takes any.
        """

        def take(chunk: Chunk) -> Rows | TextRows:
            text = read_text_rows(chunk, self.job, longest) if self.as_text else None
            if text is not None:
                return text
            wanted = self.job.wanted
            rows = take_in(self.dataset.decode(chunk, wanted), self.job, chunk.consumed)
            return replace(rows, batch=self.dataset.complete(rows.batch, wanted))

        return self.taken(phase, self.job.wanted, take)


@dataclass(frozen=True)
class Survey:
    """What one pass over rows tells of them; surveys add up, in the order of the rows.

    Args:
        lengths: of the rows.
        longest: the longest row's length, -1 where there is none.
        place: where it stands, for people.
        types: of JSON Lines' fields; None where they are not asked for.
        rows: that were read, those among them that will not be written.
    """

    lengths: LengthStats
    longest: int = -1
    place: str = ""
    types: TypeSurvey | None = None
    rows: int = 0

    def __add__(self, later: Survey) -> Survey:
        types = self.types
        if types is not None and later.types is not None:
            types = types.copy()
            types.join(later.types)
        first = self if self.longest >= later.longest else later
        lengths, rows = self.lengths + later.lengths, self.rows + later.rows
        return Survey(lengths, first.longest, first.place, types, rows)


def survey(run: PadRun, typed: bool) -> Survey:
    """Read everything once, for the lengths and, where they must be found, the types."""
    lengths, types = LengthStats(), TypeSurvey() if typed else None
    longest, place, read = -1, "", 0
    sequences = run.job.wanted.sequences.names
    with run.rows("measuring") as all_rows:
        for rows in all_rows:
            here = rows.lengths
            lengths += LengthStats.of(here)
            read += rows.ledger.rows_read
            if here.max(initial=-1) > longest:
                longest, place = int(here.max()), rows.place(int(here.argmax()))
            if types is not None:
                assert isinstance(rows, Rows)
                survey_types(types, rows.batch, sequences, without=run.job.mask.names)
    return Survey(lengths, longest, place, types, read)


def typed_job(job: Job, seen: Survey | None) -> Job:
    """Return the job with the types that a survey found, if it looked for them."""
    if seen is None or seen.types is None:
        return job
    return replace(job, wanted=replace(job.wanted, others=seen.types.schema()))


def settle_plan(
    job: Job, seen: Survey | None, format_: str, room: int | None, places: Callable[[Plan], int]
) -> Plan:
    """Decide the length, and refuse one whose rows find no room on disk or in memory.

    Args:
        job: what is padded.
        seen: of all rows; None where the length is given.
        format_: of the output.
        room: bytes that the output may take; None for any number.
        places: how many places are held at once.

    Raises:
        SpecError: there is no room.
    """
    plan = make_plan(job.spec, None if seen is None else seen.lengths)
    widths = widths_of(job.columns, job.mask, format_)
    refuse_large_pieces(plan, widths, places(plan))
    if seen is not None:
        refuse_large_output(seen.lengths, plan, job.spec, widths, room, seen.place)
    return plan


def _rows_at_a_time(plan: Plan, files: FileOptions) -> int:
    """Return how many rows are padded as one piece."""
    return files.batch_rows or max(1, BATCH_PLACES // max(1, plan.maxlen))


def places_under_way(files: FileOptions, ahead: int) -> Callable[[Plan], int]:
    """Return what tells how many places are held at once, at the least: in pieces, and in a group.

    Args:
        files: how files are read and written.
        ahead: how many pieces may be under way at once.
    """
    return lambda plan: _rows_at_a_time(plan, files) * plan.maxlen * ahead + max(GROUP_PLACES, plan.maxlen)


def pad_all(
    run: PadRun, plan: Plan, goal: str, format_: str, sealed: Callable[[int], None] | None = None
) -> Ledger:
    """Pad every row and write it.

    Args:
        run: over the rows.
        plan: the length.
        goal: path or address of the output.
        format_: of the output.
        sealed: called with the descriptor of the finished file, before it is at its goal.
    """
    job = run.job
    copies = {}
    if format_ == "npz":
        # An npz archive always holds the lengths under this name, and under another if asked.
        copies = {name: "length" for name in [job.mask.length_column] if name not in (None, "length")}
        job = replace(job, mask=replace(job.mask, length_column="length"))
        check_names(pa.schema([]), job.columns, job.mask)
    layout = replace(_layout(job, plan, format_), copies=copies)
    step = _rows_at_a_time(plan, run.files)
    ledger = Ledger()
    with open_outlet(run, goal, format_, layout, sealed) as outlet:
        texts = TextPadder(job, plan) if run.as_text else None

        def cut(rows: Rows | TextRows) -> Iterator[Rows | TextRows]:
            return (
                rows.split(step) if isinstance(rows, TextRows) else split(fit(rows, plan, job.policy), step)
            )

        def work(rows: Rows | TextRows) -> tuple[Any, Rows | TextRows]:
            if isinstance(rows, TextRows):
                assert texts is not None
                return texts.encode(rows)
            padded = pad_piece(rows, job, plan)
            return outlet.writer.encode(padded.batch), padded

        longest = None if job.policy.overlong == "truncate" else plan.maxlen
        with run.rows("padding", longest) as all_rows:
            pieces = (piece for rows in all_rows for piece in cut(rows))
            for encoded, done in ordered_map(run.pool, work, pieces, run.ahead):
                outlet.write(encoded, done.refused)
                ledger += done.ledger
    if not ledger.balanced:
        raise AssertionError(f"padmask lost count of rows, please report it: {ledger}")
    return ledger


def result_of(
    ledger: Ledger, plan: Plan, job: Job, unpadded: dict[str, str], notes: tuple[str, ...]
) -> PadResult:
    """Return what was done, for reports and summaries."""
    return PadResult(
        ledger,
        plan.maxlen,
        plan.found,
        plan.exact,
        job.spec.padding,
        tuple(column.name for column in job.columns),
        unpadded,
        notes,
    )


def _layout(job: Job, plan: Plan, format_: str) -> Layout:
    schema = padded_schema(job.wanted.schema, job.columns, plan, job.spec, job.mask, job.fixed_size)
    shapes: dict[str, tuple[int, ...]] = {
        column.name: (plan.maxlen,) if column.inner is None else (plan.maxlen, column.inner)
        for column in job.columns
    }
    if job.mask.column is not None:
        shapes[job.mask.column] = (plan.maxlen,)
    if format_ == "npz" and job.mask.length_column is not None:
        shapes[job.mask.length_column] = ()
    return Layout(schema, shapes, max(1, GROUP_PLACES // max(1, plan.maxlen)))


def notes_on(dataset: Dataset, job: Job, format_: str) -> tuple[str, ...]:
    """Return sentences about what the user should know of the data before they are padded."""
    left = dataset.passed_over
    return (
        *([PADDED_ALREADY] if padded_already(dataset, job) else ()),
        *([NOT_READ.format(few(left))] if left else ()),
        *dataset.warnings(),
        *stranger_notes(dataset),
        *(_left_out(dataset, job) if format_ == "npz" else ()),
    )


def _left_out(dataset: Dataset, job: Job) -> tuple[str, ...]:
    padded = {column.name for column in job.columns}
    names = [name for name in dataset.schema().names if name not in padded]
    if not names:
        return ()
    verb = "is" if len(names) == 1 else "are"
    return (
        f"npz holds only the padded columns: {', '.join(map(repr, names))} {verb} left out. "
        "Write Parquet to keep everything.",
    )
