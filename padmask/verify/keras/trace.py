"""Find the layer that loses the mask, by comparing two runs of a model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from padmask.verify.keras.advice import layer_advice
from padmask.verify.keras.record import Event, is_keras, is_real
from padmask.verify.keras.two_runs import Runs, crop_to_nothing, run_twice
from padmask.verify.keras.user_model import UserModel
from padmask.verify.proof.checks import CannotRunError
from padmask.verify.proof.prove import Proof
from padmask.verify.report import LayerReport


@dataclass(frozen=True)
class Traced:
    """What the walk found.

    Args:
        culprit: the layer or operation to blame; None where it was not found.
        path: the way from the input through the culprit to where padding enters.
        advice: what to do.
        remark: what speaks against it.
        layers: every layer and operation that was seen.
    """

    culprit: str | None = None
    path: str | None = None
    advice: str | None = None
    remark: str = ""
    layers: Sequence[LayerReport] = ()


def find_culprit(user: UserModel, proof: Proof, value: Any) -> Traced:
    """Find the layer that loses the mask or lets padding in.

    Args:
        user: the model.
        proof: that found the leak, or did not; then only the layers are told.
        value: the pad value.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runs = run_twice(user, proof, value)
    except CannotRunError as error:
        return Traced(remark=f"the layer to blame could not be looked for: {error}")
    layers = [
        LayerReport(
            event.name,
            event.kind,
            any(is_real(mask) for mask in event.masks_in) or _any_given(event),
            any(is_real(mask) for mask in event.masks_out),
            runs.deviation(event),
        )
        for event in runs.padded
        if event.parent is not None
    ]
    if proof.report.verdict != "leaks":
        return Traced(layers=layers)
    enters = _where_padding_enters(runs)
    if enters is None:
        return Traced(
            remark="no layer was seen to let padding in when the model was run layer by layer", layers=layers
        )
    by_hand = any(slot.kind == "mask" for slot in user.slots) or any(map(_masked_by_hand, runs.padded))
    culprit, reason = _who_is_to_blame(runs, enters, by_hand=by_hand)
    if runs.crop is crop_to_nothing:
        culprit, reason = _attends_to_nothing(runs, enters), "empty"
    remark = _structure_says(runs, culprit, enters)
    return Traced(
        culprit.name,
        _path(runs, culprit, enters, reason),
        layer_advice(
            culprit.kind,
            reason,
            enters.kind,
            is_keras(culprit.operation),
            isinstance(culprit.operation, keras.Layer),
        ),
        remark,
        layers,
    )


def _any_given(event: Event) -> bool:
    return any(is_real(mask) for mask in keras.tree.flatten(list(event.given.values())) if mask is not None)


def _where_padding_enters(runs: Runs) -> Event | None:
    """Return the first call whose inputs agree and whose output does not, the innermost there is."""
    for event in (event for event in runs.padded if event.parent is None):
        found = _enters_within(runs, event)
        if found is not None:
            return found
    return None


def _enters_within(runs: Runs, event: Event) -> Event | None:
    for child in event.children:
        found = _enters_within(runs, child)
        if found is not None:
            return found
    # Nothing inside is to blame: then what the call does itself.
    return event if runs.differs(event) else None


def _who_is_to_blame(runs: Runs, enters: Event, *, by_hand: bool) -> tuple[Event, str]:
    """Go back from where padding enters to where the mask was lost.

    Args:
        runs: the two runs.
        enters: where padding enters.
        by_hand: whether the model hands masks over itself: then no layer should have made one.

    Returns:
        The call to blame, and why: `"mixes"`, `"not-handed-over"`, `"lost"`, `"plain"`, `"stripped"`,
        `"all-true"`, `"never-made"` or `"ignored"`.
    """
    if not enters.takes_mask:
        return enters, "mixes"
    needed = _without_mask(runs, enters)
    if not needed:
        return enters, "ignored"
    if any(is_real(enters.masks_in[place]) for place in needed):
        return enters, "not-handed-over"
    for place in needed:
        found = _go_back(runs, enters, place, set())
        if found is not None:
            return found
    if by_hand:
        return enters, "never-made"
    return _first_maker(runs, enters, needed[0]), "never-made"


