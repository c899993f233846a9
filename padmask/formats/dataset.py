"""`Dataset`: the inputs of a run. All inputs have the same format and are read one after another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from itertools import compress

import pyarrow as pa

from padmask.core.arrow_lists import Kind
from padmask.errors import ChangedError, DataError, SpecError, UnreadableError
from padmask.formats import input_format, join_columns, open_reader
from padmask.formats.contract import HEAD_ROWS, Batch, Chunk, InputColumns, Reader, Wanted
from padmask.formats.typed_columns import SCHEMAS_AT_ONCE, read_schemas
from padmask.spec.files import ReadOptions
from padmask.spec.warning_names import Warned
from padmask.storage.inputs import find_inputs
from padmask.storage.source import Source, sources_of


def _fault_of(reader: Reader) -> UnreadableError | None:
    """Read the columns of an input, and return the error; None if the columns can be read."""
    try:
        reader.schema()
    except UnreadableError as error:
        return error
    return None


class Dataset:
    """The inputs of a run. They have the same format.

    Args:
        sources: the inputs, in the order in which they are read.
        format_: format of all inputs. If None, the format is detected.
        batch_rows: number of rows to read at a time, for Parquet and NumPy arrays. None means the default.
        schema: columns of the complete dataset, if the inputs are only a part of it; otherwise None.
        notes: warnings, such as names of files that are not read.

    Raises:
        DataError: an input cannot be read, or the columns of the inputs have no common types.
        SpecError: the inputs have different formats.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        format_: str | None = None,
        batch_rows: int | None = None,
        schema: pa.Schema | None = None,
        notes: Sequence[Warned] = (),
    ) -> None:
        self.notes = tuple(notes)
        self._sources = sources
        self._found = [source.first_version() for source in self._sources]
        formats = [input_format(source, format_) for source in self._sources]
        odd = next((i for i, found in enumerate(formats) if found != formats[0]), None)
        if odd is not None:
            raise SpecError(
                f"The inputs have different formats: {self._sources[0].name} is {formats[0].name}, but "
                f"{self._sources[odd].name} is {formats[odd].name}. Use only one format in each run."
            )
        self.format = formats[0]
        self._readers = [open_reader(self.format, source, batch_rows) for source in self._sources]
        self._schema = schema
        self._columns = self._joined()
        self._leaves_out = False

    def _joined(self) -> InputColumns:
        """Return the common columns of the inputs."""
        return join_columns(self.format, self._sources, self._readers, self._schema)

    @property
    def name(self) -> str:
        """Name of the inputs, for messages."""
        first = self._sources[0].name
        return first if len(self._sources) == 1 else f"{first} and {len(self._sources) - 1} more"

    @property
    def names(self) -> list[str]:
        """Names of all inputs. `Chunk.source` is one of these names."""
        return [source.name for source in self._sources]

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Add the name of the inputs to each SpecError that the `with` block raises."""
        try:
            yield
        except SpecError as error:
            if error.place is not None:
                raise
            raise error.reworded(f"{self.name}: {error}") from None

    @property
    def unlisted_files(self) -> list[str]:
        """Names of the inputs that the manifest of their folder does not list."""
        return [source.name for source in self._sources if source.unlisted]

    @property
    def is_stored(self) -> bool:
        """Whether an input is in remote storage."""
        return any(source.url is not None for source in self._sources)

    @property
    def spool_folder(self) -> str | None:
        """Folder for temporary files. If None, the system's folder is used."""
        return self._sources[0].spool_folder

    @property
    def size(self) -> int | None:
        """Size of all inputs in bytes; None if an input is a pipe."""
        sizes = [source.size for source in self._sources]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def once(self) -> bool:
        """Whether an input is a pipe that has not been copied to a temporary file."""
        return any(source.once for source in self._sources)

    def spool(self, limit: int | None = None) -> None:
        """Copy pipes, or their first `limit` rows, to temporary files, so that the rows can be read again."""
        for source in self._sources:
            source.spool(limit)

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def is_input(self, file: os.stat_result) -> bool:
        """Return whether a file, given its status, is one of the inputs."""
        local = (
            found
            for source, found in zip(self._sources, self._found, strict=True)
            if found and source.url is None
        )
        return any((file.st_dev, file.st_ino) == found[:2] for found in local)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Check at the end of the `with` block that no input changed. All passes must read the same rows.

        Raises:
            ChangedError: an input was written, replaced or removed. This error takes precedence over an
                error in the block, because the change may have caused that error.
        """
        try:
            yield
        except BrokenPipeError:
            raise
        except Exception:
            self._refuse_changed()
            raise
        self._refuse_changed()

    def _refuse_changed(self) -> None:
        for source, found in zip(self._sources, self._found, strict=True):
            if found is None:
                continue
            try:
                now = source.version()
            except DataError:
                now = None
            if now != found:
                raise ChangedError(
                    f"{source.name} was {'changed' if now else 'removed'} while it was read. Make sure that "
                    "no other program writes to it, and run padmask again."
                )

    def schema(self) -> pa.Schema:
        """Return the common columns of all inputs."""
        return self._columns.schema()

    def lacking_end(self, limit: int | None = None) -> list[str]:
        """Return the names of the inputs that have no end-of-stream marker.

        Args:
            limit: maximum number of rows to read. Inputs that are not read to the end are omitted.
        """
        names = [source.name for source in self._sources]
        lacking = [reader.lacks_end() for reader in self._readers]
        if limit is not None and any(lacking):
            lacking = lacking[: self._count_ended(limit)]
        return [name for name, lacks in zip(names, lacking, strict=False) if lacks]

    def _count_ended(self, limit: int) -> int:
        """Return the number of inputs that are read to the end if at most `limit` rows are read."""
        nothing = Wanted(pa.schema([]))
        for ended, reader in enumerate(self._readers):
            with suppress(UnreadableError):
                for chunk in reader.chunks(nothing):
                    limit -= reader.cut(chunk, limit)[1]
                    if limit <= 0:
                        return ended
        return len(self._readers)

    def leave_unreadable(self) -> dict[str, str]:
        """Leave out the inputs whose columns cannot be read, and return their error messages, keyed by path.

        Afterwards, `look` skips inputs whose rows cannot be read.

        Raises:
            UnreadableError: no input can be read.
        """
        with ThreadPoolExecutor(SCHEMAS_AT_ONCE, "padmask-schema") as pool:
            faults = list(pool.map(_fault_of, self._readers))
        if faults[0] is not None and None not in faults:
            raise faults[0]
        self._leaves_out = True
        readable = [fault is None for fault in faults]
        reasons = {s.path: str(fault) for s, fault in zip(self._sources, faults, strict=True) if fault}
        self._sources = list(compress(self._sources, readable))
        self._found = list(compress(self._found, readable))
        self._readers = list(compress(self._readers, readable))
        self._columns = self._joined()
        return reasons

    def schemas(self) -> dict[str, pa.Schema]:
        """Return the columns of each input, keyed by input name. JSON Lines without rows have no columns."""
        names = (source.name for source in self._sources)
        return dict(zip(names, read_schemas(self._readers), strict=True))

    def types_of(self, name: str) -> dict[str, str]:
        """Return the type of a column in each input, keyed by input name. Omit inputs without the column."""
        schemas = self._columns.typed_schemas()
        return {
            source: str(schema.field(name).type) for source, schema in schemas.items() if name in schema.names
        }

    def look(self, wanted: Wanted) -> Iterator[Batch]:
        """Yield rows from the start. `chunks` later returns these rows again, even for a pipe."""
        for reader in self._readers:
            try:
                for batch in reader.look(wanted):
                    yield self._columns.align(batch, wanted)
            except UnreadableError:
                if not self._leaves_out:
                    raise

    def head(self, wanted: Wanted) -> Batch | None:
        """Return at most `HEAD_ROWS` of the first rows; None if there are no rows."""
        first = next((batch for batch in self.look(wanted) if len(batch)), None)
        return None if first is None else first.slice(0, min(len(first), HEAD_ROWS))

    def starting_with(self, name: str) -> Dataset:
        """Return a dataset that starts with the first input that has the column `name`."""
        names = (reader.schema().names for reader in self._readers)
        start = next((i for i, known in enumerate(names) if name in known), 0)
        if start == 0:
            return self
        rest = copy(self)
        rest._sources, rest._found = self._sources[start:], self._found[start:]
        rest._readers = self._readers[start:]
        rest._schema = None if self.format.is_text else self.schema()
        rest._columns = rest._joined()
        return rest

    def sequence_types(self, names: Sequence[str], kinds: Mapping[str, Kind] | None = None) -> pa.Schema:
        """Return the list types of columns. In JSON Lines, the first tokens determine the types.

        Args:
            names: names of the columns.
            kinds: requested kind of token for each column (int, float or string), keyed by column name.
        """
        return self._columns.sequence_types(names, kinds or {}, self.look)

    def chunks(self, wanted: Wanted, limit: int | None = None) -> Iterator[Chunk]:
        """Split all inputs, or their first `limit` rows, into chunks in order."""
        before = 0
        for source, reader in zip(self._sources, self._readers, strict=True):
            for chunk in reader.chunks(wanted):
                if limit is not None:
                    chunk, rows = reader.cut(chunk, limit)
                    limit -= rows
                yield replace(chunk, consumed=before + chunk.consumed)
                if limit == 0:
                    return
            before += source.size or 0

    def decode(self, chunk: Chunk, wanted: Wanted) -> Batch:
        """Decode a chunk. This is a pure function that any thread may call."""
        return self._columns.align(self._readers[0].decode(chunk, wanted), wanted)

    def complete(self, batch: Batch, wanted: Wanted) -> Batch:
        """Add the requested columns that `decode` left as JSON text."""
        return self._columns.complete(batch, wanted)


def open_inputs(paths: Sequence[str], files: ReadOptions) -> Dataset:
    """Return the data files of inputs as one dataset, for commands that only read.

    Raises:
        AccessError: a folder has no data files, or a pattern has no matches.
        SpecError: standard input is given twice, or the inputs have different formats.
    """
    found = find_inputs(paths)
    return Dataset(sources_of(found.files), files.input_format, files.batch_rows, notes=found.notes)
