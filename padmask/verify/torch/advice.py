"""Advice on how to fix a PyTorch module whose output depends on padding."""

from __future__ import annotations

from dataclasses import dataclass

from padmask.spec.pad import Side
from padmask.verify.torch.attention import Fault


@dataclass(frozen=True)
class Leak:
    """The first call whose outputs depend on padding.

    Args:
        function: name of the function, such as `"mean"`; empty if only the module is known.
        kind: class name of the module that calls the function.
        is_torch: whether the module is part of PyTorch.
        padding: side of the padding.
        is_position: whether the outputs are positions or similar values, which do not depend on the tokens.
        has_mask: whether an input tells the module which positions are real.
        attention: error in the mask of an attention call; None for other calls.
        strided: whether the module has a stride.
        takes_positions: whether the outermost module has an input for positions.
        time_first: whether the module has the time on the first axis.
        is_slice: whether the outputs may be a slice of the inputs that has several positions.
        is_joined: whether an axis of the outputs joins the positions with another axis.
    """

    function: str
    kind: str
    is_torch: bool
    padding: Side
    is_position: bool = False
    has_mask: bool = False
    attention: Fault | None = None
    strided: bool = False
    takes_positions: bool = False
    time_first: bool = False
    is_slice: bool = False
    is_joined: bool = False


_NORMS = ("batch_norm", "instance_norm", "group_norm", "layer_norm", "native_layer_norm", "rms_norm")
_SELECTIONS = ("getitem", "select", "index_select", "gather", "take_along_dim", "narrow", "unbind", "chunk")
_POOLINGS = ("mean", "sum", "amax", "max", "amin", "min", "std", "var", "median", "logsumexp", "norm", "prod")
_PRODUCTS = ("matmul", "bmm", "einsum", "baddbmm", "rmatmul", "mm")
_FLATTENINGS = ("flatten", "reshape", "view", "linear", "contiguous")


def advise_on_leak(leak: Leak) -> str:
    """Return advice on how to fix the module.

    >>> advise_on_leak(Leak("mean", "Classifier", False, "post"))[:49]
    'mean includes the padding. Give the module a mask'
    """
    if leak.is_joined:
        return (
            f"{leak.function} works on an axis that joins positions and another axis, such as the heads. "
            "Check that all inputs join these axes in the same order: transpose the axes before reshape or "
            "view."
        )
    if leak.is_position:
        return _advise_on_positions(leak)
    if leak.attention is not None:
        return _advise_on_attention(leak)
    for names, advise in _TABLE:
        if any(name in leak.function for name in names) or (leak.is_torch and leak.kind in names):
            return advise(leak)
    return (
        f"{leak.kind} mixes padding into real positions. {_MASK_ARGUMENT if not leak.has_mask else _USE_MASK}"
    )


_MASK_ARGUMENT = "Give forward a mask argument, and use the mask in each operation that combines positions."
_USE_MASK = "Use the mask in each operation that combines positions, such as attention or pooling."


def _advise_on_positions(leak: Leak) -> str:
    if leak.padding == "pre":
        remedy = "compute position_ids" if leak.takes_positions else "compute the positions"
        return (
            "Position 0 is the start of the row, which is padding if rows are padded on the left. Pad on the "
            f"right, or {remedy} from the mask: (mask.cumsum(-1) - 1).clamp(min=0)."
        )
    return (
        "The positions depend on the padded length. Count the positions from the first token, or use rows of "
        "the same length."
    )


def _advise_on_attention(leak: Leak) -> str:
    if leak.attention == "queries":
        return (
            "The mask is on the axis of the queries, so real positions attend to padding. Put the mask on "
            "the axis of the keys: mask[:, None, None, :] for scores of shape (rows, heads, queries, keys)."
        )
    if leak.attention == "not-excluded":
        return (
            "The attention receives a mask, but its output depends on padding. Check that the mask marks the "
            "padding of the keys: PyTorch's key_padding_mask is True at padding, Hugging "
            "Face's attention_mask is 1 at real tokens."
        )
    reaches = "No mask reaches the attention" if leak.has_mask else "The attention has no mask"
    return (
        f"{reaches}, so real positions attend to padding. Pass the mask: key_padding_mask to "
        "MultiheadAttention, src_key_padding_mask to TransformerEncoder, attn_mask to "
        "scaled_dot_product_attention, or set the scores of padded keys to -inf before the softmax."
    )


def _advise_on_fft(leak: Leak) -> str:
    return (
        "A Fourier transform over time mixes all positions, and no mask can exclude the padding. Use batches "
        "of rows of the same length, or pack the rows (padmask pack) so that all rows have the same length."
    )


