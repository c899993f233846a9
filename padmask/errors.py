"""What can go wrong, said in sentences for people.

The leaf of the house: it imports nothing of padmask, so that every room may raise
these. A message says what is wrong, where, and what to do about it; the place (file
and line or row) is added once, by the room that knows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True)
class Place:
    """Where something is in an input.

    >>> str(Place("a.jsonl", "line", 12)), str(Place("a.parquet"))
    ('a.jsonl, line 12', 'a.parquet')

    Args:
        source: name of the input.
        unit: `"line"` (counted from 1) or `"row"` (counted from 0); empty for the whole input.
        number: of the line or row.
    """

    source: str
    unit: str = ""
    number: int | None = None

    def __str__(self) -> str:
        return self.source if self.number is None else f"{self.source}, {self.unit} {self.number}"


class PadmaskError(ValueError):
    """Base of every error that padmask raises on purpose.

    `str(error)` is a sentence for people, made from the fields: place, column, message, remedy.

    >>> error = DataError("the row is null", place=Place("a.jsonl", "line", 3), remedy="Fix the row.")
    >>> str(error), error.place.number
    ('a.jsonl, line 3: the row is null. Fix the row.', 3)
    >>> error.reworded("Nothing was read.").place.number
    3

    Args:
        message: what is wrong; a sentence, or with other fields a part of one.
        place: where.
        column: of the data.
        remedy: what to do, in a sentence.
        options: the options that the error is about, as the command line's parameters are named; an option
            that the remedy only suggests is not among them.
    """

    # Whether the data or the model is at fault (exit code 1), and not the request or the machine (2).
    blames_input: ClassVar[bool] = False

    def __init__(
        self,
        message: str = "",
        *,
        place: Place | None = None,
        column: str | None = None,
        remedy: str = "",
        options: Iterable[str] = (),
    ) -> None:
        super().__init__(message)
        self.place, self.column, self.remedy = place, column, remedy
        self.options = tuple(options)
        self._sentence: str | None = None

    def __str__(self) -> str:
        if self._sentence is not None:
            return self._sentence
        place = "" if self.place is None else f"{self.place}: "
        column = "" if self.column is None else f"column {self.column!r}: "
        return f"{place}{column}{super().__str__()}" + (f". {self.remedy}" if self.remedy else "")

    def reworded(self, sentence: str) -> Self:
        """Return the same error, with the same fields, that says another sentence."""
        new = type(self)(*self.args)
        new.__dict__.update(self.__dict__, _sentence=sentence)
        return new


class SpecError(PadmaskError):
    """What was asked for cannot be: a bad option, an unknown column, a value that does not fit."""


class DataError(PadmaskError):
    """What was read cannot be padded, or cannot be read at all."""

    blames_input = True


class ChangedError(DataError):
    """An input changed while padmask read the input: something else writes to the file."""

    blames_input = False


class PaddedError(DataError, SpecError):
    """The input is padded already, or one part of the input is padded in another way than the rest."""


class ModelError(SpecError):
    """The model or the function cannot be run on the rows, or returns no usable output."""

    blames_input = True


class UnreadableError(DataError):
    """A file cannot be read, or not to its end; others beside it may be whole."""


class AccessError(UnreadableError):
    """A file or a folder is missing, is there twice, or may not be read."""

    blames_input = False


class UnsupportedError(UnreadableError):
    """A file has a format or a column type that padmask does not read."""

    blames_input = False


class WorkerDiedError(UnreadableError):
    """Every process that reads a file dies of it."""


class RowError(DataError):
    """A row cannot be unpadded: its mask or its length is not that of its tokens, or it cannot be read."""


class OutputError(PadmaskError):
    """The result cannot be written where it should go."""


class MissingExtraError(PadmaskError):
    """A package that the core does without is not installed; the message has the line that installs it."""


@dataclass(frozen=True)
class Fault:
    """One row that cannot be padded, and why.

    >>> str(Fault(0, "the row is null", "labels"))
    "column 'labels': the row is null"

    Args:
        row: counts from 0 inside the batch or sequence list at hand.
        reason: what is wrong; not the file, which this row does not know.
        column: that has it, where that is one column.
    """

    row: int
    reason: str
    column: str | None = None

    def __str__(self) -> str:
        return self.reason if self.column is None else f"column {self.column!r}: {self.reason}"


def os_error_remedy(error: OSError) -> str:
    """Return a sentence of advice for an error of the operating system.

    >>> import errno
    >>> os_error_remedy(OSError(errno.ENOSPC, "No space left on device"))
    'Free some space, or choose another place.'
    """
    import errno

    if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return "Free some space, or choose another place."
    if error.errno == errno.ENAMETOOLONG:
        return "Choose a shorter name."
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "Raise the limit on open files (ulimit -n)."
    if error.errno == errno.EAGAIN:
        return "Wait for other processes to end, or raise the limit (ulimit -u)."
    return "Check the path and its permissions, or choose another place."


def size(number: int) -> str:
    """Write a number of bytes.

    >>> size(512), size(2_097_152)
    ('512 B', '2.0 MiB')
    """
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TiB"


def share(fraction: float) -> str:
    """Write a fraction as a percentage that never rounds something to nothing.

    >>> share(0.25), share(0.0001), share(0.0)
    ('25.0%', '<0.1%', '0%')
    """
    if fraction == 0:
        return "0%"
    return f"{fraction:.1%}" if fraction >= 0.001 else "<0.1%"


def printable(text: str) -> str:
    """Return text in which nothing moves a terminal's cursor or colours: names may hold anything.

    >>> printable("a\\nb\\x1b[31m.jsonl"), printable("é 日.jsonl")
    ('a\\\\nb\\\\x1b[31m.jsonl', 'é 日.jsonl')
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# A user:password@ with or without a scheme before it, but not in a name below a folder; and a token@ alone.
# Text, which `re` compiles where an error is said.
_CREDENTIALS = r"""(?<![^\s'"(=:/])(?<![^:/]/)[^\s/'":@]+:(?!//)[^\s'"@]+@|(?<=://)[^\s/'"@]+@"""

_SIGNED = r"""(://[^\s'"?]*)\?[A-Za-z_][\w.-]*=[^\s'"]*"""


def redacted(text: str) -> str:
    """Return a message without credentials: what others say of an address may have them.

    >>> redacted("no 's3://key:sec/ret@b/x?sig=a', nor https://token@host/x, nor key:secret@b/x")
    "no 's3://***@b/x', nor https://***@host/x, nor ***@b/x"
    >>> redacted("./12:30@b.jsonl, line 3: 'a@b'"), redacted("https://host/a@b")
    ("./12:30@b.jsonl, line 3: 'a@b'", 'https://host/a@b')
    """
    return re.sub(_CREDENTIALS, "***@", re.sub(_SIGNED, r"\1", text))


def join_few(names: Sequence[str]) -> str:
    """Return the first of some names, as text.

    >>> join_few(["a", "b"]), join_few(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def join_or(names: Sequence[str]) -> str:
    """Return choices, as text.

    >>> join_or(["a"]), join_or(["a", "b", "c"])
    ('a', 'a, b or c')
    """
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def did_you_mean(name: str, known: list[str]) -> str:
    """Return a sentence that suggests the nearest of `known`, or an empty string.

    >>> did_you_mean("input_id", ["input_ids", "labels"])
    " Did you mean 'input_ids'?"
    """
    from difflib import get_close_matches  # 10 ms that only a mistake should cost

    near = get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near and len(near[0]) <= 80 else ""
