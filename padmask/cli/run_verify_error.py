"""Write the reports of a failed run of `padmask verify`. The reports replace older reports."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import click

from padmask.cli.config import long_option
from padmask.cli.failures import error_report, message_of
from padmask.cli.verify import FailedStart, command
from padmask.errors import OutputError, PadmaskError, SpecError, redacted
from padmask.render.html_verify import error_page
from padmask.storage.conflicts import refuse_conflicts
from padmask.storage.output import open_output
from padmask.verify.api import environment
from padmask.verify.report import Report
from padmask.verify.run_error import RunError, error_to_annotation, error_to_json, error_to_junit

ERROR_FORMS = {
    "json": error_to_json,
    "junit": error_to_junit,
    "html": error_page,
    "github": error_to_annotation,
}


def run_verify_error(failed: FailedStart) -> None:
    """Write the reports of a run that did not start.

    Write no reports if two of them use the same file, or if one of them would replace an input.
    """
    error = _read_error(failed.error)
    with suppress(PadmaskError, OSError):
        files = {f"{form} {path}": path for form, path in failed.reports if path != "-"}
        if len(files) < sum(path != "-" for _, path in failed.reports):
            return
        refuse_report_conflicts(files, [path for path in failed.inputs if _may_exist(path)])
        for form, path in failed.reports:
            if path != "-":
                with open_output(path) as stream:
                    stream.write(ERROR_FORMS[form](error).encode(errors="backslashreplace"))
        to_stdout = [form for form, path in failed.reports if path == "-"]
        if len(to_stdout) == 1:
            click.echo(ERROR_FORMS[to_stdout[0]](error), nl=False)


def error_text(form: str, error: Exception, data: Report | None = None) -> str:
    """Return the report of a failed run in the requested format.

    Args:
        form: format of the report.
        error: error that ended the run.
        data: report on the data, if it was checked before the error.
    """
    return ERROR_FORMS[form](_read_error(error, data))


def _read_error(error: Exception, data: Report | None = None) -> RunError:
    if isinstance(error, click.ClickException):
        error = SpecError(error.format_message())
    option_names = {parameter.name or "": long_option(parameter) for parameter in command.params}
    place = error.place if isinstance(error, PadmaskError) else None
    fields: Mapping[str, Any] = error_report(error, option_names)
    run = environment() if data is None else data.environment
    return RunError(redacted(message_of(error)), place, fields, run, data)


def _may_exist(path: str) -> bool:
    return os.path.exists(path) or any(character in path for character in "*?[")


def refuse_report_conflicts(reports: Mapping[str, str | None], inputs: Sequence[str]) -> None:
    """Raise an error if reports share a file or replace an input.

    Raises:
        OutputError: a report would replace an input or another report. If an input cannot be read, this
            function raises no error, because the run itself raises an error.
    """
    for path in inputs or ["-"]:
        try:
            refuse_conflicts(reports, [path])
        except OutputError:
            raise
        except PadmaskError:
            continue
