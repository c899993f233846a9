"""Options that mean the same in every command."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

import click

from padmask.cli.arguments import Output, Workers
from padmask.cli.config import READS_A_PART, WRITES, command_line_only, setting
from padmask.spec.files import FileOptions
from padmask.spec.formats import DEFAULT_FORMAT, FormatTraits, input_formats, names_of
from padmask.spec.pad import DTYPES, PadSpec, parse_maxlen
from padmask.storage.names import COMPRESSIONS
from padmask.storage.urls import checked_path

Command = TypeVar("Command", bound=Callable[..., Any])


class PathOrAddress(click.Path):
    """A path of this machine, or an address in a storage; `file://` becomes the path that it stands for.

    Args:
        forms: words that may stand before a path, with a colon between.
    """

    def __init__(self, *forms: str) -> None:
        super().__init__()
        self._forms = forms

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        form = next((f"{form}:" for form in self._forms if value.startswith(f"{form}:")), "")
        path = value.removeprefix(form)
        # No address is without one of these.
        is_plain = not any(mark in path for mark in ":@?")
        return super().convert(value, param, ctx) if is_plain else form + checked_path(path)


def suffix_help(formats: Iterable[FormatTraits]) -> str:
    """Return the sentence of help about the suffixes of an output that has one of these formats."""
    first = ", ".join(traits.suffixes[0] for traits in formats)
    text = DEFAULT_FORMAT.suffixes[0]
    return f"The format goes by the suffix: {first}, and {' or '.join(COMPRESSIONS)} after {text}."


inputs_argument = click.argument("inputs", nargs=-1, type=PathOrAddress(), metavar="[INPUT]...")

input_format_option = setting(
    "--input-format",
    type=click.Choice(names_of(input_formats())),
    default=None,
    help="Format of the input.  [default: by suffix, else by the first bytes]",
)

limit_option = command_line_only(
    "--limit",
    because=READS_A_PART,
    type=click.IntRange(min=0),
    default=None,
    metavar="N",
    help="Only the first N rows.",
)

rejects_option = command_line_only(
    "--rejects",
    because=WRITES,
    type=PathOrAddress(),
    default=None,
    metavar="FILE",
    help="Receives every row that is not written, whole, with the reason, as JSON Lines.",
)

report_option = command_line_only(
    "--report",
    because=WRITES,
    type=PathOrAddress("json"),
    default=None,
    metavar="FILE",
    help="Receives the counts as JSON; json:FILE says the same.",
)

threads_option = setting(
    "--threads",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Batches worked on at once; the result does not depend on it.  [default: the cores; 1 between "
    "JSON Lines]",
)


def input_options(command: Command) -> Command:
    """Add what says which rows are read and how they are padded."""
    for option in reversed(
        (
            inputs_argument,
            setting(
                "-c",
                "--column",
                "columns",
                multiple=True,
                metavar="NAME[:DTYPE][=VALUE]",
                help="A sequence column to pad, its dtype and pad value; repeatable, cut at the same places. "
                "Default: input_ids, else tokens, else the only list column.",
            ),
            setting(
                "--maxlen",
                default="longest",
                show_default=True,
                metavar="N|longest|pNN",
                help="Places in every row: a number, the longest row, or a percentile of the lengths such as "
                "p95 or p99.9.",
            ),
            setting(
                "--padding",
                type=click.Choice(["post", "pre"]),
                default="post",
                show_default=True,
                help="Side of the padding. Keras's pad_sequences defaults to pre; its masking guide advises "
                "post, which cuDNN's RNN kernels need.",
            ),
            setting(
                "--truncating",
                type=click.Choice(["post", "pre"]),
                default="post",
                show_default=True,
                help="Side at which longer rows are cut.",
            ),
            setting(
                "--value",
                default=None,
                metavar="V",
                help="Pad value of columns without their own.  [default: 0, or '' for strings]",
            ),
            setting(
                "--dtype",
                type=click.Choice(DTYPES),
                default=None,
                help="Of columns without their own.  [default: int32; float columns float32, strings string]",
            ),
            setting(
                "--pad-to-multiple-of",
                type=click.IntRange(min=1),
                default=None,
                metavar="N",
                help="Round a found length up to a multiple of N.",
            ),
            input_format_option,
            limit_option,
        )
    ):
        command = option(command)
    return command


class Size(click.ParamType):  # type: ignore[type-arg]  # before click 8.4 it takes no type
    """A number of bytes, with or without a unit: 1000, 10GB, 500MiB.

    Args:
        min: the least that it may be.
    """

    name = "SIZE"

    def __init__(self, min: int = 0) -> None:
        self.min = min

    _units: ClassVar = {"": 1, "b": 1} | {
        f"{prefix}{end}": base ** (power + 1)
        for power, prefix in enumerate("kmgt")
        for end, base in (("", 1000), ("b", 1000), ("ib", 1024))
    }

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d+(?:\.\d+)?) *([a-z]*)", str(value).strip().lower())
        if not found or found[2] not in self._units:
            self.fail(f"{value!r} is no size. Write it as 500MB, 10GiB or a number of bytes.", param, ctx)
        amount = float(found[1]) * self._units[found[2]]
        if amount < self.min:
            self.fail(f"{value!r} is less than {self.min}.", param, ctx)
        # More than any disk holds is as much as there may be.
        return int(min(amount, 1 << 62))


max_bytes_option = command_line_only(
    "--max-bytes",
    because="raises the limit on what may be written",
    type=Size(),
    default=None,
    help="Refuse an output that would take more, such as 10GB or 500MiB; pipes are stopped there.  "
    "[default: 90% of the disk's free space; for pipes none]",
)

workers_option = setting(
    "--workers",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Processes that work on the shards of a dataset; the result does not depend on it.  "
    "[default: the cores; 1 for a single shard]",
)

cluster_option = command_line_only(
    "--cluster",
    because="sends data and work to other machines",
    default=None,
    metavar="ADDRESS",
    help="Dask scheduler whose workers do it instead, such as tcp://host:8786; local starts one here, with "
    "--workers N.",
)

mask_column_option = setting(
    "--mask-column",
    default=None,
    metavar="NAME",
    help="Mask of padded input.  [default: what the file says, else mask or attention_mask]",
)


def help_without_input(ctx: click.Context, given: Mapping[str, Any]) -> None:
    """Show the help where nothing is named and a person sits at stdin, who would wait for nothing."""
    if not given["inputs"] and sys.stdin is not None and sys.stdin.isatty():
        raise click.exceptions.NoArgsIsHelpError(ctx)


def declared_side(ctx: click.Context, given: Mapping[str, Any]) -> Any:
    """Return the side that was typed for the padding of padded input; a default declares nothing."""
    return given["padding"] if is_typed(ctx, "padding") else None


def is_typed(ctx: click.Context, name: str) -> bool:
    """Tell whether a parameter was typed, and is no default, of padmask's or of a project."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def workers_of(ctx: click.Context, given: Mapping[str, Any]) -> Workers:
    """Return where shards are worked on; a cluster wins over the workers that a project sets."""
    configured = given["cluster"] and not is_typed(ctx, "workers")
    return Workers(workers=None if configured else given["workers"], cluster=given["cluster"])


