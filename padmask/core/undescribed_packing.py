"""Find how rows without metadata are packed, from the names of the columns and the first rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import is_list, is_mask
from padmask.core.columns import COMPANIONS, MASK_NAMES
from padmask.core.dialects import usual_dialect
from padmask.core.packed_align import find_aligns
from padmask.core.packed_head import HeadRows, PackedHead
from padmask.core.packed_layout import PackedLayout, has_integer_lists, has_list, has_sources
from padmask.core.packed_spans import CERTAIN_NAMES, KINDS, USUAL_NAMES, Marker, NumberLists, show_packing
from padmask.core.ragged import Ragged
from padmask.spec.mask import TRUE_AT_TOKENS, Dialect
from padmask.spec.pack import DERIVED, ID_NAMES, SEQUENCE_LENGTHS, SOURCE_COLUMNS, names_for

_MAY_BE_MASKED = (
    "labels stay as pack wrote them: the first label of each sequence may be -100 (--boundary-labels mask), "
    "or all labels may be shifted one token to the left (--boundary-labels shift, --dialect torchtune)"
)

# Number of rows whose values show whether rows are already packed. Reading more JSON Lines rows takes long.
_ROWS_TO_JUDGE = 100

# Columns that only separate sequences, so they mean nothing in a row with one sequence. The other columns in
# `DERIVED` may also be columns of the source rows.
_SEPARATORS = ("segment_ids", "cu_seqlens", "seq_start_id", "attention_mask")

# Returns the first rows.
ReadHead = Callable[[], HeadRows]


def undescribed_layout(
    files: Mapping[str, pa.Schema],
    columns: Sequence[str],
    read_head: ReadHead,
    mask: str | None,
    dialect: Dialect | None,
) -> PackedLayout | None:
    """Find the layout from the column names and the first rows. Return None if the rows are not packed."""
    schema = next((its for its in files.values() if has_sources(its) or find_markers(its, columns)), None)
    if schema is None:
        return None
    rows = read_head()
    mask = _mask_in(schema, rows) if mask is None else mask
    dialect = usual_dialect(mask or "") if dialect is None else dialect
    marker = _marker_in(schema, columns, rows, mask, dialect)
    if marker is None:
        return _unmarked_layout(schema, columns, mask, dialect)
    flags = None if mask is None else Ragged.from_mask(rows.values(mask), dialect)[0]
    head = PackedHead.of(rows, marker, flags)
    sources = has_sources(schema)
    usual = _usual_names(schema)
    derived = {column: name for name in DERIVED for column in usual[name] if column not in (*columns, mask)}
    markers = (marker.column, *(SOURCE_COLUMNS if sources else ()))
    others = [name for name in head.lengths if name not in markers]
    packed = [name for name in others if head.are_packed(name)]
    lists = [name for name in others if has_list(schema, name) and not head.are_fields(name)]
    tokens = [name for name in (*packed, *lists) if name not in (mask, *derived)]
    first = next((name for name in (*columns, *ID_NAMES, *tokens) if name in (*columns, *tokens)), None)
    if first is None:
        return None
    alike = [name for name in packed if head.are_alike(first, name)]
    dropped = [name for name in _separators(head, alike, derived) if name not in (*columns, mask)]
    names = dict.fromkeys([first, *columns, *alike])
    found = mask if mask in (None, *alike) else None
    return PackedLayout(
        columns=tuple(name for name in names if name not in (mask, *dropped)),
        mask=found,
        sources=sources,
        marker=marker,
        derived=derived,
        dropped=tuple(dropped),
        repeated=tuple(name for name in others if name not in names and not head.are_fields(name)),
        dialect=TRUE_AT_TOKENS if mask is None else dialect,
        aligns=_aligns_in(schema, rows, marker, first) if found is None else (1,),
        notes=(_MAY_BE_MASKED,) if any(COMPANIONS.get(name, 0) < 0 for name in alike) else (),
    )


def _unmarked_layout(
    schema: pa.Schema, columns: Sequence[str], mask: str | None, dialect: Dialect
) -> PackedLayout | None:
    """Return the `PackedLayout` if only the source columns show that rows are packed; else None."""
    if not has_sources(schema):
        return None
    lists = [its.name for its in schema if is_list(its.type) and its.name not in (*SOURCE_COLUMNS, mask)]
    names = tuple(dict.fromkeys([*columns, *lists]))
    return PackedLayout(names, mask, sources=True, marker=None, dialect=dialect) if names else None


def find_markers(schema: pa.Schema, columns: Sequence[str]) -> list[Marker]:
    """Return the columns that may separate sequences, the most reliable first.

    Args:
        schema: columns of a file.
        columns: names of the requested columns, which contain tokens.
    """
    usual = _usual_names(schema)
    found = [(name, column) for name in KINDS for column in usual[name] if column not in columns]
    ordered = sorted(found, key=lambda pair: not _is_certain(pair[1], schema))
    return [Marker.of(name, column) for name, column in ordered]


def _usual_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the columns that may describe sequences, according to their names.

    The key is `SEQUENCE_LENGTHS` or a name in `DERIVED`. Each value contains the names of the columns that
    may have the same meaning.
    """
    lists = [its.name for its in schema if is_list(its.type)]
    return {
        name: [
            column
            for column in dict.fromkeys(names_for(USUAL_NAMES.get(name, (name,)), lists))
            if has_integer_lists(schema, column)
        ]
        for name in (SEQUENCE_LENGTHS, *DERIVED)
    }


