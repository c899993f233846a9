"""What tells padding from tokens when padding is removed: `UnpadSpec`."""

from __future__ import annotations

from dataclasses import dataclass

from padmask.errors import SpecError
from padmask.spec.checks import check_fields, choice, flag, optional, string
from padmask.spec.pad import Side


@dataclass(frozen=True, kw_only=True)
class UnpadSpec:
    """What tells padding from tokens, so that it can be taken away.

    >>> UnpadSpec(mask_column="attention_mask").keep_mask
    False

    Args:
        mask_column: a list of bools, or of 0 and 1, for each row; True or 1 is a real token. None takes
            what the metadata say, else `mask` or `attention_mask`.
        length_column: how many tokens each row has; None takes what the metadata say. Beside a mask
            it must say the same.
        padding: the side of the padding, where lengths alone tell how much there is; None takes what
            the metadata say. A mask shows its side itself.
        keep_mask: leave the mask and the length in the output; the mask is then True throughout,
            and as long as its row.
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
                f"Column {self.mask_column!r} cannot be both the mask and the length: name it once.",
                options=["mask_column", "length_column"],
            )
