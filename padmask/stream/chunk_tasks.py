"""Tasks for worker processes that parse, measure or pad chunks of JSON Lines.

A task has several chunks. The result for a chunk does not depend on the worker or on the other chunks.
"""

from __future__ import annotations

import errno
import os
import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from io import BytesIO
from typing import Any, BinaryIO

from padmask.core.plan import Plan
from padmask.errors import PadmaskError, SpecError
from padmask.formats import open_writer
from padmask.formats.contract import Chunk, Layout, WriterOptions
from padmask.formats.jsonl.reader import add_other_columns, decode_lines
from padmask.formats.jsonl.types import OtherTypesError
from padmask.spec.formats import FormatTraits
from padmask.spec.pad import PadSpec
from padmask.storage.source import open_temporary, unreadable
from padmask.storage.system import cores
from padmask.stream.job import Job
from padmask.stream.json_text import read_text_rows
from padmask.stream.kept_rows import compact_rows, only_lines
from padmask.stream.ledger import Ledger
from padmask.stream.overlap import Result, ordered_map
from padmask.stream.paddable_rows import PaddableRows, PadTarget, RejectedRow
from padmask.stream.records import Pickled, Record, read_record
from padmask.stream.rows import Rows, prepare_rows
from padmask.stream.survey import Survey, survey_lengths

# Size of the text of a task, in bytes. Smaller tasks add overhead, and larger tasks need more memory.
TASK_BYTES = 1 << 21

# Number of tasks for each worker that are in memory at the same time. The second task waits, so that the
# worker is never idle.
TASKS_PER_WORKER = 2

# Path of an open file of a process, with the process ID and the file descriptor. Only Linux has such paths.
FILES_OF_PROCESS = "/proc/{}/fd/{}"

Outcome = tuple[Sequence[Result], Exception | None]


@dataclass(frozen=True)
class MeasuredChunk:
    """The row lengths (`Survey`) and the row counts (`Ledger`) of a chunk."""

    survey: Survey
    ledger: Ledger
    consumed: int


@dataclass(frozen=True)
class PaddedChunk:
    """The padded rows of a chunk as text, with the attributes of `PaddableBlock`."""

    texts: Sequence[pickle.PickleBuffer]
    ledger: Ledger
    refused: Sequence[RejectedRow]
    late: Sequence[str]
    consumed: int


@dataclass(frozen=True)
class TextWork:
    """The settings of a run that pads JSON Lines to JSON Lines.

    Args:
        job, plan: columns, options and maxlen of the run.
        format_, layout: format and layout of the output.
        as_text: whether rows may be padded as text.
        step: maximum number of rows that are padded in one operation.
        longest: maximum length of a row that is padded as text; None if there is no limit.
        lines: whether to return the text of refused rows, for the `--rejects` file.
    """

    job: Job
    plan: Plan
    format_: FormatTraits
    layout: Layout
    as_text: bool
    step: int
    longest: int | None
    lines: bool


@dataclass(frozen=True)
class ResultFile:
    """An open file of this process without a name, to which a worker writes the results of a task.

    Args:
        path: path of the file for other processes.
        device, inode: numbers that identify the file.
    """

    path: str
    device: int
    inode: int

    @classmethod
    def of(cls, file: BinaryIO) -> ResultFile:
        """Return the `ResultFile` of an open file."""
        status = os.fstat(file.fileno())
        return cls(FILES_OF_PROCESS.format(os.getpid(), file.fileno()), status.st_dev, status.st_ino)

    def open(self) -> BinaryIO:
        """Open the file in another process.

        Raises:
            OSError: the path does not exist, or it names another file. This happens if the processes are in a
                container that sees the process IDs of its host.
        """
        file = open(self.path, "r+b")  # noqa: SIM115 - the caller closes the file
        status = os.fstat(file.fileno())
        if (status.st_dev, status.st_ino) != (self.device, self.inode):
            file.close()
            raise FileNotFoundError(errno.ENOENT, "another file", self.path)
        return file


def can_use_workers(source: FormatTraits, output: FormatTraits, spec: PadSpec) -> bool:
    """Return whether worker processes can pad or parse the rows if there is only one output file."""
    needs_order = spec.reorders or spec.packing is not None or bool(spec.added_columns)
    return source.is_text and (output.needs_types or (output.is_text and not needs_order))


def refuse_workers(executor: Executor | None, source: FormatTraits, output: FormatTraits, job: Job) -> None:
    """Raise an error if there is an executor but `can_use_workers` returns False.

    Raises:
        SpecError: the input is not JSON Lines, or worker processes do not support the output.
    """
    if executor is None or can_use_workers(source, output, job.spec):
        return
    what = f"{source.title} input" if not source.is_text else f"{output.title} output"
    if source.is_text and output.is_text:
        what += " with windows, batches or packing"
    raise SpecError(
        f"With one output file, --workers does not support {what}. Remove --workers, or choose an output "
        "folder, such as -o padded/.",
        options=["workers"],
    )


