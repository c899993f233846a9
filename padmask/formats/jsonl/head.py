"""`Head`: the fields of JSON Lines and their types, detected from the first rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from padmask.core.arrow_lists import Kind
from padmask.formats.jsonl.kinds import TokenKinds, value_type

read_value = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class Head:
    """The fields of the first rows.

    >>> Head.of([{"ids": msgspec.Raw(b"[7,8]")}, {"id": msgspec.Raw(b"3")}]).schema.names
    ['ids', 'id']

    Args:
        schema: types of the fields. A list field has the type of most rows.
        kinds: for each field, the number of rows with each kind of token.
    """

    schema: pa.Schema
    kinds: Mapping[str, TokenKinds]

    @classmethod
    def of(cls, objects: Iterable[Mapping[str, msgspec.Raw]]) -> Head:
        """Return the fields of rows. The rows are dicts from keys to JSON text."""
        fields: dict[str, list[Any]] = {}
        for row in objects:
            for name, raw in row.items():
                fields.setdefault(name, []).append(value_or_none(raw))
        kinds = {
            name: TokenKinds(value for value in values if isinstance(value, list))
            for name, values in fields.items()
        }
        types = [(name, _head_type(values, kinds[name])) for name, values in fields.items()]
        return cls(pa.schema(types), kinds)

    def sequence_type(self, name: str, kind: Kind | None) -> pa.DataType | None:
        """Return the list type of a field; None if the field contains no tokens.

        Args:
            name: name of the field.
            kind: requested kind of token. If None, the rows determine the kind.
        """
        return self.kinds[name].sequence(kind) if name in self.kinds else None


def value_or_none(text: Any) -> Any:
    """Return the value of JSON text; None if the text cannot be parsed."""
    try:
        return read_value(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _head_type(values: list[Any], kinds: TokenKinds) -> pa.DataType:
    """Return an approximate Arrow type for a field, which is used only to choose the columns to pad."""
    if any(isinstance(value, list) for value in values):
        return kinds.list_type() or pa.list_(pa.null())
    first = next((value for value in values if value is not None), None)
    return pa.null() if first is None else value_type(first)
