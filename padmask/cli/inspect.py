"""The command `padmask inspect`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click

from padmask.cli.allow import allow_option
from padmask.cli.arguments import Workers
from padmask.cli.commands import load_runner
from padmask.cli.config import WRITES, ConfiguredCommand, command_line_only, setting
from padmask.cli.cut_options import cut_options, overlong_of, with_cuts
from padmask.cli.foreign_options import PADDING_OPTIONS
from padmask.cli.options import (
    PathOrAddress,
    audit_options,
    cluster_option,
    declared_side,
    file_options,
    help_without_input,
    is_typed,
    mask_options,
    quiet_options,
    spec_of,
    workers_of,
    workers_option,
)
from padmask.errors import SpecError
from padmask.spec.files import ReadOptions
from padmask.spec.pad import PadSpec, Side
from padmask.spec.show import ShowSpec


@dataclass(frozen=True, kw_only=True)
class InspectArguments:
    """Options of `padmask inspect`.

    Args:
        inputs: files, folders, glob patterns or URLs. If empty, the command reads standard input.
        columns: columns to inspect. The output shows tokens of the first column.
        specs: padding options of the candidate plans. The output shows the masks of the recommended plan.
        overlong: what the plans do with rows longer than maxlen. Not used if `specs` have windows.
        show: rows to show.
        style: format of the rows: `"grid"`, `"tokens"`, `"bool"` or `"int"`.
        masks: whether to show masks.
        plans: whether to show plans.
        as_json: whether to print JSON instead of text.
        exports: paths of the files to write: figures, HTML reports, and copies of the printed output.
        title: title of figures and HTML reports; by default the most important result.
        theme: colours of the figures: `"light"` or `"dark"`.
        mask_column: mask column of padded input. If None, the column is found from the metadata, else by its
            name.
        mask_polarity: which positions of the mask are True. If None, the metadata decides, else the name of
            the mask column.
        mask_kind: whether the mask is binary or additive. If None, the metadata decides, else binary.
        declared: padding side of padded input. None if the command line does not set the side.
        files: options for reading files.
        where: processes or cluster that read the files.
        allow: names of the warnings and rules that are not printed.
        quiet: whether to print only findings that are errors. The JSON of `--json` is always printed.
        progress: whether to show progress.
    """

    inputs: Sequence[str]
    columns: Sequence[str]
    specs: Sequence[PadSpec]
    overlong: Literal["truncate", "drop", "error"]
    show: ShowSpec
    style: str
    masks: bool
    plans: bool
    as_json: bool
    exports: Sequence[str]
    title: str | None
    theme: str
    mask_column: str | None
    mask_polarity: Any
    mask_kind: Any
    declared: Side | None
    files: ReadOptions
    where: Workers
    allow: Sequence[str]
    quiet: bool
    progress: bool


@click.command("inspect", cls=ConfiguredCommand, unsupported=PADDING_OPTIONS)
@audit_options(
    "Lengths to compare, separated by commas: numbers, longest, or percentiles such as p95.  "
    "[default: longest, p95 and p99]"
)
@cut_options
@setting(
    "-n",
    "--count",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="Number of random rows to show.",
)
@setting("--rows", default=None, metavar="A:B", help="Show rows A to B-1, counted from 0.")
@setting("--sample", type=click.IntRange(min=1), default=None, metavar="N", help="The same as --count.")
@setting("--seed", type=int, default=0, show_default=True, help="Random seed for choosing the rows to show.")
@setting(
    "--style",
    type=click.Choice(["grid", "tokens", "bool", "int"]),
    default="grid",
    show_default=True,
    help="Show rows as a grid of cells, as ids with padding in brackets, or as a mask of bools or ints.",
)
@mask_options
@setting("--masks/--no-masks", default=True, help="Show the masks of rows.  [default: on]")
@setting(
    "--plans/--no-plans",
    default=True,
    help="Show the plans: candidate row lengths and their costs.  [default: on]",
)
@setting("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@command_line_only(
    "--export",
    because=WRITES,
    type=PathOrAddress(),
    multiple=True,
    metavar="FILE",
    help="Also write an HTML report (.html), a figure (.svg, .png or .pdf) or the printed output (.txt). "
    "Repeatable.",
)
@command_line_only(
    "--title",
    because="describes one result",
    default=None,
    metavar="TEXT",
    help="Title of the figure and the HTML report.  [default: cost of the recommended plan]",
)
@setting(
    "--theme",
    type=click.Choice(["light", "dark"]),
    default="light",
    show_default=True,
    help="Colours of the figure.",
)
@workers_option("work on the files of a dataset", single="1")
@cluster_option
@allow_option(rules=True)
@quiet_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Show masks, length statistics and the cost of padding, and recommend a command.

    Reads the same inputs as pad, raw or padded. A plan is a candidate for the lengths of the padded rows.
    --maxlen accepts a comma-separated list. Each length is one plan. The largest length is also the
    maximum length in buckets, batches and packed rows. The shown masks are those of the recommended plan.

    \b
    Examples:
      padmask inspect sample_data/jargon.jsonl
      padmask inspect padded.parquet -n 20 -c labels
      padmask inspect train.parquet --maxlen 128,256,p95 --json | jq .plans
      padmask inspect train.parquet --export report.html --export lengths.svg
      padmask inspect s3://bucket/train/ --no-masks
    """
    help_without_input(ctx, given)
    rows, sample = _chosen_rows(ctx, given)
    given = _without_unused_windows(ctx, given)
    first, last = _range(rows) if rows else (0, None if given["count"] else 0)
    arguments = InspectArguments(
        inputs=given["inputs"],
        columns=given["columns"],
        specs=[
            with_cuts(spec_of(given, maxlen.strip()), ctx, given) for maxlen in given["maxlen"].split(",")
        ],
        overlong=overlong_of(given),
        show=ShowSpec(
            first=first,
            last=last,
            sample=sample or (given["count"] if last is None else None),
            seed=given["seed"],
        ),
        style=given["style"],
        masks=given["masks"],
        plans=given["plans"],
        as_json=given["as_json"],
        exports=list(given["export"]),
        title=given["title"],
        theme=given["theme"],
        mask_column=given["mask_column"],
        mask_polarity=given["mask_polarity"],
        mask_kind=given["mask_kind"],
        declared=declared_side(ctx, given),
        files=file_options(given, ReadOptions),
        where=workers_of(ctx, given),
        allow=given["allow"],
        quiet=given["quiet"],
        progress=given["progress"],
    )
    load_runner("inspect")(arguments)


