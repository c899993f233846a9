"""Pad arrays in memory: `pad`, `sequence_mask`, and `pad_sequences` (a replacement for Keras's function).

Other modules pad tables and files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import Kind
from padmask.core.columns import PadColumn, asked_dtype, kind_of_dtype
from padmask.core.kernel import Padded, pad_batch
from padmask.core.length_stats import LengthStats
from padmask.core.masks import Mask, make_mask
from padmask.core.memory_columns import is_columns, read_columns
from padmask.core.pad_columns import ColumnPadder
from padmask.core.pad_plain_rows import pad_plain_rows
from padmask.core.pad_values import fill_value
from padmask.core.plain_rows import PlainRows, read_plain_rows
from padmask.core.plan import make_plan, needs_lengths, plan_pad
from padmask.core.planners import make_segments
from padmask.core.python_rows import flatten, flatten_objects
from padmask.core.ragged import Ragged, find_misfits
from padmask.errors import DataError, SpecError, raise_first_fault
from padmask.spec.checks import at_least, one_of, optional, or_default
from padmask.spec.columns import Columns, as_list
from padmask.spec.cuts import refuse_in_memory, refuse_unused_cuts
from padmask.spec.keywords import spec_with
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec, RowPolicy, Side
from padmask.spec.sides import checked_side

_check_threads = at_least(1)

# This policy is created only once, because creating a policy takes longer than reading a small batch.
_TRUNCATE = RowPolicy()

# With fewer values, a second thread costs more time than it saves.
VALUES_FOR_TWO_THREADS = 1 << 20


@overload
def pad(
    sequences: Mapping[str, Sequence[Any]],
    spec: PadSpec | None = None,
    *,
    columns: Columns = None,
    mask: MaskSpec | None = None,
    threads: int = 2,
    **options: Any,
) -> dict[str, Any]: ...


@overload
def pad(
    sequences: Any,
    spec: PadSpec | None = None,
    *,
    columns: None = None,
    mask: None = None,
    threads: int = 2,
    **options: Any,
) -> Padded: ...


def pad(
    sequences: Any,
    spec: PadSpec | None = None,
    *,
    columns: Columns = None,
    mask: MaskSpec | None = None,
    threads: int = 2,
    **options: Any,
) -> Padded | dict[str, Any]:
    """Pad sequences, or a dict of columns, to the same length, and return the values with their mask.

    >>> padded = pad([[711, 632, 71], [73, 8]], maxlen=4)
    >>> padded.values
    array([[711, 632,  71,   0],
           [ 73,   8,   0,   0]], dtype=int32)
    >>> padded.mask.sum(axis=1) == padded.lengths
    array([ True,  True])

    Args:
        sequences: rows of tokens, or of vectors of equal length: Python lists, NumPy arrays, or an
            Arrow list array or chunked array of any layout. Instead of rows, a dict of columns or an
            Arrow table, which are padded as in `pad_table`.
        spec: how to pad. The default `PadSpec()` pads after the tokens, to the length of the longest row.
        columns, mask: for a dict of columns, the columns to pad and the mask to add, as in `pad_table`.
        threads: number of blocks of rows to pad at the same time. The result does not depend on this number.
        options: fields of `PadSpec`, such as `maxlen`, which replace the fields of `spec`.

    Returns:
        If `sequences` are columns or a table: a dict with the padded columns, their mask and the other
        columns (numbers as arrays of shape (rows,), as for `Collator`). If `sequences` are rows: a `Padded`
        with three arrays. `values` has shape (rows, maxlen, ...). `mask` is a bool array of shape
        (rows, maxlen), True at real tokens. `lengths` is an int64 array of shape (rows,): the number of
        tokens kept in each row. The values have the dtype of the spec. With the default dtype, ints become
        int32, Python floats become float32, floats in arrays keep float32 or float64, and strings stay
        strings (dtype object). For Python lists of numbers, the first row that is not empty determines the
        dtype: float32 if this row contains a float, otherwise int32.

    Raises:
        SpecError: the pad value does not fit the dtype.
        DataError: a row is null or contains a null, vectors of a row differ in length, or a value does not
            fit the dtype.

    Source: the Keras guide "Understanding masking & padding". The mask has the same format as the result of
    `compute_mask` in this guide, but is computed from the row lengths, because a token may equal the pad
    value.
    """
    spec = spec_with(spec, options)
    threads = _check_threads("threads", threads)
    if is_columns(sequences):
        padder = ColumnPadder(spec, as_list(columns), or_default("mask", mask, MaskSpec))
        return padder.pad(read_columns(sequences))
    if columns is not None or mask is not None:
        raise SpecError(
            "`columns` and `mask` require a dict of columns. Pass {'input_ids': rows}, or remove `columns` "
            "and `mask`.",
            options=["columns", "mask"],
        )
    refuse_in_memory(spec)
    if spec.own_lengths:
        raise SpecError(
            "`own_lengths` requires a dict of columns, because rows have no names. Pass a dict of columns, "
            "or remove `own_lengths`.",
            options=["own_lengths"],
        )
    check_array_cuts(spec, _TRUNCATE, "pad")
    read, dtype, value = _read_tokens(sequences, spec)
    if isinstance(read, PlainRows):
        plain = pad_plain_rows([(read, _numpy_dtype(dtype), value)], spec)
        if plain is not None:
            return Padded(plain.values[0], plain.mask, plain.lengths)
    ragged = _checked(read, dtype, spec)
    plan = make_plan(spec, LengthStats.of(ragged.lengths) if needs_lengths(spec) else None)
    return pad_batch(
        ragged,
        make_segments(ragged.lengths, plan, spec),
        value=value,
        dtype=_numpy_dtype(dtype),
        threads=threads if len(ragged.lengths) * plan.maxlen >= VALUES_FOR_TWO_THREADS else 1,
    )


def _numpy_dtype(dtype: str) -> np.dtype[Any]:
    return np.dtype(object if dtype == "string" else dtype)


def read_array_rows(sequences: Any, spec: PadSpec) -> tuple[Ragged, PadColumn]:
    """Return rows as `Ragged`, and a `PadColumn` with the dtype and the pad value of their tokens.

    Args:
        sequences: rows of tokens, as in `pad`.
        spec: how to pad.

    Raises:
        SpecError: the pad value does not fit the dtype.
        DataError: a row cannot be padded.
    """
    read, dtype, value = _read_tokens(sequences, spec)
    ragged = _checked(read, dtype, spec)
    inner = ragged.values.shape[1] if ragged.values.ndim > 1 else None
    return ragged, PadColumn("sequences", kind_of_dtype(dtype), dtype, value, inner)


def _read_tokens(sequences: Any, spec: PadSpec) -> tuple[PlainRows | Ragged, str, int | float | str]:
    """Return rows, their dtype and their pad value, without checking that the tokens fit the dtype."""
    asked = asked_dtype(None, spec)
    read = _read_rows(sequences, None if asked is None else kind_of_dtype(asked))
    dtype = asked or _default_dtype(read, spec)
    return read, dtype, fill_value(spec.value, dtype, "PadSpec")


def _checked(read: PlainRows | Ragged, dtype: str, spec: PadSpec) -> Ragged:
    """Check that all tokens fit the dtype, and return the rows as `Ragged`."""
    ragged = read.ragged() if isinstance(read, PlainRows) else read
    raise_first_fault(find_misfits(ragged, dtype, rounds=asked_dtype(None, spec) is not None))
    return ragged


def check_array_cuts(spec: PadSpec, policy: RowPolicy, function: str) -> None:
    """Raise an error if options for overlong rows refer to a column, or have no effect.

    Args:
        spec: how to pad.
        policy: what to do with overlong rows.
        function: name of the function that pads, for the error.

    Raises:
        SpecError: the options read the number of tokens to keep from a column, or have no effect.
    """
    if not (spec.keep_first or spec.keep_last or spec.windows):
        return
    if spec.end_columns:
        raise SpecError(
            f"`{function}` cannot read the number of tokens to keep from a column, such as "
            f"{spec.end_columns[0]!r}. Use a number, or `{function}_table`.",
            options=["keep_first", "keep_last"],
        )
    refuse_unused_cuts(spec, policy)


def _default_dtype(read: PlainRows | Ragged, spec: PadSpec) -> str:
    """Return the default dtype of the tokens. A table column with these tokens has the same default."""
    found = read.dtype if isinstance(read, PlainRows) else read.values.dtype
    if found.kind in "iu" or (isinstance(read, Ragged) and read.values.size == 0):
        return spec.int_dtype
    kind = found.kind if read.first is None else np.asarray(read.first).dtype.kind
    # Arrays keep the width of their floats. Python floats have no width.
    is_wide = read.first is None and found == np.float64
    return {"f": "float64" if is_wide else "float32", "O": "string"}.get(kind, spec.int_dtype)


def _read_rows(sequences: Any, kind: Kind | None) -> PlainRows | Ragged:
    if type(sequences) is not list and isinstance(sequences, (pa.Array, pa.ChunkedArray)):
        try:
            ragged, faults = Ragged.from_arrow(sequences)
        except SpecError as error:
            raise SpecError(f"These sequences cannot be padded: {error}.") from None
        raise_first_fault(faults)
        return ragged
    rows = _as_list(sequences)
    return read_plain_rows(rows) or flatten(rows, kind, bools=False)


def _as_list(sequences: Any) -> Sequence[Any]:
    """Return the rows as a list. Unlike an iterator, a list can be read twice."""
    if isinstance(sequences, list):
        return sequences
    try:
        return list(sequences)
    except TypeError:
        raise DataError(
            f"`sequences` must be a list of sequences. Received: {type(sequences).__name__}."
        ) from None


def sequence_mask(lengths: npt.ArrayLike, maxlen: int | None = None, padding: Side = "post") -> Mask:
    """Return the mask of padded rows with the given lengths.

    >>> sequence_mask([1, 3], padding="post")
    array([[ True, False, False],
           [ True,  True,  True]])

    Args:
        lengths: number of tokens in each row: integers, shape (rows,). If a length exceeds `maxlen`, the mask
            row is all True.
        maxlen: length of every mask row, in tokens. If None, the largest length.
        padding: `"post"` puts the padding after the tokens, `"pre"` before them; `"right"` and `"left"`
            mean the same.

    Returns:
        Bool mask of shape (rows, maxlen), True at real tokens.

    Raises:
        SpecError: `lengths` or `maxlen` contains a negative number or a non-integer, or the mask does not
            fit in memory.

    Source: `tf.sequence_mask`, which has no `padding` argument.
    """
    try:
        kept = np.asarray(lengths)
    except ValueError:
        kept = np.zeros((1, 1))
    if kept.size == 0:
        kept = kept.astype(np.int64)
    if kept.ndim != 1 or kept.dtype.kind not in "iu" or (kept < 0).any():
        raise SpecError(f"`lengths` must be a 1-D array of non-negative integers. Received: {lengths!r}.")
    maxlen = int(kept.max(initial=0)) if maxlen is None else at_least(0, bits=63)("maxlen", maxlen)
    padding = checked_side("padding", padding)
    kept = np.minimum(kept, maxlen).astype(np.int64)
    return make_mask(plan_pad(kept, maxlen, padding=padding, truncating="post"))


def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: npt.DTypeLike = "int32",
    padding: Side = "pre",
    truncating: Side = "pre",
    value: Any = 0.0,
) -> npt.NDArray[Any]:
    """Pad sequences with the arguments and defaults of `keras.utils.pad_sequences`.

    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2)
    array([[0, 1],
           [2, 3],
           [5, 6]], dtype=int32)

    The defaults of `padding` and `truncating` are **pre**, as in Keras. In all other padmask functions, the
    default is post.

    Args:
        sequences: list of sequences of numbers, strings, or vectors of equal length.
        maxlen: length of every output row, in tokens. If None, the length of the longest row.
        dtype: any NumPy dtype; `object` or `str` for strings.
        padding: `"pre"` or `"post"`, the side of the padding.
        truncating: `"pre"` or `"post"`, the side on which longer rows are truncated.
        value: pad value; for rows of vectors, a scalar or a vector.

    Returns:
        Array of shape (len(sequences), maxlen, ...) and the given dtype.

    Raises:
        SpecError: `padding`, `truncating` or `dtype` is invalid, or the pad value does not fit the dtype.
        DataError: a row is not a sequence, vectors differ in length, or a value does not fit the dtype.

    Source: `keras.utils.pad_sequences` of Keras 3.15. Unlike Keras, this function accepts `maxlen=0` and
    `[]`. A number that would overflow, a fraction that would be lost in an integer dtype, and a string that
    would be cut off raise an error.
    """
    one_of("padding", padding, ("pre", "post"))
    one_of("truncating", truncating, ("pre", "post"))
    if not hasattr(sequences, "__len__"):
        raise DataError("`sequences` must have a length. Convert `sequences` to a list first.")
    maxlen = optional(at_least(0, bits=63))("maxlen", maxlen)
    try:
        target = np.dtype(dtype)
    except (TypeError, ValueError):
        raise SpecError(f"`dtype` must be a NumPy dtype. Received: {dtype!r:.80}.") from None
    if target.kind == "V":
        raise SpecError(f"`dtype` must be a dtype of numbers, strings or objects. Received: {dtype!r:.80}.")
    _check_value(value, target)
    rows = _as_list(sequences)
    kind: Kind | None = "int" if target.kind in "iu" else None
    ragged = flatten_objects(rows) if target.kind == "O" else _convert(flatten(rows, kind), target)
    places = int(ragged.lengths.max(initial=0)) if maxlen is None else maxlen
    return pad_batch(
        ragged,
        plan_pad(ragged.lengths, places, padding=padding, truncating=truncating),
        value=value,
        dtype=target,
        threads=2 if len(ragged.lengths) * places >= VALUES_FOR_TWO_THREADS else 1,
    ).values


def _check_value(value: Any, target: np.dtype[Any]) -> None:
    """Raise an error if `target` cannot represent the pad value or an element of a pad vector."""
    values = np.asarray(value)
    if values.size == 0:
        raise SpecError(f"`value` must be a scalar or a non-empty vector. Received: {value!r:.80}.")
    if target.kind == "O":
        return
    if (values.dtype.kind in "US") != (target.kind in "US"):
        if values.dtype.kind in "US":
            raise SpecError(
                f"`value` {value!r} is a string, but dtype {target} is not a string dtype. "
                "Use dtype=object or a string dtype."
            )
        values = values.astype(str)
    if target.kind in "US":
        if (np.char.str_len(values) > _width(target)).any():
            raise SpecError(f"dtype {target} would cut off the end of `value` {value!r}. Use dtype=object.")
        return
    flat = values.reshape(-1)
    one = np.zeros(len(flat), dtype=np.int64)
    if target.kind in "iu" and find_misfits(Ragged(flat, np.arange(len(flat)), one + 1), target.name):
        raise SpecError(f"`value` {value!r} does not fit dtype {target}. Choose another value or dtype.")


def _width(target: np.dtype[Any]) -> int:
    return target.itemsize // np.dtype(f"{target.kind}1").itemsize


def _convert(ragged: Ragged, target: np.dtype[Any]) -> Ragged:
    """Convert the values so that NumPy can cast them to `target`. If a value does not fit, raise an error."""
    values = ragged.values
    if target.kind in "US":
        texts = values.astype(object) if values.dtype.kind == "O" else values.astype(str).astype(object)
        width = _width(target)
        cut = np.fromiter((len(text) > width for text in texts.reshape(-1)), bool, texts.size)
        by_token = np.asarray(cut.reshape(len(texts), -1).any(axis=1)) if len(texts) else cut
        raise_first_fault(
            ragged.find_faults(
                by_token, lambda i: f"dtype {target} would cut off the end of {texts[i]!r}; use dtype=object"
            )
        )
        return Ragged(texts, ragged.starts, ragged.lengths)
    if values.dtype.kind == "O":
        try:
            values = values.astype(target)
        except (ValueError, OverflowError) as error:
            raise DataError(f"String tokens cannot be converted to dtype {target}: {error}.") from None
    if values.dtype.kind == "b":
        values = values.astype(np.int8)
    ragged = Ragged(values, ragged.starts, ragged.lengths)
    # Like Keras, rounding to a float dtype is allowed. An overflow to infinity is an error.
    if target.kind in "iu" or (target.kind == "f" and (target.itemsize < 4 or values.dtype.kind == "f")):
        floats = values.astype(np.float64) if target.kind == "f" else values
        raise_first_fault(find_misfits(Ragged(floats, ragged.starts, ragged.lengths), target.name))
    return ragged
