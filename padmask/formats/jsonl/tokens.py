"""Parse JSON token lists to Arrow list columns. Most tokens do not become Python objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import numpy_dtype, to_arrow, to_numpy
from padmask.core.dtypes import narrowest_float, suggest_for_floats
from padmask.errors import FILL_GAPS, Fault
from padmask.formats.jsonl.exact_numbers import may_vanish, read_value, vanishing_number
from padmask.formats.jsonl.id_texts import find_ids

_BLANK = b" \t\r\n"

_read_items = msgspec.json.Decoder(list[msgspec.Raw]).decode

_read_bools = msgspec.json.Decoder(list[list[bool]]).decode

_read_strings = msgspec.json.Decoder(list[list[str]]).decode


def read_sequences(
    raws: list[msgspec.Raw | None], type_: pa.DataType, requested: bool = False
) -> tuple[pa.Array, list[Fault]]:
    """Parse token lists to an Arrow list column. A bad row becomes null.

    Args:
        raws: JSON value of each row; None if the key is missing.
        type_: list type of the column.
        requested: whether the user requested the dtype. If so, ints may be written as floats such as 1.0, and
            large floats may be rounded.
    """
    array = _plain_sequences(raws, type_, requested)
    return (array, []) if array is not None else _odd_sequences(raws, type_, requested)


def _plain_sequences(
    raws: list[msgspec.Raw | None], type_: pa.DataType, requested: bool = False
) -> pa.Array | None:
    """Parse flat lists of numbers, strings or bools quickly. Return None if a row is not such a list."""
    if pat.is_string(type_.value_type) or pat.is_boolean(type_.value_type):
        read = _read_strings if pat.is_string(type_.value_type) else _read_bools
        try:
            return pa.array(read(b"[" + b",".join(raws) + b"]"), type=type_)  # type: ignore[arg-type]
        except (msgspec.DecodeError, TypeError):
            return None
    if pat.is_integer(type_.value_type):
        ids = find_ids(raws)
        numbers = None if ids is None else ids.numbers()
        if ids is not None and numbers is not None:
            return _make_lists(numbers, ids.lengths)
    elif not pat.is_floating(type_.value_type):
        return None
    return _plain_numbers(raws, type_, requested)


def _plain_numbers(raws: list[msgspec.Raw | None], type_: pa.DataType, requested: bool) -> pa.Array | None:
    """Parse flat lists of floats, or of ints of any size. Return None if a row is not such a list."""
    try:
        text = b"".join(raws)  # type: ignore[arg-type]
    except TypeError:
        return None
    if others := text.translate(None, b"0123456789-,[]" + _BLANK):
        if others.translate(None, b".eE+"):
            return None
        if pat.is_integer(type_.value_type):
            return _integral_numbers(raws) if requested else None
    text = text.translate(None, _BLANK)
    # One opening bracket per row, and none inside a row, means that every row is a flat list.
    if text.count(b"[") != len(raws) or b"[[" in text or b",[" in text:
        return None
    rows = text[1:-1].split(b"][") if raws else []
    lengths = np.fromiter((row.count(b",") + 1 if row else 0 for row in rows), np.int64, len(rows))
    numbers = _numbers(b",".join(filter(None, rows)), type_.value_type, requested)
    return None if numbers is None else _make_lists(numbers, lengths)


def _make_lists(numbers: npt.NDArray[Any], lengths: npt.NDArray[np.int64]) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(to_arrow(offsets), to_arrow(numbers))


def _integral_numbers(raws: list[msgspec.Raw | None]) -> pa.Array | None:
    """Parse flat lists of numbers as ints, including floats such as 1.0.

    Return None if a float has a fraction.
    """
    floats = _plain_numbers(raws, pa.list_(pa.float64()), requested=True)
    if floats is None:
        return None
    numbers = to_numpy(floats.values)
    if (numbers != np.floor(numbers)).any():
        return None
    return pa.ListArray.from_arrays(floats.offsets, to_arrow(numbers.astype(np.int64)))


def _numbers(text: bytes, type_: pa.DataType, requested: bool) -> npt.NDArray[Any] | None:
    """Parse comma-separated numbers. Return None if a number may not fit into 64 bits."""
    integers = pat.is_integer(type_)
    # msgspec has validated the text, so NumPy parses all of it without warnings.
    numbers = np.fromstring(text, dtype=np.int64 if integers else np.float64, sep=",")
    if len(numbers) == 0:
        return numbers
    if integers:
        # NumPy clips numbers to the limits of int64. The slow path checks numbers equal to a limit.
        limits = np.iinfo(np.int64)
        return None if numbers.min() == limits.min or numbers.max() == limits.max else numbers
    target = numpy_dtype(type_)
    largest, exact = np.finfo(target).max, 1 << (np.finfo(target).nmant + 1)
    # The slow path checks numbers that overflow to infinity, and large numbers that may be ints. An int must
    # be represented exactly. A large float may be rounded only if the user requested the dtype.
    exactly = (numbers == np.floor(numbers)) | (not requested)
    suspects = ~(np.abs(numbers) <= largest) | ((np.abs(numbers) >= exact) & exactly)
    if suspects.any():
        return None
    rounded = numbers.astype(target)
    # The slow path refuses small numbers that become 0.
    nonzero = np.count_nonzero(rounded)
    if nonzero < np.count_nonzero(numbers) or (nonzero < len(numbers) and may_vanish(text)):
        return None
    return rounded


def _odd_sequences(
    raws: list[msgspec.Raw | None], type_: pa.DataType, requested: bool
) -> tuple[pa.Array, list[Fault]]:
    """Parse token lists row by row. Return a `Fault` for each row that is not a valid token list."""
    rows: list[Any] = []
    faults = []
    for i, raw in enumerate(raws):
        options: tuple[str, ...] = ("columns",)
        try:
            row = _list(raw)
            options = ("columns", "dtype")
            rows.append(_tokens(row, type_, requested))
        except ValueError as error:
            rows.append(None)
            faults.append(Fault(i, str(error), options=options))
    return pa.array(rows, type=type_), faults


def read_items(raws: Sequence[msgspec.Raw | None]) -> tuple[list[list[msgspec.Raw]], list[Fault]]:
    """Split JSON lists of any type into the texts of their items. Return a `Fault` for each bad row.

    >>> rows, faults = read_items([msgspec.Raw(b"[1.50, [2]]"), None])
    >>> [bytes(item) for item in rows[0]], faults[0].row, faults[0].reason
    ([b'1.50', b'[2]'], 1, 'the key is missing')
    """
    rows: list[list[msgspec.Raw]] = []
    faults = []
    for i, raw in enumerate(raws):
        try:
            rows.append(_read_items(raw))  # type: ignore[arg-type]
        except (msgspec.DecodeError, RecursionError, TypeError):
            rows.append([])
            faults.append(Fault(i, _why_no_list(raw)))
    return rows, faults


def _why_no_list(raw: msgspec.Raw | None) -> str:
    try:
        _list(raw)
    except ValueError as error:
        return str(error)
    return "the value is nested too deeply"


def _tokens(row: list[Any], type_: pa.DataType, requested: bool) -> list[Any]:
    """Return the tokens of a row. If the tokens are not valid, raise a ValueError with the reason."""
    for position, token in enumerate(row):
        _check_token(token, type_.value_type, f"position {position}: ", requested)
    number = _number_type(type_)
    if pat.is_floating(number):
        return _each(float, row)
    return _each(int, row) if pat.is_integer(number) else row


def _list(raw: msgspec.Raw | None) -> list[Any]:
    """Parse a JSON list. If the value is not a list, raise a ValueError with the reason."""
    if raw is None:
        raise ValueError("the key is missing")
    try:
        row = read_value(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        why = vanishing_number(error) or "a number is out of range, or the value is nested too deeply"
        raise ValueError(why) from None
    if not isinstance(row, list):
        raise ValueError(f"expected a list of tokens, found {_describe(row)}")
    return row


def _number_type(type_: pa.DataType) -> pa.DataType:
    return _number_type(type_.value_type) if pat.is_list(type_) else type_


def _each(make: type[int] | type[float], row: list[Any]) -> list[Any]:
    """Convert all numbers of a row to one type. Arrow itself does not convert large ints to floats."""
    return [_each(make, token) if isinstance(token, list) else make(token) for token in row]


def _check_token(token: Any, type_: pa.DataType, where: str, requested: bool) -> None:
    if pat.is_list(type_):
        if not isinstance(token, list):
            gap = FILL_GAPS if token is None else ""
            raise ValueError(f"{where}expected a vector, found {_describe(token)}{gap}")
        for number in token:
            _check_token(number, type_.value_type, where + _IN_VECTOR, requested)
        return
    if pat.is_string(type_):
        if not isinstance(token, str):
            raise ValueError(f"{where}expected a string, found {_describe(token)}")
        return
    if pat.is_boolean(type_):
        if not isinstance(token, bool):
            raise ValueError(f"{where}expected a bool, found {_describe(token)}")
        return
    _check_number(token, type_, where, requested)


_IN_VECTOR = "in the vector: "


def _check_number(token: Any, type_: pa.DataType, where: str, requested: bool) -> None:
    if isinstance(token, bool) or not isinstance(token, (int, float)):
        measures = pat.is_floating(type_) or where.endswith(_IN_VECTOR)
        gap = FILL_GAPS if token is None and measures else ""
        raise ValueError(f"{where}expected a number, found {_describe(token)}{gap}")
    if pat.is_integer(type_):
        if isinstance(token, float) and not (requested and token.is_integer()):
            raise ValueError(
                f"{where}{token} is a float, but the column contains ints; to pad floats, "
                f"use dtype {narrowest_float(token)}"
            )
        # Above 2**53, several integers have the same float64.
        if not -(2**63) <= token < 2**63 or (isinstance(token, float) and abs(token) > 2**53):
            raise ValueError(f"{where}{token} does not fit int64, the widest integer dtype")
        return
    _check_float(token, type_, where, requested)


def _check_float(token: int | float, type_: pa.DataType, where: str, requested: bool) -> None:
    """Raise a ValueError if the type turns a float into infinity or 0, or changes a large number."""
    target = numpy_dtype(type_)
    try:
        with np.errstate(over="ignore"):
            rounded = target.type(token)
    except OverflowError:
        rounded = target.type("inf")
    vanishes = token != 0 and rounded == 0
    if np.isinf(rounded) or vanishes or (isinstance(token, int) and int(rounded) != token):
        raise ValueError(f"{where}{token} does not fit {target.name}; {suggest_for_floats(token)}")
    if not requested and abs(token) >= 1 << (np.finfo(target).nmant + 1) and float(rounded) != token:
        raise ValueError(
            f"{where}{target.name} would change {token} to {int(rounded)}; to keep the value, use dtype "
            "float64, such as -c NAME:float64"
        )


def _describe(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the bool {str(value).lower()}"
    names = {
        str: "the string",
        list: "a nested list",
        dict: "an object",
        int: "the number",
        float: "the number",
    }
    shown = "" if isinstance(value, (list, dict)) else f" {value!r:.40}"
    return names[type(value)] + shown
