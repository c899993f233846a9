"""Generate random rows to verify a model without data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.python_rows import flatten
from padmask.core.ragged import Ragged
from padmask.errors import SpecError, count
from padmask.spec.verify import ModelSpec
from padmask.verify.proof.sample import Input, ModelBatch, ModelInput, Sample, shared_lengths

LENGTHS: npt.NDArray[np.int64] = np.arange(1, 12, dtype=np.int64)

# Lengths of the longest row, for models that cannot run on shorter rows.
LONGER = (32, 64, 128, 256)

# Number of rows of each length. Their tokens differ.
DRAWS = 2

# Number of values per step, for models that do not specify a number.
FEATURES = 5


def draw_random_rows(
    slots: Sequence[ModelInput],
    spec: ModelSpec,
    value: Any,
    *,
    different_lengths: bool = True,
    longest: int | None = None,
) -> Sample:
    """Generate random rows for every input of a model.

    Args:
        slots: inputs of the model.
        spec: options of the verification. If `vocab_size` is None, random ids are smaller than the number of
            ids that the embedding accepts.
        value: pad value. No random token has this value.
        different_lengths: whether the inputs of a row have different lengths. With equal lengths, one input
            can hide a leak in another input.
        longest: length of the longest row; None for the lengths in `LENGTHS`.
    """
    random = np.random.default_rng(spec.seed)
    base = LENGTHS
    if longest is not None:
        base = np.linspace(longest // 4, longest, len(LENGTHS)).round().astype(np.int64)
    inputs: dict[str, Input] = {}
    pool: dict[str, npt.NDArray[Any]] = {}
    for number, slot in enumerate(slot for slot in slots if slot.kind in ("tokens", "features")):
        lengths = _choose_lengths(base, slot.places, number if different_lengths else 0)
        pool[slot.name] = _draw_pool(slot, value, spec.vocab_size, random)
        inputs[slot.name] = Input(
            _draw_rows(pool[slot.name], lengths, random), value, slot.dtype, slot.places
        )
    for slot in slots:
        if slot.kind == "segments":
            pool[slot.name] = np.arange(slot.vocab or 2)
            rows = _draw_rows(pool[slot.name], inputs[slot.mask_of or ""].rows.lengths, random)
            inputs[slot.name] = Input(rows, 0, slot.dtype, slot.places)
    return _add_static_inputs(slots, Sample(inputs, spec.padding, pool), random)


def draw_longer_rows(
    slots: Sequence[ModelInput], spec: ModelSpec, value: Any, can_run: Callable[[ModelBatch], bool]
) -> Sample | None:
    """Generate random rows for a model that cannot run on short rows.

    Args:
        slots: inputs of the model.
        spec: options of the verification.
        value: pad value.
        can_run: function that returns whether the model can run on a batch.

    Returns:
        Rows that can run alone: half or more of the generated rows. None if fewer rows can run alone, or if
        they cannot run as one batch.
    """
    for longest in LONGER:
        sample = draw_random_rows(slots, spec, value, different_lengths=False, longest=longest)
        lengths = shared_lengths(sample)
        if not can_run(sample.padded()) or not can_run(middle_row(sample)):
            continue
        for shortest in np.unique(lengths):
            if can_run(sample.alone(int(np.argmax(lengths == shortest)))):
                return sample.select(np.flatnonzero(lengths >= shortest))
    return None


def choose_random_rows(
    slots: Sequence[ModelInput],
    spec: ModelSpec,
    value: Any,
    can_run: Callable[[ModelBatch], bool],
    can_run_alone: Callable[[ModelBatch], bool],
) -> Sample:
    """Generate random rows on which a model can run, if possible.

    Args:
        slots: inputs of the model.
        spec: options of the verification.
        value: pad value.
        can_run: function that returns whether the model can run on a batch.
        can_run_alone: as `can_run`, but the function also returns False if the rows are too short for a
            layer.
    """
    samples = [
        draw_random_rows(slots, spec, value, different_lengths=different_lengths)
        for different_lengths in (True, False)
    ]
    fits = next((sample for sample in samples if can_run(sample.padded())), None)
    if fits is not None and (fits.has_fixed or can_run_alone(middle_row(fits))):
        return fits
    # A model with strides may need longer rows. If no longer rows can run, `prepare` tries shorter rows.
    return draw_longer_rows(slots, spec, value, can_run_alone) or fits or samples[-1]


def middle_row(sample: Sample) -> ModelBatch:
    """Return a batch that contains only the row of median length."""
    return sample.alone(int(np.argsort(shared_lengths(sample), kind="stable")[len(sample) // 2]))


def _draw_rows(pool: npt.NDArray[Any], lengths: npt.NDArray[np.int64], random: np.random.Generator) -> Ragged:
    drawn = pool[random.integers(len(pool), size=int(lengths.sum()))]
    return Ragged(drawn, np.cumsum(lengths) - lengths, lengths)


def take_sample(
    slots: Sequence[ModelInput],
    rows: Mapping[str, Sequence[npt.NDArray[Any]]],
    spec: ModelSpec,
    value: Any,
) -> Sample:
    """Create a sample from rows of the data.

    Args:
        slots: inputs of the model.
        rows: real tokens of each row, keyed by input name.
        spec: options of the verification. Its seed generates the values of static inputs that `rows` lacks.
        value: pad value.
    """
    timed = [slot for slot in slots if slot.kind in ("tokens", "features")]
    inputs = {
        slot.name: Input(
            flatten([np.asarray(row) for row in rows[slot.name]]),
            value,
            slot.dtype,
            slot.places,
        )
        for slot in timed
    }
    for slot in slots:
        if slot.kind == "segments" and slot.name in rows:
            inputs[slot.name] = Input(
                flatten([np.asarray(row) for row in rows[slot.name]]), 0, slot.dtype, slot.places
            )
        elif slot.kind == "segments":
            # Without a column, each row has one segment.
            like = inputs[slot.mask_of or ""].rows
            zeros = np.zeros(int(like.lengths.sum()), dtype=np.int64)
            one = Ragged(zeros, np.cumsum(like.lengths) - like.lengths, like.lengths)
            inputs[slot.name] = Input(one, 0, slot.dtype, slot.places)
    pool = {name: given.rows.values for name, given in inputs.items()}
    random = np.random.default_rng(spec.seed)
    return _add_static_inputs(slots, Sample(inputs, spec.padding, pool), random, rows)


def _add_static_inputs(
    slots: Sequence[ModelInput],
    sample: Sample,
    random: np.random.Generator,
    rows: Mapping[str, Sequence[npt.NDArray[Any]]] | None = None,
) -> Sample:
    """Add the inputs that have no time axis. If `rows` has no values for an input, use random values."""
    inputs, count = dict(sample.inputs), len(sample)
    for slot in slots:
        if slot.kind == "static":
            inner = tuple(size or FEATURES for size in slot.shape)
            floats = slot.dtype.startswith(("float", "bfloat"))
            drawn: npt.NDArray[Any] = (
                random.standard_normal((count, *inner))
                if floats
                else random.integers(0, slot.vocab or 2, (count, *inner))
            )
            if rows is not None and slot.name in rows:
                drawn = _given_values(slot, rows[slot.name])
            one = np.ones(count, dtype=np.int64)
            inputs[slot.name] = Input(Ragged(drawn, np.arange(count), one), 0, slot.dtype, None, static=True)
    return Sample(inputs, sample.padding, sample.pool)


def _given_values(slot: ModelInput, rows: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the values of an input without a time axis: shape (rows, ...)."""
    arrays = [np.asarray(row) for row in rows]
    known = [size for size in slot.shape if size is not None]
    inner = tuple(known) if len(known) == len(slot.shape) else np.shape(arrays[0])
    wanted = math.prod(inner)
    wrong = next((array.size for array in arrays if array.size != wanted), None)
    if wrong is not None:
        raise SpecError(
            f"The input {slot.name!r} requires {count(wanted, 'value')} per row, but a row has {wrong}. "
            "Choose another column with --input NAME:static=COLUMN.",
            options=["model_inputs"],
        )
    return np.array([array.reshape(inner) for array in arrays])


