"""Parse JSON token lists to Arrow list columns. Most tokens do not become Python objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import numpy_dtype, to_arrow, to_numpy
from padmask.core.dtypes import narrowest_float, suggest_for_floats
from padmask.errors import FILL_GAPS, Fault
from padmask.formats.jsonl.arrow_parser import parse_lists
from padmask.formats.jsonl.exact_numbers import may_vanish, read_value, vanishing_number
from padmask.formats.jsonl.id_texts import find_ids

# Maximum number of rows to parse one by one if one of the rows is odd: the fast parsers cannot read the row.
FEW_ROWS = 8

_read_items = msgspec.json.Decoder(list[msgspec.Raw]).decode

_read_bools = msgspec.json.Decoder(list[list[bool]]).decode

_read_strings = msgspec.json.Decoder(list[list[str]]).decode


def read_sequences(
    raws: list[msgspec.Raw | None], type_: pa.DataType, requested: bool = False
) -> tuple[pa.Array, list[Fault]]:
    """Parse token lists to an Arrow list column. A bad row becomes null, and is returned as a `Fault`.

    Args:
        raws: JSON value of each row; None if the key is missing.
        type_: list type of the column.
        requested: whether the user requested the dtype. If so, ints may be written as floats such as 1.0, and
            large floats may be rounded.
    """
    array = _plain_sequences(raws, type_, requested)
    if array is not None:
        return array, []
    if len(raws) <= FEW_ROWS:
        return _odd_sequences(raws, type_, requested)
    # Usually, few rows are odd. A half without an odd row is parsed quickly.
    half = len(raws) // 2
    first, faults = read_sequences(raws[:half], type_, requested)
    second, later = read_sequences(raws[half:], type_, requested)
    faults += [replace(fault, row=fault.row + half) for fault in later]
    return pa.concat_arrays([first, second]), faults


def _plain_sequences(
    raws: list[msgspec.Raw | None], type_: pa.DataType, requested: bool = False
) -> pa.Array | None:
    """Parse lists of numbers, vectors, strings or bools quickly. Return None if a row needs the slow path."""
    if pat.is_string(type_.value_type) or pat.is_boolean(type_.value_type):
        read = _read_strings if pat.is_string(type_.value_type) else _read_bools
        try:
            return pa.array(read(b"[" + b",".join(raws) + b"]"), type=type_)  # type: ignore[arg-type]
        except (msgspec.DecodeError, TypeError):
            return None
    number = _number_type(type_)
    if pat.is_floating(number):
        return _plain_floats(raws, type_, requested)
    if not pat.is_integer(number):
        return None
    if pat.is_list(type_.value_type):
        found = parse_lists(raws, _with_numbers(type_, pa.int64()))
    else:
        ids = find_ids(raws)
        lists = None if ids is None else ids.lists()
        if lists is not None:
            return lists
        found = None if ids is None else parse_lists(raws, pa.list_(pa.int64()))
    if found is not None:
        return found[0]
    return _integral_floats(raws, type_) if requested else None


def _plain_floats(raws: list[msgspec.Raw | None], type_: pa.DataType, requested: bool) -> pa.Array | None:
    """Parse lists of floats or vectors. Return None if `_odd_sequences` must check a row."""
    found = parse_lists(raws, _with_numbers(type_, pa.float64()))
    if found is None:
        return None
    lists, text = found
    numbers = _numbers_in(lists)
    target = numpy_dtype(_number_type(type_))
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
    return _with_values(lists, rounded)


def _integral_floats(raws: list[msgspec.Raw | None], type_: pa.DataType) -> pa.Array | None:
    """Parse lists of numbers as ints, including floats such as 1.0.

    Return None if a row is not such a list, or if a float has a fraction.
    """
    lists = _plain_floats(raws, _with_numbers(type_, pa.float64()), requested=True)
    if lists is None:
        return None
    numbers = _numbers_in(lists)
    if (numbers != np.floor(numbers)).any():
        return None
    return _with_values(lists, numbers.astype(np.int64))


def _with_numbers(type_: pa.DataType, number: pa.DataType) -> pa.DataType:
    """Replace the number type in a list type."""
    return pa.list_(_with_numbers(type_.value_type, number)) if pat.is_list(type_) else number


def _numbers_in(lists: pa.Array) -> npt.NDArray[Any]:
    """Return all numbers of lists, or of lists of vectors."""
    return _numbers_in(lists.flatten()) if pat.is_list(lists.type) else to_numpy(lists)


def _with_values(lists: pa.Array, numbers: npt.NDArray[Any]) -> pa.Array:
    """Replace the numbers in lists. The lists keep their lengths."""
    if not pat.is_list(lists.type):
        return to_arrow(numbers)
    return pa.ListArray.from_arrays(lists.offsets, _with_values(lists.values, numbers))


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
    """Raise a ValueError if the type would turn `token` into infinity or 0, or change a large number."""
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
