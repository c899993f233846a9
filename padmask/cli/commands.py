"""Registry of the commands: names, one-line help, and modules, which are imported on demand."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "pad": "Pad or truncate sequences to one length, and add a mask.",
    "unpad": "Remove padding from padded sequences.",
    "inspect": "Show masks, length statistics and the cost of padding.",
    "verify": "Prove that a model ignores padding.",
}


def load_command(name: str) -> click.Command:
    """Import the module of a command and return the command."""
    command: click.Command = import_module(f"padmask.cli.{name}").command
    return command


def load_runner(name: str) -> Callable[[Any], Any]:
    """Import the function that does the work of a command, with NumPy and Arrow. It takes the request."""
    runner: Callable[[Any], Any] = getattr(import_module(f"padmask.cli.run_{name}"), f"run_{name}")
    return runner