def _advise_on_packing(leak: Leak) -> str:
    return (
        "pack_padded_sequence reads the first positions of each row, which are padding if rows are padded on "
        "the left. Pad on the right."
    )


def _advise_on_recurrence(leak: Leak) -> str:
    cause = (
        "Padding at the start changes the state before the first token"
        if leak.padding == "pre"
        else "The last state and the outputs of the reverse direction include the padding"
    )
    layout = "" if leak.time_first else "batch_first=True, "
    return (
        f"{cause}. Pass a PackedSequence: torch.nn.utils.rnn.pack_padded_sequence(x, lengths, {layout}"
        "enforce_sorted=False), with rows padded on the right."
    )


def _advise_on_convolution(leak: Leak) -> str:
    text = (
        "A convolution mixes neighbouring positions, including padding. Set padded positions to zero before "
        "each convolution: x = x * mask.unsqueeze(-1)."
    )
    if leak.strided:
        text += " With a stride, also compute the mask of the shorter output."
    return text


def _advise_on_pooling_layer(leak: Leak) -> str:
    return (
        "Pooling over time includes padding. For a maximum, set padded positions to -inf before the pooling. "
        "For a mean, divide the sum of the real positions by their number."
    )


def _advise_on_batch_norm(leak: Leak) -> str:
    if "batch" in leak.function or "Batch" in leak.kind:
        return (
            "As in training mode, the batch normalisation uses the statistics of the batch, which include "
            "padding. Call eval(), and set track_running_stats=True. For training, normalise only the real "
            "positions."
        )
    return (
        f"{leak.kind} normalises over time, and its statistics include padding. Use LayerNorm over the "
        "features, or compute the statistics with the mask."
    )


def _advise_on_selection(leak: Leak) -> str:
    if leak.is_slice:
        return (
            "The module cuts or shifts the positions, so padding takes the place of real positions. Set "
            "padded positions to zero before this operation, and use the mask after it."
        )
    place = "last" if leak.padding == "post" else "first"
    remedy = (
        "Select the last real position: x[torch.arange(len(x)), lengths - 1]"
        if leak.padding == "post"
        else "Pad on the right, or select the first real position with the mask"
    )
    return f"The module selects the {place} position, which is padding in shorter rows. {remedy}."


def _advise_on_reduction(leak: Leak) -> str:
    source = "Use the mask" if leak.has_mask else "Give the module a mask"
    return (
        f"{leak.function} includes the padding. {source}: for a mean, (x * mask.unsqueeze(-1)).sum(1) / "
        "mask.sum(1, keepdim=True); for a maximum, set padded positions to -inf first."
    )


def _advise_on_softmax(leak: Leak) -> str:
    return (
        "The softmax over time gives weight to padding. Before the softmax, set the scores of padded "
        "positions to -inf: scores.masked_fill(~mask, float('-inf'))."
    )


def _advise_on_products(leak: Leak) -> str:
    return (
        f"{leak.function} mixes all positions, including padding. Set the weights of padded positions to "
        "zero before this operation."
    )


def _advise_on_flattening(leak: Leak) -> str:
    return (
        "After flattening, every position has its own weights, including padding. Set padded positions to "
        "zero before flattening, or replace flattening with pooling that uses the mask."
    )


def _advise_on_ends(leak: Leak) -> str:
    return (
        "The pad function adds values at the end of the padded row, not at the end of the tokens, so real "
        "positions next to padding change. Set padded positions to zero before this call "
        "(x = x * mask.unsqueeze(-1)), or use rows of the same length."
    )


def _advise_on_order(leak: Leak) -> str:
    return (
        f"{leak.function} moves padding to the places of real positions. Reverse or shift only the real "
        "positions of each row."
    )


# Parts of PyTorch function names or class names, and the advice for them. The first match counts.
_TABLE = (
    (("fft",), _advise_on_fft),
    (("pack_padded_sequence",), _advise_on_packing),
    (("lstm", "gru", "rnn", "LSTM", "GRU", "RNN"), _advise_on_recurrence),
    (("softmax", "Softmax"), _advise_on_softmax),
    (("conv", "unfold", "Conv1d", "Conv2d"), _advise_on_convolution),
    (("pool",), _advise_on_pooling_layer),
    (("pad",), _advise_on_ends),
    (_NORMS, _advise_on_batch_norm),
    (("flip", "roll", "sort", "cumsum"), _advise_on_order),
    (_SELECTIONS, _advise_on_selection),
    (_POOLINGS, _advise_on_reduction),
    (_PRODUCTS, _advise_on_products),
    (_FLATTENINGS, _advise_on_flattening),
)
