"""Advice on how to fix a layer that drops the mask or whose output depends on padding."""

from __future__ import annotations

MIXERS = {
    "Conv": "By design, a convolution mixes neighbouring steps, including padding steps. Set padded steps "
    "to zero before and after the convolution, use kernel size 1, or use causal padding with right-padded "
    "rows",
    "GlobalMaxPool": "GlobalMaxPooling1D includes padding in the maximum. Before this layer, set padded "
    "steps to a large negative number, or use GlobalAveragePooling1D, which supports masks",
    "GlobalAveragePool": "GlobalAveragePooling1D supports masks. Make sure that a mask reaches the layer",
    "Pool": "By design, pooling mixes neighbouring steps, including padding steps. Use a layer that "
    "supports masks, such as GlobalAveragePooling1D",
    "Flatten": "After Flatten, the next layer has separate weights for every position, including padding. "
    "Use GlobalAveragePooling1D or a recurrent layer, which support masks",
    "GroupNormalization": "GroupNormalization normalises over the steps, including padding. Use "
    "LayerNormalization over the features only (axis=-1)",
    "LayerNormalization": "LayerNormalization over the time axis includes padding. Use axis=-1",
    "UnitNormalization": "UnitNormalization over the time axis includes padding. Use axis=-1",
    "Dot": "Dot does not support masks. Use keras.layers.Attention, which supports them",
    "Softmax": "A softmax over the time axis includes padding. Use padmask.layers.TemporalSoftmax, or pass "
    "the mask to the softmax",
    "Mean": "A mean over the time axis includes padding. Use GlobalAveragePooling1D, which supports masks",
    "GetItem": "The model selects a fixed position, which is padding in some rows. Use a recurrent layer "
    "without return_sequences, or select the last real step with the mask",
    "Reshape": "Reshape mixes padding with real steps. Reshape only the feature axes",
    "Lambda": "A Lambda does not support masks unless its function takes a mask argument. Add the argument, "
    "and use the mask",
    "TimeDistributed": "A compiled TimeDistributed loops over the wrong axis. Give the input a fixed length, "
    "or apply the inner layer directly",
}

MERGES = ("Add", "Subtract", "Average", "Multiply", "Maximum", "Minimum", "Concatenate")


def advise_on_layer(kind: str, reason: str, entry: str, from_keras: bool, is_layer: bool = True) -> str:
    """Return advice on how to fix the layer or operation that causes a leak.

    >>> advise_on_layer("Conv1D", "lost", "LSTM", True).partition(".")[0]
    'Conv1D does not pass masks on, so LSTM gets no mask'

    Args:
        kind: class name of the layer or operation to fix.
        reason: key of `_ADVICE`, such as `"lost"` if the layer drops the mask.
        entry: class name of the first layer or operation whose output depends on padding.
        from_keras: whether the layer is part of Keras.
        is_layer: whether `kind` is a layer; False for an operation such as `+`.
    """
    if reason == "lost" and not is_layer:
        return (
            f"The operation {kind.lower()} drops the mask without a warning, so {entry} gets no mask. Use a "
            "layer instead (keras.layers.Add for +, Activation for functions, Rescaling for constants), or "
            f"pass the mask to {entry} with mask=..."
        )
    if reason == "lost" and kind == "Lambda":
        return (
            f"A Lambda drops the mask. Create the Lambda with mask=..., or pass the mask to {entry} with "
            "mask=..."
        )
    advice = _ADVICE[reason](kind, entry, from_keras)
    return advice if advice.endswith(".") else advice + "."


def _advise_on_mixing(kind: str, entry: str, from_keras: bool) -> str:
    # A custom layer may use the mask, even if its name resembles a Keras layer. Convolutions cannot.
    remedies = MIXERS if from_keras else {"Conv": MIXERS["Conv"]}
    for name, remedy in remedies.items():
        if kind.startswith(name) or (name in ("Conv", "Pool") and name in kind):
            return remedy
    if not from_keras:
        return (
            f"{kind} mixes padding into real steps and does not accept a mask. Add a mask argument to its "
            "call method, and use the mask"
        )
    return (
        f"By design, {kind} mixes all steps, including padding. Use the mask to exclude padded steps before "
        "this layer"
    )


def _advise_on_lost_mask(kind: str, entry: str, from_keras: bool) -> str:
    if kind in MERGES:
        return (
            f"{kind} silently drops the mask if one of its inputs has no mask. Mask all its inputs, or pass "
            f"the mask to {entry} with mask=..."
        )
    if not from_keras:
        return (
            f"{kind} does not pass the mask on. If {kind} preserves the order of the steps, set "
            "self.supports_masking = True in its __init__. Otherwise, define compute_mask"
        )
    if kind[:1].isupper() and any(name in kind for name in ("Conv", "Pool", "Reshape", "Permute")):
        return (
            f"{kind} does not pass masks on, so {entry} gets no mask. Pass the mask to {entry} with mask=..."
        )
    return (
        f"{kind} drops the mask without a warning, so {entry} gets no mask. Use a layer, such as "
        f"keras.layers.Add instead of +, or pass the mask to {entry} with mask=..."
    )


