"""The sides of padding and truncation, with the names that Keras and Hugging Face use."""

from __future__ import annotations

from typing import Any

from padmask.spec.checks import one_of

# Keras name of each side, keyed by the Hugging Face name.
KERAS_SIDES = {"left": "pre", "right": "post"}

SIDES = ("post", "pre")


def keras_side(value: Any) -> Any:
    """Return `"pre"` for `"left"` and `"post"` for `"right"`; return other values unchanged.

    >>> keras_side("left"), keras_side("post")
    ('pre', 'post')
    """
    return KERAS_SIDES.get(value, value) if isinstance(value, str) else value


def checked_side(name: str, value: Any) -> Any:
    """Check that an argument is a side, and return the side as `"pre"` or `"post"`."""
    found = keras_side(value)
    one_of(name, found, SIDES)
    return found
