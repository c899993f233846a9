"""Checks of arguments: each returns the value in its plain type, or refuses it by name."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from padmask.errors import SpecError

Thing = TypeVar("Thing")

# Takes the name of an argument and its value, and returns the value in its plain type.
ArgumentCheck = Callable[[str, Any], Any]


def one_of(name: str, value: object, choices: Collection[str], option: str | None = None) -> None:
    """Refuse a `value` of the argument `name`, which `option` gives, that is none of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise SpecError(
            f"`{name}` must be one of {', '.join(choices)}. Received: {value!r}.", options=[option or name]
        )


def at_least(least: int, bits: int | None = None) -> ArgumentCheck:
    """Return the check of whole numbers of at least `least`, and less than 2**`bits`, of any type but bool.

    >>> at_least(0)("limit", 3)
    3
    """

    def check(name: str, number: Any) -> int:
        found = whole(number)
        if found is None or found < least or (bits is not None and found >> bits):
            limits = f"at least {least}" + (f", and less than 2**{bits}" if bits is not None else "")
            raise SpecError(
                f"`{name}` must be a whole number of {limits}. Received: {number!r:.80}.", options=[name]
            )
        return found

    return check


def whole_number(name: str, number: Any) -> int:
    """Check that an argument is a whole number, of any type but bool."""
    found = whole(number)
    if found is None:
        raise SpecError(f"`{name}` must be a whole number. Received: {number!r:.80}.", options=[name])
    return found


def whole(number: Any) -> int | None:
    """Return a whole number as an int; None of anything else, bools among it."""
    if type(number).__name__ in ("bool", "bool_"):
        return None
    try:
        return operator.index(number)
    except (TypeError, ValueError):
        return None


def flag(name: str, value: Any) -> bool:
    """Check that an argument is True or False."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise SpecError(f"`{name}` must be True or False. Received: {value!r:.80}.", options=[name])
    return bool(value)


def string(name: str, value: Any) -> str:
    """Check that an argument is a text."""
    if not isinstance(value, str):
        raise SpecError(f"`{name}` must be a text. Received: {value!r:.80}.", options=[name])
    return value


def strings(name: str, value: Any) -> tuple[str, ...]:
    """Check that an argument is a collection of texts, and not one text."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise SpecError(f"`{name}` must be a list of texts. Received: {value!r:.80}.", options=[name])
    return tuple(string(name, one) for one in value)


def file_path(name: str, value: Any) -> str:
    """Check that an argument is a path, and return it as text."""
    found = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(found, str):
        raise SpecError(f"`{name}` must be a path. Received: {value!r:.80}.", options=[name])
    if "\0" in found:
        raise SpecError(f"`{name}` must be a path, and no path holds a NUL. Received: {found!r:.80}.")
    return found


def choice(choices: Collection[str]) -> ArgumentCheck:
    """Return the check of texts that must be one of `choices`."""

    def check(name: str, value: Any) -> Any:
        one_of(name, value, choices)
        return value

    return check


def instance(kind: type[Thing]) -> ArgumentCheck:
    """Return the check of objects of one class."""

    def check(name: str, value: Any) -> Thing:
        if not isinstance(value, kind):
            raise SpecError(f"`{name}` must be a {kind.__name__}. Received: {value!r:.80}.", options=[name])
        return value

    return check


def optional(check: ArgumentCheck) -> ArgumentCheck:
    """Return a check that takes None too.

    >>> optional(at_least(1))("threads", None)
    """
    return lambda name, value: None if value is None else check(name, value)


def check_fields(spec: object, /, **checks: ArgumentCheck) -> None:
    """Check the fields of a frozen dataclass, and set them in their plain types.

    Raises:
        SpecError: a field is not what it must be.
    """
    for name, check in checks.items():
        object.__setattr__(spec, name, check(name, getattr(spec, name)))


def or_default(name: str, value: Thing | None, kind: type[Thing]) -> Thing:
    """Return an argument, or what it is by default, where None is given.

    >>> or_default("sizes", None, list), or_default("sizes", [3], list)
    ([], [3])
    """
    found: Thing = kind() if value is None else instance(kind)(name, value)
    return found
