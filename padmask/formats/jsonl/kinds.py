"""Find what the tokens of a JSON column are: ints, floats, strings or vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any, Literal

import pyarrow as pa

from padmask.core.arrow_lists import TOKEN_TYPES, Kind

# How deep lists are nested in a row: plain tokens, or vectors.
Depth = Literal[1, 2]

_KINDS = {int: "number", float: "number", str: "string", bool: "bool", dict: "object", list: "list"}


class TokenKinds:
    """The kinds of token that the rows of one field hold, by how many rows hold them.

    Most rows tell whether tokens are numbers, strings or vectors, so that one bad row makes no
    other row bad; on a tie plain tokens come before vectors, else the earlier row tells. Of
    those rows the first tells ints from floats: it holds floats where any of its numbers is
    written as one, wherever in the row that stands.

    >>> TokenKinds([[["a"]], [2, 1.0], [3]]).sequence()
    ListType(list<item: double>)
    >>> TokenKinds([["a"], ["b"], [3]]).sequence("int")
    ListType(list<item: int64>)

    Args:
        rows: the lists of one field.
    """

    def __init__(self, rows: Iterable[list[Any]]) -> None:
        self._rows: Counter[tuple[Depth, str]] = Counter()
        self._types: dict[tuple[Depth, str], pa.DataType] = {}
        for row in rows:
            token = next((token for token in row if token is not None), None)
            if token is not None:
                self._observe(row, token)

    def _observe(self, row: list[Any], token: Any) -> None:
        depth: Depth = 2 if isinstance(token, list) else 1
        if depth == 2:
            # Vectors without a number count as vectors of numbers, and leave open of which.
            token = next((vector[0] for vector in row if isinstance(vector, list) and vector), 0)
        key = depth, _KINDS.get(type(token), "null")
        self._rows[key] += 1
        if key not in self._types and (depth == 1 or any(row)):
            self._types[key] = _type_in(row if depth == 1 else _inner(row), token)

    def sequence(self, kind: Kind | None = None) -> pa.DataType | None:
        """Return the list type of the tokens; None where no row holds a token.

        Args:
            kind: what the tokens shall be, which counts unless no row holds anything like it; None
                goes by the rows.
        """
        able = [key for key in self._rows if key[1] in ("number", "string")]
        alike = [key for key in able if kind is None or (key[1] == "string") == (kind == "string")]
        if not able:
            return None
        key = self._most(alike or able)
        return self._list(key, TOKEN_TYPES[kind] if kind is not None and alike else self._types.get(key))

    def list_type(self) -> pa.DataType | None:
        """Return the list type of what most rows hold, whatever it is; None where they hold nothing."""
        if not self._rows:
            return None
        key = self._most(list(self._rows))
        return self._list(key, self._types.get(key))

    def _most(self, keys: list[tuple[Depth, str]]) -> tuple[Depth, str]:
        return max(keys, key=lambda key: (self._rows[key], -key[0]))

    def _list(self, key: tuple[Depth, str], token: pa.DataType | None) -> pa.DataType:
        items = pa.list_(token or pa.int64())
        return items if key[0] == 1 else pa.list_(items)


def _inner(row: list[Any]) -> list[Any]:
    return list(chain.from_iterable(vector for vector in row if isinstance(vector, list)))


def _type_in(tokens: list[Any], first: Any) -> pa.DataType:
    """Return the type of a row's tokens, of which one float makes floats."""
    floats = _KINDS.get(type(first)) == "number" and float in map(type, tokens)
    return pa.float64() if floats else value_type(first)


def value_type(value: Any) -> pa.DataType:
    """Return a type for a JSON value: enough to choose columns by.

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
