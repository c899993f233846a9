"""Argument checks. Each check returns the value as a built-in type, or raises an error."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from padmask.errors import SpecError

Checked = TypeVar("Checked")

# Accepts the name and the value of an argument, and returns the value as a built-in type.
ArgumentCheck = Callable[[str, Any], Any]


def one_of(name: str, value: object, choices: Collection[str], option: str | None = None) -> None:
    """Raise an error if the value of an argument is not in `choices`.

    Args:
        name: name of the argument, for the message.
        value: value of the argument.
        choices: accepted values.
        option: command-line parameter that sets the argument; None if both have the same name.
    """
    if not isinstance(value, str) or value not in choices:
        raise SpecError(
            f"`{name}` must be one of {', '.join(choices)}. Received: {value!r}.", options=[option or name]
        )


def at_least(least: int, bits: int | None = None) -> ArgumentCheck:
    """Return a check that accepts integers of at least `least`, and less than 2**`bits` if `bits` is set.

    >>> at_least(0)("limit", 3)
    3
    """

    def check(name: str, number: Any) -> int:
        found = as_int(number)
        if found is None or found < least or (bits is not None and found >> bits):
            limits = f"at least {least}" + (f" and less than 2**{bits}" if bits is not None else "")
            raise SpecError(
                f"`{name}` must be an integer of {limits}. Received: {number!r:.80}.", options=[name]
            )
        return found

    return check


def integer(name: str, number: Any) -> int:
    """Check that an argument is an integer and not a bool."""
    found = as_int(number)
    if found is None:
        raise SpecError(f"`{name}` must be an integer. Received: {number!r:.80}.", options=[name])
    return found


def as_int(number: Any) -> int | None:
    """Convert an integer of any type to an int. Return None for any other value. A bool is not an integer."""
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
    """Check that an argument is a string."""
    if not isinstance(value, str):
        raise SpecError(f"`{name}` must be a string. Received: {value!r:.80}.", options=[name])
    return value


def strings(name: str, value: Any) -> tuple[str, ...]:
    """Check that an argument is an iterable of strings, not a single string."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise SpecError(f"`{name}` must be a list of strings. Received: {value!r:.80}.", options=[name])
    return tuple(string(name, one) for one in value)


def pairs_of(name: str, value: Any) -> tuple[tuple[str, Any], ...]:
    """Check that an argument is a mapping with string keys, or a list of pairs. Return the pairs.

    >>> pairs_of("own_lengths", {"labels": 64})
    (('labels', 64),)
    """
    try:
        pairs = tuple((key, entry) for key, entry in getattr(value, "items", lambda: value)())
    except (TypeError, ValueError):
        raise SpecError(f"`{name}` must be a mapping. Received: {value!r:.80}.", options=[name]) from None
    names = [string(name, key) for key, _ in pairs]
    for key in names:
        if names.count(key) > 1:
            raise SpecError(f"`{name}` contains {key!r} twice. Remove the duplicate.", options=[name])
    return pairs


def file_path(name: str, value: Any) -> str:
    """Check that an argument is a path, and return the path as a string."""
    found = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(found, str):
        raise SpecError(f"`{name}` must be a path. Received: {value!r:.80}.", options=[name])
    if "\0" in found:
        raise SpecError(f"`{name}` must be a path without a NUL character. Received: {found!r:.80}.")
    return found


def choice(choices: Collection[str]) -> ArgumentCheck:
    """Return a check that accepts the strings in `choices`."""

    def check(name: str, value: Any) -> Any:
        one_of(name, value, choices)
        return value

    return check


def instance(kind: type[Checked]) -> ArgumentCheck:
    """Return a check that accepts instances of a class."""

    def check(name: str, value: Any) -> Checked:
        if not isinstance(value, kind):
            raise SpecError(f"`{name}` must be a {kind.__name__}. Received: {value!r:.80}.", options=[name])
        return value

    return check


def optional(check: ArgumentCheck) -> ArgumentCheck:
    """Return a check that also accepts None.

    >>> optional(at_least(1))("threads", None)
    """
    return lambda name, value: None if value is None else check(name, value)


def check_fields(spec: object, /, **checks: ArgumentCheck) -> None:
    """Check the fields of a frozen dataclass, and convert their values to built-in types.

    Raises:
        SpecError: a field has an invalid value.
    """
    for name, check in checks.items():
        object.__setattr__(spec, name, check(name, getattr(spec, name)))


def or_default(name: str, value: Checked | None, kind: type[Checked]) -> Checked:
    """Return an argument, or a new instance of `kind` if the argument is None.

    >>> or_default("sizes", None, list), or_default("sizes", [3], list)
    ([], [3])
    """
    found: Checked = kind() if value is None else instance(kind)(name, value)
    return found
