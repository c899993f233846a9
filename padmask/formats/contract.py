"""The contract between formats and everything else: `Batch`, `Chunk`, `Reader`, `InputColumns`, `Writer`.

It speaks Arrow and knows no padding.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import Kind, to_arrow
from padmask.errors import Fault, Place

# A reader looks at this many rows before it says which columns there are.
HEAD_ROWS = 1000

# Or fewer, where rows are this large together: they are held at once.
HEAD_BYTES = 16 << 20

# What a user should know of an input that lacks its end.
LACKS_END = "the Arrow stream ends without its end mark, so rows may be missing"


@dataclass(frozen=True)
class Batch:
    """Some rows of an input.

    Args:
        columns: the rows as Arrow columns; null where a row has a fault of its own.
        source: name of the input, for people.
        numbers: of each row, shape (rows,): lines from 1, or rows from 0.
        unit: `"line"` or `"row"`, what `numbers` count.
        objects: of JSON Lines, each row's object with the text of its values untouched.
        lines: of JSON Lines, each row's own text.
        faults: rows that could not be read, in order.
    """

    columns: pa.RecordBatch
    source: str
    numbers: npt.NDArray[np.int64]
    unit: str
    objects: Sequence[dict[str, Any]] | None = None
    lines: Sequence[bytes] | None = None
    faults: Sequence[Fault] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, row: int) -> Place:
        """Return where a row of this batch is.

        >>> str(Batch(pa.record_batch({"a": [1]}), "x.jsonl", np.array([12]), "line").place(0))
        'x.jsonl, line 12'
        """
        return Place(self.source, self.unit, int(self.numbers[row]))

    def select(self, rows: npt.NDArray[np.int64]) -> Batch:
        """Return these rows, by number; faults are left behind."""
        return Batch(
            pa.RecordBatch.from_arrays(
                [take_rows(column, rows) for column in self.columns.columns], schema=self.columns.schema
            ),
            self.source,
            self.numbers[rows],
            self.unit,
            None if self.objects is None else [self.objects[row] for row in rows.tolist()],
            None if self.lines is None else [self.lines[row] for row in rows.tolist()],
        )

    def slice(self, start: int, stop: int) -> Batch:
        """Return the rows from `start` up to `stop`, with their faults."""
        return Batch(
            self.columns.slice(start, stop - start),
            self.source,
            self.numbers[start:stop],
            self.unit,
            None if self.objects is None else self.objects[start:stop],
            None if self.lines is None else self.lines[start:stop],
            [replace(fault, row=fault.row - start) for fault in self.faults if start <= fault.row < stop],
        )


@dataclass(frozen=True)
class Chunk:
    """A piece of input as cheap to cut off as possible; `decode` does the work.

    Args:
        source: name of the input.
        first: number of its first line (from 1) or row (from 0).
        data: bytes of whole lines, or a record batch.
        consumed: bytes of the input used up so far, for progress.
    """

    source: str
    first: int
    data: Any
    consumed: int


@dataclass(frozen=True)
class Wanted:
    """Which columns a pass over the input needs.

    Args:
        sequences: the columns to pad, with their list types as the reader's schema has them.
        others: all columns in their order, with the types of those that are no sequences; None to
            leave the others out, or, for JSON Lines, to leave them as the text they are.
        whole: the columns of ints in which JSON Lines may write a whole one as a float, such as 1.0:
            ints were asked for there.
    """

    sequences: pa.Schema
    others: pa.Schema | None = None
    whole: Collection[str] = ()

    @property
    def schema(self) -> pa.Schema:
        """Return all columns that are read, in their own order; sequences have the types they are read as."""
        if self.others is None:
            return self.sequences
        sequences = {field.name: field for field in self.sequences}
        fields = [sequences.get(field.name, field) for field in self.others]
        missing = [field for name, field in sequences.items() if name not in self.others.names]
        return pa.schema([*fields, *missing], metadata=self.others.metadata)


class Reader(Protocol):
    """An input that can be read several times, in order. Its class takes a source and the rows at a time."""

    def schema(self) -> pa.Schema:
        """Return the columns there are; for JSON Lines, of the first rows."""

    def look(self, wanted: Wanted) -> Iterator[Batch]:
        """Give the rows from the start, without using up what can be read once only."""

    def chunks(self, wanted: Wanted) -> Iterator[Chunk]:
        """Cut the input into pieces: sequential, all input and output happens here."""

    def decode(self, chunk: Chunk, wanted: Wanted) -> Batch:
        """Turn a piece into rows: pure, may run in any thread."""

    def cut(self, chunk: Chunk, rows: int) -> tuple[Chunk, int]:
        """Return the chunk with at most its first `rows` rows, and how many it has then."""

    def lacks_end(self) -> bool:
        """Tell whether an input that can be read stops before the mark of its end."""


class InputColumns(Protocol):
    """The columns that inputs of one format have together."""

    def schema(self) -> pa.Schema:
        """Return all columns; of a part of a dataset, those of the whole dataset."""

    def typed_schemas(self) -> Mapping[str, pa.Schema]:
        """Return the columns of each input by its name, where the input itself gives their types."""

    def sequence_types(
        self, names: Sequence[str], kinds: Mapping[str, Kind], look: Callable[[Wanted], Iterator[Batch]]
    ) -> pa.Schema:
        """Return the list types of columns, whose tokens shall be of `kinds`; `look` gives the first rows."""

    def align(self, batch: Batch, wanted: Wanted) -> Batch:
        """Give a batch of one input the columns that all inputs have together."""

    def complete(self, batch: Batch, wanted: Wanted) -> Batch:
        """Return a batch with all the columns that are wanted, where decoding left some out."""


@dataclass(frozen=True)
class Layout:
    """How a writer lays its rows out.

    Args:
        schema: of the output.
        shapes: of the columns in which every row has the same shape, without the rows' own axis.
        group_rows: rows in a row group or record batch, whatever the batches that arrive.
        copies: names under which a column of that shape is written once more, and the column (npz).
        ragged: the columns of sequences in which every row has its own length.
        name: of the output, for people.
    """

    schema: pa.Schema
    shapes: Mapping[str, tuple[int, ...]]
    group_rows: int
    copies: Mapping[str, str] = field(default_factory=dict)
    ragged: Collection[str] = ()
    name: str = "The output"


@dataclass(frozen=True)
class WriterOptions:
    """What a writer works with.

    Args:
        as_stream: whether the output cannot be moved about in.
        threads: how many columns may be encoded at once, where the format has such.
        folder: where temporary files go, where the format needs such.
    """

    as_stream: bool
    threads: int
    folder: str


class Writer(Protocol):
    """An output that takes batches in order. Its class takes a stream, a `Layout` and `WriterOptions`."""

    def encode(self, batch: Batch) -> Any:
        """Turn rows into what `append` takes: pure, may run in any thread."""

    def append(self, piece: Any) -> None:
        """Write a piece: sequential, in order."""

    def finish(self) -> None:
        """Write what must come last."""

    def abandon(self) -> None:
        """Give up: nothing more is written, and nothing is left open."""


def take_rows(column: pa.Array, rows: npt.NDArray[np.int64]) -> pa.Array:
    """Return these rows of a column, of types too that Arrow cannot take from."""
    try:
        return column.take(to_arrow(rows))
    except pa.ArrowNotImplementedError:
        pieces = [column.slice(row, 1) for row in rows.tolist()]
        return pa.concat_arrays(pieces) if pieces else column.slice(0, 0)


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """Return no rows of a schema."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
