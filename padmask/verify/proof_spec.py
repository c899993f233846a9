"""Options for verifying models: `ProofSpec` for reference models, `ModelProof` for a user's model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from padmask.errors import SpecError
from padmask.spec.checks import at_least, check_fields, choice, file_path, flag, instance, optional, string
from padmask.spec.verify import BACKENDS, DEVICES, INPUT_KINDS, ModelSpec, ReferenceSpec
from padmask.storage.urls import display_path, is_url, refuse_mistyped

SAMPLE_ROWS = 256


@dataclass(frozen=True, kw_only=True)
class ProofSpec:
    """Options for verifying the reference models on the data.

    Args:
        reference: options of the reference models.
        backend: Keras backend, `"tensorflow"`, `"jax"` or `"torch"`. If None, the environment variable
            `KERAS_BACKEND` is used if it is set, otherwise TensorFlow.
        device: `"auto"`, `"cpu"` or `"gpu"`. `"auto"` uses a GPU if there is one.
        sample: number of rows on which the models run, at least 1.
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
        raise SpecError(f"`{name}` must be a dict from input names to column names. Received: {value!r:.80}.")
    return {string(name, key): string(name, column) for key, column in value.items()}


def _check_kinds(name: str, value: Any) -> dict[str, str]:
    kinds = _check_inputs(name, value)
    return {input_name: choice(INPUT_KINDS)(name, kind) for input_name, kind in kinds.items()}


@dataclass(frozen=True, kw_only=True)
class ModelProof:
    """Options for verifying a user's model or function. Set either `model` or `predict`.

    Args:
        spec: pad value, seed, batch size and similar options.
        model: path of a saved Keras model or of a PyTorch program (`.pt2`), or `module:factory`, where the
            factory is a function without arguments that returns a Keras model or a PyTorch module.
        predict: function that takes ids and a mask, as `module:function`.
        kinds: kind of each model input, such as `"segments"`, keyed by input name. Required only for inputs
            whose names, dtypes and use do not show their kind.
        inputs: name of the column for each model input, keyed by input name. Required only for inputs whose
            column has a different name.
        custom_objects: path of a Python file that defines the model's custom classes.
        allow_unsafe: whether code in the model file may run.
        backend: as in `ProofSpec`.
        device: as in `ProofSpec`.
        sample: as in `ProofSpec`.
    """

    spec: ModelSpec
    model: str | None = None
    predict: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
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
            kinds=_check_kinds,
            custom_objects=optional(file_path),
            allow_unsafe=flag,
            backend=optional(choice(BACKENDS)),
            device=choice(DEVICES),
            sample=at_least(1),
        )
        if (self.model is None) == (self.predict is None):
            raise SpecError("Set either `model` or `predict` of ModelProof, not both.")
        for named_path in (self.model, self.custom_objects):
            _refuse_url(named_path or "")


def _refuse_url(path: str) -> None:
    refuse_mistyped(path)
    if is_url(path):
        raise SpecError(
            f"{display_path(path)!r}: models and their code must be local files. Copy the file to this "
            "machine, and pass the local path."
        )
