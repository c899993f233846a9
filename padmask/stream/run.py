"""What all commands share that turn files into a file: options, threads, reading ahead, the output.

This module does not know what happens to the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, ClassVar, Protocol, TypeVar, cast

from padmask.formats import format_reject, open_writer
from padmask.formats.contract import Chunk, Layout, Wanted, Writer
from padmask.formats.dataset import Dataset
from padmask.spec.files import FileOptions, ReadOptions
from padmask.storage.output import LimitedStream, SideFile, open_compressed, open_output
from padmask.storage.system import cores
from padmask.storage.urls import display_path
from padmask.stream.inputs import spool_folder
from padmask.stream.ledger import Ledger
from padmask.stream.overlap import ReadAhead, ordered_map
from padmask.stream.progress import Progress, ProgressCallback
from padmask.stream.rows import RejectedRow

# Places in a row group or record batch of the output.
GROUP_PLACES = 1 << 22


class CountedRows(Protocol):
    """Rows on their way, with an account of them."""

    @property
    def ledger(self) -> Ledger: ...

    @property
    def consumed(self) -> int: ...


Counted = TypeVar("Counted", bound=CountedRows)


@dataclass(frozen=True)
class Reading:
    """A dataset and what it is read with: threads, limits, progress."""

    dataset: Dataset
    files: ReadOptions
    pool: ThreadPoolExecutor | None
    progress: ProgressCallback | None

    @property
    def threads(self) -> int:
        """How many pieces are worked on at once."""
        return self.files.threads or cores()

    @property
    def ahead(self) -> int:
        """How many pieces may be under way at once."""
        return 2 * self.threads

    @contextmanager
    def taken(
        self, phase: str, wanted: Wanted, take: Callable[[Chunk], Counted]
    ) -> Iterator[Iterator[Counted]]:
        """Give what `take` makes of each piece, in order: read in a thread of their own, taken on the pool.

        Args:
            phase: for the progress.
            wanted: which columns are read.
            take: turns a piece into rows.
        """
        chunks = self.dataset.chunks(wanted, self.files.limit)
        # A storage answers late: what comes next is fetched while this is worked on.
        apart = self.pool is not None or self.dataset.is_stored
        ahead = ReadAhead(chunks, self.ahead) if apart else nullcontext(chunks)
        with self.dataset.unchanged(), ahead as read:
            yield self._told(phase, ordered_map(self.pool, take, read, self.ahead))

    def _told(self, phase: str, all_rows: Iterable[Counted]) -> Iterator[Counted]:
        done = 0
        for rows in all_rows:
            yield rows
            done += rows.ledger.rows_read
            if self.progress:
                self.progress(Progress(phase, done, rows.consumed, self.dataset.size))


@contextmanager
def open_reading(
    dataset: Dataset, files: ReadOptions, progress: ProgressCallback | None = None
) -> Iterator[Reading]:
    """Give what a dataset is read with, where nothing is written."""
    with open_pool(files) as pool:
        yield Reading(dataset, files, pool, progress)


@dataclass(frozen=True)
class Run(Reading):
    """A dataset, what it is worked on with, and the bytes that the output may take."""

    # Options that make the output smaller, for people.
    less: ClassVar[str] = "--maxlen or --limit"

    files: FileOptions
    room: int | None


def choose_threads(files: FileOptions, source: str, goal: str) -> FileOptions:
    """Return the options with one thread between JSON Lines, unless a number was asked for.

    Both ends are Python's work there, one thread at a time: a second one only gets in the way.

    Args:
        files: what was asked for.
        source, goal: formats of the input and the output.
    """
    return replace(files, threads=1) if files.threads is None and source == goal == "jsonl" else files


def open_pool(files: ReadOptions) -> AbstractContextManager[ThreadPoolExecutor | None]:
    """Return the threads that batches are worked on with; none where one is enough."""
    threads = files.threads or cores()
    return ThreadPoolExecutor(threads, "padmask") if threads > 1 else nullcontext()


@dataclass(frozen=True)
class RowSink:
    """Where rows go, and those that are not written."""

    writer: Writer
    rejects: SideFile | None

    def write(self, encoded: Any, refused: Sequence[RejectedRow]) -> None:
        """Write a piece that the writer encoded, and the rows that were left out of it."""
        self.writer.append(encoded)
        if self.rejects is None or not refused:
            return
        # Bad rows were set aside before overlong ones: back in the order of the input.
        for one in sorted(refused, key=lambda one: int(one.batch.numbers[one.row])):
            self.rejects.write(format_reject(one.batch, one.row, one.reason))


def _name_of(goal: str) -> str:
    return "stdout" if goal == "-" else display_path(goal)


@contextmanager
def open_sink(
    run: Run, goal: str, format_: str, layout: Layout, sealed: Callable[[int], None] | None = None
) -> Iterator[RowSink]:
    """Give where rows go; when the block ends well, all files are at their goals.

    Args:
        run: whose rows they are.
        goal: path or address of the output.
        format_: of the output.
        layout: of its rows.
        sealed: called with the descriptor of the finished file, before it is at its goal.
    """
    with ExitStack() as stack:
        # Arrow files end in a footer that points back: a pipe gets the streaming format.
        raw = cast(
            BinaryIO,
            LimitedStream(
                stack.enter_context(open_output(goal, sealed)), run.room, display_path(goal), run.less
            ),
        )
        stream = stack.enter_context(open_compressed(raw, goal))
        rejects = None if run.files.rejects is None else stack.enter_context(SideFile(run.files.rejects))
        writer = open_writer(
            format_,
            stream,
            replace(layout, name=_name_of(goal)),
            as_stream=goal == "-",
            threads=run.threads,
            folder=spool_folder(goal),
        )
        stack.push(lambda kind, *_: writer.abandon() if kind else None)
        yield RowSink(writer, rejects)
        writer.finish()
