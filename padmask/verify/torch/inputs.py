"""The inputs of a PyTorch module, and variants with other layouts and other masks to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from padmask.verify.proof.sample import (
    MADE,
    TIMED,
    ModelBatch,
    ModelInput,
)
from padmask.verify.proof.tolerance import Array
from padmask.verify.torch.mask_forms import OTHERS, MaskForm, give_form

Layout = Literal["rows-first", "time-first", "time-last"]


@dataclass(frozen=True)
class TorchInput:
    """An input of a module, and how its tensor is made from a batch.

    Args:
        slot: role, shape and dtype of the input.
        layout: order of the axes: `"rows-first"` (rows, time, ...), `"time-first"` (time, rows, ...) or
            `"time-last"` (rows, ..., time).
        on_cpu: whether the tensor stays on the CPU, as `pack_padded_sequence` requires.
        is_padding: whether the input is a mask that is True at padding.
        mask_form: form of the mask, if the input is a mask.
    """

    slot: ModelInput
    layout: Layout = "rows-first"
    on_cpu: bool = False
    is_padding: bool = False
    mask_form: MaskForm = "flat"

    @property
    def is_unclear_mask(self) -> bool:
        """Whether the input is a mask for padding, and its name does not show its polarity."""
        names = ("attention_mask", "key_padding_mask")
        return self.slot.kind == "mask" and self.mask_form != "square" and not self.slot.name.endswith(names)

    def tensor(self, batch: ModelBatch, device: str, floats: torch.dtype) -> torch.Tensor:
        """Return the tensor of the input for a batch.

        Args:
            batch: padded values and masks, keyed by input name.
            device: device of the module.
            floats: dtype of inputs that are floats.
        """
        tensor = torch.from_numpy(np.ascontiguousarray(self._values(batch).astype(self.slot.dtype)))
        if self.layout == "time-first":
            tensor = tensor.transpose(0, 1)
        elif self.layout == "time-last":
            tensor = tensor.movedim(1, -1)
        tensor = give_form(tensor, self.mask_form, self.slot.name)
        if tensor.is_floating_point():
            tensor = tensor.to(floats)
        return tensor if self.on_cpu else tensor.to(device)

    def _values(self, batch: ModelBatch) -> Array:
        slot = self.slot
        if slot.kind in MADE:
            padded = batch[slot.mask_of or ""]
            if slot.kind == "mask":
                return ~padded.mask if self.is_padding else padded.mask
            if slot.kind == "lengths":
                return np.asarray(padded.lengths)
            places: Array = np.maximum(np.cumsum(padded.mask, axis=1) - 1, 0)
            return places
        if slot.kind == "segments" and slot.name not in batch:
            return np.zeros_like(batch[slot.mask_of or ""].mask)
        values = batch[slot.name].values
        return values.reshape(len(values), *values.shape[2:]) if slot.kind == "static" else values


def invert_masks(inputs: Sequence[TorchInput]) -> list[TorchInput] | None:
    """Return the inputs, with masks of unclear polarity inverted; None if there are no such masks."""
    if not any(one.is_unclear_mask for one in inputs):
        return None
    return [replace(one, is_padding=not one.is_padding) if one.is_unclear_mask else one for one in inputs]


def with_mask_forms(inputs: Sequence[TorchInput]) -> list[list[TorchInput]]:
    """Return several variants of the inputs, each with its masks in another form; empty without masks."""
    masks = [one for one in inputs if one.slot.kind == "mask"]
    if not masks:
        return []
    beside = [one.slot.name for one in masks if "padding" not in one.slot.name]
    # Attention also runs with masks of the form "column", but on the wrong axis, so this form comes last.
    forms: list[MaskForm] = ["broadcast", "queries", "column"]
    if not any(one.is_padding for one in masks):
        forms.insert(0, "additive")
    found = [
        [replace(one, mask_form=form) if one.slot.kind == "mask" else one for one in inputs] for form in forms
    ]
    if 0 < len(beside) < len(masks):
        square = [replace(one, mask_form="square") if one.slot.name in beside else one for one in inputs]
        found.insert(0, square)
    return found


def with_other_masks(inputs: Sequence[TorchInput]) -> list[TorchInput] | None:
    """Return the inputs with the form of each mask replaced as in `OTHERS`; None if no form changes."""
    changed = [replace(one, mask_form=OTHERS.get(one.mask_form, one.mask_form)) for one in inputs]
    return changed if changed != list(inputs) else None


def as_time_first(inputs: Sequence[TorchInput]) -> list[list[TorchInput]]:
    """Return candidates for the inputs of a module that reads the time on the first axis.

    In the first candidate, the time is on the first axis only in ids and features. In the second candidate,
    this also applies to masks. The result is empty if an input already has another layout.
    """
    if any(one.layout != "rows-first" for one in inputs):
        return []
    found = []
    for kinds in (TIMED, (*TIMED, "mask")):
        changed = [
            replace(one, layout="time-first") if one.slot.kind in kinds and one.mask_form == "flat" else one
            for one in inputs
        ]
        if changed not in found:
            found.append(changed)
    return found
