"""Flatten rows of Python numbers, strings, vectors and NumPy arrays.

The only module that looks at Python sequences, where any types may stand beside each other.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Kind
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.errors import DataError


def flatten(sequences: Sequence[Any], kind: Kind | None = None) -> Ragged:
    """Flatten Python sequences or NumPy arrays of numbers, strings or vectors.

    Args:
        sequences: the rows.
        kind: what the tokens shall be, so that a row of others is named even where it is the first one.

    Raises:
        DataError: a row is no sequence, or its tokens are of different kinds.
    """
    lengths = _row_lengths(sequences)
    _refuse_masked(sequences)
    starts = np.cumsum(lengths) - lengths
    total = int(lengths.sum())
    if total == 0:
        return Ragged(np.empty(0, np.int64), starts, lengths)
    try:
        values, first = _values(sequences, total, kind)
    except DataError:
        _refuse_first(sequences, kind)
        raise
    return Ragged(values, starts, lengths, first)


def _values(sequences: Sequence[Any], total: int, kind: Kind | None) -> tuple[npt.NDArray[Any], Any]:
    """Join the tokens of all rows; with the token that tells ints from floats, where numbers may mix."""
    if set(map(type, sequences)) == {np.ndarray} or all(isinstance(row, np.ndarray) for row in sequences):
        return _concatenate(sequences), None
    row = next(row for row in sequences if len(row))
    if isinstance(row[0], str):
        values = _objects(sequences, total)
        if not set(map(type, values)) <= {str, np.str_}:
            _refuse(sequences, str, "strings")
        return values, None
    if isinstance(row[0], Iterable):
        return _stack(sequences, kind), None
    # One float makes floats of the first row, wherever in it that stands.
    floats = (token for token in row if isinstance(token, (float, np.floating)))
    return _flat_numbers(sequences, total, kind), next(floats, row[0])


def _refuse_first(sequences: Sequence[Any], kind: Kind | None) -> None:
    """Refuse the first row where what it holds is not what was asked for, or not what most rows hold."""
    rows = [(i, _kind_of(row[0])) for i, row in enumerate(sequences) if len(row)]
    counts = Counter(held for _, held in rows if kind is None or (held == "strings") == (kind == "string"))
    # On a tie plain tokens come before vectors.
    most = max(counts, key=lambda held: (counts[held], held != "vectors"), default=None)
    number, held = rows[0]
    if most is not None and held != most:
        token = sequences[number][0]
        raise DataError(
            f"Row {number}, position 0: a {type(token).__name__} among {most}. "
            f"Fix the row or leave it out. Received: {token!r}."
        )


def _kind_of(token: Any) -> str:
    if isinstance(token, str):
        return "strings"
    return "vectors" if isinstance(token, Iterable) else "numbers"


def flatten_objects(sequences: Sequence[Any]) -> Ragged:
    """Flatten Python sequences of anything, each token as the object it is."""
    lengths = _row_lengths(sequences)
    total = int(lengths.sum())
    first: Any = next((row for row in sequences if len(row)), [None])[0]
    if isinstance(first, Iterable) and not isinstance(first, str):
        ragged = flatten(sequences)
        return Ragged(ragged.values.astype(object), ragged.starts, ragged.lengths)
    return Ragged(_objects(sequences, total), np.cumsum(lengths) - lengths, lengths)


def _stack(sequences: Sequence[Any], kind: Kind | None = None) -> npt.NDArray[Any]:
    """Make an array of shape (tokens, F, ...) of rows of equally long vectors."""
    tokens = list(chain.from_iterable(sequences))
    try:
        vectors = flatten(tokens, kind)
    except DataError as error:
        row, position = _find(sequences, lambda token: not _go_together(tokens[0], token, kind))
        raise DataError(
            f"Row {row}, position {position}: no vector of numbers like the first one. "
            f"Received: {sequences[row][position]!r}."
        ) from error
    size = int(vectors.lengths[0])
    if (vectors.lengths != size).any():
        row, position = _find(sequences, lambda token: len(token) != size)
        raise DataError(
            f"Row {row}, position {position}: a vector of {len(sequences[row][position])} values where "
            f"the first one has {size}. Make all vectors equally long."
        )
    return vectors.values.reshape(len(tokens), size, *vectors.values.shape[1:])


def _row_lengths(sequences: Sequence[Any]) -> Positions:
    no_rows = (str, bytes, dict, set, frozenset)
    try:
        if not any(issubclass(kind, no_rows) for kind in set(map(type, sequences))):
            return np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    except TypeError:
        pass
    row = next(i for i, row in enumerate(sequences) if isinstance(row, no_rows) or not _sized(row))
    raise DataError(
        f"Row {row} is no sequence of tokens. Every row must be a list or an array. "
        f"Received: {sequences[row]!r}."
    )


def _refuse_masked(sequences: Sequence[Any]) -> None:
    """Refuse masked values, which are missing: as tokens they would be whatever lies below the mask."""
    if any(issubclass(kind, np.ma.MaskedArray) for kind in set(map(type, sequences))):
        for number, row in enumerate(sequences):
            if np.ma.is_masked(row):
                raise DataError(f"Row {number} has masked values, which are no tokens. Drop or fill them.")


def _sized(row: Any) -> bool:
    try:
        return len(row) >= 0
    except TypeError:
        return False


def _go_together(first: Any, token: Any, kind: Kind | None) -> bool:
    try:
        flatten([first, token], kind)
    except DataError:
        return False
    return True


def _objects(sequences: Sequence[Any], total: int) -> npt.NDArray[Any]:
    return np.fromiter(chain.from_iterable(sequences), dtype=object, count=total)


def _concatenate(sequences: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Join NumPy rows of one inner shape."""
    dtypes = set(map(attrgetter("dtype"), sequences))
    if len(dtypes) == 1 and next(iter(dtypes)).kind in "iufb":
        # Rows of different axes cannot be joined, which is told apart below.
        with suppress(ValueError):
            joined = np.concatenate(sequences)
            if joined.ndim == 1:
                # One dtype and no vectors, as nearly always: nothing more to look at.
                return joined
    rows = [row for row in sequences if len(row)]
    inner = rows[0].shape[1:]
    if any(row.shape[1:] != inner for row in rows):
        odd = next(i for i, row in enumerate(sequences) if len(row) and row.shape[1:] != inner)
        raise DataError(
            f"Row {odd} has vectors of shape {sequences[odd].shape[1:]} where the first one has {inner}. "
            "Make all vectors equally long."
        )
    kinds = {"i" if row.dtype.kind in "iu" else row.dtype.kind for row in rows}
    if len(kinds) == 1 and kinds <= set("ifb"):
        joined = np.concatenate(rows)
        if joined.dtype.kind in kinds | {"u"}:
            return joined
    # NumPy joins int64 with uint64 or with floats as floats, which would change large ids.
    flat = flatten([row.reshape(-1).tolist() for row in rows]).values
    return flat.reshape(-1, *inner)


