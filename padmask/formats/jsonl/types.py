"""Detect the Arrow types of JSON fields from all rows of an input."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from types import MappingProxyType
from typing import Any, overload

import pyarrow as pa

from padmask.errors import DataError
from padmask.formats.contract import Batch
from padmask.formats.jsonl.reader import field_values

# Parquet and Arrow readers limit the nesting depth. Real data is much less deeply nested.
MAX_DEPTH = 64

_KINDS = {bool: "bool", int: "int", float: "float", str: "string", list: "list", dict: "object"}

_WITH_ARTICLE = {"bool": "a bool", "int": "an int", "float": "a float", "string": "a string"} | {
    "list": "a list",
    "object": "an object",
}

_ARROW = {"bool": pa.bool_(), "float": pa.float64(), "string": pa.string()}


def _short(number: int) -> str:
    """Return an integer as text for messages. A long integer is shortened.

    >>> _short(-12), _short(10**400)
    ('-12', '10000000000000000000... (401 digits)')
    """
    text = str(number)
    return text if len(text) <= 40 else f"{text[:20]}... ({len(text.lstrip('-'))} digits)"


@dataclass
class JsonType:
    """The type of a JSON field, found from the values observed so far.

    >>> seen = JsonType("score")
    >>> seen.observe([1, None, 2.5], ["line 1", "line 2", "line 3"])
    >>> seen.arrow()
    DataType(double)

    Args:
        path: path of the field in a row, for messages.
        depth: nesting depth of the field.
        kind: kind of the values; None if all values are null.
        first: kind of the first value that is not null.
        place: file and line of the first value that is not null.
        low, high: smallest and largest integer, including 0, so that low <= 0 <= high.
        low_place, high_place: file and line of `low` and `high`; empty for 0.
        item: type of the list items; None if no value is a list.
        fields: if the values are objects, the types of their fields, keyed by field name.
    """

    path: str
    depth: int = 0
    kind: str | None = None
    first: str = ""
    place: str = ""
    low: int = 0
    high: int = 0
    low_place: str = ""
    high_place: str = ""
    item: JsonType | None = None
    fields: dict[str, JsonType] = field(default_factory=dict)

    def observe(self, values: Sequence[Any], places: Sequence[str]) -> None:
        """Add values, and the file and line of each value.

        Raises:
            DataError: the values have no common type.
        """
        kinds = {_KINDS[kind] for kind in set(map(type, values)) if kind is not type(None)}
        if not kinds:
            return
        if self.depth > MAX_DEPTH:
            raise DataError(
                f"{places[0]}, field {re.split('[.[]', self.path)[0]!r}: nested deeper than {MAX_DEPTH} "
                "levels. Choose JSON Lines as the output format, which keeps the value unchanged.",
                options=["output_format"],
            )
        if self.kind is None or kinds != {self.kind}:
            self._join(values, places)
        if self.kind in ("int", "float"):
            self._observe_integers(values, places)
        elif self.kind == "list":
            self._observe_lists(values, places)
        elif self.kind == "object":
            self._observe_objects(values, places)

    def _join(self, values: Sequence[Any], places: Sequence[str]) -> None:
        for value, place in zip(values, places, strict=True):
            kind = None if value is None else _KINDS[type(value)]
            if kind is None or kind == self.kind:
                continue
            if self.kind is None:
                self.kind, self.first, self.place = kind, kind, place
            elif {kind, self.kind} == {"int", "float"}:
                self.kind = "float"
            else:
                raise self._mixture(kind, place)

    def _observe_integers(self, values: Sequence[Any], places: Sequence[str]) -> None:
        integers = [value for value in values if type(value) is int]
        low, high = min(integers, default=0), max(integers, default=0)
        if low < self.low:
            self.low, self.low_place = low, _place_of(low, values, places)
        if high > self.high:
            self.high, self.high_place = high, _place_of(high, values, places)
        if self.kind == "float":
            self._refuse_rounding(values, places)
            return
        if self.low < -(2**63) or self.high >= 2**64 or (self.low < 0 and self.high >= 2**63):
            lowest, highest = (-(2**63), 2**63 - 1) if self.low < 0 else (0, 2**64 - 1)
            beyond = (
                (value, place)
                for value, place in zip(values, places, strict=True)
                if value is not None and not lowest <= value <= highest
            )
            # If each new value fits the type, the conflict is between a large integer and a negative integer,
            # and one of the two is in an earlier batch.
            value, place = next(beyond, (None, ""))
            if value is None:
                value = self.low if self.low in integers else self.high
                place = places[list(values).index(value)]
            raise DataError(
                f"{place}, field {self.path!r}: no 64-bit integer type can represent both {_short(value)} "
                "and the other values. Change the values to strings, or choose JSON Lines "
                "as the output format.",
                options=["output_format"],
            )

    def _refuse_rounding(self, values: Sequence[Any], places: Sequence[str]) -> None:
        """Raise an error for an integer that float64 cannot represent exactly, in a field with floats."""
        if self.low >= -(2**53) and self.high <= 2**53:
            return
        large = (
            (value, place)
            for value, place in zip(values, places, strict=True)
            if type(value) is int and abs(value) > 2**53
        )
        highest, lowest = (self.high, self.high_place), (self.low, self.low_place)
        value, place = next(large, highest if self.high > 2**53 else lowest)
        raise DataError(
            f"{place}, field {self.path!r}: the field contains floats, but float64 cannot represent the int "
            f"{_short(value)} exactly. Change the values to strings, or choose JSON Lines "
            "as the output format.",
            options=["output_format"],
        )

    def _observe_lists(self, values: Sequence[Any], places: Sequence[str]) -> None:
        self.item = self.item or JsonType(f"{self.path}[]", self.depth + 1)
        pairs = [(value, place) for value, place in zip(values, places, strict=True) if value]
        items = list(chain.from_iterable(value for value, _ in pairs))
        self.item.observe(items, [place for value, place in pairs for _ in value])

    def _observe_objects(self, values: Sequence[Any], places: Sequence[str]) -> None:
        for value, place in zip(values, places, strict=True):
            for name in value or ():
                child = self.fields.setdefault(name, JsonType(f"{self.path}.{name}", self.depth + 1))
                child.observe([value[name]], [place])

    def join(self, later: JsonType) -> None:
        """Add the values that another `JsonType` observed in later rows.

        >>> seen, later = JsonType("x"), JsonType("x")
        >>> seen.observe([1], ["a, line 1"])
        >>> later.observe([0.5], ["b, line 1"])
        >>> seen.join(later)
        >>> seen.arrow()
        DataType(double)

        Raises:
            DataError: the values have no common type.
        """
        if later.kind is None:
            return
        if self.kind is None:
            self.kind, self.first, self.place = later.kind, later.first, later.place
        elif self.kind != later.kind:
            if {self.kind, later.kind} != {"int", "float"}:
                raise self._mixture(later.first, later.place)
            self.kind = "float"
        self._observe_integers([later.low, later.high], [later.low_place, later.high_place])
        if later.item is not None:
            self.item = self.item or JsonType(later.item.path, later.item.depth)
            self.item.join(later.item)
        for name, child in later.fields.items():
            self.fields.setdefault(name, JsonType(child.path, child.depth)).join(child)

    def copy(self) -> JsonType:
        """Return an independent copy."""
        fields = {name: child.copy() for name, child in self.fields.items()}
        return replace(self, item=self.item and self.item.copy(), fields=fields)

    def _mixture(self, kind: str, place: str) -> DataError:
        return DataError(
            f"{place}, field {self.path!r}: found {_WITH_ARTICLE[kind]}, but {self.place} has "
            f"{_WITH_ARTICLE[self.first]}. A column needs a single type. Fix the rows, or choose "
            "JSON Lines as the output format.",
            options=["output_format"],
        )

    def arrow(self) -> pa.DataType:
        """Return the common Arrow type of all observed values."""
        if self.kind is None:
            return pa.null()
        if self.kind == "int":
            return pa.uint64() if self.high >= 2**63 else pa.int64()
        if self.kind == "list":
            assert self.item is not None
            return pa.list_(self.item.arrow())
        if self.kind == "object":
            return pa.struct([(name, child.arrow()) for name, child in self.fields.items()])
        return _ARROW[self.kind]


def _place_of(number: int, values: Sequence[Any], places: Sequence[str]) -> str:
    """Return the file and line of an integer. Floats of equal value are ignored."""
    return places[next(i for i, value in enumerate(values) if value == number and type(value) is int)]


class TypeSurvey:
    """The types of all JSON fields, in the order in which the fields first appear."""

    def __init__(self) -> None:
        self._types: dict[str, JsonType] = {}

    def add(self, name: str, values: Sequence[Any], places: Sequence[str]) -> None:
        """Add values of one field, and the file and line of each value."""
        self._types.setdefault(name, JsonType(name)).observe(values, places)

    def add_rows(
        self,
        batch: Batch,
        known: Sequence[str],
        without: Sequence[str],
        parsed: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    ) -> None:
        """Add the fields of JSON rows, with the types of their values.

        Args:
            batch: the rows.
            known: names of fields whose types need not be detected. These fields keep their place in the
                order of the fields, but their values are not read.
            without: names of fields to ignore.
            parsed: values of some fields, which are then not parsed again.
        """
        assert batch.objects is not None
        places = _Places(batch)
        for name in dict.fromkeys(name for row in batch.objects for name in row):
            if name in without:
                continue
            if name in known:
                values: Sequence[Any] = []
            else:
                values = parsed.get(name) or field_values(batch.objects, name, batch.place)
            self.add(name, values, places)

    def join(self, later: TypeSurvey) -> None:
        """Add the types that another `TypeSurvey` found in later rows.

        Raises:
            DataError: a field has values without a common type.
        """
        for name, seen in later._types.items():
            self._types.setdefault(name, JsonType(name)).join(seen)

    def copy(self) -> TypeSurvey:
        """Return an independent copy."""
        same = TypeSurvey()
        same._types = {name: seen.copy() for name, seen in self._types.items()}
        return same

    def schema(self) -> pa.Schema:
        return pa.schema([(name, seen.arrow()) for name, seen in self._types.items()])


class _Places(Sequence[str]):
    """The file and line of each row of a batch, as texts that are created on demand."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return len(self._batch)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...

    def __getitem__(self, row: int | slice) -> str | Sequence[str]:
        if isinstance(row, slice):
            return [self[one] for one in range(len(self))[row]]
        if row >= len(self):
            raise IndexError(row)
        return str(self._batch.place(row))


class OtherTypesError(Exception):
    """A field has a different type than in the first rows."""


class AssumedTypes:
    """The types of all JSON fields in the first rows, which later rows are assumed to have.

    If later rows have other types, the caller detects the types again, from all rows. If later rows have the
    assumed types, detection from all rows would find the same types.

    Args:
        first: types of the fields in the first rows.
        known: names of fields whose types are not needed, as in `TypeSurvey.add_rows`.
        without: names of fields to ignore.
    """

    def __init__(self, first: TypeSurvey, known: Sequence[str], without: Sequence[str]) -> None:
        self._first, self._known, self._without = first, known, without
        self.schema = first.schema()

    def check(self, batch: Batch, parsed: Mapping[str, Sequence[Any]]) -> None:
        """Raise an error if the types of rows are not the assumed types.

        Args:
            batch: the rows.
            parsed: values of some fields of these rows.

        Raises:
            OtherTypesError: a field has another type, or a field is new.
        """
        types = self._first.copy()
        try:
            types.add_rows(batch, self._known, self._without, parsed)
        except DataError as error:
            raise OtherTypesError from error
        if types.schema() != self.schema:
            raise OtherTypesError
