"""Which backbones of KerasHub ignore padding, measured with random weights, and what `verify` says.

    pip install 'padmask[verify]' && pip install --no-deps keras-hub && pip install tokenizers kagglehub
    python tests/survey/keras_hub_backbones.py [NAME ...]

Prints a Markdown table. The column "measured" does not use padmask: each row runs alone, and in a batch with
another row and with padding.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_hub.models as hub
import numpy as np

from padmask.verify import verify_model

VOCAB, PLACES = 40, 600

# Numbers of tokens of the rows, and of the padding that is added.
LENGTHS, PADDING = (3, 7, 12), (1, 5, 40)

# A larger deviation, as a share of the largest value of a channel, is a leak. Rounding is below 1e-5.
LEAK = 1e-3

Build = Callable[[], keras.Model]

BACKBONES: dict[str, Build] = {
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


def randomize(model: keras.Model) -> keras.Model:
    """Give every weight a random value. New biases are zero, and norms are one, which can hide leaks."""
    random = np.random.default_rng(0)
    for weight in model.trainable_variables:
        center = 1.0 if "gamma" in weight.path or "scale" in weight.path else 0.0
        weight.assign(center + random.normal(0, 0.2, weight.shape))
    return model


def row_of(model: keras.Model, length: int, seed: int) -> dict[str, Any]:
    """Return random values for each input of a model: shape (1, length)."""
    random = np.random.default_rng(seed)
    row = {}
    for tensor in model.inputs:
        if "mask" in tensor.name:
            row[tensor.name] = np.ones((1, length), "int32")
        elif "segment" in tensor.name:
            row[tensor.name] = random.integers(0, 2, (1, length)).astype("int32")
        else:
            row[tensor.name] = random.integers(1, VOCAB, (1, length)).astype("int32")
    return row


def outputs_of(model: keras.Model, batch: dict[str, Any]) -> list[Any]:
    return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(model(batch, training=False))]


def measured_deviation(model: keras.Model) -> float:
    """Return the largest deviation at real positions, as a share of the largest value of its channel."""
    largest = 0.0
    for length in LENGTHS:
        row = row_of(model, length, seed=length)
        alone = outputs_of(model, row)
        for more in PADDING:
            longer = row_of(model, length + more, seed=100 + length)
            padded = {name: np.pad(values, ((0, 0), (0, more))) for name, values in row.items()}
            batch = {name: np.concatenate([padded[name], longer[name]]) for name in row}
            for one, both in zip(alone, outputs_of(model, batch), strict=True):
                real = both[:1][tuple(slice(0, size) for size in one.shape)]
                scale = np.abs(one).reshape(-1, one.shape[-1]).max(axis=0).clip(np.abs(one).max() / 100)
                largest = max(largest, float((np.abs(one - real) / scale).max()))
    return largest


def main() -> None:
    names = sys.argv[1:] or list(BACKBONES)
    print(f"keras {version('keras')}, keras-hub {version('keras-hub')}, {keras.backend.backend()}\n")
    print("| backbone | measured | verdict | culprit | time |\n|---|---|---|---|---|")
    wrong = []
    for name in names:
        keras.utils.clear_session(free_memory=False)
        model = randomize(BACKBONES[name]())
        deviation = measured_deviation(model)
        start = time.perf_counter()
        [subject] = verify_model(model, vocab_size=VOCAB).subjects
        seconds = time.perf_counter() - start
        culprit = f"`{subject.culprit}`" if subject.culprit else ""
        print(f"| {name} | {deviation:.1e} | {subject.verdict} | {culprit} | {seconds:.0f} s |", flush=True)
        if subject.verdict != ("leaks" if deviation > LEAK else "ignores"):
            wrong.append(name)
    if wrong:
        sys.exit(f"verify disagrees with the measurement: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
