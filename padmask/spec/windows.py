"""Options for rows longer than maxlen: the tokens to keep at the ends, and windows (`WindowSpec`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from padmask.errors import SpecError, join_or
from padmask.spec.checks import as_int, at_least, check_fields, choice


@dataclass(frozen=True, kw_only=True)
class WindowSpec:
    """Options for splitting rows longer than maxlen into windows, instead of truncating them.

    >>> WindowSpec(overlap=128).labels
    'all'

    Args:
        overlap: number of tokens that a window repeats from the previous window, not counting the kept ends.
        labels: `"all"` repeats the labels of repeated tokens. `"new"` replaces them with the pad value of
            the labels (-100), so that a loss counts each token once.

    Source: `stride` (the overlap) and `return_overflowing_tokens` of Hugging Face's tokenizers.
    """

    overlap: int = 0
    labels: Literal["all", "new"] = "all"

    def __post_init__(self) -> None:
        check_fields(self, overlap=at_least(0, bits=31), labels=choice(("all", "new")))


# Columns that windows add to the output: the number of the source row, the number of the window in this row,
# and the first and last token (exclusive) of the window in the source row, without the kept ends.
WINDOW_COLUMNS = ("source_row", "window", "source_start", "source_stop")


def checked_end(name: str, value: Any) -> int | str:
    """Check the value of `keep_first` or `keep_last`: the number of tokens, or the name of a column.

    >>> checked_end("keep_last", 1), checked_end("keep_first", "prompt_length")
    (1, 'prompt_length')
    """
    if isinstance(value, str):
        if not value:
            raise SpecError(f"`{name}` is an empty column name. Use a number or a name.", options=[name])
        return value
    number = as_int(value)
    if number is None or number < 0 or number >> 31:
        raise SpecError(
            f"`{name}` must be an integer of at least 0 and less than 2**31, or the name of a column "
            f"with such an integer in each row. Received: {value!r:.80}.",
            options=[name],
        )
    return number


def refuse_large_ends(maxlen: int, keep_first: int | str, keep_last: int | str, overlap: int | None) -> None:
    """Raise an error if the kept ends leave too few positions in an output row.

    Args:
        maxlen: length of an output row.
        keep_first, keep_last: numbers of tokens to keep at the ends. The name of a column is treated as 0.
        overlap: overlap of windows; None if rows are truncated.

    Raises:
        SpecError: the numbers do not fit in `maxlen`.
    """
    first, last = (end if isinstance(end, int) else 0 for end in (keep_first, keep_last))
    if needed_positions(first, last, overlap) <= maxlen:
        return
    smaller = ["keep_first"] * bool(first) + ["keep_last"] * bool(last) + ["overlap"] * bool(overlap)
    less = f", or a smaller {join_or([f'`{name}`' for name in smaller])}" if smaller else ""
    raise SpecError(
        f"{describe_large_ends(maxlen, first, last, overlap)}. Choose a larger `maxlen`{less}.",
        options=["maxlen", *smaller],
    )


def needed_positions(first: Any, last: Any, overlap: int | None) -> Any:
    """Return the smallest maxlen in which the tokens to keep fit.

    Args:
        first, last: numbers of tokens to keep at the ends, as integers or as arrays.
        overlap: overlap of windows; None if rows are truncated. A window must also have space for the
            overlap, and for at least one token that the previous window does not have.
    """
    return first + last + (0 if overlap is None else overlap + 1)


def describe_large_ends(maxlen: int, first: int, last: int, overlap: int | None) -> str:
    """Return a clause for an error: the kept ends leave too few positions in an output row.

    >>> describe_large_ends(4, 3, 2, None)
    'maxlen is 4, but the kept first and last tokens need 5 positions (3 first, 2 last)'
    """
    needed = needed_positions(first, last, overlap)
    positions = f"{needed} position{'' if needed == 1 else 's'}"
    parts = [f"{first} first"] * bool(first) + [f"{last} last"] * bool(last)
    if overlap is None:
        return f"maxlen is {maxlen}, but the kept first and last tokens need {positions} ({', '.join(parts)})"
    parts += [f"overlap {overlap}"] * bool(overlap) + ["1 new token"]
    return f"maxlen is {maxlen}, but each window needs at least {positions} ({', '.join(parts)})"


def own_length_error(name: str, error: SpecError) -> SpecError:
    """Return the error for an invalid maxlen of one column. The message contains the column name."""
    message = f"{error}".replace("`maxlen`", "the length")
    return SpecError(f"Column {name!r} in `own_lengths`: {message}", options=["own_lengths", *error.options])


def window_source_error() -> SpecError:
    """Return the error for windows without the column `source_row`, which `unpad` needs to join them."""
    return SpecError(
        "unpad needs the column 'source_row' to join windows. Remove --no-source. If you will not unpad the "
        "output, you can drop the column afterwards.",
        options=["source_row", "overlong"],
    )


def refuse_with_own_lengths(windows: WindowSpec | None, end_columns: Sequence[str]) -> None:
    """Raise an error if an option that requires columns of equal length is used with `own_lengths`.

    Raises:
        SpecError: rows are split into windows, or the number of tokens to keep comes from a column.
    """
    if windows is not None:
        raise SpecError(
            "With windows, all columns must have the same number of tokens in a row. Remove `own_lengths`, "
            "or do not split rows into windows.",
            options=["own_lengths", "overlong"],
        )
    if end_columns:
        raise SpecError(
            f"The column {end_columns[0]!r}, which contains the number of tokens to keep in each row, cannot "
            "be used with `own_lengths`. Use one number for all rows instead of the column.",
            options=["keep_first", "keep_last", "own_lengths"],
        )
