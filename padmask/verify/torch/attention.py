"""Find errors in the masks of attention calls."""

from __future__ import annotations

from typing import Any, Literal

import torch

from padmask.spec.pad import Side
from padmask.verify.torch.record import Call

# The error in the mask of an attention call. "no-mask": the call receives no mask. "queries": the mask is on
# the axis of the queries. "not-excluded": the mask is on the axis of the keys, but outputs depend on padding.
Fault = Literal["no-mask", "queries", "not-excluded"]

# Scores below this value have no weight after the softmax.
_EXCLUDED = -1e3


def describe_attention(few: Call, many: Call, padding: Side) -> Fault | None:
    """Return the error in the mask of an attention call; None for other calls.

    Args:
        few: the call in the run with less padding.
        many: the same call in the run with more padding.
        padding: side of the padding.
    """
    if many.name in ("softmax", "log_softmax"):
        scores = many.argument(0, "input")
        short = few.argument(0, "input")
        if not isinstance(scores, torch.Tensor) or scores.ndim < 3 or scores.shape[-1] == short.shape[-1]:
            return None
        return _check_bias(scores, short.shape[-2:], padding)
    if many.name == "scaled_dot_product_attention":
        mask = many.argument(3, "attn_mask")
        if mask is None:
            return "no-mask"
        query, short = many.argument(0, "query"), few.argument(0, "query")
        keys, short_keys = many.argument(1, "key"), few.argument(1, "key")
        full = mask.expand(*torch.broadcast_shapes(mask.shape, (query.shape[-2], keys.shape[-2])))
        return _check_bias(full, (short.shape[-2], short_keys.shape[-2]), padding)
    if many.name in ("multi_head_attention_forward", "_transformer_encoder_layer_fwd"):
        given = dict(many.arguments)
        mask = given.get("key_padding_mask", given.get("9"))
        return "no-mask" if not isinstance(mask, torch.Tensor) or not mask.any() else "not-excluded"
    return None


def _check_bias(bias: torch.Tensor, real: Any, padding: Side) -> Fault:
    """Return the error in the mask of an attention call.

    Args:
        bias: the mask, or scores to which the mask was added: shape (..., queries, keys).
        real: the number of real queries, and the number of real keys.
        padding: side of the padding.
    """
    queries, keys = int(real[0]), int(real[1])
    if padding == "post":
        padded_keys, real_keys = bias[..., :queries, keys:], bias[..., queries:, :keys]
    else:
        total_queries, total_keys = bias.shape[-2], bias.shape[-1]
        padded_keys = bias[..., total_queries - queries :, : total_keys - keys]
        real_keys = bias[..., : total_queries - queries, total_keys - keys :]
    if _excludes(padded_keys):
        return "not-excluded"
    return "queries" if _excludes(real_keys) else "no-mask"


def _excludes(part: torch.Tensor) -> bool:
    if not part.numel():
        return False
    if part.dtype == torch.bool:
        return not bool(part.any())
    return bool((part < _EXCLUDED).all())
