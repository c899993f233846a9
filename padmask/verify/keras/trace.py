"""Compare two runs of a model to find the layer that causes a leak."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np

from padmask.verify.keras.advice import advise_on_layer
from padmask.verify.keras.model_inputs import is_embedding
from padmask.verify.keras.record import Event, as_array, is_from_keras, marks_padding
from padmask.verify.keras.two_runs import Runs, run_twice
from padmask.verify.keras.user_model import UserModel
from padmask.verify.proof.crops import CropEmptyRow
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.tolerance import Array
from padmask.verify.proof.traced import MOST_HARMLESS, Traced
from padmask.verify.proof.verify_subject import Verification
from padmask.verify.report import LayerReport


def find_culprit(user: UserModel, verification: Verification) -> Traced:
    """Find the layer that causes a leak: the layer to fix so that padding does not change the outputs.

    Args:
        user: verified model.
        verification: result of the checks.

    Returns:
        The result of the search. If the verdict of the checks is not `"leaks"`, only `layers` is set.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runs = run_twice(user, verification)
    except CannotRunError as error:
        return Traced(remark=f"the search for the layer that causes the leak failed: {error}")
    layers = [
        LayerReport(
            event.name,
            event.kind,
            any(marks_padding(mask) for mask in event.masks_in) or _has_mask_argument(event),
            any(marks_padding(mask) for mask in event.masks_out),
            runs.deviation(event),
        )
        for event in runs.padded
        if event.parent is not None
    ]
    if verification.report.verdict != "leaks":
        return Traced(layers=layers)
    entry = _find_harmful_entry(runs)
    if entry is None:
        return Traced(remark="padding does not change the output of any single layer", layers=layers)
    explicit_masks = any(slot.kind in ("mask", "lengths") for slot in user.slots) or any(
        map(_gets_explicit_mask, runs.padded)
    )
    culprit, reason = _find_culprit_call(runs, entry, explicit_masks=explicit_masks)
    wrong_mask = _find_wrong_mask(runs, entry)
    if wrong_mask is not None:
        culprit, reason = wrong_mask, "wrong-mask"
    elif not runs.has_tokens(entry) or (
        culprit is entry and reason in ("mixes", "ignored") and runs.keeps_steps_apart(entry)
    ):
        from_start = verification.setup.sample.padding == "pre"
        culprit, reason = entry, "positions" if from_start else "positions-from-end"
    elif culprit is entry and reason == "mixes" and entry.has_fourier:
        reason = "fourier"
    if isinstance(runs.crop, CropEmptyRow):
        culprit, reason = _find_empty_row_culprit(runs, entry), "empty"
    remark = _describe_mask_suspect(runs, culprit, entry)
    return Traced(
        culprit.name,
        _describe_path(runs, culprit, entry, reason),
        advise_on_layer(
            culprit.kind,
            reason,
            entry.kind,
            is_from_keras(culprit.operation),
            isinstance(culprit.operation, keras.Layer),
        ),
        remark,
        layers,
    )


def _has_mask_argument(event: Event) -> bool:
    return any(
        marks_padding(mask)
        for mask in keras.tree.flatten(list(event.mask_arguments.values()))
        if mask is not None
    )


def _find_harmful_entry(runs: Runs) -> Event | None:
    """Return the first call through which padding changes the outputs of the model; None if there is none.

    Calls whose outputs depend on padding, but have no effect on the outputs of the model, are skipped.
    """
    for _ in range(MOST_HARMLESS):
        entry = _find_entry(runs)
        if entry is None or runs.is_harmful(entry):
            return entry
    return None


def _find_entry(runs: Runs) -> Event | None:
    """Compare two runs. Return the first call with equal inputs but different outputs.

    If such calls are nested, return the innermost call.
    """
    for event in (event for event in runs.padded if event.parent is None):
        found = _find_entry_within(runs, event)
        if found is not None:
            return found
    return None


def _find_entry_within(runs: Runs, event: Event) -> Event | None:
    for child in event.children:
        found = _find_entry_within(runs, child)
        if found is not None:
            return found
    # No inner call differs, so compare the call itself.
    return event if runs.differs(event) else None


