"""Measure without padmask whether padding changes the outputs of a model, and run `verify` on the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from padmask.verify import verify_model

Array = npt.NDArray[Any]
Side = Literal["post", "pre"]

# Number of tokens in each row, and number of padded positions that are added.
LENGTHS, PADDING = (3, 7, 12), (1, 5, 40)

# The scale of a channel is its largest value, but at least this share of the largest value of the output.
# Otherwise, the rounding error of a channel that is close to zero by chance has a large share.
SMALLEST_SCALE = 0.1

# A larger deviation, as a share of the scale of the channel, is a leak.
LEAK = 1e-3


@dataclass(frozen=True)
class Input:
    """One input of a model.

    Args:
        values: values for one row: shape (1, length), or (1,) if the input is one number per row.
        pad_value: value at padded positions.
    """

    values: Array
    pad_value: int = 0

    def padded(self, more: int, side: Side) -> Array:
        """Return the values with more padding. Inputs with one number per row are not padded."""
        if self.values.ndim == 1:
            return self.values
        return np.pad(
            self.values,
            ((0, 0), (0, more) if side == "post" else (more, 0)),
            constant_values=self.pad_value,
        )


@dataclass(frozen=True)
class RunnableModel:
    """A model with random weights.

    Args:
        model: model to verify.
        draw_row: function that draws the inputs of one row, from a number of tokens and a seed.
        predict: function that returns the outputs for a batch. Their first axis has the rows.
        options: further arguments of `verify_model`.
    """

    model: Any
    draw_row: Callable[[int, int], Mapping[str, Input]]
    predict: Callable[[Mapping[str, Array]], Mapping[str, Array]]
    options: Mapping[str, Any]


class Build(Protocol):
    """A function that builds a model with random weights from a seed."""

    def __call__(self, seed: int = 0) -> RunnableModel: ...


@dataclass(frozen=True)
class Result:
    """The result for one model and one side of the padding.

    Args:
        deviation: largest measured deviation at real positions, as a share of the scale of the channel.
        verdict: verdict of `verify`.
        culprit: name of the layer that `verify` blames, if any.
        advice: advice of `verify`, if any.
    """

    deviation: float
    verdict: str
    culprit: str | None
    advice: str | None

    @property
    def measured(self) -> str:
        """Return the verdict that is expected from the measured deviation."""
        return "leaks" if self.deviation > LEAK else "ignores"


def measure(model: RunnableModel, side: Side) -> Result:
    """Measure one model, and let `verify` judge the model."""
    deviation = measured_deviation(model, side)
    [subject] = verify_model(model.model, padding=side, **model.options).subjects
    return Result(deviation, subject.verdict, subject.culprit, subject.advice)


def measured_deviation(model: RunnableModel, side: Side) -> float:
    """Return the largest deviation between the outputs for a row alone and for it beside a longer row."""
    largest = 0.0
    for length in LENGTHS:
        row = model.draw_row(length, length)
        alone = model.predict({name: one.values for name, one in row.items()})
        for more in PADDING:
            longer = model.draw_row(length + more, 100 + length)
            batch = {
                name: np.concatenate([one.padded(more, side), longer[name].values])
                for name, one in row.items()
            }
            outputs = model.predict(batch)
            largest = max(largest, *(_deviation(alone[name], outputs[name], side) for name in alone))
    return largest


def _deviation(alone: Array, batch: Array, side: Side) -> float:
    # The first axis has the rows. On all other axes, the real positions are at the side without padding.
    real = (slice(None, size) if side == "post" else slice(-size, None) for size in alone.shape[1:])
    padded = batch[(slice(None, 1), *real)]
    channels = np.abs(alone).reshape(-1, alone.shape[-1]).max(axis=0)
    scale = channels.clip(np.abs(alone).max() * SMALLEST_SCALE)
    # A comparison with NaN is false, so NaN is made the largest deviation.
    return float(np.nan_to_num(np.abs(alone - padded) / scale, nan=np.inf).max())
