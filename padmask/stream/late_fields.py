"""Find late columns, which have no values in the first rows but have values in later rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal

import pyarrow as pa

from padmask.core.arrow_lists import is_sequence
from padmask.core.columns import COMPANIONS, MASK_NAMES
from padmask.core.companions import PER_TOKEN, ColumnChoice
from padmask.core.dialects import usual_dialect
from padmask.core.first_rows import FIRST_ROWS, FirstRows
from padmask.core.later_masks import padded_rows
from padmask.core.plan import Positions
from padmask.errors import join_few, pronoun
from padmask.formats.contract import Batch
from padmask.formats.jsonl.head import value_or_none
from padmask.spec.columns import Column
from padmask.spec.warning_names import Warned

Objects = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class LateFields:
    """Finds late columns, which have no values in the first rows but have values in later rows.

    Args:
        known: names of the columns that have a value in the first rows, or that the run uses.
        reported: whether late columns with one value per token are reported. False if the user named the
            columns to pad.
    """

    known: frozenset[str]
    reported: bool = True

    @classmethod
    def of(
        cls,
        schema: pa.Schema,
        rows: FirstRows,
        columns: Iterable[Column],
        choice: ColumnChoice,
        *,
        reported: bool,
    ) -> LateFields:
        """Return the `LateFields` of a dataset, from its columns and its first rows.

        >>> schema = pa.schema([(name, pa.list_(pa.int8())) for name in ("ids", "labels")])
        >>> rows = FirstRows.of([pa.RecordBatch.from_pylist([{"ids": [7]}], schema=schema)])
        >>> from padmask import MaskSpec
        >>> choice = ColumnChoice([Column("ids")], MaskSpec())
        >>> sorted(LateFields.of(schema, rows, choice.columns, choice, reported=True).known)
        ['ids', 'mask']

        Args:
            schema: columns of the dataset.
            rows: the first rows of the list columns of the dataset.
            columns: columns to pad.
            choice: the new mask, and the mask of the input that the new mask replaces.
            reported: as in `LateFields`.
        """
        have_values = {
            field.name
            for field in schema
            if (rows.have_values(field.name) if is_sequence(field.type) else not pa.types.is_null(field.type))
        }
        masks = {*choice.mask.names, *([choice.replaced] if choice.replaced is not None else [])}
        return cls(frozenset({*have_values, *masks, *(column.name for column in columns)}), reported)

    def columns_to_read(self, schema: pa.Schema, watched: Iterable[str]) -> list[pa.Field]:
        """Return the columns that `find` reads, and the `watched` masks that `later_zeros` reads.

        Args:
            schema: columns of the input, which is not JSON Lines.
            watched: names of masks.
        """
        return [
            field
            for field in schema
            if is_sequence(field.type)
            and (field.name in watched or (field.name not in self.known and _is_per_token(field.name)))
        ]

    def find(self, batch: Batch) -> tuple[str, ...]:
        """Return the names of late columns that are lists with one value per token."""
        if batch.objects is not None:
            return self.find_in(batch.objects)
        return tuple(
            sorted(
                field.name
                for field, column in zip(batch.columns.schema, batch.columns.columns, strict=True)
                if field.name not in self.known
                and _is_per_token(field.name)
                and is_sequence(field.type)
                and column.null_count < len(column)
            )
        )

    def find_in(self, objects: Objects) -> tuple[str, ...]:
        """Return the names of late columns in rows that are dicts from keys to JSON text. See `find`.

        >>> LateFields(frozenset(["ids"])).find_in([{"ids": b"[7]"}, {"ids": b"[8]", "labels": b"[1]"}])
        ('labels',)
        """
        names: set[str] = set().union(*objects) - self.known
        return tuple(sorted(name for name in names if _is_per_token(name) and _is_list(objects, name)))


def _is_per_token(name: str) -> bool:
    return name in COMPANIONS or name in MASK_NAMES or PER_TOKEN.fullmatch(name) is not None


def _is_list(objects: Objects, name: str) -> bool:
    return any(bytes(row[name])[:1] == b"[" for row in objects if name in row)


def later_zeros(batch: Batch, name: str, lengths: Positions) -> list[int]:
    """Return the indices of the rows in which a mask marks padding and has one value per token.

    Args:
        batch: the rows.
        name: name of the mask. Some or all rows may lack the mask.
        lengths: number of tokens in each row: shape (rows,).
    """
    if batch.objects is not None:
        return zeros_in(batch.objects, name, lengths)
    names = batch.columns.schema.names
    return padded_rows(batch.columns.column(name), name, lengths) if names.count(name) == 1 else []


def zeros_in(objects: Objects, name: str, lengths: Positions) -> list[int]:
    """Return the same as `later_zeros`, for rows that are dicts from keys to JSON text.

    >>> zeros_in([{"mask": b"[1,1]"}, {}, {"mask": b"[1,0]"}], "mask", [2, 2, 2])
    [2]
    """
    if not any(map(dict.__contains__, objects, repeat(name))):
        return []
    found, padding = [], 0 if usual_dialect(name).polarity == "real" else 1
    for row, fields in enumerate(objects):
        mask = (
            value_or_none(fields[name]) if name in fields and may_mark_padding(fields[name], name) else None
        )
        if isinstance(mask, list) and len(mask) == lengths[row] and None not in mask and padding in mask:
            found.append(row)
    return found


def may_mark_padding(text: Any, name: str) -> bool:
    """Check, without parsing JSON text, whether it may be a mask that marks padding.

    >>> may_mark_padding(b"[true,false]", "mask"), may_mark_padding(b"[false]", "key_padding_mask")
    (True, False)

    Args:
        text: the text.
        name: name of the mask, which shows whether 0 or 1 marks padding.
    """
    mask = bytes(text)
    number, word = (b"0", b"false") if usual_dialect(name).polarity == "real" else (b"1", b"true")
    return mask[:1] == b"[" and (number in mask or word in mask)


_PARTICIPLES = {"pad": "padded", "check": "checked"}


def late_notes(names: Sequence[str], verb: Literal["pad", "check"] = "pad") -> tuple[Warned, ...]:
    """Return a warning about late columns that are not processed; an empty tuple if there are none.

    >>> late_notes(["labels"])[0].partition(". ")[0]
    "not padded: 'labels' (not in the first 1,000 rows)"

    Args:
        names: names of the late columns.
        verb: verb for the operation of the command, such as `"pad"`.
    """
    if not names:
        return ()
    return (
        Warned(
            "late-column",
            f"not {_PARTICIPLES[verb]}: {join_few(list(map(repr, names)))} (not in the first "
            f"{FIRST_ROWS:,} rows). To {verb} {pronoun(names)}, move a row that has all fields to the start "
            "of the input",
        ),
    )
