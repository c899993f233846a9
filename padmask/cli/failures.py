"""Say what went wrong: an error as a sentence and an exit code.

A run that reads data loads this module first: later there may be no memory or descriptor left to load it.
Other runs load it when they fail.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from padmask.errors import PadmaskError, did_you_mean, os_error_remedy, printable, redacted


def say_error(sentence: str, code: int = 2) -> int:
    """Show an error, and return the exit code."""
    with suppress(OSError):
        click.echo(f"Error: {printable(redacted(sentence))}", err=True)
    return code


def name_unknown_command(name: str, known: list[str]) -> str:
    """Return the sentence for a command that is not there."""
    return f"There is no command {name!r}.{did_you_mean(name, known)}"


def show_usage_error(error: click.ClickException) -> None:
    """Show a usage error, without the secrets that were typed, such as an address in place of a command."""
    said = error.format_message()
    if (plain := redacted(said)) != said:
        error = click.UsageError(plain, getattr(error, "ctx", None))
    with suppress(OSError):
        error.show()


def say_stopped(stopped: BaseException) -> None:
    """Say what is done by the time of a Ctrl-C or its like, where that is of use."""
    for note in getattr(stopped, "__notes__", ()):
        with suppress(OSError):
            click.echo(f"Stopped: {printable(redacted(note))}", err=True)


def say_failure(error: Exception) -> int:
    """Show an error, and return its exit code: 1 where the data or the model is at fault, else 2."""
    at_fault = isinstance(error, PadmaskError) and error.blames_input
    return say_error(_sentence(error), 1 if at_fault else 2)


def _sentence(error: Exception) -> str:
    """Return the sentence that a person reads of an error."""
    if isinstance(error, PadmaskError):
        said = str(error)
        for name in error.options:
            said = said.replace(f"`{name}`", f"--{name.replace('_', '-')}")
        return said
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}. {os_error_remedy(error)}"
    if isinstance(error, MemoryError):
        return "Not enough memory. Choose a smaller --maxlen, such as p99, or fewer --batch-rows."
    if sys.flags.dev_mode:
        raise error
    return _unforeseen(error)


def _unforeseen(error: Exception) -> str:
    """Return the sentence for an error that padmask does not foresee: enough to report the error."""
    said = f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0].rstrip('.')}"
    if isinstance(error, ImportError):
        return f"What padmask needs cannot be loaded: {said}. Install it anew, or give it more memory."
    if "start new thread" in said:
        return f"{said}. Choose fewer --threads, or raise the limit (ulimit -u)."
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = f"{os.path.basename(at.tb_frame.f_code.co_filename)}, line {at.tb_lineno}" if at else "?"
    return (
        f"padmask failed where it should not ({place}): {said}. Please report it; PYTHONDEVMODE=1 shows more."
    )
