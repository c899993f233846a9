"""Run a Keras model without and with padding, and compare the outputs of every layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from padmask.verify.keras.model_subjects import in_float64
from padmask.verify.keras.record import Event, Recorder, as_array, is_from_keras
from padmask.verify.keras.user_model import UserModel
from padmask.verify.proof.check_setup import MORE
from padmask.verify.proof.checks import EMPTY_PLACES
from padmask.verify.proof.crops import Crop, CropEmptyRow, CropToFew, CropToLength, crop_blocks
from padmask.verify.proof.deviations import Outputs, Pair, difference, measure, scale_of
from padmask.verify.proof.leaking_rows import choose_equal_lengths, choose_fixed_row, choose_leaking_row
from padmask.verify.proof.sample import ModelBatch, Sample
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.tolerance import LIMITS, PRECISE, Array
from padmask.verify.proof.verify_subject import Verification

# If a deviation exceeds its tolerance by this factor, it cannot be rounding.
CLEAR_LEAK = 100.0

# Key of a tensor in a run: the number of its call, and its index in the list of inputs and outputs.
TensorPlace = tuple[int, int]

# Arrays that replace outputs or inputs of calls, keyed by the number of the call.
Injected = Mapping[int, Sequence[Array | None]]


@dataclass
class Runs:
    """Two recorded runs of a model: one without padding, and one with padding.

    Args:
        reference: calls of the run without padding.
        padded: calls of the run with padding.
        rerun: function that records the run without padding again. Its arguments are the replacements
            `injected` and `given` of `Recorder`.
        crop: crops the arrays of both runs to the real positions.
        limit: tolerance for the deviation of two tensors, relative to the largest value of their channel.
        rerun_padded: as `rerun`, for the run with padding; None if this run cannot be repeated.
        places: padded lengths of the inputs if both runs use the same lengths, otherwise empty.
        others: calls of a third run, which has other tokens and no padding; empty without such a run.
        growth: for each input, its padded lengths in the run without padding and in the run with padding.
        from_start: whether the real positions come first.
    """

    reference: list[Event]
    padded: list[Event]
    rerun: Callable[[Injected, Injected], list[Event]]
    crop: Crop
    limit: float
    rerun_padded: Callable[[Injected, Injected], list[Event]] | None = None
    places: frozenset[int] = frozenset()
    others: list[Event] = field(default_factory=list)
    growth: frozenset[tuple[int, int]] = frozenset()
    from_start: bool = True

    def __post_init__(self) -> None:
        self.producer: dict[int, Event] = {}
        # Inner calls come first, because an outer call returns tensors that inner calls produced.
        for event in reversed(self.padded):
            for output in event.outputs:
                self.producer.setdefault(id(output), event)
        self._injected: Injected = {}
        self._without_tokens = _find_tensors_without_tokens(self.reference, self.others)
        self._match()

    def _match(self) -> None:
        self.counterpart = _match_events(self.reference, self.padded)
        self._deviations: dict[int, float | None] = {}

    def deviation(self, event: Event) -> float | None:
        """Return the largest deviation of a call's outputs at real positions; None if unknown."""
        key = id(event)
        if key not in self._deviations:
            reference = self.counterpart.get(event)
            self._deviations[key] = None if reference is None else self._compare_outputs(reference, event)[0]
        return self._deviations[key]

    def differs(self, event: Event) -> bool:
        """Return whether a call has equal inputs but different outputs in the two runs."""
        reference = self.counterpart.get(event)
        if reference is None or all(_is_bool(output) for output in event.outputs):
            return False
        before = [tensor for _, tensor in reference.inputs]
        places = [(reference.number, index) for index in range(len(before))]
        if self._compare(before, [tensor for _, tensor in event.inputs], places)[1]:
            return False
        return self._compare_outputs(reference, event)[1]

    def is_harmful(self, event: Event) -> bool:
        """Return whether padding changes the outputs of the model through the outputs of one call.

        To test this, the run without padding is repeated, but the call returns its outputs of the run with
        padding. Some differences have no effect, for example rotary positions that start at another number.
        In this case, later comparisons use the repeated run, so that they do not find the difference again.
        """
        reference = self.counterpart.get(event)
        if reference is None or event.parent is None:
            return True
        mixed = [
            self.crop.mix(as_array(one), as_array(other))
            for one, other in zip(reference.outputs, event.outputs, strict=False)
        ]
        if all(array is None for array in mixed):
            return True
        injected = {**self._injected, reference.number: mixed}
        final = self.rerun(injected, {})
        if self._compare(self.reference[0].outputs, final[0].outputs, ())[1]:
            return True
        self.reference, self._injected = final, injected
        self._match()
        return False

    def has_tokens(self, event: Event) -> bool:
        """Return whether the outputs of a call depend on the tokens. Embeddings of positions do not."""
        reference = self.counterpart.get(event)
        if reference is None:
            return True
        first = len(reference.inputs)
        keys = {(reference.number, first + index) for index in range(len(reference.outputs))}
        return not keys <= self._without_tokens

    def keeps_steps_apart(self, event: Event) -> bool:
        """Return whether each step of a call's outputs depends only on the same step of its inputs.

        Padding can change such outputs only through the number of steps, or through the index of a step.
        """
        reference = self.counterpart.get(event)
        if reference is None or self.rerun_padded is None:
            return False
        before, inputs = ([tensor for _, tensor in call.inputs] for call in (reference, event))
        axes = _find_growing_axes(before, inputs)
        found = _find_growing_axes(reference.outputs, event.outputs)
        kept = [axis for axis in found if axis is not None]
        sizes = {
            (one.shape[axis], other.shape[axis])
            for one, other, axis in [
                *zip(before, inputs, axes, strict=False),
                *zip(reference.outputs, event.outputs, found, strict=False),
            ]
            if axis is not None
        }
        if len(sizes) != 1 or not any(axes) or not kept or len(kept) < len(event.outputs):
            return False
        [(real, size)] = sizes
        first = 0 if self.from_start else size - real
        reads_steps = False
        for step in {first, first + real - 1}:
            # All steps of the inputs are copies of one step. The outputs at this step should stay the same.
            given = [
                None if axis is None else np.repeat(_take_steps(as_array(tensor), [step], axis), size, axis)
                for tensor, axis in zip(inputs, axes, strict=True)
            ]
            changed = self.rerun_padded({}, {event.number: given})[event.number]
            for one, other, axis in zip(event.outputs, changed.outputs, kept, strict=True):
                both = [_take_steps(as_array(output), [step], axis) for output in (one, other)]
                if difference(*both) > self.limit * scale_of(both[0]):
                    return False
                steps = range(first, first + real)
                both = [_take_steps(as_array(output), steps, axis) for output in (one, other)]
                reads_steps |= difference(*both) > self.limit * scale_of(both[0])
        # A recurrent layer that skips all these steps returns the same values for all inputs.
        return reads_steps

    def has_steps(self, event: Event, index: int) -> bool:
        """Return whether an input of a call has a time axis.

        An input has a time axis if it has a mask, or if its shape differs between the two runs.
        """
        reference = self.counterpart.get(event)
        tensor = event.inputs[index][1]
        if reference is None or index >= len(reference.inputs):
            return len(tensor.shape) > 1
        if self.places:
            return len(tensor.shape) > 1 and tensor.shape[1] in self.places
        return (
            tuple(reference.inputs[index][1].shape) != tuple(tensor.shape)
            or event.masks_in[index] is not None
        )

    def _compare_outputs(self, reference: Event, event: Event) -> tuple[float | None, bool]:
        first = len(reference.inputs)
        places = [(reference.number, first + index) for index in range(len(reference.outputs))]
        return self._compare(reference.outputs, event.outputs, places)

    def _compare(
        self, ones: Sequence[Any], others: Sequence[Any], places: Sequence[TensorPlace]
    ) -> tuple[float | None, bool]:
        """Compare two lists of tensors at their real positions.

        Args:
            ones: tensors of the run without padding.
            others: the same tensors of the run with padding.
            places: key of each tensor in `ones`. If `places` is shorter, the last tensors have no key.

        Returns:
            The largest deviation (None if nothing was compared), and whether any deviation exceeds the limit.
        """
        largest, exceeds, compared = 0.0, False, False
        for one, other, place in zip(ones, others, [*places, *[None] * len(ones)], strict=False):
            if place in self._without_tokens and not self._grows_with_padding(one, other):
                # A tensor of relative positions has no real steps that could be compared.
                continue
            both = self.crop.cut(as_array(one), as_array(other))
            if both is not None and both[0].size == 0:
                continue
            compared = True
            deviation = float("inf") if both is None else difference(*both)
            largest = max(largest, deviation)
            has_channels = one.shape[-1:] == other.shape[-1:] != () and one.shape[-1] not in self.places
            exceeds |= both is None or _exceeds(*both, self.limit, has_channels)
        return (largest if compared else None), exceeds

    def _grows_with_padding(self, one: Any, other: Any) -> bool:
        """Return whether each axis of a tensor keeps its size or grows like the padded length of an input."""
        return all(
            before == after or (before, after) in self.growth
            for before, after in zip(one.shape, other.shape, strict=False)
        )


