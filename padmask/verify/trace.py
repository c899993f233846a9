"""Where a mask was lost: a walk over a Keras model while it runs, with and without padding.

Evidence: the first layer or operation whose inputs agree at real places and whose output does not is
where padding enters. Structure: if that one can use a mask and got none, the walk goes back to where
the mask was last seen. Imported after `backend.start`. Knows nothing of files or reports' forms.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras.src import backend as keras_backend
from keras.src.ops.operation import Operation

from padmask.verify import checks
from padmask.verify.checks import CannotRunError, Outputs
from padmask.verify.loaded import UserModel, in_double
from padmask.verify.proof import Proof
from padmask.verify.remedies import advise
from padmask.verify.report import LayerReport
from padmask.verify.sample import Batch

Array = npt.NDArray[Any]
# A leak so many times its tolerance is plain.
PLAIN = 100.0
# Cuts an array of the padded run, and the one of the reference, to their real places.
Crop = Callable[[Array, Array], tuple[Array | None, Array | None]]


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


@dataclass(eq=False)
class _Event:
    """One call of a layer or operation, with everything that came in and went out."""

    operation: Any
    name: str
    parent: _Event | None
    inputs: list[tuple[str, Any]]
    masks_in: list[Array | None]
    given: dict[str, Any] = field(default_factory=dict)
    masks_after: list[Array | None] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    masks_out: list[Array | None] = field(default_factory=list)
    children: list[_Event] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return type(self.operation).__name__

    @property
    def opens(self) -> bool:
        """Whether what happens inside is looked at: in models and people's own layers, not in Keras's."""
        if isinstance(self.operation, keras.Model):
            return True
        return isinstance(self.operation, keras.Layer) and not _is_keras(self.operation)

    @property
    def takes_mask(self) -> bool:
        with suppress(ValueError, TypeError):
            return any("mask" in name for name in inspect.signature(self.operation.call).parameters)
        return False


def _is_keras(operation: Any) -> bool:
    return type(operation).__module__.split(".")[0] == "keras"


def _array(tensor: Any) -> Array:
    if "bfloat16" in str(tensor.dtype):
        tensor = keras.ops.cast(tensor, "float32")
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _mask_of(tensor: Any) -> Array | None:
    mask = keras_backend.get_keras_mask(tensor)
    return None if mask is None else _array(mask)


def _is_real(mask: Any) -> bool:
    """Whether a mask says of anything that it is padding; one that says so of nothing is none."""
    return mask is not None and not bool(np.all(_array(mask) if keras.ops.is_tensor(mask) else mask))


class _Recorder:
    """Remembers every call while a model runs."""

    def __init__(self) -> None:
        self.events: list[_Event] = []
        self._stack: list[_Event] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Put ears on Keras's layers and operations."""
        layer_call, operation_call = keras.Layer.__call__, Operation.__call__
        recorder = self

        def heard_layer(layer: Any, *arguments: Any, **named: Any) -> Any:
            if not recorder._hears():
                return layer_call(layer, *arguments, **named)
            return recorder._record(layer, layer_call, arguments, named)

        def heard_operation(operation: Any, *arguments: Any, **named: Any) -> Any:
            if isinstance(operation, keras.Layer):
                # The layer's own ears are on; here it is seen which masks it was really given.
                if recorder._stack and recorder._stack[-1].operation is operation:
                    recorder._stack[-1].given = {k: v for k, v in named.items() if "mask" in k}
                return operation_call(operation, *arguments, **named)
            if not recorder._hears():
                return operation_call(operation, *arguments, **named)
            return recorder._record(operation, operation_call, arguments, named)

        keras.Layer.__call__, Operation.__call__ = heard_layer, heard_operation
        try:
            yield
        finally:
            keras.Layer.__call__, Operation.__call__ = layer_call, operation_call

    def _hears(self) -> bool:
        return not self._stack or self._stack[-1].opens

    def _record(self, operation: Any, call: Any, arguments: Any, named: dict[str, Any]) -> Any:
        parent = self._stack[-1] if self._stack else None
        # The model's own name is no part of a path.
        above = f"{parent.name}/" if parent is not None and parent.parent is not None else ""
        tensors = _tensors(operation, arguments, named)
        event = _Event(
            operation, above + operation.name, parent, tensors, [_mask_of(tensor) for _, tensor in tensors]
        )
        if not isinstance(operation, keras.Layer):
            event.given = {k: v for k, v in named.items() if "mask" in k}
        self.events.append(event)
        if parent is not None:
            parent.children.append(event)
        self._stack.append(event)
        try:
            outputs = call(operation, *arguments, **named)
        finally:
            self._stack.pop()
        event.masks_after = [_mask_of(tensor) for _, tensor in tensors]
        event.outputs = [output for output in keras.tree.flatten(outputs) if keras.ops.is_tensor(output)]
        event.masks_out = [_mask_of(output) for output in event.outputs]
        return outputs


