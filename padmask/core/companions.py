"""Choose the columns to pad together, and the input mask that the new mask replaces.

A companion is a column such as `labels`, which tokenizers and trainers write in addition to the ids. If no
columns are requested, companions are padded together with the ids. Each companion has its own pad value.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import (
    is_list,
    is_mask,
    is_sequence,
    is_vectors,
    kind_of,
    storage_type,
)
from padmask.core.columns import (
    COMPANIONS,
    LABEL_NAMES,
    MASK_NAMES,
    NATURAL_DTYPES,
    asked_dtype,
    kind_of_dtype,
    name_columns,
)
from padmask.core.first_rows import FirstRows
from padmask.core.later_masks import watched_masks
from padmask.core.made_columns import settle_made
from padmask.errors import SpecError
from padmask.spec.columns import Column, Columns, unknown_column
from padmask.spec.mask import POSITION_IDS, MaskSpec
from padmask.spec.pad import INTEGER_DTYPES, PadSpec

# Name of the mask that tokenizers write. It contains only ones if the rows are not padded.
ONES = "attention_mask"

_VECTORS = ("bbox", "offset_mapping")

# Names of columns that usually contain one value for each token.
PER_TOKEN = re.compile(r"(.*_)?(ids|mask|masks|labels)")


@dataclass(frozen=True)
class ColumnChoice:
    """The columns to pad together, and the other list columns.

    Args:
        columns: columns to pad.
        mask: mask to add. By default, it has the name and the dtype of the input mask that it replaces.
        replaced: name of the input mask that the new mask replaces; None if no mask is replaced.
        alike: names of list columns that are not padded but have the same lengths as the padded columns.
        ragged: names of columns that seem to have one value per token, according to their names or nearly
            all their rows. They are not padded, because some rows do not have one value per token.
        unpaddable: names of companions and masks whose type padmask cannot pad, such as lists of structs.
        watched: names of possible masks that mark no padding in the first rows. If one of these masks marks
            padding in a later row, the input is already padded. The input can lack some of these columns.
        counted: name of an input column whose rows are the positions 0, 1, 2, ... The new positions of packed
            rows replace this column. None if there is no such column.
    """

    columns: Sequence[Column]
    mask: MaskSpec
    replaced: str | None = None
    alike: tuple[str, ...] = ()
    ragged: tuple[str, ...] = ()
    unpaddable: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    counted: str | None = None

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of the input columns that are not in the output."""
        return (*dropped_columns(self.replaced, self.mask), *self.counted_columns)

    @property
    def counted_columns(self) -> tuple[str, ...]:
        """A tuple with the name in `counted`; an empty tuple if `counted` is None."""
        return () if self.counted is None else (self.counted,)

    @property
    def checked(self) -> tuple[str, ...]:
        """Names of the replaced input columns that must have the same values as the new columns."""
        return tuple(name for name in (self.ones, self.counted) if name is not None)

    @property
    def ones(self) -> str | None:
        """Name of the input mask that must contain only ones; None if there is no such mask."""
        return mask_of_ones(self.replaced, self.mask)


def dropped_columns(replaced: str | None, mask: MaskSpec) -> tuple[str, ...]:
    """Return the names of the input columns that the output omits.

    The output omits the replaced mask if the new mask has another name.
    """
    return () if replaced is None or replaced in mask.names else (replaced,)


def mask_of_ones(replaced: str | None, mask: MaskSpec) -> str | None:
    """Return the name of the input mask that must contain only ones; None if there is no such mask.

    The replaced mask must contain only ones, unless `mask.allow_padded` is set.
    """
    return None if mask.allow_padded else replaced


