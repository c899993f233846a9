"""Convert between Arrow list arrays and NumPy arrays.

This module handles the offsets, slices, views and nulls of Arrow arrays for most other modules. It does not
handle padding.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.extension_types import dictionary_values, refuse_permuted, tensor_list_type, tensor_lists
from padmask.core.plan import Positions
from padmask.errors import FILL_GAPS, Fault, OutputError, SpecError

Kind = Literal["int", "float", "string", "bool"]

# Arrow type for each kind of token, for formats without column types, such as JSON.
TOKEN_TYPES: dict[Kind, pa.DataType] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
}

Flags = npt.NDArray[np.bool_]


def list_of(kind: Kind) -> pa.DataType:
    """Return the Arrow list type for a kind of token.

    >>> list_of("string")
    ListType(list<item: string>)
    """
    return pa.list_(TOKEN_TYPES[kind])


def list_lengths(array: pa.Array) -> tuple[Positions, list[Fault]]:
    """Return the length of each row in a list column of any type, and a `Fault` for each null row.

    >>> list_lengths(pa.array([["a", None], []]))[0].tolist()
    [2, 0]
    """
    rows = as_lists(without_wrappers(array))
    nulls = null_flags(rows)
    _, lengths, _ = list_windows(rows)
    faults = [Fault(int(row), "the row is null") for row in np.flatnonzero(nulls)]
    return np.where(nulls, 0, lengths), faults


def null_token_rows(array: pa.Array) -> Flags:
    """Return, for each row of a list column, whether it contains a null token. A null row has no tokens.

    >>> null_token_rows(pa.array([[1, None], [1], None])).tolist()
    [True, False, False]
    """
    rows = as_lists(without_wrappers(array))
    starts, lengths, tokens = list_windows(rows)
    lengths = np.where(null_flags(rows), 0, lengths)
    nulls = np.concatenate([[0], np.cumsum(null_flags(tokens))])
    found: Flags = nulls[starts + lengths] > nulls[starts]
    return found


def shared_list_lengths(array: pa.Array) -> Positions | None:
    """Return the row lengths if the type of the array lets rows share values; None otherwise.

    Rows of dictionary arrays and of list views can share values. As a result, a small array
    can represent a very large number of tokens.

    >>> shared_list_lengths(pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array([["a", "b"]]))).tolist()
    [2, 2]
    """
    if isinstance(array, pa.ExtensionArray):
        return shared_list_lengths(array.storage)
    if isinstance(array, pa.DictionaryArray) and is_list(array.type):
        # If the dictionary is empty, every row is null. The appended 0 makes index 0 valid.
        lengths = np.append(list_lengths(array.dictionary)[0], 0)
        indices = to_numpy(array.indices.fill_null(0)).astype(np.int64)
        return np.where(null_flags(array.indices), 0, lengths[indices])
    if pat.is_list_view(array.type) or pat.is_large_list_view(array.type):
        return list_lengths(array)[0]
    return None


def cut_lists(
    array: pa.Array, firsts: Positions, lengths: Positions, rows: Positions | None = None
) -> pa.Array:
    """Return a `ListArray` whose rows are slices of the rows of a list column.

    >>> cut_lists(pa.array([["a", "b", ""], ["c", "", ""]]), np.array([0, 0]), np.array([2, 1])).to_pylist()
    [['a', 'b'], ['c']]

    Args:
        array: list column without null rows.
        firsts: index of the first token of each slice in its row: int64, shape (slices,).
        lengths: number of tokens of each slice: int64, shape (slices,).
        rows: row of each slice: int64, shape (slices,). If None, slice i is a part of row i.

    Raises:
        OutputError: the slices have more tokens than a list array can contain.
    """
    if pat.is_null(array.type):
        # All rows of such a column are null, and the caller has removed null rows.
        return array.slice(0, 0)
    starts, _, tokens = list_windows(without_wrappers(array))
    starts = starts if rows is None else starts[rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] >= 2**31:
        raise OutputError(
            f"{offsets[-1]} tokens exceed the limit of a list array, {2**31 - 1}. Pass fewer rows at a time."
        )
    places = np.repeat(starts + firsts - offsets[:-1], lengths) + np.arange(offsets[-1])
    return pa.ListArray.from_arrays(to_arrow(offsets.astype(np.int32)), _pick(tokens, places))


def _pick(tokens: pa.Array, places: Positions) -> pa.Array:
    if tokens.null_count == 0 and (pat.is_integer(tokens.type) or pat.is_floating(tokens.type)):
        # Array.take would load all Arrow compute functions.
        return to_arrow(to_numpy(tokens)[places])
    if pat.is_string_view(tokens.type):
        tokens = tokens.cast(pa.string())
    return tokens.take(to_arrow(places))


def to_arrow(values: npt.NDArray[Any]) -> pa.Array:
    """Return an Arrow array that shares the memory of a NumPy array of numbers.

    `pa.array` and `pa.Array.to_numpy` import pandas if pandas is installed. The import doubles the run time
    for small files. This function and `to_numpy` do not import pandas.

    >>> to_arrow(np.array([7, 8], dtype="int32")).type
    DataType(int32)

    Args:
        values: array of integers or floats, of shape (n,).
    """
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])


def to_numpy(array: pa.Array) -> npt.NDArray[Any]:
    """Return an Arrow array without nulls as a NumPy array. For numbers, both arrays share the same memory.

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


