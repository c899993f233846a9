"""Advice for a layer that loses the mask or lets padding in."""

from __future__ import annotations

MIXERS = {
    "Conv": "A convolution mixes neighbouring steps by design, including padding. Set padded steps to zero "
    "before it and mask its output again, use kernel size 1, or use causal padding with right-padded rows",
    "GlobalMaxPool": "GlobalMaxPooling1D includes padding in the maximum. Set padded steps to a large "
    "negative number first, or use GlobalAveragePooling1D, which supports masks",
    "GlobalAveragePool": "GlobalAveragePooling1D supports masks. Make sure that a mask reaches it",
    "Pool": "Pooling mixes neighbouring steps by design, including padding. Use a layer that supports masks, "
    "such as GlobalAveragePooling1D",
    "Flatten": "Flatten gives every position its own weights, including padded positions. Use "
    "GlobalAveragePooling1D or a recurrent layer, which support masks",
    "GroupNormalization": "GroupNormalization normalises over the steps, including padding. Use "
    "LayerNormalization over the features only (axis=-1)",
    "LayerNormalization": "LayerNormalization over the time axis normalises over padding too. Use axis=-1",
    "UnitNormalization": "UnitNormalization over the time axis normalises over padding too. Use axis=-1",
    "Dot": "Dot does not support masks. Use keras.layers.Attention, which does",
    "Softmax": "A softmax over time includes padding. Use padmask.layers.TemporalSoftmax, or pass the mask "
    "to the softmax",
    "Mean": "A mean over time includes padding. Use GlobalAveragePooling1D, which supports masks",
    "GetItem": "A fixed position is padding in some rows. Use a recurrent layer without return_sequences, "
    "or select the last real step with the mask",
    "Reshape": "Reshape mixes padding with real steps. Reshape only the feature axes",
    "Lambda": "A Lambda does not support masks unless its function takes a mask argument. Add the argument "
    "and use it",
    "TimeDistributed": "A compiled TimeDistributed loops over the wrong axis. Give the input a fixed length, "
    "or apply the inner layer directly",
}

MERGES = ("Add", "Subtract", "Average", "Multiply", "Maximum", "Minimum", "Concatenate")


def advise_on_layer(kind: str, reason: str, entry: str, from_keras: bool, is_layer: bool = True) -> str:
    """Return advice on the layer or operation that causes a leak, in sentences.

    >>> advise_on_layer("Conv1D", "lost", "LSTM", True)[:54]
    'Conv1D does not pass masks on, so LSTM receives none. '

    Args:
        kind: class of the culprit.
        reason: reason why the culprit leaks, as returned by `find_culprit`.
        entry: class of the layer or operation where padding enters.
        from_keras: whether Keras defines the culprit.
        is_layer: whether the culprit is a layer, and not an operation such as `+`.
    """
    if reason == "lost" and not is_layer:
        return (
            f"The operation {kind.lower()} drops the mask without a warning, so {entry} receives none. Use a "
            "layer instead (keras.layers.Add for +, Activation for functions, Rescaling for constants), or "
            f"pass the mask to {entry} with mask=..."
        )
    if reason == "lost" and kind == "Lambda":
        return f"A Lambda drops the mask. Build it with mask=..., or pass the mask to {entry} with mask=..."
    advice = _ADVICE[reason](kind, entry, from_keras)
    return advice if advice.endswith(".") else advice + "."


def _advise_on_mixing(kind: str, entry: str, from_keras: bool) -> str:
    for name, remedy in MIXERS.items():
        if kind.startswith(name) or (name in ("Conv", "Pool") and name in kind):
            return remedy
    if not from_keras:
        return (
            f"{kind} mixes padding into real steps and takes no mask. Add a mask argument to its call "
            "method, and use the mask"
        )
    return (
        f"{kind} mixes the steps by design, including padding. Use the mask to exclude padded steps before it"
    )