def _masked_by_hand(event: Event) -> bool:
    return _any_given(event) and not any(is_real(mask) for mask in event.masks_in)


def _attends_to_nothing(runs: Runs, enters: Event) -> Event:
    """Of a row without a token: return the last layer before that mixes its steps, though all are masked."""
    before = [event for event in _chain(runs, enters) if event.takes_mask or "Attention" in event.kind]
    mixing = [event for event in runs.padded if "Attention" in event.kind and event.parent is not None]
    return enters if enters.takes_mask else (before or mixing or [enters])[-1]


def _without_mask(runs: Runs, event: Event) -> list[int]:
    """Return the places of the inputs with steps for which no mask was given."""
    if any(is_real(mask) for name, mask in event.given.items() if name == "attention_mask"):
        return []
    names = [name for name, _ in event.inputs]
    of_each = isinstance(event.given.get("mask"), (list, tuple))
    needed = []
    for place, name in enumerate(names):
        if not runs.varies(event, place):
            continue
        if name == "query" and ("value" in names or "key" in names):
            # It asks; what it attends to must be masked.
            continue
        masks = event.given.get("mask")
        if of_each:
            if len(names) > 1 and place == 0 and event.kind.endswith("Attention"):
                continue
            flat = list(masks or ())
            own = flat[place] if place < len(flat) else None
        else:
            own = event.given.get(f"{name}_mask", masks)
        if not any(is_real(mask) for mask in keras.tree.flatten(own) if mask is not None):
            needed.append(place)
    return needed


def _go_back(runs: Runs, event: Event, place: int, seen: set[int]) -> tuple[Event, str] | None:
    """Follow an unmasked input back to where its mask was lost; None where there never was one."""
    tensor = event.inputs[place][1]
    maker = runs.maker.get(id(tensor))
    if maker is None or maker is event:
        return _go_out(runs, event, tensor, seen)
    if id(maker) in seen:
        return None
    seen.add(id(maker))
    output = next(i for i, made in enumerate(maker.outputs) if made is tensor)
    if is_real(maker.masks_out[output]):
        # It had a mask when it was made: somebody took it away since.
        return _stripper(runs, tensor) or (event, "not-handed-over")
    for other in range(len(maker.inputs)):
        # Where it merges branches, the one without a mask may have lost it before.
        if runs.varies(maker, other) and not is_real(maker.masks_in[other]):
            found = _go_back(runs, maker, other, seen)
            if found is not None:
                return found
    had = any(is_real(mask) for mask in maker.masks_in)
    made_inside = any(is_real(mask) for child in maker.children for mask in child.masks_out)
    if had or made_inside:
        lost = "all-true" if maker.masks_out[output] is not None else "lost"
        return _inside(runs, maker) or (maker, lost)
    return (maker, "all-true") if maker.masks_out[output] is not None else None


def _go_out(runs: Runs, event: Event, tensor: Any, seen: set[int]) -> tuple[Event, str] | None:
    """An input that no call made is one of the enclosing layer's, or comes from plain operations in it."""
    parent = event.parent
    if parent is None or id(parent) in seen:
        return None
    own = [place for place, (_, given) in enumerate(parent.inputs) if given is tensor]
    is_graph = getattr(parent.operation, "_functional", None) or hasattr(parent.operation, "operations")
    if not own and not is_graph:
        before = parent.children[: _place(parent, event)]
        if any(is_real(mask) for mask in parent.masks_in) or any(
            is_real(mask) for child in before for mask in child.masks_out
        ):
            return parent, "plain"
    seen.add(id(parent))
    for place in own or range(len(parent.inputs)):
        if runs.varies(parent, place):
            found = _go_back(runs, parent, place, seen)
            if found is not None:
                return found
    return None


def _place(parent: Event, event: Event) -> int:
    return next(i for i, child in enumerate(parent.children) if child is event)


