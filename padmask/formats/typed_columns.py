"""Combine the columns of Parquet or Arrow inputs, and cast each batch to the common schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import Kind, take_rows
from padmask.core.foreign_metadata import merge_metadata
from padmask.errors import DataError, Fault
from padmask.formats.contract import Batch, Reader, Wanted
from padmask.storage.source import Source

# If there are at least this many inputs, their schemas are read in parallel.
MANY_INPUTS = 8

# Number of schemas that are read at the same time.
SCHEMAS_AT_ONCE = 16


class TypedColumns:
    """The combined columns of Parquet or Arrow inputs.

    Args:
        sources: the inputs.
        readers: reader of each input.
        schema: columns of the complete dataset, if the inputs are only a part of it; otherwise None.
    """

    def __init__(
        self, sources: Sequence[Source], readers: Sequence[Reader], schema: pa.Schema | None
    ) -> None:
        self._sources, self._readers, self._schema = sources, readers, schema
        # A single input already has the columns of the dataset.
        self._alone = len(readers) == 1 and schema is None

    def schema(self) -> pa.Schema:
        """Return all columns, with types that fit the values of every input."""
        if self._schema is None:
            self._schema = self._unified()
        return self._schema

    def _unified(self) -> pa.Schema:
        schemas = read_schemas(self._readers)
        if all(schema.equals(schemas[0]) for schema in schemas):
            return merge_metadata(schemas[0], schemas)
        unified = schemas[0]
        for source, schema in zip(self._sources, schemas, strict=True):
            try:
                unified = pa.unify_schemas([unified, schema], promote_options="permissive")
            except pa.ArrowException as error:
                reason = str(error).splitlines()[0].rstrip(".")
                raise DataError(
                    f"{source.name}: the columns do not match those of {self._sources[0].name}: {reason}. "
                    "Fix the types, or pad the files separately."
                ) from None
        return merge_metadata(unified, schemas)

    def typed_schemas(self) -> Mapping[str, pa.Schema]:
        """Return the columns of each input, keyed by input name."""
        names = (source.name for source in self._sources)
        return dict(zip(names, read_schemas(self._readers), strict=True))

    def sequence_types(
        self, names: Sequence[str], kinds: Mapping[str, Kind], look: Callable[[Wanted], Iterator[Batch]]
    ) -> pa.Schema:
        """Return the list types of columns in the common schema."""
        return pa.schema([self.schema().field(name) for name in names])

    def align(self, batch: Batch, wanted: Wanted) -> Batch:
        """Convert a batch to the combined columns of all inputs. Missing columns become null."""
        schema = self.schema() if wanted.others is not None else wanted.sequences
        names = batch.columns.schema.names
        if batch.columns.schema.equals(schema) or (self._alone and names == schema.names):
            return batch
        arrays = [
            _cast(batch, field) if field.name in names else pa.nulls(len(batch), field.type)
            for field in schema
        ]
        missing = [name for name in wanted.sequences.names if name not in names]
        faults = [
            Fault(row, "the file does not have this column", name, ("columns",))
            for name in missing
            if name not in wanted.optional
            for row in range(len(batch))
        ]
        columns = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return replace(batch, columns=columns, faults=[*batch.faults, *faults])

    def complete(self, batch: Batch, wanted: Wanted) -> Batch:
        """Return the batch unchanged, because `decode` has already read all requested columns."""
        return batch


def read_schemas(readers: Sequence[Reader]) -> list[pa.Schema]:
    """Return the columns of each input. Inputs are read in parallel, because remote storage is slow."""
    if len(readers) < MANY_INPUTS:
        return [reader.schema() for reader in readers]
    with ThreadPoolExecutor(SCHEMAS_AT_ONCE, "padmask-schema") as pool:
        return list(pool.map(lambda reader: reader.schema(), readers))


def _cast(batch: Batch, field: pa.Field) -> pa.Array:
    """Return a column of a batch, cast to the common type of all inputs."""
    column = batch.columns.column(field.name)
    try:
        return column.cast(field.type)
    except pa.ArrowException:
        row = next((row for row in range(len(batch)) if not _can_be(column, row, field.type)), 0)
        raise DataError(
            f"{batch.place(row)}: column {field.name!r} of type {column.type} cannot be converted to "
            f"{field.type}, the common type of all files. Fix the types, or pad the files separately."
        ) from None


def _can_be(column: pa.Array, row: int, type_: pa.DataType) -> bool:
    try:
        # A slice does not work here, because Arrow would cast the values next to the slice too.
        take_rows(column, np.array([row])).cast(type_)
    except pa.ArrowException:
        return False
    return True
