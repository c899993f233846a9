"""Find a way to change the values in the padding of a batch without changing the mask of a Keras model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from padmask.verify.keras.model_inputs import is_embedding
from padmask.verify.keras.record import as_array, mask_of
from padmask.verify.proof.deviations import Outputs, difference, scale_of
from padmask.verify.proof.sample import ModelBatch, ModelInput, Sample
from padmask.verify.proof.subject import CannotRunError, Predict
from padmask.verify.proof.tolerance import LIMITS, Array

# Function that converts `predict` to a function that runs the model with other values in the padding.
ChangeContent = Callable[[Predict], Callable[..., Outputs]]

# Number of rows that are run to see which embeddings the tokens reach.
ROWS = 6


@dataclass(frozen=True)
class OtherContent:
    """A way to change the values in the padding.

    Args:
        change: function that converts `predict` to a function that runs the model with other values in the
            padding; None if the values cannot change.
        explicit: whether the model receives every mask as an input.
        reason: reason why `change` is None.
    """

    change: ChangeContent | None
    explicit: bool = False
    reason: str = ""


@dataclass(frozen=True)
class _Call:
    """A call of an embedding: the layer and its ids."""

    layer: Any
    ids: Array


def find_other_content(
    slots: Sequence[ModelInput], predict: Predict, sample: Sample, value: Any
) -> OtherContent:
    """Find a way to change the values in the padding without changing the mask of a model.

    The padding gets random tokens if the model receives every mask as an input, or if the model has only
    features of a fixed length and computes no mask from them. Otherwise, the mask may come from the ids, so
    the ids stay the same, and the embedding of the padding changes.

    Args:
        slots: inputs of the model.
        predict: function that runs the model eagerly.
        sample: rows to verify.
        value: pad value.
    """
    masked = {slot.mask_of for slot in slots if slot.kind == "mask"}
    explicit = {slot.name for slot in slots if slot.kind in ("tokens", "features")} <= masked
    few = sample.select(np.arange(min(ROWS, len(sample))))
    any_length = "not needed: the model accepts any length, so the check 'row-alone' finds the same leaks"
    with _record_embeddings() as (calls, made):
        try:
            predict(few.padded())
        except CannotRunError as error:
            return OtherContent(None, reason=str(error) if sample.has_fixed else any_length)
    features = all(slot.kind == "features" for slot in slots if slot.name in sample.timed)
    if sample.has_fixed and features and not made and not explicit and _reads_values(predict, few):
        return OtherContent(lambda predict: _with_random_tokens(sample, predict))
    if explicit and not made:
        return OtherContent(lambda predict: _with_random_tokens(sample, predict), explicit=True)
    if not sample.has_fixed:
        return OtherContent(None, reason=any_length)
    other_tokens = few.with_random_tokens(31)
    with _record_embeddings() as (others, _):
        predict(other_tokens.padded())
    tables = _find_tables(calls, others, few) if isinstance(value, (int, np.integer)) else []
    if not tables:
        return OtherContent(
            None,
            reason="the checks cannot change the padding, because the model computes its mask from the pad "
            "value, or because the pad value has no embedding",
        )
    return OtherContent(lambda predict: _with_other_rows(tables, predict))


def _reads_values(predict: Predict, sample: Sample) -> bool:
    """Return whether a model uses the features of the padding only as values, and computes no mask from them.

    If the mask is computed from the values, as in `x != 0`, even tiny changes to the padding have a large
    effect on the outputs.
    """
    base = predict(sample.padded())
    with_random = sample.unmasked(sample.padded(), 23)

    def change(scale: float) -> float:
        batch = {
            name: replace(
                padded,
                values=np.where(
                    padded.mask.reshape(*padded.mask.shape, *[1] * (padded.values.ndim - 2)),
                    padded.values,
                    padded.values + scale * with_random[name].values,
                ),
            )
            for name, padded in sample.padded().items()
        }
        outputs = predict(batch)
        return max(difference(base[name], outputs[name]) / (scale_of(base[name]) or 1.0) for name in base)

    return change(1e-30) <= LIMITS["float32"] and change(1e-5) <= 0.1 * change(1.0) + LIMITS["float32"]


@contextmanager
def _record_embeddings() -> Iterator[tuple[list[_Call], list[Any]]]:
    """Record the layers that a model calls eagerly inside the context.

    Yields:
        The calls of embeddings, and the layers that create a mask.
    """
    original = keras.Layer.__call__
    calls: list[_Call] = []
    made: list[Any] = []

    def call(layer: Any, *arguments: Any, **named: Any) -> Any:
        outputs = original(layer, *arguments, **named)
        inputs = [x for x in keras.tree.flatten([arguments, named]) if keras.ops.is_tensor(x)]
        if is_embedding(layer) and layer.weights and inputs:
            calls.append(_Call(layer, as_array(inputs[0])))
        has_mask = any(mask_of(x) is not None for x in inputs) or any("mask" in name for name in named)
        if not has_mask and any(
            keras.ops.is_tensor(x) and mask_of(x) is not None for x in keras.tree.flatten(outputs)
        ):
            made.append(layer)
        return outputs

    keras.Layer.__call__ = call
    try:
        yield calls, made
    finally:
        keras.Layer.__call__ = original


def _find_tables(calls: Sequence[_Call], others: Sequence[_Call], sample: Sample) -> list[tuple[Any, Array]]:
    """Find the rows of embedding tables that only padding uses.

    Tables whose ids do not depend on the tokens are left out, because they have no rows for padding. An
    example is the table of a position embedding.

    Args:
        calls: calls of embeddings.
        others: the same calls in a run with other tokens.
        sample: rows of `calls`.

    Returns:
        The variable of each table, and the indices of its rows.
    """
    masks = [padded.mask for padded in sample.padded().values()]
    padding: dict[int, set[int]] = {}
    real: dict[int, set[int]] = {}
    layers = {id(call.layer): call.layer for call in calls}
    for one, two in zip(calls, others, strict=False):
        key = id(one.layer)
        mask = next((mask for mask in masks if mask.shape == one.ids.shape), None)
        if one.ids.shape != two.ids.shape or np.array_equal(one.ids, two.ids) or mask is None:
            real.setdefault(key, set()).update(np.unique(one.ids).tolist())
            continue
        padding.setdefault(key, set()).update(np.unique(one.ids[~mask]).tolist())
        real.setdefault(key, set()).update(np.unique([*one.ids[mask], *two.ids[mask]]).tolist())
    found = []
    for key, rows in padding.items():
        table = layers[key].weights[0]
        index = np.array(sorted(rows - real[key]), dtype=int)
        index = index[(index >= 0) & (index < table.shape[0])]
        # A model may treat a row of zeros as padding, so such rows stay unchanged.
        index = index[np.abs(as_array(table)[index]).reshape(len(index), -1).max(axis=1, initial=0) > 0]
        if len(index):
            found.append((table, index))
    return found


def _with_random_tokens(sample: Sample, predict: Predict) -> Callable[..., Outputs]:
    def other(batch: ModelBatch, seed: int = 23) -> Outputs:
        tokens = sample.unmasked(batch, seed)
        return predict({name: replace(padded, values=tokens[name].values) for name, padded in batch.items()})

    return other


def _with_other_rows(tables: Sequence[tuple[Any, Array]], predict: Predict) -> Predict:
    def other(batch: ModelBatch) -> Outputs:
        originals = [keras.ops.convert_to_numpy(table) for table, _ in tables]
        random = np.random.default_rng(5)
        try:
            for (table, index), old in zip(tables, originals, strict=True):
                new = old.copy()
                largest = max(1.0, float(np.abs(old).max()))
                new[index] = random.standard_normal(new[index].shape) * largest
                table.assign(new)
            return predict(batch)
        finally:
            for (table, _), old in zip(tables, originals, strict=True):
                table.assign(old)

    return other
