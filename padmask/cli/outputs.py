"""Write the output and the report of a command, and print the summary."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import click

from padmask._version import __version__
from padmask.cli.arguments import Output
from padmask.cli.colours import styled
from padmask.cli.config import long_option
from padmask.cli.failures import UNFINISHED, error_report
from padmask.cli.report_files import open_report
from padmask.errors import OutputError, SpecError, printable
from padmask.spec.formats import FORMATS
from padmask.spec.warning_names import Warned, acknowledge, warnings_in
from padmask.storage.conflicts import refuse_conflicts, refuse_shared_place
from padmask.storage.urls import display_path


class Reported(Protocol):
    """A result that can be converted to a dict for the JSON report."""

    def as_dict(self) -> dict[str, Any]: ...


Written = TypeVar("Written", bound=Reported)


@dataclass(frozen=True)
class Shown(Generic[Written]):
    """How to show the result of a command.

    Args:
        summary: function that converts the result to the lines of the summary.
        warnings: function that returns the warnings of the result.
        printed: warnings that were printed during the run.
    """

    summary: Callable[[Written], Iterable[str]]
    warnings: Callable[[Written], Iterable[Warned]]
    printed: list[Warned] = field(default_factory=list)

    def print_now(self, warning: Warned, to: Output) -> None:
        """Print a warning during the run. The summary then omits the warning."""
        self.printed.append(warning)
        if not to.quiet and warning.name not in to.allow:
            with suppress(OSError):
                click.echo(_warning_line(warning), err=True)

    def of(self, result: Written, allow: Collection[str]) -> list[str]:
        """Return the summary, and the warnings that were not printed and whose names are not in `allow`."""
        warned = [
            warning
            for warning in self.warnings(result)
            if warning.name not in allow and warning not in self.printed
        ]
        return [*map(printable, self.summary(result)), *map(_warning_line, warned)]


def _warning_line(warning: Warned) -> str:
    return f"{styled('warning', 'yellow')}[{warning.name}]: {printable(warning)}"


def write_with_report(to: Output, work: Callable[[], Written], shown: Shown[Written]) -> None:
    """Write the output and the report of a command, and print a summary.

    Args:
        to: paths of the output and the report.
        work: function that writes the output and returns the result.
        shown: how to show the result.
    """
    _check_streams(to)
    # The writer of TFRecord imports TensorFlow, which logs hints for its developers.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    result = _work_and_report(to, work, shown) if to.report else work()
    if not to.quiet:
        # The output is complete, so a closed stderr is not an error.
        with suppress(OSError):
            for line in shown.of(result, to.allow):
                click.echo(line, err=True)


def _work_and_report(to: Output, work: Callable[[], Written], shown: Shown[Written]) -> Written:
    """Write the output, and write a report with the result or the error."""
    outcome: Written | Exception | None = None
    try:
        # Open the report first, so that the run does not start if the report cannot be written.
        with open_report(_report_path(to), _report_bytes(to, UNFINISHED)) as report:
            outcome = _result_or_error(work)
            report.write(_report_bytes(to, outcome, shown))
    except (OutputError, OSError) as error:
        if isinstance(outcome, Exception):
            raise outcome from None
        if outcome is None or not isinstance(error, OutputError):
            raise
        raise error.reworded(f"{error} The output is complete, but the report is missing.") from None
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _result_or_error(work: Callable[[], Written]) -> Written | Exception:
    """Call a function and return its result or its exception."""
    try:
        return work()
    except BrokenPipeError:
        raise  # The reader closed the pipe, which is not an error.
    except Exception as error:  # noqa: BLE001 - the report shows the error, and the caller raises it
        return error


def _check_streams(to: Output) -> None:
    """Raise an error if outputs conflict, would be lost in memory://, or are binary on a terminal."""
    report = to.report and to.report.removeprefix("json:")
    refuse_shared_place({"the output": to.output, "the rejects": to.files.rejects, "the report": report})
    refuse_conflicts({"the report": report}, to.inputs or ["-"])
    if any((path or "").lower().startswith("memory:") for path in (to.output, to.files.rejects, report)):
        raise SpecError(
            "An output in memory:// would be lost when this process ends. Choose a file or remote storage."
        )
    name = to.files.output_format
    binary = name is not None and not FORMATS[name].is_text
    if to.output == "-" and binary and sys.stdout is not None and sys.stdout.isatty():
        raise SpecError(
            f"{name} is a binary format, but stdout is a terminal. Redirect stdout, or specify a file with "
            "-o.",
            options=["output_format"],
        )


def _report_path(to: Output) -> str:
    """Return the path in --report, or raise an error if --report has no file name."""
    path = (to.report or "").removeprefix("json:")
    if not path:
        raise SpecError("--report 'json:' has no file name. Add a file name, such as json:report.json.")
    return path


def _report_bytes(to: Output, outcome: Written | Exception, shown: Shown[Written] | None = None) -> bytes:
    """Return the JSON report of a run, with the counts of the result or the details of the error."""
    inputs = [display_path(path) for path in to.inputs or ["-"]]
    report = {"version": __version__, "inputs": inputs, "output": display_path(to.output)}
    if isinstance(outcome, Exception):
        options = {p.name or "": long_option(p) for p in click.get_current_context().command.params}
        report |= error_report(outcome, options)
    else:
        warned = [] if shown is None else acknowledge(shown.warnings(outcome), to.allow)
        report |= outcome.as_dict() | {"warnings": warnings_in(warned)}
    return json.dumps(report, indent=2).encode() + b"\n"