def choose_together(
    schema: pa.Schema,
    asked: Columns,
    spec: PadSpec,
    mask: MaskSpec,
    rows: FirstRows,
    padded: str | None = None,
    *,
    ones: bool | None = None,
) -> ColumnChoice:
    """Choose the columns to pad together.

    >>> lists = {"input_ids": [[7, 8], [9]], "attention_mask": [[1, 1], [1]], "labels": [[0, 1], [1]]}
    >>> batch = pa.record_batch(lists)
    >>> choice = choose_together(batch.schema, None, PadSpec(), MaskSpec(), FirstRows.of([batch]))
    >>> [(column.name, column.value) for column in choice.columns], choice.mask.column
    ([('input_ids', None), ('labels', -100)], 'attention_mask')

    Args:
        schema: schema of the input.
        asked: requested columns. If empty, the default column and its companions are used.
        spec: padding options.
        mask: options of the mask.
        rows: the first rows of the list columns.
        padded: name of the mask that marks the padding in the input; None if the input is not padded. The
            padding in the input is treated as tokens.
        ones: whether the `attention_mask` contains only ones. If None, `rows` determine this.

    Raises:
        SpecError: a column is missing or requested twice, or there is no default column.
    """
    own = {name for name, _ in spec.own_lengths}
    columns = [column for column in name_columns(schema, asked) if column.name not in own]
    if not columns:
        raise SpecError(
            "--own-length names all columns that are padded, but the mask needs a column that is padded to "
            "--maxlen. Remove --own-length for one column, or add a column with -c.",
            options=["columns", "own_lengths"],
        )
    first = columns[0].name
    mask = settle_made(mask, schema.names, first)
    once = _unique_names(schema)
    positions = spec.packing is not None and "position_ids" in spec.packing.emit
    may_be_counted = positions and POSITION_IDS in once - own - {column.name for column in columns}
    counted = POSITION_IDS if may_be_counted and rows.are_counted(POSITION_IDS, first) else None
    # The set is computed before the loop over the fields, because a file may have thousands of columns.
    if not asked:
        possible = once - own - {first, counted}
        columns += [
            _companion(field, spec)
            for field in schema
            if field.name in possible
            and is_companion(field)
            and _is_chosen(rows, first, field.name, packs=spec.packing is not None)
        ]
    chosen = {column.name for column in columns} | own
    replaced = padded if mask.column is not None else None
    if ones is None:
        ones = rows.are_ones(ONES, first)
    if padded is None and ONES in once - chosen and ones:
        replaced = ONES
    watched = watched_masks(schema, rows, mask, {*chosen, replaced, counted})
    if replaced is not None:
        mask = _take_place(mask, replaced, schema.field(replaced).type)
    left = once - {*chosen, *mask.names, replaced, counted}
    others = [field for field in schema if field.name in left and is_sequence(field.type)]
    alike = [
        field.name
        for field in others
        if rows.have_same_lengths(first, field.name) and rows.have_tokens(field.name)
    ]
    ragged = [
        field.name
        for field in others
        if field.name not in alike
        and rows.have_values(field.name)
        and (is_per_token(field) or is_companion(field) or _is_nearly_alike(rows, first, field.name))
    ]
    unpaddable = [field.name for field in schema if field.name in left and _is_unpaddable(field)]
    return ColumnChoice(
        columns, mask, replaced, tuple(alike), tuple(ragged), tuple(unpaddable), watched, counted
    )


def _is_chosen(rows: FirstRows, first: str, name: str, *, packs: bool) -> bool:
    """Return whether a companion is padded or packed together with the first column.

    A row in which the two columns have different lengths is a bad row if the companion is chosen. `pad`
    chooses a companion only if there are few of these rows, because a companion can also be padded to its own
    maxlen. `pack` chooses all companions that have values. A companion that is not packed would become lists
    of lists, which no trainer reads.
    """
    return rows.have_similar_lengths(first, name) or (packs and rows.have_values(name))


def _is_nearly_alike(rows: FirstRows, first: str, name: str) -> bool:
    return rows.have_similar_lengths(first, name) and rows.have_tokens(name)


def is_companion(field: pa.Field) -> bool:
    """Return whether a column has the name and the type of a companion, such as `labels`.

    >>> is_companion(pa.field("labels", pa.list_(pa.int64()))), is_companion(pa.field("labels", pa.int64()))
    (True, False)
    """
    if field.name not in COMPANIONS or not is_sequence(field.type):
        return False
    kind, vectors = kind_of(field.type), is_vectors(field.type)
    if field.name in _VECTORS:
        return vectors and kind in ("int", "float")
    kinds = ("int",) if field.name in LABEL_NAMES else ("int", "bool", "float")
    return not vectors and kind in kinds


