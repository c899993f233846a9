"""Find the rows and padded lengths with which the checks run a model: `CheckSetup`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from padmask.verify.proof.deviations import are_close, describe_row, difference, scale_of
from padmask.verify.proof.sample import ModelBatch, Sample, pick_rows, shared_lengths
from padmask.verify.proof.subject import CannotRunError, Subject
from padmask.verify.proof.tolerance import LIMITS

# Numbers of padding positions to add to the longest row: none, few and many. The largest is a multiple of 64,
# so that the tokens keep their places in models that divide rows into windows.
MORE = (0, 1, 4, 64)

# With `far`, the checks also pad rows to this length, or to four times the longest row if this is longer.
FAR = 512

# Maximum number of rows that also run in a batch of one row.
ROWS_ALONE = 16


@dataclass(frozen=True)
class CheckSetup:
    """The rows and padded lengths with which the checks run a model and its control model.

    Args:
        subject: model to check.
        sample: all rows.
        probe: rows that also run alone, each in a batch of one row.
        more: numbers of padding positions to test. Each number is added to the length of the longest row.
        interact: whether the rows of a batch influence each other.
        notes: sentences for the report about rows and padded lengths that the model does not accept.
        deterministic: whether two runs of the same batch return the same outputs.
        has_blocks: whether the time axis of an output has several blocks of positions.
    """

    subject: Subject
    sample: Sample
    probe: Sample
    more: tuple[int, ...]
    interact: bool
    notes: tuple[str, ...] = ()
    deterministic: bool = True
    has_blocks: bool = False

    @property
    def mixed(self) -> Sample:
        """The rows of the probe in an order in which long and short rows alternate.

        With such batches, the check `row-alone` detects a model that sorts the rows by length and does not
        restore their order.
        """
        return _mix(self.probe)


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
        known = len(notes)
        kept = _keep_rows_that_run_alone(subject, probe, notes)
        if _needs_longest(subject, probe, kept):
            del notes[known:]
            sample, probe = sample.fixed(), probe.fixed()
        else:
            probe = kept
    longest = max(probe.places().values())
    wanted: tuple[int, ...] = (0,) if sample.is_fixed else MORE
    if far and not sample.is_fixed:
        wanted = (*wanted, max(FAR, longest * 4) - longest)
    # These are the batches of the check 'row-alone', so that cached outputs are used there.
    mixed = _mix(probe)
    more = tuple(number for number in wanted if _can_run(subject, mixed.padded(number)))
    if not more:
        raise CannotRunError(f"{subject.name} runs on single rows, but fails on a padded batch.")
    left_out = [number for number in wanted if number not in more]
    if left_out:
        notes.append(f"the model cannot run if {left_out[0]} padding positions are added to each row")
    if sample.is_fixed and subject.other is not None:
        notes.append(
            "the model accepts only rows of one fixed length, so the checks changed only the values at "
            "padded positions"
        )
    deterministic = _is_deterministic(subject, probe)
    setup = CheckSetup(subject, sample, probe, more, False, tuple(notes), deterministic)
    if not deterministic or sample.is_fixed or not _rows_interact(setup):
        return setup
    notes.append("the rows of a batch influence each other, so batches were compared instead of single rows")
    return replace(setup, interact=True, notes=tuple(notes))


def _mix(probe: Sample) -> Sample:
    """Reorder rows that are sorted by length, so that long and short rows alternate."""
    count = len(probe)
    return probe.select([count - 1 - place // 2 if place % 2 == 0 else place // 2 for place in range(count)])


def _is_deterministic(subject: Subject, sample: Sample) -> bool:
    batch = sample.padded()
    predict = subject.predict_uncached or subject.predict
    first = subject.predict(batch)
    # A model that remembers rows may return other outputs after other rows of the same lengths.
    predict(sample.with_random_tokens(8).padded())
    return are_close(first, predict(batch), LIMITS[subject.dtype])


def _keep_runnable_rows(subject: Subject, sample: Sample, notes: list[str]) -> Sample:
    """Return the sample, with truncated rows if necessary.

    All rows are truncated if the model can run only on shorter rows. Some rows are truncated if every row has
    the maximum length of the model, because batches would contain no padding.
    """
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
    """Divide the rows into four parts, and truncate the parts to 100%, 75%, 50% and 25% of `longest`."""
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


def _needs_longest(subject: Subject, probe: Sample, kept: Sample) -> bool:
    """Return whether the model runs only on rows of the longest length, so that shorter rows need padding.

    Args:
        subject: model.
        probe: rows of several lengths.
        kept: the rows of `probe` on which the model can run without padding.
    """
    longest = max(kept.places().values())
    return (
        bool((shared_lengths(probe) < longest).any())
        and bool((shared_lengths(kept) == longest).all())
        and not any(_can_run(subject, kept.padded(number)) for number in MORE[1:])
    )


def fit_to_control(setup: CheckSetup, control: Subject) -> CheckSetup:
    """Return the setup without the padded lengths that the control model cannot run.

    The control model may fail at a length that the model accepts. For example, a model may count only real
    tokens as positions. Its control model also counts padding, which may be more positions than it supports.
    """
    return replace(
        setup, more=tuple(number for number in setup.more if _can_run(control, setup.mixed.padded(number)))
    )


def _can_run(subject: Subject, batch: ModelBatch) -> bool:
    with suppress(CannotRunError):
        subject.predict(batch)
        return True
    return False


def _rows_interact(setup: CheckSetup) -> bool:
    """Return whether the outputs for a row change if the other rows of the batch have other tokens.

    All rows of the batch have the same length. Rows are ignored if the model cannot run on them, or returns
    NaN or infinity for them.
    """
    for row in {0, len(setup.probe) - 1}:
        copies = setup.probe.select([row] * 4)
        first, second = (_replace_other_rows(copies, seed) for seed in (1, 2))
        with suppress(CannotRunError):
            outputs, others = setup.subject.predict(first), setup.subject.predict(second)
            for name, output in outputs.items():
                change = difference(output[0], others[name][0])
                if np.isfinite(change) and change > 1e-6 * scale_of(output[0]):
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
