"""`padmask inspect`."""

from __future__ import annotations

import json
import re
from typing import Any

import click

from padmask.cli.config import WRITES, ConfiguredCommand, command_line_only, setting
from padmask.cli.options import (
    PathOrAddress,
    cluster_option,
    declared_side,
    help_without_input,
    input_options,
    is_typed,
    mask_column_option,
    open_executor,
    open_progress,
    quiet_options,
    settle_workers,
    spec_of,
    workers_option,
)
from padmask.errors import SpecError

EXPORTS = (".svg", ".html", ".txt")


@click.command("inspect", cls=ConfiguredCommand)
@input_options
@setting(
    "-n",
    "--count",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="How many rows to show.",
)
@setting("--rows", default=None, metavar="A:B", help="Show rows A up to B, counted from 0, instead.")
@setting(
    "--sample", type=click.IntRange(min=1), default=None, metavar="N", help="Show N rows drawn at random."
)
@setting("--seed", type=int, default=0, show_default=True, help="Of the draw.")
@setting(
    "--style",
    type=click.Choice(["grid", "tokens", "bool", "int"]),
    default="grid",
    show_default=True,
    help="How rows are display_path: a picture; the ids with padding in brackets; True and False; 1 and 0.",
)
@mask_column_option
@setting("--masks/--no-masks", default=True, help="Show rows.  [default: on]")
@setting("--plans/--no-plans", default=True, help="Show what plans cost.  [default: on]")
@setting("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@command_line_only(
    "--export",
    because=WRITES,
    type=PathOrAddress(),
    default=None,
    metavar="FILE",
    help="Also write what is display_path to a file: .svg, .html or .txt.",
)
@workers_option
@cluster_option
@quiet_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """See masks, lengths, and what padding will cost.

    Reads what pad reads, raw or already padded. --maxlen takes a list: masks are display_path
    for the first, and each is a plan.

    \b
    Examples:
      padmask inspect sample_data/jargon.jsonl
      padmask inspect padded.parquet -n 20 -c labels
      padmask inspect train.parquet --maxlen 128,256,p95 --json | jq .plans
      padmask inspect train.parquet --export masks.svg
      padmask inspect s3://bucket/train/ --no-masks
    """
    help_without_input(ctx, given)
    _check_outputs(given)
    _choose_rows(ctx, given)
    settle_workers(ctx, given)
    given["declared"] = declared_side(ctx, given)
    seen = _look(given)
    if given["as_json"]:
        display_path = seen.as_dict()
        for name in ("masks", "plans"):
            if not given[name]:
                del display_path[name]
        click.echo(json.dumps(display_path))
    if given["export"] or not given["as_json"]:
        _show(seen, given)


def _check_outputs(given: dict[str, Any]) -> None:
    """Refuse an export of an unknown form, and outputs in place of an input or of each other."""
    from padmask.storage.conflicts import refuse_conflicts
    from padmask.storage.urls import display_path

    if given["export"] and not given["export"].endswith(EXPORTS):
        raise SpecError(
            f"Cannot tell how to export to {display_path(given['export'])!r}. Choose a name in "
            f"{', '.join(EXPORTS)}."
        )
    outputs = {"the printed report": "-", "the export": given["export"] or None}
    refuse_conflicts(outputs, given["inputs"] or ["-"])


def _choose_rows(ctx: click.Context, given: dict[str, Any]) -> None:
    """Refuse two choices of rows; what was typed wins over what a project sets."""
    if not given["rows"] or not given["sample"]:
        return
    if is_typed(ctx, "rows") == is_typed(ctx, "sample"):
        raise click.UsageError("--rows and --sample both choose the rows to show: give one of them.")
    given["sample" if is_typed(ctx, "rows") else "rows"] = None


def _look(given: dict[str, Any]) -> Any:
    from padmask.inspect.inspect_file import inspect_file
    from padmask.spec.show import ShowSpec

    specs = [spec_of(given, maxlen.strip()) for maxlen in given["maxlen"].split(",")]
    first, last = _range(given["rows"]) if given["rows"] else (0, given["count"])
    show = ShowSpec(first=first, last=last, sample=given["sample"], seed=given["seed"])
    with open_progress(given) as progress, open_executor(given) as executor:
        return inspect_file(
            given["inputs"] or ["-"],
            columns=given["columns"],
            specs=specs,
            show=show if given["masks"] else None,
            mask_column=given["mask_column"],
            declared=given["declared"],
            input_format=given["input_format"],
            limit=given["limit"],
            executor=executor,
            progress=progress,
        )


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    # Digits of other scripts are digits too.
    if re.fullmatch("[0-9]{1,18}:[0-9]{1,18}", text) and int(first) <= int(last):
        return int(first), int(last)
    raise SpecError(
        f"--rows takes A:B, two whole numbers such as 5:15. Received: {text!r:.60}. Give both.",
        options=["rows"],
    )


def _show(seen: Any, given: dict[str, Any]) -> None:
    from padmask.render.console import export, make_console, recording_console
    from padmask.render.inspection import show_inspection
    from padmask.storage.output import open_output

    options = {"style": given["style"], "masks": given["masks"], "plans": given["plans"]}
    if not given["as_json"]:
        show_inspection(seen, make_console(), **options)
    if given["export"]:
        console = recording_console()
        show_inspection(seen, console, **options)
        with open_output(given["export"]) as stream:
            stream.write(export(console, given["export"]))
