"""Open the model of `--model`: a saved Keras model, a saved PyTorch program, or a model built in code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from padmask.errors import MissingExtraError, SpecError
from padmask.spec.verify import ModelSpec
from padmask.verify.api import is_torch_model, report_on_model, report_on_packed, report_on_torch_model
from padmask.verify.data.masked_values import MaskedValue
from padmask.verify.other_model_files import refuse_other_files
from padmask.verify.proof.packed_arguments import DataArguments
from padmask.verify.proof.packed_sample import PackedSample
from padmask.verify.proof.sample import SampleRows
from padmask.verify.proof_spec import ModelProof
from padmask.verify.report import Report
from padmask.verify.user_code import import_callable, is_import_name

# Suffix of programs that `torch.export.save` writes.
PROGRAM_SUFFIX = ".pt2"


@dataclass(frozen=True)
class OpenedModel:
    """A model that is ready to run.

    Args:
        find_kinds: function that returns the kind of each model input, such as `"tokens"`, keyed by input
            name. Its argument is a dict of the kinds that the user specified.
        report: function that verifies the model. Its arguments are the options, the rows (or None) and a dict
            of the kinds that the user specified.
        report_packed: function that verifies the model on packed rows. Its arguments are the options, the
            rows, and what the data and the user specify about the inputs.
        is_recurrent: whether the model has recurrent layers that may run on cuDNN.
        masked: the value that the model masks in inputs of each kind, keyed by kind.
    """

    find_kinds: Callable[[dict[str, str]], dict[str, str]]
    report: Callable[[ModelSpec, SampleRows | None, dict[str, str]], Report]
    report_packed: Callable[[ModelSpec, PackedSample, DataArguments], Report]
    is_recurrent: bool = False
    masked: Mapping[str, MaskedValue] = field(default_factory=dict)


def open_model(proof: ModelProof) -> OpenedModel:
    """Load or build the model of `proof.model`.

    Raises:
        SpecError: the module or the factory fails, or an option does not apply to the model.
        MissingExtraError: the framework of the model is not installed.
        DataError: the file is corrupt.
        AccessError: the file does not exist.
        UnsupportedError: the file has a format that cannot be opened.
    """
    path = proof.model or ""
    if path.endswith(PROGRAM_SUFFIX):
        return _open_torch(_load_program(path), proof)
    if not is_import_name(path):
        refuse_other_files(path)
        return _open_keras(None, proof)
    if proof.backend is not None:
        from padmask.verify.keras.backend import start_backend

        # Keras chooses its backend when the user's module imports Keras.
        start_backend(proof.backend, proof.device)
    model = _build(path)
    if is_torch_model(model):
        return _open_torch(model, proof)
    if hasattr(model, "_flatten_layers"):
        return _open_keras(model, proof)
    raise SpecError(
        f"--model {path} returns {type(model).__name__}, which is neither a PyTorch module nor a Keras "
        "model. To verify a function of ids and a mask, use --predict.",
        options=["model"],
    )


def _build(text: str) -> Any:
    """Import `MODULE:NAME`, and return the model of this name, or call the factory of this name."""
    from padmask.verify.keras.backend import hide_framework_logs

    with hide_framework_logs():
        found = import_callable("--model", text, "mypackage.model:build")
    if not isinstance(found, type) and (is_torch_model(found) or hasattr(found, "_flatten_layers")):
        return found
    try:
        with hide_framework_logs():
            return found()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the factory is the user's, and may raise anything
        raise SpecError(
            f"--model {text}: the factory raised {type(error).__name__}: {error}. Call the factory without "
            "arguments in Python, and fix the error.",
            options=["model"],
        ) from None


def _open_keras(model: Any, proof: ModelProof) -> OpenedModel:
    """Prepare a Keras model. If `model` is None, load the model from its file."""
    from padmask.verify.keras.backend import start_backend

    engine = start_backend(proof.backend, proof.device)
    from padmask.verify.keras.load import is_recurrent, load_model, masked_values
    from padmask.verify.keras.model_inputs import find_model_inputs

    if model is None:
        model = load_model(proof.model or "", proof.custom_objects, unsafe=proof.allow_unsafe)
    return OpenedModel(
        lambda roles: {slot.name: slot.kind for slot in find_model_inputs(model, roles)},
        lambda spec, rows, roles: report_on_model(model, spec, rows, engine, roles),
        lambda spec, sample, data: report_on_packed(model, spec, sample, data, engine),
        is_recurrent(model),
        masked_values(model),
    )


def _open_torch(model: Any, proof: ModelProof) -> OpenedModel:
    from padmask.verify.torch.name_inputs import name_inputs
    from padmask.verify.torch.signature import Signature

    for option, given in (("--backend", proof.backend), ("--custom-objects", proof.custom_objects)):
        if given is not None:
            raise SpecError(
                f"{option} applies to Keras models, but --model {proof.model} is a PyTorch module. Remove "
                f"{option}.",
                options=[option.removeprefix("--").replace("-", "_")],
            )
    named = name_inputs(model, [*proof.inputs, *proof.kinds])
    return OpenedModel(
        lambda roles: Signature.of(named).find_roles(roles),
        lambda spec, rows, roles: report_on_torch_model(named, spec, rows, proof.device, roles),
        lambda spec, sample, data: report_on_packed(named, spec, sample, data, device=proof.device),
    )


def _load_program(path: str) -> Any:
    if find_spec("torch") is None:
        raise MissingExtraError(
            f"{path} is a PyTorch program, but PyTorch is not installed. Install it with: pip install "
            "'padmask[torch]'",
            options=["model"],
        )
    from padmask.verify.torch.load import load_program

    return load_program(path)
