"""Cache the outputs of a model, because several checks run the same batches."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from padmask.verify.proof.deviations import Outputs
from padmask.verify.proof.sample import ModelBatch


def cache_predictions(predict: Callable[[ModelBatch], Outputs]) -> Callable[[ModelBatch], Outputs]:
    """Return a function that runs the model once for each batch and caches the outputs.

    The model must be deterministic, and its weights must not change.

    >>> from padmask.core.python_rows import flatten
    >>> from padmask.verify.proof.sample import Input, Sample
    >>> sample, seen = Sample({"ids": Input(flatten([[7], [8, 9]]))}), []
    >>> predict = cache_predictions(lambda batch: seen.append(batch["ids"].values.shape) or {})
    >>> _ = [predict(sample.padded(more)) for more in (0, 1, 0, 1)]
    >>> seen
    [(2, 2), (2, 3)]
    """
    cache: dict[bytes, Outputs] = {}

    def predict_cached(batch: ModelBatch) -> Outputs:
        key = _digest(batch)
        if key not in cache:
            cache[key] = predict(batch)
        return cache[key]

    return predict_cached


def _digest(batch: ModelBatch) -> bytes:
    """Return a hash of the names, values and masks in a batch."""
    hasher = blake2b(digest_size=16)
    for name, padded in batch.items():
        for array in (padded.values, padded.mask):
            hasher.update(repr((name, array.dtype.str, array.shape)).encode())
            hasher.update(array.tobytes())
    return hasher.digest()
