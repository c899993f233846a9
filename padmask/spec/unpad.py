"""Options for removing padding: `UnpadSpec`."""

from __future__ import annotations

from dataclasses import dataclass

from padmask.errors import SpecError
from padmask.spec.checks import at_least, check_fields, flag, optional, string
from padmask.spec.mask import Dialect, MaskKind, Polarity, asked_dialect
from padmask.spec.pad import Side
from padmask.spec.sides import checked_side


@dataclass(frozen=True, kw_only=True)
class UnpadSpec:
    """Options for removing padding: the columns that mark the padding, and how to restore the source rows.

    >>> UnpadSpec(mask_column="attention_mask").keep_mask
    False

    Args:
        mask_column: name of the mask column. Each row is a list of bools or numbers. If None, the
            column is found from the metadata, else by a usual name such as `mask` or `attention_mask`.
        length_column: name of the column that contains the number of tokens in each row. If None, the column
            is found from the metadata. If there is also a mask, the two must agree.
        padding: side of the padding, used only if there is no mask. If None, the side in the metadata is
            used.
        keep_mask: whether to keep the mask and length columns. The padding is also removed from the mask,
            unless other columns with the same mask stay padded.
        mask_polarity: which positions of a binary mask are True or 1: `"real"` tokens or `"padding"`. If
            None, the metadata decides, else the name of the mask: a `key_padding_mask` is True at padding.
        mask_kind: `"binary"` for bools or 0 and 1, `"additive"` for 0 and large negative numbers. If None,
            the metadata decides, else `"binary"`.
        join_windows: whether to restore the source rows from windows, and from the pieces of rows that
            packing split. Windows are joined only if the input has the columns that splitting adds, such as
            `source_row`.
        restore_order: whether to restore the order of the source rows, which packing, batches and buckets
            change. If True, the columns `source_row` and `batch` are left out. If False, the rows stay in the
            order of the input.
        align: the multiple to which each sequence of packed rows was padded, as in `PackSpec`. Required only
            if packed rows have no metadata, no mask and no other column that shows the padding.
    """

    mask_column: str | None = None
    length_column: str | None = None
    padding: Side | None = None
    keep_mask: bool = False
    join_windows: bool = True
    restore_order: bool = True
    mask_polarity: Polarity | None = None
    mask_kind: MaskKind | None = None
    align: int | None = None

    def __post_init__(self) -> None:
        check_fields(
            self,
            mask_column=optional(string),
            length_column=optional(string),
            padding=optional(checked_side),
            keep_mask=flag,
            join_windows=flag,
            restore_order=flag,
            align=optional(at_least(1, bits=31)),
        )
        asked_dialect(self.mask_polarity, self.mask_kind)
        if self.mask_column is not None and self.mask_column == self.length_column:
            raise SpecError(
                f"Column {self.mask_column!r} cannot be both the mask and the length column. Choose "
                "different columns.",
                options=["mask_column", "length_column"],
            )

    @property
    def dialect(self) -> Dialect | None:
        """The requested polarity and kind of the mask; None if neither is requested."""
        return asked_dialect(self.mask_polarity, self.mask_kind)
