"""What commands write, and where: their streams, and the report of what they did."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from typing import Any

import click

from padmask.errors import OutputError, SpecError, printable


def write_and_tell(
    given: dict[str, Any], work: Callable[[dict[str, Any]], Any], summary: Callable[[Any], Iterable[str]]
) -> None:
    """Run what writes an output, its report beside it, and say in a few lines what was done.

    Args:
        given: the command's parameters.
        work: writes the output and returns what it did.
        summary: says that in lines.
    """
    _check_streams(given)
    result = None
    try:
        # Opened first: a run whose report cannot be written should not begin.
        with _open_report(given["report"]) as report:
            result = work(given)
            if report:
                report.write(_report_of(result, given))
    except OutputError as error:
        if result is None:
            raise
        raise error.reworded(f"{error} Only the report is missing: the output is done.") from None
    if not given["quiet"]:
        # The work is done: a stderr that cannot take the summary does not undo it.
        with suppress(OSError):
            for line in summary(result):
                click.echo(printable(line), err=True)


def _check_streams(given: dict[str, Any]) -> None:
    """Refuse two things in one place, and bytes that would garble a terminal."""
    from padmask.storage.conflicts import refuse_conflicts, refuse_shared_place

    report = given["report"] and given["report"].removeprefix("json:")
    refuse_shared_place(
        {"the output": given["output"], "the rejects": given["rejects"], "the report": report}
    )
    refuse_conflicts({"the report": report}, given["inputs"] or ["-"])
    binary = given["output_format"] not in (None, "jsonl")
    if given["output"] == "-" and binary and sys.stdout is not None and sys.stdout.isatty():
        raise SpecError(
            f"{given['output_format']} is no text for a terminal: redirect stdout, or name a file with -o.",
            options=["output_format"],
        )


def _open_report(path: str | None) -> Any:
    """Return where the report goes; nowhere if none was asked for."""
    if path == "json:":
        raise SpecError("--report json: names no file. Give one, as in json:report.json.")
    if not path:
        return nullcontext()
    from padmask.storage.output import open_output

    return open_output(path.removeprefix("json:"))


def _report_of(result: Any, given: dict[str, Any]) -> bytes:
    """Return what a run did, as JSON."""
    from padmask._version import __version__
    from padmask.storage.urls import display_path

    inputs = [display_path(path) for path in given["inputs"] or ["-"]]
    report = {"version": __version__, "inputs": inputs, "output": display_path(given["output"])}
    return json.dumps(report | result.as_dict(), indent=2).encode() + b"\n"
