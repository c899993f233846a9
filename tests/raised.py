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
        facts: names and values that the message contains, as in `has_facts`.
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
    assert has_facts(str(error), *facts), (error, facts)


def has_facts(text: str, *facts: object) -> bool:
    """Return whether a text contains these names and values. Parts of longer words and numbers do not count.

    >>> text = "column 'ids': 10 does not fit int8"
    >>> has_facts(text, "ids", 10), has_facts(text, 1), has_facts(text, "int")
    (True, False, False)
    """
    return all(re.search(_pattern(str(fact)), text) for fact in facts)


def _pattern(fact: str) -> str:
    before, after = (r"(?<!\w)" if fact[:1].isalnum() else "", r"(?!\w)" if fact[-1:].isalnum() else "")
    return before + re.escape(fact) + after
