"""Detect the token type of a JSON field: ints, floats, strings or vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any, Literal

import pyarrow as pa

from padmask.core.arrow_lists import TOKEN_TYPES, Kind

# Nesting depth of the lists in a row: 1 for plain tokens, 2 for vectors.
Depth = Literal[1, 2]

_KINDS = {int: "number", float: "number", str: "string", bool: "bool", dict: "object", list: "list"}


class TokenKinds:
    """Counts how many rows of a field have each kind of token, to determine the token type.

    The most frequent kind (numbers, strings, bools or vectors) is used, so that a single bad row does not
    make other rows bad. If two kinds are equally frequent, plain tokens take precedence over vectors.
    Otherwise, the kind that occurs first is used. Numbers are floats if the first row of numbers contains a
    float, otherwise ints.

    >>> TokenKinds([[["a"]], [2, 1.0], [3]]).sequence()
    ListType(list<item: double>)
    >>> TokenKinds([["a"], ["b"], [3]]).sequence("int")
    ListType(list<item: int64>)

    Args:
        rows: the lists among the values of the field.
    """

    def __init__(self, rows: Iterable[list[Any]]) -> None:
        self._rows: Counter[tuple[Depth, str]] = Counter()
        self._types: dict[tuple[Depth, str], pa.DataType] = {}
        for row in rows:
            token = next((token for token in row if token is not None), None)
            if isinstance(token, bool):
                # A bool among other tokens is a bad token.
                token = next((other for other in row if not isinstance(other, bool | None)), token)
            if token is not None:
                self._observe(row, token)

    def _observe(self, row: list[Any], token: Any) -> None:
        depth: Depth = 2 if isinstance(token, list) else 1
        if depth == 2:
            # Empty vectors are vectors of numbers, but do not determine whether these are ints or floats.
            token = next((vector[0] for vector in row if isinstance(vector, list) and vector), 0)
        key = depth, _KINDS.get(type(token), "null")
        self._rows[key] += 1
        if key not in self._types and (depth == 1 or any(row)):
            self._types[key] = _type_in(row if depth == 1 else _inner(row), token)

    def sequence(self, kind: Kind | None = None) -> pa.DataType | None:
        """Return the list type of the tokens; None if no row contains a token.

        Args:
            kind: requested kind of token. If None, or if no row has this kind, the most frequent kind is
                used.
        """
        tokens = [key for key in self._rows if key[1] in ("number", "string", "bool")]
        wanted = "number" if kind in ("int", "float") else kind
        matching = [key for key in tokens if wanted in (None, key[1])]
        if not tokens:
            return None
        key = self._most_frequent(matching or tokens)
        return self._nest(key, TOKEN_TYPES[kind] if kind is not None and matching else self._types.get(key))

    def list_type(self) -> pa.DataType | None:
        """Return the list type of the most frequent kind of token; None if no row contains a token.

        Unlike `sequence`, this method includes kinds that cannot be padded, such as objects.
        """
        if not self._rows:
            return None
        key = self._most_frequent(list(self._rows))
        return self._nest(key, self._types.get(key))

    def _most_frequent(self, keys: list[tuple[Depth, str]]) -> tuple[Depth, str]:
        return max(keys, key=lambda key: (self._rows[key], -key[0]))

    def _nest(self, key: tuple[Depth, str], token: pa.DataType | None) -> pa.DataType:
        # Compare with None, because the type of an object has no fields here, so bool(type) is False.
        items = pa.list_(pa.int64() if token is None else token)
        return items if key[0] == 1 else pa.list_(items)


def _inner(row: list[Any]) -> list[Any]:
    return list(chain.from_iterable(vector for vector in row if isinstance(vector, list)))


def _type_in(tokens: list[Any], first: Any) -> pa.DataType:
    """Return the token type of a row from its first token. Numbers are floats if the row contains a float."""
    floats = _KINDS.get(type(first)) == "number" and float in map(type, tokens)
    return pa.float64() if floats else value_type(first)


def value_type(value: Any) -> pa.DataType:
    """Return an approximate Arrow type for a JSON value, which is used only to choose the columns to pad.

    >>> value_type([0.5]), value_type({"a": 1})
    (ListType(list<item: double>), StructType(struct<>))
    """
    if isinstance(value, list):
        return pa.list_(value_type(next(iter(value), 0)))
    if isinstance(value, dict):
        return pa.struct([])
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, float):
        return pa.float64()
    return pa.string() if isinstance(value, str) else pa.int64()
