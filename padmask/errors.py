"""Exception classes and their fields, and functions that format text for messages.

This module imports nothing from padmask, so every other module can import it. An error says what is wrong,
where, and what to do. The module that reads the input adds the place: the file, and the line or the row.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass, replace
from typing import ClassVar, Self


@dataclass(frozen=True)
class Place:
    """The location of an error: an input, or a line or row of an input.

    >>> str(Place("a.jsonl", "line", 12)), str(Place("a.parquet"))
    ('a.jsonl, line 12', 'a.parquet')

    Args:
        source: name of the input.
        unit: `"line"` (numbered from 1) or `"row"` (numbered from 0); empty if the error has no line or row.
        number: line number or row number; None if the error has no line or row.
    """

    source: str
    unit: str = ""
    number: int | None = None

    def __str__(self) -> str:
        return self.source if self.number is None else f"{self.source}, {self.unit} {self.number}"


class PadmaskError(ValueError):
    """Base class of the errors that padmask raises.

    `str(error)` combines the fields place, column, message and remedy into one message.

    >>> error = DataError("the row is null", place=Place("a.jsonl", "line", 3), remedy="Fix the row.")
    >>> str(error), error.place.number
    ('a.jsonl, line 3: the row is null. Fix the row.', 3)
    >>> error.reworded("Nothing was read.").place.number
    3

    Args:
        message: what is wrong.
        place: where the error is in the input.
        column: name of the column with the error.
        remedy: what to do, as a sentence.
        options: command-line parameters that can cause the error, such as `maxlen`. Parameters that only
            the remedy mentions are not included.
    """

    # True if the data or the model causes the error (exit code 1), False for all other causes (exit code 2).
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

    @property
    def message(self) -> str:
        """Description of the problem, without the other fields. For a `reworded` error, the complete text."""
        return super().__str__() if self._sentence is None else self._sentence

    def reworded(self, sentence: str) -> Self:
        """Return a copy of the error with the same fields and `sentence` as its text."""
        new = type(self)(*self.args)
        new.__dict__.update(self.__dict__, _sentence=sentence)
        return new


class SpecError(PadmaskError):
    """An invalid argument or option, such as an unknown column or a pad value that does not fit the dtype."""


class DataError(PadmaskError):
    """Invalid input: a row that cannot be padded, or a file that cannot be read."""

    blames_input = True


class ChangedError(DataError):
    """An input changed while padmask read it, because another process wrote to the file."""

    blames_input = False


class PaddedError(DataError, SpecError):
    """The input is already padded, or its files are padded in different ways."""


class LaterPaddingError(PaddedError):
    """A mask marks padding in a later row, but not in the first rows. `column` is the mask."""


class ModelError(SpecError):
    """The user's model or function raises an error, or returns an unusable output."""

    blames_input = True


class UnreadableError(DataError):
    """A file is corrupt, truncated or otherwise unreadable. Other files of the dataset may be readable."""


class AccessError(UnreadableError):
    """A file or folder is missing, appears twice in the inputs, or is not readable."""

    blames_input = False


class UnsupportedError(UnreadableError):
    """A file has a format or a column type that padmask does not read."""

    blames_input = False


class WorkerDiedError(UnreadableError):
    """A file crashed every worker process that read the file."""


class RowError(DataError):
    """A row cannot be unpadded: its mask or length contradicts its tokens, or the row cannot be parsed."""


class OutputError(PadmaskError):
    """The output cannot be written."""


class MissingExtraError(PadmaskError):
    """An optional package is not installed. The message contains the command that installs it."""


@dataclass(frozen=True)
class Fault:
    """A bad row, and the reason why padmask cannot pad or unpad it.

    >>> str(Fault(0, "the row is null", "labels"))
    "column 'labels': the row is null"

    Args:
        row: row number in the batch or list of sequences, numbered from 0.
        reason: what is wrong, without the name of the file.
        column: name of the bad column; None if no single column is bad.
        options: command-line parameters that can cause the error, as in `PadmaskError`.
        in_memory: replacement of `reason` for rows in memory, if `reason` names command-line options.
    """

    row: int
    reason: str
    column: str | None = None
    options: tuple[str, ...] = ()
    in_memory: str = ""

    def __str__(self) -> str:
        return self.reason if self.column is None else f"column {self.column!r}: {self.reason}"


# Functions that accept the index of a bad token, and return `Fault.reason` and `Fault.options`.
Reason = Callable[[int], str]
Options = Callable[[int], tuple[str, ...]]


def raise_first_fault(
    faults: Iterable[Fault], rows_before: int = 0, kind: type[DataError] = DataError
) -> None:
    """Raise an error for the first bad row of data in memory, if there is one.

    Args:
        faults: the bad rows, in any order.
        rows_before: number of rows before the batch to which `faults` belong. The number is added to the row
            number in the error.
        kind: class of the error.
    """
    first = min(faults, key=lambda fault: fault.row, default=None)
    if first is not None:
        number = rows_before + first.row
        first = replace(first, reason=first.in_memory or first.reason)
        place = f"Row {number}" + (":" if first.column is None else ",")
        raise row_error(number, f"{place} {first}.", first.column, first.options, kind)


