"""Read HTML reports with Python's parser."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

# Elements without an end tag.
EMPTY = {"br", "input", "meta"}


class Page(HTMLParser):
    """A page: its elements with attributes and text, in order. Every element must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[list[str]] = []
        self._open: list[int] = []
        self.feed(text)
        self.close()
        assert not self._open, [self.elements[place] for place in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        self._texts.append([])
        if tag not in EMPTY:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for place in self._open:
            self._texts[place].append(data)

    def find(self, tag: str = "", **attributes: str) -> list[tuple[dict[str, str | None], str]]:
        """Return the attributes and the text of the elements with this tag and these attributes.

        A class matches if it is one of the classes. An underscore stands for a hyphen.
        """
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            (found, "".join(text))
            for (name, found), text in zip(self.elements, self._texts, strict=True)
            if tag in ("", name)
            and all(
                value in (found.get(key) or "").split() if key == "class" else found.get(key) == value
                for key, value in wanted.items()
            )
        ]

    def texts(self, tag: str = "", **attributes: str) -> list[str]:
        return [text for _, text in self.find(tag, **attributes)]

    def rows(self, label: str) -> list[list[str]]:
        """Return the cells of the first table with this label, without its head."""
        start = next(n for n, (_, found) in enumerate(self.elements) if found.get("aria-label") == label)
        rows: list[list[str]] = []
        for (name, _), text in zip(self.elements[start + 1 :], self._texts[start + 1 :], strict=True):
            if name in ("section", "script"):
                break
            if name == "tr":
                rows.append([])
            if name in ("th", "td"):
                rows[-1].append("".join(text))
        return rows[1:]

    def script_data(self) -> Any:
        return json.loads(self.texts("script", id="choices")[0])
