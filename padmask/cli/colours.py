"""Colours of messages on a terminal. click removes the colours in files and pipes."""

from __future__ import annotations

import os
import re

import click


def styled(text: str, colour: str | None = None) -> str:
    """Return the text in bold and in `colour`; unchanged if NO_COLOR or TERM=dumb disables colours."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return click.style(text, fg=colour, bold=True)


class CommandWithBoldHelp(click.Command):
    """A command whose --help prints bold headings on a terminal."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


def _show_help(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        text = re.sub(r"(?m)^[A-Z][A-Za-z ]*:", lambda heading: styled(heading[0]), ctx.get_help())
        click.echo(text, color=ctx.color)
        ctx.exit()
