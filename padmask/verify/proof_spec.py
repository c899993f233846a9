"""How models are proven: `ProofSpec` for the reference models, `ModelProof` for a user's model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from padmask.errors import SpecError
from padmask.spec.checks import at_least, check_fields, choice, file_path, flag, instance, optional, string
from padmask.spec.verify import BACKENDS, DEVICES, ModelSpec, ReferenceSpec
from padmask.storage.urls import display_path, is_url, refuse_mistyped

SAMPLE_ROWS = 256


@dataclass(frozen=True, kw_only=True)
class ProofSpec:
    """How the proof is made.

    Args:
        reference: the reference models.
        backend: of Keras; None takes `KERAS_BACKEND`, else TensorFlow.
        device: `"auto"`, `"cpu"` or `"gpu"`.
        sample: rows it is made on.
    """

    reference: ReferenceSpec = field(default_factory=ReferenceSpec)
    backend: str | None = None
    device: str = "auto"
    sample: int = SAMPLE_ROWS

    def __post_init__(self) -> None:
        check_fields(
            self,
            reference=instance(ReferenceSpec),
            backend=optional(choice(BACKENDS)),
            device=choice(DEVICES),
            sample=at_least(1),
        )


def _check_inputs(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise SpecError(f"`{name}` must map the model's inputs to columns. Received: {value!r:.80}.")
    return {string(name, key): string(name, column) for key, column in value.items()}


@dataclass(frozen=True, kw_only=True)
class ModelProof:
    """Whose model is proven, and how.

    Args:
        spec: how.
        model: path of a saved Keras model; or
        predict: `module:function`, which takes ids and mask.
        inputs: columns for the model's inputs, where the names differ.
        custom_objects: Python file with the classes that the model needs.
        allow_unsafe: whether code from within the model's file may be run.
        backend, device, sample: as in `ProofSpec`.
    """

    spec: ModelSpec
    model: str | None = None
    predict: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    custom_objects: str | None = None
    allow_unsafe: bool = False
    backend: str | None = None
    device: str = "auto"
    sample: int = SAMPLE_ROWS

    def __post_init__(self) -> None:
        check_fields(
            self,
            spec=instance(ModelSpec),
            model=optional(file_path),
            predict=optional(string),
            inputs=_check_inputs,
            custom_objects=optional(file_path),
            allow_unsafe=flag,
            backend=optional(choice(BACKENDS)),
            device=choice(DEVICES),
            sample=at_least(1),
        )
        if (self.model is None) == (self.predict is None):
            raise SpecError("Give one of a model and a function to predict with.")
        for named_path in (self.model, self.custom_objects):
            _refuse_address(named_path or "")


def _refuse_address(path: str) -> None:
    refuse_mistyped(path)
    if is_url(path):
        raise SpecError(
            f"{display_path(path)!r}: models and their code are read from this machine. Copy the file "
            "here first."
        )
