"""Batches and lengths for trial runs of PyTorch modules, which show how to call the modules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from padmask.core.kernel import Padded
from padmask.verify.proof.sample import ModelBatch
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.tolerance import Array
from padmask.verify.torch.inputs import TorchInput

# Largest length that is read from an error of a module.
_LONGEST_NAMED = 4096


def lengths_from_weights(module: torch.nn.Module) -> list[int]:
    """Return lengths that the module may require, from the sizes of its weights."""
    shapes = [tuple(weight.shape) for weight in module.parameters()]
    sizes = {size for shape in shapes for size in shape if size}
    products = {
        shape[-1] // size for shape in shapes if len(shape) == 2 for size in sizes if shape[-1] % size == 0
    }
    return sorted(size for size in sizes | products if 1 < size <= 1024)[:40]


def lengths_in_error(error: CannotRunError) -> list[int]:
    """Return the numbers in an error message that may be lengths.

    Modules that require rows of one length often name this length in their error message.

    >>> lengths_in_error(CannotRunError("expected 3000 frames, found 7"))
    [3000, 7]
    """
    numbers = [int(text) for text in re.findall(r"\d+", str(error))]
    return [number for number in numbers if 1 < number <= _LONGEST_NAMED]


def make_trial_batch(inputs: Sequence[TorchInput], rows: int, places: int) -> dict[str, Padded]:
    """Return a batch for trial runs of a module. The last row has one token less than the other rows."""
    lengths = np.full(rows, places)
    lengths[-1] = max(1, places - 1)
    mask = np.arange(places) < lengths[:, None]
    random = np.random.default_rng(rows)
    batch = {}
    for number, one in enumerate(inputs):
        slot = one.slot
        if slot.kind == "tokens":
            shape = (rows, places, *(size or 1 for size in slot.shape[1:]))
            values = (np.arange(np.prod(shape)).reshape(shape) // (number + 1)) % 2 + 1
            batch[slot.name] = Padded(values, mask, lengths)
        elif slot.kind == "features":
            shape = (rows, places, *(size or 1 for size in slot.shape[1:]))
            batch[slot.name] = Padded(random.standard_normal(shape), mask, lengths)
        elif slot.kind == "static":
            shape = (rows, 1, *(size or 1 for size in slot.shape))
            batch[slot.name] = Padded(np.ones(shape), np.ones((rows, 1), bool), np.ones(rows, np.int64))
    return batch


def without_padding(batch: ModelBatch) -> dict[str, Padded]:
    """Return a batch with the same values, in which all masks are True and all rows have the full length."""
    return {
        name: replace(one, mask=np.ones_like(one.mask), lengths=np.full_like(one.lengths, one.mask.shape[1]))
        for name, one in batch.items()
    }


def roll_other_rows(values: Array, kept: int) -> Array:
    """Return a copy of the values in which all rows except `kept` are rolled by one time step."""
    rolled = np.roll(values, 1, axis=1)
    rolled[kept] = values[kept]
    return rolled
