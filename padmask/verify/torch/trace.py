"""Find the module that causes a leak, by comparing two recorded runs of a PyTorch module."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch

from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.traced import MOST_HARMLESS, Traced
from padmask.verify.proof.verify_subject import Verification
from padmask.verify.report import LayerReport
from padmask.verify.torch.advice import Leak, advise_on_leak
from padmask.verify.torch.attention import describe_attention
from padmask.verify.torch.program import find_exported_module
from padmask.verify.torch.record import Call, tensors_in
from padmask.verify.torch.torch_model import TorchModel
from padmask.verify.torch.two_runs import ComparedRuns, choose_two_batches

# Functions that change the shape of their input, but no values.
_SHAPE_CHANGES = ("view", "reshape", "flatten", "unflatten", "transpose", "permute", "movedim", "contiguous")


def find_leaking_module(model: TorchModel, verification: Verification) -> Traced:
    """Find the first module in which padding changes real positions, and the function that causes this.

    Args:
        model: verified module.
        verification: result of the checks.

    Returns:
        The result of the search. If the verdict of the checks is not `"leaks"`, only `layers` is set.
    """
    failed = {check.name for check in verification.report.checks if check.verdict == "fails"}
    if failed == {"empty-rows"}:
        return Traced(
            remark="padding changes only the outputs of rows without tokens: drop such rows, or ignore their "
            "outputs"
        )
    if isinstance(model.module, torch.jit.ScriptModule):
        return Traced(
            remark="the calls inside a TorchScript program are unknown. To find the cause of a leak, verify "
            "the module from which the program was made"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runs = ComparedRuns(model, choose_two_batches(model, verification))
            layers = _describe_layers(model, runs)
            if verification.report.verdict != "leaks":
                return Traced(layers=layers)
            return _find(model, verification, runs, layers)
    except CannotRunError as error:
        return Traced(remark=f"the search for the module that causes the leak failed: {error}")


def _find(
    model: TorchModel, verification: Verification, runs: ComparedRuns, layers: Sequence[LayerReport]
) -> Traced:
    """Find the innermost call through which padding changes the outputs of the model.

    Calls inside a module are compared only if the module's own outputs differ. Without this rule, the result
    could be a call inside a module that reads padding but masks it later.
    """
    outer = _search(model, runs)
    if outer is not None and outer[1].name in _SHAPE_CHANGES and runs.compare_blocks():
        # The input of this call depends on padding already, but has several values for each position.
        outer = _search(model, runs) or outer
    if outer is None:
        return Traced(
            remark="padding does not change the output of any single call inside the model", layers=layers
        )
    if outer[0].module is model.module and _first_difference(runs, outer[1]) is not None:
        return Traced(
            remark="many calls inside the model depend on padding, but none of them alone changes the "
            "outputs of the model",
            layers=layers,
        )
    return _describe(model, verification, runs, outer, layers)


def _search(model: TorchModel, runs: ComparedRuns) -> tuple[Call, Call] | None:
    """Return the innermost call through which padding changes the outputs of the model.

    Returns:
        The call in the run with less padding and in the run with more padding; None if there is none.
    """
    outer: tuple[Call, Call] | None = None
    for _ in range(MOST_HARMLESS):
        first = _first_difference(runs, outer[1] if outer is not None else None)
        if first is None:
            break
        if first[0].module is not model.module and not runs.is_harmful(*first):
            continue
        outer = first
        if first[1].module is None:
            break
    return outer


def _first_difference(runs: ComparedRuns, outer: Call | None) -> tuple[Call, Call] | None:
    """Return the first call inside `outer` whose outputs differ.

    If `outer` is None, only the outermost call is compared.
    """
    return next(
        (
            pair
            for pair in runs.pairs()
            # padmask's own calls, which make the inputs, are outside the outermost module.
            if pair[1].parent is outer
            and (outer is not None or pair[1].module is not None)
            and (runs.deviation(*pair) or 0.0) > runs.limit
        ),
        None,
    )


def _describe(
    model: TorchModel,
    verification: Verification,
    runs: ComparedRuns,
    leak: tuple[Call, Call],
    layers: Sequence[LayerReport],
) -> Traced:
    few, many = leak
    owner = many.owner
    padding = verification.setup.sample.padding
    earlier = sum(call.name == many.name and call.number < many.number for call in runs.many)
    exported = find_exported_module(model.module, many.name, earlier)
    name, kind = exported or (owner.name or type(owner.module).__name__, type(owner.module).__name__)
    found = Leak(
        function="" if many.module is not None else many.name,
        kind=kind,
        is_torch=type(owner.module).__module__.startswith("torch.nn"),
        padding=padding,
        is_position=not runs.reads_tokens(many),
        has_mask=model.has_explicit_mask,
        attention=describe_attention(few, many, padding),
        strided=_is_strided(owner),
        takes_positions=model.signature.takes_positions,
        time_first=getattr(owner.module, "batch_first", None) is False,
        is_slice=_is_slice(many),
        is_joined=many.module is None and runs.is_joined(few, many),
    )
    where = ", ".join(part for part in (found.function, "" if exported else many.line) if part)
    before = _last_equal_module(runs, few)
    path = f"{before} -> {name}" if before else name
    return Traced(name, f"{path} ({where})" if where else path, advise_on_leak(found), layers=layers)


def _is_strided(call: Call) -> bool:
    return bool(getattr(call.module, "stride", 1) not in (1, (1,), (1, 1)))


def _is_slice(call: Call) -> bool:
    """Return whether the output has as many axes as the first argument, and no axis shrinks to size 1."""
    given = call.argument(0, "input")
    if not isinstance(given, torch.Tensor) or not call.outputs:
        return False
    before, after = given.shape, call.outputs[0].shape
    return len(before) == len(after) and all(
        new > 1 or old == 1 for old, new in zip(before, after, strict=True)
    )


def _last_equal_module(runs: ComparedRuns, leak: Call) -> str:
    """Return the name of the last module that finishes before a call and does not contain the call."""
    around = leak.path
    names = [
        call.name
        for call in runs.few
        if call.module is not None and call.number < leak.number and call.name and call.name not in around
    ]
    return names[-1] if names else ""


def _describe_layers(model: TorchModel, runs: ComparedRuns) -> list[LayerReport]:
    layers = []
    for few, many in runs.pairs():
        if many.module is None or many.module is model.module:
            continue
        masks = [value for name, value in many.arguments if "mask" in name and tensors_in(value)]
        layers.append(
            LayerReport(many.name, type(many.module).__name__, bool(masks), None, runs.difference(few, many))
        )
    return layers
