"""Find late fields: fields of JSON rows that the first rows do not have, such as masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from padmask.core.columns import COMPANIONS, MASK_NAMES
from padmask.core.companions import PER_TOKEN
from padmask.core.first_rows import FIRST_ROWS
from padmask.core.plan import Positions
from padmask.errors import join_few
from padmask.formats.jsonl.head import value_or_none

Objects = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class LateFields:
    """The names of the fields of the first rows. Other fields of later rows are late fields.

    Args:
        known: names of the fields that have a value in the first rows.
        reported: whether late fields with one value per token are reported. False if the user named the
            columns.
    """

    known: frozenset[str]
    reported: bool = True

    @classmethod
    def of(cls, schema: pa.Schema, *, reported: bool) -> LateFields:
        """Return an object for the schema of the first rows. A field of nulls is not known."""
        return cls(frozenset(f.name for f in schema if not pa.types.is_null(f.type)), reported)

    def find(self, objects: Objects) -> tuple[str, ...]:
        """Return the names of late fields that are lists with one value per token.

        >>> LateFields(frozenset(["ids"])).find([{"ids": b"[7]"}, {"ids": b"[8]", "labels": b"[1]"}])
        ('labels',)

        Args:
            objects: rows as dicts from keys to JSON text.
        """
        names: set[str] = set().union(*objects) - self.known
        return tuple(sorted(name for name in names if _is_per_token(name) and _is_list(objects, name)))


def _is_per_token(name: str) -> bool:
    return name in COMPANIONS or name in MASK_NAMES or PER_TOKEN.fullmatch(name) is not None


def _is_list(objects: Objects, name: str) -> bool:
    return any(bytes(row[name])[:1] == b"[" for row in objects if name in row)


def late_zeros(objects: Objects, name: str, lengths: Positions) -> Iterator[int]:
    """Yield the rows whose mask has the length of the row and contains a 0.

    >>> list(late_zeros([{"mask": b"[1,1]"}, {}, {"mask": b"[1,0]"}], "mask", [2, 2, 2]))
    [2]

    Args:
        objects: rows as dicts from keys to JSON text.
        name: name of the mask.
        lengths: number of tokens in each row, shape (rows,).
    """
    for row, fields in enumerate(objects):
        mask = value_or_none(fields[name]) if name in fields else None
        if isinstance(mask, list) and len(mask) == lengths[row] and 0 in mask:
            yield row


def late_notes(names: Sequence[str]) -> tuple[str, ...]:
    """Return a warning about late fields that are not padded; an empty tuple if there are none."""
    if not names:
        return ()
    return (
        f"not padded: {join_few(list(map(repr, names)))} (not in the first {FIRST_ROWS:,} rows). To pad "
        "them, move a row that has all fields to the start of the input",
    )
