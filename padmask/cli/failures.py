"""Convert exceptions to error messages, exit codes and error reports.

A run that reads data imports this module first. A later import could fail if no memory or file descriptor
is free. Other runs import this module when they fail.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from glob import escape, glob
from typing import Any

import click

from padmask.cli.colours import styled
from padmask.errors import PadmaskError, did_you_mean, os_error_remedy, printable, redacted
from padmask.storage.names import RECORD
from padmask.storage.names import UNFINISHED as UNFINISHED_FOLDER
from padmask.storage.output_places import names_a_folder
from padmask.storage.urls import is_url

# Options that may be repeated, by parameter name. The names of these parameters are plurals.
_REPEATABLE = {"columns": "column", "own_lengths": "own_length", "own_masks": "own_mask"}


class UnfinishedError(PadmaskError):
    """The error in the report of a run that has not finished. The exit code is unknown."""


# The error in the report of a run until the run ends.
UNFINISHED = UnfinishedError(
    "the run has not finished: it is still running, was interrupted or killed, or crashed",
    remedy="Check the exit code of the run and its messages on stderr.",
)


def print_error(message: str, code: int = 2) -> int:
    """Print an error message to stderr, and return the exit code."""
    with suppress(OSError):
        click.echo(f"{styled('Error:', 'red')} {printable(redacted(message))}", err=True)
    return code


def print_failure(error: Exception) -> int:
    """Print the message of an error to stderr, and return the exit code."""
    return print_error(message_of(error), exit_code_of(error))


def remedy_after_kill(command: str, output: str | None) -> str:
    """Return what to do if a command was killed because memory ran out.

    Args:
        command: name of the command.
        output: path of the output; None if unknown.
    """
    if command == "verify":
        return "Choose a smaller --batch-size or --maxlen."
    if command not in ("pad", "pack"):
        return "Free some memory, and run the command again."
    if output is None or not names_a_folder(output):
        return "Choose a smaller --batch-rows, or a smaller --maxlen, such as p99."
    done = 0 if is_url(output) else len(glob(f"{escape(output)}/{UNFINISHED_FOLDER}*/*{RECORD}"))
    # Another maxlen would change the finished shards, so that the run could not be resumed.
    how = "fewer --workers or a smaller --batch-rows"
    if not done:
        return f"Use {how}, or a smaller --maxlen. --resume keeps finished shards."
    are = "shard is" if done == 1 else "shards are"
    return f"{done:,} {are} done. To continue the run, add --resume with {how}, and keep all other options."


def print_usage_error(error: click.ClickException) -> None:
    """Print a usage error, and remove credentials from URLs in the message."""
    message = error.format_message()
    if (redacted_message := redacted(message)) != message:
        error = click.UsageError(redacted_message, getattr(error, "ctx", None))
    with suppress(OSError):
        shown = io.StringIO()
        error.show(file=shown)
        usage, label, text = shown.getvalue().partition("Error:")
        click.echo(usage + (styled(label, "red") if label else "") + text, err=True, nl=False)


def print_progress_notes(stopped: BaseException) -> None:
    """Print the notes of an exception that stopped the run, such as the number of finished shards."""
    for note in getattr(stopped, "__notes__", ()):
        with suppress(OSError):
            click.echo(f"Stopped: {printable(redacted(note))}", err=True)


def unknown_command_message(name: str, known: list[str]) -> str:
    """Return the error message for an unknown command."""
    return f"Unknown command {name!r}.{did_you_mean(name, known)}"


def exit_code_of(error: Exception) -> int:
    """Return the exit code for an error: 1 if the data or the model is at fault, else 2."""
    return 1 if isinstance(error, PadmaskError) and error.blames_input else 2


def message_of(error: Exception) -> str:
    """Return the message that the command line prints for an error."""
    if isinstance(error, PadmaskError):
        return _with_option_names(str(error), error.options)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}. {os_error_remedy(error)}"
    if isinstance(error, MemoryError):
        return "Not enough memory. Choose a smaller --maxlen, such as p99, or a smaller --batch-rows."
    if sys.flags.dev_mode:
        raise error
    return _unexpected(error)


def error_report(error: Exception, option_names: Mapping[str, str]) -> dict[str, Any]:
    """Return the exit code and the details of an error as a dict for the JSON report.

    >>> error = PadmaskError("cannot read 's3://key:secret@b/x'", options=["columns"])
    >>> error_report(error, {"columns": "--column"})["error"]["message"]
    "cannot read 's3://***@b/x'"

    Args:
        error: exception that ended the run.
        option_names: long option for each parameter, keyed by parameter name.
    """
    known = error if isinstance(error, PadmaskError) else PadmaskError(message_of(error))
    place = known.place
    fields = {
        "message": redacted(_with_option_names(known.message, known.options)),
        "place": place and {"source": redacted(place.source), "unit": place.unit, "number": place.number},
        "column": known.column,
        "options": [option_names.get(name, name) for name in known.options],
        "remedy": redacted(known.remedy),
    }
    code = None if isinstance(error, UnfinishedError) else exit_code_of(error)
    return {"exit_code": code, "error": fields}


def _with_option_names(text: str, names: Iterable[str]) -> str:
    """Replace parameter names in a message, such as `maxlen`, with option names, such as --maxlen."""
    for name in names:
        option = _REPEATABLE.get(name, name).replace("_", "-")
        text = text.replace(f"`{name}`", f"--{option}")
    return text


def _unexpected(error: Exception) -> str:
    """Return the message for an unexpected exception, with details for a bug report."""
    text = f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0].rstrip('.')}"
    if isinstance(error, ImportError):
        return f"Cannot import a dependency: {text}. Reinstall padmask, or free some memory."
    if "start new thread" in text:
        return f"{text}. Choose fewer --threads, or raise the limit (ulimit -u)."
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = f"{os.path.basename(at.tb_frame.f_code.co_filename)}, line {at.tb_lineno}" if at else "?"
    return f"Internal error in {place}: {text}. Please report this bug. PYTHONDEVMODE=1 prints the traceback."
