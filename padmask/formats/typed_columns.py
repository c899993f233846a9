"""The columns that inputs with types of their own have together: one schema, to which each batch is cast."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import Kind, take_rows
from padmask.errors import DataError, Fault
from padmask.formats.contract import Batch, Reader, Wanted
from padmask.storage.source import Source

# From so many inputs on, so many of them are asked for their columns at once.
MANY_INPUTS = 8

SCHEMAS_AT_ONCE = 16


class TypedColumns:
    """The columns of inputs that know their types.

    Args:
        sources: the inputs.
        readers: of the inputs.
        schema: the columns of the larger dataset that these are a part of; None where they are all.
    """

    def __init__(
        self, sources: Sequence[Source], readers: Sequence[Reader], schema: pa.Schema | None
    ) -> None:
        self._sources, self._readers, self._schema = sources, readers, schema
        # One input whose columns are those of the dataset needs none of them added or cast.
        self._alone = len(readers) == 1 and schema is None

    def schema(self) -> pa.Schema:
        """Return all columns, in types that the values of every input fit."""
        if self._schema is None:
            self._schema = self._unified()
        return self._schema

    def _unified(self) -> pa.Schema:
        schemas = read_schemas(self._readers)
        if all(schema.equals(schemas[0]) for schema in schemas):
            return schemas[0]
        unified = schemas[0]
        for source, schema in zip(self._sources, schemas, strict=True):
            try:
                unified = pa.unify_schemas([unified, schema], promote_options="permissive")
            except pa.ArrowException as error:
                said = str(error).splitlines()[0].rstrip(".")
                raise DataError(
                    f"{source.name}: its columns do not go with those of {self._sources[0].name}: {said}. "
                    "Fix the types, or pad the files apart."
                ) from None
        return unified

    def typed_schemas(self) -> Mapping[str, pa.Schema]:
        """Return the columns of each input by its name."""
        names = (source.name for source in self._sources)
        return dict(zip(names, read_schemas(self._readers), strict=True))

    def sequence_types(
        self, names: Sequence[str], kinds: Mapping[str, Kind], look: Callable[[Wanted], Iterator[Batch]]
    ) -> pa.Schema:
        """Return the list types of columns, which the inputs give."""
        return pa.schema([self.schema().field(name) for name in names])

    def align(self, batch: Batch, wanted: Wanted) -> Batch:
        """Give a batch the columns of all inputs, null where its own input has none."""
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
            Fault(row, f"the file has no column {name!r}", options=("columns",))
            for name in missing
            for row in range(len(batch))
        ]
        columns = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return replace(batch, columns=columns, faults=[*batch.faults, *faults])

    def complete(self, batch: Batch, wanted: Wanted) -> Batch:
        """Return the batch: a reader decodes all columns at once."""
        return batch


def read_schemas(readers: Sequence[Reader]) -> list[pa.Schema]:
    """Return the columns of each input; of many, asked for at once: a storage answers late."""
    if len(readers) < MANY_INPUTS:
        return [reader.schema() for reader in readers]
    with ThreadPoolExecutor(SCHEMAS_AT_ONCE, "padmask-schema") as pool:
        return list(pool.map(lambda reader: reader.schema(), readers))


def _cast(batch: Batch, field: pa.Field) -> pa.Array:
    """Return a batch's column in the type that all inputs have together."""
    column = batch.columns.column(field.name)
    try:
        return column.cast(field.type)
    except pa.ArrowException:
        row = next((row for row in range(len(batch)) if not _can_be(column, row, field.type)), 0)
        raise DataError(
            f"{batch.place(row)}: column {field.name!r} of type {column.type} cannot become {field.type}, as "
            "the other files ask for. Fix the types, or pad the files apart."
        ) from None


def _can_be(column: pa.Array, row: int, type_: pa.DataType) -> bool:
    try:
        # Not of a slice: the values beside it would be cast too.
        take_rows(column, np.array([row])).cast(type_)
    except pa.ArrowException:
        return False
    return True
