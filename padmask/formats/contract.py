"""The interfaces of file formats: `Reader` and `Writer`, and the classes for the rows that they process.

Rows are stored as Arrow columns. Readers and writers do not handle padding.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import Kind, select_rows
from padmask.errors import Fault, Place

# Number of rows from which the columns of JSON Lines are detected.
HEAD_ROWS = 1000

# Maximum size of these rows in memory, in bytes.
HEAD_BYTES = 16 << 20


@dataclass(frozen=True)
class Batch:
    """Decoded rows of an input.

    Args:
        columns: the rows as Arrow columns. A row that could not be read is null.
        source: name of the input, for messages.
        numbers: line number (from 1) or row number (from 0) of each row: int64, shape (rows,).
        unit: `"line"` or `"row"`, the unit of `numbers`.
        objects: for JSON Lines, a dict from keys to JSON text for each row; otherwise None.
        lines: for JSON Lines, the text of each row; otherwise None.
        faults: reasons why rows could not be read, sorted by row.
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
        """Return the location of a row in the input.

        >>> str(Batch(pa.record_batch({"a": [1]}), "x.jsonl", np.array([12]), "line").place(0))
        'x.jsonl, line 12'
        """
        return Place(self.source, self.unit, int(self.numbers[row]))

    def select(self, rows: npt.NDArray[np.int64], without: Collection[str] = ()) -> Batch:
        """Return the rows at the given indices, without their faults. Columns in `without` become null."""
        return Batch(
            select_rows(self.columns, rows, without),
            self.source,
            self.numbers[rows],
            self.unit,
            None if self.objects is None else [self.objects[row] for row in rows.tolist()],
            None if self.lines is None else [self.lines[row] for row in rows.tolist()],
        )

    def repeat(self, rows: npt.NDArray[np.int64], without: Collection[str] = ()) -> Batch:
        """Return the rows as `select` does. An index may occur several times."""
        chosen = self.select(rows, without)
        # The writer of JSON Lines changes the dicts, so repeated rows must not share a dict.
        return replace(chosen, objects=None if chosen.objects is None else list(map(dict, chosen.objects)))

    def without(self, names: Collection[str]) -> Batch:
        """Return the same rows, without the given fields in their JSON objects."""
        if self.objects is None or not names:
            return self
        kept = [{name: text for name, text in row.items() if name not in names} for row in self.objects]
        return replace(self, objects=kept)

    def slice(self, start: int, stop: int) -> Batch:
        """Return the rows from `start` to `stop` (exclusive), with their faults."""
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
    """Consecutive rows of an input that are not decoded yet.

    Args:
        source: name of the input.
        first: number of the first line (from 1) or row (from 0).
        data: bytes of complete lines, or a record batch.
        consumed: number of bytes of the input that were read so far, for progress reports.
        span: path of a local file and offset of the data, if the data is bytes of this file.
    """

    source: str
    first: int
    data: Any
    consumed: int
    span: tuple[str, int] | None = None


@dataclass(frozen=True)
class Wanted:
    """The columns to read in one pass over the input.

    Args:
        sequences: the sequence columns, with their list types.
        others: all columns in order, with the types of the columns that are not sequences. If None, the
            columns that are not sequences are omitted, or stay text in JSON Lines.
        dtype_requested: names of columns with a requested dtype. In JSON Lines, these columns may contain
            integers written as floats, such as 1.0, and floats that are rounded to the dtype.
        optional: names of sequence columns that may be null or missing.
        check: for JSON Lines, a function that raises an error if the types of rows differ from `others`. Its
            arguments are the rows, and the values of the fields that `decode` left as text, keyed by name.
    """

    sequences: pa.Schema
    others: pa.Schema | None = None
    dtype_requested: Collection[str] = ()
    optional: Collection[str] = ()
    check: Callable[[Batch, Mapping[str, list[Any]]], None] | None = None

    @property
    def schema(self) -> pa.Schema:
        """All columns to read, in order."""
        if self.others is None:
            return self.sequences
        sequences = {field.name: field for field in self.sequences}
        fields = [sequences.get(field.name, field) for field in self.others]
        missing = [field for name, field in sequences.items() if not self.others.get_all_field_indices(name)]
        return pa.schema([*fields, *missing], metadata=self.others.metadata)


