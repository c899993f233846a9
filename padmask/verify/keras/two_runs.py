"""Run a Keras model twice, without and with padding, and compare its tensors call by call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from padmask.spec.pad import Side
from padmask.verify.keras.record import Event, Recorder, as_array
from padmask.verify.keras.user_model import UserModel, in_float64
from padmask.verify.proof.checks import EMPTY_PLACES, MORE, CannotRunError
from padmask.verify.proof.deviations import Outputs, crop, difference, scale_of, share_apart
from padmask.verify.proof.prove import Proof
from padmask.verify.proof.sample import ModelBatch
from padmask.verify.proof.tolerance import LIMITS, PRECISE, Array

# A leak so many times its tolerance is plain.
PLAIN = 100.0

# Cuts an array of the padded run, and the one of the reference, to their real places.
Crop = Callable[[Array, Array], tuple[Array | None, Array | None]]


@dataclass
class Runs:
    """The same model run twice, and how its tensors compare.

    Args:
        reference: events of the run without padding.
        padded: events of the run with it.
        crop: to the real places.
        limit: up to which share of its size a tensor agrees.
        places: of the inputs, where both runs have the same.
    """

    reference: list[Event]
    padded: list[Event]
    crop: Crop
    limit: float
    places: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.partner = _pair(self.reference, self.padded)
        self.maker: dict[int, Event] = {}
        # Innermost first: what a layer inside made is not made by the model around it.
        for event in reversed(self.padded):
            for output in event.outputs:
                self.maker.setdefault(id(output), event)
        self._deviations: dict[int, float | None] = {}

    def deviation(self, event: Event) -> float | None:
        """Return how far an event's outputs lie apart at real places; None where nothing can be compared."""
        key = id(event)
        if key not in self._deviations:
            partner = self.partner.get(event)
            self._deviations[key] = (
                None if partner is None else self._apart(partner.outputs, event.outputs)[0]
            )
        return self._deviations[key]

    def differs(self, event: Event) -> bool:
        """Whether an event's outputs differ though its inputs agree: padding enters here."""
        partner = self.partner.get(event)
        if partner is None or all(_is_bool(output) for output in event.outputs):
            return False
        if self._apart([x for _, x in partner.inputs], [x for _, x in event.inputs])[1]:
            return False
        return self._apart(partner.outputs, event.outputs)[1]

    def varies(self, event: Event, place: int) -> bool:
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
            first, second = self.crop(as_array(one), as_array(other))
            if first is not None and first.size == 0:
                continue
            compared = True
            apart = float("inf") if first is None else difference(first, second)
            largest = max(largest, apart)
            beyond |= first is None or apart > self.limit * scale_of(first)
        return (largest if compared else None), beyond


def _is_bool(tensor: Any) -> bool:
    return "bool" in str(tensor.dtype)


def _pair(reference: Sequence[Event], padded: Sequence[Event]) -> dict[Event, Event]:
    """Match the calls of two runs: by name, and by how often that name was called before."""
    waiting: dict[str, list[Event]] = {}
    for event in reference:
        waiting.setdefault(event.name, []).append(event)
    return {event: waiting[event.name].pop(0) for event in padded if waiting.get(event.name)}


def _crop_to_reference(padding: Side) -> Crop:
    """The reference has no padding: its sizes are those of the real places."""

    def cut(one: Array, other: Array) -> tuple[Array | None, Array | None]:
        part = crop(other, one.shape, padding)
        return (None, None) if part is None else (one, part)

    return cut


def _crop_to_length(padding: Side, places: set[int], length: int) -> Crop:
    """Both runs have the same sizes: axes as long as the input are cut to the row's length."""

    def cut_both(one: Array, other: Array) -> tuple[Array | None, Array | None]:
        if one.shape != other.shape:
            return None, None
        part = slice(None, length) if padding == "post" else slice(-length, None)
        cut = tuple(part if size in places else slice(None) for size in one.shape)
        return one[cut], other[cut]

    return cut_both


