"""The registry of commands: their names, their one-line help, and what loads their modules when needed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "pad": "Pad or cut sequences to one length, with masks.",
    "unpad": "Take the padding away again.",
    "inspect": "See masks, lengths, and what padding will cost.",
    "verify": "Prove that masked outputs ignore padding.",
}


def load_command(name: str) -> click.Command:
    """Import the module of a command and return the command."""
    command: click.Command = import_module(f"padmask.cli.{name}").command
    return command


def load_runner(name: str) -> Callable[[Any], Any]:
    """Import the function that does the work of a command, with NumPy and Arrow. It takes the request."""
    runner: Callable[[Any], Any] = getattr(import_module(f"padmask.cli.run_{name}"), f"run_{name}")
    return runner