class Reader(Protocol):
    """A reader for one input. The constructor arguments are a `Source` and the number of rows per batch."""

    def schema(self) -> pa.Schema:
        """Return the columns of the input. For JSON Lines, return the columns of the first rows."""

    def look(self, wanted: Wanted) -> Iterator[Batch]:
        """Yield rows from the start. `chunks` later returns these rows again, even for a pipe."""

    def chunks(self, wanted: Wanted) -> Iterator[Chunk]:
        """Split the input into chunks, in order. This method reads the input, and `decode` does not."""

    def decode(self, chunk: Chunk, wanted: Wanted) -> Batch:
        """Decode a chunk. This is a pure function that any thread may call."""

    def cut(self, chunk: Chunk, rows: int) -> tuple[Chunk, int]:
        """Keep at most the first `rows` rows of a chunk. Return the new chunk and its number of rows."""

    def lacks_end(self) -> bool:
        """Return whether the input is readable but has no end-of-stream marker."""


class InputColumns(Protocol):
    """The combined columns of several inputs that have the same format."""

    def schema(self) -> pa.Schema:
        """Return the columns of the dataset. The dataset may have more inputs than this object."""

    def typed_schemas(self) -> Mapping[str, pa.Schema]:
        """Return the columns of each input, keyed by input name. Return an empty mapping for JSON Lines."""

    def sequence_types(
        self, names: Sequence[str], kinds: Mapping[str, Kind], look: Callable[[Wanted], Iterator[Batch]]
    ) -> pa.Schema:
        """Return the list types of columns.

        Args:
            names: names of the columns.
            kinds: requested kind of token for each column (int, float or string), keyed by column name.
            look: function that reads rows from the start of the inputs.
        """

    def align(self, batch: Batch, wanted: Wanted) -> Batch:
        """Convert a batch of one input to the columns of the dataset."""

    def complete(self, batch: Batch, wanted: Wanted) -> Batch:
        """Add the requested columns that `decode` left as JSON text."""


@dataclass(frozen=True)
class Layout:
    """The schema and the row sizes of an output.

    Args:
        schema: schema of the output.
        shapes: shape of the rows of a column, keyed by column name. Columns whose rows differ in shape are
            omitted.
        group_rows: number of rows in a row group or record batch.
        ragged: names of sequence columns whose rows have different lengths.
        groups: names of two columns that limit row groups: the column of batch numbers (None if there are no
            batches), and a sequence column. Each row group has complete batches, and a maximum number of
            positions in the sequence column.
        name: name of the output, for messages.
        late: keys of the schema metadata whose values are known only at the end, with the number of bytes by
            which each value may grow. See `WriterOptions.metadata`.
    """

    schema: pa.Schema
    shapes: Mapping[str, tuple[int, ...]]
    group_rows: int
    ragged: Collection[str] = ()
    groups: tuple[str | None, str] | None = None
    name: str = "The output"
    late: Mapping[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True)
class WriterOptions:
    """Options for writers.

    Args:
        as_stream: whether the output does not support seeking.
        threads: number of columns that may be encoded at the same time.
        folder: folder for temporary files.
        column_notes: dict to which the writer adds notes on columns, for `describe_columns`.
        metadata: schema metadata that is known only at the end. The caller adds this metadata before
            `finish`. Formats that cannot store metadata at the end leave it out.
    """

    as_stream: bool
    threads: int
    folder: str
    column_notes: dict[str, str] = field(default_factory=dict)
    metadata: dict[bytes, bytes] = field(default_factory=dict)


class Writer(Protocol):
    """A writer for one output. The constructor arguments are a stream, a `Layout` and `WriterOptions`."""

    def encode(self, batch: Batch) -> Any:
        """Encode rows for `append`. This is a pure function that any thread may call."""

    def append(self, encoded: Any) -> None:
        """Write the result of `encode`. Calls must be in row order."""

    def finish(self) -> None:
        """Write the end of the file."""

    def abandon(self) -> None:
        """Close all resources without writing more data."""
