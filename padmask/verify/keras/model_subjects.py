"""Convert a user's Keras model to a `Subject` for the checks, also in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from padmask.verify.keras.other_content import find_other_content
from padmask.verify.keras.user_model import UserModel
from padmask.verify.proof.cached_predict import cache_predictions
from padmask.verify.proof.deviations import Outputs
from padmask.verify.proof.sample import ModelBatch, Sample
from padmask.verify.proof.subject import Subject
from padmask.verify.proof.tolerance import LIMITS, PRECISE


def make_subjects(user: UserModel, name: str, sample: Sample, value: Any) -> tuple[Subject, Subject]:
    """Return the model and its control model, each as a `Subject`.

    The control model is the same model, but receives random tokens as padding and a mask that is all
    True.

    Args:
        user: model to verify.
        name: name of the model in the report.
        sample: rows to verify, and source of the random tokens.
        value: pad value.
    """
    content = user.content = find_other_content(user.slots, user.predict_eagerly, sample, value)

    def precise() -> Subject | None:
        if not can_run_in_float64(user, sample):
            return None
        float64_model = _Float64Model(user)
        dtype = float64_model.find_dtype(sample)
        if LIMITS[dtype] >= LIMITS[user.dtype]:
            return None

        def predict_other_content(batch: ModelBatch, *seed: int) -> Outputs:
            with float64_model.active():
                assert content.change is not None
                return content.change(user.predict)(batch, *seed)

        other = predict_other_content if content.change is not None else None
        return Subject(
            name,
            cache_predictions(float64_model.predict),
            dtype,
            other=other,
            explicit_mask=content.explicit,
        )

    subject = Subject(
        name,
        cache_predictions(user.predict),
        user.dtype,
        predict_uncached=user.predict,
        other=None if content.change is None else content.change(user.predict),
        explicit_mask=content.explicit,
        jittered=lambda batch: _predict_jittered(user, batch),
        precise=precise,
        reason=content.reason,
    )
    control = Subject(
        name,
        cache_predictions(lambda batch: user.predict(sample.unmasked(batch, 21))),
        user.dtype,
        other=lambda batch: user.predict(sample.unmasked(batch, 22)),
    )
    return subject, control


def can_run_in_float64(user: UserModel, sample: Sample) -> bool:
    """Return whether the model has a lower precision than float64 and can run in float64."""
    one = sample.select([0])
    return (
        user.float64 is not None
        and user.dtype != "float64"
        and user.float64.is_possible(lambda: user.predict_eagerly(one.padded()))
    )


def _predict_jittered(user: UserModel, batch: ModelBatch) -> Outputs:
    """Run the model after changing every weight to the next larger or smaller float."""
    random = np.random.default_rng(3)
    floats = [v for v in user.model.variables if v.dtype in ("float32", "float64")]
    originals = [keras.ops.convert_to_numpy(variable) for variable in floats]
    try:
        for variable, old in zip(floats, originals, strict=True):
            step = 2.0 ** (-23 if variable.dtype == "float32" else -52)
            variable.assign(old * (1 + step * random.choice([-1.0, 1.0], old.shape)))
        return user.predict(batch)
    finally:
        for variable, old in zip(floats, originals, strict=True):
            variable.assign(old)


class _Float64Model:
    """A user's model that runs in float64, with a separate compiled function."""

    def __init__(self, user: UserModel) -> None:
        self._user = user
        self._compiled: Callable[..., Any] | None = None

    def predict(self, batch: ModelBatch) -> Outputs:
        with self.active():
            return self._user.predict(batch)

    def find_dtype(self, sample: Sample) -> str:
        """Return the lowest precision that the model uses in float64 mode, as a key in `LIMITS`.

        The casts of a model are known only if the model is compiled. If not, the result is `"float32"`.
        """
        self.predict(sample.select([0]).padded())
        float64 = self._user.float64
        assert float64 is not None
        if self._compiled is None or float64.casts_down(self._compiled):
            return "float32"
        return PRECISE

    @contextmanager
    def active(self) -> Iterator[None]:
        """Switch the model to float64 inside the context."""
        user = self._user
        assert user.float64 is not None
        original = user.compiled
        user.compiled = self._compiled
        try:
            with user.float64:
                yield
        finally:
            self._compiled, user.compiled = user.compiled, original


@contextmanager
def in_float64(user: UserModel, sample: Sample) -> Iterator[bool]:
    """If the model supports float64, switch the model to float64 inside the context.

    Yields:
        Whether the model computes in float64.
    """
    if user.float64 is None or not can_run_in_float64(user, sample):
        yield user.dtype == "float64"
        return
    with user.float64:
        yield True
