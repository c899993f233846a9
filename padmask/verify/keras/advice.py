"""Advice for a layer that loses the mask or lets padding in."""

from __future__ import annotations

MIXERS = {
    "Conv": "A convolution mixes neighbouring steps by design, padding among them. Set padded steps to zero "
    "before it and mask again after it, use kernel size 1, or causal padding with right-padded rows",
    "GlobalMaxPool": "GlobalMaxPooling1D takes the maximum over padding too. Set padded steps to a very "
    "negative number first, or use GlobalAveragePooling1D, which honours masks",
    "GlobalAveragePool": "GlobalAveragePooling1D honours masks: see to it that one reaches it",
    "Pool": "Pooling mixes neighbouring steps by design, padding among them. Pool with a layer that honours "
    "masks, such as GlobalAveragePooling1D",
    "Flatten": "Flatten gives every place weights of its own, padded ones too. Use GlobalAveragePooling1D "
    "or a recurrent layer, which honour masks",
    "GroupNormalization": "It normalises over the steps, padding among them. Use LayerNormalization over the "
    "features alone (axis=-1)",
    "LayerNormalization": "Over the time axis it normalises over padding too. Use axis=-1",
    "UnitNormalization": "Over the time axis it normalises over padding too. Use axis=-1",
    "Dot": "Dot knows no masks. Use keras.layers.Attention, which does",
    "Softmax": "A softmax over time counts padding. Use padmask.layers.TemporalSoftmax, or give it the mask",
    "Mean": "A mean over time counts padding. Use GlobalAveragePooling1D, which honours masks",
    "GetItem": "A fixed place is a padded one in some rows. Use a recurrent layer without return_sequences, "
    "or pick the last real step by the mask",
    "Reshape": "It moves steps, padding among them",
    "Lambda": "A Lambda knows no masks unless its function takes a mask argument",
    "TimeDistributed": "Compiled, it loops over the wrong axis: give the input a fixed length, or do without",
}

MERGES = ("Add", "Subtract", "Average", "Multiply", "Maximum", "Minimum", "Concatenate")


def layer_advice(kind: str, reason: str, enters: str, keras: bool, layer: bool = True) -> str:
    """Return what to do, as sentences.

    >>> layer_advice("Conv1D", "lost", "LSTM", True)[:54]
    'Conv1D does not pass masks on: LSTM after it gets none'

    Args:
        kind: class of the layer or operation to blame.
        reason: as `trace` names it.
        enters: class of the one that lets padding in.
        keras: whether the one to blame is Keras's own.
        layer: whether it is a layer, and no operation such as `+`.
    """
    if reason == "lost" and not layer:
        return (
            f"An operation such as {kind.lower()} drops the mask, without a warning, and {enters} after it "
            "gets none. Use a layer instead (keras.layers.Add for +, Activation for functions, Rescaling for "
            f"constants), or hand {enters} the mask with mask=...."
        )
    if reason == "lost" and kind == "Lambda":
        return f"A Lambda drops the mask: build it with mask=..., or hand {enters} the mask with mask=...."
    said = _SAID[reason](kind, enters, keras)
    return said if said.endswith(".") else said + "."


def _mixes(kind: str, enters: str, keras: bool) -> str:
    for name, remedy in MIXERS.items():
        if kind.startswith(name) or (name in ("Conv", "Pool") and name in kind):
            return remedy
    if not keras:
        return f"{kind} lets padding into real steps and takes no mask. Give its call a mask, and use it"
    return (
        f"{kind} mixes the steps by design, padding among them. Set padded steps aside before it, by the mask"
    )


def _lost(kind: str, enters: str, keras: bool) -> str:
    if kind in MERGES:
        return (
            f"{kind} gives no mask on where one of its inputs has none, without a warning. Mask all its "
            f"branches, or hand the mask to {enters} with mask=..."
        )
    if not keras:
        return (
            f"{kind} does not pass the mask on. Where it keeps the steps in their places set "
            "self.supports_masking = True in its __init__, else give it a compute_mask"
        )
    if kind[:1].isupper() and any(name in kind for name in ("Conv", "Pool", "Reshape", "Permute")):
        return f"{kind} does not pass masks on: {enters} after it gets none. Hand it one with mask=..."
    return (
        f"{kind} drops the mask without a warning: {enters} after it gets none. Use a layer, such as "
        f"keras.layers.Add instead of +, or hand the mask on with mask=..."
    )


def _ignored(kind: str, enters: str, keras: bool) -> str:
    if kind in ("LSTM", "GRU", "SimpleRNN", "RNN"):
        return (
            f"{kind} got the mask, yet padding shows: with go_backwards and return_sequences the mask is not "
            "reversed, with zero_output_for_mask the last output is zero. Do without, or use Bidirectional"
        )
    if "BatchNormalization" in kind:
        return "Do not call it with training=True"
    if "Attention" in kind:
        return (
            f"{kind} got a mask, yet padding shows: a row without a real step, or a mask on the wrong axis, "
            "attends to padding. Give it attention_mask of shape (batch, query steps, key steps)"
        )
    return f"{kind} gets the mask and does not use it. Use it in its call, for every step that is mixed"


def _not_handed(kind: str, enters: str, keras: bool) -> str:
    return (
        f"Keras hands the mask over by itself only to layers with a single tensor argument: {kind} is called "
        "with more, such as initial_state. Hand it over yourself, with mask=..."
    )


def _stripped(kind: str, enters: str, keras: bool) -> str:
    said = (
        f"{kind} takes the mask off its own inputs while it runs (Keras 3.10 to 3.15), so that what uses "
        f"them again, such as a residual connection, has none, and {enters} counts padding. "
    )
    if "Attention" in enters:
        return (
            said
            + "Give every attention layer attention_mask=..., or use GroupQueryAttention and keras.layers.Add"
        )
    return said + f"Hand {enters} the mask with mask=..., or use GroupQueryAttention and keras.layers.Add"


def _plain(kind: str, enters: str, keras: bool) -> str:
    return (
        f"Plain operations in the call of {kind} leave the mask behind, and {enters} gets none. Hand it over "
        "there with mask=..., or use layers such as keras.layers.Add"
    )


def _all_true(kind: str, enters: str, keras: bool) -> str:
    if kind == "Concatenate":
        return (
            "Concatenate of masked and unmasked inputs gives a mask that is all true, without a warning. "
            f"Mask all its inputs, or hand the mask to {enters} with mask=..."
        )
    if kind == "Masking":
        return (
            "What Masking sees of padding is no longer its mask_value: it must come first, and mask_value "
            "must be the pad value"
        )
    return f"The mask of {kind} calls padding real: it takes another id for padding. Pad with that, often 0"


def _never(kind: str, enters: str, keras: bool) -> str:
    if "Embedding" in kind:
        return f"{kind} makes no mask: build it with mask_zero=True and pad with 0, or hand {enters} a mask"
    return f"No mask reaches {enters}. Hand it one with mask=... or attention_mask=..., or use Masking"


def _empty(kind: str, enters: str, keras: bool) -> str:
    return (
        f"{kind} makes something of a row without a real step, which depends on its padding. Leave such "
        "rows out (padmask pad --empty-rows drop), or set their outputs aside"
    )


_SAID = {
    "empty": _empty,
    "mixes": _mixes,
    "lost": _lost,
    "ignored": _ignored,
    "not-handed-over": _not_handed,
    "stripped": _stripped,
    "plain": _plain,
    "all-true": _all_true,
    "never-made": _never,
}
