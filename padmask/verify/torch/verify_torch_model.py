"""Verify a PyTorch module: choose rows, run the checks, and find the module that causes a leak."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from padmask.errors import ModelError
from padmask.spec.verify import ModelSpec
from padmask.verify.proof.deviations import relative_difference
from padmask.verify.proof.given_rows import check_rows
from padmask.verify.proof.random_rows import choose_random_rows, take_sample
from padmask.verify.proof.sample import ModelBatch, Sample, SampleRows
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.tolerance import LIMITS
from padmask.verify.proof.verify_subject import Verification, describe_run, verify_subject
from padmask.verify.report import SubjectReport
from padmask.verify.torch.device import choose_device, full_precision
from padmask.verify.torch.signature import Signature, unwrap
from padmask.verify.torch.torch_model import TorchModel
from padmask.verify.torch.trace import find_leaking_module
from padmask.verify.torch.wrappers import advise_on_wrapper

_NO_CACHE = (
    "The module drops its mask when it returns a cache, which is the default. Pass use_cache=False, or set "
    "config.use_cache = False. The module then ignores padding."
)


def open_torch_model(
    module: torch.nn.Module,
    spec: ModelSpec,
    rows: SampleRows | None = None,
    device: str | None = None,
    roles: Mapping[str, str] | None = None,
) -> TorchModel:
    """Find the inputs and outputs of a module, and move the module to a device.

    Args:
        module: module to verify.
        spec: options of the verification.
        rows: real tokens of each row, keyed by input name.
        device: `"auto"`, `"cpu"` or `"gpu"`. If None, the module stays on its device.
        roles: kinds of inputs that the user specified, keyed by input name.

    Raises:
        SpecError: the module has no input with a time axis, or there is no GPU.
        ModelError: the module cannot run on any of the tried shapes.
    """
    chosen = choose_device(device, module)
    if device is not None:
        module = module.to(chosen.name)
    try:
        return TorchModel(module, chosen, spec.batch_size, roles, rows)
    except CannotRunError as error:
        raise _as_model_error(module, spec, error, Signature.of(module)) from None


def verify_torch_model(
    model: TorchModel, spec: ModelSpec, rows: SampleRows | None = None
) -> tuple[SubjectReport, dict[str, Any]]:
    """Verify a PyTorch module on given rows or on random rows.

    Args:
        model: module to verify.
        spec: options of the verification.
        rows: real tokens of each row, keyed by input name. If None, random rows are generated.

    Returns:
        The report on the module, and entries about the module for `Report.environment`.

    Raises:
        SpecError: the rows do not match the inputs of the module.
        ModelError: the module cannot run on the rows.
    """
    value = spec.value if spec.value is not None else (model.pad_value or 0)
    with model.restore_afterwards(), full_precision():
        sample = _choose_sample(model, spec, value, rows)
        verification = _run_checks(model, spec, sample)
        others = model.with_other_masks() if verification.report.verdict == "leaks" else []
        for twin in others:
            with suppress(ModelError):
                other = _run_checks(twin, spec, sample)
                if other.report.verdict == "ignores":
                    model, verification = twin, other
                    break
        report = _trace(model, spec, verification)
        if report.verdict == "leaks" and _needs_no_cache(model, spec, verification):
            report = replace(report, advice=_NO_CACHE)
    report = replace(report, detail="; ".join(part for part in (model.remark, report.detail) if part))
    return report, describe_run(model.slots, sample, spec, value, "float32", model.left_out)


def _run_checks(model: TorchModel, spec: ModelSpec, sample: Sample) -> Verification:
    subject, control = model.subject(spec.name, sample)
    try:
        return verify_subject(subject, control, sample, must_fail=False, far=True, empty=spec.empty_rows)
    except CannotRunError as error:
        raise _as_model_error(model.module, spec, error, model.signature) from None


def _as_model_error(
    module: torch.nn.Module, spec: ModelSpec, error: CannotRunError, signature: Signature
) -> ModelError:
    advice = advise_on_wrapper(
        unwrap(module), error, signature.required, one_argument=signature.takes_one_argument
    )
    message = f"{spec.name}: {error} {advice}"
    return ModelError(message.rstrip(), options=error.options)


def _needs_no_cache(model: TorchModel, spec: ModelSpec, verification: Verification) -> bool:
    """Return whether the module, which leaks, ignores padding if it is called with `use_cache=False`."""
    other, sample = model.without_cache(), verification.setup.sample
    if other is None:
        return False
    with suppress(CannotRunError, ModelError):
        # Most modules return the same outputs with a cache, so their checks need not run again.
        outputs = [one.predict(sample.padded()) for one in (model, other)]
        if relative_difference(outputs[0], outputs[1], sample.padding) <= LIMITS["float32"]:
            return False
        return _run_checks(other, spec, sample).report.verdict == "ignores"
    return False


def _trace(model: TorchModel, spec: ModelSpec, verification: Verification) -> SubjectReport:
    """Return the report, with a trace if the module leaks or the user requested a report on each module."""
    report = verification.report
    if report.verdict != "leaks" and not spec.explain:
        return report
    traced = find_leaking_module(model, verification)
    return replace(
        report,
        culprit=traced.culprit,
        path=traced.path,
        advice=traced.advice,
        detail="; ".join(part for part in (report.detail, traced.remark) if part),
        layers=traced.layers if spec.explain else (),
    )


def _choose_sample(model: TorchModel, spec: ModelSpec, value: Any, rows: SampleRows | None) -> Sample:
    if rows is not None:
        check_rows(model.slots, rows)
        return take_sample(model.slots, rows, spec, value)

    def can_run(batch: ModelBatch) -> bool:
        return _can_run(model, batch)

    return choose_random_rows(model.slots, spec, value, can_run, can_run)


def _can_run(model: TorchModel, batch: ModelBatch) -> bool:
    with suppress(CannotRunError):
        model.predict(batch)
        return True
    return False