def _flat_numbers(sequences: Sequence[Any], total: int, kind: Kind | None) -> npt.NDArray[Any]:
    """Join rows of Python numbers: integers where all are such, else float64."""
    if set(map(type, sequences)) == {list}:
        # Half as wide first, which ids nearly always fit: half the memory to go through again.
        for code, dtype in (("i", np.int32), ("q", np.int64)):
            joined = array(code)
            try:
                for row in sequences:
                    # Takes integers alone: others end it, and are looked at below.
                    joined.fromlist(row)
                return np.frombuffer(joined, dtype=dtype)
            except OverflowError:
                continue
            except TypeError:
                break
    try:
        # A sum is an int only where every token is one: a check at the cost of an addition.
        with np.errstate(over="ignore"):
            kinds = {type(sum(row)) for row in sequences if len(row)}
        flat = chain.from_iterable(sequences)
        if kinds == {int}:
            return np.fromiter(flat, dtype=np.int64, count=total)
        if kinds == {float} and set(map(type, chain.from_iterable(sequences))) == {float}:
            return np.fromiter(flat, dtype=np.float64, count=total)
    except (TypeError, ValueError, OverflowError):
        pass
    return _slow_numbers(sequences, kind)


def _slow_numbers(sequences: Sequence[Any], kind: Kind | None) -> npt.NDArray[Any]:
    """The careful way: any mixture of numbers, or a sentence about the first that is none."""
    numbers = (int, float, np.integer, np.floating, np.bool_)
    _refuse_others(sequences, numbers)
    tokens = list(chain.from_iterable(sequences))
    if all(isinstance(token, (int, np.integer, np.bool_)) for token in tokens):
        low, high = int(min(tokens)), int(max(tokens))
        for dtype in (np.int64, np.uint64):
            if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                return np.array([int(token) for token in tokens], dtype=dtype)
        row, position = _find(sequences, lambda token: not -(2**63) <= int(token) < 2**63)
        raise DataError(
            f"Row {row}, position {position}: {_shown(sequences[row][position])} does not fit int64, and no "
            "dtype here holds it."
        )
    # Where floats are asked for they may be rounded.
    changes = _changes_as_float if kind == "int" else _is_beyond_floats
    if any(map(changes, tokens)):
        row, position = _find(sequences, changes)
        raise DataError(
            f"Row {row}, position {position}: {_shown(sequences[row][position])} stands among "
            "floats, and no float64 holds it. Write all tokens of the rows as ints."
        )
    return np.array([float(token) for token in tokens], dtype=np.float64)


