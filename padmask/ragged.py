"""Sequences made flat: one array of values, and where each row starts and ends in it.

The only room that knows Arrow's list layouts, slices, offsets and nulls. It finds rows
that cannot be padded and says why; what becomes of them is for others to decide. Knows
nothing of padding or files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pat

from padmask.errors import Fault, OutputError, SpecError

Kind = Literal["int", "float", "string"]
Flags = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]


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
        rows = _as_lists(plain(array))
        starts, lengths, tokens = _windows(rows)
        null_rows = _nulls(rows)
        lengths = np.where(null_rows, 0, lengths)
        faults = [Fault(int(row), "the row is null") for row in np.flatnonzero(null_rows)]
        if _is_list(tokens.type):
            values, bad_tokens = _vectors(tokens, starts, lengths, inner)
            reason = "a vector that is null, holds a null, or has another length than the first"
        else:
            values, bad_tokens = _numpy(tokens), _nulls(tokens)
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

        >>> Ragged.from_mask(pa.array([[1, 0], [1, 2]]))[1]
        [Fault(row=1, reason='position 1: 2 is neither 0 nor 1')]

        Returns:
            The rows, and a fault for each that is no mask: null, or with anything but 0 and 1.
        """
        rows = _as_lists(plain(array))
        starts, lengths, places = _windows(rows)
        lengths = np.where(_nulls(rows), 0, lengths)
        values = _numpy(places)
        holes = _nulls(places)
        ragged = cls(values, starts, lengths)
        faults = [Fault(int(row), "the row is null") for row in np.flatnonzero(_nulls(rows))]
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


def count_places(array: pa.Array) -> tuple[Positions, list[Fault]]:
    """Return the lengths of the rows of a list column, whatever it holds, and a fault for each null row.

    >>> count_places(pa.array([["a", None], []]))[0].tolist()
    [2, 0]
    """
    rows = _as_lists(plain(array))
    nulls = _nulls(rows)
    _, lengths, _ = _windows(rows)
    faults = [Fault(int(row), "the row is null") for row in np.flatnonzero(nulls)]
    return np.where(nulls, 0, lengths), faults


def count_shared(array: pa.Array) -> Positions | None:
    """Return the lengths of rows that may share their values, so that bytes do not tell of them; else None.

    >>> count_shared(pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array([["a", "b"]]))).tolist()
    [2, 2]
    """
    if isinstance(array, pa.ExtensionArray):
        return count_shared(array.storage)
    if isinstance(array, pa.DictionaryArray) and _is_list(array.type):
        # Where there is nothing to point to, every row is null.
        lengths = np.append(count_places(array.dictionary)[0], 0)
        indices = to_numpy(array.indices.fill_null(0)).astype(np.int64)
        return np.where(_nulls(array.indices), 0, lengths[indices])
    if pat.is_list_view(array.type) or pat.is_large_list_view(array.type):
        return count_places(array)[0]
    return None


def cut_lists(array: pa.Array, firsts: Positions, lengths: Positions) -> pa.Array:
    """Return a list column with a part of each row, as plain lists; what they hold stays as it is.

    >>> cut_lists(pa.array([["a", "b", ""], ["c", "", ""]]), np.array([0, 0]), np.array([2, 1])).to_pylist()
    [['a', 'b'], ['c']]

    Args:
        array: without null rows.
        firsts: int64, shape (rows,), where in its row each part begins.
        lengths: int64, shape (rows,), in tokens.
    """
    if pat.is_null(array.type):
        # Rows that were all null have been set apart: there is none left.
        return array.slice(0, 0)
    starts, _, tokens = _windows(plain(array))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] >= 2**31:
        raise OutputError(
            f"{offsets[-1]} tokens in one piece are more than a list column holds: pass fewer rows at a time."
        )
    places = np.repeat(starts + firsts - offsets[:-1], lengths) + np.arange(offsets[-1])
    return pa.ListArray.from_arrays(to_arrow(offsets.astype(np.int32)), _pick(tokens, places))


def _pick(tokens: pa.Array, places: Positions) -> pa.Array:
    if tokens.null_count == 0 and (pat.is_integer(tokens.type) or pat.is_floating(tokens.type)):
        # Not with take, which loads all of Arrow's compute functions.
        return to_arrow(to_numpy(tokens)[places])
    if pat.is_string_view(tokens.type):
        tokens = tokens.cast(pa.string())
    return tokens.take(to_arrow(places))


