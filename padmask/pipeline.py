"""pad_file: read, plan, pad, write; streaming, with reading, padding and writing overlapped.

Reads at most twice: once for the lengths (and, from JSON Lines to a typed format, the
types) where they must be found, and once to pad. Knows nothing of terminals: progress is
a callback, and what happened is a `PadResult`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Any

from padmask.bounds import refuse_large_output, refuse_large_pieces, room_for, widths_of
from padmask.decide import Asked, decide, find_unpadded, padded_already
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
)
from padmask.flow import ordered_map
from padmask.formats import output_format
from padmask.formats.batch import Chunk, Layout, Wanted
from padmask.formats.dataset import Dataset, survey_types
from padmask.ledger import Ledger, PadResult
from padmask.plan import LengthStats, Plan, make_plan, needs_lengths
from padmask.progress import ProgressCallback
from padmask.rows import Job, Rows, fit, pad_piece, split, take_in
from padmask.spec import Columns, MaskSpec, PadSpec, RowPolicy, listed
from padmask.table import check_names, padded_schema
from padmask.textrows import TextPadder, TextRows, read_text_rows, takes_text

# Places padded at a time: a batch's ids, mask and their text stay near the processor.
BATCH_PLACES = 1 << 18

PADDED_ALREADY = (
    "the input looks padded already: its padding counts as real tokens here, and the mask will not show it; "
    "padmask unpad takes it away"
)


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
    spec, files = spec or PadSpec(), files or FileOptions()
    columns = listed(columns)
    paths, goal = check_paths(inputs, output, files.rejects)
    format_ = output_format(goal, files.output_format)
    with ExitStack() as stack:
        dataset = stack.enter_context(open_dataset(paths, goal, files))
        typed = dataset.format == "jsonl" and format_ in ("parquet", "arrow")
        if needs_lengths(spec) or typed:
            dataset.spool(files.limit)
        asked = Asked(columns, spec, mask or MaskSpec(), policy or RowPolicy())
        job = decide(dataset, asked, keep_others=format_ != "npz")
        job = replace(job, fixed_size=files.fixed_size_list)
        files = settle_threads(files, dataset.format, format_)
        as_text = dataset.format == format_ == "jsonl" and takes_text(job)
        pool, room = stack.enter_context(open_pool(files)), room_for(goal, files.max_bytes)
        run = _Run(dataset, files, pool, progress, room, job, as_text)
        unpadded = find_unpadded(dataset, job, columns)
        notes = [PADDED_ALREADY] if padded_already(dataset, job) else []
        lengths, longest = None, ""
        if needs_lengths(spec) or typed:
            lengths, longest, run = _survey(run, typed)
        plan = make_plan(spec, lengths)
        widths = widths_of(run.job.columns, run.job.mask, format_)
        refuse_large_pieces(plan, widths, _places_under_way(plan, files, run.ahead))
        if lengths is not None:
            refuse_large_output(lengths, plan, spec, widths, run.room, longest)
        ledger, left_out = _pad_all(run, plan, goal, format_)
    return PadResult(
        ledger,
        plan.maxlen,
        plan.found,
        plan.exact,
        spec.padding,
        tuple(column.name for column in job.columns),
        unpadded,
        (*notes, *left_out),
    )


@dataclass(frozen=True)
class _Run(Run):
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


def _rows_at_a_time(plan: Plan, files: FileOptions) -> int:
    """Return how many rows are padded as one piece."""
    return files.batch_rows or max(1, BATCH_PLACES // max(1, plan.maxlen))


def _places_under_way(plan: Plan, files: FileOptions, ahead: int) -> int:
    """Return how many places are held at once, at the least: in pieces that are padded, and in a group."""
    return _rows_at_a_time(plan, files) * plan.maxlen * ahead + max(GROUP_PLACES, plan.maxlen)


def _survey(run: _Run, typed: bool) -> tuple[LengthStats, str, _Run]:
    """Read everything once, for the lengths and, where they must be found, the types.

    Returns the lengths, where the longest row stands, and the run with the types.
    """
    from padmask.formats.jsontypes import TypeSurvey

    lengths, types = LengthStats(), TypeSurvey()
    longest, place = -1, ""
    sequences = run.job.wanted.sequences.names
    with run.rows("measuring") as all_rows:
        for rows in all_rows:
            here = rows.lengths
            lengths += LengthStats.of(here)
            if here.max(initial=-1) > longest:
                longest, place = int(here.max()), rows.place(int(here.argmax()))
            if typed:
                assert isinstance(rows, Rows)
                survey_types(types, rows.batch, sequences, without=run.job.mask.names)
    if typed:
        wanted = Wanted(run.job.wanted.sequences, types.schema())
        run = replace(run, job=replace(run.job, wanted=wanted))
    return lengths, place, run


def _pad_all(run: _Run, plan: Plan, goal: str, format_: str) -> tuple[Ledger, tuple[str, ...]]:
    """Pad every row and write it."""
    job = run.job
    copies = {}
    if format_ == "npz":
        # An npz archive always holds the lengths under this name, and under another if asked.
        copies = {name: "length" for name in [job.mask.length_column] if name not in (None, "length")}
        job = replace(job, mask=replace(job.mask, length_column="length"))
        check_names([], job.columns, job.mask)
    layout = replace(_layout(job, plan, format_), copies=copies)
    step = _rows_at_a_time(plan, run.files)
    ledger = Ledger()
    with open_outlet(run, goal, format_, layout) as outlet:
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
    return ledger, _left_out(run.dataset, job) if format_ == "npz" else ()


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
