"""The options of `pad` for batches with a token budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from padmask.cli.config import setting
from padmask.cli.options import is_typed
from padmask.errors import SpecError
from padmask.spec.batches import BatchSpec

Command = TypeVar("Command", bound=Callable[..., Any])

# Options that set the fields of `BatchSpec`.
_FIELDS = {
    "tokens": "batch_tokens",
    "multiple": "batch_multiple",
    "sort_window": "sort_window",
    "shuffle": "shuffle_batches",
}

# Options that have an effect only on batches.
_DETAILS = ("batch_multiple", "sort_window", "shuffle_batches")


def batch_options(command: Command) -> Command:
    """Add the options for batches to a command."""
    for option in reversed(
        (
            setting(
                "--batch-tokens",
                type=click.IntRange(min=1),
                default=None,
                metavar="B",
                help="Sort the rows by length and write them in batches of at most B positions. Each batch "
                "is padded to its own longest row. The new column 'batch' contains the number of the batch.",
            ),
            setting(
                "--batch-multiple",
                type=click.IntRange(min=1),
                default=None,
                metavar="M",
                help="Make the number of rows of each batch a multiple of M, except in the last batch of "
                "each sort window (--sort-window).  [default: 1]",
            ),
            setting(
                "--sort-window",
                type=click.IntRange(min=1),
                default=None,
                metavar="W",
                help="Sort W consecutive rows at a time, or fewer if W rows have more than 2^26 values. A "
                "larger W leaves less padding and needs more memory.  [default: 100,000]",
            ),
            setting(
                "--shuffle-batches",
                type=click.IntRange(min=0),
                default=None,
                metavar="SEED",
                help="Shuffle the order of the batches in each sort window (--sort-window). The same seed "
                "gives the same order.  [default: not shuffled, short rows first]",
            ),
        )
    ):
        command = option(command)
    return command


def source_row_of(ctx: click.Context, given: Mapping[str, Any]) -> bool:
    """Return whether to add the column source_row, or raise an error if --no-source has no effect.

    If rows are split into windows, the result is False only if the command line sets --no-source. A
    pyproject.toml cannot remove the column in this case.

    Raises:
        SpecError: the command line sets --no-source, but the output has no batches, buckets or windows.
    """
    shaped = given["batch_tokens"] or given.get("buckets") or given["overlong"] == "window"
    if not given["source_row"] and not shaped and is_typed(ctx, "source_row"):
        raise SpecError(
            "padmask adds the column source_row only to batches, buckets and windows, so --no-source has no "
            "effect here. Remove --no-source, or add --batch-tokens or --buckets.",
            options=["source_row"],
        )
    return bool(given["source_row"]) or (given["overlong"] == "window" and not is_typed(ctx, "source_row"))


def batches_of(ctx: click.Context, given: Mapping[str, Any]) -> BatchSpec | None:
    """Return the options of batches; None if the rows are not divided into batches.

    Raises:
        SpecError: the command line sets an option of batches, but not --batch-tokens.
    """
    if given["batch_tokens"] is None:
        for name in _DETAILS:
            if given[name] is not None and is_typed(ctx, name):
                raise SpecError(
                    f"--{name.replace('_', '-')} has an effect only on batches. Add --batch-tokens, such as "
                    "--batch-tokens 8192.",
                    options=[name, "batch_tokens"],
                )
        return None
    set_ = {field: given[name] for field, name in _FIELDS.items() if given[name] is not None}
    try:
        return BatchSpec(**set_)
    except SpecError as error:
        raise _renamed(error) from None


def _renamed(error: SpecError) -> SpecError:
    """Replace the names of fields of `BatchSpec` in an error with the names of command-line parameters."""
    message, options = error.message, []
    for name in error.options:
        options.append(_FIELDS.get(name, name))
        message = message.replace(f"`{name}`", f"`{options[-1]}`")
    return SpecError(message, options=options)
