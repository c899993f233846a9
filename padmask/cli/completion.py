"""Completion of column names and lengths in the shell. This module imports no NumPy, so that help is fast."""

from __future__ import annotations

from contextlib import suppress

import click
from click.shell_completion import CompletionItem

from padmask.cli.commands import load_runner

# Lengths to suggest for --maxlen, with their meanings.
LENGTHS = {
    "longest": "the longest row",
    "p90": "at least 90% of the rows have this length or less",
    "p95": "at least 95% of the rows have this length or less",
    "p99": "at least 99% of the rows have this length or less",
}


def complete_columns(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the columns of the first input on the command line, with their types.

    If the input cannot be read, or is a pipe or a URL, there are no suggestions and no messages.
    """
    # An option without its value ends the parsing, and click then leaves the inputs in ctx.args.
    inputs = ctx.params.get("inputs") or ctx.args
    columns: dict[str, str] = {}
    with suppress(Exception):
        columns = load_runner("completion")(inputs[0]) if inputs else {}
    return [
        CompletionItem(name, help=type_) for name, type_ in columns.items() if name.startswith(incomplete)
    ]


def complete_lengths(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return suggestions for --maxlen. In a comma-separated list, only the last length is completed.

    >>> [item.value for item in complete_lengths(None, None, "128,p")]
    ['128,p90', '128,p95', '128,p99']
    """
    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(before + comma + word, help=meaning)
        for word, meaning in LENGTHS.items()
        if word.startswith(last)
    ]