def _is_certain(column: str, schema: pa.Schema) -> bool:
    return column in names_for(CERTAIN_NAMES, schema.names)


def _marker_in(
    schema: pa.Schema, columns: Sequence[str], rows: HeadRows, mask: str | None, dialect: Dialect
) -> Marker | None:
    """Return the column that separates the sequences; None if the rows are not packed."""
    flags = None
    if mask is not None:
        flags, _ = Ragged.from_mask(rows.values(mask, _ROWS_TO_JUDGE), dialect)
    for marker in find_markers(schema, columns):
        if marker.column == mask:
            continue
        if _is_certain(marker.column, schema):
            return marker
        values = rows.values(marker.column, _ROWS_TO_JUDGE)
        if show_packing(marker, NumberLists.of(values, signed=marker.is_signed), flags):
            return marker
    return None


def _aligns_in(schema: pa.Schema, rows: HeadRows, marker: Marker, first: str) -> tuple[int, ...]:
    """Return the values of `--align` with which the first rows may have been packed (`PackedLayout.aligns`).

    Args:
        schema: columns of the file.
        rows: the first rows.
        marker: column that separates the sequences.
        first: name of a packed column.
    """
    if marker.kind != "lengths":
        return (1,)
    located = []
    for its in find_markers(schema, (first, marker.column)):
        lists = NumberLists.of(rows.values(its.column), signed=its.is_signed)
        if _is_certain(its.column, schema) or show_packing(its, lists):
            located.append((its, lists))
    widths = np.maximum(np.array(rows.lengths()[first], dtype=np.int64), 0)
    return find_aligns(NumberLists.of(rows.values(marker.column)), widths, located)


def _mask_in(schema: pa.Schema, rows: HeadRows) -> str | None:
    """Return the name of the mask column; None if there is no mask.

    An attention mask that contains sequence numbers instead of ones is not a mask of padding.
    """
    for name in MASK_NAMES:
        if name in schema.names and is_mask(schema.field(name).type):
            flags, _ = Ragged.from_mask(rows.values(name, _ROWS_TO_JUDGE), usual_dialect(name))
            if not (flags.values > 1).any():
                return name
    return None


def _separators(head: PackedHead, packed: Collection[str], derived: Mapping[str, str]) -> list[str]:
    """Return the names of the columns that separate sequences and contain no other information."""
    found = [name for name in derived if derived[name] in _SEPARATORS and name in packed]
    if "cu_seqlens" in head.lengths and _are_counts(head, "cu_seqlens", 1):
        found.append("cu_seqlens")
    if "seq_start_id" in head.lengths and _are_counts(head, "seq_start_id", 0):
        found.append("seq_start_id")
    # `seq_lens` also has the padding after the last sequence.
    if "seq_lens" in head.lengths and set((head.lengths["seq_lens"] - head.sizes).tolist()) <= {0, 1}:
        found.append("seq_lens")
    return list(dict.fromkeys(found))


def _are_counts(head: PackedHead, name: str, more: int) -> bool:
    return bool((head.lengths[name] == head.sizes + more).any())
