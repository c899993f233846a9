"""Check the class, the fields and the facts of an error, but not its sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from padmask import PadmaskError


@contextmanager
def raises_error(
    kind: type[PadmaskError],
    *facts: object,
    place: str | None = None,
    column: str | None = None,
    option: str | None = None,
) -> Iterator[pytest.ExceptionInfo[PadmaskError]]:
    """Check that the block raises an error with this class, these fields and these facts.

    Args:
        kind: class of the error.
        facts: names and values that the message contains, as in `has_fact`.
        place: name and line or row of the input, without the folder: `"in.jsonl, line 3"` or `"row 3"`.
        column: name of the column with the error.
        option: a parameter that can cause the error.
    """
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    if place is not None:
        assert f"/{error.place}".endswith((f"/{place}", f", {place}")), error
    if column is not None:
        assert error.column == column, error
    if option is not None:
        assert option in error.options, error
    assert [fact for fact in facts if not has_fact(str(error), fact)] == [], error


def has_fact(text: str, fact: object) -> bool:
    """Return whether a text contains a name or value that is not part of a longer word or number.

    >>> has_fact("column 'ids': 10 does not fit int8", "ids"), has_fact("row 10", 1)
    (True, False)
    """
    word = str(fact)
    before, after = (r"(?<!\w)" if word[:1].isalnum() else "", r"(?!\w)" if word[-1:].isalnum() else "")
    return re.search(before + re.escape(word) + after, text) is not None