def _advise_on_lost_mask(kind: str, entry: str, from_keras: bool) -> str:
    if kind in MERGES:
        return (
            f"Without a warning, {kind} returns no mask if one of its inputs has none. Mask all its inputs, "
            f"or pass the mask to {entry} with mask=..."
        )
    if not from_keras:
        return (
            f"{kind} does not pass the mask on. If it preserves the order of the steps, set "
            "self.supports_masking = True in its __init__; otherwise define compute_mask"
        )
    if kind[:1].isupper() and any(name in kind for name in ("Conv", "Pool", "Reshape", "Permute")):
        return (
            f"{kind} does not pass masks on, so {entry} receives none. Pass the mask to {entry} with mask=..."
        )
    return (
        f"{kind} drops the mask without a warning, so {entry} receives none. Use a layer, such as "
        f"keras.layers.Add instead of +, or pass the mask to {entry} with mask=..."
    )


def _advise_on_ignored_mask(kind: str, entry: str, from_keras: bool) -> str:
    if kind in ("LSTM", "GRU", "SimpleRNN", "RNN"):
        return (
            f"{kind} receives the mask, but its output still depends on padding. With go_backwards and "
            "return_sequences, the mask is not reversed; with zero_output_for_mask, the last output is zero. "
            "Remove these options, or use Bidirectional"
        )
    if "BatchNormalization" in kind:
        return f"{kind} includes padding in its statistics when it trains. Do not call it with training=True"
    if "Attention" in kind:
        return (
            f"{kind} receives a mask, but its output still depends on padding. A row without real steps, or "
            "a mask on the wrong axis, attends to padding. Pass attention_mask with shape (batch, query "
            "steps, key steps)"
        )
    return f"{kind} receives the mask but does not use it. Use the mask wherever its call method mixes steps"


def _advise_on_passing_mask(kind: str, entry: str, from_keras: bool) -> str:
    return (
        "Keras passes the mask automatically only to layers with a single tensor argument, but the call of "
        f"{kind} has more, such as initial_state. Pass the mask explicitly with mask=..."
    )


def _advise_on_stripping(kind: str, entry: str, from_keras: bool) -> str:
    cause = (
        f"{kind} removes the mask from its own inputs while it runs (Keras 3.10 to 3.15). Layers that use "
        f"these inputs later, such as a residual connection, have no mask, so {entry} includes padding. "
    )
    if "Attention" in entry:
        return (
            cause
            + "Give every attention layer attention_mask=..., or use GroupQueryAttention and keras.layers.Add"
        )
    return cause + f"Pass the mask to {entry} with mask=..., or use GroupQueryAttention and keras.layers.Add"


def _advise_on_plain_operations(kind: str, entry: str, from_keras: bool) -> str:
    return (
        f"Plain operations in the call method of {kind} drop the mask, so {entry} receives none. Pass the "
        f"mask to {entry} with mask=..., or use layers such as keras.layers.Add"
    )


def _advise_on_true_mask(kind: str, entry: str, from_keras: bool) -> str:
    if kind == "Concatenate":
        return (
            "Concatenate of masked and unmasked inputs returns a mask that is all true, without a warning. "
            f"Mask all its inputs, or pass the mask to {entry} with mask=..."
        )
    if kind == "Masking":
        return (
            "The padding that reaches Masking does not have the value mask_value. Make Masking the first "
            "layer, and set mask_value to the pad value"
        )
    return (
        f"The mask of {kind} marks padding as real, because {kind} masks another value. Pad with that value"
    )


def _advise_on_missing_mask(kind: str, entry: str, from_keras: bool) -> str:
    if "Embedding" in kind:
        return (
            f"{kind} does not create a mask. Build it with mask_zero=True and pad with 0, or pass a mask to "
            f"{entry} "
            "with mask=..."
        )
    return f"No mask reaches {entry}. Pass a mask with mask=... or attention_mask=..., or use Masking"


def _advise_on_empty_rows(kind: str, entry: str, from_keras: bool) -> str:
    return (
        f"For a row without real steps, the output of {kind} depends on the padding. Drop such rows "
        "(padmask pad --empty-rows drop), or ignore their outputs"
    )


_ADVICE = {
    "empty": _advise_on_empty_rows,
    "mixes": _advise_on_mixing,
    "lost": _advise_on_lost_mask,
    "ignored": _advise_on_ignored_mask,
    "not-handed-over": _advise_on_passing_mask,
    "stripped": _advise_on_stripping,
    "plain": _advise_on_plain_operations,
    "all-true": _advise_on_true_mask,
    "never-made": _advise_on_missing_mask,
}