def _exceeds(one: Array, other: Array, limit: float, has_channels: bool) -> bool:
    """Return whether two arrays differ in any channel by more than `limit` times the channel's scale."""
    if one.shape != other.shape:
        return True
    found = measure([Pair(one, other, "")], has_steps=True, has_channels=has_channels)
    return bool((found.largest > limit * found.scale).any())


def _find_growing_axes(ones: Sequence[Any], others: Sequence[Any]) -> list[int | None]:
    """Return, for each pair of tensors, the first axis whose size differs; None if there is none."""
    return [
        next((axis for axis in range(1, len(one.shape)) if one.shape[axis] != other.shape[axis]), None)
        if len(one.shape) == len(other.shape)
        else None
        for one, other in zip(ones, others, strict=False)
    ]


def _take_steps(array: Array, steps: Sequence[int], axis: int) -> Array:
    taken: Array = np.take(array, steps, axis)
    return taken


def _find_tensors_without_tokens(reference: Sequence[Event], others: Sequence[Event]) -> set[TensorPlace]:
    """Return the keys of the tensors that stay the same if all tokens change, such as positions."""
    found = set()
    for event, other in _match_events(others, reference).items():
        mine = [*(tensor for _, tensor in event.inputs), *event.outputs]
        its = [*(tensor for _, tensor in other.inputs), *other.outputs]
        for index, (tensor, changed) in enumerate(zip(mine, its, strict=False)):
            if difference(as_array(tensor), as_array(changed)) == 0:
                found.add((event.number, index))
    return found


