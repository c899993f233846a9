"""Run `padmask verify`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from typing import Any

import click

from padmask.cli.failures import UNFINISHED
from padmask.cli.progress import open_progress
from padmask.cli.report_files import open_report
from padmask.cli.run_verify_error import error_text, refuse_report_conflicts
from padmask.cli.verify import ModelOptions, ReferenceOptions, VerifyArguments
from padmask.errors import MissingExtraError, SpecError
from padmask.render.console import make_console
from padmask.render.html_verify import verify_page
from padmask.render.report import show_data_only, show_errors, show_report
from padmask.spec.rules import rules_in
from padmask.spec.verify import ModelSpec, ReferenceSpec
from padmask.spec.warning_names import acknowledge
from padmask.storage.conflicts import loaded_files, module_files, refuse_replaced
from padmask.verify.data.audit_data import RuleSpec
from padmask.verify.proof_spec import ModelProof, ProofSpec
from padmask.verify.report import Report
from padmask.verify.report_formats import to_annotations, to_json, to_junit
from padmask.verify.user_code import is_import_name
from padmask.verify.verify_file import verify_file

FORMS = {"json": to_json, "junit": to_junit, "html": verify_page, "github": to_annotations}


def run_verify(arguments: VerifyArguments) -> int:
    """Run the command: verify the data and the models, write the reports, and return the exit code."""
    _check_reports(arguments)
    with ExitStack() as stack:
        # Open the reports first, so that the run does not start if a report cannot be written.
        streams = [
            (
                form,
                None if path == "-" else stack.enter_context(open_report(path, _bytes(form, UNFINISHED))),
            )
            for form, path in arguments.reports
        ]
        outcome, data = _report_or_error(arguments)
        if isinstance(outcome, MissingExtraError) and arguments.inputs:
            outcome, data = _check_data_only(arguments, outcome)
        # A report must not replace a module that was imported during the run.
        refuse_replaced(_report_files(arguments), loaded_files())
        for form, stream in streams:
            if stream is not None:
                stream.write(_bytes(form, outcome, data))
    printed = [form for form, stream in streams if stream is None] + ["json"] * arguments.as_json
    if set(printed) <= {"github"}:
        if isinstance(outcome, MissingExtraError) and data is not None and not arguments.quiet:
            show_data_only(data, make_console())
        elif isinstance(outcome, Report) and not arguments.quiet:
            show_report(outcome, make_console(), verbose=arguments.verbose)
        elif isinstance(outcome, Report) and not printed:
            show_errors(outcome, make_console())
    for form in printed:
        click.echo(_text(form, outcome, data), nl=False)
    if isinstance(outcome, Exception):
        raise outcome
    return 0 if outcome.ok else 1


def _bytes(form: str, outcome: Report | Exception, data: Report | None = None) -> bytes:
    return _text(form, outcome, data).encode(errors="backslashreplace")


def _text(form: str, outcome: Report | Exception, data: Report | None) -> str:
    return error_text(form, outcome, data) if isinstance(outcome, Exception) else FORMS[form](outcome)


def _report_or_error(arguments: VerifyArguments) -> tuple[Report | Exception, Report | None]:
    """Verify the data and the models.

    Returns:
        Two values. The first is the report, or the error that ended the run. The second is the report on the
        data if an error ended the run after the check of the data, else None. The second value is also None
        if the user requested neither a report nor JSON.
    """
    data: list[Report] = []

    def acknowledged(report: Report) -> Report:
        return replace(report, notes=acknowledge(report.notes, arguments.allow))

    try:
        # Only reports show the data of a failed run.
        on_data = data.append if arguments.reports or arguments.as_json else None
        return acknowledged(_verify(arguments, on_data)), None
    except BrokenPipeError:
        raise  # The reader closed the pipe, which is not an error.
    except Exception as error:  # noqa: BLE001 - the reports show the error, and the caller raises it
        return error, acknowledged(data[-1]) if data else None


def _check_data_only(
    arguments: VerifyArguments, missing: MissingExtraError
) -> tuple[Report | Exception, Report | None]:
    """Check only the data, because a package that the models need is not installed.

    Returns:
        Two values. If the data has no errors: the error `missing`, and the report on the data. If the data
        has errors: the report on the data with a note that the models did not run, and None. If the check
        itself fails: its error, and None.
    """
    data, _ = _report_or_error(replace(arguments, proof=None))
    if isinstance(data, Exception):
        return data, None
    if data.ok:
        return missing, data
    return replace(data, notes=[*data.notes, f"the models did not run: {missing}"]), None


def _check_reports(arguments: VerifyArguments) -> None:
    """Raise an error if two reports use the same file, or if a report would replace an input."""
    reports = _report_files(arguments)
    if len(set(reports.values())) < len(reports):
        raise SpecError("Two reports cannot use the same file. Choose a different file for each report.")
    read = [*(arguments.inputs or ["-"]), *arguments.against]
    refuse_report_conflicts({"the printed report": "-"} | reports, read)
    if isinstance(arguments.proof, ModelOptions):
        options = arguments.proof
        named = [text or "" for text in (options.predict, options.model)]
        modules = [text.partition(":")[0] for text in named if is_import_name(text)]
        files = [path for path in (options.model, options.custom_objects) if path]
        refuse_replaced(reports, files + [path for module in modules for path in module_files(module)])


def _report_files(arguments: VerifyArguments) -> dict[str, str | None]:
    """Return the file path of each report, keyed by a description such as "the json report"."""
    files = [(form, path) for form, path in arguments.reports if path != "-"]
    return {
        f"the {form} report {number}".removesuffix(" 1"): path for number, (form, path) in enumerate(files, 1)
    }


def _verify(arguments: VerifyArguments, on_data: Callable[[Report], None] | None) -> Report:
    # Redirect output of the user's code to stderr, because only the report may go to stdout.
    with (
        open_progress(quiet=arguments.quiet, progress=arguments.progress) as progress,
        redirect_stdout(sys.stderr),
    ):
        return verify_file(
            arguments.inputs,
            columns=arguments.columns,
            spec=arguments.spec,
            rules=RuleSpec(strict=arguments.strict, allow=rules_in(arguments.allow)),
            proof=_proof(arguments),
            mask_column=arguments.mask_column,
            mask_polarity=arguments.mask_polarity,
            mask_kind=arguments.mask_kind,
            declared=arguments.declared,
            files=arguments.files,
            progress=progress,
            against=arguments.against,
            on_data=on_data,
        )


def _proof(arguments: VerifyArguments) -> ProofSpec | ModelProof | None:
    common: dict[str, Any] = {
        "backend": arguments.backend,
        "device": arguments.device,
        "sample": arguments.sample,
    }
    match arguments.proof:
        case ReferenceOptions(spec=spec):
            return ProofSpec(reference=ReferenceSpec(**spec), **common)
        case ModelOptions(spec=spec) as options:
            return ModelProof(
                spec=ModelSpec(**spec),
                model=options.model,
                predict=options.predict,
                inputs=options.inputs,
                kinds=options.kinds,
                custom_objects=options.custom_objects,
                allow_unsafe=options.allow_unsafe,
                **common,
            )
    return None
