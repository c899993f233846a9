"""The commands with their one-line help texts, and functions that import the modules of the commands."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "pad": "Pad or truncate sequences to the same length, and add a mask.",
    "pack": "Pack several sequences into each row.",
    "unpad": "Remove padding from padded sequences.",
    "inspect": "Show masks, length statistics and the cost of padding.",
    "verify": "Verify that a model ignores padding.",
}


def load_command(name: str) -> click.Command:
    """Import the module of a command and return the command."""
    command: click.Command = import_module(f"padmask.cli.{name}").command
    return command


def load_runner(name: str) -> Callable[..., Any]:
    """Import and return the function that runs a command with its parsed options."""
    runner: Callable[..., Any] = getattr(import_module(f"padmask.cli.run_{name}"), f"run_{name}")
    return runner
