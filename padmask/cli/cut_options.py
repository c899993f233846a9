"""The options for rows longer than maxlen, which `pad` and `inspect` share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

import click

from padmask.cli.config import setting
from padmask.cli.options import is_typed
from padmask.errors import SpecError
from padmask.spec.maxlen import parse_maxlen
from padmask.spec.pad import PadSpec
from padmask.spec.windows import WindowSpec

Command = TypeVar("Command", bound=Callable[..., Any])


class EndLength(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A parameter type for how many tokens to keep: a number, or a column with a number for each row."""

    name = "N|COLUMN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value)
        number = parse_maxlen(text)
        if text == "" or (isinstance(number, str) and re.fullmatch(r"[-+]?[\d.]+", text)):
            self.fail(f"{text!r} is neither a whole number nor the name of a column.", param, ctx)
        return number


window_labels_option = setting(
    "--window-labels",
    type=click.Choice(["all", "new"]),
    default=None,
    help="Labels of tokens that occur in several windows. all: each window has the label. new: one window "
    "has the label, and the others have the pad value.  [default: all]",
)


def cut_options(command: Command) -> Command:
    """Add the options for rows longer than maxlen to a command. By default, such rows are truncated."""
    return _cut_options(
        command,
        ["truncate", "window", "drop", "error"],
        "truncate",
        "What to do with rows longer than maxlen. window splits a row into several rows.",
    )


def pack_cut_options(command: Command) -> Command:
    """Add the options for rows longer than maxlen to `pack`. By default, such a row is an error."""
    return _cut_options(
        command,
        ["error", "truncate", "drop", "split", "window"],
        "error",
        "What to do with rows longer than maxlen. With split and window, a row is packed in several parts, "
        "and the parts of window may overlap.",
    )


def _cut_options(command: Command, overlong: list[str], default: str, description: str) -> Command:
    for option in reversed(
        (
            setting(
                "--overlong",
                type=click.Choice(overlong),
                default=default,
                show_default=True,
                help=description,
            ),
            setting(
                "--keep-first",
                type=EndLength(),
                default=None,
                help="In rows longer than maxlen, keep the first N tokens, such as [CLS] or a prompt. If "
                "COLUMN is given, N is read from this column for each row.",
            ),
            setting(
                "--keep-last",
                type=EndLength(),
                default=None,
                help="In rows longer than maxlen, keep the last N tokens, such as [SEP] or an end-of-text "
                "token.",
            ),
            setting(
                "--overlap",
                type=click.IntRange(min=0),
                default=None,
                metavar="N",
                help="Number of tokens that two consecutive windows share, not counting the tokens of "
                "--keep-first and --keep-last.  [default: 0]",
            ),
        )
    ):
        command = option(command)
    return command


def with_cuts(spec: PadSpec, ctx: click.Context, given: Mapping[str, Any]) -> PadSpec:
    """Return the padding options, with the options for kept tokens and windows.

    Raises:
        SpecError: the options contradict each other, or the tokens to keep do not fit in maxlen.
    """
    overlong, wraps = given["overlong"], given.get("algorithm") == "wrap"
    if is_typed(ctx, "truncating") and (overlong in ("drop", "error") or wraps):
        cause = "with --algorithm wrap" if wraps else f"if --overlong is {overlong}"
        raise SpecError(
            f"--truncating has no effect {cause}, because no row is truncated. Remove one of the two "
            "options.",
            options=["truncating", "algorithm" if wraps else "overlong"],
        )
    first, last = _end(ctx, given, "keep_first"), _end(ctx, given, "keep_last")
    return replace(spec, keep_first=first, keep_last=last, windows=_windows(ctx, given))


def overlong_of(given: Mapping[str, Any]) -> Literal["truncate", "drop", "error"]:
    """Return the value of --overlong for `RowPolicy`.

    For the values window and split, the result is `"truncate"`, because `RowPolicy` has no such values.
    `PadSpec.windows` says that the rows are split.
    """
    overlong: Literal["truncate", "drop", "error"] = (
        "truncate" if given["overlong"] in ("window", "split") else given["overlong"]
    )
    return overlong


def _end(ctx: click.Context, given: Mapping[str, Any], name: str) -> int | str:
    """Return how many tokens to keep at one end of a row: a number, or the name of a column.

    If the command line sets --overlong drop or error, the option `name` in pyproject.toml is ignored.
    """
    cuts = given["overlong"] in ("truncate", "window", "split")
    if not cuts and is_typed(ctx, "overlong") and not is_typed(ctx, name):
        return 0
    return given[name] or 0


def _windows(ctx: click.Context, given: Mapping[str, Any]) -> WindowSpec | None:
    """Return the options of windows. Raise an error if these options are set without --overlong window."""
    if given["overlong"] == "window":
        return WindowSpec(overlap=given["overlap"] or 0, labels=given.get("window_labels") or "all")
    for name in ("overlap", "window_labels"):
        if given.get(name) is not None and (is_typed(ctx, name) or not is_typed(ctx, "overlong")):
            raise SpecError(
                f"--{name.replace('_', '-')} has an effect only on windows. Add --overlong window.",
                options=[name, "overlong"],
            )
    return WindowSpec() if given["overlong"] == "split" else None
