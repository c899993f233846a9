"""Determine whether rows are already packed, and which columns are packed: `PackedLayout`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import is_list, is_mask, token_type
from padmask.core.columns import COMPANIONS, MASK_NAMES
from padmask.core.dialects import usual_dialect
from padmask.core.metadata import Described, groups_to_keep, read_descriptions, valid_descriptions
from padmask.core.packed_align import find_aligns
from padmask.core.packed_head import HeadRows, PackedHead
from padmask.core.packed_spans import CERTAIN_NAMES, KINDS, USUAL_NAMES, Marker, NumberLists, show_packing
from padmask.core.ragged import Ragged
from padmask.errors import DataError, PaddedError, Place, SpecError, quoted
from padmask.spec.columns import list_columns
from padmask.spec.mask import TRUE_AT_TOKENS, Dialect
from padmask.spec.pack import DERIVED, ID_NAMES, SEQUENCE_LENGTHS, SOURCE_COLUMNS, PackSpec, names_for
from padmask.spec.pad import PadSpec
from padmask.spec.unpad import UnpadSpec
from padmask.spec.windows import WindowSpec

_MAY_BE_MASKED = (
    "labels stay as pack wrote them: the first label of each sequence may be -100 (--boundary-labels mask), "
    "or each label may be one token to the left (--boundary-labels shift, --dialect torchtune)"
)

_MAY_BE_PADDING = (
    "without a mask, {marker!r} does not say which positions are padding, so some rows of the "
    "output may contain padding"
)

# Number of rows whose values show whether rows are already packed. Reading more JSON Lines rows takes long.
ROWS_TO_JUDGE = 100

# Columns that only separate sequences, so they mean nothing in a row with one sequence. The other columns in
# `DERIVED` may also be columns of the source rows.
_SEPARATORS = ("segment_ids", "cu_seqlens", "seq_start_id", "attention_mask")


_LENGTHS = Marker(SEQUENCE_LENGTHS)


@dataclass(frozen=True)
class PackedLayout:
    """The columns of packed rows, and how the rows are packed.

    Args:
        columns: names of the packed columns, with one value for each position.
        mask: name of the mask column; None if there is no mask.
        sources: whether the columns in `SOURCE_COLUMNS` locate the sequences in the source rows.
        marker: column that separates the sequences; None if the metadata or the source columns show that rows
            are packed, but no such column is left.
        derived: the name in `DERIVED` of each derived column, keyed by column name. With metadata, only
            columns that packing added.
        described: whether the metadata describes the packing.
        spec: options that packed the rows; None if they are not known.
        dropped: names of the columns that unpacking leaves out.
        repeated: names of columns with one value for the packed row. All other columns are lists with one
            value for each sequence.
        dialect: how the mask marks real tokens and padding.
        aligns: possible values of `--align`: the number of positions of each sequence is a multiple of this
            value. Used only without a mask. Empty if unknown.
        keep_last: number of tokens kept at the end of each piece of a row, or the name of the column with
            this number.
        shifted: names of label columns whose labels pack moved one token to the left.
        splits: whether a source row may have several sequences; None if unknown.
        notes: what unpacking does not undo, as sentences.
        loss_masks: names of the input columns that decided which tokens count in the loss.
        renamed: names of packed columns in the source rows, keyed by their names in the packed rows, if they
            differ.
        labels_from: name of the input column from which the labels were copied; None if there is none, or if
            the column is unknown.
    """

    columns: tuple[str, ...]
    mask: str | None
    sources: bool
    marker: Marker | None = _LENGTHS
    derived: Mapping[str, str] = field(default_factory=dict)
    described: bool = False
    spec: PadSpec | None = field(default=None, compare=False)
    dropped: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    dialect: Dialect = TRUE_AT_TOKENS
    aligns: tuple[int, ...] = (1,)
    keep_last: int | str = 0
    shifted: tuple[str, ...] = ()
    splits: bool | None = None
    notes: tuple[str, ...] = ()
    loss_masks: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    labels_from: str | None = None

    @property
    def unpacked_columns(self) -> tuple[str, ...]:
        """Names of the packed columns in the unpacked rows."""
        return tuple(self.renamed.get(name, name) for name in self.columns)

    @property
    def markers(self) -> tuple[str, ...]:
        """Names of the columns that locate the sequences, without the mask."""
        first = () if self.marker is None else (self.marker.column,)
        return (*first, *(SOURCE_COLUMNS if self.sources else ()))

    @property
    def describing(self) -> tuple[str, ...]:
        """Names of the columns that describe the sequences and their sources."""
        return tuple(dict.fromkeys([*self.markers, *self.derived]))

    @property
    def align(self) -> int:
        """The smallest number in `aligns`; 1 if unknown."""
        return min(self.aligns, default=1)

    @property
    def packing(self) -> PackSpec | None:
        """The options for packing; None if they are not known."""
        return None if self.spec is None else self.spec.packing

    def with_padding_note(self) -> PackedLayout:
        """Return the layout, with a warning in `notes` if rows may have padding that no column shows."""
        if self.marker is None or not self._lacks_padding:
            return self
        return replace(self, notes=(*self.notes, _MAY_BE_PADDING.format(marker=self.marker.column)))

    def with_align(self, align: int | None) -> PackedLayout:
        """Return the layout with the requested value of `--align`. None keeps the known values.

        Raises:
            SpecError: the layout does not need the value.
        """
        if align is None or self.aligns == (align,):
            return self
        if self.described or self.mask is not None or self.marker is None or self.marker.kind != "lengths":
            known = "the metadata says" if self.described else "the mask or another column says"
            raise SpecError(f"Remove --align, because {known} where the padding is.", options=["align"])
        return replace(self, aligns=(align,))

    @property
    def ends_in_padding(self) -> bool:
        """Whether the marker may count the padding at the end of a row as sequences.

        If there may be padding between sequences, the result is False, because no column shows this padding.
        """
        return self.described and self.align == 1 and self._lacks_padding

    @property
    def _lacks_padding(self) -> bool:
        """Whether the rows may have padding that no column shows."""
        padded = self.packing is None or self.packing.has_padding
        return padded and self.mask is None and self.marker is not None and self.marker.unsure

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
            f"The pieces of split rows cannot be joined, because the input has no column "
            f"{layout.keep_last!r} with the number of last tokens that pack kept (--keep-last). Keep the "
            "pieces as rows with --no-join-windows, or pack the rows again with --fields list.",
            options=["join_windows"],
        )


def refuse_unpad_options(spec: UnpadSpec) -> None:
    """Raise an error for options of `unpad` that packed rows do not support."""
    if spec.keep_mask:
        raise SpecError(
            "Unpacked rows have no mask. Remove --keep-mask, or pad the rows again.", options=["keep_mask"]
        )
    if spec.padding is not None:
        raise SpecError(
            "The rows are packed, so the lengths of the sequences determine the padding. Remove --padding.",
            options=["padding"],
        )


# Returns the first rows.
ReadHead = Callable[[], HeadRows]


def find_packing(
    files: Mapping[str, pa.Schema],
    columns: Sequence[str],
    read_head: ReadHead,
    mask: str | None = None,
    dialect: Dialect | None = None,
) -> PackedLayout | None:
    """Return the `PackedLayout` of packed rows; None if the rows are not packed.

    All commands use this result. If there is metadata, it decides. Without metadata, the name and the type
    of a column in `CERTAIN_NAMES` decide. Other columns, such as `position_ids` and `segment_ids`, may have
    another meaning, so their values in the first 100 rows decide.

    >>> from padmask.core.packed_head import TableHead
    >>> rows = pa.record_batch({"input_ids": [[5, 6, 7]], "position_ids": [[0, 1, 0]]})
    >>> find_packing({"a.jsonl": rows.schema}, (), lambda: TableHead([rows])) is None
    True
    >>> rows = pa.record_batch({"input_ids": [[5, 6, 7, 8]], "position_ids": [[0, 1, 0, 1]]})
    >>> find_packing({"a.jsonl": rows.schema}, (), lambda: TableHead([rows])).marker.column
    'position_ids'

    Args:
        files: schema of each file, by file name.
        columns: names of the requested columns, which count as packed columns in addition to those found.
        read_head: function that returns the first rows.
        mask: name of the requested mask column. If None, the mask column is found.
        dialect: requested polarity and kind of the mask. If None, from the metadata, else from the name of
            the mask.

    Raises:
        PaddedError: the files are not packed in the same way.
        SpecError: a requested column is missing, or is not a list.
    """
    described = {name: _described_layout(name, schema, columns) for name, schema in files.items()}
    found = next((layout for layout in described.values() if layout is not None), None)
    if found is None:
        unknown = {name: schema for name, schema in files.items() if not _is_only_padded(schema)}
        found = _seen_layout(unknown, columns, read_head, mask, dialect)
    else:
        _refuse_different_packing(described)
    if found is None:
        return None
    if mask is not None or dialect is not None:
        name = mask or found.mask
        usual = found.dialect if name == found.mask else usual_dialect(name or "")
        left = () if mask is None or found.mask in (None, mask) else (str(found.mask),)
        found = replace(found, mask=name, dialect=dialect or usual, dropped=(*found.dropped, *left))
    return found.with_padding_note()


def may_be_packed(schema: pa.Schema) -> bool:
    """Return whether a schema has metadata of packing, or a column that may separate sequences."""
    if _packed_group(schema) is not None:
        return True
    return (_has_sources(schema) or bool(_candidates(schema, ()))) and not _is_only_padded(schema)


def _is_only_padded(schema: pa.Schema) -> bool:
    """Return whether the metadata describes padding, but no packing."""
    groups = valid_descriptions(schema)
    return bool(groups) and all(group.packing is None for group in groups)


def check_marker(name: str, layout: PackedLayout) -> None:
    """Raise an error if no column separates the sequences of packed rows.

    Args:
        name: name of the input.
        layout: layout of the input.
    """
    if layout.marker is None:
        raise SpecError(
            f"{name}: {missing_marker(layout)}. Pack the rows again, or keep {SEQUENCE_LENGTHS!r}."
        )


def missing_marker(layout: PackedLayout) -> str:
    """Return a clause that says that no column separates the sequences of packed rows."""
    return (
        f"the rows are packed, according to {_evidence(layout)}, but the column {SEQUENCE_LENGTHS!r} is "
        "missing, and no other column separates the sequences"
    )


def _candidates(schema: pa.Schema, columns: Sequence[str]) -> list[Marker]:
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
    """Return, for each kind of column that describes sequences, the columns with a usual name."""
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


def _packed_group(schema: pa.Schema) -> Described | None:
    try:
        groups = read_descriptions(schema.metadata)
    except DataError:
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
    """Return the `PackedLayout` that the metadata of a file describes; None if it describes no packing."""
    group = _packed_group(schema)
    if group is None:
        return None
    assert group.packing is not None
    mask, _ = group.present(schema.names)
    for name in columns:
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
    packed = [name for name in group.values if name not in group.made and _is_list_in(schema, name)]
    names = list(dict.fromkeys([*columns, *packed]))
    emitted = _derived_names(group)
    derived = [name for name in (*group.made, *emitted) if name not in columns]
    found = {name: its for name, its in emitted.items() if has_integer_lists(schema, name)}
    markers = [Marker.of(its, name) for its in KINDS for name in found if found[name] == its]
    if has_integer_lists(schema, SEQUENCE_LENGTHS):
        markers = [_LENGTHS]
    sources = _has_sources(schema)
    notes = []
    if group.packing.get("eos") is not None:
        notes.append(f"the end tokens {group.packing['eos']} that pack added (--eos) stay in the rows")
    labels = tuple(name for name in names if _is_label(group, name))
    if group.packing.get("boundary_labels") in ("mask", "shift") and labels:
        notes.append("the first label of each sequence stays -100, because pack replaced it")
    renamed = {new: name for new, name in group.renamed.items() if new in names}
    taken = {name for name in schema.names if name not in derived}
    notes += [
        f"the column {new!r} is not renamed to {name!r}, because the rows have another column {name!r}"
        for new, name in renamed.items()
        if name in taken
    ]
    renamed = {new: name for new, name in renamed.items() if name not in taken}
    keep_last = group.keep_last if group.windows else 0
    return PackedLayout(
        columns=tuple(names),
        mask=mask,
        sources=sources,
        marker=next(iter(markers), None),
        derived=found,
        described=True,
        spec=_read_spec(schema),
        dropped=tuple(name for name in derived if name in schema.names),
        repeated=tuple(
            its.name for its in schema if not is_list(its.type) and its.name not in (*names, *derived)
        ),
        dialect=group.dialect,
        aligns=(group.packing.get("align") or 1,),
        keep_last=keep_last,
        shifted=labels if group.packing.get("boundary_labels") == "shift" else (),
        splits=group.windows or group.packing.get("algorithm") == "wrap",
        notes=tuple(notes),
        loss_masks=group.loss_masks,
        renamed=renamed,
        labels_from=group.labels_from,
    )


def _is_list_in(schema: pa.Schema, name: str) -> bool:
    return name in schema.names and is_list(schema.field(name).type)


def _derived_names(group: Described) -> dict[str, str]:
    """Return the name in `DERIVED` of each derived column that packing added, keyed by column name."""
    packing = group.packing or {}
    names = dict(packing.get("names") or ())
    columns = [name for name in group.values if name not in group.made]
    return {
        name: derived
        for derived in packing.get("emit") or ()
        if derived in DERIVED
        for name in names_for([names.get(derived, derived)], columns)
    }


def _read_spec(schema: pa.Schema) -> PadSpec | None:
    """Return the options that packed the rows; None if this version of padmask does not support them."""
    group = next(group for group in groups_to_keep(schema, ()) if group.get("packing") is not None)
    known = {field.name for field in fields(PackSpec)}
    packing, windows = group["packing"], group.get("windows")
    try:
        return PadSpec(
            maxlen=group["maxlen"],
            truncating=group["truncating"],
            keep_first=group.get("keep_first") or 0,
            keep_last=group.get("keep_last") or 0,
            windows=None if windows is None else WindowSpec(**windows),
            packing=PackSpec(**{name: value for name, value in packing.items() if name in known}),
        )
    except (SpecError, KeyError, TypeError):
        return None


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
                remedy="Read the files separately.",
            )


def _seen_layout(
    files: Mapping[str, pa.Schema],
    columns: Sequence[str],
    read_head: ReadHead,
    mask: str | None,
    dialect: Dialect | None,
) -> PackedLayout | None:
    """Find the layout from the column names and the first rows. Return None if the rows are not packed."""
    schema = next((its for its in files.values() if _has_sources(its) or _candidates(its, columns)), None)
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
    sources = _has_sources(schema)
    usual = _usual_names(schema)
    derived = {column: name for name in DERIVED for column in usual[name] if column not in (*columns, mask)}
    markers = (marker.column, *(SOURCE_COLUMNS if sources else ()))
    others = [name for name in head.lengths if name not in markers]
    packed = [name for name in others if head.are_packed(name)]
    lists = [name for name in others if _is_list_in(schema, name) and not head.are_fields(name)]
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
    if not _has_sources(schema):
        return None
    lists = [its.name for its in schema if is_list(its.type) and its.name not in (*SOURCE_COLUMNS, mask)]
    names = tuple(dict.fromkeys([*columns, *lists]))
    return PackedLayout(names, mask, sources=True, marker=None, dialect=dialect) if names else None


def _has_sources(schema: pa.Schema) -> bool:
    """Return whether a schema has the columns that locate packed sequences in their source rows."""
    return all(has_integer_lists(schema, name) for name in SOURCE_COLUMNS)


def _marker_in(
    schema: pa.Schema, columns: Sequence[str], rows: HeadRows, mask: str | None, dialect: Dialect
) -> Marker | None:
    """Return the column that separates the sequences; None if the rows are not packed."""
    flags = None
    if mask is not None:
        flags, _ = Ragged.from_mask(rows.values(mask, ROWS_TO_JUDGE), dialect)
    for marker in _candidates(schema, columns):
        if marker.column == mask:
            continue
        if _is_certain(marker.column, schema):
            return marker
        values = rows.values(marker.column, ROWS_TO_JUDGE)
        if show_packing(marker, NumberLists.of(values, signed=marker.is_signed), flags):
            return marker
    return None


def _aligns_in(schema: pa.Schema, rows: HeadRows, marker: Marker, first: str) -> tuple[int, ...]:
    """Return the values of `--align` that fit the first rows. See `PackedLayout.aligns`.

    Args:
        schema: columns of the file.
        rows: the first rows.
        marker: column that separates the sequences.
        first: name of a packed column.
    """
    if marker.kind != "lengths":
        return (1,)
    located = []
    for its in _candidates(schema, (first, marker.column)):
        lists = NumberLists.of(rows.values(its.column), signed=its.is_signed)
        if _is_certain(its.column, schema) or show_packing(its, lists):
            located.append((its, lists))
    widths = np.maximum(np.array(rows.lengths()[first], dtype=np.int64), 0)
    return find_aligns(NumberLists.of(rows.values(marker.column)), widths, located)


def _mask_in(schema: pa.Schema, rows: HeadRows) -> str | None:
    """Return the name of the mask column; None if there is no mask.

    An attention mask may contain sequence numbers instead of ones.
    """
    for name in MASK_NAMES:
        if name in schema.names and is_mask(schema.field(name).type):
            flags, _ = Ragged.from_mask(rows.values(name, ROWS_TO_JUDGE), usual_dialect(name))
            if not (flags.values > 1).any():
                return name
    return None


def _separators(head: PackedHead, packed: Collection[str], derived: Mapping[str, str]) -> list[str]:
    """Return the columns that only separate sequences."""
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


def refuse_packed(
    name: str, layout: PackedLayout | None, columns: Collection[str], *, packs: bool = False
) -> None:
    """Raise an error if columns are already packed.

    Args:
        name: name of the input.
        layout: layout of the input; None if the input is not packed.
        columns: names of the columns to pad or pack.
        packs: whether the rows will be packed; if False, they will be padded.
    """
    packed = [] if layout is None else [name for name in layout.columns if name in columns]
    if not packed:
        return
    raise PaddedError(
        f"the input is already packed, according to {_evidence(layout)}: the rows of {quoted(packed)} "
        "contain several sequences",
        place=Place(name),
        column=packed[0],
        remedy="First restore the rows with padmask unpad."
        + ("" if packs else " To pad the packed rows as they are, use --allow-padded."),
        options=["columns"] if packs else ["columns", "allow_padded"],
    )


def _evidence(layout: PackedLayout | None) -> str:
    if layout is not None and layout.marker is None and not layout.described:
        return f"the columns {quoted(SOURCE_COLUMNS)}"
    if layout is None or layout.marker is None:
        return "the metadata"
    return f"the column {layout.marker.column!r}"
