"""Flatten rows of Python numbers, strings, vectors and NumPy arrays.

This module reads all rows that `plain_rows` does not read, such as rows of mixed types.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from padmask.core.arrow_lists import Kind
from padmask.core.plain_rows import read_arrays
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.errors import DataError, row_error


def flatten(sequences: Sequence[Any], kind: Kind | None = None, *, bools: bool = True) -> Ragged:
    """Flatten Python sequences or NumPy arrays of numbers, strings or vectors.

    Args:
        sequences: rows of tokens.
        kind: expected kind of token. If None, the kind of the tokens in the first row is expected.
        bools: whether bools among integers count as 0 and 1.

    Raises:
        DataError: a row is not a sequence, or tokens have different kinds.
    """
    ragged = _flatten(sequences, kind)
    if not bools:
        _refuse_bools(sequences, ragged.values)
    return ragged


def _flatten(sequences: Sequence[Any], kind: Kind | None) -> Ragged:
    plain = read_arrays(sequences)
    if plain is not None:
        return plain.ragged()
    lengths = _row_lengths(sequences)
    _refuse_masked(sequences)
    starts = np.cumsum(lengths) - lengths
    total = int(lengths.sum())
    if total == 0:
        return Ragged(np.empty(0, np.int64), starts, lengths)
    try:
        values, first = _values(sequences, total, kind)
    except DataError:
        _refuse_odd_first_row(sequences, kind)
        raise
    return Ragged(values, starts, lengths, first)


def _values(sequences: Sequence[Any], total: int, kind: Kind | None) -> tuple[npt.NDArray[Any], Any]:
    """Return the tokens of all rows, and one sample token if the tokens are Python numbers.

    The sample token comes from the first row that is not empty. It is a float if this row contains a float.
    """
    if all(isinstance(row, np.ndarray) for row in sequences):
        return _concatenate(sequences), None
    row = next(row for row in sequences if len(row))
    if isinstance(row[0], str):
        values = _objects(sequences, total)
        if not set(map(type, values)) <= {str, np.str_}:
            _refuse_first_other(sequences, str, "strings")
        return values, None
    if isinstance(row[0], Iterable):
        vectors = _stack(sequences, kind)
        return vectors, None if isinstance(row[0], np.ndarray) else vectors.dtype.type(0)
    numbers = _flat_numbers(sequences, total, kind)
    if numbers.dtype.kind != "f":
        return numbers, row[0]
    # If the first row contains a float, all tokens become floats.
    floats = (token for token in row if isinstance(token, (float, np.floating)))
    return numbers, next(floats, row[0])


def _refuse_odd_first_row(sequences: Sequence[Any], kind: Kind | None) -> None:
    """Raise an error if the first row with tokens does not have the most frequent kind of token.

    If `kind` is given, only rows of this kind are counted.
    """
    rows = [(i, _plural_kind(row[0])) for i, row in enumerate(sequences) if len(row) and row[0] is not None]
    counts = Counter(found for _, found in rows if kind is None or (found == "strings") == (kind == "string"))
    # If two kinds are equally frequent, plain tokens take precedence over vectors.
    most = max(counts, key=lambda found: (counts[found], found != "vectors"), default=None)
    number, found = next(iter(rows), (0, most))
    if most is not None and found != most:
        raise _unexpected_token(sequences, number, 0, most)


def _plural_kind(token: Any) -> str:
    if isinstance(token, str):
        return "strings"
    return "vectors" if isinstance(token, Iterable) else "numbers"


def flatten_objects(sequences: Sequence[Any]) -> Ragged:
    """Flatten Python sequences into an array of dtype object."""
    lengths = _row_lengths(sequences)
    total = int(lengths.sum())
    first: Any = next((row for row in sequences if len(row)), [None])[0]
    if isinstance(first, Iterable) and not isinstance(first, str):
        ragged = flatten(sequences)
        return Ragged(ragged.values.astype(object), ragged.starts, ragged.lengths)
    return Ragged(_objects(sequences, total), np.cumsum(lengths) - lengths, lengths)


def _stack(sequences: Sequence[Any], kind: Kind | None = None) -> npt.NDArray[Any]:
    """Return the vectors of all rows as an array of shape (tokens, vector length, ...)."""
    tokens = list(chain.from_iterable(sequences))
    try:
        vectors = flatten(tokens, kind)
    except DataError as error:
        row, position = _find(sequences, lambda token: not _are_alike(tokens[0], token, kind))
        raise row_error(
            row,
            f"Row {row}, position {position}: expected a vector of numbers, because the first token is a "
            f"vector. Received: {sequences[row][position]!r}.",
        ) from error
    size = next(filter(None, vectors.lengths.tolist()), 0)
    if (vectors.lengths != size).any():
        row, position = _find(sequences, lambda token: len(token) != size)
        raise row_error(
            row,
            f"Row {row}, position {position}: the vector has {len(sequences[row][position])} values, but the "
            f"first vector has {size}. Give all vectors the same length.",
        )
    return vectors.values.reshape(len(tokens), size, *vectors.values.shape[1:])


def _row_lengths(sequences: Sequence[Any]) -> Positions:
    no_rows = (str, bytes, Mapping, set, frozenset)
    try:
        if not any(issubclass(kind, no_rows) for kind in set(map(type, sequences))):
            return np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    except TypeError:
        pass
    row = next(i for i, row in enumerate(sequences) if isinstance(row, no_rows) or not _sized(row))
    if isinstance(sequences[row], Mapping) and all(isinstance(key, str) for key in sequences[row]):
        raise row_error(
            row,
            f"Row {row} is a dict of columns. To pad rows that are dicts, use `padmask.Collator()(rows)`. To "
            "pack them, use `padmask.pack_table(pa.Table.from_pylist(rows))`.",
        )
    raise row_error(
        row,
        f"Row {row} is not a sequence of tokens. Pass every row as a list or an array. "
        f"Received: {sequences[row]!r}.",
    )


def _refuse_masked(sequences: Sequence[Any]) -> None:
    """Raise an error for a masked NumPy array with masked values. These values are undefined."""
    if any(issubclass(kind, np.ma.MaskedArray) for kind in set(map(type, sequences))):
        for number, row in enumerate(sequences):
            if np.ma.is_masked(row):
                raise row_error(
                    number,
                    f"Row {number} is a NumPy masked array with masked values. Remove or fill these values.",
                )


def _sized(row: Any) -> bool:
    try:
        return len(row) >= 0
    except TypeError:
        return False


def _are_alike(first: Any, token: Any, kind: Kind | None) -> bool:
    try:
        flatten([first, token], kind)
    except DataError:
        return False
    return True


def _objects(sequences: Sequence[Any], total: int) -> npt.NDArray[Any]:
    return np.fromiter(chain.from_iterable(sequences), dtype=object, count=total)


def _concatenate(sequences: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Concatenate NumPy rows with the same inner shape."""
    rows = [row for row in sequences if len(row)]
    inner = rows[0].shape[1:]
    if any(row.shape[1:] != inner for row in rows):
        odd = next(i for i, row in enumerate(sequences) if len(row) and row.shape[1:] != inner)
        raise row_error(
            odd,
            f"Row {odd} has vectors of shape {sequences[odd].shape[1:]}, but the first vectors have shape "
            f"{inner}. Give all vectors the same shape.",
        )
    kinds = {"i" if row.dtype.kind in "iu" else row.dtype.kind for row in rows}
    if len(kinds) == 1 and kinds <= set("ifb"):
        joined = np.concatenate(rows)
        if joined.dtype.kind in kinds | {"u"}:
            return joined
    # NumPy converts int64 to float to concatenate with uint64 or floats, which would round large ids.
    flat = flatten([row.reshape(-1).tolist() for row in rows]).values
    return flat.reshape(-1, *inner)


