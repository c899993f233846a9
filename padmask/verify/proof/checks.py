"""Checks that run a model on differently padded batches and compare the outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from padmask.errors import PadmaskError
from padmask.verify.proof.deviations import (
    Outputs,
    add_deviation,
    compare_real_positions,
    crop,
    describe_row,
    difference,
    find_steps,
    is_all_nan,
    scale_of,
)
from padmask.verify.proof.sample import ModelBatch, Sample, pick_rows, shared_lengths
from padmask.verify.proof.tolerance import LIMITS, MOST_NOISE, Array, Deviation, Deviations

Predict = Callable[[ModelBatch], Outputs]

# Numbers of padding positions to add to the longest row: none, few and many.
MORE = (0, 1, 4, 60)

# The checks also pad rows to this length. If four times the longest row is longer, they use that length.
FAR = 512

# Maximum number of rows that also run in a batch of one row.
ROWS_ALONE = 16

# Maximum number of tokens of a row in the gradient check, to limit the time.
GRADIENT_STEPS = 12

# Lengths to which rows without tokens are padded.
EMPTY_PLACES = (4, 7, 21)


class CannotRunError(PadmaskError):
    """The model cannot run on the batch."""

    blames_input = True


@dataclass(frozen=True)
class Subject:
    """A model to check, in the form of functions that run the model on NumPy batches.

    Args:
        name: name of the model in the report.
        predict: function that returns the outputs for a batch. Each output has the shape (rows, ...).
        dtype: compute dtype of the model.
        predict_uncached: `predict` without a cache; None if `predict` has no cache.
        other: `predict` with different values in the padding; None if the values cannot be changed.
        gradient: function that returns the gradients of the outputs at real positions with respect to the
            embedded inputs: shape (rows, maxlen, ...); None if gradients are not available.
        jittered: `predict` with a rounding error added to every weight, which shows the numerical noise;
            None if the weights cannot be changed.
        precise: function that returns the same model in float64. It returns None if the model cannot run in
            float64.
        reason: reason why `other` is None.
    """

    name: str
    predict: Predict
    dtype: str = "float32"
    predict_uncached: Predict | None = None
    other: Predict | None = None
    gradient: Callable[[ModelBatch], Array] | None = None
    jittered: Predict | None = None
    precise: Callable[[], Subject | None] | None = None
    reason: str = "the model computes its mask from the pad value, so the padding cannot contain other values"


@dataclass(frozen=True)
class CheckSetup:
    """The rows and padded lengths with which the checks run a model and its control model.

    Args:
        subject: model to check.
        sample: all rows.
        probe: rows that also run alone, each in a batch of one row.
        more: numbers of padding positions to test. Each number is added to the length of the longest row.
        interact: whether the rows of a batch influence each other.
        notes: remarks about rows and padded lengths that the model does not accept.
        deterministic: whether two runs of the same batch return the same outputs.
    """

    subject: Subject
    sample: Sample
    probe: Sample
    more: tuple[int, ...]
    interact: bool
    notes: tuple[str, ...] = ()
    deterministic: bool = True


def prepare(subject: Subject, sample: Sample, *, far: bool = False, alone: int = ROWS_ALONE) -> CheckSetup:
    """Find rows and padded lengths that a model accepts, and test whether rows influence each other.

    Args:
        subject: model to check.
        sample: available rows.
        far: whether to also test a padded length far beyond the longest row.
        alone: maximum number of rows that also run alone, each in a batch of one row.

    Raises:
        CannotRunError: the model cannot run on any batch.
    """
    notes: list[str] = []
    sample = _keep_runnable_rows(subject, sample, notes)
    probe = sample.select(pick_rows(shared_lengths(sample), alone))
    if not sample.is_fixed:
        probe = _keep_rows_that_run_alone(subject, probe, notes)
    longest = max(probe.places().values())
    wanted: tuple[int, ...] = (0,) if sample.is_fixed else MORE
    if far and not sample.is_fixed:
        wanted = (*wanted, max(FAR, longest * 4) - longest)
    more = tuple(number for number in wanted if _can_run(subject, probe.padded(number)))
    if not more:
        raise CannotRunError(f"{subject.name} runs on single rows, but fails on a padded batch.")
    left_out = [number for number in wanted if number not in more]
    if left_out:
        notes.append(f"the model cannot run with {left_out[0]} more padding positions")
    if sample.is_fixed:
        notes.append(
            "the model accepts only one length, so the checks changed only the values at padded positions"
        )
    deterministic = _is_deterministic(subject, probe)
    setup = CheckSetup(subject, sample, probe, more, False, tuple(notes), deterministic)
    if not deterministic or sample.is_fixed or not _rows_interact(setup):
        return setup
    notes.append("the rows of a batch influence each other, so batches were compared instead of single rows")
    return replace(setup, interact=True, notes=tuple(notes))


def _is_deterministic(subject: Subject, sample: Sample) -> bool:
    batch = sample.padded()
    first, second = subject.predict(batch), (subject.predict_uncached or subject.predict)(batch)
    return all(
        difference(output, second[name]) <= LIMITS[subject.dtype] * scale_of(output)
        for name, output in first.items()
    )


def _keep_runnable_rows(subject: Subject, sample: Sample, notes: list[str]) -> Sample:
    """Return the sample. If the model cannot run on the longest rows, truncate them."""
    try:
        subject.predict(sample.padded())
    except CannotRunError as error:
        longest = max(sample.places().values())
        for maxlen in sorted({longest * 3 // 4, longest // 2, longest // 4} - {0}, reverse=True):
            shorter = sample.cut(maxlen)
            if not sample.is_fixed and _can_run(subject, shorter.padded()):
                notes.append(
                    f"the model cannot run on rows of length {longest}, so rows were truncated to {maxlen} "
                    "tokens"
                )
                return shorter
        raise error
    longest = max(sample.places().values())
    all_full = all((rows == longest).all() for rows in sample.lengths().values())
    if not sample.is_fixed and all_full and longest > 1 and not _can_run(subject, sample.padded(1)):
        # All rows have the maximum length, so without truncation no batch would contain padding.
        notes.append(f"the model cannot run on rows longer than {longest}, so some rows were truncated")
        return _cut_to_quarters(sample, longest)
    return sample


def _cut_to_quarters(sample: Sample, longest: int) -> Sample:
    """Truncate one quarter of the rows to each of 100%, 75%, 50% and 25% of `longest` tokens."""
    cuts = [sample.select(np.arange(i, len(sample), 4)).cut(max(1, longest * (4 - i) // 4)) for i in range(4)]
    return reduce(Sample.joined, cuts)


def _keep_rows_that_run_alone(subject: Subject, probe: Sample, notes: list[str]) -> Sample:
    runnable = [row for row in range(len(probe)) if _can_run(subject, probe.alone(row))]
    if not runnable:
        # This call raises the model's own error.
        subject.predict(probe.alone(len(probe) - 1))
    if len(runnable) < len(probe):
        first_bad = next(row for row in range(len(probe)) if row not in runnable)
        length = int(shared_lengths(probe)[first_bad])
        notes.append(f"the model cannot run on a single {describe_row(length)}")
    return probe.select(runnable)


def _can_run(subject: Subject, batch: ModelBatch) -> bool:
    with suppress(CannotRunError):
        subject.predict(batch)
        return True
    return False


def _rows_interact(setup: CheckSetup) -> bool:
    """Return whether the outputs for a row change if the other rows of the batch have other tokens.

    All rows of the batch have the same length.
    """
    for row in {0, len(setup.probe) - 1}:
        copies = setup.probe.select([row] * 4)
        first, second = (_replace_other_rows(copies, seed) for seed in (1, 2))
        outputs, others = setup.subject.predict(first), setup.subject.predict(second)
        for name, output in outputs.items():
            scale = scale_of(output[0])
            if difference(output[0], others[name][0]) > 1e-6 * scale:
                return True
    return False


def _replace_other_rows(sample: Sample, seed: int) -> ModelBatch:
    """Return a batch in which all rows except the first have other tokens."""
    original, other = sample.padded(), sample.with_random_tokens(seed).padded()
    batch = {}
    for name, padded in original.items():
        values = other[name].values.copy()
        values[0] = padded.values[0]
        batch[name] = replace(padded, values=values)
    return batch


def compare_row_alone(setup: CheckSetup, subject: Subject) -> Deviations:
    """Compare the outputs for each row in a padded batch and for the same row alone.

    The batch is padded to several lengths.
    """
    probe = setup.probe
    alone = [subject.predict(probe.alone(row)) for row in range(len(probe))]
    lengths = shared_lengths(probe)
    found: Deviations = {}
    for more in setup.more:
        batch = probe.padded(more)
        outputs = subject.predict(batch)
        wrong = _find_wrong_sizes(probe, alone, outputs, more)
        one = subject.predict({name: _select_row(padded, 0) for name, padded in batch.items()})
        # The number of steps of an output must not depend on the number of rows.
        wrong |= {name for name, output in one.items() if output.shape[1:] != outputs[name].shape[1:]}
        for row, reference in enumerate(alone):
            for name, output in outputs.items():
                expected = reference[name][0]
                cut = None if name in wrong else crop(output[row], expected.shape, probe.padding)
                where = f"{describe_row(int(lengths[row]))} padded to {max(probe.places(more).values())}"
                deviation = Deviation(difference(expected, cut), scale_of(expected), where)
                add_deviation(found, name, deviation)
    return found


def _find_wrong_sizes(probe: Sample, alone: Sequence[Outputs], outputs: Outputs, more: int) -> set[str]:
    """Return the outputs whose number of time steps does not grow with the padding of the rows.

    Without padding, these outputs have one time step per token.
    """
    wrong = set()
    places = probe.places(more)
    for name, output in outputs.items():
        for axis in range(1, output.ndim):
            sizes = [one[name].shape[axis] for one in alone if one[name].ndim == output.ndim]
            steps = [
                n for n, rows in probe.lengths().items() if rows.tolist() == sizes and len(set(sizes)) > 1
            ]
            if steps and output.shape[axis] not in [places[n] for n in steps]:
                wrong.add(name)
    return wrong


def compare_more_padding(setup: CheckSetup, subject: Subject) -> Deviations:
    """Compare the outputs for a padded batch and for the same batch with more padding.

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
    """Compare the outputs for a padded batch and for the same batch with other values in the padding."""
    assert subject.other is not None
    # Add one position if the model supports it, because rows of equal length would have no padding.
    more = min(1, setup.more[-1])
    batch, places = setup.sample.padded(more), setup.sample.places(more)
    base, outputs = subject.predict(batch), subject.other(batch)
    steps = {
        name: tuple(tuple(i for i, n in places.items() if n == size) or None for size in output.shape[1:])
        for name, output in base.items()
    }
    return compare_real_positions(setup.sample, steps, base, outputs, "different values in the padding")