def _tensors(operation: Any, arguments: Any, named: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the tensors that a call is given, masks aside, with the names of their arguments."""
    with suppress(ValueError, TypeError):
        bound = inspect.signature(operation.call).bind_partial(*arguments, **named)
        named = dict(bound.arguments)
        arguments = ()
    found = []
    for name, value in [*enumerate(arguments), *named.items()]:
        if "mask" in str(name):
            continue
        found += [(str(name), x) for x in keras.tree.flatten(value) if keras.ops.is_tensor(x)]
    return found


# --- two runs, side by side -------------------------------------------------------------------


@dataclass
class _Runs:
    """The same model run twice, and how its tensors compare.

    Args:
        reference: events of the run without padding.
        padded: events of the run with it.
        crop: to the real places.
        limit: up to which share of its size a tensor agrees.
        places: of the inputs, where both runs have the same.
    """

    reference: list[_Event]
    padded: list[_Event]
    crop: Crop
    limit: float
    places: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.partner = _pair(self.reference, self.padded)
        self.maker: dict[int, _Event] = {}
        # Innermost first: what a layer inside made is not made by the model around it.
        for event in reversed(self.padded):
            for output in event.outputs:
                self.maker.setdefault(id(output), event)
        self._deviations: dict[int, float | None] = {}

    def deviation(self, event: _Event) -> float | None:
        """Return how far an event's outputs lie apart at real places; None where nothing can be compared."""
        key = id(event)
        if key not in self._deviations:
            partner = self.partner.get(event)
            self._deviations[key] = (
                None if partner is None else self._apart(partner.outputs, event.outputs)[0]
            )
        return self._deviations[key]

    def differs(self, event: _Event) -> bool:
        """Whether an event's outputs differ though its inputs agree: padding enters here."""
        partner = self.partner.get(event)
        if partner is None or all(_is_bool(output) for output in event.outputs):
            return False
        if self._apart([x for _, x in partner.inputs], [x for _, x in event.inputs])[1]:
            return False
        return self._apart(partner.outputs, event.outputs)[1]

    def varies(self, event: _Event, place: int) -> bool:
        """Whether an input has steps: its size changes with the padding, or it could carry a mask."""
        partner = self.partner.get(event)
        tensor = event.inputs[place][1]
        if partner is None or place >= len(partner.inputs):
            return len(tensor.shape) > 1
        if self.places:
            return len(tensor.shape) > 1 and tensor.shape[1] in self.places
        return (
            tuple(partner.inputs[place][1].shape) != tuple(tensor.shape) or event.masks_in[place] is not None
        )

    def _apart(self, ones: Sequence[Any], others: Sequence[Any]) -> tuple[float | None, bool]:
        largest, beyond, compared = 0.0, False, False
        for one, other in zip(ones, others, strict=False):
            first, second = self.crop(_array(one), _array(other))
            if first is not None and first.size == 0:
                continue
            compared = True
            apart = float("inf") if first is None else checks.difference(first, second)
            largest = max(largest, apart)
            beyond |= first is None or apart > self.limit * checks.scale_of(first)
        return (largest if compared else None), beyond


def _is_bool(tensor: Any) -> bool:
    return "bool" in str(tensor.dtype)


def _pair(reference: Sequence[_Event], padded: Sequence[_Event]) -> dict[_Event, _Event]:
    """Match the calls of two runs: by name, and by how often that name was called before."""
    waiting: dict[str, list[_Event]] = {}
    for event in reference:
        waiting.setdefault(event.name, []).append(event)
    return {event: waiting[event.name].pop(0) for event in padded if waiting.get(event.name)}


def _crop_to_reference(padding: str) -> Crop:
    """The reference has no padding: its sizes are those of the real places."""

    def crop(one: Array, other: Array) -> tuple[Array | None, Array | None]:
        cut = checks.crop(other, one.shape, "pre" if padding == "pre" else "post")
        return (None, None) if cut is None else (one, cut)

    return crop


def _crop_to_length(padding: str, places: set[int], length: int) -> Crop:
    """Both runs have the same sizes: axes as long as the input are cut to the row's length."""

    def crop(one: Array, other: Array) -> tuple[Array | None, Array | None]:
        if one.shape != other.shape:
            return None, None
        part = slice(None, length) if padding == "post" else slice(-length, None)
        cut = tuple(part if size in places else slice(None) for size in one.shape)
        return one[cut], other[cut]

    return crop


def _crop_to_nothing(one: Array, other: Array) -> tuple[Array | None, Array | None]:
    """A row without a token has no real places: only what does not grow with the padding counts."""
    if one.shape != other.shape:
        return one[:0], other[:0]
    return one, other


# --- the walk ---------------------------------------------------------------------------------


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
            runs = _runs(user, proof, value)
    except CannotRunError as error:
        return Traced(remark=f"the layer to blame could not be looked for: {error}")
    layers = [
        LayerReport(
            event.name,
            event.kind,
            any(_is_real(mask) for mask in event.masks_in) or _any_given(event),
            any(_is_real(mask) for mask in event.masks_out),
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
    if runs.crop is _crop_to_nothing:
        culprit, reason = _attends_to_nothing(runs, enters), "empty"
    remark = _structure_says(runs, culprit, enters)
    return Traced(
        culprit.name,
        _path(runs, culprit, enters, reason),
        advise(culprit.kind, reason, enters.kind, _is_keras(culprit.operation)),
        remark,
        layers,
    )


def _runs(user: UserModel, proof: Proof, value: Any) -> _Runs:
    """Run the model as it is where the leak is plain; in double precision where rounding might hide it."""
    deviations = [
        (check.max_abs_diff or 0.0) / (check.tolerance or 1.0)
        for check in proof.report.checks
        if check.verdict == "fails"
    ]
    if user.dtype == "float32" and max(deviations, default=0.0) > PLAIN:
        return _two_runs(user, proof, value, checks.LIMITS["float32"])
    sample = proof.bench.probe if len(proof.bench.probe) else proof.bench.sample
    with in_double(user, sample) as double:
        return _two_runs(user, proof, value, checks.LIMITS["float64" if double else "float32"])


def _any_given(event: _Event) -> bool:
    return any(_is_real(mask) for mask in keras.tree.flatten(list(event.given.values())) if mask is not None)


def _two_runs(user: UserModel, proof: Proof, value: Any, limit: float) -> _Runs:
    """Run the model without and with padding, on the row and the padding that show most."""
    bench = proof.bench
    failed = {check.name for check in proof.report.checks if check.verdict == "fails"}
    padding = bench.sample.padding
    if bench.sample.is_fixed:
        return _fixed_runs(user, proof, value, limit)
    if failed == {"empty-rows"}:
        nothing = bench.sample.empty(1)
        few, many = (nothing.padded(places) for places in checks.EMPTY_PLACES[::2])
        return _Runs(_record(user, few), _record(user, many), _crop_to_nothing, limit)
    if bench.interact:
        same = bench.probe.select([len(bench.probe) // 2] * 4).refilled(7)
        return _Runs(
            _record(user, same.padded()),
            _record(user, same.padded(checks.MORE[-1])),
            _crop_to_reference(padding),
            limit,
        )
    row, more = _worst_row(user, proof)
    one = bench.probe.select([row])
    return _Runs(
        _record(user, one.padded()), _record(user, one.padded(more)), _crop_to_reference(padding), limit
    )


def _fixed_runs(user: UserModel, proof: Proof, value: Any, limit: float) -> _Runs:
    sample = proof.bench.sample
    lengths = next(iter(sample.lengths().values()))
    places = set(sample.places().values())
    row = int(np.argmax(np.where(lengths < max(places), lengths, -1)))
    one = sample.select([row])
    batch = one.padded()
    reference = _record(user, batch)
    events: list[_Event] = []

    def run(given: Batch) -> Outputs:
        events.extend(_record(user, given))
        return {}

    other = user.with_other_content(value, run)
    if other is None:
        raise CannotRunError("its padded places cannot be given other content")
    other(batch)
    crop = _crop_to_length(sample.padding, places, int(lengths[row]))
    return _Runs(reference, events, crop, limit, frozenset(places))


def _record(user: UserModel, batch: Batch) -> list[_Event]:
    recorder = _Recorder()
    with recorder.listening():
        user.eagerly(batch)
    return recorder.events


def _worst_row(user: UserModel, proof: Proof) -> tuple[int, int]:
    """Return the row, and the places of padding, at which the outputs stray most."""
    bench = proof.bench
    worst, found = -1.0, (0, bench.more[-1])
    for row in range(len(bench.probe)):
        one = bench.probe.select([row])
        alone = user.predict(one.padded())
        for more in bench.more[1:]:
            with suppress(CannotRunError):
                outputs = user.predict(one.padded(more))
                judged = checks.share_apart(alone, outputs, bench.sample.padding)
                if judged > worst * 1.01:
                    worst, found = judged, (row, more)
    return found


def _where_padding_enters(runs: _Runs) -> _Event | None:
    """Return the first call whose inputs agree and whose output does not, the innermost there is."""
    for event in (event for event in runs.padded if event.parent is None):
        found = _enters_within(runs, event)
        if found is not None:
            return found
    return None


def _enters_within(runs: _Runs, event: _Event) -> _Event | None:
    for child in event.children:
        found = _enters_within(runs, child)
        if found is not None:
            return found
    # Nothing inside is to blame: then what the call does itself.
    return event if runs.differs(event) else None


def _who_is_to_blame(runs: _Runs, enters: _Event, *, by_hand: bool) -> tuple[_Event, str]:
    """Go back from where padding enters to where the mask was lost.

    Args:
        runs: the two runs.
        enters: where padding enters.
        by_hand: whether the model hands masks over itself: then no layer should have made one.

    Returns:
        The call to blame, and why: `"mixes"`, `"not-handed-over"`, `"lost"`, `"stripped"`, `"all-true"`,
        `"never-made"` or `"ignored"`.
    """
    if not enters.takes_mask:
        return enters, "mixes"
    needed = _without_mask(runs, enters)
    if not needed:
        return enters, "ignored"
    if any(_is_real(enters.masks_in[place]) for place in needed):
        return enters, "not-handed-over"
    for place in needed:
        found = _go_back(runs, enters, place, set())
        if found is not None:
            return found
    if by_hand:
        return enters, "never-made"
    return _first_maker(runs, enters, needed[0]), "never-made"


def _masked_by_hand(event: _Event) -> bool:
    return _any_given(event) and not any(_is_real(mask) for mask in event.masks_in)


def _attends_to_nothing(runs: _Runs, enters: _Event) -> _Event:
    """Of a row without a token: return the last layer before that mixes its steps, though all are masked."""
    before = [event for event in _chain(runs, enters) if event.takes_mask or "Attention" in event.kind]
    mixing = [event for event in runs.padded if "Attention" in event.kind and event.parent is not None]
    return enters if enters.takes_mask else (before or mixing or [enters])[-1]


def _without_mask(runs: _Runs, event: _Event) -> list[int]:
    """Return the places of the inputs with steps for which no mask was given."""
    if any(_is_real(mask) for name, mask in event.given.items() if name == "attention_mask"):
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
        if not any(_is_real(mask) for mask in keras.tree.flatten(own) if mask is not None):
            needed.append(place)
    return needed


def _go_back(runs: _Runs, event: _Event, place: int, seen: set[int]) -> tuple[_Event, str] | None:
    """Follow an unmasked input back to where its mask was lost; None where there never was one."""
    tensor = event.inputs[place][1]
    maker = runs.maker.get(id(tensor))
    if maker is None or maker is event:
        return _go_out(runs, event, tensor, seen)
    if id(maker) in seen:
        return None
    seen.add(id(maker))
    output = next(i for i, made in enumerate(maker.outputs) if made is tensor)
    if _is_real(maker.masks_out[output]):
        # It had a mask when it was made: somebody took it away since.
        return _stripper(runs, tensor) or (event, "not-handed-over")
    for other in range(len(maker.inputs)):
        # Where it merges branches, the one without a mask may have lost it before.
        if runs.varies(maker, other) and not _is_real(maker.masks_in[other]):
            found = _go_back(runs, maker, other, seen)
            if found is not None:
                return found
    had = any(_is_real(mask) for mask in maker.masks_in)
    made_inside = any(_is_real(mask) for child in maker.children for mask in child.masks_out)
    if had or made_inside:
        lost = "all-true" if maker.masks_out[output] is not None else "lost"
        return _inside(runs, maker) or (maker, lost)
    return (maker, "all-true") if maker.masks_out[output] is not None else None


def _go_out(runs: _Runs, event: _Event, tensor: Any, seen: set[int]) -> tuple[_Event, str] | None:
    """An input that no call made is one of the enclosing layer's, or comes from plain operations in it."""
    parent = event.parent
    if parent is None or id(parent) in seen:
        return None
    own = [place for place, (_, given) in enumerate(parent.inputs) if given is tensor]
    is_graph = getattr(parent.operation, "_functional", None) or hasattr(parent.operation, "operations")
    if not own and not is_graph:
        before = parent.children[: _place(parent, event)]
        if any(_is_real(mask) for mask in parent.masks_in) or any(
            _is_real(mask) for child in before for mask in child.masks_out
        ):
            return parent, "lost"
    seen.add(id(parent))
    for place in own or range(len(parent.inputs)):
        if runs.varies(parent, place):
            found = _go_back(runs, parent, place, seen)
            if found is not None:
                return found
    return None


def _place(parent: _Event, event: _Event) -> int:
    return next(i for i, child in enumerate(parent.children) if child is event)


def _inside(runs: _Runs, maker: _Event) -> tuple[_Event, str] | None:
    """Look into a model or a layer of somebody's own for the call that lost the mask."""
    for child in maker.children:
        had = any(_is_real(mask) for mask in child.masks_in)
        if had and child.masks_out and not any(_is_real(mask) for mask in child.masks_out):
            return _inside(runs, child) or (child, "lost")
    return None


def _stripper(runs: _Runs, tensor: Any) -> tuple[_Event, str] | None:
    """Return the innermost call during which a tensor's own mask was taken away."""
    found = None
    for event in runs.padded:
        for (_, given), before, after in zip(event.inputs, event.masks_in, event.masks_after, strict=True):
            if given is tensor and _is_real(before) and not _is_real(after):
                found = event
    return None if found is None else (found, "stripped")


def _first_maker(runs: _Runs, event: _Event, place: int) -> _Event:
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


def _embedding_beside(event: _Event) -> _Event | None:
    """Where plain operations hide the way, the first embedding in the same call."""
    parent = event.parent
    beside = parent.children if parent is not None else []
    return next((child for child in beside if "Embedding" in child.kind), None)


def _structure_says(runs: _Runs, culprit: _Event, enters: _Event) -> str:
    """Say where the masks alone point, if elsewhere: the first call that had a mask and gave none on."""
    for event in runs.padded:
        if event is culprit:
            return ""
        if event.parent is None or event.opens or not isinstance(event.operation, keras.Layer):
            continue
        had = any(_is_real(mask) for mask in event.masks_in)
        steps = any(runs.varies(event, place) for place in range(len(event.inputs)))
        if had and steps and event.masks_out and event.masks_out[0] is None and _keeps_steps(event):
            return (
                ""
                if event is enters
                else f"by the masks alone {event.name} would be suspected, which loses one without harm"
            )
    return ""


def _keeps_steps(event: _Event) -> bool:
    """Whether the output still has the steps of an input, so that it should carry a mask."""
    sizes = {tensor.shape[1] for _, tensor in event.inputs if len(tensor.shape) > 1}
    return any(len(output.shape) > 2 and output.shape[1] in sizes for output in event.outputs)


LABELS = {
    "mixes": "padding enters here",
    "ignored": "padding enters here, in spite of the mask",
    "not-handed-over": "the mask is not handed over here",
    "lost": "mask lost here",
    "stripped": "takes the mask off its own inputs here",
    "all-true": "mask all true from here",
    "never-made": "no mask is made here",
    "empty": "mixes a row without a token",
}


def _path(runs: _Runs, culprit: _Event, enters: _Event, reason: str) -> str:
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


def _chain(runs: _Runs, event: _Event) -> list[_Event]:
    """Return the calls that lead to an event, the first one first."""
    chain: list[_Event] = []
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
