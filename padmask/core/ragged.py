"""Rows of different lengths in one flat array (`Ragged`), and checks that their values fit a dtype."""

from __future__ import annotations

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
from padmask.core.dialects import describe_fault, fitting_kind, read_flags
from padmask.core.dtypes import integer_limits, integers_fit, suggest_dtype
from padmask.core.plan import Positions
from padmask.errors import FILL_GAPS, Fault, Options, Reason
from padmask.spec.mask import TRUE_AT_TOKENS, Dialect


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths in one flat array.

    >>> Ragged.from_arrow(pa.array([[7, 8], [], [9]]))[0].lengths.tolist()
    [2, 0, 1]

    Args:
        values: the tokens of all rows, of shape (tokens, ...). Inner feature axes follow the first axis.
        starts: index in `values` of the first token of each row: int64, shape (rows,).
        lengths: number of tokens of each row: int64, shape (rows,).
        first: for Python numbers, a token of the first non-empty row: a float if this row contains a float.
            `values` does not show the original type, because NumPy converts all tokens to one dtype.
    """

    values: npt.NDArray[Any]
    starts: Positions
    lengths: Positions
    first: Any = None

    def select(self, rows: Flags | npt.NDArray[np.int64] | slice) -> Ragged:
        """Return the selected rows. They share `values` with this object."""
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
            array: list, large_list, fixed_size_list or list_view of numbers, strings, or vectors of equal
                length. The array may be dictionary-encoded, sliced or chunked.
            inner: length that every vector must have. If None, the first vector that has numbers determines
                the length.

        Returns:
            The rows, with length 0 for a bad row, and one `Fault` for each bad row.

        Raises:
            SpecError: the column is not a column of token sequences.
        """
        kind_of(array.type)
        rows = as_lists(without_wrappers(array))
        starts, lengths, tokens = list_windows(rows)
        null_rows = null_flags(rows)
        lengths = np.where(null_rows, 0, lengths)
        faults = [Fault(int(row), "the row is null") for row in np.flatnonzero(null_rows)]
        if is_list(tokens.type):
            values, bad_tokens, reason = vector_values(tokens, starts, lengths, inner)
        else:
            values, bad_tokens = token_values(tokens), null_flags(tokens)
            reason = lambda _: "the token is null" + FILL_GAPS * (values.dtype.kind == "f")  # noqa: E731
        ragged = cls(values, starts, lengths)
        found = ragged.find_faults(bad_tokens, reason)
        if found:
            faulty = np.zeros(len(lengths), dtype=bool)
            faulty[[fault.row for fault in found]] = True
            ragged = cls(values, starts, np.where(faulty, 0, lengths))
        return ragged, faults + found

    @classmethod
    def from_mask(cls, array: pa.Array, dialect: Dialect = TRUE_AT_TOKENS) -> tuple[Ragged, list[Fault]]:
        """Flatten a mask column. The values of the result are 1 at real tokens, in every dialect.

        >>> _, faults = Ragged.from_mask(pa.array([[1, 0], [1, 2]]))
        >>> [(fault.row, str(fault)) for fault in faults]
        [(1, 'position 1: 2 is neither 0 nor 1')]

        Returns:
            The rows, and a `Fault` for each row that is null or contains a value outside the dialect, such as
            a value other than 0 and 1.
        """
        rows = as_lists(without_wrappers(array))
        starts, lengths, places = list_windows(rows)
        lengths = np.where(null_flags(rows), 0, lengths)
        read = token_values(places)
        holes = null_flags(places)
        values = read_flags(read, dialect)
        ragged = cls(values, starts, lengths)
        faults = [Fault(int(row), "the row is null") for row in np.flatnonzero(null_flags(rows))]
        return ragged, faults + ragged.find_faults(
            holes | ((values != 0) & (values != 1)),
            lambda index: describe_fault("null" if holes[index] else read[index], dialect),
            lambda index: () if fitting_kind(read[index], dialect) is None else ("mask_kind",),
        )

    def find_faults(self, flagged: Flags, reason: Reason, options: Options = lambda _: ()) -> list[Fault]:
        """Return a `Fault` for each row with bad tokens. The fault describes the first bad token.

        Args:
            flagged: whether each token is bad: bool, shape (tokens,).
            reason: function that returns a description of the error, given an index in `values`.
            options: function that returns the options that can cause the error, given an index in `values`.
        """
        if not flagged.any():
            return []
        seen = np.concatenate([[0], np.cumsum(flagged)])
        faults = []
        for row in np.flatnonzero(seen[self.starts + self.lengths] > seen[self.starts]).tolist():
            start, length = int(self.starts[row]), int(self.lengths[row])
            position = int(np.argmax(flagged[start : start + length]))
            fault = f"position {position}: {reason(start + position)}"
            faults.append(Fault(row, fault, options=options(start + position)))
        return faults