def _find_culprit_call(runs: Runs, entry: Event, *, explicit_masks: bool) -> tuple[Event, str]:
    """Search backwards from `entry` for the call that drops the mask.

    Args:
        runs: recorded runs without and with padding.
        entry: first call whose outputs depend on padding.
        explicit_masks: whether the model passes masks as arguments. If so, no layer has to create a mask.

    Returns:
        The call to fix, and the reason, a key of `PATH_LABELS`.
    """
    if not entry.takes_mask:
        return entry, "mixes"
    needed = _find_inputs_without_mask(runs, entry)
    if not needed:
        return entry, "ignored"
    if any(marks_padding(entry.masks_in[index]) for index in needed):
        return entry, "not-handed-over"
    for index in needed:
        found = _follow_mask_back(runs, entry, index, set())
        if found is not None:
            return found
    if explicit_masks:
        return entry, "never-made"
    return _find_mask_source(runs, entry, needed[0]), "never-made"


def _find_wrong_mask(runs: Runs, entry: Event) -> Event | None:
    """Return the call that makes the mask of `entry`, if this mask excludes only a part of the padding.

    Return None if the mask excludes all or none of the padding, or if the call is unknown.
    """
    reference = runs.counterpart.get(entry)
    if reference is None or not runs.growth:
        return None
    for name, mask in entry.mask_arguments.items():
        own = reference.mask_arguments.get(name)
        if own is None or not (keras.ops.is_tensor(mask) and keras.ops.is_tensor(own)):
            continue
        padding = _keys_of_padding(as_array(mask), own.shape[-1], runs.from_start)
        if padding.size and padding.min() != padding.max():
            return _find_maker(runs, entry, as_array(mask))
    return None


def _find_maker(runs: Runs, entry: Event, mask: Array) -> Event | None:
    """Return the first layer call before `entry` that returns the array `mask`; None if there is none."""
    makers = [
        event
        for event in runs.padded[: runs.padded.index(entry)]
        if isinstance(event.operation, keras.Layer)
        and event is not entry.parent
        and any(
            tuple(output.shape) == mask.shape and np.array_equal(as_array(output), mask)
            for output in event.outputs
        )
    ]
    return makers[0] if makers else None


def _keys_of_padding(mask: Array, real: int, from_start: bool) -> Array:
    """Return the values of a mask at the padded keys of the only row with padding, for its real queries.

    Args:
        mask: mask of a batch: shape (rows, ..., keys). Only the first row (if `from_start` is True) or the
            last row has padding.
        real: number of real keys.
        from_start: whether the real keys come first.
    """
    row = mask[0] if from_start else mask[-1]
    if row.ndim > 1 and row.shape[-2] == row.shape[-1]:
        row = row[..., :real, :] if from_start else row[..., -real:, :]
    padding: Array = row[..., real:] if from_start else row[..., :-real]
    return padding


def _gets_explicit_mask(event: Event) -> bool:
    return _has_mask_argument(event) and not any(marks_padding(mask) for mask in event.masks_in)


def _find_empty_row_culprit(runs: Runs, entry: Event) -> Event:
    """Return the call to fix if padding changes only the outputs of rows without tokens."""
    before = [
        event for event in _find_calls_before(runs, entry) if event.takes_mask or "Attention" in event.kind
    ]
    mixing = [event for event in runs.padded if "Attention" in event.kind and event.parent is not None]
    return entry if entry.takes_mask else (before or mixing or [entry])[-1]


def _find_inputs_without_mask(runs: Runs, event: Event) -> list[int]:
    """Return the indices of the inputs of a call that need a mask but have none.

    Inputs with a time axis need a mask, except the queries of an attention layer.
    """
    if any(marks_padding(mask) for name, mask in event.mask_arguments.items() if name == "attention_mask"):
        return []
    names = [name for name, _ in event.inputs]
    is_mask_list = isinstance(event.mask_arguments.get("mask"), (list, tuple))
    needed = []
    for index, name in enumerate(names):
        if not runs.has_steps(event, index):
            continue
        if name == "query" and ("value" in names or "key" in names):
            # An attention layer needs masks only for its keys and values.
            continue
        masks = event.mask_arguments.get("mask")
        if is_mask_list:
            if len(names) > 1 and index == 0 and event.kind.endswith("Attention"):
                continue
            flat = list(masks or ())
            own = flat[index] if index < len(flat) else None
        else:
            own = event.mask_arguments.get(f"{name}_mask", masks)
        if not any(marks_padding(mask) for mask in keras.tree.flatten(own) if mask is not None):
            needed.append(index)
    return needed