def has_text_offsets(type_: pa.DataType) -> bool:
    """Return whether a type is string, large_string, binary or large_binary."""
    kinds = (pat.is_string, pat.is_large_string, pat.is_binary, pat.is_large_binary)
    return any(is_kind(type_) for is_kind in kinds)


def text_offsets(texts: pa.Array) -> npt.NDArray[np.int64]:
    """Return where each string or binary value starts in the data buffer, and where the last value ends.

    pyarrow has no method for these offsets. Its functions for text are in pyarrow.compute, whose import takes
    30 ms.

    >>> text_offsets(pa.array(["a", "bc", None])[1:])
    array([1, 3, 3])

    Args:
        texts: array whose type has these offsets (see `has_text_offsets`).
    """
    if not len(texts):
        return np.zeros(1, dtype=np.int64)
    large = pat.is_large_string(texts.type) or pat.is_large_binary(texts.type)
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int64 if large else np.int32)
    return offsets[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)


def numpy_dtype(type_: pa.DataType) -> np.dtype[Any]:
    """Return the NumPy dtype for an Arrow type of bools or numbers, without importing pandas.

    >>> numpy_dtype(pa.uint16()), numpy_dtype(pa.float64()), numpy_dtype(pa.bool_())
    (dtype('uint16'), dtype('float64'), dtype('bool'))
    """
    if pat.is_boolean(type_):
        return np.dtype(bool)
    kind = "float" if pat.is_floating(type_) else "uint" if pat.is_unsigned_integer(type_) else "int"
    return np.dtype(f"{kind}{type_.bit_width}")


def kind_of(type_: pa.DataType) -> Kind:
    """Return the kind of token in an Arrow list type, such as int, float or string.

    If the tokens are vectors, return the kind of their values.

    >>> kind_of(pa.list_(pa.list_(pa.float32(), 4)))
    'float'

    Raises:
        SpecError: the type is not a list, or its items are not tokens. The caller completes the message.
    """
    refuse_permuted(type_)
    rows = storage_type(type_)
    if pat.is_null(rows):
        return "int"
    if not is_list(rows):
        raise SpecError(f"the type {type_} is not a list")
    token = storage_type(rows.value_type)
    if is_list(token):
        token = storage_type(token.value_type)
    if pat.is_integer(token) or pat.is_null(token):
        return "int"
    if pat.is_floating(token):
        return "float"
    if pat.is_string(token) or pat.is_large_string(token) or pat.is_string_view(token):
        return "string"
    if pat.is_boolean(token):
        return "bool"
    raise SpecError(f"the type {type_} is not a list of integers, floats, bools or strings")


