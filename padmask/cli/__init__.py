"""The command line: parse, call one function, render, exit code. No arithmetic here.

Exit codes, the same for all commands: 0 done or proven; 1 the data or the model is at fault; 2 could
not run; 130 Ctrl-C, 143 SIGTERM. The class of an error decides between 1 and 2.
A command's module is imported when the command is called, so that `--version` and
`--help` cost click alone.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import click

from padmask._version import __version__
from padmask.cli.commands import COMMANDS, load_command
from padmask.cli.guard import guarded
from padmask.storage.stdout import replace_unbuffered_stdout


class _ReaderGoneError(Exception):
    """The reader closed the pipe. No OSError, which click would turn into exit code 1."""


class _Commands(click.Group):
    """A group that knows its commands by name and imports them when they are called."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            raise _ReaderGoneError from None
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return load_command(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            ctx.fail(_failures().name_unknown_command(args[0], list(COMMANDS)))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="padmask", message="%(prog)s %(version)s")
def cli() -> None:
    """Pad and mask sequence data, and prove that models ignore the padding.

    A mask is True at real tokens and False at padding.
    """


def start(args: list[str]) -> int:
    """Run the command line, in a process of its own where it reads data, and return its exit code."""
    replace_unbuffered_stdout()
    # TensorFlow's import makes a quarter of a million objects that stay. Python would look through
    # all of them five times for garbage, of which there is none: half a second of a proof.
    gc.set_threshold(100_000)
    return _told(lambda: _guarded(args)) if _reads_data(args) else run(args)


def _reads_data(args: list[str]) -> bool:
    """Tell whether native code will read somebody's data, here where a process can be forked."""
    asked_for_help = any(arg in ("-h", "--help") for arg in args)
    return bool(args) and args[0] in COMMANDS and not asked_for_help and hasattr(os, "fork")


def _guarded(args: list[str]) -> int:
    outputs = ("-o", "--output", "--rejects", "--report", "--export")
    given = pairwise(args)
    inputs = [arg for option, arg in given if option not in outputs and os.path.exists(arg)]
    # TensorFlow reserves far more address space than it uses, and models may say what they like.
    verifies = args[0] == "verify"
    if sys.platform == "linux" and not verifies:
        # A fifth less memory than with Arrow's own choice, and no more time.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    say = _failures().say_error
    return guarded(lambda: run(args), say, inputs, bound_memory=not verifies, quiet=not verifies)


def run(args: list[str]) -> int:
    """Run the command line and return its exit code; what goes wrong is a sentence on stderr."""

    def work() -> int:
        result: Any = cli.main(args, prog_name="padmask", standalone_mode=False)
        return result if isinstance(result, int) else 0

    return _told(work)


def _told(work: Callable[[], int]) -> int:
    """Do some work and return its exit code; whatever it raises becomes a sentence on stderr."""
    try:
        return work()
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        _failures().show_usage_error(error)
        return 2
    except (KeyboardInterrupt, click.Abort) as stopped:
        _failures().say_stopped(stopped.__cause__ or stopped)
        return 130
    except _ReaderGoneError:
        # The reader has seen enough, as in `| head`: that is no error. What Python would
        # still flush at its end has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:  # noqa: BLE001 - whatever it is, people get a sentence
        code: int = _failures().say_failure(error)
        return code


def _failures() -> ModuleType:
    """Load what says what went wrong."""
    from padmask.cli import failures  # --help and --version need none of it

    return failures
