"""The commands: their names, their one-line help, and their modules, loaded when needed."""

from __future__ import annotations

from importlib import import_module

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
