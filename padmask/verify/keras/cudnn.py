"""Compare the outputs of an LSTM's cuDNN kernel and generic kernel on a GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from padmask.verify.keras.backend import Engine
from padmask.verify.keras.reference_models import OUTPUT, Reference
from padmask.verify.proof.sample import Sample
from padmask.verify.proof.tolerance import LIMITS, Array, Check, ComparedDeviation

# Largest allowed deviation between the kernels, as a share of the largest output. The kernels add numbers in
# different orders, and cuDNN may compute in TensorFloat-32.
LIMIT = 1e-3


def compare_kernels(
    engine: Engine, reference: Reference, sample: Sample
) -> tuple[list[Check], dict[str, Any]]:
    """Check that both LSTM kernels return the same outputs, and try rows that cuDNN does not support.

    Args:
        engine: Keras backend and device.
        reference: reference models, which provide an LSTM for each kernel.
        sample: rows of one input.

    Returns:
        The check, and entries about the kernels for `Report.environment`.
    """
    right_padded = replace(sample, padding="post")
    ids = right_padded.padded(1)["ids"] if "ids" in right_padded.inputs else None
    if ids is None or (ids.values[ids.mask] == 0).any():
        reason = (
            "cuDNN supports masks only for padding at the end. These rows contain floats or the id 0, so the "
            "model may also mask positions in the middle of a row"
        )
        return [Check.skipped("kernels-agree", reason)], {"kernel": "generic"}
    outputs = {}
    with engine.scope():
        for use_cudnn in (True, False):
            model = reference.steps_model(use_cudnn=use_cudnn)
            outputs[use_cudnn] = np.asarray(model(ids.values, training=False))
        # Only real positions count. At padded positions, cuDNN returns zeros and the generic kernel repeats
        # earlier values.
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
    """Run a model eagerly and compiled on rows that cuDNN does not support, and describe the behavior.

    Returns:
        A dict with a description of the eager run (`"eager"`) and of the compiled run (`"compiled"`).
    """
    model = reference.steps_model(use_cudnn="auto")
    generic = np.asarray(reference.steps_model(use_cudnn=False)(ids, training=False))
    eager = np.asarray(model(ids, training=False))
    same = float(np.abs(eager - generic).max(initial=0)) <= LIMITS["float32"]
    behaviour = {
        "eager": "falls back to the generic kernel"
        if same
        else "runs, but its outputs differ from those of the generic kernel"
    }

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def graph(given: Any) -> Any:
        return model(given, training=False)

    try:
        graph(tf.constant(ids))
        behaviour["compiled"] = "runs"
    except tf.errors.OpError as error:
        behaviour["compiled"] = f"fails, as model.predict does: {type(error).__name__}"
    return behaviour
