"""Build HTML. Text is escaped, unless it is `Html`."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from padmask.errors import printable

# Elements without content and without an end tag.
EMPTY_ELEMENTS = ("br", "input", "meta")


class Html(str):
    """HTML text that `tag` does not escape. The result of `+` or of an f-string is plain text."""

    __slots__ = ()


def tag(name: str, /, *content: str | None, **attributes: str | float | bool | None) -> Html:
    """Return an element. Content and attributes are escaped, and control characters become visible.

    >>> tag("p", "1 < 2", tag("br"), class_="note", aria_label='"', hidden=True, id=None)
    '<p class="note" aria-label="&quot;" hidden>1 &lt; 2<br></p>'

    Args:
        name: name of the element.
        content: texts and `Html` in the element. None is left out.
        attributes: values of attributes. In names, an underscore becomes a hyphen, except that an underscore
            at the end is removed. An attribute with the value None or False is left out. True stands for an
            attribute without a value.
    """
    start = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Html(start if name in EMPTY_ELEMENTS else f"{start}{join_html(content)}</{name}>")


def join_html(parts: Iterable[str | None]) -> Html:
    """Join texts and `Html`. Texts are escaped.

    >>> join_html([tag("b", "&"), None, "&"])
    '<b>&amp;</b>&amp;'
    """
    return Html(
        "".join(part if isinstance(part, Html) else escape(printable(part)) for part in parts if part)
    )


def start_of_page(kind: str) -> str:
    """Return the text with which the pages of a command start."""
    return f"<!doctype html>\n<!-- padmask {kind} -->\n"


def _attribute(name: str, value: str | float | bool | None) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f' {name}="{escape(printable(text))}"'
