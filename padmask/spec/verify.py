"""What to prove and how: the routes of the reference models, and `ModelSpec` for a user's model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from padmask.errors import SpecError, did_you_mean
from padmask.spec.checks import at_least, check_fields, choice, flag, optional, string, strings
from padmask.spec.pad import Side

ROUTES = {
    "embedding": "Embedding(mask_zero=True) in a Sequential model",
    "functional": "the same in the Functional API",
    "masking": "a Masking layer on float features",
    "argument": "compute_mask, handed to LSTM(mask=...) inside a layer of our own",
    "temporal-split": "padmask.layers.TemporalSplit, which splits time and its mask in two",
    "custom-embedding": "padmask.layers.CustomEmbedding, which makes its own mask",
    "masked-activation": "padmask.layers.MaskedActivation, which passes the mask through",
    "temporal-softmax": "padmask.layers.TemporalSoftmax, which uses the mask",
}

BACKENDS = ("tensorflow", "jax", "torch")

DEVICES = ("auto", "cpu", "gpu")

# These take floats, the others ids.
FLOAT_ROUTES = ("masking",)


@dataclass(frozen=True, kw_only=True)
class ReferenceSpec:
    """How the reference models are made.

    Args:
        routes: which, of `ROUTES`.
        embedding_dim, units: sizes of the embedding and the LSTM.
        vocab_size: of the embedding; None finds it from the data.
        seed: of the weights.
        batch_size: rows a model sees at once; models of this size take all of a sample, which is faster
            than in pieces: each piece takes all steps.
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
                    f"There is no route {route!r}.{did_you_mean(route, list(ROUTES))} "
                    f"Choose one of {', '.join(ROUTES)}."
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
    """How a model is proven.

    Args:
        name: what the report calls it.
        padding: the side of the padding.
        value: the pad value; None takes what a Masking layer of the model takes for padding, else 0.
        vocab_size: ids there are, where rows are drawn; None takes the embeddings' sizes.
        seed: of the draw.
        empty_rows: whether rows without a token are looked at too.
        explain: whether every layer is reported.
        batch_size: rows the model sees at once, at most.
    """

    name: str = "model"
    padding: Side = "post"
    value: Any = None
    vocab_size: int | None = None
    seed: int = 0
    empty_rows: bool = True
    explain: bool = False
    batch_size: int = 32

    def __post_init__(self) -> None:
        check_fields(
            self,
            name=string,
            padding=choice(("post", "pre")),
            vocab_size=optional(at_least(1)),
            seed=at_least(0),
            empty_rows=flag,
            explain=flag,
            batch_size=at_least(1),
        )