def crop_to_nothing(one: Array, other: Array) -> tuple[Array | None, Array | None]:
    """A row without a token has no real places: only what does not grow with the padding counts."""
    if one.shape != other.shape:
        return one[:0], other[:0]
    return one, other


def run_twice(user: UserModel, proof: Proof, value: Any) -> Runs:
    """Run the model as it is where the leak is plain; in double precision where rounding might hide it."""
    deviations = [
        (check.max_abs_diff or 0.0) / (check.tolerance or 1.0)
        for check in proof.report.checks
        if check.verdict == "fails"
    ]
    if user.dtype == "float32" and max(deviations, default=0.0) > PLAIN:
        return _two_runs(user, proof, value, LIMITS["float32"])
    sample = proof.bench.probe if len(proof.bench.probe) else proof.bench.sample
    with in_float64(user, sample) as double:
        return _two_runs(user, proof, value, LIMITS[PRECISE if double else "float32"])


def _two_runs(user: UserModel, proof: Proof, value: Any, limit: float) -> Runs:
    """Run the model without and with padding, on the row and the padding that show most."""
    bench = proof.bench
    failed = {check.name for check in proof.report.checks if check.verdict == "fails"}
    padding = bench.sample.padding
    if bench.sample.is_fixed:
        return _fixed_runs(user, proof, value, limit)
    if failed == {"empty-rows"}:
        nothing = bench.sample.empty(1)
        few, many = (nothing.padded(places) for places in EMPTY_PLACES[::2])
        return Runs(_record(user, few), _record(user, many), crop_to_nothing, limit)
    if bench.interact:
        same = bench.probe.select([len(bench.probe) // 2] * 4).refilled(7)
        return Runs(
            _record(user, same.padded()),
            _record(user, same.padded(MORE[-1])),
            _crop_to_reference(padding),
            limit,
        )
    row, more, worst = _worst_row(user, proof)
    one = bench.probe.select([row])
    real = _crop_to_reference(padding)
    if worst > limit:
        return Runs(_record(user, one.padded()), _record(user, one.padded(more)), real, limit)
    # Padding shows only beside other rows: the row is held against itself beside the longest one.
    longest = len(bench.probe) - 1
    pair = bench.probe.select([0, longest] if padding == "post" else [longest, 0])
    return Runs(_record(user, bench.probe.alone(0)), _record(user, pair.padded()), real, limit)


def _fixed_runs(user: UserModel, proof: Proof, value: Any, limit: float) -> Runs:
    sample = proof.bench.sample
    lengths = next(iter(sample.lengths().values()))
    places = set(sample.places().values())
    row = int(np.argmax(np.where(lengths < max(places), lengths, -1)))
    one = sample.select([row])
    batch = one.padded()
    reference = _record(user, batch)
    events: list[Event] = []

    def run(given: ModelBatch) -> Outputs:
        events.extend(_record(user, given))
        return {}

    other = user.with_other_content(value, run)
    if other is None:
        raise CannotRunError("its padded places cannot be given other content")
    other(batch)
    real = _crop_to_length(sample.padding, places, int(lengths[row]))
    return Runs(reference, events, real, limit, frozenset(places))


def _record(user: UserModel, batch: ModelBatch) -> list[Event]:
    recorder = Recorder()
    with recorder.listening():
        user.eagerly(batch)
    return recorder.events


def _worst_row(user: UserModel, proof: Proof) -> tuple[int, int, float]:
    """Return the row and the places of padding at which the outputs stray most, and how far."""
    bench = proof.bench
    worst, found = -1.0, (0, bench.more[-1])
    for row in range(len(bench.probe)):
        one = bench.probe.select([row])
        alone = user.predict(one.padded())
        for more in bench.more[1:]:
            with suppress(CannotRunError):
                outputs = user.predict(one.padded(more))
                judged = share_apart(alone, outputs, bench.sample.padding)
                if judged > worst * 1.01:
                    worst, found = judged, (row, more)
    return (*found, worst)