def to_arrow(values: npt.NDArray[Any]) -> pa.Array:
    """Return numbers as an Arrow array over the same memory.

    Not with `pa.array`, which looks whether they are pandas' and so imports it where it is
    installed: that would double the time a small file takes. Nor back with `to_numpy`.

    >>> to_arrow(np.array([7, 8], dtype="int32")).type
    DataType(int32)

    Args:
        values: shape (n,), of integers or floats.
    """
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])


def to_numpy(array: pa.Array) -> npt.NDArray[Any]:
    """Return an Arrow array without nulls for NumPy, numbers over the same memory.

    >>> to_numpy(pa.array([True, False, True])[1:])
    array([False,  True])
    """
    type_ = array.type
    numbers = pat.is_integer(type_) or pat.is_floating(type_)
    if array.null_count or not (numbers or pat.is_boolean(type_)):
        values: npt.NDArray[Any] = array.to_numpy(zero_copy_only=False)
        return values
    if len(array) == 0:
        return np.empty(0, dtype=numpy_dtype(type_))
    if numbers:
        return np.from_dlpack(array)
    end = array.offset + len(array)
    bits = np.unpackbits(np.frombuffer(array.buffers()[1], np.uint8), count=end, bitorder="little")
    return bits[array.offset :].view(bool)


def numpy_dtype(type_: pa.DataType) -> np.dtype[Any]:
    """Return the dtype of an Arrow type of bools or numbers; pyarrow's own function may ask for pandas.

    >>> numpy_dtype(pa.uint16()), numpy_dtype(pa.float64()), numpy_dtype(pa.bool_())
    (dtype('uint16'), dtype('float64'), dtype('bool'))
    """
    if pat.is_boolean(type_):
        return np.dtype(bool)
    kind = "float" if pat.is_floating(type_) else "uint" if pat.is_unsigned_integer(type_) else "int"
    return np.dtype(f"{kind}{type_.bit_width}")


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
            return "ask for float32, or mend the data"
        return "ask for float32" if number != np.floor(number) else "ask for float64"
    return "ask for int64" if abs(int(number)) < 2**63 else "no dtype here holds it"


def kind_of(type_: pa.DataType) -> Kind:
    """Return the kind of token in an Arrow list type, looking through vectors.

    >>> kind_of(pa.list_(pa.list_(pa.float32(), 4)))
    'float'

    Raises:
        SpecError: not a list, or a list of something that is no token.
    """
    rows = storage(type_)
    if pat.is_null(rows):
        return "int"
    if not _is_list(rows):
        raise SpecError(f"a column of type {type_} holds no sequences")
    token = storage(rows.value_type)
    if _is_list(token):
        token = storage(token.value_type)
    if pat.is_integer(token) or pat.is_null(token):
        return "int"
    if pat.is_floating(token):
        return "float"
    if pat.is_string(token) or pat.is_large_string(token) or pat.is_string_view(token):
        return "string"
    if pat.is_boolean(token):
        raise SpecError(f"a column of type {type_} holds bools where numbers belong; write 0 and 1 instead")
    raise SpecError(f"a column of type {type_} holds no integers, floats or strings")


def is_sequence(type_: pa.DataType) -> bool:
    """Tell whether a column of this type can be padded."""
    try:
        kind_of(type_)
    except SpecError:
        return False
    return not pa.types.is_null(storage(type_))


def holds_nothing(type_: pa.DataType) -> bool:
    """Tell whether a sequence type has no type of token: all its rows are null, empty or of nulls.

    >>> holds_nothing(pa.list_(pa.null())), holds_nothing(pa.list_(pa.int32()))
    (True, False)
    """
    while _is_list(type_):
        type_ = storage(type_).value_type
    return bool(pat.is_null(storage(type_)))


def is_vectors(type_: pa.DataType) -> bool:
    """Tell whether a sequence column's tokens are vectors."""
    rows = storage(type_)
    return _is_list(rows) and _is_list(rows.value_type)


def is_mask(type_: pa.DataType) -> bool:
    """Tell whether a column of this type may be a mask: a list of bools or of integers."""
    token = storage(type_.value_type) if _is_list(type_) else None
    return token is not None and bool(pat.is_boolean(token) or pat.is_integer(token))


def vector_size(type_: pa.DataType) -> int | None:
    """Return the length of a sequence type's vectors, 0 where only the data tell; None for plain tokens.

    >>> vector_size(pa.list_(pa.list_(pa.float32(), 4))), vector_size(pa.list_(pa.int32()))
    (4, None)
    """
    if not is_vectors(type_):
        return None
    vector = storage(storage(type_).value_type)
    return int(vector.list_size) if pat.is_fixed_size_list(vector) else 0


