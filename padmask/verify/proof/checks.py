"""Checks that run a model on differently padded batches and compare the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from padmask.core.kernel import Padded
from padmask.verify.proof.check_setup import MORE, ROWS_ALONE, CheckSetup
from padmask.verify.proof.deviations import (
    Outputs,
    Pair,
    Steps,
    add_deviation,
    compare_real_positions,
    crop,
    describe_row,
    find_steps,
    is_all_nan,
    measure,
)
from padmask.verify.proof.sample import Sample, shared_lengths
from padmask.verify.proof.subject import CannotRunError, Subject
from padmask.verify.proof.tolerance import LIMITS, MOST_NOISE, Array, Deviation, Deviations

# Maximum number of tokens of a row in the gradient check, to limit the time.
GRADIENT_STEPS = 12

# Lengths to which rows without tokens are padded.
EMPTY_PLACES = (4, 7, 21)


def compare_row_alone(setup: CheckSetup, subject: Subject) -> Deviations:
    """Compare the outputs for each row in a padded batch with the outputs for the same row alone.

    The batch is padded to several lengths.
    """
    probe = setup.mixed
    alone = [subject.predict(probe.alone(row)) for row in range(len(probe))]
    lengths = shared_lengths(probe)
    batches = {more: subject.predict(probe.padded(more)) for more in setup.more}
    found: Deviations = {}
    for more, outputs in batches.items():
        one = subject.predict({name: _select_row(padded, 0) for name, padded in probe.padded(more).items()})
        padded_to = f"{max(probe.places(more).values())}"
        if more and not probe.has_fixed:
            padded_to += f" (longest row: {max(probe.places().values())})"
        for name, output in outputs.items():
            shapes = [reference[name].shape[1:] for reference in alone]
            wrong = _has_wrong_size(probe, shapes, output, one[name], more)
            pairs = [
                Pair(
                    reference[name][0],
                    None if wrong else crop(output[row], shapes[row], probe.padding),
                    f"{describe_row(int(lengths[row]))} padded to {padded_to}",
                )
                for row, reference in enumerate(alone)
            ]
            axes = _find_varying_axes([*shapes, *(batch[name].shape[1:] for batch in batches.values())])
            deviation = measure(pairs, has_steps=any(axes), has_channels=not axes or not axes[-1])
            add_deviation(found, name, deviation)
    return found


def _find_varying_axes(shapes: Sequence[tuple[int, ...]]) -> list[bool]:
    """Return, for each axis, whether its size differs between the shapes. Such an axis is a time axis."""
    if len({len(shape) for shape in shapes}) > 1:
        return [True] * max(len(shape) for shape in shapes)
    return [len(set(sizes)) > 1 for sizes in zip(*shapes, strict=True)]


def _has_wrong_size(
    probe: Sample, shapes: Sequence[tuple[int, ...]], output: Array, one: Array, more: int
) -> bool:
    """Return whether an output of a padded batch has a wrong number of time steps.

    If the output for a row alone has one step for each token, the output for a batch must have one step for
    each position, or one step for each token of the longest row. `output` and `one` are both tested.

    Args:
        probe: rows of the batch.
        shapes: shape of the output for each row alone.
        output: output for the padded batch.
        one: output for a batch that contains only the first row, with the same padding.
        more: number of positions added to the longest row.
    """
    places, lengths = probe.places(more), probe.lengths()
    if one.ndim != output.ndim:
        return True
    for axis, size in enumerate(output.shape[1:]):
        sizes = [shape[axis] for shape in shapes if len(shape) == output.ndim - 1]
        steps = [name for name, rows in lengths.items() if rows.tolist() == sizes and len(set(sizes)) > 1]
        if steps and size not in [*(places[name] for name in steps), max(sizes)]:
            return True
        # A function may return only the steps of the longest row of the batch. After a stride, there are
        # fewer steps than tokens.
        only_steps = sizes[:1] if sizes and size == max(sizes) else []
        if one.shape[axis + 1] not in (size, *only_steps, *(int(lengths[name][0]) for name in steps)):
            return True
    return False


def compare_more_padding(setup: CheckSetup, subject: Subject) -> Deviations:
    """Compare the outputs for a padded batch before and after more padding is added to the batch.

    The shortest rows also run in a separate batch. In a batch with long rows, short rows already have much
    padding, so more padding may have no effect.
    """
    more = [number for number in setup.more[1:] if number <= MORE[-1]]
    if setup.interact:
        return _add_padding(subject, setup.probe, more)
    shortest = np.argsort(shared_lengths(setup.sample), kind="stable")[:ROWS_ALONE]
    found = _add_padding(subject, setup.sample, more[-1:])
    for name, deviation in _add_padding(subject, setup.sample.select(shortest), more).items():
        add_deviation(found, name, deviation)
    return found


def _add_padding(subject: Subject, sample: Sample, numbers: Sequence[int]) -> Deviations:
    base = subject.predict(sample.padded())
    found: Deviations = {}
    for more in numbers:
        with suppress(CannotRunError):
            outputs = subject.predict(sample.padded(more))
            steps = find_steps(base, outputs, sample.places(), sample.places(more))
            where = f"{more} more padding positions"
            for name, deviation in compare_real_positions(sample, steps, base, outputs, where).items():
                add_deviation(found, name, deviation)
    return found


def compare_other_content(setup: CheckSetup, subject: Subject) -> Deviations:
    """Compare the outputs for a padded batch before and after the values in the padding are changed."""
    assert subject.other is not None
    # Add one position if the model supports it, because rows of equal length would have no padding.
    more = min(1, setup.more[-1])
    batch = setup.sample.padded(more)
    steps = _find_steps(setup, subject)

    def compare(one: Outputs, two: Outputs) -> Deviations:
        return compare_real_positions(setup.sample, steps, one, two, "different values in the padding")

    base, outputs = subject.predict(batch), subject.other(batch)
    found = compare(base, outputs)
    if not subject.explicit_mask or not _moved(found, subject):
        return found
    # A model may also find padding by the pad value, for example to count positions. Such a model returns the
    # same outputs for two different paddings without the pad value, so compare two such paddings.
    between = compare(outputs, subject.other(batch, 24))
    if not _moved(between, subject) or (setup.sample.is_fixed and not subject.is_function):
        return between
    # If an output does not change with the mask, the model may find the padding by the pad value, and treat
    # other values as real tokens. Such an output is left out. If the model accepts other lengths, the other
    # checks find its leaks.
    unmasked = subject.predict({name: _without_mask(padded) for name, padded in batch.items()})
    uses_mask = compare(base, unmasked)
    kept = {name: deviation for name, deviation in between.items() if uses_mask[name].largest.any()}
    # At one fixed length, no other check would find the leak of an output that is left out.
    return between if kept and setup.sample.is_fixed else kept


def _moved(found: Deviations, subject: Subject) -> bool:
    return any((deviation.shares > LIMITS[subject.dtype]).any() for deviation in found.values())


def _without_mask(padded: Padded) -> Padded:
    """Return padded values with a mask that is all True."""
    full = np.full(len(padded.values), padded.mask.shape[1], dtype=np.int64)
    return Padded(padded.values, np.ones_like(padded.mask), full)


def _find_steps(setup: CheckSetup, subject: Subject) -> Steps:
    """Find the time axes of the outputs: the axes that grow with the padding.

    If the padding cannot grow, these are the axes whose size is the padded length of an input.
    """
    short, places = subject.predict(setup.probe.padded()), setup.probe.places()
    if len(setup.more) > 1:
        more = setup.more[1]
        long = subject.predict(setup.probe.padded(more))
        return find_steps(short, long, places, setup.probe.places(more))
    return {
        name: tuple(tuple(i for i, n in places.items() if n == size) or None for size in output.shape[1:])
        for name, output in short.items()
    }


def compare_empty_rows(setup: CheckSetup, subject: Subject) -> tuple[Deviations, bool]:
    """Compare the outputs of rows without tokens at several padded lengths.

    Returns:
        The deviation of each output, and whether any output is NaN in all rows.
    """
    empty = setup.sample.empty(2)
    # The outputs of empty rows may be close to zero, so use the scale of other rows' outputs.
    usual = {name: _scales_of(output) for name, output in subject.predict(setup.probe.padded()).items()}
    runs = [subject.predict(empty.padded(places)) for places in EMPTY_PLACES]
    found: Deviations = {}
    all_nan = False
    for places, outputs in zip(EMPTY_PLACES[1:], runs[1:], strict=True):
        for name, output in outputs.items():
            if output.shape != runs[0][name].shape:
                # The output has a value for each position, and none of the positions is real.
                continue
            all_nan |= is_all_nan(output)
            where = f"row of 0 tokens padded to {places}"
            pairs = [Pair(*values, where) for values in zip(runs[0][name], output, strict=True)]
            add_deviation(found, name, measure(pairs, has_steps=True, usual=usual[name]))
    return found, all_nan


def measure_gradient(setup: CheckSetup, subject: Subject) -> Deviations:
    """Measure the largest gradient with respect to a padded position. The gradient must be exactly zero."""
    assert subject.gradient is not None
    batch = setup.probe.cut(GRADIENT_STEPS).padded(MORE[2])
    [mask] = {name: padded.mask for name, padded in batch.items()}.values()
    found = np.abs(subject.gradient(batch))
    largest = float(found[~mask].max(initial=0)), float(found[mask].max(initial=0))
    return {"gradient": Deviation.one(*largest, "at a padded position")}


def measure_noise(setup: CheckSetup, subject: Subject) -> dict[str, Array]:
    """Measure the numerical noise of each output, by repeating rows and changing the weights slightly.

    Returns:
        The largest rounding error of each channel, as a share of its scale: shape (channels,), keyed by
        output name.
    """
    batch, rows = setup.probe.padded(), len(setup.probe)
    base = subject.predict(batch)
    # Strided outputs have different steps from the inputs, so all their positions are compared.
    steps = {name: tuple(axis or None for axis in axes) for name, axes in _find_steps(setup, subject).items()}
    found: Deviations = {}

    def add(outputs: Outputs) -> None:
        for name, deviation in compare_real_positions(setup.probe, steps, base, outputs, "").items():
            add_deviation(found, name, deviation)

    if not setup.interact:
        # A different number of rows changes only the order of additions.
        twice = subject.predict(setup.probe.select(np.tile(np.arange(rows), 2)).padded())
        add({name: output[:rows] for name, output in twice.items()})
    if subject.jittered is not None:
        add(subject.jittered(batch))
    return {
        name: np.where(np.isfinite(deviation.shares), np.minimum(deviation.shares, MOST_NOISE), 0.0)
        for name, deviation in found.items()
    }


def measure_movement(setup: CheckSetup, subject: Subject) -> Deviations:
    """Measure how much each output changes if all real tokens of the longest row change."""
    # Use two rows, because a model may subtract the mean of the batch.
    rows = setup.probe.select([len(setup.probe) - 1] * 2)
    outputs = subject.predict(rows.with_random_tokens(10).padded())
    found: Deviations = {}
    for seed in (11, 12, 13):
        for name, output in subject.predict(rows.with_random_tokens(seed).padded()).items():
            pairs = [Pair(*values, "") for values in zip(outputs[name], output, strict=True)]
            add_deviation(found, name, measure(pairs, has_steps=True))
    return found


def _scales_of(output: Array) -> Array:
    """Return the scale of each channel of an output: shape (channels,)."""
    pairs = [Pair(row, row, "") for row in output]
    return measure(pairs, has_steps=True).scale


def _select_row(padded: Any, row: int) -> Any:
    piece = slice(row, row + 1)
    return replace(
        padded, values=padded.values[piece], mask=padded.mask[piece], lengths=padded.lengths[piece]
    )
