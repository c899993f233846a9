"""Run `padmask inspect`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import click

from padmask.cli.execution import open_executor
from padmask.cli.inspect import InspectArguments
from padmask.cli.progress import open_progress
from padmask.errors import SpecError, printable
from padmask.inspect.figure_data import make_figure_data
from padmask.inspect.inspect_file import inspect_file
from padmask.inspect.inspection import Inspection
from padmask.render.console import exported_text, make_console, recording_console
from padmask.render.figure import FIGURES, figure_bytes, refuse_missing_matplotlib
from padmask.render.findings import print_findings
from padmask.render.html_inspect import inspect_page
from padmask.render.inspection import show_inspection
from padmask.spec.rules import rules_in
from padmask.spec.warning_names import acknowledge
from padmask.storage.conflicts import refuse_conflicts
from padmask.storage.output import open_output
from padmask.storage.urls import display_path
from padmask.verify.data.audit_data import RuleSpec

PAGES = (".html", ".txt")


def run_inspect(arguments: InspectArguments) -> None:
    """Run the command: inspect the inputs, print the result, and export the output if requested."""
    _check_outputs(arguments)
    seen = _inspect(arguments)
    options: dict[str, Any] = {"style": arguments.style, "masks": arguments.masks, "plans": arguments.plans}
    if arguments.as_json:
        click.echo(json.dumps(_as_json(seen, arguments)))
    elif arguments.quiet:
        print_findings([one for one in seen.health if one.rule.severity == "error"], make_console())
    else:
        show_inspection(seen, make_console(), **options)
    for path in arguments.exports:
        with open_output(path) as stream:
            stream.write(_export(seen, path, arguments, options))
        if not arguments.quiet:
            click.echo(f"wrote {printable(display_path(path))}", err=True)


def _export(seen: Inspection, path: str, arguments: InspectArguments, options: dict[str, Any]) -> bytes:
    """Return the content of the export: a figure, an HTML report, or a copy of the printed output."""
    suffix = next(one for one in (*FIGURES, *PAGES) if path.endswith(one))
    if suffix in FIGURES:
        return figure_bytes(make_figure_data(seen, arguments.title), suffix, arguments.theme)
    if suffix == ".html":
        page = inspect_page(seen, plans=options["plans"], title=arguments.title)
        return page.encode(errors="backslashreplace")
    console = recording_console()
    show_inspection(seen, console, **options)
    return exported_text(console)


def _check_outputs(arguments: InspectArguments) -> None:
    """Raise an error if an export has an unknown format, needs matplotlib, or would replace another file."""
    outputs: dict[str, str | None] = {"the printed report": "-"}
    for number, path in enumerate(arguments.exports, 1):
        if not path.endswith((*FIGURES, *PAGES)):
            raise SpecError(
                f"--export {display_path(path)}: the suffix is not an export format. Choose one of "
                f"{', '.join((*FIGURES, *PAGES))}.",
                options=["export"],
            )
        if path.endswith(FIGURES):
            refuse_missing_matplotlib()
        outputs["the export" if number == 1 else f"export {number}"] = path
    refuse_conflicts(outputs, arguments.inputs or ["-"])


def _inspect(arguments: InspectArguments) -> Inspection:
    with (
        open_executor(arguments.where) as executor,
        open_progress(quiet=arguments.quiet, progress=arguments.progress) as progress,
    ):
        seen = inspect_file(
            arguments.inputs or ["-"],
            columns=arguments.columns,
            specs=arguments.specs,
            overlong=arguments.overlong,
            show=arguments.show if arguments.masks else None,
            mask_column=arguments.mask_column,
            mask_polarity=arguments.mask_polarity,
            mask_kind=arguments.mask_kind,
            declared=arguments.declared,
            files=arguments.files,
            executor=executor,
            progress=progress,
        )
    health = RuleSpec(allow=rules_in(arguments.allow)).enforce(seen.health)
    return replace(seen, health=health, notes=acknowledge(seen.notes, arguments.allow))


def _as_json(seen: Inspection, arguments: InspectArguments) -> dict[str, Any]:
    shown = seen.as_dict()
    for name, wanted in (("masks", arguments.masks), ("plans", arguments.plans)):
        if not wanted:
            del shown[name]
    return shown