def float_dtype(type_: pa.DataType) -> str:
    """Return the float dtype for a sequence type: float64 if the tokens have this type, else float32.

    >>> float_dtype(pa.list_(pa.float64())), float_dtype(pa.list_(pa.list_(pa.float16())))
    ('float64', 'float32')
    """
    return "float64" if token_type(type_) == pa.float64() else "float32"


def with_floats(type_: pa.DataType, float_: pa.DataType) -> pa.DataType:
    """Replace the float type in a sequence type. Types without floats stay unchanged.

    >>> with_floats(pa.list_(pa.float64()), pa.float32()), with_floats(pa.list_(pa.int64()), pa.float32())
    (ListType(list<item: float>), ListType(list<item: int64>))
    """
    if pat.is_list(type_):
        return pa.list_(with_floats(type_.value_type, float_))
    return float_ if pat.is_floating(type_) else type_


def token_type(type_: pa.DataType) -> pa.DataType:
    """Return the innermost item type of a list type: the type of the tokens, or of the numbers in vectors.

    >>> token_type(pa.list_(pa.list_(pa.float32(), 4)))
    DataType(float)
    """
    type_ = storage_type(type_)
    return token_type(type_.value_type) if is_list(type_) else type_


def is_sequence(type_: pa.DataType) -> bool:
    """Return whether a column of this type can be padded."""
    try:
        kind_of(type_)
    except SpecError:
        return False
    return not pa.types.is_null(storage_type(type_))


def has_null_tokens(type_: pa.DataType) -> bool:
    """Return whether the token type of a list type is null.

    If the result is True, a column of the list type has no tokens other than nulls.

    >>> has_null_tokens(pa.list_(pa.null())), has_null_tokens(pa.list_(pa.int32()))
    (True, False)
    """
    return bool(pat.is_null(token_type(type_)))


def is_vectors(type_: pa.DataType) -> bool:
    """Return whether the tokens of a sequence type are vectors."""
    rows = storage_type(type_)
    return is_list(rows) and is_list(rows.value_type)


def is_mask(type_: pa.DataType) -> bool:
    """Return whether a column of this type may be a mask: a list of bools, integers or floats.

    >>> is_mask(pa.list_(pa.float32())), is_mask(pa.fixed_shape_tensor(pa.int64(), [3, 2]))
    (True, False)
    """
    rows = storage_type(type_)
    token = storage_type(rows.value_type) if is_list(rows) else None
    return token is not None and bool(
        pat.is_boolean(token) or pat.is_integer(token) or pat.is_floating(token)
    )


def vector_size(type_: pa.DataType) -> int | None:
    """Return the length of the vectors in a list type; None if the tokens are not vectors.

    The result is 0 if the vectors are variable-size lists, because their type does not specify a length.

    >>> vector_size(pa.list_(pa.list_(pa.float32(), 4))), vector_size(pa.list_(pa.int32()))
    (4, None)
    """
    if not is_vectors(type_):
        return None
    vector = storage_type(storage_type(type_).value_type)
    return int(vector.list_size) if pat.is_fixed_size_list(vector) else 0


def any_type(type_: pa.DataType, test: Callable[[pa.DataType], bool]) -> bool:
    """Return whether a type, or a type within this type at any depth, passes a test.

    The test receives storage types, as `storage_type` returns them.

    >>> any_type(pa.list_(pa.struct({"x": pa.float32()})), pa.types.is_floating)
    True
    """
    type_ = storage_type(type_)
    return test(type_) or any(any_type(type_.field(i).type, test) for i in range(type_.num_fields))


def storage_type(type_: pa.DataType) -> pa.DataType:
    """Return the storage type of an extension type, or the value type of a dictionary type.

    Return other types unchanged. The storage type of a tensor is a list of lists.

    >>> storage_type(pa.fixed_shape_tensor(pa.float32(), [3, 2]))
    FixedSizeListType(fixed_size_list<item: fixed_size_list<item: float>[2]>[3])
    """
    while True:
        if isinstance(type_, pa.FixedShapeTensorType):
            type_ = tensor_list_type(type_)
        elif isinstance(type_, pa.BaseExtensionType):
            type_ = type_.storage_type
        elif pat.is_dictionary(type_):
            type_ = type_.value_type
        else:
            return type_


