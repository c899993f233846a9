"""Exit codes, error messages and error reports: how the command line shows an exception."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from padmask.errors import PadmaskError, os_error_remedy, redacted


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
    """Return the exit code and the fields of an error, ready for JSON.

    >>> error = PadmaskError("cannot read 's3://key:secret@b/x'", options=["columns"])
    >>> error_report(error, {"columns": "--column"})["error"]["message"]
    "cannot read 's3://***@b/x'"

    Args:
        error: error that ended the run.
        option_names: long option of each parameter.
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
    return {"exit_code": exit_code_of(error), "error": fields}


def _with_option_names(text: str, names: Iterable[str]) -> str:
    """Return a message with the names of parameters, such as `maxlen`, replaced by their options."""
    for name in names:
        text = text.replace(f"`{name}`", f"--{name.replace('_', '-')}")
    return text


def _unexpected(error: Exception) -> str:
    """Return the message for an error that padmask does not expect, with enough details to report a bug."""
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