def _follow_mask_back(runs: Runs, event: Event, index: int, seen: set[int]) -> tuple[Event, str] | None:
    """Return the call that dropped the mask of an input, and the reason; None if there was no mask."""
    tensor = event.inputs[index][1]
    producer = runs.producer.get(id(tensor))
    if producer is None or producer is event:
        return _follow_mask_into_parent(runs, event, tensor, seen)
    if id(producer) in seen:
        return None
    seen.add(id(producer))
    output = next(i for i, made in enumerate(producer.outputs) if made is tensor)
    if marks_padding(producer.masks_out[output]):
        # The producer returned the tensor with a mask, so a later call removed the mask.
        return _find_stripping_call(runs, tensor) or (event, "not-handed-over")
    for other in range(len(producer.inputs)):
        # If the producer merges branches, a branch without a mask may have lost its mask earlier.
        if runs.has_steps(producer, other) and not marks_padding(producer.masks_in[other]):
            found = _follow_mask_back(runs, producer, other, seen)
            if found is not None:
                return found
    had_mask = any(marks_padding(mask) for mask in producer.masks_in)
    made_inside = any(marks_padding(mask) for child in producer.children for mask in child.masks_out)
    if had_mask or made_inside:
        lost = "all-true" if producer.masks_out[output] is not None else "lost"
        return _find_culprit_inside(runs, producer) or (producer, lost)
    return (producer, "all-true") if producer.masks_out[output] is not None else None


def _follow_mask_into_parent(
    runs: Runs, event: Event, tensor: Any, seen: set[int]
) -> tuple[Event, str] | None:
    """Return the call that dropped the mask of an input of the enclosing model, and the reason."""
    parent = event.parent
    if parent is None or id(parent) in seen:
        return None
    own = [index for index, (_, given) in enumerate(parent.inputs) if given is tensor]
    is_graph = getattr(parent.operation, "_functional", None) or hasattr(parent.operation, "operations")
    if not own and not is_graph:
        before = parent.children[: _index_in_parent(parent, event)]
        if any(marks_padding(mask) for mask in parent.masks_in) or any(
            marks_padding(mask) for child in before for mask in child.masks_out
        ):
            return parent, "plain"
    seen.add(id(parent))
    for index in own or range(len(parent.inputs)):
        if runs.has_steps(parent, index):
            found = _follow_mask_back(runs, parent, index, seen)
            if found is not None:
                return found
    return None


def _index_in_parent(parent: Event, event: Event) -> int:
    return next(i for i, child in enumerate(parent.children) if child is event)


def _find_culprit_inside(runs: Runs, producer: Event) -> tuple[Event, str] | None:
    """Return the innermost call in `producer` that drops the mask, and the reason; None if no call does."""
    for child in producer.children:
        had_mask = any(marks_padding(mask) for mask in child.masks_in)
        if had_mask and child.masks_out and not any(marks_padding(mask) for mask in child.masks_out):
            return _find_culprit_inside(runs, child) or (child, "lost")
    return None


def _find_stripping_call(runs: Runs, tensor: Any) -> tuple[Event, str] | None:
    """Return the innermost call that deletes the mask of `tensor`, and the reason; None if no call does."""
    found = None
    for event in runs.padded:
        for (_, given), before, after in zip(event.inputs, event.masks_in, event.masks_after, strict=True):
            if given is tensor and marks_padding(before) and not marks_padding(after):
                found = event
    return None if found is None else (found, "stripped")


def _find_mask_source(runs: Runs, event: Event, index: int) -> Event:
    """Return the layer that should create the mask: an embedding or a Masking layer, else `event` itself."""
    tensor, user = event.inputs[index][1], event
    seen: set[int] = set()
    while True:
        producer = runs.producer.get(id(tensor))
        if producer is None or id(producer) in seen:
            embedding = _find_sibling_embedding(user)
            return embedding or event
        seen.add(id(producer))
        inner = _find_inner_embedding(producer)
        if inner is not None:
            return inner
        if "Embedding" in producer.kind or producer.kind == "Masking":
            return producer
        with_steps = [i for i in range(len(producer.inputs)) if runs.has_steps(producer, i)]
        if not with_steps:
            return event
        tensor, user = producer.inputs[with_steps[0]][1], producer


