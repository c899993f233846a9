"""Backbones of KerasHub, built small from their arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import keras_hub.models as hub
import numpy as np
from measure import Array, Build, Input, RunnableModel

PACKAGES = ("keras_hub", "keras", keras.backend.backend())

VOCAB, PLACES = 40, 600

_BACKBONES: dict[str, Callable[[], keras.Model]] = {
    "ALBERT": lambda: hub.AlbertBackbone(VOCAB, 2, 2, 8, 8, 16, max_sequence_length=PLACES),
    "BART": lambda: hub.BartBackbone(VOCAB, 1, 2, 8, 16, max_sequence_length=PLACES),
    "BERT": lambda: hub.BertBackbone(VOCAB, 2, 2, 8, 16, max_sequence_length=PLACES),
    "BLOOM": lambda: hub.BloomBackbone(VOCAB, 2, 2, 8, 16, max_sequence_length=PLACES),
    "DeBERTa V3": lambda: hub.DebertaV3Backbone(VOCAB, 2, 2, 8, 16, max_sequence_length=PLACES),
    "DistilBERT": lambda: hub.DistilBertBackbone(VOCAB, 2, 2, 8, 16, max_sequence_length=PLACES),
    "ELECTRA": lambda: hub.ElectraBackbone(VOCAB, 2, 2, 8, 8, 16, max_sequence_length=PLACES),
    "ESM": lambda: hub.ESMBackbone(VOCAB, 2, 2, 8, 16),
    "FNet": lambda: hub.FNetBackbone(VOCAB, 2, 8, 16, max_sequence_length=PLACES),
    "Gemma": lambda: hub.GemmaBackbone(VOCAB, 2, 2, 1, 8, 16, 4),
    "GPT-2": lambda: hub.GPT2Backbone(VOCAB, 2, 2, 8, 16, max_sequence_length=PLACES),
    "Llama": lambda: hub.LlamaBackbone(VOCAB, 2, 2, 8, 16, 1),
    "Mistral": lambda: hub.MistralBackbone(VOCAB, 2, 2, 8, 16, 1),
    "Mixtral": lambda: hub.MixtralBackbone(VOCAB, 2, 2, 8, 16, 1, 2, 2),
    "OPT": lambda: hub.OPTBackbone(VOCAB, 2, 2, 8, 16, max_sequence_length=PLACES),
    "Phi-3": lambda: hub.Phi3Backbone(VOCAB, 2, 8, 16, 2, 2),
    "RoBERTa": lambda: hub.RobertaBackbone(VOCAB, 2, 2, 8, 16, max_sequence_length=PLACES),
    "RoFormerV2": lambda: hub.RoformerV2Backbone(VOCAB, 2, 2, 8, 16, 4),
    "T5": lambda: hub.T5Backbone(VOCAB, 1, 2, 8, 16),
    "XLNet": lambda: hub.XLNetBackbone(VOCAB, 2, 2, 8, 16),
}


def randomize(model: keras.Model, seed: int) -> keras.Model:
    """Give every weight a random value. New biases are zero, and norms are one, which can hide leaks."""
    random = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        center = 1.0 if "gamma" in weight.path or "scale" in weight.path else 0.0
        weight.assign(center + random.normal(0, 0.2, weight.shape))
    return model


def _build(make: Callable[[], keras.Model]) -> Build:
    def build(seed: int = 0) -> RunnableModel:
        keras.utils.clear_session(free_memory=False)
        model = randomize(make(), seed)

        def draw_row(length: int, seed: int) -> dict[str, Input]:
            random = np.random.default_rng(seed)
            row = {}
            for tensor in model.inputs:
                if "mask" in tensor.name:
                    values = np.ones((1, length))
                elif "segment" in tensor.name:
                    values = random.integers(0, 2, (1, length))
                else:
                    values = random.integers(1, VOCAB, (1, length))
                row[tensor.name] = Input(values.astype("int32"))
            return row

        def predict(batch: Mapping[str, Array]) -> dict[str, Array]:
            outputs = keras.tree.flatten(model(dict(batch), training=False))
            return {str(index): keras.ops.convert_to_numpy(output) for index, output in enumerate(outputs)}

        return RunnableModel(model, draw_row, predict, {"vocab_size": VOCAB})

    return build


MODELS = {name: _build(make) for name, make in _BACKBONES.items()}
