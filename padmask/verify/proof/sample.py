"""Rows for the checks of a model, and padded batches of these rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.kernel import Padded, pad_batch, slice_rows
from padmask.core.plan import plan_pad
from padmask.core.ragged import Ragged
from padmask.spec.pad import Side

# Padded values and mask of each model input, by input name.
ModelBatch = Mapping[str, Padded]


# Kinds of inputs that have a time axis. "timed" means "tokens" or "features".
TIMED = ("tokens", "features", "timed")

# Kinds of inputs whose values are computed from the rows of another input.
MADE = ("mask", "lengths", "positions")


@dataclass(frozen=True)
class ModelInput:
    """An input of a model and its role.

    Args:
        name: name of the input in the model.
        kind: `"tokens"` (ids), `"features"` (float vectors), `"segments"` (ids of parts of a row, such as
            sentences), `"mask"`, `"lengths"` (number of tokens in each row), `"positions"` (position of
            each token), or `"static"` (no time axis).
        shape: shape without the batch axis. An axis that may have any size is given as None.
        dtype: dtype that the model expects.
        vocab: number of ids that the embedding accepts; None if unknown.
        mask_of: name of the input that this input describes. Only for the kinds `"mask"`, `"lengths"`,
            `"positions"` and `"segments"`.
        exact: whether `vocab` is the size of the embedding that reads this input. If False, `vocab` is a
            guess.
        time_axis: index of the time axis in `shape`. In the rows of a `Sample`, the time axis is the first
            axis.
    """

    name: str
    kind: str = "tokens"
    shape: tuple[int | None, ...] = (None,)
    dtype: str = "int32"
    vocab: int | None = None
    mask_of: str | None = None
    exact: bool = False
    time_axis: int = 0

    @property
    def places(self) -> int | None:
        """The padded length that the input requires; None if the input accepts any length."""
        return self.shape[self.time_axis] if self.shape else None

    @property
    def inner(self) -> tuple[int | None, ...]:
        """The shape of one token."""
        return self.shape[: self.time_axis] + self.shape[self.time_axis + 1 :]


def find_masked_input(mask: str, timed: Sequence[str]) -> str:
    """Return the name of the input that a mask describes: the input with the most similar name.

    >>> find_masked_input("decoder_mask", ["encoder_ids", "decoder_ids"])
    'decoder_ids'
    >>> find_masked_input("tgt_padding_mask", ["source", "target"])
    'target'
    """
    words = _words_of(mask) - {"mask"}
    return max(timed, key=lambda name: len(words & _words_of(name)))


# Words in input names that mean the source side ("src") or the target side ("tgt") of a model.
_SIDES = {
    **dict.fromkeys(("source", "enc", "encoder", "memory"), "src"),
    **dict.fromkeys(("trg", "target", "targets", "dec", "decoder"), "tgt"),
}


def _words_of(name: str) -> set[str]:
    return {_SIDES.get(word, word) for word in re.split(r"[^a-z0-9]+", name.lower())}


@dataclass(frozen=True)
class Input:
    """The rows of one model input, without padding.

    Args:
        rows: real tokens of each row.
        value: pad value.
        dtype: dtype that the model expects.
        places: padded length that the model requires; None if the model accepts any length.
        static: whether the input has no time axis. Each row of such an input is a single value and is not
            padded.
    """

    rows: Ragged
    value: Any = 0
    dtype: npt.DTypeLike = "int32"
    places: int | None = None
    static: bool = False


@dataclass(frozen=True)
class Sample:
    """The rows of all inputs of a model, without padding.

    >>> from padmask.core.python_rows import flatten
    >>> sample = Sample({"ids": Input(flatten([[7], [8, 9]]))})
    >>> sample.padded(1)["ids"].values.tolist(), sample.alone(0)["ids"].values.tolist()
    ([[7, 0, 0], [8, 9, 0]], [[7]])

    Args:
        inputs: rows of each input, keyed by input name. Every input has the same number of rows.
        padding: side of the padding.
        pool: tokens from which random replacements are drawn, keyed by input name. By default, the tokens of
            the sample.
    """

    inputs: Mapping[str, Input]
    padding: Side = "post"
    pool: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())).rows.lengths)

    @property
    def timed(self) -> dict[str, Input]:
        """The inputs that have a time axis, keyed by name."""
        return {name: given for name, given in self.inputs.items() if not given.static}

    def lengths(self) -> dict[str, npt.NDArray[np.int64]]:
        """Return the row lengths of each input with a time axis, keyed by input name: shape (rows,)."""
        return {name: given.rows.lengths for name, given in self.timed.items()}

    def places(self, more: int = 0) -> dict[str, int]:
        """Return the padded length of each input: the longest length plus `more`, or the required length."""
        return {
            name: int(given.rows.lengths.max(initial=0)) + more if given.places is None else given.places
            for name, given in self.timed.items()
        }

    @property
    def is_fixed(self) -> bool:
        """Whether every input requires a fixed length, so that short rows cannot run without padding."""
        return all(given.places is not None for given in self.timed.values())

    @property
    def has_fixed(self) -> bool:
        """Whether any input requires a fixed length."""
        return any(given.places is not None for given in self.timed.values())

    def padded(self, more: int = 0) -> ModelBatch:
        """Return all rows in one batch, padded to the length of the longest row plus `more`."""
        places = self.places(more)
        return {
            name: pad_batch(
                given.rows,
                plan_pad(given.rows.lengths, places.get(name, 1), padding=self.padding, truncating="post"),
                value=given.value,
                dtype=given.dtype,
            )
            for name, given in self.inputs.items()
        }

    def alone(self, row: int) -> ModelBatch:
        """Return a batch of one row. The row is padded only if an input requires a fixed length."""
        return self.select([row]).padded()

    def select(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Sample:
        """Return a sample with the rows at the given indices, in this order. Indices may repeat."""
        index = np.asarray(rows, dtype=np.int64)
        return self._replace_rows(lambda r: Ragged(r.values, r.starts[index], r.lengths[index]), self.inputs)

    def fixed(self) -> Sample:
        """Return a sample whose rows are always padded to the current length of the longest row."""
        places = self.places()
        inputs = {name: replace(given, places=places.get(name)) for name, given in self.inputs.items()}
        return replace(self, inputs=inputs)

    def cut(self, maxlen: int) -> Sample:
        """Return a sample with all rows truncated to at most `maxlen` tokens."""

        def truncate(rows: Ragged) -> Ragged:
            return slice_rows(rows, plan_pad(rows.lengths, maxlen, padding="post", truncating="post"))

        return self._replace_rows(truncate, self.timed)

    def joined(self, other: Sample) -> Sample:
        """Concatenate the rows of two samples. Both must be views of the same token arrays."""
        inputs = {}
        for name, given in self.inputs.items():
            rows, more = given.rows, other.inputs[name].rows
            starts = np.concatenate([rows.starts, more.starts])
            inputs[name] = replace(
                given, rows=Ragged(rows.values, starts, np.concatenate([rows.lengths, more.lengths]))
            )
        return replace(self, inputs=inputs)

    def empty(self, count: int) -> Sample:
        """Return a sample of `count` rows without tokens."""
        zeros = np.zeros(count, dtype=np.int64)
        selected = self.select(np.arange(count) % len(self))
        return selected._replace_rows(lambda rows: Ragged(rows.values, zeros, zeros), self.timed)

    def with_random_tokens(self, seed: int) -> Sample:
        """Return a sample with rows of the same lengths and random tokens from the pool."""
        random = np.random.default_rng(seed)
        inputs = dict(self.inputs)
        for name, given in self.timed.items():
            drawn = self.tokens(name, int(given.rows.lengths.sum()), random)
            lengths = given.rows.lengths
            inputs[name] = replace(given, rows=Ragged(drawn, np.cumsum(lengths) - lengths, lengths))
        return replace(self, inputs=inputs)

    def tokens(self, name: str, count: int, random: np.random.Generator) -> npt.NDArray[Any]:
        """Draw `count` random tokens for an input from the pool. The result has the shape (count, ...)."""
        pool = self.pool.get(name)
        pool = self.inputs[name].rows.values if pool is None else pool
        drawn: npt.NDArray[Any] = pool[random.integers(len(pool), size=count)] if len(pool) else pool[:0]
        return drawn

    def unmasked(self, batch: ModelBatch, seed: int) -> ModelBatch:
        """Return a batch with random tokens as padding, and with masks that are all True.

        A model cannot distinguish this padding from real tokens.
        """
        random = np.random.default_rng(seed)
        unmasked = dict(batch)
        for name in self.timed:
            padded = batch[name]
            values = padded.values.copy()
            values[~padded.mask] = self.tokens(name, int((~padded.mask).sum()), random)
            full = np.full(len(values), padded.mask.shape[1], dtype=np.int64)
            unmasked[name] = Padded(values, np.ones_like(padded.mask), full)
        return unmasked

    def _replace_rows(self, change: Callable[[Ragged], Ragged], changed: Collection[str]) -> Sample:
        """Return a sample after applying `change` to the rows of each input in `changed`."""
        # The pool keeps the tokens that the change removes.
        pool = {name: given.rows.values for name, given in self.inputs.items()} | dict(self.pool)
        inputs = {
            name: replace(given, rows=change(given.rows)) if name in changed else given
            for name, given in self.inputs.items()
        }
        return replace(self, inputs=inputs, pool=pool)


def pick_rows(lengths: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Pick at most `count` rows with many different lengths, including the shortest and the longest.

    >>> pick_rows(np.array([5, 1, 5, 3]), 3).tolist()
    [1, 3, 0]

    Args:
        lengths: number of tokens in each row: shape (rows,). Rows without tokens are never picked.
        count: number of rows to pick, at least 2.

    Returns:
        Indices of the picked rows, in order of length.
    """
    _, first = np.unique(lengths, return_index=True)
    first = first[lengths[first] > 0]
    if len(first) <= count:
        rest = np.setdiff1d(np.flatnonzero(lengths > 0), first)[: count - len(first)]
        both = np.concatenate([first, rest])
        return both[np.argsort(lengths[both], kind="stable")]
    spread: npt.NDArray[np.int64] = first[
        np.unique(np.linspace(0, len(first) - 1, count).round().astype(int))
    ]
    return spread


def shared_lengths(sample: Sample) -> npt.NDArray[np.int64]:
    """Return, for each row, the length of its longest input, or 0 if any of its inputs is empty."""
    lengths = np.stack(list(sample.lengths().values()))
    shared: npt.NDArray[np.int64] = np.where(lengths.min(axis=0) == 0, 0, lengths.max(axis=0))
    return shared


SampleRows = Mapping[str, Sequence[npt.NDArray[Any]]]
