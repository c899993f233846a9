"""`Ragged`: rows of different lengths over one flat array, and checks that their values fit a dtype."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import (
    Flags,
    as_lists,
    is_list,
    kind_of,
    list_windows,
    null_flags,
    token_values,
    vector_values,
    without_wrappers,
)
from padmask.core.plan import Positions
from padmask.errors import Fault


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths over one flat array.

    >>> Ragged.from_arrow(pa.array([[7, 8], [], [9]]))[0].lengths.tolist()
    [2, 0, 1]

    Args:
        values: shape (tokens, ...), the tokens of all rows; inner feature axes follow.
        starts: int64, shape (rows,), where each row starts in `values`.
        lengths: int64, shape (rows,), in tokens.
        first: a token of the first row of Python numbers, a float if it holds one: ints and floats look
            alike once joined.
    """

    values: npt.NDArray[Any]
    starts: Positions
    lengths: Positions
    first: Any = None

    @property
    def kind(self) -> str:
        """NumPy's letter for what the first row holds, where rows of Python numbers mix, else for all."""
        return self.values.dtype.kind if self.first is None else np.asarray(self.first).dtype.kind

    def select(self, rows: Flags | slice) -> Ragged:
        """Return the rows that `rows` picks, over the same values."""
        return Ragged(self.values, self.starts[rows], self.lengths[rows])

    @classmethod
    def from_arrow(
        cls, array: pa.Array | pa.ChunkedArray, inner: int | None = None
    ) -> tuple[Ragged, list[Fault]]:
        """Flatten an Arrow list column of any layout.

        >>> ragged, faults = Ragged.from_arrow(pa.array([[1, 2], None]))
        >>> ragged.lengths.tolist(), faults[0].row
        ([2, 0], 1)

        Args:
            array: list, large_list, fixed_size_list or list_view of numbers, strings, or of
                equally long vectors; dictionary-encoded, sliced and chunked arrays too.
            inner: length that every vector must have; None takes that of the first one.

        Returns:
            The rows, a faulty one with length 0, and one fault for each of them.

        Raises:
            SpecError: the column holds no sequences of tokens.
        """
        kind_of(array.type)
        rows = as_lists(without_wrappers(array))
        starts, lengths, tokens = list_windows(rows)
        null_rows = null_flags(rows)
        lengths = np.where(null_rows, 0, lengths)
        faults = [Fault(int(row), "the row is null") for row in np.flatnonzero(null_rows)]
        if is_list(tokens.type):
            values, bad_tokens = vector_values(tokens, starts, lengths, inner)
            reason = "a vector that is null, holds a null, or has another length than the first"
        else:
            values, bad_tokens = token_values(tokens), null_flags(tokens)
            reason = "a null among the tokens"
        ragged = cls(values, starts, lengths)
        found = ragged.blame(bad_tokens, lambda _: reason)
        if found:
            faulty = np.zeros(len(lengths), dtype=bool)
            faulty[[fault.row for fault in found]] = True
            ragged = cls(values, starts, np.where(faulty, 0, lengths))
        return ragged, faults + found

    @classmethod
    def from_mask(cls, array: pa.Array) -> tuple[Ragged, list[Fault]]:
        """Flatten a mask column of bools or of 0 and 1.

        >>> _, faults = Ragged.from_mask(pa.array([[1, 0], [1, 2]]))
        >>> [(fault.row, str(fault)) for fault in faults]
        [(1, 'position 1: 2 is neither 0 nor 1')]

        Returns:
            The rows, and a fault for each that is no mask: null, or with anything but 0 and 1.
        """
        rows = as_lists(without_wrappers(array))
        starts, lengths, places = list_windows(rows)
        lengths = np.where(null_flags(rows), 0, lengths)
        values = token_values(places)
        holes = null_flags(places)
        ragged = cls(values, starts, lengths)
        faults = [Fault(int(row), "the row is null") for row in np.flatnonzero(null_flags(rows))]
        return ragged, faults + ragged.blame(
            holes | ((values != 0) & (values != 1)),
            lambda place: f"{'null' if holes[place] else values[place]} is neither 0 nor 1",
        )

    def blame(self, flagged: Flags, reason: Callable[[int], str]) -> list[Fault]:
        """Return a fault for each row that holds a flagged token, at its first one.

        Args:
            flagged: bool, shape (tokens,).
            reason: says what is wrong with the token at a place in `values`.
        """
        if not flagged.any():
            return []
        seen = np.concatenate([[0], np.cumsum(flagged)])
        faults = []
        for row in np.flatnonzero(seen[self.starts + self.lengths] > seen[self.starts]).tolist():
            start, length = int(self.starts[row]), int(self.lengths[row])
            position = int(np.argmax(flagged[start : start + length]))
            faults.append(Fault(row, f"position {position}: {reason(start + position)}"))
        return faults