def _flat_numbers(sequences: Sequence[Any], total: int, kind: Kind | None) -> npt.NDArray[Any]:
    """Concatenate rows of Python numbers as integers if all tokens are integers, otherwise as float64."""
    if set(map(type, sequences)) == {list}:
        # int32 first: most ids fit, and the result needs half the memory.
        for code, dtype in (("i", np.int32), ("q", np.int64)):
            # struct accepts only integers that fit, and is faster than NumPy. The code below handles other
            # tokens.
            with suppress(struct.error):
                packed = b"".join([_packer(code, len(row))(*row) for row in sequences])
                return np.frombuffer(packed, dtype=dtype)
    try:
        # The sum is an int only if every token is an int. This check costs one addition per token.
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


@lru_cache(maxsize=4096)
def _packer(code: str, count: int) -> Callable[..., bytes]:
    """Return a function that packs `count` integers into bytes, with the `struct` format `code`."""
    return struct.Struct(f"{count}{code}").pack


def _slow_numbers(sequences: Sequence[Any], kind: Kind | None) -> npt.NDArray[Any]:
    """Concatenate numbers of mixed types. Raise an error for the first token that is not a number."""
    numbers = (int, float, np.integer, np.floating, np.bool_)
    _refuse_others(sequences, numbers)
    tokens = list(chain.from_iterable(sequences))
    if all(isinstance(token, (int, np.integer, np.bool_)) for token in tokens):
        low, high = int(min(tokens)), int(max(tokens))
        for dtype in (np.int64, np.uint64):
            if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                return np.array([int(token) for token in tokens], dtype=dtype)
        row, position = _find(sequences, lambda token: not -(2**63) <= int(token) < 2**63)
        raise row_error(
            row,
            f"Row {row}, position {position}: {_shorten(sequences[row][position])} does not fit int64, the "
            "widest integer dtype. Fix the row or leave it out.",
        )
    # If the requested dtype is a float, rounding is allowed.
    changes = _changes_as_float if kind == "int" else _is_beyond_floats
    if any(map(changes, tokens)):
        row, position = _find(sequences, changes)
        raise row_error(
            row,
            f"Row {row}, position {position}: the rows mix ints and floats, and float64 cannot represent the "
            f"int {_shorten(sequences[row][position])} exactly. Write all tokens as ints.",
        )
    return np.array([float(token) for token in tokens], dtype=np.float64)