def group_chunks(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Divide chunks among tasks, and yield the list of chunks of each task.

    For a chunk of a local file, the task has only the size of the data. The worker reads the data from the
    file with `_with_data`.
    """
    task: list[Chunk] = []
    size = 0
    for chunk in chunks:
        size += len(chunk.data)
        task.append(chunk if chunk.span is None else replace(chunk, data=len(chunk.data)))
        if size >= TASK_BYTES:
            yield task
            task, size = [], 0
    if task:
        yield task


def _with_data(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Yield the chunks of a task with their data. The caller checks that no file has changed."""
    for chunk in chunks:
        if chunk.span is None:
            yield chunk
            continue
        path, start = chunk.span
        try:
            data = _read_span(path, start, chunk.data)
        except OSError as error:
            raise unreadable(path, error) from None
        yield replace(chunk, data=data)


def _read_span(path: str, start: int, size: int) -> bytes:
    with open(path, "rb", buffering=0) as file:
        file.seek(start)
        parts, left = [], size
        # One read returns at most 2 GiB.
        while left and (part := file.read(left)):
            parts.append(part)
            left -= len(part)
    if left:
        raise OSError(errno.EIO, "The file is shorter than before")
    return b"".join(parts)


def map_tasks(
    executor: Executor, function: Callable[[Chunk], Result], tasks: Iterable[list[Chunk]], folder: str | None
) -> Generator[Result]:
    """Let the workers call a function with each chunk, and yield the results in order.

    Args:
        executor: the workers.
        function: function that is called with one chunk.
        tasks: the chunks of each task.
        folder: folder for the temporary files that pass results to this process.

    Raises:
        PadmaskError, OtherTypesError: the function raised this error for a chunk. The results of all earlier
            chunks are yielded first.
    """
    workers = getattr(executor, "workers", None) or cores()
    with ExitStack() as stack:
        used, unused = deque[BinaryIO](), deque[BinaryIO]()

        def with_files() -> Iterator[tuple[list[Chunk], ResultFile]]:
            for task in tasks:
                used.append(unused.popleft() if unused else stack.enter_context(open_temporary(folder)))
                yield task, ResultFile.of(used[-1])

        run = partial(_run_task, function)
        outcomes = stack.enter_context(
            closing(ordered_map(executor, run, with_files(), workers * TASKS_PER_WORKER))
        )
        for outcome in outcomes:
            file = used.popleft()
            results, error = read_record(file, outcome) if isinstance(outcome, Record) else outcome
            unused.append(file)
            yield from results
            if error is not None:
                raise error


def _run_task(
    function: Callable[[Chunk], Result], task: tuple[Iterable[Chunk], ResultFile]
) -> Outcome[Result] | Record:
    """Call a function with each chunk of a task, and write the outcome to the file of the task.

    Return the location of the outcome in the file. If the file cannot be written, return the outcome itself.
    """
    chunks, result_file = task
    outcome = _outcome(function, chunks)
    try:
        with result_file.open() as file:
            pickled = Pickled(outcome)
            pickled.write(file)
            return pickled.at(0)
    except OSError:
        return outcome


def _outcome(function: Callable[[Chunk], Result], chunks: Iterable[Chunk]) -> Outcome[Result]:
    results: list[Result] = []
    try:
        results.extend(map(function, _with_data(chunks)))
    except (PadmaskError, OtherTypesError) as error:
        return results, error
    return results, None


def prepare_lines(chunk: Chunk, job: Job) -> Rows:
    """Parse a chunk, and prepare its rows for padding."""
    rows = prepare_rows(decode_lines(chunk, job.wanted), job, chunk.consumed)
    if job.wanted.others is None:
        return rows
    return replace(rows, batch=add_other_columns(rows.batch, job.wanted))


def parse_chunk(chunk: Chunk, job: Job, *, lines: bool) -> Rows:
    """Return the rows of a chunk as columns. `lines` is as in `compact_rows`."""
    return compact_rows(prepare_lines(chunk, job), job, lines=lines)


def measure_chunk(chunk: Chunk, job: Job, *, as_text: bool) -> MeasuredChunk:
    """Find the row lengths of a chunk: a `Survey` without types."""
    rows = _text_or_columns(chunk, job, None, as_text=as_text)
    return MeasuredChunk(survey_lengths([rows], job), rows.ledger, rows.consumed)


@lru_cache(1)
def _read_work(pickled: bytes) -> tuple[TextWork, PadTarget]:
    """Return the settings of a run, and the `PadTarget` that all chunks of the run share."""
    work: TextWork = pickle.loads(pickled)
    writer = open_writer(work.format_, BytesIO(), work.layout, WriterOptions(False, 1, ""))
    return work, PadTarget(work.job, work.plan, writer)


def pad_chunk(chunk: Chunk, pickled: bytes) -> PaddedChunk:
    """Pad the rows of a chunk, and return the padded rows as text.

    Args:
        chunk: lines of JSON Lines.
        pickled: the pickled `TextWork` of the run.
    """
    work, target = _read_work(pickled)
    texts, ledger, refused, late = [], Ledger(), list[RejectedRow](), set[str]()
    rows = _text_or_columns(chunk, work.job, work.longest, as_text=work.as_text)
    for block in rows.split(work.job, work.plan, work.step, 0):
        text, done = block.pad(target)
        texts.append(pickle.PickleBuffer(text))
        ledger += done.ledger
        refused += done.refused
        late |= {*done.late}
    return PaddedChunk(
        texts, ledger, only_lines(refused) if work.lines else (), tuple(sorted(late)), chunk.consumed
    )


def encoded_blocks(chunks: Iterable[PaddedChunk]) -> Iterator[tuple[Any, PaddedChunk]]:
    """Yield all texts of all chunks, each with a `PaddedChunk` for the counts.

    The first text of a chunk comes with the chunk itself, which has the counts of all rows of the chunk. The
    other texts come with a `PaddedChunk` whose counts are 0.
    """
    for chunk in chunks:
        counts = chunk
        for text in chunk.texts:
            yield text, counts
            counts = PaddedChunk((), Ledger(), (), (), chunk.consumed)


def _text_or_columns(chunk: Chunk, job: Job, longest: int | None, *, as_text: bool) -> PaddableRows:
    text = read_text_rows(chunk, job, longest) if as_text else None
    return prepare_lines(chunk, job) if text is None else text
