"""Convert a batch to the arrays of the inputs of a Keras model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from padmask.core.dialects import usual_dialect
from padmask.verify.proof.sample import ModelBatch, ModelInput
from padmask.verify.proof.tolerance import Array


def make_model_arrays(slots: Sequence[ModelInput], batch: ModelBatch) -> list[Array]:
    """Convert a batch to a list of arrays, one for each input of the model, in order."""
    arrays = []
    for slot in slots:
        if slot.kind == "mask":
            mask = batch[slot.mask_of or ""].mask
            masked = next(other for other in slots if other.name == slot.mask_of)
            mask = _reshape_mask(mask, slot, masked)
            if usual_dialect(slot.name).polarity == "padding":
                mask = ~mask
            arrays.append(mask.astype(slot.dtype))
            continue
        if slot.kind == "positions":
            real = batch[slot.mask_of or ""].mask
            arrays.append(np.where(real, np.cumsum(real, axis=1) - 1, 0).astype(slot.dtype))
            continue
        if slot.kind == "lengths":
            lengths = batch[slot.mask_of or ""].lengths
            arrays.append(lengths.reshape(len(lengths), *slot.shape).astype(slot.dtype))
            continue
        values = batch[slot.name].values
        if slot.kind == "static":
            values = values.reshape(len(values), *values.shape[2:])
        elif slot.time_axis:
            values = np.moveaxis(values, 1, slot.time_axis + 1)
        arrays.append(values.astype(slot.dtype))
    return arrays


def _reshape_mask(mask: Array, slot: ModelInput, masked: ModelInput) -> Array:
    """Reshape a mask of shape (rows, time) to the shape of a model input.

    The result has the shape (rows, time), (rows, time, 1), (rows, 1, time) or (rows, time, time). Further
    axes of `slot` have size 1 in the result. There is one exception: if `masked` has the shape
    (rows, choices, time) and `slot` has the same number of axes, the mask is repeated for each choice.

    Args:
        mask: mask of each row: bool, shape (rows, time).
        slot: model input that expects the mask.
        masked: model input to which the mask belongs.
    """
    rank = len(slot.shape)
    if masked.time_axis and rank == len(masked.shape):
        lifted = mask.reshape(len(mask), *[1] * masked.time_axis, mask.shape[1])
        return np.broadcast_to(lifted, (len(mask), *[size or 1 for size in slot.shape[:-1]], mask.shape[1]))
    if rank <= 1:
        return mask
    if slot.shape[-1] == 1:
        return mask.reshape(*mask.shape, *[1] * (rank - 1))
    lifted = mask.reshape(len(mask), *[1] * (rank - 1), mask.shape[1])
    if rank == 2 and slot.shape[0] != 1:
        return lifted & mask[:, :, None]
    return lifted
