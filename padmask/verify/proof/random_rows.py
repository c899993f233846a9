"""Generate random rows to verify a model without data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.python_rows import flatten
from padmask.core.ragged import Ragged
from padmask.errors import SpecError
from padmask.spec.pad import Side
from padmask.verify.proof.sample import Input, ModelInput, Sample

LENGTHS: npt.NDArray[np.int64] = np.arange(1, 12, dtype=np.int64)

# Number of rows of each length. Their tokens differ.
DRAWS = 2

# Number of values per step, for models that do not specify a number.
FEATURES = 5


def draw_random_rows(
    slots: Sequence[ModelInput],
    *,
    padding: Side,
    value: Any,
    vocab_size: int | None = None,
    seed: int = 0,
    different_lengths: bool = True,
) -> Sample:
    """Generate random rows for every input of a model.

    Args:
        slots: inputs of the model.
        padding: side of the padding.
        value: pad value. No random token has this value.
        vocab_size: size of the vocabulary from which ids are drawn. If None, the number of ids that each
            embedding of the model accepts is used.
        seed: random seed.
        different_lengths: whether the inputs of a row have different lengths. With equal lengths, one input
            can hide a leak in another input.
    """
    random = np.random.default_rng(seed)
    inputs: dict[str, Input] = {}
    pool: dict[str, npt.NDArray[Any]] = {}
    for number, slot in enumerate(slot for slot in slots if slot.kind in ("tokens", "features")):
        lengths = _choose_lengths(slot.shape[0], number if different_lengths else 0)
        pool[slot.name] = _draw_pool(slot, value, vocab_size, random)
        drawn = pool[slot.name][random.integers(len(pool[slot.name]), size=int(lengths.sum()))]
        rows = Ragged(drawn, np.cumsum(lengths) - lengths, lengths)
        inputs[slot.name] = Input(rows, value, slot.dtype, slot.shape[0])
    return _add_static_inputs(slots, Sample(inputs, padding, pool), random)


def take_sample(
    slots: Sequence[ModelInput],
    rows: Mapping[str, Sequence[npt.NDArray[Any]]],
    *,
    padding: Side,
    values: Mapping[str, Any],
    seed: int = 0,
) -> Sample:
    """Create a sample from rows of the data.

    Args:
        slots: inputs of the model.
        rows: real tokens of each row, keyed by input name.
        padding: side of the padding.
        values: pad value of each input, keyed by input name.
        seed: random seed for the inputs without a time axis that are not in `rows`.
    """
    timed = [slot for slot in slots if slot.kind in ("tokens", "features")]
    inputs = {
        slot.name: Input(
            flatten([np.asarray(row) for row in rows[slot.name]]),
            values[slot.name],
            slot.dtype,
            slot.shape[0],
        )
        for slot in timed
    }
    pool = {name: given.rows.values for name, given in inputs.items()}
    return _add_static_inputs(slots, Sample(inputs, padding, pool), np.random.default_rng(seed), rows)


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
                drawn = np.array(rows[slot.name]).reshape(count, *inner)
            one = np.ones(count, dtype=np.int64)
            inputs[slot.name] = Input(Ragged(drawn, np.arange(count), one), 0, slot.dtype, None, static=True)
    return Sample(inputs, sample.padding, sample.pool)


def _choose_lengths(places: int | None, shift: int) -> npt.NDArray[np.int64]:
    """Return the length of each row of an input: shape (rows,).

    Args:
        places: padded length that the input requires; None for any length.
        shift: number of the input. In the same row, inputs with different numbers have different lengths.
    """
    lengths = LENGTHS if places is None else _choose_lengths_up_to(places)
    lengths = np.roll(lengths, 4 * shift)
    if places is None and shift:
        lengths = np.minimum(lengths, len(LENGTHS) - shift % 8)
    return np.tile(lengths, DRAWS)


def _choose_lengths_up_to(places: int) -> npt.NDArray[np.int64]:
    candidates = [1, 2, 3, places // 4, places // 2, places * 3 // 4, places - 1, places]
    different = np.unique(np.clip(np.array(candidates, dtype=np.int64), 1, places))
    return different[np.arange(len(LENGTHS)) % len(different)]


def _draw_pool(
    slot: ModelInput, value: Any, vocab_size: int | None, random: np.random.Generator
) -> npt.NDArray[Any]:
    inner = tuple(size or FEATURES for size in slot.shape[1:])
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