def _find_inner_embedding(event: Event) -> Event | None:
    """Return the call of the embedding that reads the ids inside a layer; None if there is none."""
    for child in event.children:
        inner = _find_inner_embedding(child)
        if inner is not None:
            return inner
        reads_ids = any(len(tensor.shape) > 1 for _, tensor in child.inputs)
        if is_embedding(child.operation) and reads_ids:
            return child
    return None


def _find_sibling_embedding(event: Event) -> Event | None:
    """Return the first embedding call in the model or layer that contains `event`; None if there is none.

    The output of the embedding may reach `event` through plain operations, such as `+`.
    """
    parent = event.parent
    siblings = parent.children if parent is not None else []
    return next((child for child in siblings if "Embedding" in child.kind), None)


def _describe_mask_suspect(runs: Runs, culprit: Event, entry: Event) -> str:
    """Describe a layer before `culprit` that also drops the mask, but without an effect on the outputs.

    Returns:
        A phrase for the report, or an empty string if there is no such layer before `culprit`.
    """
    for event in runs.padded:
        if event is culprit:
            return ""
        if event.parent is None or event.records_inner_calls or not isinstance(event.operation, keras.Layer):
            continue
        had_mask = any(marks_padding(mask) for mask in event.masks_in)
        has_steps = any(runs.has_steps(event, index) for index in range(len(event.inputs)))
        if had_mask and has_steps and event.masks_out and event.masks_out[0] is None and _keeps_steps(event):
            return (
                ""
                if event is entry
                else f"{event.name} also drops the mask, but this does not affect the outputs"
            )
    return ""


def _keeps_steps(event: Event) -> bool:
    """Return whether an output has as many time steps as an input. Such an output should have a mask."""
    sizes = {tensor.shape[1] for _, tensor in event.inputs if len(tensor.shape) > 1}
    return any(len(output.shape) > 2 and output.shape[1] in sizes for output in event.outputs)


PATH_LABELS = {
    "mixes": "output depends on padding",
    "ignored": "output depends on padding despite the mask",
    "not-handed-over": "receives no mask",
    "lost": "mask lost here",
    "plain": "mask lost here",
    "stripped": "deletes the mask of its input tensors",
    "all-true": "the mask is all True from this layer on",
    "never-made": "creates no mask",
    "positions": "positions depend on padding",
    "positions-from-end": "positions depend on padding",
    "fourier": "output depends on padding",
    "wrong-mask": "masks positions other than the padding",
    "empty": "output depends on padding in rows without tokens",
}


def _describe_path(runs: Runs, culprit: Event, entry: Event, reason: str) -> str:
    """Describe the layers from the input to `entry`, with labels at `culprit` and `entry`."""
    before = _find_calls_before(runs, culprit)
    calls = [*before, culprit]
    if entry is not culprit:
        between = _find_calls_before(runs, entry)
        after = between[between.index(culprit) + 1 :] if culprit in between else []
        calls += [*after, entry]
    parts = []
    for event in calls:
        mark = PATH_LABELS[reason] if event is culprit else PATH_LABELS["mixes"] if event is entry else ""
        parts.append(f"{event.name} ({mark})" if mark else event.name)
    return " -> ".join(parts)


def _find_calls_before(runs: Runs, event: Event) -> list[Event]:
    """Return the calls that lead to a call, in the order in which they ran.

    Each call of this chain returns an input of the next call. If a call has several inputs with a time axis,
    the chain continues only with the first of these inputs that is an output of another call.
    """
    chain: list[Event] = []
    while len(chain) < 40:
        producers = [
            (runs.producer.get(id(tensor)), index)
            for index, (_, tensor) in enumerate(event.inputs)
            if runs.has_steps(event, index)
        ]
        found = next(
            (producer for producer, _ in producers if producer is not None and producer is not event), None
        )
        if found is None or found in chain:
            break
        chain.insert(0, found)
        event = found
    return chain
