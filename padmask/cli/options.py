"""Options that several commands share."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

import click

from padmask.cli.arguments import Output, Workers
from padmask.cli.completion import complete_columns, complete_lengths
from padmask.cli.config import READS_A_PART, WRITES, command_line_only, setting
from padmask.errors import SpecError, join_or
from padmask.spec.files import FileOptions, ReadOptions
from padmask.spec.formats import FormatTraits, input_formats, names_of
from padmask.spec.mask import MASK_KINDS, POLARITIES
from padmask.spec.maxlen import parse_maxlen
from padmask.spec.pad import DTYPES, PadSpec
from padmask.spec.sides import SIDES, keras_side
from padmask.storage.glob import is_pattern
from padmask.storage.names import COMPRESSIONS, format_of
from padmask.storage.urls import checked_path, is_url

Command = TypeVar("Command", bound=Callable[..., Any])

Options = TypeVar("Options", bound=ReadOptions)


class PathOrAddress(click.Path):
    """A parameter type for local paths and URLs. A `file://` URL becomes a local path.

    Args:
        forms: prefixes that may precede the path, without the colon, such as `json`.
    """

    def __init__(self, *forms: str) -> None:
        super().__init__()
        self._forms = forms

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        form = next((f"{form}:" for form in self._forms if value.startswith(f"{form}:")), "")
        path = value.removeprefix(form)
        # Every URL contains at least one of these characters.
        is_plain = not any(mark in path for mark in ":@?")
        return super().convert(value, param, ctx) if is_plain else form + checked_path(path)


class SideChoice(click.Choice[str]):
    """A parameter type for a side: pre or post as in Keras, left or right as in Hugging Face."""

    # What to use instead of the values of `padding` in Hugging Face's tokenizers.
    _lengths: ClassVar = {"longest": "--maxlen longest", "max_length": "--maxlen N"}

    def __init__(self) -> None:
        super().__init__(SIDES)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in self._lengths:
            self.fail(f"{value!r} is a length, not a side. Use {self._lengths[value]}.", param, ctx)
        return super().convert(keras_side(value), param, ctx)


def suffix_help(formats: Iterable[FormatTraits]) -> str:
    """Return a sentence that lists the file suffixes of output formats, for a help text."""
    suffixes: list[str] = []
    for traits in formats:
        plain = traits.shown_suffix
        suffixes += [plain, *(plain + suffix for suffix in COMPRESSIONS if traits.is_text)]
    return f"The suffix determines the format: {join_or(suffixes)}."


inputs_argument = click.argument("inputs", nargs=-1, type=PathOrAddress(), metavar="[INPUT]...")

input_format_option = setting(
    "--input-format",
    type=click.Choice(names_of(input_formats())),
    default=None,
    help="Input format.  [default: from the suffix or the first bytes]",
)

limit_option = command_line_only(
    "--limit",
    because=READS_A_PART,
    type=click.IntRange(min=0),
    default=None,
    metavar="N",
    help="Read only the first N rows.",
)

rejects_option = command_line_only(
    "--rejects",
    because=WRITES,
    type=PathOrAddress(),
    default=None,
    metavar="FILE",
    help="Write dropped and rejected rows, with the reasons, to a JSON Lines file.",
)

report_option = command_line_only(
    "--report",
    because=WRITES,
    type=PathOrAddress("json"),
    default=None,
    metavar="[json:]FILE",
    help="Write a JSON report with the row and token counts, or with the error if the run fails.",
)

threads_option = setting(
    "--threads",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Number of threads that process rows in parallel.  [default: number of cores; 1 if input and output "
    "are JSON Lines]",
)


_MAXLEN = "Row length: a number, longest, or a percentile such as p95."


def input_options(command: Command) -> Command:
    """Add the options for the input and for padding to a command that pads rows."""
    return _input_options(command, verb="pad", maxlen=_MAXLEN)


def pack_input_options(command: Command) -> Command:
    """Add the options for the input and for packing to `pack`. Packed rows are always padded at the end."""
    return _input_options(command, verb="pack", maxlen=_MAXLEN)


def audit_options(maxlen: str) -> Callable[[Command], Command]:
    """Add the options for the input and for padding to a command that only checks rows.

    Args:
        maxlen: help for --maxlen.
    """
    return lambda command: _input_options(command, verb="check", maxlen=maxlen)


def _input_options(command: Command, verb: str, maxlen: str) -> Command:
    padding = setting(
        "--padding",
        type=SideChoice(),
        default="post",
        show_default=True,
        help="Side of the padding. right means post, and left means pre.",
    )
    for option in reversed(
        (
            inputs_argument,
            setting(
                "-c",
                "--column",
                "columns",
                multiple=True,
                metavar="NAME[:DTYPE][=VALUE]",
                shell_complete=complete_columns,
                help=f"Column to {verb}, with an optional dtype and pad value; repeatable.  [default: "
                "input_ids, else tokens, else the only list column; also labels, token_type_ids and "
                "similar columns that have the same lengths]",
            ),
            setting(
                "--maxlen",
                "--max-length",
                "maxlen",
                default="longest",
                show_default=verb != "check",
                metavar="N|longest|pNN",
                shell_complete=complete_lengths,
                help=maxlen,
            ),
            *([] if verb == "pack" else [padding]),
            setting(
                "--truncating",
                type=SideChoice(),
                default="post",
                show_default=True,
                help="Side on which rows longer than maxlen are truncated.",
            ),
            setting(
                "--value",
                default=None,
                metavar="V",
                help="Pad value for columns without a pad value in --column.  [default: 0; '' for strings]",
            ),
            setting(
                "--dtype",
                type=click.Choice(DTYPES),
                default=None,
                help="Dtype for columns whose --column option has no dtype.  [default: int32; string for "
                "strings; float32 for floats; float64 if Parquet or Arrow columns have this type]",
            ),
            setting(
                "--pad-to-multiple-of",
                type=click.IntRange(min=1),
                default=None,
                metavar="N",
                help="Round maxlen up to a multiple of N, unless --maxlen is a number.",
            ),
            input_format_option,
            limit_option,
        )
    ):
        command = option(command)
    return command


class Size(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A parameter type for sizes in bytes, with or without a unit, such as 1000, 10GB or 500MiB.

    Args:
        min: minimum number of bytes.
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
            self.fail(
                f"{value!r} is not a size. Examples: 500000 (bytes), 500MB, 10GiB.",
                param,
                ctx,
            )
        amount = float(found[1]) * self._units[found[2]]
        if amount < self.min:
            self.fail(f"{value!r} is less than {self.min}.", param, ctx)
        # Limit the size so that it fits in a 64-bit integer. No disk is larger.
        return int(min(amount, 1 << 62))


max_bytes_option = command_line_only(
    "--max-bytes",
    because="raises the limit on the size of the output",
    type=Size(),
    default=None,
    help="Fail if the output would be larger than SIZE, such as 10GB or 500MiB.  [default: 90% of the free "
    "disk space; no limit for pipes]",
)


def workers_option(work: str, single: str) -> Callable[[Command], Command]:
    """Return the option --workers.

    Args:
        work: what the processes do, for the help text.
        single: default number of processes for a single file, as a phrase for the help text.
    """
    return setting(
        "--workers",
        type=click.IntRange(min=1),
        default=None,
        metavar="N",
        help=f"Number of processes that {work}.  [default: number of cores; for a single file: {single}]",
    )


cluster_option = command_line_only(
    "--cluster",
    because="sends data to other machines",
    default=None,
    metavar="ADDRESS",
    help="Address of a Dask scheduler to use instead of local processes, such as tcp://host:8786. If "
    "ADDRESS is local, padmask starts a scheduler on this machine, and --workers sets the number "
    "of workers.",
)


def mask_options(command: Command) -> Command:
    """Add the options for the mask of padded input to a command."""
    for option in (
        setting(
            "--mask-kind",
            type=click.Choice(MASK_KINDS),
            default=None,
            help="Values of the mask of padded input. binary: True and False, or 1 and 0. additive: 0 at "
            "real tokens, and large negative numbers at padding.  [default: from metadata, else binary]",
        ),
        setting(
            "--mask-polarity",
            type=click.Choice(POLARITIES),
            default=None,
            help="What True or 1 means in the mask of padded input: a real token or padding.  "
            "[default: from metadata, else padding for key_padding_mask and src_key_padding_mask, else real]",
        ),
        setting(
            "--mask-column",
            default=None,
            metavar="NAME",
            shell_complete=complete_columns,
            help="Mask column of padded input.  [default: from metadata, else mask, attention_mask, "
            "padding_mask, key_padding_mask or src_key_padding_mask]",
        ),
    ):
        command = option(command)
    return command


def help_without_input(ctx: click.Context, given: Mapping[str, Any]) -> None:
    """Show the help if there is no input and stdin is a terminal.

    Without the help, the command would wait for input.
    """
    if not given["inputs"] and sys.stdin is not None and sys.stdin.isatty():
        raise click.exceptions.NoArgsIsHelpError(ctx)


def refuse_output_as_input(ctx: click.Context, given: Mapping[str, Any]) -> None:
    """Raise an error if the last input looks like the output, as in `padmask pad in.jsonl out.parquet`.

    Raises:
        SpecError: `-o` is not set, and the last of several inputs is missing or has a different format.
    """
    *others, last = given["inputs"] or ("",)
    if not others or is_typed(ctx, "output") or is_url(last) or is_pattern(last) or os.path.isdir(last):
        return
    hint = f"Did you mean -o {shlex.quote(last)}?"
    if not os.path.lexists(last):
        # The name has the suffix of a format, or is the name of a folder.
        if format_of(last) is not None or last.endswith("/"):
            raise SpecError(f"File {last!r} does not exist. {hint}")
        return
    first, other = format_of(others[0]), format_of(last)
    if first is not None and other is not None and first != other:
        raise SpecError(
            f"The inputs have different formats: {others[0]} is {first.name}, but {last} is {other.name}. "
            f"Use only one format in each run. {hint}"
        )


def declared_side(ctx: click.Context, given: Mapping[str, Any]) -> Any:
    """Return the value of --padding if the command line sets it; None otherwise."""
    return given["padding"] if is_typed(ctx, "padding") else None


def is_typed(ctx: click.Context, name: str) -> bool:
    """Return whether the command line sets a parameter. Defaults and pyproject.toml do not count."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def workers_of(ctx: click.Context, given: Mapping[str, Any]) -> Workers:
    """Return the values of --workers and --cluster. --cluster overrides `workers` in pyproject.toml."""
    configured = given["cluster"] and not is_typed(ctx, "workers")
    return Workers(workers=None if configured else given["workers"], cluster=given["cluster"])


