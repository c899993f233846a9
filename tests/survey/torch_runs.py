"""Run PyTorch modules on rows with random tokens. The parameters of `forward` determine the inputs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from measure import Array, Input, RunnableModel
from torch import nn

VOCAB = 45

# Outputs for later steps, which do not have the rows first.
CACHES = ("past_key_values", "mems", "cache_params")

# Number of blocks of positions on the time axis of an output.
BLOCKS = {"last_hidden_state_ngram": 2}


def runnable(module: nn.Module, pad_id: int = 0, seed: int = 0) -> RunnableModel:
    """Return a module in eval mode with random weights."""
    names = list(inspect.signature(module.forward).parameters)

    def draw_row(length: int, seed: int) -> dict[str, Input]:
        random = np.random.default_rng(seed)
        row = {"input_ids": Input(random.integers(6, VOCAB, (1, length)), pad_id)}
        if "attention_mask" in names:
            row["attention_mask"] = Input(np.ones((1, length), "int64"))
        if "lengths" in names:
            row["lengths"] = Input(np.array([length]))
        if "decoder_input_ids" in names:
            # Both sides of the model have rows of different lengths.
            row["decoder_input_ids"] = Input(random.integers(6, VOCAB, (1, length + 1)), pad_id)
            row["decoder_attention_mask"] = Input(np.ones((1, length + 1), "int64"))
        return row

    def predict(batch: Mapping[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            outputs = module(**{name: torch.from_numpy(values) for name, values in batch.items()})
        return {
            name: (tensor.unflatten(1, (BLOCKS[name], -1)) if name in BLOCKS else tensor).numpy()
            for name, tensor in _tensors(outputs)
            if tensor.ndim > 1
        }

    return RunnableModel(randomize(module, seed).eval(), draw_row, predict, {})


def _tensors(outputs: Any) -> list[tuple[str, torch.Tensor]]:
    if isinstance(outputs, torch.Tensor):
        return [("output", outputs)]
    return [
        (name, value)
        for name, value in outputs.items()
        if name not in CACHES and isinstance(value, torch.Tensor)
    ]


def randomize(module: nn.Module, seed: int) -> nn.Module:
    """Give every trainable weight a random value.

    New biases are zero, and norms are one, which can hide leaks. Weights that are not trainable, and
    sinusoidal positions, belong to the architecture and stay the same.
    """
    random = torch.Generator().manual_seed(seed)
    fixed = {
        id(weight)
        for part in module.modules()
        if "Sinusoidal" in type(part).__name__
        for weight in part.parameters()
    }
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if not weight.requires_grad or id(weight) in fixed:
                continue
            noise = torch.randn(weight.shape, generator=random)
            if weight.ndim == 1:
                center = 1.0 if "norm" in name.lower() and name.endswith("weight") else weight
                weight.copy_(center + 0.3 * noise)
            elif "embed" in name or "wte" in name or "wpe" in name:
                weight.copy_(noise * 0.7)
            elif "A_log" not in name:  # Random values of this weight make the state of Mamba overflow.
                weight.copy_(1.2 * noise / math.sqrt(weight.shape[-1]))
    return module
