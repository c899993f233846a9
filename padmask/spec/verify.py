"""Options for testing models: `ReferenceSpec` for the reference models, `ModelSpec` for a user's model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from padmask.errors import SpecError, did_you_mean
from padmask.spec.checks import at_least, check_fields, flag, optional, string, strings
from padmask.spec.pad import Side
from padmask.spec.sides import checked_side

ROUTES = {
    "embedding": "Embedding(mask_zero=True) in a Sequential model",
    "functional": "Embedding(mask_zero=True) in a Functional model",
    "masking": "a Masking layer on float features",
    "argument": "a custom layer that passes the result of compute_mask to LSTM(mask=...)",
    "temporal-split": "padmask.layers.TemporalSplit, which splits the time axis and the mask in two",
    "custom-embedding": "padmask.layers.CustomEmbedding, which creates its own mask",
    "masked-activation": "padmask.layers.MaskedActivation, which passes the mask through",
    "temporal-softmax": "padmask.layers.TemporalSoftmax, which uses the mask",
}

BACKENDS = ("tensorflow", "jax", "torch")

DEVICES = ("auto", "cpu", "gpu")

# Kinds of model inputs that a user may declare.
INPUT_KINDS = ("tokens", "features", "mask", "lengths", "positions", "segments", "static")

# The reference models with float inputs. All other reference models have ids as inputs.
FLOAT_ROUTES = ("masking",)


@dataclass(frozen=True, kw_only=True)
class ReferenceSpec:
    """Options of the reference models, the small Keras models that padmask builds.

    Args:
        routes: names of the reference models, keys of `ROUTES`. A route is a way in which the mask reaches
            the LSTM.
        embedding_dim, units: sizes of the embedding and the LSTM.
        vocab_size: number of ids that the embedding accepts. If None, the number is found from the data.
        seed: random seed of the weights.
        batch_size: number of rows per model call. The default is large enough to run the default sample in
            one call, which is faster than several calls.
    """

    routes: tuple[str, ...] = tuple(ROUTES)
    embedding_dim: int = 16
    units: int = 32
    vocab_size: int | None = None
    seed: int = 0
    batch_size: int = 512

    def __post_init__(self) -> None:
        check_fields(self, routes=strings)
        for route in self.routes:
            if route not in ROUTES:
                raise SpecError(
                    f"Unknown route {route!r} of the reference models.{did_you_mean(route, list(ROUTES))} "
                    f"Choose one of {', '.join(ROUTES)}.",
                    options=["routes"],
                )
        check_fields(
            self,
            embedding_dim=at_least(1),
            units=at_least(1),
            vocab_size=optional(at_least(1)),
            seed=at_least(0),
            batch_size=at_least(1),
        )


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Options for testing a user's model.

    Args:
        name: name of the model in the report.
        padding: side of the padding.
        value: pad value. If None, the mask value of a Masking layer in the model is used, else 0.
        vocab_size: size of the vocabulary from which random rows are drawn. If None, the number of ids that
            each embedding of the model accepts is used.
        seed: random seed of the rows.
        empty_rows: whether the data has rows without tokens. If True, the model is tested on such rows too.
            If None, this is unknown: the model is tested on such rows, but a failure is only a warning.
        explain: whether to report the result of every layer.
        batch_size: maximum number of rows per model call.
    """

    name: str = "model"
    padding: Side = "post"
    value: Any = None
    vocab_size: int | None = None
    seed: int = 0
    empty_rows: bool | None = None
    explain: bool = False
    batch_size: int = 32

    def __post_init__(self) -> None:
        check_fields(
            self,
            name=string,
            padding=checked_side,
            vocab_size=optional(at_least(1)),
            seed=at_least(0),
            empty_rows=optional(flag),
            explain=flag,
            batch_size=at_least(1),
        )