def _is_bool(tensor: Any) -> bool:
    return "bool" in str(tensor.dtype)


def _match_events(reference: Sequence[Event], padded: Sequence[Event]) -> dict[Event, Event]:
    """Match the calls of two runs by name. Calls with the same name are matched in order."""
    waiting: dict[str, list[Event]] = {}
    for event in reference:
        waiting.setdefault(event.name, []).append(event)
    return {event: waiting[event.name].pop(0) for event in padded if waiting.get(event.name)}


def run_twice(user: UserModel, verification: Verification) -> Runs:
    """Record two runs of a model: one without padding, and one with padding.

    If the deviation in float32 is too large to be a rounding error, the runs use float32. Otherwise, the runs
    use float64 if possible.
    """
    deviations = [
        (check.max_abs_diff or 0.0) / (check.tolerance or 1.0)
        for check in verification.report.checks
        if check.verdict == "fails"
    ]
    if user.dtype == "float32" and max(deviations, default=0.0) > CLEAR_LEAK:
        return _record_runs(user, verification, LIMITS["float32"], nullcontext)
    sample = verification.setup.probe if len(verification.setup.probe) else verification.setup.sample
    with in_float64(user, sample) as is_float64:
        limit = LIMITS[PRECISE if is_float64 else "float32"]
        return _record_runs(user, verification, limit, lambda: in_float64(user, sample))