def file_options(given: Mapping[str, Any], kind: type[Options]) -> Options:
    """Create a `ReadOptions` or `FileOptions` object from the parameters of a command."""
    return kind(**{field.name: given[field.name] for field in fields(kind) if field.name in given})


def output_of(given: Mapping[str, Any]) -> Output:
    """Create an `Output` object from the parameters of a command."""
    return Output(
        inputs=given["inputs"],
        output=given["output"],
        files=file_options(given, FileOptions),
        report=given["report"],
        allow=given["allow"],
        quiet=given["quiet"],
        progress=given["progress"],
    )


def quiet_options(command: Command) -> Command:
    """Add --quiet and --progress to a command."""
    command = setting(
        "--progress/--no-progress",
        default=True,
        help="Show progress: a bar on a terminal, else a line every 30 seconds.  [default: on]",
    )(command)
    return command_line_only(
        "-q",
        "--quiet/--no-quiet",
        because="hides the summary and the warnings",
        default=False,
        help="Print no summary, warnings or progress.",
    )(command)


def spec_of(given: Mapping[str, Any], maxlen: str) -> PadSpec:
    """Create a `PadSpec` from the parameters of a command and one value of maxlen."""
    return PadSpec(
        maxlen=parse_maxlen(maxlen),
        padding=given.get("padding", "post"),
        truncating=given["truncating"],
        value=0 if given["value"] is None else given["value"],
        dtype=given["dtype"] or "int32",
        pad_to_multiple_of=given["pad_to_multiple_of"],
        dtype_for_all=given["dtype"] is not None,
    )
