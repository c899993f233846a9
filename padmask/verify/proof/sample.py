"""The rows of a proof: real tokens by input, which can be padded, cut and refilled."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.kernel import Padded, keep_pieces, pad_batch
from padmask.core.plan import plan_pad
from padmask.core.ragged import Ragged
from padmask.spec.pad import Side

# What a model is given: for each of its inputs the padded values and their mask.
ModelBatch = Mapping[str, Padded]


@dataclass(frozen=True)
class ModelInput:
    """An input of a model, and what it is for.

    Args:
        name: as the model has it.
        kind: `"tokens"`, `"features"`, `"mask"` (filled with the mask of the tokens), or `"static"`,
            which has no steps.
        shape: without the batch; None where any size goes.
        dtype: that it wants.
        vocab: ids that its embedding has rows for, where that can be seen.
        of: of a mask, the input whose mask it is.
        exact: whether the embedding is known to be the one that these ids go to.
    """

    name: str
    kind: str = "tokens"
    shape: tuple[int | None, ...] = (None,)
    dtype: str = "int32"
    vocab: int | None = None
    of: str | None = None
    exact: bool = False


@dataclass(frozen=True)
class Input:
    """Rows of one input.

    Args:
        rows: the real tokens.
        value: the pad value.
        dtype: in which the model wants them.
        places: how many the model insists on; None where it takes any number.
        static: whether the input knows no time: one value a row, which is never padded.
    """

    rows: Ragged
    value: Any = 0
    dtype: npt.DTypeLike = "int32"
    places: int | None = None
    static: bool = False


@dataclass(frozen=True)
class Sample:
    """Rows of real tokens for every input of a model.

    >>> from padmask.core.python_rows import flatten
    >>> sample = Sample({"ids": Input(flatten([[7], [8, 9]]))})
    >>> sample.padded(1)["ids"].values.tolist(), sample.alone(0)["ids"].values.tolist()
    ([[7, 0, 0], [8, 9, 0]], [[7]])

    Args:
        inputs: by the inputs' names; all have the same number of rows.
        padding: the side of the padding.
        pool: tokens that may stand where others stood, by input; default the sample's own.
    """

    inputs: Mapping[str, Input]
    padding: Side = "post"
    pool: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())).rows.lengths)

    @property
    def timed(self) -> dict[str, Input]:
        """The inputs that have steps."""
        return {name: given for name, given in self.inputs.items() if not given.static}

    def lengths(self) -> dict[str, npt.NDArray[np.int64]]:
        """Return the rows' lengths by input that has steps, each of shape (rows,), in tokens."""
        return {name: given.rows.lengths for name, given in self.timed.items()}

    def places(self, more: int = 0) -> dict[str, int]:
        """Return how many places each input gets: its longest row's and `more`, or those it insists on."""
        return {
            name: int(given.rows.lengths.max(initial=0)) + more if given.places is None else given.places
            for name, given in self.timed.items()
        }

    @property
    def is_fixed(self) -> bool:
        """Whether no input takes another number of places, so that rows cannot stand without padding."""
        return all(given.places is not None for given in self.timed.values())

    @property
    def has_fixed(self) -> bool:
        """Whether some input insists on a number of places."""
        return any(given.places is not None for given in self.timed.values())

    def padded(self, more: int = 0) -> ModelBatch:
        """Return all rows as one batch, padded to the longest row and `more` places."""
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
        """Return one row as a batch of its own, without padding where the inputs allow it."""
        return self.select([row]).padded()

    def select(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Sample:
        """Return these rows, in this order; a row may come twice."""
        places = np.asarray(rows, dtype=np.int64)
        return self._with(lambda r: Ragged(r.values, r.starts[places], r.lengths[places]), self.inputs)

    def cut(self, maxlen: int) -> Sample:
        """Return the rows cut to at most `maxlen` tokens."""

        def shorter(rows: Ragged) -> Ragged:
            return keep_pieces(rows, plan_pad(rows.lengths, maxlen, padding="post", truncating="post"))

        return self._with(shorter, self.timed)

    def joined(self, other: Sample) -> Sample:
        """Return the rows of both, which must lie in the same tokens."""
        inputs = {}
        for name, given in self.inputs.items():
            rows, more = given.rows, other.inputs[name].rows
            starts = np.concatenate([rows.starts, more.starts])
            inputs[name] = replace(
                given, rows=Ragged(rows.values, starts, np.concatenate([rows.lengths, more.lengths]))
            )
        return replace(self, inputs=inputs)

    def empty(self, count: int) -> Sample:
        """Return `count` rows without a token."""
        nothing = np.zeros(count, dtype=np.int64)
        few = self.select(np.arange(count) % len(self))
        return few._with(lambda rows: Ragged(rows.values, nothing, nothing), self.timed)

    def refilled(self, seed: int) -> Sample:
        """Return rows of the same lengths with other tokens, drawn from the pool."""
        random = np.random.default_rng(seed)
        inputs = dict(self.inputs)
        for name, given in self.timed.items():
            drawn = self.tokens(name, int(given.rows.lengths.sum()), random)
            lengths = given.rows.lengths
            inputs[name] = replace(given, rows=Ragged(drawn, np.cumsum(lengths) - lengths, lengths))
        return replace(self, inputs=inputs)

    def tokens(self, name: str, count: int, random: np.random.Generator) -> npt.NDArray[Any]:
        """Draw real tokens of an input, shape (count, ...)."""
        pool = self.pool.get(name)
        pool = self.inputs[name].rows.values if pool is None else pool
        drawn: npt.NDArray[Any] = pool[random.integers(len(pool), size=count)] if len(pool) else pool[:0]
        return drawn

    def disguised(self, batch: ModelBatch, seed: int) -> ModelBatch:
        """Return the batch with its padding dressed up: tokens stand there, and no mask says so.

        What a model does with it, it does to tokens that it takes for real: the control of a proof.
        """
        random = np.random.default_rng(seed)
        dressed = dict(batch)
        for name in self.timed:
            padded = batch[name]
            values = padded.values.copy()
            values[~padded.mask] = self.tokens(name, int((~padded.mask).sum()), random)
            full = np.full(len(values), padded.mask.shape[1], dtype=np.int64)
            dressed[name] = Padded(values, np.ones_like(padded.mask), full)
        return dressed

    def _with(self, change: Callable[[Ragged], Ragged], changed: Collection[str]) -> Sample:
        # What the rows leave out may still be drawn.
        pool = {name: given.rows.values for name, given in self.inputs.items()} | dict(self.pool)
        inputs = {
            name: replace(given, rows=change(given.rows)) if name in changed else given
            for name, given in self.inputs.items()
        }
        return replace(self, inputs=inputs, pool=pool)


def pick_rows(lengths: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Pick at most `count` rows of lengths as different as there are, the shortest and longest among them.

    >>> pick_rows(np.array([5, 1, 5, 3]), 3).tolist()
    [1, 3, 0]

    Args:
        lengths: shape (rows,), in tokens; rows without a token are left out.
        count: how many, at least 2.

    Returns:
        Places of the rows, shape (rows picked,), the shortest first.
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
    """Return a length for each row: 0 where any input has no token, else that of the longest input."""
    lengths = np.stack(list(sample.lengths().values()))
    shared: npt.NDArray[np.int64] = np.where(lengths.min(axis=0) == 0, 0, lengths.max(axis=0))
    return shared


SampleRows = Mapping[str, Sequence[npt.NDArray[Any]]]