def _is_beyond_floats(token: Any) -> bool:
    return isinstance(token, int) and abs(token) >= 2**1023


def _changes_as_float(token: Any) -> bool:
    if not isinstance(token, (int, np.integer)):
        return False
    # int() on both sides: NumPy would compare the two as floats.
    return _is_beyond_floats(token) or int(float(token)) != int(token)


def _shorten(number: Any) -> str:
    """Return an int as text. For a very long int, the text contains only the number of bits.

    Python raises an error if a very long int is converted to text.
    """
    return str(number) if int(number).bit_length() <= 128 else f"an int of {int(number).bit_length()} bits"


def _refuse_bools(sequences: Sequence[Any], values: npt.NDArray[Any]) -> None:
    """Raise an error for a Python bool in rows of numbers. A bool is not a token id.

    Bools are 0 or 1 in `values`, so the tokens are checked only if `values` contains a 0 or 1.
    """
    if values.dtype.kind in "iu" and ((values == 0) | (values == 1)).any():
        if not _may_have_bools(sequences):
            return
        kinds = set(map(type, chain.from_iterable(sequences)))
        if bool in kinds or np.bool_ in kinds:
            row, position = _find(sequences, lambda token: isinstance(token, (bool, np.bool_)))
            raise row_error(
                row, f"Row {row}, position {position}: expected a number, not a bool. Write 0 and 1 instead."
            )


def refuse_other_than_bools(sequences: Sequence[Any]) -> None:
    """Raise an error for a token that is not a bool, in a column of bools."""
    bools = (bool, np.bool_)
    if not all(issubclass(kind, bools) for kind in set(map(type, chain.from_iterable(sequences)))):
        _refuse_first_other(sequences, bools, "bools")


def _may_have_bools(sequences: Sequence[Any]) -> bool:
    """Return False if the rows certainly contain no bools.

    This check is much faster than a check of each token.
    """
    kinds = set(map(type, sequences))
    if kinds == {np.ndarray}:
        return any(row.dtype.kind in "bO" for row in sequences)
    if kinds != {list}:
        return True
    try:
        # Only true, false and null have letters.
        return b"e" in orjson.dumps(sequences)
    except TypeError:
        return True


def _find(sequences: Sequence[Any], wanted: Callable[[Any], bool]) -> tuple[int, int]:
    """Return the row and the position of the first token for which `wanted` is true."""
    return next((i, j) for i, row in enumerate(sequences) for j, token in enumerate(row) if wanted(token))


def _refuse_others(sequences: Sequence[Any], kinds: tuple[type, ...]) -> None:
    kind_set = set(map(type, chain.from_iterable(sequences)))
    if not all(issubclass(kind, kinds) for kind in kind_set):
        _refuse_first_other(sequences, kinds, "numbers")


def _refuse_first_other(sequences: Sequence[Any], kinds: type | tuple[type, ...], expected: str) -> None:
    raise _unexpected_token(
        sequences, *_find(sequences, lambda token: not isinstance(token, kinds)), expected
    )


def _unexpected_token(sequences: Sequence[Any], row: int, position: int, expected: str) -> DataError:
    token = sequences[row][position]
    return row_error(
        row,
        f"Row {row}, position {position}: expected {expected}, found {type(token).__name__}. "
        f"Fix the row or leave it out. Received: {token!r}.",
    )