def _is_beyond_floats(token: Any) -> bool:
    return isinstance(token, int) and abs(token) >= 2**1023


def _changes_as_float(token: Any) -> bool:
    if not isinstance(token, (int, np.integer)):
        return False
    # Not NumPy's comparison, which would compare as floats.
    return _is_beyond_floats(token) or int(float(token)) != int(token)


def _shown(number: Any) -> str:
    """Write an int, of which Python writes at most some thousand digits."""
    return str(number) if int(number).bit_length() <= 128 else f"an int of {int(number).bit_length()} bits"


def refuse_bools(sequences: Sequence[Any], values: npt.NDArray[Any]) -> None:
    """Refuse a Python bool among numbers: `True` is no token id.

    Only tokens that became 0 or 1 can have been bools, so most data needs no second look.
    """
    if values.dtype.kind in "iu" and ((values == 0) | (values == 1)).any():
        kinds = set(map(type, chain.from_iterable(sequences)))
        if bool in kinds or np.bool_ in kinds:
            row, position = _find(sequences, lambda token: isinstance(token, (bool, np.bool_)))
            raise DataError(
                f"Row {row}, position {position}: a bool where a number belongs. Write 0 and 1 instead."
            )


def _find(sequences: Sequence[Any], wanted: Callable[[Any], bool]) -> tuple[int, int]:
    """Return the row and position of the first token that is `wanted`."""
    return next((i, j) for i, row in enumerate(sequences) for j, token in enumerate(row) if wanted(token))


def _refuse_others(sequences: Sequence[Any], kinds: tuple[type, ...]) -> None:
    kind_set = set(map(type, chain.from_iterable(sequences)))
    if not all(issubclass(kind, kinds) for kind in kind_set):
        _refuse(sequences, kinds, "numbers")


def _refuse(sequences: Sequence[Any], kinds: type | tuple[type, ...], said: str) -> None:
    row, position = _find(sequences, lambda token: not isinstance(token, kinds))
    token = sequences[row][position]
    raise DataError(
        f"Row {row}, position {position}: a {type(token).__name__} among {said}. "
        f"Fix the row or leave it out. Received: {token!r}."
    )
