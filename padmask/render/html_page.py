"""HTML reports as one file (style sheet, script and content), and elements that all reports share."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from padmask._version import __version__
from padmask.render.colours import THEMES
from padmask.render.html import Html, join_html, start_of_page, tag

# Colours that only HTML reports have: of the page behind the cards, of errors, and of success.
PAGE_COLOURS = {
    "light": {"page": "#f6f8fa", "bad": "#c0391b", "good": "#00704f"},
    "dark": {"page": "#0d1014", "bad": "#ff8f6b", "good": "#3ddcae"},
}


def make_page(kind: str, title: str, *content: str | None, data: Mapping[str, Any] | None = None) -> str:
    """Return a page that needs no other file and no network.

    Args:
        kind: command that writes the page. A comment at the start of the page has this word, so that the
            command recognizes its reports.
        title: title of the page.
        content: parts of the page.
        data: JSON values for the script.
    """
    style, script = style_sheet(), _resource("report.js")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"padmask {__version__}"),
        tag("title", f"{title} - padmask {kind}"),
        tag("style", style),
    )
    footer = tag("footer", f"padmask {kind} {__version__}")
    values = None if data is None else tag("script", _json(data), id="choices", type="application/json")
    body = tag("body", tag("main", *content, footer), values, tag("script", script), class_="padmask")
    return f"{start_of_page(kind)}{tag('html', head, body, lang='en')}\n"


def make_fragment(*content: str | None) -> Html:
    """Return a part of a page for a notebook, with its style sheet. The notebook sets the colour of text."""
    return tag("div", tag("style", style_sheet()), *content, class_="padmask fragment")


def style_sheet() -> Html:
    """Return the style sheet, with the colours for light and dark pages."""
    light, dark = (_variables(name) for name in ("light", "dark"))
    dark = f"@media (prefers-color-scheme: dark) {{ .padmask {{ {dark} }} }}"
    return Html(f".padmask {{ {light} }}\n{dark}\n{_resource('report.css')}")


def _variables(theme: str) -> str:
    colours = {**asdict(THEMES[theme]), **PAGE_COLOURS[theme]}
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


def _resource(name: str) -> Html:
    return Html(files("padmask.render").joinpath(name).read_text(encoding="utf-8"))


def _policy(style: str, script: str) -> str:
    """Return a content security policy that allows only this style sheet and this script."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'"


def _json(data: Mapping[str, Any]) -> Html:
    """Return data as JSON for a script element, without text that would end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Html(text.replace("<", "\\u003c"))


def card(title: str | None, *content: str | None, **attributes: str | bool | None) -> Html:
    """Return a part of the page with a heading."""
    heading = None if title is None else tag("h2", title)
    return tag("section", heading, *content, **{"class_": "card", **attributes})


def table(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    kinds: Mapping[str, str] | None = None,
    classes: Sequence[str | None] = (),
    label: str,
    stacks: bool = False,
) -> Html:
    """Return a table that scrolls if the page is narrow.

    Args:
        names: names of the columns. The first column has the name of each row.
        rows: cells of each row.
        kinds: CSS class of a column, keyed by its name: `"number"`, `"name"`, `"wide"` or `"text"`.
        classes: CSS class of each row; empty if no row has a class.
        label: description of the table.
        stacks: whether the cells of a row are below each other if the page is narrow.
    """
    columns = [(kinds or {}).get(name) for name in names]
    head = [tag("th", name, scope="col", class_=kind) for name, kind in zip(names, columns, strict=True)]
    body = []
    for number, cells in enumerate(rows):
        first, *others = [
            tag("td" if place else "th", cell, scope=None if place else "row", class_=kind)
            for place, (cell, kind) in enumerate(zip(cells, columns, strict=True))
        ]
        body.append(tag("tr", first, *others, class_=classes[number] if classes else None))
    inner = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body))
    kind = "scroll stack" if stacks else "scroll"
    return tag("div", inner, class_=kind, role="region", aria_label=label, tabindex="0")


def command_box(command: str, *, id_: str | None = None) -> Html:
    """Return a command with a button that copies it. Without scripts, there is no button."""
    words = [tag("span", word, class_="word") for word in re.split("(?<= )", command)]
    button = tag("button", "Copy", type="button", class_="copy", aria_live="polite", hidden=True)
    return tag("div", tag("code", *words, id=id_), button, class_="command")


def badge(text: str, kind: str) -> Html:
    """Return a word in a frame. The kind, `"good"`, `"bad"` or `"unsure"`, decides the colour."""
    return tag("span", text, class_=f"badge {kind}")


def prose(text: str) -> Html:
    """Return sentences in which options, with their numbers, are marked as code.

    >>> prose("Use --keep-last 1 <now>.")
    'Use <code class="word">--keep-last 1</code> &lt;now&gt;.'
    """
    parts = re.split(r"(?<!\S)(--[a-z][a-z-]*[a-z](?: \d+)?)", text)
    return join_html(tag("code", part, class_="word") if n % 2 else part for n, part in enumerate(parts))
