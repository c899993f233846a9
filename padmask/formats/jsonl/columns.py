"""Detect the columns of JSON Lines inputs from their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice

import pyarrow as pa

from padmask.core.arrow_lists import Kind, list_of
from padmask.formats.contract import Batch, Wanted
from padmask.formats.jsonl.head import Head
from padmask.formats.jsonl.reader import JsonlReader, add_other_columns, first_list_type, first_objects
from padmask.storage.source import Source

# Number of chunks in which to search for the first token of a field. A pipe without tokens would otherwise be
# read and buffered endlessly.
TOKEN_CHUNKS = 256


class JsonColumns:
    """The columns of JSON Lines inputs, detected from the first rows of all inputs together.

    Args:
        sources: the inputs.
        readers: reader of each input.
        schema: columns of the complete dataset, if `sources` are only some of its files; otherwise None.
    """

    def __init__(
        self, sources: Sequence[Source], readers: Sequence[JsonlReader], schema: pa.Schema | None
    ) -> None:
        self._readers, self._schema = readers, schema

    @cached_property
    def _head(self) -> Head:
        [first, *others] = self._readers
        return Head.of(first_objects(self._readers)) if others else first.head

    def schema(self) -> pa.Schema:
        """Return the columns of the first rows. Later rows can have additional columns."""
        return self._head.schema if self._schema is None else self._schema

    def typed_schemas(self) -> Mapping[str, pa.Schema]:
        """Return an empty mapping. JSON Lines has no column types."""
        return {}

    def sequence_types(
        self, names: Sequence[str], kinds: Mapping[str, Kind], look: Callable[[Wanted], Iterator[Batch]]
    ) -> pa.Schema:
        """Return the list types of fields, detected from the first rows with tokens."""
        types = {name: self._head.sequence_type(name, kinds.get(name)) for name in names}
        unknown = {name for name, type_ in types.items() if type_ is None}
        for batch in islice(look(Wanted(pa.schema([]))), TOKEN_CHUNKS if unknown else 0):
            assert batch.objects is not None
            for name in sorted(unknown):
                types[name] = first_list_type(batch.objects, name, kinds.get(name))
            unknown = {name for name, type_ in types.items() if type_ is None}
            if not unknown:
                break
        without = {name: list_of(kinds.get(name, "int")) for name in unknown}
        return pa.schema({**types, **without}.items())

    def align(self, batch: Batch, wanted: Wanted) -> Batch:
        """Return the batch unchanged, because each JSON row contains its field names."""
        return batch

    def complete(self, batch: Batch, wanted: Wanted) -> Batch:
        """Add the fields of `wanted.others` as columns. Without `wanted.others`, return the batch unchanged.

        Raises:
            OtherTypesError: the types of the rows are not the types that `wanted.check` expects.
        """
        return batch if wanted.others is None else add_other_columns(batch, wanted)
