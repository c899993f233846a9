"""Read all rows in threads, to find their lengths and types or to prepare them for padding."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from padmask.core.arrow_lists import any_type
from padmask.core.buckets import with_edges
from padmask.core.plan import Plan, make_plan, needs_survey
from padmask.errors import DataError
from padmask.formats.contract import HEAD_ROWS, Batch, Chunk
from padmask.formats.dataset import Dataset
from padmask.formats.jsonl.types import AssumedTypes, OtherTypesError, TypeSurvey
from padmask.stream.chunk_tasks import (
    TASKS_PER_WORKER,
    PaddedChunk,
    TextWork,
    encoded_blocks,
    group_chunks,
    map_tasks,
    measure_chunk,
    pad_chunk,
    parse_chunk,
)
from padmask.stream.dropped import plan_written
from padmask.stream.job import Job
from padmask.stream.json_text import read_text_rows
from padmask.stream.kept_rows import KeptRows
from padmask.stream.overlap import ReadAhead
from padmask.stream.paddable_rows import PaddableRows
from padmask.stream.rows import Rows, prepare_rows
from padmask.stream.run import Counted, Run
from padmask.stream.survey import Survey, survey_lengths


@dataclass(frozen=True)
class PadRun(Run):
    """A run that pads rows.

    Args:
        job: columns and options of the run.
        as_text: whether JSON rows may be padded as text.
        kept: the rows of an earlier pass. If None, the rows are read from the input.
        executor: worker processes that parse JSON Lines, while this process only reads chunks. If None, the
            threads of the pool parse the chunks.
    """

    job: Job
    as_text: bool
    kept: KeptRows | None = None
    executor: Executor | None = None

    def rows(self, phase: str, longest: int | None = None) -> AbstractContextManager[Iterator[PaddableRows]]:
        """Iterate over all rows in order. The threads of the pool prepare the rows.

        Args:
            phase: name of this pass in progress reports.
            longest: maximum length of a row that is padded as text; None if there is no limit.
        """
        if not self.as_text:
            return self.column_rows(phase)

        def prepare(chunk: Chunk) -> PaddableRows:
            text = read_text_rows(chunk, self.job, longest)
            return self._column_rows(chunk) if text is None else text

        return self.map_chunks(phase, self.job.wanted, prepare)

    def column_rows(self, phase: str) -> AbstractContextManager[Iterator[Rows]]:
        """Iterate over all rows in order, as columns and not as JSON text."""
        if self.kept is not None:
            return self.map_parts(phase, self.kept, self.kept.load)
        # If the types are unknown, the other fields stay JSON text, which is not passed between processes.
        if self.executor is not None and self.job.wanted.others is not None:
            lines = self.files.rejects is not None
            return self._map_in_workers(phase, partial(parse_chunk, job=self.job, lines=lines), self.executor)
        return self.map_chunks(phase, self.job.wanted, self._column_rows)

    @property
    def pads_in_workers(self) -> bool:
        """Whether workers pad the rows, and not only parse them."""
        return self.executor is not None and self.job.wanted.others is None

    @contextmanager
    def pad_in_workers(self, work: TextWork) -> Iterator[Iterator[tuple[Any, PaddedChunk]]]:
        """Let the workers pad all rows, and iterate over the padded texts and their counts in order."""
        assert self.executor is not None
        pad = partial(pad_chunk, pickled=pickle.dumps(work))
        with self._map_in_workers("padding", pad, self.executor) as chunks:
            yield encoded_blocks(chunks)

    def measure_in_workers(self) -> Survey:
        """Let the workers find the lengths of all rows. Return a `Survey` without types."""
        assert self.executor is not None
        measure = partial(measure_chunk, job=self.job, as_text=self.as_text)
        with self._map_in_workers("measuring", measure, self.executor) as chunks:
            return sum((chunk.survey for chunk in chunks), survey_lengths((), self.job))

    @contextmanager
    def _map_in_workers(
        self, phase: str, function: Callable[[Chunk], Counted], executor: Executor
    ) -> Iterator[Iterator[Counted]]:
        tasks = group_chunks(self.dataset.chunks(self.job.wanted, self.files.limit))
        with self.dataset.unchanged(), ReadAhead(tasks, TASKS_PER_WORKER) as read:
            yield self._report_progress(phase, map_tasks(executor, function, read, self.dataset.spool_folder))

    def _column_rows(self, chunk: Chunk) -> Rows:
        rows = _prepare(self.dataset, self.job, chunk)
        return replace(rows, batch=self.dataset.complete(rows.batch, self.job.wanted))


def _prepare(dataset: Dataset, job: Job, chunk: Chunk) -> Rows:
    return prepare_rows(dataset.decode(chunk, job.wanted), job, chunk.consumed)


def survey(run: PadRun, typed: bool) -> Survey:
    """Read all rows once to find their lengths, and the types of their fields if `typed` is True."""
    if not typed and run.pads_in_workers:
        return run.measure_in_workers()
    if not typed:
        with run.rows("measuring") as all_rows:
            return survey_lengths(all_rows, run.job)
    types, known = TypeSurvey(), _known_fields(run.job)

    def with_types(all_rows: Iterable[Rows]) -> Iterator[Rows]:
        for rows in all_rows:
            types.add_rows(rows.batch, known, without=run.job.dropped)
            yield rows

    with run.column_rows("measuring") as all_rows:
        return replace(survey_lengths(with_types(all_rows), run.job), types=types)


def _known_fields(job: Job) -> Sequence[str]:
    """Return the names of the JSON fields whose types need not be found."""
    # A mask or length column that replaces a field keeps the place of the field.
    return (*job.wanted.sequences.names, *job.added)


def make_attempts(run: PadRun, typed: bool, restarts: bool) -> Generator[tuple[PadRun, Survey | None]]:
    """Yield runs that pad all rows, each with its survey. The caller stops at the first run that succeeds.

    If the output needs types, the first attempt assumes that all rows have the types of the first rows:

    - If maxlen must be found, or if the output cannot be written again, a survey checks the types. The survey
      keeps the rows for the run, so that the input is read only once.
    - Otherwise, the run has no survey. The run raises an `OtherTypesError` if a later row has another type.

    If a row has another type, or if no types can be assumed, a survey finds the types of all rows.

    Args:
        run: the run that reads the rows.
        typed: whether the output needs the types of JSON fields.
        restarts: whether the output can be written again from its start.
    """
    searches = needs_survey(run.job.spec)
    limit = run.files.limit
    assumed = assume_types(run.job, run.dataset.look(run.job.wanted), limit) if typed else None
    if assumed is not None and not searches and restarts:
        yield replace(run, job=assumed), None
    elif assumed is not None:
        lines = run.files.rejects is not None
        with closing(KeptRows(run.dataset.spool_folder, assumed, lines=lines)) as kept:
            found = _survey_and_keep(replace(run, job=assumed), kept)
            if found is not None:
                job = replace(assumed, wanted=replace(assumed.wanted, check=None))
                yield replace(run, job=job, kept=kept if kept.complete else None), found
                return
    measured = survey(run, typed) if searches or typed else None
    yield replace(run, job=typed_job(run.job, measured)), measured


def _survey_and_keep(run: PadRun, kept: KeptRows) -> Survey | None:
    """Survey all rows, and keep the rows. Return None if a row does not have the assumed types."""

    def keep(all_rows: Iterable[Rows]) -> Iterator[Rows]:
        for rows in all_rows:
            kept.add(rows)
            yield rows

    try:
        with run.column_rows("measuring") as all_rows:
            return survey_lengths(keep(all_rows), run.job)
    except OtherTypesError:
        return None


def assume_types(job: Job, batches: Iterable[Batch], limit: int | None) -> Job | None:
    """Return the `Job` with the types of the first rows; None if all rows must be read to find types.

    Args:
        job: columns and options of the run.
        batches: rows from the start of the input.
        limit: number of rows that the run reads; None if there is no limit.
    """
    if limit is not None and limit < HEAD_ROWS:
        return None
    types, known, dropped, rows = TypeSurvey(), _known_fields(job), job.dropped, 0
    for batch in batches:
        first = prepare_rows(batch.slice(0, min(len(batch), HEAD_ROWS - rows)), job)
        try:
            types.add_rows(first.batch, known, dropped)
        except DataError:
            return None
        rows += len(batch)
        if rows >= HEAD_ROWS:
            break
    assumed = AssumedTypes(types, known, dropped)
    # Parquet cannot store objects without fields, but later rows may have fields.
    if any(any_type(type_, _has_no_fields) for type_ in assumed.schema.types):
        return None
    return replace(job, wanted=replace(job.wanted, others=assumed.schema, check=assumed.check))


def _has_no_fields(type_: pa.DataType) -> bool:
    return bool(pa.types.is_struct(type_)) and not type_.num_fields


def plan_job(job: Job, seen: Survey | None) -> Plan:
    """Return the `Plan` of a job, including the plan of each column that has its own maxlen."""
    stats = [None] * len(job.groups) if seen is None else [seen.lengths, *seen.own]
    plans = [make_plan(group.spec, lengths) for group, lengths in zip(job.groups, stats, strict=True)]
    if seen is not None and seen.together:
        plans = plan_written(plans, job, seen.together)
    lengths, drops = None if seen is None else seen.lengths, job.policy.overlong == "drop"
    plans[0] = with_edges(plans[0], job.spec, lengths, drops=drops)
    names = [group.columns[0].name for group in job.own]
    return replace(plans[0], own=dict(zip(names, plans[1:], strict=True)))


def typed_job(job: Job, seen: Survey | None) -> Job:
    """Return the `Job` with the column types that a first pass found.

    Without a pass, return the job unchanged.
    """
    if seen is None or seen.types is None:
        return job
    return replace(job, wanted=replace(job.wanted, others=seen.types.schema()))
