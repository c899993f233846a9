"""Draw random rows for a model where there are no data."""

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

# Each length comes this often, with other tokens.
DRAWS = 2

# Values of a step where the model does not say how many.
FEATURES = 5


def draw_random_rows(
    slots: Sequence[ModelInput],
    *,
    padding: Side,
    value: Any,
    vocab_size: int | None = None,
    seed: int = 0,
    apart: bool = True,
) -> Sample:
    """Draw rows for every input of a model.

    Args:
        slots: the inputs.
        padding: the side of the padding.
        value: the pad value; no token has it.
        vocab_size: ids there are; None takes the embeddings' sizes.
        seed: of the draw.
        apart: whether each input gets lengths of its own, so that none can hide behind another.
    """
    random = np.random.default_rng(seed)
    inputs: dict[str, Input] = {}
    pool: dict[str, npt.NDArray[Any]] = {}
    for place, slot in enumerate(slot for slot in slots if slot.kind in ("tokens", "features")):
        lengths = _lengths(slot.shape[0], place if apart else 0)
        pool[slot.name] = _pool(slot, value, vocab_size, random)
        drawn = pool[slot.name][random.integers(len(pool[slot.name]), size=int(lengths.sum()))]
        rows = Ragged(drawn, np.cumsum(lengths) - lengths, lengths)
        inputs[slot.name] = Input(rows, value, slot.dtype, slot.shape[0])
    return _with_static(slots, Sample(inputs, padding, pool), random)


def take_sample(
    slots: Sequence[ModelInput],
    rows: Mapping[str, Sequence[npt.NDArray[Any]]],
    *,
    padding: Side,
    values: Mapping[str, Any],
    seed: int = 0,
) -> Sample:
    """Make a sample of rows that there are, by the names of the inputs."""
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
    return _with_static(slots, Sample(inputs, padding, pool), np.random.default_rng(seed), rows)


def _with_static(
    slots: Sequence[ModelInput],
    sample: Sample,
    random: np.random.Generator,
    rows: Mapping[str, Sequence[npt.NDArray[Any]]] | None = None,
) -> Sample:
    """Add inputs that know no time: the values there are, else a random one for each row."""
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


def _lengths(places: int | None, shift: int) -> npt.NDArray[np.int64]:
    """Return the lengths to try; an input's own are shifted, and its longest row is another."""
    lengths = LENGTHS if places is None else _fixed_lengths(places)
    lengths = np.roll(lengths, 4 * shift)
    if places is None and shift:
        lengths = np.minimum(lengths, len(LENGTHS) - shift % 8)
    return np.tile(lengths, DRAWS)


def _fixed_lengths(places: int) -> npt.NDArray[np.int64]:
    some = [1, 2, 3, places // 4, places // 2, places * 3 // 4, places - 1, places]
    different = np.unique(np.clip(np.array(some, dtype=np.int64), 1, places))
    return different[np.arange(len(LENGTHS)) % len(different)]


def _pool(
    slot: ModelInput, value: Any, vocab_size: int | None, random: np.random.Generator
) -> npt.NDArray[Any]:
    inner = tuple(size or FEATURES for size in slot.shape[1:])
    if slot.kind == "features":
        return np.asarray(random.standard_normal((512, *inner)), dtype="float32")
    # Which embedding the ids go to may be unknown: then all are served, unless it is said how many.
    own = slot.vocab if slot.exact or vocab_size is None else None
    sizes = [size for size in (vocab_size, own) if size is not None]
    if not sizes:
        raise SpecError(
            f"Nobody says how many ids there are for the input {slot.name!r}. Say it with --vocab-size "
            "(vocab_size), or give data.",
            options=["vocab_size"],
        )
    ids = np.setdiff1d(np.arange(min(sizes)), [int(value)])
    # 0 is what Embedding(mask_zero=True) takes for padding, whatever the pad id is.
    ids = ids[ids != 0] if len(ids) > 1 else ids
    if not len(ids):
        raise SpecError(
            f"With {min(sizes)} ids there is none beside the pad id. Give a larger --vocab-size.",
            options=["vocab_size"],
        )
    return random.choice(ids, (512, *inner)) if inner else ids
