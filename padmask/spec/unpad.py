"""Options for removing padding: `UnpadSpec`."""

from __future__ import annotations

from dataclasses import dataclass

from padmask.errors import SpecError
from padmask.spec.checks import check_fields, choice, flag, optional, string
from padmask.spec.pad import Side


@dataclass(frozen=True, kw_only=True)
class UnpadSpec:
    """Options for removing padding: how padding is distinguished from tokens.

    >>> UnpadSpec(mask_column="attention_mask").keep_mask
    False

    Args:
        mask_column: column with a list of bools, or of 0 and 1, in each row. True or 1 is a real token. None
            uses the column named in the metadata, else `mask` or `attention_mask`.
        length_column: column with the number of tokens of each row; None uses the metadata. The lengths must
            agree with the mask, if there is a mask.
        padding: side of the padding, needed for lengths without a mask; None uses the metadata.
        keep_mask: keep the mask column, cut like its row, and the length column.
    """

    mask_column: str | None = None
    length_column: str | None = None
    padding: Side | None = None
    keep_mask: bool = False

    def __post_init__(self) -> None:
        check_fields(
            self,
            mask_column=optional(string),
            length_column=optional(string),
            padding=optional(choice(("post", "pre"))),
            keep_mask=flag,
        )
        if self.mask_column is not None and self.mask_column == self.length_column:
            raise SpecError(
                f"Column {self.mask_column!r} cannot be both the mask and the length. Choose two columns.",
                options=["mask_column", "length_column"],
            )