def _is_unpaddable(field: pa.Field) -> bool:
    """Return whether a column is named like a companion or a mask, but has lists that cannot be padded."""
    usual = field.name in COMPANIONS or field.name in MASK_NAMES
    return usual and is_list(field.type) and not is_sequence(field.type)


def _companion(field: pa.Field, spec: PadSpec) -> Column:
    """Return the `Column` of a companion.

    If the requested dtype (`spec.dtype`) does not have the kind of the tokens, or cannot represent the pad
    value, the `Column` has the default dtype for this kind.
    """
    kind, value = kind_of(field.type), COMPANIONS[field.name]
    asked = asked_dtype(None, spec)
    fits = asked is None or (
        kind_of_dtype(asked) == kind and (asked not in INTEGER_DTYPES or np.iinfo(asked).min <= value)
    )
    return Column(field.name, None if fits else NATURAL_DTYPES[kind], value)


def is_per_token(field: pa.Field) -> bool:
    """Return whether the name and the type of a column suggest one value for each token.

    >>> is_per_token(pa.field("token_ids", pa.list_(pa.int64()))), is_per_token(pa.field("x", pa.int64()))
    (True, False)
    """
    plain = is_sequence(field.type) and not is_vectors(field.type) and kind_of(field.type) in ("int", "bool")
    return bool(plain and PER_TOKEN.fullmatch(field.name))


def _take_place(mask: MaskSpec, replaced: str, type_: pa.DataType) -> MaskSpec:
    """Return the mask to add. By default, the mask has the name and the dtype of the replaced mask."""
    named = mask.column != "mask" if mask.named is None else mask.named
    name = mask.column if named or mask.column is None else replaced
    if name != replaced:
        return mask
    # The dtype of the replaced mask may not be able to hold an additive mask.
    dtype = mask.dtype if mask.kind == "additive" else mask.dtype or mask_dtype(type_)
    return replace(mask, column=name, dtype=dtype, named=True)


def mask_dtype(type_: pa.DataType) -> str:
    """Return the dtype of a mask that replaces a mask of this type.

    A new mask cannot have every dtype. For example, the mask that replaces a uint16 mask has the dtype int32.
    """
    rows = storage_type(type_)
    if not is_mask(rows):
        return "bool"
    name = str(storage_type(rows.value_type))
    return {
        "uint16": "int32",
        "uint32": "int64",
        "uint64": "int64",
        "halffloat": "float32",
        "float": "float32",
        "double": "float64",
    }.get(name, name)


def list_names(schema: pa.Schema) -> list[str]:
    """Return the names of the sequence columns, without the names that several columns share."""
    once = _unique_names(schema)
    return [field.name for field in schema if field.name in once and is_sequence(field.type)]


def _unique_names(schema: pa.Schema) -> set[str]:
    return {name for name, times in Counter(schema.names).items() if times == 1}


def own_groups(
    schema: pa.Schema, asked: Columns, spec: PadSpec, mask: MaskSpec
) -> list[tuple[Column, PadSpec, MaskSpec]]:
    """Return the columns that have their own maxlen, each with its padding options and its mask.

    >>> schema = pa.schema([("input_ids", pa.list_(pa.int64())), ("labels", pa.list_(pa.int64()))])
    >>> [(column, own, _)] = own_groups(schema, None, PadSpec(own_lengths={"labels": 8}), MaskSpec())
    >>> column.value, own.maxlen
    (-100, 8)

    Raises:
        SpecError: a column is missing, or a mask is requested for a column that does not have its own maxlen.
    """
    names, masks = [name for name, _ in spec.own_lengths], dict(mask.own)
    for name in masks:
        if name not in names:
            raise SpecError(
                f"--own-mask names column {name!r}, but --own-length does not. Add --own-length "
                f"{shlex.quote(name)}, or remove --own-mask.",
                options=["own_masks"],
            )
    given = {column.name: column for column in name_columns(schema, asked)} if asked else {}
    found = []
    for name, maxlen in spec.own_lengths:
        if name not in schema.names:
            raise unknown_column(name, schema.names, "own_lengths")
        column = given.get(name) or Column(name, value=COMPANIONS.get(name))
        own = MaskSpec(
            column=masks.get(name), dtype=mask.dtype, named=True, polarity=mask.polarity, kind=mask.kind
        )
        found.append((column, spec.with_maxlen(maxlen), own))
    return found
