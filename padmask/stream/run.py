"""The reading loop, the thread pool and the output file of all commands.

This module does not depend on how rows are processed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, ClassVar, Protocol, TypeVar, cast

from padmask.formats import format_reject, open_writer
from padmask.formats.contract import Chunk, Layout, Wanted, Writer, WriterOptions
from padmask.formats.dataset import Dataset
from padmask.spec.files import FileOptions, ReadOptions
from padmask.spec.formats import FormatTraits
from padmask.storage.array_folder import open_folder
from padmask.storage.output import LimitedStream, SideFile, open_compressed, open_output
from padmask.storage.system import cores
from padmask.storage.urls import display_path
from padmask.stream.inputs import spool_folder
from padmask.stream.ledger import Ledger
from padmask.stream.overlap import Item, ReadAhead, open_pool, ordered_map
from padmask.stream.paddable_rows import RejectedRow
from padmask.stream.progress import Progress, ProgressCallback

# Number of positions in a row group or record batch of the output.
GROUP_POSITIONS = 1 << 22


class CountedRows(Protocol):
    """Rows with the counts that the reading loop needs to report progress."""

    @property
    def ledger(self) -> Ledger: ...

    @property
    def consumed(self) -> int: ...


Counted = TypeVar("Counted", bound=CountedRows)


@dataclass(frozen=True)
class Reading:
    """A dataset to read, and the options, thread pool and progress callback for reading."""

    dataset: Dataset
    files: ReadOptions
    pool: ThreadPoolExecutor | None
    progress: ProgressCallback | None

    @property
    def threads(self) -> int:
        """Number of chunks that are processed at the same time."""
        return self.files.threads or cores()

    @property
    def ahead(self) -> int:
        """Number of chunks that may be in memory at the same time."""
        return 2 * self.threads

    @contextmanager
    def map_chunks(
        self, phase: str, wanted: Wanted, process: Callable[[Chunk], Counted]
    ) -> Iterator[Iterator[Counted]]:
        """Call `map_parts` with all chunks of the dataset. `wanted` says which columns to read."""
        with self.map_parts(phase, self.dataset.chunks(wanted, self.files.limit), process) as results:
            yield results

    @contextmanager
    def map_parts(
        self, phase: str, chunks: Iterable[Item], process: Callable[[Item], Counted]
    ) -> Iterator[Iterator[Counted]]:
        """Let the threads of the pool process all chunks, and iterate over the results in order.

        A separate thread reads chunks in advance.

        Args:
            phase: name of this pass in progress reports.
            chunks: chunks of the dataset, or of rows that an earlier pass kept.
            process: function that converts a chunk to rows.
        """
        # Remote storage has a long latency, so a thread fetches chunks while earlier chunks are processed.
        threaded = self.pool is not None or self.dataset.is_stored
        reader = ReadAhead(chunks, self.ahead) if threaded else nullcontext(chunks)
        with self.dataset.unchanged(), reader as read:
            yield self._report_progress(phase, ordered_map(self.pool, process, read, self.ahead))

    def _report_progress(self, phase: str, all_rows: Iterable[Counted]) -> Iterator[Counted]:
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
    """Open the thread pool for reading a dataset without writing an output."""
    with open_pool(files) as pool:
        yield Reading(dataset, files, pool, progress)


@dataclass(frozen=True)
class Run(Reading):
    """A run that writes an output of at most `max_bytes` bytes; None means no limit."""

    # Options to suggest in the error message if the output would exceed `max_bytes`.
    size_options: ClassVar[str] = "--maxlen or --limit"

    files: FileOptions
    max_bytes: int | None


@dataclass(frozen=True)
class RowSink:
    """A writer for the output and the `--rejects` file.

    `column_notes` and `metadata` are as in `WriterOptions`.
    """

    writer: Writer
    rejects: SideFile | None
    column_notes: dict[str, str] = field(default_factory=dict)
    metadata: dict[bytes, bytes] = field(default_factory=dict)

    def write(self, encoded: Any, refused: Sequence[RejectedRow]) -> None:
        """Write encoded rows to the output, and refused rows to the `--rejects` file."""
        self.writer.append(encoded)
        self.refuse(refused)

    def refuse(self, refused: Sequence[RejectedRow]) -> None:
        """Write refused rows to the `--rejects` file."""
        write_refused(self.rejects, refused)


def write_refused(rejects: SideFile | None, refused: Sequence[RejectedRow]) -> None:
    """Write refused rows to the `--rejects` file, in the order of the input."""
    if rejects is None or not refused:
        return
    # Bad rows are refused before overlong rows. Restore the order of the input.
    for rejected in sorted(refused, key=lambda rejected: int(rejected.batch.numbers[rejected.row])):
        rejects.write(format_reject(rejected.batch, rejected.row, rejected.reason))


def _name_of(output: str) -> str:
    return "stdout" if output == "-" else display_path(output)


@contextmanager
def open_sink(
    run: Run,
    output: str,
    format_: FormatTraits,
    layout: Layout,
    sealed: Callable[[int], None] | None = None,
    final_path: str | None = None,
) -> Iterator[RowSink]:
    """Open the output and the `--rejects` file. Both are created only if the `with` block succeeds.

    Args:
        run: the run that writes the output.
        output: path or URL of the output.
        format_: format of the output.
        layout: schema, row shapes and row groups of the output.
        sealed: function that is called with the descriptor of the complete file before the file is renamed.
        final_path: path or URL to which the caller moves the complete file. Errors show this path.
    """
    shown = final_path or output
    with ExitStack() as stack:
        # An Arrow file has a footer with offsets, so the streaming format is written to a pipe.
        if format_.is_folder:
            stream: Any = stack.enter_context(open_folder(output, run.max_bytes, run.size_options))
        else:
            file = stack.enter_context(open_output(output, sealed, shown))
            limited = LimitedStream(file, run.max_bytes, display_path(shown), run.size_options)
            stream = stack.enter_context(open_compressed(cast(BinaryIO, limited), output))
        rejects = None if run.files.rejects is None else stack.enter_context(SideFile(run.files.rejects))
        options = WriterOptions(as_stream=output == "-", threads=run.threads, folder=spool_folder(output))
        writer = open_writer(format_, stream, replace(layout, name=_name_of(shown)), options)
        stack.push(lambda kind, *_: writer.abandon() if kind else None)
        yield RowSink(writer, rejects, options.column_notes, options.metadata)
        writer.finish()
