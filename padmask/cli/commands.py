"""Registry of the commands: names, one-line help, and modules, which are imported on demand."""

from __future__ import annotations

from importlib import import_module

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