def _inside(runs: Runs, maker: Event) -> tuple[Event, str] | None:
    """Look into a model or a layer of somebody's own for the call that lost the mask."""
    for child in maker.children:
        had = any(is_real(mask) for mask in child.masks_in)
        if had and child.masks_out and not any(is_real(mask) for mask in child.masks_out):
            return _inside(runs, child) or (child, "lost")
    return None


def _stripper(runs: Runs, tensor: Any) -> tuple[Event, str] | None:
    """Return the innermost call during which a tensor's own mask was taken away."""
    found = None
    for event in runs.padded:
        for (_, given), before, after in zip(event.inputs, event.masks_in, event.masks_after, strict=True):
            if given is tensor and is_real(before) and not is_real(after):
                found = event
    return None if found is None else (found, "stripped")


def _first_maker(runs: Runs, event: Event, place: int) -> Event:
    """Return the layer that should have made the mask: the embedding, else who uses what has none."""
    tensor, user = event.inputs[place][1], event
    seen: set[int] = set()
    while True:
        maker = runs.maker.get(id(tensor))
        if maker is None or id(maker) in seen:
            maker = _embedding_beside(user)
            return maker or event
        seen.add(id(maker))
        if "Embedding" in maker.kind or maker.kind == "Masking":
            return maker
        varying = [i for i in range(len(maker.inputs)) if runs.varies(maker, i)]
        if not varying:
            return event
        tensor, user = maker.inputs[varying[0]][1], maker


def _embedding_beside(event: Event) -> Event | None:
    """Where plain operations hide the way, the first embedding in the same call."""
    parent = event.parent
    beside = parent.children if parent is not None else []
    return next((child for child in beside if "Embedding" in child.kind), None)


def _structure_says(runs: Runs, culprit: Event, enters: Event) -> str:
    """Say where the masks alone point, if elsewhere: the first call that had a mask and gave none on."""
    for event in runs.padded:
        if event is culprit:
            return ""
        if event.parent is None or event.opens or not isinstance(event.operation, keras.Layer):
            continue
        had = any(is_real(mask) for mask in event.masks_in)
        steps = any(runs.varies(event, place) for place in range(len(event.inputs)))
        if had and steps and event.masks_out and event.masks_out[0] is None and _keeps_steps(event):
            return (
                ""
                if event is enters
                else f"by the masks alone {event.name} would be suspected, which loses one without harm"
            )
    return ""


def _keeps_steps(event: Event) -> bool:
    """Whether the output still has the steps of an input, so that it should carry a mask."""
    sizes = {tensor.shape[1] for _, tensor in event.inputs if len(tensor.shape) > 1}
    return any(len(output.shape) > 2 and output.shape[1] in sizes for output in event.outputs)


LABELS = {
    "mixes": "padding enters here",
    "ignored": "padding enters here, in spite of the mask",
    "not-handed-over": "the mask is not handed over here",
    "lost": "mask lost here",
    "plain": "mask lost here",
    "stripped": "takes the mask off its own inputs here",
    "all-true": "mask all true from here",
    "never-made": "no mask is made here",
    "empty": "mixes a row without a token",
}


def _path(runs: Runs, culprit: Event, enters: Event, reason: str) -> str:
    """Write the way from the input to the end, the culprit and the entry marked."""
    before = _chain(runs, culprit)
    way = [*before, culprit]
    if enters is not culprit:
        between = _chain(runs, enters)
        after = between[between.index(culprit) + 1 :] if culprit in between else []
        way += [*after, enters]
    said = []
    for event in way:
        mark = LABELS[reason] if event is culprit else "padding enters here" if event is enters else ""
        said.append(f"{event.name} ({mark})" if mark else event.name)
    return " -> ".join(said)


def _chain(runs: Runs, event: Event) -> list[Event]:
    """Return the calls that lead to an event, the first one first."""
    chain: list[Event] = []
    while len(chain) < 40:
        makers = [
            (runs.maker.get(id(tensor)), place)
            for place, (_, tensor) in enumerate(event.inputs)
            if runs.varies(event, place)
        ]
        found = next((maker for maker, _ in makers if maker is not None and maker is not event), None)
        if found is None or found in chain:
            break
        chain.insert(0, found)
        event = found
    return chain