def storage(type_: pa.DataType) -> pa.DataType:
    """Return the type below extension and dictionary types."""
    while True:
        if isinstance(type_, pa.BaseExtensionType):
            type_ = type_.storage_type
        elif pat.is_dictionary(type_):
            type_ = type_.value_type
        else:
            return type_


def _is_list(type_: pa.DataType) -> bool:
    type_ = storage(type_)
    return bool(
        pat.is_list(type_)
        or pat.is_large_list(type_)
        or pat.is_fixed_size_list(type_)
        or pat.is_list_view(type_)
        or pat.is_large_list_view(type_)
    )


def plain(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Take off chunks, extension types and dictionaries."""
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks == 1 else pa.concat_arrays(_same(array))
    while True:
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        else:
            return array


def _as_lists(rows: pa.Array) -> pa.Array:
    """Rows of nothing but nulls have no type of their own."""
    return rows.cast(pa.list_(pa.null())) if pat.is_null(rows.type) else rows


def _same(chunked: pa.ChunkedArray) -> list[pa.Array]:
    """Chunks that can be joined: dictionaries may differ from chunk to chunk."""
    if chunked.num_chunks == 0:
        return [pa.array([], type=storage(chunked.type))]
    return [plain(chunk) for chunk in chunked.chunks]


def _nulls(array: pa.Array) -> Flags:
    if array.null_count == 0:
        return np.zeros(len(array), dtype=bool)
    return to_numpy(array.is_null())


def _windows(rows: pa.Array) -> tuple[Positions, Positions, pa.Array]:
    """Return starts, lengths and the tokens they point into, cut to what is used."""
    type_ = rows.type
    if pat.is_fixed_size_list(type_):
        # .values does not know of the slice, and .flatten() leaves null rows out.
        tokens = plain(rows.values.slice(rows.offset * type_.list_size, len(rows) * type_.list_size))
        starts = np.arange(len(rows), dtype=np.int64) * type_.list_size
        return starts, np.full(len(rows), type_.list_size, dtype=np.int64), tokens
    offsets = to_numpy(rows.offsets).astype(np.int64)
    if pat.is_list_view(type_) or pat.is_large_list_view(type_):
        # Views may overlap, come in any order, and hold anything at null rows.
        nulls = _nulls(rows)
        starts = np.where(nulls, 0, offsets)
        lengths = np.where(nulls, 0, to_numpy(rows.sizes).astype(np.int64))
        return starts, lengths, plain(rows.values)
    first, last = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
    return offsets[:-1] - first, np.diff(offsets), plain(rows.values.slice(first, last - first))


def _numpy(tokens: pa.Array) -> npt.NDArray[Any]:
    """Return the tokens as they are, zero (or '') where they are null."""
    if pat.is_null(tokens.type):
        return np.zeros(len(tokens), dtype=np.int64)
    if tokens.null_count:
        # Else NumPy would get floats, and large ids would lose their last digits.
        zero: Any = "" if tokens.type in (pa.string(), pa.large_string(), pa.string_view()) else 0
        tokens = tokens.fill_null(pa.scalar(zero).cast(tokens.type))
    return to_numpy(tokens)


def _vectors(
    tokens: pa.Array, starts: Positions, lengths: Positions, inner: int | None
) -> tuple[npt.NDArray[Any], Flags]:
    """Return the vectors as (tokens, F), and a flag for each that is not one of F numbers."""
    begins, sizes, numbers = _windows(tokens)
    if _is_list(numbers.type):
        raise SpecError(f"lists of {tokens.type} are nested deeper than vectors: flatten them first")
    used = np.flatnonzero(lengths)
    if inner is None:
        inner = int(sizes[starts[used[0]]]) if len(used) else 0
    flat, holes = _numpy(numbers), _nulls(numbers)
    good = (sizes == inner) & ~_nulls(tokens)
    if good.all() and (begins == np.arange(len(good)) * inner).all():
        flat, holes = flat[: len(good) * inner], holes[: len(good) * inner]
        # Fixed-size lists and untouched columns: the vectors already lie side by side.
        return flat.reshape(len(good), inner), np.asarray(holes.reshape(len(good), inner).any(axis=1))
    places = begins[good][:, None] + np.arange(inner)
    values = np.zeros((len(tokens), inner), dtype=flat.dtype)
    values[good] = flat[places]
    bad = ~good
    bad[good] = holes[places].any(axis=1)
    return values, bad
