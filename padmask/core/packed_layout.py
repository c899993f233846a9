"""Find out whether rows are packed, and which of their columns are packed: `PackedLayout`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import is_list, is_mask, token_type
from padmask.core.columns import COMPANIONS, MASK_NAMES
from padmask.core.dialects import usual_dialect
from padmask.core.metadata import Described, read_descriptions
from padmask.core.packed_head import USUAL_TOKENS, PackedHead
from padmask.errors import DataError, PaddedError, Place, SpecError, quoted
from padmask.spec.columns import list_columns
from padmask.spec.mask import TRUE_AT_TOKENS, Dialect
from padmask.spec.pack import DERIVED, SEQUENCE_LENGTHS, SOURCE_COLUMNS, names_for

_MAY_BE_MASKED = "the first label of each sequence stays -100 if pack replaced it (--boundary-labels mask)"

# Columns that only separate sequences, so they mean nothing in a row with one sequence. The other columns in
# `DERIVED` may also be columns of the source rows.
_SEPARATORS = ("segment_ids", "cu_seqlens", "seq_start_id", "attention_mask")


@dataclass(frozen=True)
class PackedLayout:
    """The columns of packed rows.

    Args:
        columns: names of the packed columns, with one value for each position.
        mask: name of the mask column; None if there is no mask.
        sources: whether the columns in `SOURCE_COLUMNS` locate the sequences in the source rows.
        dropped: names of the columns that unpacking leaves out.
        repeated: names of columns with one value for the packed row. All other columns are lists with one
            value for each sequence.
        dialect: how the mask marks real tokens and padding.
        align: the number of positions of a sequence is a multiple of this number. Used without a mask.
        keep_last: number of tokens kept at the end of each piece of a row, or the name of the column with
            this number.
        shifted: names of label columns whose labels pack moved to the token before.
        splits: whether a source row may have several sequences; None if unknown.
        notes: what unpacking does not undo, as sentences.
    """

    columns: tuple[str, ...]
    mask: str | None
    sources: bool
    dropped: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    dialect: Dialect = TRUE_AT_TOKENS
    align: int = 1
    keep_last: int | str = 0
    shifted: tuple[str, ...] = ()
    splits: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def markers(self) -> tuple[str, ...]:
        """Names of the columns that locate the sequences, without the mask."""
        return (SEQUENCE_LENGTHS, *(SOURCE_COLUMNS if self.sources else ()))

    def fields(self, names: Sequence[str]) -> list[str]:
        """Return the columns in `names` that have one value for each sequence."""
        others = {*self.columns, *self.dropped, *self.repeated, *self.markers, self.mask}
        return [name for name in names if name not in others]


def has_integer_lists(schema: pa.Schema, name: str) -> bool:
    """Return whether a schema has exactly one column of this name, and its rows are lists of integers.

    >>> has_integer_lists(pa.schema([("seq_lengths", pa.list_(pa.int32()))]), "seq_lengths")
    True
    """
    if schema.names.count(name) != 1 or not is_list(schema.field(name).type):
        return False
    return bool(pat.is_integer(token_type(schema.field(name).type)))


def check_kept_ends(layout: PackedLayout, names: Collection[str]) -> None:
    """Raise an error if pieces cannot be joined, because the column with their kept ends is missing.

    Args:
        layout: layout of the packed rows.
        names: names of the columns of the packed rows.
    """
    if isinstance(layout.keep_last, str) and layout.keep_last not in names:
        raise SpecError(
            f"The input has no column {layout.keep_last!r}, which has the number of last tokens that "
            "pack kept (--keep-last), so the pieces of split rows cannot be joined. Keep the pieces "
            "as rows with --no-join-windows, or pack the rows again with --fields list.",
            options=["join_windows"],
        )


# Returns the lengths in the first rows; None if the rows are not packed.
ReadHead = Callable[[], PackedHead | None]


def find_packing(
    files: Mapping[str, pa.Schema],
    columns: Sequence[str],
    read_head: ReadHead,
    mask: str | None = None,
    dialect: Dialect | None = None,
) -> PackedLayout | None:
    """Return the layout of packed rows; None if the rows are not packed.

    The metadata decide, and without metadata the first rows: rows are packed if the sums of `seq_lengths` are
    at most the lengths of a list column in most rows.

    >>> lists = pa.list_(pa.int64())
    >>> schema = pa.schema([("input_ids", lists), ("seq_lengths", lists)])
    >>> head = PackedHead.of([[2]], {"input_ids": [3]})
    >>> find_packing({"a.jsonl": schema}, (), lambda: head).columns
    ('input_ids',)

    Args:
        files: schema of each file, by file name.
        columns: names of the requested columns. They are packed in addition to the columns that are found.
        read_head: function that returns the lengths in the first rows.
        mask: name of the requested mask column. If None, the mask column is found.
        dialect: requested dialect of the mask. If None, the metadata decide, else the name of the mask.

    Raises:
        PaddedError: the files are not packed in the same way.
        SpecError: a packed column is missing.
    """
    described = {name: _described_layout(name, schema, columns) for name, schema in files.items()}
    found = next((layout for layout in described.values() if layout is not None), None)
    if found is None:
        if not any(has_integer_lists(schema, SEQUENCE_LENGTHS) for schema in files.values()):
            return None
        found = _seen_layout(files, columns, read_head(), mask)
    else:
        _refuse_different_packing(described)
    if found is None:
        return None
    if mask is not None or dialect is not None:
        name = mask or found.mask
        usual = found.dialect if name == found.mask else usual_dialect(name or "")
        left = () if mask is None or found.mask in (None, mask) else (str(found.mask),)
        return replace(found, mask=name, dialect=dialect or usual, dropped=(*found.dropped, *left))
    return found


def _packed_group(schema: pa.Schema) -> Described | None:
    try:
        groups = read_descriptions(schema.metadata)
    except DataError:
        return None
    if not has_integer_lists(schema, SEQUENCE_LENGTHS):
        return None
    group = next((group for group in groups if group.packing is not None), None)
    return group if group is None or _is_valid(group.packing or {}) else None


def _is_valid(packing: Mapping[str, Any]) -> bool:
    """Return whether a description of packing has valid values. Otherwise, the first rows decide."""
    align, emit = packing.get("align"), packing.get("emit") or []
    try:
        names = dict(packing.get("names") or ())
    except (TypeError, ValueError):
        return False
    return (
        (align is None or (type(align) is int and align > 0))
        and isinstance(emit, list)
        and all(isinstance(name, str) for name in (*emit, *names, *names.values()))
    )


def _described_layout(file: str, schema: pa.Schema, columns: Sequence[str]) -> PackedLayout | None:
    """Return the layout that the metadata of a file describe; None if they describe no packing."""
    group = _packed_group(schema)
    if group is None:
        return None
    assert group.packing is not None
    mask, _ = group.present(schema.names)
    names = list(dict.fromkeys([*columns, *(name for name in group.values if name not in group.made)]))
    for name in names:
        if name not in schema.names:
            raise SpecError(
                f"{file} has no packed column {name!r}. {list_columns(schema.names)}",
                options=["columns"],
            )
        if not is_list(schema.field(name).type):
            raise SpecError(
                f"Column {name!r} of type {schema.field(name).type} is not a list of tokens, so it cannot be "
                "packed.",
                options=["columns"],
            )
    derived = [name for name in (*group.made, *_derived_names(group)) if name not in columns]
    sources = all(has_integer_lists(schema, name) for name in SOURCE_COLUMNS)
    notes = []
    if group.packing.get("eos") is not None:
        notes.append(f"the end tokens {group.packing['eos']} that pack added (--eos) stay in the rows")
    labels = tuple(name for name in names if _is_label(group, name))
    if group.packing.get("boundary_labels") in ("mask", "shift") and labels:
        notes.append("the first label of each sequence stays -100, because pack replaced it")
    keep_last = group.keep_last if group.windows else 0
    return PackedLayout(
        columns=tuple(names),
        mask=mask,
        sources=sources,
        dropped=tuple(name for name in derived if name in schema.names),
        repeated=tuple(
            its.name for its in schema if not is_list(its.type) and its.name not in (*names, *derived)
        ),
        dialect=group.dialect,
        align=group.packing.get("align") or 1,
        keep_last=keep_last,
        shifted=labels if group.packing.get("boundary_labels") == "shift" else (),
        splits=group.windows or group.packing.get("algorithm") == "wrap",
        notes=tuple(notes),
    )


def _derived_names(group: Described) -> tuple[str, ...]:
    """Return the names of the derived columns that packing added."""
    packing = group.packing or {}
    names = dict(packing.get("names") or ())
    patterns = [names.get(derived, derived) for derived in packing.get("emit") or ()]
    return names_for(patterns, [name for name in group.values if name not in group.made])


def _is_label(group: Described, name: str) -> bool:
    return COMPANIONS.get(name, 0) < 0 or group.values.get(name) == -100


def _refuse_different_packing(described: Mapping[str, PackedLayout | None]) -> None:
    """Raise an error if the metadata of two files describe different packing."""
    first = next(name for name, layout in described.items() if layout is not None)
    for name, layout in described.items():
        if layout != described[first]:
            raise PaddedError(
                f"{first} and {name} are packed differently, according to their metadata",
                place=Place(name),
                remedy="Unpad the files separately.",
            )


def _seen_layout(
    files: Mapping[str, pa.Schema], columns: Sequence[str], head: PackedHead | None, mask: str | None
) -> PackedLayout | None:
    """Return the layout that the first rows show; None if they are not packed."""
    if head is None:
        return None
    schema = next(schema for schema in files.values() if has_integer_lists(schema, SEQUENCE_LENGTHS))
    sources = all(has_integer_lists(schema, name) for name in SOURCE_COLUMNS)
    others = [name for name in head.lengths if name not in (SEQUENCE_LENGTHS, *SOURCE_COLUMNS)]
    packed = [name for name in others if head.are_packed(name)]
    if mask is None:
        usual = (name for name in MASK_NAMES if name in packed and name in schema.names)
        mask = next((name for name in usual if _may_be_mask(schema, name)), None)
    tokens = [name for name in packed if name not in (mask, *DERIVED) or name in columns]
    first = next((name for name in (*columns, *USUAL_TOKENS, *tokens) if name in tokens), None)
    if first is None:
        return None
    alike = [name for name in packed if head.are_alike(first, name)]
    dropped = [name for name in _separators(head, alike) if name not in (*columns, mask)]
    names = dict.fromkeys([first, *columns, *alike])
    return PackedLayout(
        columns=tuple(name for name in names if name not in (mask, *dropped)),
        mask=mask,
        sources=sources,
        dropped=tuple(dropped),
        repeated=tuple(name for name in others if name not in names and not head.are_fields(name)),
        dialect=TRUE_AT_TOKENS if mask is None else usual_dialect(mask),
        notes=(_MAY_BE_MASKED,) if any(COMPANIONS.get(name, 0) < 0 for name in alike) else (),
    )


def _may_be_mask(schema: pa.Schema, name: str) -> bool:
    """Return whether a column may be a mask: bools, or integers that are not the numbers of sequences."""
    type_ = schema.field(name).type
    return is_mask(type_) and (name != "attention_mask" or pat.is_boolean(token_type(type_)))


def _separators(head: PackedHead, packed: Collection[str]) -> list[str]:
    """Return the columns that only separate sequences."""
    found = [name for name in _SEPARATORS if name in packed]
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


def refuse_packed(
    name: str, layout: PackedLayout | None, columns: Collection[str], *, packs: bool = False
) -> None:
    """Raise an error if columns are packed already.

    Args:
        name: name of the input.
        layout: layout of the input; None if the input is not packed.
        columns: names of the columns to pad or pack.
        packs: whether the rows are to be packed; if False, padded.
    """
    packed = [] if layout is None else [name for name in layout.columns if name in columns]
    if not packed:
        return
    raise PaddedError(
        f"the input is packed already, according to the column {SEQUENCE_LENGTHS!r}: the rows of "
        f"{quoted(packed)} contain several sequences",
        place=Place(name),
        column=packed[0],
        remedy="First restore the rows with padmask unpad."
        + ("" if packs else " To pad the packed rows as they are, use --allow-padded."),
        options=["columns"] if packs else ["columns", "allow_padded"],
    )
