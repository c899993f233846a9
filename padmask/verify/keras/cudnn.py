"""Compare cuDNN's kernel with the generic kernel on a GPU, and record where cuDNN refuses masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from padmask.verify.keras.backend import Engine
from padmask.verify.keras.reference_models import OUTPUT, Reference
from padmask.verify.proof.sample import Sample
from padmask.verify.proof.tolerance import LIMITS, Array, Check, ComparedDeviation

# The two kernels add in another order, and cuDNN may use TensorFloat-32.
LIMIT = 1e-3


def compare_kernels(
    engine: Engine, reference: Reference, sample: Sample
) -> tuple[list[Check], dict[str, Any]]:
    """Run both kernels on the sample, and show what cuDNN does with rows that it does not take.

    Returns:
        The check that the kernels agree at real places, and what to say of the environment.
    """
    right = replace(sample, padding="post")
    ids = right.padded(1)["ids"] if "ids" in right.inputs else None
    if ids is None or (ids.values[ids.mask] == 0).any():
        reason = "the rows hold id 0 or are floats: their masks have holes, which cuDNN does not take"
        return [Check.skipped("kernels-agree", reason)], {"kernel": "generic"}
    outputs = {}
    with engine.scope():
        for use_cudnn in (True, False):
            model = reference.steps_model(use_cudnn=use_cudnn)
            outputs[use_cudnn] = np.asarray(model(ids.values, training=False))
        # What stands at padded places is no answer: zeros from one kernel, repeats from the other.
        apart = np.abs(outputs[True] - outputs[False])[ids.mask]
        scale = float(np.abs(outputs[False][ids.mask]).max(initial=0))
        judged = ComparedDeviation(
            float(apart.max(initial=0)), LIMIT * scale, "cuDNN against the generic kernel"
        )
        said = {
            "kernel": "cudnn" if sample.padding == "post" else "generic",
            "cudnn": {
                "left_padding": _refused(reference, replace(sample, padding="pre").padded(1)["ids"].values),
                "fully_masked_row": _refused(reference, np.concatenate([ids.values[:3], 0 * ids.values[:1]])),
            },
        }
    return [Check.of("kernels-agree", {OUTPUT: judged})], said


def _refused(reference: Reference, ids: Array) -> dict[str, str]:
    """Return what happens to rows that cuDNN does not take, called eagerly and compiled."""
    model = reference.steps_model(use_cudnn="auto")
    generic = np.asarray(reference.steps_model(use_cudnn=False)(ids, training=False))
    eager = np.asarray(model(ids, training=False))
    same = float(np.abs(eager - generic).max(initial=0)) <= LIMITS["float32"]
    said = {"eager": "falls back to the generic kernel" if same else "runs, with other outputs"}

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def graph(given: Any) -> Any:
        return model(given, training=False)

    try:
        graph(tf.constant(ids))
        said["compiled"] = "runs"
    except tf.errors.OpError as error:
        said["compiled"] = f"fails, and so does predict: {type(error).__name__}"
    return said
