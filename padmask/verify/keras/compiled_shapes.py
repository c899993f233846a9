"""Check that a compiled Keras model returns outputs of the same shapes as the eager model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from padmask.verify.keras.user_model import UserModel
from padmask.verify.proof.deviations import Outputs
from padmask.verify.proof.sample import ModelBatch, Sample
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.tolerance import Check, ComparedDeviation


def check_shapes(user: UserModel, sample: Sample) -> tuple[Check, str | None]:
    """Check that the compiled model returns outputs of the same shapes as the eager model.

    `model.predict` runs the compiled model, and `model(x)` runs the eager model. If the shapes differ, or if
    the compiled model fails, `user` runs the model eagerly from then on.

    Args:
        user: model to check.
        sample: rows to run.

    Returns:
        The result of the check, and the path of the layer that causes a wrong shape (None if unknown).
    """
    name = "output-shape"
    if not user.is_compiled:
        return Check.skipped(name, f"padmask does not compile models on {user.engine.backend}"), None
    few = sample.select(np.arange(min(3, len(sample))))
    wrong, compiles = "", True
    # The last batch has fewer steps than rows, to detect a layer that confuses rows and steps.
    for batch in (few.padded(), few.padded(2), sample.cut(2).padded()):
        try:
            eager = user.predict_eagerly(batch)
        except CannotRunError:
            continue
        wrong, compiles = _compare_compiled(user, batch, eager)
        if wrong:
            break
    if not wrong:
        return Check.of(name, {"shape": ComparedDeviation(0.0, 0.0)}), None
    user.run_eagerly()
    loops = [
        layer for layer in user.model._flatten_layers() if isinstance(layer, keras.layers.TimeDistributed)
    ]
    if not loops and not compiles:
        return Check.skipped(
            name, "the model cannot be compiled, so the checks ran the model eagerly, as model(x) does"
        ), None
    culprit = _find_layer_path(user.model, loops[0]) if loops else None
    return Check.of(name, {"shape": ComparedDeviation(float("inf"), 0.0, wrong)}), culprit


def _compare_compiled(user: UserModel, batch: ModelBatch, eager: Outputs) -> tuple[str, bool]:
    """Compare the output shapes of a compiled run with those of an eager run.

    Returns:
        A description of the difference (empty if the shapes agree), and whether the compiled model runs.
    """
    try:
        graph = user.predict_compiled(batch)
    except CannotRunError as error:
        return str(error), False
    for name, output in eager.items():
        if name not in graph or graph[name].shape != output.shape:
            shape = graph[name].shape if name in graph else "none"
            return (
                f"{name} has shape {shape} in the compiled model, which model.predict runs, but "
                f"{output.shape} in the eager model",
                True,
            )
    return "", True


def _find_layer_path(model: Any, wanted: Any) -> str:
    """Return the path of a layer in a model, such as `encoder/lstm`, without the name of the model."""

    def search(owner: Any, parents: tuple[str, ...]) -> tuple[str, ...] | None:
        for layer in getattr(owner, "layers", None) or owner._layers:
            if layer is wanted:
                return (*parents, layer.name)
            found = search(layer, (*parents, layer.name))
            if found:
                return found
        return None

    return "/".join(search(model, ()) or (wanted.name,))