def is_list(type_: pa.DataType) -> bool:
    type_ = storage_type(type_)
    return bool(
        pat.is_list(type_)
        or pat.is_large_list(type_)
        or pat.is_fixed_size_list(type_)
        or pat.is_list_view(type_)
        or pat.is_large_list_view(type_)
    )


def without_wrappers(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return the array without chunks, extension types and dictionary encoding."""
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks == 1 else pa.concat_arrays(_plain_chunks(array))
    while True:
        if isinstance(array, pa.FixedShapeTensorArray):
            array = tensor_lists(array)
        elif isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif isinstance(array, pa.DictionaryArray):
            array = dictionary_values(array)
        else:
            return array


def as_lists(rows: pa.Array) -> pa.Array:
    """Cast an array of type null to a list type. Return other arrays unchanged."""
    return rows.cast(pa.list_(pa.null())) if pat.is_null(rows.type) else rows


def _plain_chunks(chunked: pa.ChunkedArray) -> list[pa.Array]:
    """Return the chunks with their dictionaries decoded. Arrow cannot concatenate different dictionaries."""
    if chunked.num_chunks == 0:
        return [pa.array([], type=storage_type(chunked.type))]
    return [without_wrappers(chunk) for chunk in chunked.chunks]


def null_flags(array: pa.Array) -> Flags:
    if array.null_count == 0:
        return np.zeros(len(array), dtype=bool)
    return to_numpy(array.is_null())


def list_windows(rows: pa.Array) -> tuple[Positions, Positions, pa.Array]:
    """Return the start and the length of each row, and the array of all tokens.

    The function works like `list_values`, but removes extension types and dictionary encoding from the
    array of tokens.
    """
    starts, lengths, tokens = list_values(rows)
    return starts, lengths, without_wrappers(tokens)


def list_values(rows: pa.Array) -> tuple[Positions, Positions, pa.Array]:
    """Return the start and the length of each row, and the array of all values in its original type.

    >>> names = pa.array([["a"], ["b", "a"]], pa.list_(pa.dictionary(pa.int8(), pa.string())))
    >>> starts, lengths, values = list_values(names)
    >>> starts.tolist(), lengths.tolist(), values.dictionary.to_pylist()
    ([0, 1], [1, 2], ['a', 'b'])

    The start of a row is an index in the array of values. If `rows` is a slice of a larger array, the array
    of values contains only the values of this slice. For list views, it contains all values of the larger
    array.
    """
    type_ = rows.type
    if pat.is_fixed_size_list(type_):
        # If `rows` is a slice, .values returns the values of the complete array. .flatten() omits null rows.
        values = rows.values.slice(rows.offset * type_.list_size, len(rows) * type_.list_size)
        starts = np.arange(len(rows), dtype=np.int64) * type_.list_size
        return starts, np.full(len(rows), type_.list_size, dtype=np.int64), values
    offsets = to_numpy(rows.offsets).astype(np.int64)
    if pat.is_list_view(type_) or pat.is_large_list_view(type_):
        # The rows of a list view may overlap and be in any order. Null rows may have any offset and size.
        nulls = null_flags(rows)
        starts = np.where(nulls, 0, offsets)
        lengths = np.where(nulls, 0, to_numpy(rows.sizes).astype(np.int64))
        return starts, lengths, rows.values
    first, last = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
    return offsets[:-1] - first, np.diff(offsets), rows.values.slice(first, last - first)


def token_values(tokens: pa.Array) -> npt.NDArray[Any]:
    """Return the tokens as a NumPy array, with 0 or '' for null tokens."""
    if pat.is_null(tokens.type):
        return np.zeros(len(tokens), dtype=np.int64)
    if tokens.null_count:
        if pat.is_string_view(tokens.type):
            # Arrow cannot replace nulls in string views.
            tokens = tokens.cast(pa.large_string())
        # Arrow converts integers with nulls to floats, which would round large ids.
        zero: Any = "" if tokens.type in (pa.string(), pa.large_string(), pa.string_view()) else 0
        tokens = tokens.fill_null(pa.scalar(zero).cast(tokens.type))
    return to_numpy(tokens)


def vector_values(
    tokens: pa.Array, starts: Positions, lengths: Positions, inner: int | None
) -> tuple[npt.NDArray[Any], Flags, Callable[[int], str]]:
    """Convert vectors to a NumPy array, and find the bad vectors.

    A vector is bad if it is null, contains a null or does not have the length `inner`.

    Args:
        tokens: the vectors, a list array.
        starts: index of the first vector of each row: int64, shape (rows,).
        lengths: number of vectors in each row: int64, shape (rows,).
        inner: length that every vector must have. If None, the first non-empty vector determines the length.

    Returns:
        The values, shape (tokens, length); whether each vector is bad: bool, shape (tokens,); and a function
        that returns why a vector is bad, given the index of the vector.

    Raises:
        SpecError: lists are nested deeper than vectors. The caller completes the message.
    """
    begins, sizes, numbers = list_windows(tokens)
    if is_list(numbers.type):
        raise SpecError(
            f"lists of {tokens.type} are nested too deeply; flatten each token to a vector of numbers"
        )
    nulls = null_flags(tokens)
    if inner is None:
        inner = _first_size(np.where(nulls, 0, sizes), starts, lengths)
    flat, holes = token_values(numbers), null_flags(numbers)
    good = (sizes == inner) & ~nulls

    def reason(token: int) -> str:
        if nulls[token]:
            return f"the vector is null{FILL_GAPS}"
        if sizes[token] != inner:
            return f"the vector has {sizes[token]} numbers, but the first non-empty vector has {inner}"
        place = int(np.argmax(holes[begins[token] : begins[token] + inner]))
        return f"the vector contains a null at position {place}{FILL_GAPS}"

    if good.all() and (begins == np.arange(len(good)) * inner).all():
        flat, holes = flat[: len(good) * inner], holes[: len(good) * inner]
        # The vectors follow one another in memory, as in fixed-size lists, so they need not be copied.
        return flat.reshape(len(good), inner), np.asarray(holes.reshape(len(good), inner).any(axis=1)), reason
    places = begins[good][:, None] + np.arange(inner)
    values = np.zeros((len(tokens), inner), dtype=flat.dtype)
    values[good] = flat[places]
    bad = ~good
    bad[good] = holes[places].any(axis=1)
    return values, bad, reason


def _first_size(sizes: Positions, starts: Positions, lengths: Positions) -> int:
    """Return the length of the first vector that has numbers; 0 if no vector has numbers."""
    seen = np.concatenate([[0], np.cumsum(sizes > 0)])
    rows = np.flatnonzero(seen[starts + lengths] > seen[starts])
    if not len(rows):
        return 0
    # The rows of a list view may be in any order, so the first vector in memory may be in a later row.
    start, length = int(starts[rows[0]]), int(lengths[rows[0]])
    here = sizes[start : start + length]
    return int(here[np.argmax(here > 0)])


def to_lists(values: npt.NDArray[Any], dtype: str, fixed_size: bool = False) -> pa.Array:
    """Return an array as an Arrow list column. Each axis after the first axis becomes a level of lists.

    >>> to_lists(np.array([[1, 2], [3, 0]], dtype="int32"), "int32").type
    ListType(list<item: int32>)

    Args:
        values: padded values, of shape (rows, maxlen, ...).
        dtype: one of `DTYPES`.
        fixed_size: whether to create fixed-size lists, which some readers do not support.
    """
    flat = values.reshape(-1)
    if dtype == "bool":
        array = _bools(flat)
    else:
        array = pa.array(flat, type=pa.string()) if dtype == "string" else to_arrow(flat)
    return _nest(array, values.shape, fixed_size)


def _bools(flat: npt.NDArray[np.bool_]) -> pa.Array:
    # Packing the bits here is ten times faster than Arrow's conversion of bools.
    bits = pa.py_buffer(np.packbits(flat, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(flat), [None, bits])


def _nest(array: pa.Array, shape: tuple[int, ...], fixed_size: bool) -> pa.Array:
    for axis in range(len(shape) - 1, 0, -1):
        count, size = int(np.prod(shape[:axis], dtype=np.int64)), shape[axis]
        # Arrow does not support fixed-size lists of size 0.
        if fixed_size and size:
            array = pa.FixedSizeListArray.from_arrays(array, type=pa.list_(array.type, size))
            continue
        if count * size >= 2**31:
            raise OutputError(
                f"{count} rows of {size} values exceed the limit of a list array, {2**31 - 1} values. "
                "Choose a smaller maxlen, such as p99, or pass fewer rows at a time."
            )
        offsets = to_arrow(np.arange(count + 1, dtype=np.int32) * size)
        array = pa.ListArray.from_arrays(offsets, array)
    return array


def list_rows(values: pa.Array, lengths: Positions) -> pa.Array:
    """Return a list column whose rows are consecutive parts of an array.

    >>> list_rows(pa.array([7, 8, 9]), np.array([2, 1])).to_pylist()
    [[7, 8], [9]]

    Args:
        values: the values of all rows, one row after another.
        lengths: number of values in each row: int64, shape (rows,).
    """
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] >> 31:
        raise OutputError(
            f"{len(lengths)} rows have {offsets[-1]} values in total, but a list array holds at most "
            f"{2**31 - 1}. Pass fewer rows at a time."
        )
    return pa.ListArray.from_arrays(to_arrow(offsets.astype(np.int32)), values)


def rows_as_array(column: pa.Array, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Convert a list column to an array of shape (rows, *shape). All rows must have the shape `shape`.

    >>> rows_as_array(pa.array([[1, 2], [3, 4]]), (2,)).tolist()
    [[1, 2], [3, 4]]
    """
    rows = count = len(column)
    for size in shape:
        # .flatten() would load all Arrow compute functions.
        fixed = pa.types.is_fixed_size_list(column.type)
        first = column.offset * size if fixed else column.offsets[0].as_py()
        count *= size
        column = column.values.slice(first, count)
    return to_numpy(column).reshape(rows, *shape)


def take_rows(column: pa.Array, rows: npt.NDArray[np.int64]) -> pa.Array:
    """Return the rows of a column at the given indices, even for types that `take` does not support."""
    try:
        return column.take(to_arrow(rows))
    except pa.ArrowNotImplementedError:
        slices = [column.slice(row, 1) for row in rows.tolist()]
        return pa.concat_arrays(slices) if slices else column.slice(0, 0)


def select_rows(
    batch: pa.RecordBatch, rows: npt.NDArray[np.int64], without: Collection[str] = ()
) -> pa.RecordBatch:
    """Return the rows of a batch at the given indices. An index may occur several times.

    Args:
        batch: rows to select from.
        rows: indices of rows.
        without: names of columns that are null in the result, because other columns replace them.

    Raises:
        SpecError: a column would exceed the capacity of an Arrow array.
    """
    columns = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        try:
            absent = field.name in without
            columns.append(pa.nulls(len(rows), field.type) if absent else take_rows(column, rows))
        except (pa.ArrowInvalid, pa.ArrowCapacityError):
            raise SpecError(
                f"Column {field.name!r} would need more than 2 GiB in {len(rows):,} rows, because each "
                "window of a row repeats the value of the row. Choose a smaller --batch-rows or a larger "
                "--maxlen, or remove the column from the input.",
                options=["batch_rows", "maxlen", "overlap"],
            ) from None
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def join_batches(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Concatenate batches with the same schema into one batch."""
    columns = [
        pa.concat_arrays(columns) for columns in zip(*(batch.columns for batch in batches), strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batches[0].schema)


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """Return an empty batch with the given schema."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