def file_options(given: Mapping[str, Any]) -> FileOptions:
    """Return how files are read and written, as the options of a command say."""
    names = (field.name for field in fields(FileOptions))
    return FileOptions(**{name: given[name] for name in names if name in given})


def output_of(given: Mapping[str, Any]) -> Output:
    """Return where a command writes."""
    return Output(
        inputs=given["inputs"],
        output=given["output"],
        files=file_options(given),
        report=given["report"],
        quiet=given["quiet"],
        progress=given["progress"],
    )


def quiet_options(command: Command) -> Command:
    """Add what says how much is told on the way."""
    command = setting(
        "--progress/--no-progress", default=True, help="Progress on a terminal's stderr.  [default: on]"
    )(command)
    return command_line_only(
        "--quiet/--no-quiet",
        because="hides the summary and the warnings",
        default=False,
        help="No summary, no warnings, no progress.",
    )(command)


def spec_of(given: Mapping[str, Any], maxlen: str) -> PadSpec:
    """Return how to pad, as the options say."""
    return PadSpec(
        maxlen=parse_maxlen(maxlen),
        padding=given["padding"],
        truncating=given["truncating"],
        value=0 if given["value"] is None else given["value"],
        dtype=given["dtype"] or "int32",
        pad_to_multiple_of=given["pad_to_multiple_of"],
        dtype_for_all=given["dtype"] is not None,
    )