def find_misfits(ragged: Ragged, dtype: str) -> list[Fault]:
    """Return a fault for each row with a token that `dtype` cannot hold as it is.

    Integers must fit, also exactly into floats; floats must be whole and finite to become
    integers; float64 may be rounded to float32 but not overflow; a bool is no number.

    >>> find_misfits(Ragged.from_arrow(pa.array([[1, 2**31]]))[0], "int32")[0].reason
    'position 1: 2147483648 does not fit int32; ask for int64'
    """
    values, source = ragged.values, ragged.values.dtype
    strings = source.kind in "OU"
    if values.size == 0 or (strings and dtype == "string"):
        return []
    every = np.ones(len(values), dtype=bool)
    if strings:
        return ragged.blame(every, lambda _: f"a string cannot become {dtype}; ask for dtype string")
    if dtype == "string":
        return ragged.blame(
            every, lambda _: "a number cannot become a string; ask for dtype int32 or float32"
        )
    if source.kind == "b":
        return ragged.blame(every, lambda _: "a bool where a number belongs; write 0 and 1 instead")
    flagged = _misfits(values, np.dtype(dtype))
    if flagged is None:
        return []
    by_token = np.asarray(flagged.reshape(len(values), -1).any(axis=1))

    def reason(token: int) -> str:
        here = values[token].reshape(-1)[flagged[token].reshape(-1)][0]
        return f"{here} does not fit {dtype}; {_wider(here)}"

    return ragged.blame(by_token, reason)


def _misfits(values: npt.NDArray[Any], target: np.dtype[Any]) -> Flags | None:
    """Flag the numbers that change when cast to `target`, beyond rounding; None where none does."""
    if values.dtype.kind in "iu" and target.kind in "iu" and np.can_cast(values.dtype, target):
        return None
    low, high = values.min(), values.max()
    if target.kind in "iu":
        limits = np.iinfo(target)
        if values.dtype.kind in "iu":
            if int(low) >= limits.min and int(high) <= limits.max:
                return None
            return (values < limits.min) | (values > limits.max)
        # Above 2**53 a float no longer tells which integer it was. Not in the values' own dtype, in
        # which a bound may be rounded up to what does not fit, or to infinity.
        lowest, highest = np.float64(limits.min), np.float64(min(limits.max, 2**53))
        with np.errstate(invalid="ignore"):
            flagged = ~((values == np.floor(values)) & (values >= lowest) & (values <= highest))
    elif values.dtype.kind in "iu":
        exact = 1 << (np.finfo(target).nmant + 1)
        if -exact <= int(low) and int(high) <= exact:
            return None
        with np.errstate(invalid="ignore"):
            flagged = values.astype(target).astype(object) != values.astype(object)
    else:
        # A NaN that signals is one all the same.
        with np.errstate(over="ignore", invalid="ignore"):
            flagged = np.isinf(values.astype(target)) & np.isfinite(values)
    return flagged if flagged.any() else None


def _wider(number: Any) -> str:
    """Say which dtype would hold `number`."""
    if isinstance(number, np.floating):
        if not np.isfinite(number):
            return "ask for float32, or fix the data"
        return "ask for float32" if number != np.floor(number) else "ask for float64"
    return "ask for int64" if abs(int(number)) < 2**63 else "no dtype here holds it"
