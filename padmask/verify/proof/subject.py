"""`Subject`: a model for the checks, as functions of NumPy batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from padmask.errors import PadmaskError
from padmask.verify.proof.deviations import Outputs
from padmask.verify.proof.sample import ModelBatch
from padmask.verify.proof.tolerance import Array

Predict = Callable[[ModelBatch], Outputs]


class CannotRunError(PadmaskError):
    """The model cannot run on the batch."""

    blames_input = True


@dataclass(frozen=True)
class Subject:
    """A model to check, as functions that run the model on NumPy batches.

    Args:
        name: name of the model in the report.
        predict: function that returns the outputs for a batch. Each output has the shape (rows, ...).
        dtype: compute dtype of the model.
        predict_uncached: `predict` without a cache; None if `predict` has no cache.
        other: `predict` with different values in the padding; None if the values cannot change. If
            `explicit_mask` is True, a second argument is the random seed of the values.
        gradient: function that returns the gradients of the outputs at real positions with respect to the
            embedded inputs: shape (rows, maxlen, ...); None if gradients are not available.
        jittered: `predict` with a rounding error added to every weight, to measure numerical noise; None if
            the weights cannot change.
        precise: function that returns the same model in float64, or None if the model cannot run in float64.
        reason: reason why `other` is None.
        explicit_mask: whether the model receives its masks as inputs. `other` does not change the masks.
        is_function: whether the model is a function of arrays, which has no layers.
    """

    name: str
    predict: Predict
    dtype: str = "float32"
    predict_uncached: Predict | None = None
    other: Callable[..., Outputs] | None = None
    gradient: Callable[[ModelBatch], Array] | None = None
    jittered: Predict | None = None
    precise: Callable[[], Subject | None] | None = None
    reason: str = "the model computes its mask from the pad value, so the checks cannot change the padding"
    explicit_mask: bool = False
    is_function: bool = False
