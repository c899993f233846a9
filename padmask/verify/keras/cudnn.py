"""Compare the cuDNN kernel of an LSTM with the generic kernel on a GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from padmask.verify.keras.backend import Engine
from padmask.verify.keras.reference_models import OUTPUT, Reference
from padmask.verify.proof.sample import Sample
from padmask.verify.proof.tolerance import LIMITS, Array, Check, ComparedDeviation

# The kernels add in different orders, and cuDNN may compute in TensorFloat-32.
LIMIT = 1e-3


def compare_kernels(
    engine: Engine, reference: Reference, sample: Sample
) -> tuple[list[Check], dict[str, Any]]:
    """Compare both kernels on the sample, and try rows that cuDNN does not support.

    Returns:
        The check that the kernels agree at real positions, and entries for the report's environment.
    """
    right_padded = replace(sample, padding="post")
    ids = right_padded.padded(1)["ids"] if "ids" in right_padded.inputs else None
    if ids is None or (ids.values[ids.mask] == 0).any():
        reason = (
            "the rows are floats or contain id 0, so their masks may have holes, which cuDNN does not support"
        )
        return [Check.skipped("kernels-agree", reason)], {"kernel": "generic"}
    outputs = {}
    with engine.scope():
        for use_cudnn in (True, False):
            model = reference.steps_model(use_cudnn=use_cudnn)
            outputs[use_cudnn] = np.asarray(model(ids.values, training=False))
        # At padded positions the kernels differ by design: cuDNN returns zeros, the other repeats values.
        deviations = np.abs(outputs[True] - outputs[False])[ids.mask]
        scale = float(np.abs(outputs[False][ids.mask]).max(initial=0))
        compared = ComparedDeviation(
            float(deviations.max(initial=0)), LIMIT * scale, "cuDNN compared with the generic kernel"
        )
        environment = {
            "kernel": "cudnn" if sample.padding == "post" else "generic",
            "cudnn": {
                "left_padding": _try_unsupported(
                    reference, replace(sample, padding="pre").padded(1)["ids"].values
                ),
                "fully_masked_row": _try_unsupported(
                    reference, np.concatenate([ids.values[:3], 0 * ids.values[:1]])
                ),
            },
        }
    return [Check.of("kernels-agree", {OUTPUT: compared})], environment


def _try_unsupported(reference: Reference, ids: Array) -> dict[str, str]:
    """Return what the model does, eagerly and compiled, with rows that cuDNN does not support."""
    model = reference.steps_model(use_cudnn="auto")
    generic = np.asarray(reference.steps_model(use_cudnn=False)(ids, training=False))
    eager = np.asarray(model(ids, training=False))
    same = float(np.abs(eager - generic).max(initial=0)) <= LIMITS["float32"]
    behaviour = {"eager": "falls back to the generic kernel" if same else "runs, with other outputs"}

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def graph(given: Any) -> Any:
        return model(given, training=False)

    try:
        graph(tf.constant(ids))
        behaviour["compiled"] = "runs"
    except tf.errors.OpError as error:
        behaviour["compiled"] = f"fails, and so does predict: {type(error).__name__}"
    return behaviour