def compare_empty_rows(setup: CheckSetup, subject: Subject) -> tuple[Deviations, bool]:
    """Compare the outputs of rows without tokens at several padded lengths.

    Returns:
        The deviation of each output, and whether any output is NaN in all rows.
    """
    empty = setup.sample.empty(2)
    # The outputs of empty rows may be close to zero, so use the scale of other rows' outputs.
    usual = {name: scale_of(output) for name, output in subject.predict(setup.probe.padded()).items()}
    runs = [subject.predict(empty.padded(places)) for places in EMPTY_PLACES]
    found: Deviations = {}
    all_nan = False
    for places, outputs in zip(EMPTY_PLACES[1:], runs[1:], strict=True):
        for name, output in outputs.items():
            if output.shape != runs[0][name].shape:
                # The output has a value for each position, and none of the positions is real.
                continue
            all_nan |= is_all_nan(output)
            deviation = Deviation(
                difference(runs[0][name], output),
                max(usual[name], scale_of(runs[0][name])),
                f"row of 0 tokens padded to {places}",
            )
            add_deviation(found, name, deviation)
    return found, all_nan


def measure_gradient(setup: CheckSetup, subject: Subject) -> Deviations:
    """Measure the largest gradient with respect to a padded position. The gradient must be exactly zero."""
    assert subject.gradient is not None
    batch = setup.probe.cut(GRADIENT_STEPS).padded(MORE[2])
    [mask] = {name: padded.mask for name, padded in batch.items()}.values()
    found = np.abs(subject.gradient(batch))
    return {
        "gradient": Deviation(
            float(found[~mask].max(initial=0)), float(found[mask].max(initial=0)), "at a padded position"
        )
    }