def _advise_on_ignored_mask(kind: str, entry: str, from_keras: bool) -> str:
    if kind == "Lambda":
        return MIXERS["Lambda"]
    if kind in ("LSTM", "GRU", "SimpleRNN", "RNN"):
        return (
            f"{kind} receives the mask, but its output still depends on padding. If go_backwards and "
            "return_sequences are set, Keras does not reverse the mask. If zero_output_for_mask is set, "
            "Keras sets the last output to zero. Unset these options, or use Bidirectional"
        )
    if "BatchNormalization" in kind:
        return (
            f"With training=True, {kind} includes padding in its statistics. Call {kind} with training=False"
        )
    if "Attention" in kind:
        return (
            f"{kind} receives a mask, but its output still depends on padding. This happens if the mask is "
            "on the wrong axis, or if a row of the batch has no real steps. Pass attention_mask with shape "
            "(batch, query steps, key steps)"
        )
    return f"{kind} receives the mask but does not use it. Use the mask wherever the call method mixes steps"


def _advise_on_passing_mask(kind: str, entry: str, from_keras: bool) -> str:
    return (
        "Keras passes the mask automatically only in calls with a single tensor argument. This call to "
        f"{kind} has more than one tensor argument, such as initial_state. Pass the mask explicitly with "
        "mask=..."
    )


def _advise_on_stripping(kind: str, entry: str, from_keras: bool) -> str:
    cause = (
        f"In Keras 3.10 to 3.15, {kind} deletes the mask of its input tensors. Layers that use these tensors "
        f"later, such as Add in a residual connection, receive no mask, and {entry} depends on padding. "
    )
    if "Attention" in entry:
        return (
            cause
            + "Pass attention_mask=... to every attention layer. Alternatively, use GroupQueryAttention "
            "as the attention layer, and keras.layers.Add instead of +. Both keep the mask"
        )
    return (
        cause + f"Pass the mask to {entry} with mask=... Alternatively, use GroupQueryAttention as "
        "the attention layer, and keras.layers.Add instead of +. Both keep the mask"
    )


def _advise_on_plain_operations(kind: str, entry: str, from_keras: bool) -> str:
    return (
        f"Plain operations in the call method of {kind} drop the mask, so {entry} gets no mask. Pass the "
        f"mask to {entry} with mask=..., or use layers such as keras.layers.Add"
    )


def _advise_on_true_mask(kind: str, entry: str, from_keras: bool) -> str:
    if kind == "Concatenate":
        return (
            "If only some inputs have a mask, Concatenate silently returns a mask that is all True. "
            f"Mask all its inputs, or pass the mask to {entry} with mask=..."
        )
    if kind == "Masking":
        return (
            "The padding that reaches Masking differs from mask_value. Make Masking the first layer, and set "
            "mask_value to the pad value"
        )
    return (
        f"The mask of {kind} marks padding as real, because {kind} masks a value that is not the pad value. "
        f"Pad with the value that {kind} masks"
    )


def _advise_on_missing_mask(kind: str, entry: str, from_keras: bool) -> str:
    if "Embedding" in kind:
        return (
            f"{kind} does not create a mask. Create {kind} with mask_zero=True and pad with 0, or pass a "
            f"mask to {entry} with mask=..."
        )
    if entry.startswith("ConvLSTM"):
        return (
            f"No mask reaches {entry}. Pass a mask of shape (batch, steps) with mask=..., or define "
            "compute_mask in a layer before it. The Masking layer is no remedy, because it supports only one "
            "axis of features"
        )
    return f"No mask reaches {entry}. Pass a mask with mask=... or attention_mask=..., or use Masking"


def _advise_on_wrong_mask(kind: str, entry: str, from_keras: bool) -> str:
    return (
        f"The mask that {kind} makes for {entry} is False at some padded positions and True at others. Check "
        "the order of the axes. To swap axes, use a transpose, because a reshape mixes the rows"
    )


def _advise_on_positions(kind: str, entry: str, from_keras: bool) -> str:
    return (
        f"The positions of {kind} count from the start of the padded row, or depend on its length. Pad on "
        "the right, or count the positions from the first real token, with the mask"
    )


def _advise_on_positions_from_end(kind: str, entry: str, from_keras: bool) -> str:
    return (
        f"The positions of {kind} count from the end of the padded row, or depend on its length. Pad on the "
        "left, or count the positions with the mask"
    )


def _advise_on_fourier(kind: str, entry: str, from_keras: bool) -> str:
    return (
        f"The Fourier transform of {kind} mixes all steps, and no mask can exclude the padding. Use batches "
        "of rows of the same length, or pack the rows (padmask pack) so that all rows have the same length"
    )


def _advise_on_empty_rows(kind: str, entry: str, from_keras: bool) -> str:
    return (
        f"If a row has no real steps, the output of {kind} depends on the padding. Drop such rows "
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
    "positions": _advise_on_positions,
    "positions-from-end": _advise_on_positions_from_end,
    "fourier": _advise_on_fourier,
    "wrong-mask": _advise_on_wrong_mask,
}
