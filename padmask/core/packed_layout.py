"""The columns of packed rows, and how the rows are packed: `PackedLayout`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import is_list, token_type
from padmask.core.packed_spans import Marker
from padmask.errors import PaddedError, Place, SpecError, quoted
from padmask.spec.mask import TRUE_AT_TOKENS, Dialect
from padmask.spec.pack import SEQUENCE_LENGTHS, SOURCE_COLUMNS, PackSpec
from padmask.spec.pad import PadSpec
from padmask.spec.unpad import UnpadSpec

_MAY_BE_PADDING = (
    "without a mask, {marker!r} does not say which positions are padding, so some rows of the "
    "output may contain padding"
)

LENGTHS = Marker(SEQUENCE_LENGTHS)


@dataclass(frozen=True)
class PackedLayout:
    """The columns of packed rows, and how the rows are packed.

    Args:
        columns: names of the packed columns, with one value for each position.
        mask: name of the mask column; None if there is no mask.
        sources: whether the rows have the columns in `SOURCE_COLUMNS`: the source row of each sequence, and
            its first token in this row.
        marker: column that separates the sequences; None if the metadata or the source columns show that rows
            are packed, but no such column is left.
        derived: the name in `DERIVED` of each derived column, keyed by column name. If the metadata describes
            the packing, only columns that packing added are included.
        described: whether the metadata describes the packing.
        spec: options with which the rows were packed; None if they are not known.
        dropped: names of the columns that unpacking leaves out.
        repeated: names of the columns with one value for each packed row. The method `fields` returns the
            columns with one value for each sequence.
        dialect: how the mask marks real tokens and padding.
        aligns: possible values of `--align`: the number of positions of each sequence is a multiple of this
            value. Used only without a mask. Empty if unknown.
        keep_last: number of tokens kept at the end of each piece of a row, or the name of the column with
            this number.
        shifted: names of label columns whose labels pack moved one token to the left.
        splits: whether a source row may have several sequences; None if unknown.
        notes: sentences about changes that unpacking does not undo.
        loss_masks: names of the input columns that decided which tokens count in the loss.
        renamed: names in the source rows of the packed columns that were renamed, keyed by their names in the
            packed rows.
        labels_from: name of the input column from which the labels were copied; None if there is none, or if
            the column is unknown.
    """

    columns: tuple[str, ...]
    mask: str | None
    sources: bool
    marker: Marker | None = LENGTHS
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
        """Names of the marker column, if there is one, and of the source columns, if there are any."""
        first = () if self.marker is None else (self.marker.column,)
        return (*first, *(SOURCE_COLUMNS if self.sources else ()))

    @property
    def describing(self) -> tuple[str, ...]:
        """Names of the columns in `markers` and of the derived columns."""
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
        """Return the layout with the requested value of `--align`; unchanged if `align` is None.

        Raises:
            SpecError: the metadata or a column already shows where the padding is.
        """
        if align is None or self.aligns == (align,):
            return self
        if self.described or self.mask is not None or self.marker is None or self.marker.kind != "lengths":
            known = "the metadata says" if self.described else "the mask or another column says"
            raise SpecError(f"Remove --align, because {known} where the padding is.", options=["align"])
        return replace(self, aligns=(align,))

    @property
    def ends_in_padding(self) -> bool:
        """Whether `marker` may describe the padding at the end of a row as further sequences.

        The result is True only if the metadata shows that there is no padding between sequences.
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


def has_sources(schema: pa.Schema) -> bool:
    """Return whether a schema has the columns in `SOURCE_COLUMNS`, as lists of integers."""
    return all(has_integer_lists(schema, name) for name in SOURCE_COLUMNS)


def has_list(schema: pa.Schema, name: str) -> bool:
    """Return whether a schema has a column of this name whose rows are lists."""
    return name in schema.names and is_list(schema.field(name).type)


def check_marker(name: str, layout: PackedLayout) -> None:
    """Raise an error if no column separates the sequences of packed rows.

    Args:
        name: name of the input.
        layout: layout of the input.
    """
    if layout.marker is None:
        raise SpecError(
            f"{name}: {missing_marker(layout)}. Restore the column {SEQUENCE_LENGTHS!r}, or pack the rows "
            "again."
        )


def missing_marker(layout: PackedLayout) -> str:
    """Return a clause that says that no column separates the sequences of packed rows."""
    return (
        f"the rows are packed, according to {_evidence(layout)}, but the column {SEQUENCE_LENGTHS!r} is "
        "missing, and no other column separates the sequences"
    )


def check_kept_ends(layout: PackedLayout, names: Collection[str]) -> None:
    """Raise an error if pieces cannot be joined, because the column `layout.keep_last` is missing.

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