def _record_runs(
    user: UserModel,
    verification: Verification,
    limit: float,
    precision: Callable[[], AbstractContextManager[Any]],
) -> Runs:
    """Record two runs of the row with the largest deviation: one without padding, and one with padding."""
    setup = verification.setup
    failed = {check.name for check in verification.report.checks if check.verdict == "fails"}
    padding = setup.sample.padding

    def repeat(batch: ModelBatch) -> Callable[[Injected, Injected], list[Event]]:
        def rerun(injected: Injected, given: Injected) -> list[Event]:
            with precision():
                return _record(user, batch, injected, given)

        return rerun

    def make(few: ModelBatch, many: ModelBatch, crop: Crop, **options: Any) -> Runs:
        options = {"from_start": padding == "post", "rerun_padded": repeat(many), **options}
        return Runs(_record(user, few), _record(user, many), repeat(few), crop, limit, **options)

    def crop_to(rows: Sample, more: int) -> Crop:
        crop = CropToFew(padding)
        return crop_blocks(crop, rows, more) if setup.has_blocks else crop

    if setup.sample.is_fixed:
        fixed = choose_fixed_row(setup.sample)
        few = fixed.row.padded()
        crop_to_row = CropToLength(padding, fixed.places, fixed.length)
        reference, padded = _record(user, few), _record_with_other_content(user, few)
        return Runs(reference, padded, repeat(few), crop_to_row, limit, places=fixed.places)
    if failed == {"empty-rows"}:
        empty = setup.sample.empty(1)
        few, many = (empty.padded(places) for places in EMPTY_PLACES[::2])
        return make(few, many, CropEmptyRow())
    if setup.interact:
        same = choose_equal_lengths(setup.probe)
        return make(same.padded(), same.padded(MORE[-1]), crop_to(same, MORE[-1]))
    # The cached outputs are in the model's own precision, and the model may be in float64 here.
    predict = setup.subject.predict_uncached or setup.subject.predict
    worst = choose_leaking_row(predict, setup.probe, setup.more[1:])
    if worst is not None and worst.deviation > limit:
        one, more = worst.row, worst.more
        growth = zip(one.places().values(), one.places(more).values(), strict=True)
        return make(
            one.padded(),
            one.padded(more),
            crop_to(one, more),
            others=_record(user, one.with_random_tokens(8).padded()),
            growth=frozenset(growth),
        )
    # Padding alone does not change the outputs, so add a longer row to the batch. `CropToFew` keeps the first
    # row for "post", and the last row for "pre".
    longest = len(setup.probe) - 1
    pair = setup.probe.select([0, longest] if padding == "post" else [longest, 0])
    alone = setup.probe.select([0])
    # The batch axis grows too.
    sizes = zip(alone.places().values(), pair.places().values(), strict=True)
    return make(
        alone.padded(),
        pair.padded(),
        CropToFew(padding),
        others=_record(user, alone.with_random_tokens(8).padded()),
        growth=frozenset({(1, 2), *sizes}),
    )


def _record_with_other_content(user: UserModel, batch: ModelBatch) -> list[Event]:
    """Record a run with different values in the padding, for models that require a fixed length."""
    events: list[Event] = []

    def run(given: ModelBatch) -> Outputs:
        events.extend(_record(user, given))
        return {}

    if user.content.change is None:
        raise CannotRunError("the checks cannot change the padding of this model")
    user.content.change(run)(batch)
    return events


def _record(
    user: UserModel, batch: ModelBatch, injected: Injected | None = None, given: Injected | None = None
) -> list[Event]:
    recorder = Recorder(injected, given)
    with recorder.recording():
        user.predict_eagerly(batch)
    return recorder.events


def can_run(user: UserModel, batch: ModelBatch) -> bool:
    """Return whether a model can run on a batch and the rows are long enough for every layer."""
    try:
        events = _record(user, batch)
    except CannotRunError:
        return False
    return not any(map(_is_too_short, events))


def _is_too_short(event: Event) -> bool:
    """Return whether the rows are too short for a convolution or a pooling.

    For such rows, TensorFlow may return arbitrary values with the shape of the input instead of an error.
    """
    if any(0 in tuple(output.shape) for output in event.outputs):
        return True
    is_layer = isinstance(event.operation, keras.Layer) and is_from_keras(event.operation)
    if not is_layer or not any(name in event.kind for name in ("Conv", "Pooling")):
        return False
    try:
        shape = event.operation.compute_output_shape(tuple(event.inputs[0][1].shape))
    except ValueError:
        return True
    return tuple(shape) != tuple(event.outputs[0].shape)
