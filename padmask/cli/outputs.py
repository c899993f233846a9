"""Write an output with its report beside it, and print the summary."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from typing import Any, Protocol, TypeVar

import click

from padmask._version import __version__
from padmask.cli.arguments import Output
from padmask.errors import OutputError, SpecError, printable
from padmask.spec.formats import FORMATS
from padmask.storage.conflicts import refuse_conflicts, refuse_shared_place
from padmask.storage.output import open_output
from padmask.storage.urls import display_path


class Reported(Protocol):
    """A result that has a report."""

    def as_dict(self) -> dict[str, Any]: ...


Written = TypeVar("Written", bound=Reported)


def write_with_report(
    to: Output, work: Callable[[], Written], summary: Callable[[Written], Iterable[str]]
) -> None:
    """Run what writes an output, write its report, and print a summary.

    Args:
        to: where the command writes.
        work: writes the output and returns what it did.
        summary: says that in lines.
    """
    _check_streams(to)
    result = None
    try:
        # Opened first: a run whose report cannot be written should not begin.
        with _open_report(to.report) as report:
            result = work()
            if report:
                report.write(_report_of(result, to))
    except OutputError as error:
        if result is None:
            raise
        raise error.reworded(f"{error} Only the report is missing: the output is done.") from None
    if not to.quiet:
        # The work is done: a stderr that cannot take the summary does not undo it.
        with suppress(OSError):
            for line in summary(result):
                click.echo(printable(line), err=True)


def _check_streams(to: Output) -> None:
    """Refuse two outputs in one place, and bytes that would garble a terminal."""
    report = to.report and to.report.removeprefix("json:")
    refuse_shared_place({"the output": to.output, "the rejects": to.files.rejects, "the report": report})
    refuse_conflicts({"the report": report}, to.inputs or ["-"])
    if any((path or "").lower().startswith("memory:") for path in (to.output, to.files.rejects, report)):
        raise SpecError("What is written to memory:// ends with this process. Name a file or a storage.")
    name = to.files.output_format
    binary = name is not None and not FORMATS[name].is_text
    if to.output == "-" and binary and sys.stdout is not None and sys.stdout.isatty():
        raise SpecError(
            f"{name} is no text for a terminal: redirect stdout, or name a file with -o.",
            options=["output_format"],
        )


def _open_report(path: str | None) -> Any:
    """Return where the report goes; nowhere if none was asked for."""
    if path == "json:":
        raise SpecError("--report json: names no file. Give one, as in json:report.json.")
    return open_output(path.removeprefix("json:")) if path else nullcontext()


def _report_of(result: Reported, to: Output) -> bytes:
    """Return what a run did, as JSON."""
    inputs = [display_path(path) for path in to.inputs or ["-"]]
    report = {"version": __version__, "inputs": inputs, "output": display_path(to.output)}
    return json.dumps(report | result.as_dict(), indent=2).encode() + b"\n"
