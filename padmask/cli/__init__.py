"""Command line interface. Each command parses its options, calls one function and prints the result.

Exit codes of all commands:
    0: success.
    1: the data or the model is at fault.
    2: the run failed for another reason. The class of an error determines whether the code is 1 or 2.
    130: Ctrl-C.
    143: SIGTERM.

The module of a command is imported when the command runs, so that `--version` and `--help` import only click.
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
from padmask.cli.colours import CommandWithBoldHelp
from padmask.cli.commands import COMMANDS, load_command
from padmask.cli.guard import run_guarded
from padmask.storage.stdout import replace_unbuffered_stdout

# Maximum width of help texts in characters. In a narrower terminal, they are as wide as the terminal.
MOST_COLUMNS = 100


class _ClosedPipeError(Exception):
    """The reader of stdout closed the pipe.

    This class does not inherit from OSError, because click exits with code 1 for an OSError.
    """


class _Commands(CommandWithBoldHelp, click.Group):
    """A command group that imports the module of a command when the command runs."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            raise _ClosedPipeError from None
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
            ctx.fail(_failures().unknown_command_message(args[0], list(COMMANDS)))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": MOST_COLUMNS}
)
@click.version_option(__version__, "-V", "--version", prog_name="padmask", message="%(prog)s %(version)s")
def cli() -> None:
    """Pad and mask sequence data, and verify that models ignore the padding.

    The mask is True at real tokens and False at padding.
    """


def start(args: list[str]) -> int:
    """Run the command line and return the exit code. Commands that read data run in a child process."""
    replace_unbuffered_stdout()
    # Importing TensorFlow creates 250,000 permanent objects. With the default threshold, the garbage
    # collector scans them five times, which takes half a second.
    gc.set_threshold(100_000)
    return _exit_code(lambda: _run_guarded(args)) if _reads_data(args) else run(args)


def _reads_data(args: list[str]) -> bool:
    """Return whether the command reads data and the system supports fork."""
    asked_for_help = any(arg in ("-h", "--help") for arg in args)
    return bool(args) and args[0] in COMMANDS and not asked_for_help and hasattr(os, "fork")


def _run_guarded(args: list[str]) -> int:
    outputs = ("-o", "--output", "--rejects", "--report", "--export")
    given = [*pairwise(args)]
    inputs = [arg for option, arg in given if option not in outputs and os.path.exists(arg)]
    # For verify, do not limit memory, because TensorFlow reserves more address space than it uses. Do not
    # hide stderr, because the code of a model may write there.
    verifies = args[0] == "verify"
    if sys.platform == "linux" and not verifies:
        # jemalloc needs 20% less memory than Arrow's default allocator, and is as fast.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    failures = _failures()
    return run_guarded(
        lambda: run(args),
        failures.print_error,
        inputs,
        bound_memory=not verifies,
        quiet=not verifies,
        runs_model=verifies and "--no-model" not in args,
        remedy=lambda: failures.remedy_after_kill(args[0], _output_of(args)),
    )


def _output_of(args: list[str]) -> str | None:
    """Return the value of -o in a command line; None if -o is not given."""
    for arg, value in pairwise([*args, ""]):
        if arg in ("-o", "--output"):
            return value
        if arg.startswith("--output="):
            return arg.partition("=")[2]
        if arg.startswith("-o"):
            return arg[2:]
    return None


def run(args: list[str]) -> int:
    """Run the command line in this process and return the exit code."""

    def work() -> int:
        result: Any = cli.main(args, prog_name="padmask", standalone_mode=False)
        return result if isinstance(result, int) else 0

    return _exit_code(work)


def _exit_code(work: Callable[[], int]) -> int:
    """Call a function and return its exit code.

    If the function raises an exception, print the message to stderr.
    """
    try:
        return work()
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        _failures().print_usage_error(error)
        return 2
    except (KeyboardInterrupt, click.Abort) as stopped:
        _failures().print_progress_notes(stopped.__cause__ or stopped)
        return 130
    except _ClosedPipeError:
        # A reader such as `head` closed the pipe. Python flushes stdout at exit, so stdout must be valid.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:  # noqa: BLE001 - users get a message instead of a traceback
        code: int = _failures().print_failure(error)
        return code


def _failures() -> ModuleType:
    """Import and return the module that prints errors.

    The module is not imported at the start, because --help does not need the module.
    """
    from padmask.cli import failures

    return failures
