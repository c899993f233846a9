"""Defaults from `[tool.padmask]` in the nearest pyproject.toml; the command line wins.

The nearest file counts alone, as with ruff: nothing is merged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from padmask.errors import SpecError, did_you_mean


class ConfiguredCommand(click.Command):
    """A command whose defaults may come from the nearest pyproject.toml."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        extra.setdefault("default_map", defaults(self, Path.cwd()))
        return super().make_context(info_name, args, parent, **extra)


def defaults(command: click.Command, folder: Path) -> dict[str, Any]:
    """Return the defaults for a command's parameters that the project at `folder` sets.

    Keys are the long options' names, in `[tool.padmask]` for every command and in
    `[tool.padmask.COMMAND]` for one.

    Raises:
        SpecError: the file is no TOML, or a key is no option.
    """
    file = next((p for p in (f / "pyproject.toml" for f in (folder, *folder.parents)) if p.is_file()), None)
    if file is None:
        return {}
    text = file.read_bytes()
    if b"padmask" not in text:
        # Most projects say nothing of padmask, and their files need not even be TOML.
        return {}
    table = _table(file, text)
    own = table.get(command.name or "", {})
    shared = {key: value for key, value in table.items() if not isinstance(value, dict)}
    parameters = _options(command)
    found = {}
    for key, value in (shared | own).items():
        name = key.replace("_", "-")
        if name in parameters:
            found[parameters[name]] = value
        elif key in own or name not in _all_options():
            raise SpecError(
                f"{file}: [tool.padmask] sets {key!r}, which is no option of padmask {command.name}."
                f"{did_you_mean(name, list(parameters))}"
            )
    return found


def _table(file: Path, text: bytes) -> dict[str, Any]:
    import tomllib

    try:
        table = tomllib.loads(text.decode()).get("tool", {}).get("padmask", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise SpecError(f"{file}: cannot be read as TOML: {error}.") from None
    if not isinstance(table, dict):
        raise SpecError(f"{file}: [tool.padmask] must be a table.")
    return table


def _options(command: click.Command) -> dict[str, str]:
    """Return the long options of a command, without dashes, and the parameters they set."""
    return {
        option.removeprefix("--"): parameter.name or ""
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    }


def _all_options() -> set[str]:
    """Return the long options of all commands: a key may be meant for another one."""
    from padmask.cli import cli

    context = click.Context(cli)
    commands = [cli.get_command(context, name) for name in cli.list_commands(context)]
    return {option for command in commands if command for option in _options(command)}
