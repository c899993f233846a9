"""`padmask inspect`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from padmask.cli.arguments import Workers
from padmask.cli.commands import load_runner
from padmask.cli.config import WRITES, ConfiguredCommand, command_line_only, setting
from padmask.cli.options import (
    PathOrAddress,
    cluster_option,
    declared_side,
    file_options,
    help_without_input,
    input_options,
    is_typed,
    mask_column_option,
    quiet_options,
    spec_of,
    workers_of,
    workers_option,
)
from padmask.errors import SpecError
from padmask.spec.files import FileOptions
from padmask.spec.pad import PadSpec, Side
from padmask.spec.show import ShowSpec


@dataclass(frozen=True, kw_only=True)
class InspectArguments:
    """What `padmask inspect` was asked for.

    Args:
        inputs: as in `Output`.
        columns: the first one's tokens are shown.
        specs: masks are shown for the first, plans for all.
        show: which rows are shown.
        style: how rows are shown.
        masks, plans: whether they are shown.
        as_json: print JSON instead.
        export: path of a picture of what is shown; None writes none.
        mask_column: of padded input.
        declared: side of the padding of padded input, if typed.
        files: how files are read.
        where: where files are read.
        quiet, progress: as in `Output`.
    """

    inputs: Sequence[str]
    columns: Sequence[str]
    specs: Sequence[PadSpec]
    show: ShowSpec
    style: str
    masks: bool
    plans: bool
    as_json: bool
    export: str | None
    mask_column: str | None
    declared: Side | None
    files: FileOptions
    where: Workers
    quiet: bool
    progress: bool


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
    help="How rows are shown: a picture; the ids with padding in brackets; True and False; 1 and 0.",
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
    help="Also write what is shown to a file: .svg, .html or .txt.",
)
@workers_option
@cluster_option
@quiet_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """See masks, lengths, and what padding will cost.

    Reads what pad reads, raw or already padded. --maxlen takes a list: masks are shown
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
    rows, sample = _chosen_rows(ctx, given)
    first, last = _range(rows) if rows else (0, given["count"])
    arguments = InspectArguments(
        inputs=given["inputs"],
        columns=given["columns"],
        specs=[spec_of(given, maxlen.strip()) for maxlen in given["maxlen"].split(",")],
        show=ShowSpec(first=first, last=last, sample=sample, seed=given["seed"]),
        style=given["style"],
        masks=given["masks"],
        plans=given["plans"],
        as_json=given["as_json"],
        export=given["export"],
        mask_column=given["mask_column"],
        declared=declared_side(ctx, given),
        files=file_options(given),
        where=workers_of(ctx, given),
        quiet=given["quiet"],
        progress=given["progress"],
    )
    load_runner("inspect")(arguments)


def _chosen_rows(ctx: click.Context, given: dict[str, Any]) -> tuple[str | None, int | None]:
    """Return the rows to show or how many to draw; what was typed wins over what a project sets.

    Raises:
        UsageError: both were typed.
    """
    rows, sample = given["rows"], given["sample"]
    if not rows or not sample:
        return rows, sample
    if is_typed(ctx, "rows") == is_typed(ctx, "sample"):
        raise click.UsageError("--rows and --sample both choose the rows to show: give one of them.")
    return (rows, None) if is_typed(ctx, "rows") else (None, sample)


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    # Digits of other scripts are digits too.
    if re.fullmatch("[0-9]{1,18}:[0-9]{1,18}", text) and int(first) <= int(last):
        return int(first), int(last)
    raise SpecError(
        f"--rows takes A:B, two whole numbers such as 5:15. Received: {text!r:.60}. Give both.",
        options=["rows"],
    )