def find_misfits(ragged: Ragged, dtype: str, rounds: bool = True) -> list[Fault]:
    """Return a `Fault` for each row with a token that does not fit `dtype`.

    An int fits a float dtype only if the dtype represents the int exactly. A float fits an int dtype only if
    the float is finite and has no fraction. A float64 may be rounded to float32, but not to infinity or 0. If
    `rounds` is False, a float64 of at least 2**24 must not be rounded. A bool fits no dtype of numbers.

    >>> find_misfits(Ragged.from_arrow(pa.array([[1, 2**31]]))[0], "int32")[0].reason
    'position 1: 2147483648 does not fit int32; use dtype int64'
    """
    values, source = ragged.values, ragged.values.dtype
    strings = source.kind in "OU"
    if values.size == 0 or (strings and dtype == "string"):
        return []
    every = np.ones(len(values), dtype=bool)
    if strings:
        return ragged.find_faults(
            every, lambda _: f"a string cannot be converted to {dtype}; use dtype string"
        )
    if dtype == "string":
        return ragged.find_faults(
            every, lambda _: "found a number, but the dtype is string; use dtype int32 or float32"
        )
    if source.kind == "b" and dtype == "bool":
        return []
    if source.kind == "b":
        return ragged.find_faults(every, lambda _: "expected a number, not a bool; write 0 and 1 instead")
    flagged = _misfits(values, np.dtype(dtype), rounds)
    if flagged is None:
        return []
    by_token = np.asarray(flagged.reshape(len(values), -1).any(axis=1))

    def reason(token: int) -> str:
        here = values[token].reshape(-1)[flagged[token].reshape(-1)][0]
        return f"{here} does not fit {dtype}; {suggest_dtype(here, dtype)}"

    return ragged.find_faults(by_token, reason)


def _misfits(values: npt.NDArray[Any], target: np.dtype[Any], rounds: bool) -> Flags | None:
    """Flag the numbers that do not fit a dtype, as in `find_misfits`. Return None if all numbers fit."""
    if (values.dtype.kind == "f") == (target.kind == "f") and np.can_cast(values.dtype, target):
        return None
    if target.kind in "iu":
        least, most = integer_limits(target)
        if values.dtype.kind in "iu":
            return None if integers_fit(values, target) else (values < least) | (values > most)
        # Above 2**53, several integers have the same float64. The bounds are float64, because a narrower
        # dtype could round a bound up to a number that does not fit, or to infinity.
        lowest, highest = np.float64(least), np.float64(min(most, 2**53))
        with np.errstate(invalid="ignore"):
            flagged = ~((values == np.floor(values)) & (values >= lowest) & (values <= highest))
    elif values.dtype.kind in "iu":
        exact = 1 << (np.finfo(target).nmant + 1)
        if -exact <= int(values.min()) and int(values.max()) <= exact:
            return None
        with np.errstate(invalid="ignore"):
            flagged = values.astype(target).astype(object) != values.astype(object)
    else:
        # A signaling NaN raises "invalid", but is a valid float.
        with np.errstate(over="ignore", invalid="ignore"):
            cast = values.astype(target)
            changed = (np.abs(values) >= 1 << (np.finfo(target).nmant + 1)) & (cast != values)
            flagged = changed & (np.isinf(cast) | (not rounds)) & np.isfinite(values)
            flagged |= (cast == 0) & (values != 0)
    return flagged if flagged.any() else None
