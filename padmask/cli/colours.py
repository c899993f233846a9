"""Colours of messages on a terminal. click removes the colours in files and pipes."""

from __future__ import annotations

import os

import click


def styled(text: str, colour: str) -> str:
    """Return bold text in a colour, unless the user disabled colours with NO_COLOR or TERM=dumb."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return click.style(text, fg=colour, bold=True)
