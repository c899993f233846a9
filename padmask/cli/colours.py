"""Colours of messages on a terminal. click removes the colours in files and pipes."""

from __future__ import annotations

import os
import re

import click


def styled(text: str, colour: str | None = None) -> str:
    """Return bold text, or the same text if the user disabled colours with NO_COLOR or TERM=dumb."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return click.style(text, fg=colour, bold=True)


def show_help(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print the help of a command, with bold headings, and end the run. This is the callback of --help."""
    if asked and not ctx.resilient_parsing:
        text = re.sub(r"(?m)^[A-Z][A-Za-z ]*:", lambda heading: styled(heading[0]), ctx.get_help())
        click.echo(text, color=ctx.color)
        ctx.exit()