def measure_noise(setup: CheckSetup, subject: Subject) -> dict[str, float]:
    """Measure the numerical noise of each output, by repeating rows and changing the weights slightly.

    Returns:
        The largest change of each output that rounding causes, keyed by output name.
    """
    batch = setup.probe.padded()
    base = subject.predict(batch)
    largest = dict.fromkeys(base, 0.0)
    if not setup.interact:
        # A different number of rows changes only the order of additions.
        twice = subject.predict(setup.probe.select(np.tile(np.arange(len(setup.probe)), 2)).padded())
        for name, output in twice.items():
            largest[name] = difference(base[name], output[: len(base[name])])
    if subject.jittered is not None:
        for name, output in subject.jittered(batch).items():
            largest[name] = max(largest[name], difference(base[name], output))
    return {
        name: min(size, MOST_NOISE * scale_of(base[name])) if np.isfinite(size) else 0.0
        for name, size in largest.items()
    }


def find_constant_outputs(setup: CheckSetup, subject: Subject) -> set[str]:
    """Return the outputs that stay the same if all tokens change. Such outputs cannot show a leak."""
    changed: set[str] = set()
    names: set[str] = set()
    # Use two rows, because a model may subtract the mean of the batch.
    rows = setup.probe.select([len(setup.probe) - 1] * 2)
    outputs = subject.predict(rows.with_random_tokens(10).padded())
    for seed in (11, 12, 13):
        for name, output in subject.predict(rows.with_random_tokens(seed).padded()).items():
            names.add(name)
            if difference(outputs[name], output) > LIMITS["float64"] * scale_of(outputs[name]):
                changed.add(name)
    return names - changed


def _select_row(padded: Any, row: int) -> Any:
    piece = slice(row, row + 1)
    return replace(
        padded, values=padded.values[piece], mask=padded.mask[piece], lengths=padded.lengths[piece]
    )
