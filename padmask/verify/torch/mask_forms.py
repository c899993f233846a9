"""Forms of masks that modules expect instead of masks of shape (rows, time)."""

from __future__ import annotations

import re
from typing import Literal

import torch

# - flat: (rows, time).
# - column: (rows, time, 1), for products with features.
# - broadcast: (rows, 1, 1, time), for scores of attention with heads.
# - additive: the same shape, with 0 at tokens and the smallest float at padding.
# - queries: (rows, 1, time). Masks of targets have the shape (rows, time, time), and exclude later positions,
#   as in the Annotated Transformer.
# - square: (time, time), True at positions that a query may not read, as in nn.Transformer. Only for modules
#   that also have masks of padding.
MaskForm = Literal["flat", "column", "broadcast", "additive", "queries", "square"]

SHAPES: dict[MaskForm, str] = {
    "column": "(rows, time, 1)",
    "broadcast": "(rows, 1, 1, time)",
    "additive": "(rows, 1, 1, time)",
    "queries": "(rows, queries, time)",
    "square": "(time, time)",
}

# Another form to try if a module runs with a form, but leaks.
OTHERS: dict[MaskForm, MaskForm] = {"additive": "broadcast", "broadcast": "additive"}

_TARGETS = re.compile(r"(^|_)(tgt|trg|target|dec|decoder)(_|$)")


def give_form(mask: torch.Tensor, form: MaskForm, name: str) -> torch.Tensor:
    """Convert a mask of shape (rows, time) to another form.

    Args:
        mask: mask to convert.
        form: form that the module expects.
        name: name of the input. If it names a target, as in `tgt_mask`, the forms `"queries"` and `"square"`
            also exclude later positions.
    """
    if form == "flat":
        return mask
    if form == "column":
        return mask[:, :, None]
    if form in ("broadcast", "additive"):
        wide = mask[:, None, None, :]
        return wide if form == "broadcast" else torch.where(wide.bool(), 0.0, torch.finfo(torch.float32).min)
    places = mask.shape[1]
    later = torch.ones(places, places, dtype=torch.bool).triu(1)
    is_target = _TARGETS.search(name) is not None
    if form == "square":
        return later if is_target else torch.zeros_like(later)
    return mask[:, None, :] * ~later if is_target else mask[:, None, :]
