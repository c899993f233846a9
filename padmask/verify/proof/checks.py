"""The invariances of a model that ignores padding, as checks over a predict function."""

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
    add,
    at_real_places,
    crop,
    difference,
    find_steps,
    is_no_number,
    row_of,
    scale_of,
)
from padmask.verify.proof.sample import ModelBatch, Sample, pick_rows, shared_lengths
from padmask.verify.proof.tolerance import LIMITS, MOST_NOISE, Array, Deviation, Deviations

Predict = Callable[[ModelBatch], Outputs]

# Places of padding added to those of the longest row: none, few, and many.
MORE = (0, 1, 4, 60)

FAR = 512

ROWS_ALONE = 16

# Tokens of a row whose gradients are looked at: each step is taken forth and back.
GRADIENT_STEPS = 12

# Padded lengths at which a row without a token is looked at.
EMPTY_PLACES = (4, 7, 21)


class CannotRunError(PadmaskError):
    """A model does not take the batch that it was given."""

    blames_input = True


@dataclass(frozen=True)
class Subject:
    """A model under proof, as NumPy sees it.

    Args:
        name: what the report calls it.
        predict: gives the outputs, each of shape (rows, ...), for a batch.
        dtype: in which it computes.
        anew: predicts anew, where `predict` remembers what it said; None where it always runs.
        other: predicts with other content in the padded places; None where the mask comes from
            the content itself.
        gradient: gives the gradients of the outputs at real places with respect to the embedded
            inputs, shape (rows, maxlen, ...); None where there is none.
        jittered: predicts with weights moved by rounding errors; the change is the model's noise.
        precise: makes the same model in double precision, where that is possible.
        reason: why `other` or `gradient` is not there.
    """

    name: str
    predict: Predict
    dtype: str = "float32"
    anew: Predict | None = None
    other: Predict | None = None
    gradient: Callable[[ModelBatch], Array] | None = None
    jittered: Predict | None = None
    precise: Callable[[], Subject | None] | None = None
    reason: str = "the mask comes from the content itself"


@dataclass(frozen=True)
class Bench:
    """A subject with the rows and the paddings that it can run: the same ones for its control.

    Args:
        subject: under proof.
        sample: all rows.
        probe: the rows that are also run alone.
        more: places of padding added.
        interact: whether the rows of a batch influence each other.
        notes: what had to be left out.
        repeats: whether the model says the same of the same batch, each time.
    """

    subject: Subject
    sample: Sample
    probe: Sample
    more: tuple[int, ...]
    interact: bool
    notes: tuple[str, ...] = ()
    repeats: bool = True


def prepare(subject: Subject, sample: Sample, *, far: bool = False, alone: int = ROWS_ALONE) -> Bench:
    """Find the rows and paddings that a subject can run, and whether its rows influence each other.

    Args:
        subject: under proof.
        sample: the rows there are.
        far: whether to pad far beyond the longest row too.
        alone: rows that are also run alone, at most.

    Raises:
        CannotRunError: it runs none.
    """
    notes: list[str] = []
    sample = _that_runs(subject, sample, notes)
    probe = sample.select(pick_rows(shared_lengths(sample), alone))
    if not sample.is_fixed:
        probe = _that_run_alone(subject, probe, notes)
    longest = max(probe.places().values())
    wanted: tuple[int, ...] = (0,) if sample.is_fixed else MORE
    if far and not sample.is_fixed:
        wanted = (*wanted, max(FAR, longest * 4) - longest)
    more = tuple(number for number in wanted if _runs(subject, probe.padded(number)))
    if not more:
        raise CannotRunError(f"{subject.name} runs rows alone, but not padded in a batch.")
    left_out = [number for number in wanted if number not in more]
    if left_out:
        notes.append(f"cannot be run with {left_out[0]} more places")
    if sample.is_fixed:
        notes.append("it takes one length only: just the content of padded places could be varied")
    bench = Bench(subject, sample, probe, more, False, tuple(notes), _repeats(subject, probe))
    if not bench.repeats or sample.is_fixed or not _interact(bench):
        return bench
    notes.append("rows of a batch influence each other: batches were held against each other, not rows alone")
    return replace(bench, interact=True, notes=tuple(notes))


def _repeats(subject: Subject, sample: Sample) -> bool:
    batch = sample.padded()
    first, second = subject.predict(batch), (subject.anew or subject.predict)(batch)
    return all(
        difference(output, second[name]) <= LIMITS[subject.dtype] * scale_of(output)
        for name, output in first.items()
    )