def _choose_lengths(base: npt.NDArray[np.int64], places: int | None, shift: int) -> npt.NDArray[np.int64]:
    """Return the length of each row of an input: shape (rows,).

    Args:
        base: lengths to use if the input accepts any length.
        places: padded length that the input requires; None if the input accepts any length.
        shift: 0, or the index of the input in the model. Inputs with different values of `shift` have
            different lengths in the same row.
    """
    lengths = base if places is None else _choose_lengths_up_to(places)
    lengths = np.roll(lengths, 4 * shift)
    if places is None and shift:
        lengths = np.minimum(lengths, base.max() - shift % 8)
    return np.tile(lengths, DRAWS)


def _choose_lengths_up_to(places: int) -> npt.NDArray[np.int64]:
    candidates = [1, 2, 3, places // 4, places // 2, places * 3 // 4, places - 1, places]
    different = np.unique(np.clip(np.array(candidates, dtype=np.int64), 1, places))
    return different[np.arange(len(LENGTHS)) % len(different)]


def _draw_pool(
    slot: ModelInput, value: Any, vocab_size: int | None, random: np.random.Generator
) -> npt.NDArray[Any]:
    inner = tuple(size or FEATURES for size in slot.inner)
    if slot.kind == "features":
        return np.asarray(random.standard_normal((512, *inner)), dtype="float32")
    # If the embedding may belong to another input, use its size only if there is no vocab_size.
    own = slot.vocab if slot.exact or vocab_size is None else None
    sizes = [size for size in (vocab_size, own) if size is not None]
    if not sizes:
        raise SpecError(
            f"The number of ids for the input {slot.name!r} is unknown. Set --vocab-size (vocab_size), or "
            "pass data.",
            options=["vocab_size"],
        )
    ids = np.setdiff1d(np.arange(min(sizes)), [int(value)])
    # Embedding(mask_zero=True) treats 0 as padding, even if the pad value is different.
    ids = ids[ids != 0] if len(ids) > 1 else ids
    if not len(ids):
        raise SpecError(
            f"A vocabulary size of {min(sizes)} leaves no id other than the pad value. Set a larger "
            "--vocab-size.",
            options=["vocab_size"],
        )
    return random.choice(ids, (512, *inner)) if inner else ids