def row_error(
    row: int,
    sentence: str,
    column: str | None = None,
    options: Iterable[str] = (),
    kind: type[DataError] = DataError,
) -> DataError:
    """Return the error for a bad row of data in memory.

    >>> error = row_error(2, "Row 2, column 'labels': the row is null.", "labels")
    >>> str(error), error.place.number, error.column
    ("Row 2, column 'labels': the row is null.", 2, 'labels')

    Args:
        row: row number in the data, numbered from 0.
        sentence: complete message.
        column: name of the bad column; None if no single column is bad.
        options: parameters that can cause the error, as in `PadmaskError`.
        kind: class of the error.
    """
    error = kind(sentence, place=Place("the data", "row", row), column=column, options=options)
    return error.reworded(sentence)


def os_error_remedy(error: OSError) -> str:
    """Return a sentence that suggests how to fix an operating system error.

    >>> import errno
    >>> os_error_remedy(OSError(errno.ENOSPC, "No space left on device"))
    'Free some space, or choose another location.'
    """
    import errno

    if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return "Free some space, or choose another location."
    if error.errno == errno.ENAMETOOLONG:
        return "Choose a shorter name."
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "Raise the limit on open files (ulimit -n)."
    if error.errno == errno.EAGAIN:
        return "Wait until other processes end, or raise the limit (ulimit -u)."
    return "Check the path and its permissions, or choose another location."


# How to pad measurements with gaps, for error messages.
FILL_GAPS = "; fill missing values first, for example with the previous value, as docs/series.md shows"


def size(number: int) -> str:
    """Format a size in bytes with a unit.

    >>> size(512), size(2_097_152)
    ('512 B', '2.0 MiB')
    """
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TiB"


def count(number: int, noun: str) -> str:
    """Format a number with a noun, in the singular or the plural.

    >>> count(1, "row"), count(1234, "token")
    ('1 row', '1,234 tokens')
    >>> count(2, "batch")
    '2 batches'
    """
    plural = "es" if noun.endswith("ch") else "s"
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def share(fraction: float) -> str:
    """Format a fraction as a percentage. A small nonzero fraction becomes `<0.1%`, never `0%`.

    >>> share(0.25), share(0.0001), share(0.0)
    ('25.0%', '<0.1%', '0%')
    """
    if fraction == 0:
        return "0%"
    return f"{fraction:.1%}" if fraction >= 0.001 else "<0.1%"


def fine_share(fraction: float) -> str:
    """Format a fraction as a percentage, with more digits near 0% and 100%.

    >>> fine_share(0.25), fine_share(0.000026), fine_share(0.99997), fine_share(1.0)
    ('25.0%', '0.003%', '99.997%', '100.0%')
    """
    is_near = 0 < fraction < 0.001 or 0.999 < fraction < 1
    return f"{fraction:.3%}" if is_near else share(fraction)


def printable(text: str) -> str:
    """Escape control characters, which can change a terminal. File and column names may contain them.

    >>> printable("a\\nb\\x1b[31m.jsonl"), printable("é 日.jsonl")
    ('a\\\\nb\\\\x1b[31m.jsonl', 'é 日.jsonl')
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# Matches user:password@ with or without a scheme, and token@ after a scheme. Names in a folder do not match.
# `re` compiles these patterns at the first error, not at the start.
_CREDENTIALS = r"""(?<![^\s'"(=:/])(?<![^:/]/)[^\s/'":@]+:(?!//)[^\s'"@]+@|(?<=://)[^\s/'"@]+@"""

_SIGNED = r"""(://[^\s'"?]*)\?[A-Za-z_][\w.-]*=[^\s'"]*"""


def redacted(text: str) -> str:
    """Remove credentials from a message. Error messages of other libraries may contain credentials.

    >>> redacted("no 's3://key:sec/ret@b/x?sig=a', nor https://token@host/x, nor key:secret@b/x")
    "no 's3://***@b/x', nor https://***@host/x, nor ***@b/x"
    >>> redacted("./12:30@b.jsonl, line 3: 'a@b'"), redacted("https://host/a@b")
    ("./12:30@b.jsonl, line 3: 'a@b'", 'https://host/a@b')
    """
    return re.sub(_CREDENTIALS, "***@", re.sub(_SIGNED, r"\1", text))


def quoted(names: Iterable[str]) -> str:
    """Put names in quotes, and join them with commas.

    >>> quoted(["a", "b"])
    "'a', 'b'"
    """
    return ", ".join(map(repr, names))


def column_flags(names: Iterable[str]) -> str:
    """Return the `-c` options for columns.

    >>> column_flags(["input_ids", "my labels"])
    "-c input_ids -c 'my labels'"
    """
    return " ".join(f"-c {shlex.quote(name)}" for name in names)


def pronoun(names: Sized) -> str:
    """Return the pronoun for some names: `it` for one name, else `them`.

    >>> pronoun(["labels"]), pronoun(["labels", "bbox"])
    ('it', 'them')
    """
    return "it" if len(names) == 1 else "them"


def join_few(names: Sequence[str]) -> str:
    """Join the first three names, and add the number of the other names.

    >>> join_few(["a", "b"]), join_few(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def join_or(names: Sequence[str]) -> str:
    """Join choices with commas and `or`.

    >>> join_or(["a"]), join_or(["a", "b", "c"])
    ('a', 'a, b or c')
    """
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def did_you_mean(name: str, known: list[str]) -> str:
    """Return a sentence that suggests the most similar name in `known`, or an empty string.

    >>> did_you_mean("input_id", ["input_ids", "labels"])
    " Did you mean 'input_ids'?"
    """
    from difflib import get_close_matches  # imported here because the import takes 10 ms

    near = get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near and len(near[0]) <= 80 else ""