def _that_runs(subject: Subject, sample: Sample, notes: list[str]) -> Sample:
    """Return the sample, cut where the model takes only so many places."""
    try:
        subject.predict(sample.padded())
    except CannotRunError as error:
        longest = max(sample.places().values())
        for maxlen in sorted({longest * 3 // 4, longest // 2, longest // 4} - {0}, reverse=True):
            shorter = sample.cut(maxlen)
            if not sample.is_fixed and _runs(subject, shorter.padded()):
                notes.append(f"cannot be run with {longest} places: rows were cut to {maxlen}")
                return shorter
        raise error
    longest = max(sample.places().values())
    full = all((rows == longest).all() for rows in sample.lengths().values())
    if not sample.is_fixed and full and longest > 1 and not _runs(subject, sample.padded(1)):
        # All rows fill the only length there is: shorter ones make room for padding.
        notes.append(f"cannot be run with more than {longest} places: some rows were cut")
        return _staggered(sample, longest)
    return sample


def _staggered(sample: Sample, longest: int) -> Sample:
    """Return the rows cut to a whole, three quarters, a half and a quarter of the places."""
    cuts = [sample.select(np.arange(i, len(sample), 4)).cut(max(1, longest * (4 - i) // 4)) for i in range(4)]
    return reduce(Sample.joined, cuts)


def _that_run_alone(subject: Subject, probe: Sample, notes: list[str]) -> Sample:
    good = [row for row in range(len(probe)) if _runs(subject, probe.alone(row))]
    if not good:
        subject.predict(probe.alone(len(probe) - 1))
    if len(good) < len(probe):
        first_bad = next(row for row in range(len(probe)) if row not in good)
        length = int(shared_lengths(probe)[first_bad])
        notes.append(f"cannot be run on a {row_of(length)} alone")
    return probe.select(good)


def _runs(subject: Subject, batch: ModelBatch) -> bool:
    with suppress(CannotRunError):
        subject.predict(batch)
        return True
    return False


def _interact(bench: Bench) -> bool:
    """Tell whether other rows in the batch, of the same length, change a row's outputs."""
    for row in {0, len(bench.probe) - 1}:
        same = bench.probe.select([row] * 4)
        first, second = (_beside(same, seed) for seed in (1, 2))
        outputs, others = bench.subject.predict(first), bench.subject.predict(second)
        for name, output in outputs.items():
            scale = scale_of(output[0])
            if difference(output[0], others[name][0]) > 1e-6 * scale:
                return True
    return False


def _beside(same: Sample, seed: int) -> ModelBatch:
    """Return a batch in which the first row stays and the others get other tokens."""
    kept, other = same.padded(), same.refilled(seed).padded()
    batch = {}
    for name, padded in kept.items():
        values = other[name].values.copy()
        values[0] = padded.values[0]
        batch[name] = replace(padded, values=values)
    return batch


def row_alone(bench: Bench, subject: Subject) -> Deviations:
    """Hold each row of a padded batch against the same row alone, at several paddings."""
    probe = bench.probe
    alone = [subject.predict(probe.alone(row)) for row in range(len(probe))]
    lengths = shared_lengths(probe)
    found: Deviations = {}
    for more in bench.more:
        batch = probe.padded(more)
        outputs = subject.predict(batch)
        wrong = _wrong_sizes(probe, alone, outputs, more)
        one = subject.predict({name: _row(padded, 0) for name, padded in batch.items()})
        # The number of rows has no say in how many steps a row has.
        wrong |= {name for name, output in one.items() if output.shape[1:] != outputs[name].shape[1:]}
        for row, reference in enumerate(alone):
            for name, output in outputs.items():
                expected = reference[name][0]
                cut = None if name in wrong else crop(output[row], expected.shape, probe.padding)
                where = f"{row_of(int(lengths[row]))} in {max(probe.places(more).values())} places"
                deviation = Deviation(difference(expected, cut), scale_of(expected), where)
                add(found, name, deviation)
    return found


def _wrong_sizes(probe: Sample, alone: Sequence[Outputs], outputs: Outputs, more: int) -> set[str]:
    """Name outputs with a step for each token of a row alone, but not for each place of the batch."""
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


def more_padding(bench: Bench, subject: Subject) -> Deviations:
    """Hold a padded batch against the same batch with more padding.

    The shortest rows also by themselves: beside long ones they have so much padding already that
    more of it may show nothing.
    """
    more = [number for number in bench.more[1:] if number <= MORE[-1]]
    if bench.interact:
        return _with_more(subject, bench.probe, more)
    shortest = np.argsort(shared_lengths(bench.sample), kind="stable")[:ROWS_ALONE]
    found = _with_more(subject, bench.sample, more[-1:])
    for name, deviation in _with_more(subject, bench.sample.select(shortest), more).items():
        add(found, name, deviation)
    return found


def _with_more(subject: Subject, sample: Sample, numbers: Sequence[int]) -> Deviations:
    base = subject.predict(sample.padded())
    found: Deviations = {}
    for more in numbers:
        with suppress(CannotRunError):
            outputs = subject.predict(sample.padded(more))
            follow = find_steps(base, outputs, sample.places(), sample.places(more))
            where = f"{more} more places"
            for name, deviation in at_real_places(sample, follow, base, outputs, where).items():
                add(found, name, deviation)
    return found


def other_content(bench: Bench, subject: Subject) -> Deviations:
    """Hold a padded batch against the same batch with other content in the padded places."""
    assert subject.other is not None
    # One place more, where the model takes it: rows of one length have no padding of their own.
    more = min(1, bench.more[-1])
    batch, places = bench.sample.padded(more), bench.sample.places(more)
    base, outputs = subject.predict(batch), subject.other(batch)
    follow = {
        name: tuple(tuple(i for i, n in places.items() if n == size) or None for size in output.shape[1:])
        for name, output in base.items()
    }
    return at_real_places(bench.sample, follow, base, outputs, "other content in padded places")


def empty_rows(bench: Bench, subject: Subject) -> tuple[Deviations, bool]:
    """Look at a row without a token at several padded lengths: what it says must not depend on them.

    Returns:
        The deviations, and whether the outputs are no numbers at all lengths.
    """
    nothing = bench.sample.empty(2)
    # Its own outputs may be next to nothing: the deviation is held against those of real rows.
    usual = {name: scale_of(output) for name, output in subject.predict(bench.probe.padded()).items()}
    runs = [subject.predict(nothing.padded(places)) for places in EMPTY_PLACES]
    found: Deviations = {}
    no_number = False
    for places, outputs in zip(EMPTY_PLACES[1:], runs[1:], strict=True):
        for name, output in outputs.items():
            if output.shape != runs[0][name].shape:
                # An output for each place has no real ones here.
                continue
            no_number |= is_no_number(output)
            deviation = Deviation(
                difference(runs[0][name], output),
                max(usual[name], scale_of(runs[0][name])),
                f"row of 0 tokens in {places} places",
            )
            add(found, name, deviation)
    return found, no_number


def gradient(bench: Bench, subject: Subject) -> Deviations:
    """Look at the gradients with respect to padded places: they must be exactly zero."""
    assert subject.gradient is not None
    batch = bench.probe.cut(GRADIENT_STEPS).padded(MORE[2])
    [mask] = {name: padded.mask for name, padded in batch.items()}.values()
    found = np.abs(subject.gradient(batch))
    return {
        "gradient": Deviation(
            float(found[~mask].max(initial=0)), float(found[mask].max(initial=0)), "at a padded place"
        )
    }


def noise(bench: Bench, subject: Subject) -> dict[str, float]:
    """Measure how far rounding alone moves each output: the same rows twice in a batch, jittered weights."""
    batch = bench.probe.padded()
    base = subject.predict(batch)
    moved = dict.fromkeys(base, 0.0)
    if not bench.interact:
        # Each row twice: another number of rows, and the same company for each.
        twice = subject.predict(bench.probe.select(np.tile(np.arange(len(bench.probe)), 2)).padded())
        for name, output in twice.items():
            moved[name] = difference(base[name], output[: len(base[name])])
    if subject.jittered is not None:
        for name, output in subject.jittered(batch).items():
            moved[name] = max(moved[name], difference(base[name], output))
    return {
        name: min(size, MOST_NOISE * scale_of(base[name])) if np.isfinite(size) else 0.0
        for name, size in moved.items()
    }


def insensitive(bench: Bench, subject: Subject) -> set[str]:
    """Name the outputs that do not change though all real tokens do: nothing can be proven of them."""
    changed: set[str] = set()
    names: set[str] = set()
    # Two of them, since a row may be held against the others of its batch.
    rows = bench.probe.select([len(bench.probe) - 1] * 2)
    outputs = subject.predict(rows.refilled(10).padded())
    for seed in (11, 12, 13):
        for name, output in subject.predict(rows.refilled(seed).padded()).items():
            names.add(name)
            if difference(outputs[name], output) > LIMITS["float64"] * scale_of(outputs[name]):
                changed.add(name)
    return names - changed


def _row(padded: Any, row: int) -> Any:
    piece = slice(row, row + 1)
    return replace(
        padded, values=padded.values[piece], mask=padded.mask[piece], lengths=padded.lengths[piece]
    )
