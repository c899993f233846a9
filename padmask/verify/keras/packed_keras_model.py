"""Run a Keras model on packed rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from padmask.verify.keras.backend import Engine
from padmask.verify.keras.user_model import UserModel
from padmask.verify.proof.deviations import Outputs
from padmask.verify.proof.packed_arguments import Arguments, DataArguments, unknown_argument
from padmask.verify.proof.packed_sample import PackedBatch
from padmask.verify.proof.sample import ModelInput
from padmask.verify.proof.tolerance import Array

_OF_SLOTS = {"positions": "position_ids", "segments": "segment_ids"}


class PackedKerasModel:
    """A Keras model that runs on packed rows.

    Args:
        model: built Keras model.
        engine: Keras backend and device.
        batch_size: maximum number of rows per call of the model.
        data: what the inputs contain, according to the data and the user.

    Raises:
        SpecError: it is unknown what an input contains.
    """

    remark = ""

    def __init__(self, model: Any, engine: Engine, batch_size: int, data: DataArguments) -> None:
        self.user = UserModel(model, engine, batch_size, data.kinds)
        named: dict[str, str] = {}
        for slot in self.user.slots:
            named[slot.name] = _kind_of(slot, data, named)
        self.arguments = Arguments((), named)

    @property
    def dtype(self) -> str:
        """The least precise compute dtype of any layer."""
        return self.user.dtype

    @property
    def recurrent(self) -> list[str]:
        """Names of the layers that carry a state from one position to the next."""
        kinds = keras.layers.RNN, keras.layers.Bidirectional
        return [layer.name for layer in self.user.model.layers if isinstance(layer, kinds)]

    def predict(self, batch: PackedBatch) -> Outputs:
        """Return the outputs, with the rows on axis 0.

        Raises:
            CannotRunError: the model cannot run on the batch.
        """
        _, arrays = self.arguments.arrays(batch)
        return self.user.predict_arrays([_as_input(arrays[slot.name], slot) for slot in self.user.slots])


def _kind_of(slot: ModelInput, data: DataArguments, before: Mapping[str, str]) -> str:
    """Return what an input contains, such as ids or a mask, as one of the names in `ARGUMENTS`.

    Args:
        slot: the input.
        data: what the inputs contain, according to the data and the user.
        before: what the previous inputs contain, keyed by input name.
    """
    if slot.kind == "mask" and len(slot.shape) > 1:
        return "block_mask"
    kind = data.guess(slot.name)
    if kind is None and slot.kind in _OF_SLOTS:
        kind = _OF_SLOTS[slot.kind]
    if kind is None and slot.kind == "mask":
        kind = "mask"
    if kind is None and slot.kind in ("tokens", "features") and "tokens" not in before.values():
        kind = "tokens"
    if kind is None:
        raise unknown_argument(slot.name)
    return kind


def _as_input(array: Array | int, slot: ModelInput) -> Array:
    """Return an array in the shape and dtype of an input.

    If the input is a block mask with an axis for attention heads, this axis is added to the array.
    """
    array = np.asarray(array)
    if slot.kind == "mask" and len(slot.shape) == array.ndim:
        array = np.expand_dims(array, 1)
    return array.astype(slot.dtype)