def _without_unused_windows(ctx: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters, without windows if these have no effect and only a pyproject.toml sets them.

    Windows have no effect if maxlen is longest.
    """
    typed = any(is_typed(ctx, name) for name in ("overlong", "overlap"))
    if given["overlong"] != "window" or given["maxlen"] != "longest" or typed:
        return given
    return {**given, "overlong": "truncate", "overlap": None}


def _chosen_rows(ctx: click.Context, given: dict[str, Any]) -> tuple[str | None, int | None]:
    """Return the values of `--rows` and `--sample`. At least one of the two values is None.

    `--rows` on the command line overrides `sample` in a pyproject.toml. `--sample` and `--count` on the
    command line override `rows` in a pyproject.toml.

    Raises:
        UsageError: the command line sets `--rows` with `--sample` or `--count`, or pyproject.toml sets both
            `rows` and `sample`.
    """
    rows, sample = given["rows"], given["sample"]
    if rows and is_typed(ctx, "count"):
        if is_typed(ctx, "rows"):
            raise click.UsageError("--rows and --count cannot be used together. Remove one of them.")
        return None, sample
    if not rows or not sample:
        return rows, sample
    if is_typed(ctx, "rows") == is_typed(ctx, "sample"):
        raise click.UsageError("--rows and --sample cannot be used together. Remove one of them.")
    return (rows, None) if is_typed(ctx, "rows") else (None, sample)


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    # Do not use \d, because it also matches digits of other scripts.
    if re.fullmatch("[0-9]{1,18}:[0-9]{1,18}", text) and int(first) <= int(last):
        return int(first), int(last)
    raise SpecError(
        f"--rows must be A:B, two integers with A <= B, such as 5:15. Received: {text!r:.60}.",
        options=["rows"],
    )
