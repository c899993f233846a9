"""Defaults from `[tool.padmask]` in the nearest pyproject.toml; the command line wins.

The nearest file counts alone, as with ruff: nothing is merged.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from padmask.errors import SpecError, did_you_mean, size
from padmask.machine import read_small

# Settings take a few kilobytes, and reading TOML takes a second for a few megabytes.
MOST_BYTES = 1 << 20


class ConfiguredCommand(click.Command):
    """A command whose defaults may come from the nearest pyproject.toml."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            file = find_project(Path.cwd())
        except FileNotFoundError:
            raise SpecError(
                "The folder that you stand in is not there any more. Go to another one."
            ) from None
        extra.setdefault("default_map", defaults(self, file) if file else {})
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.BadParameter as error:
            name = error.param.name if error.param else None
            source = error.ctx.get_parameter_source(name) if error.ctx and name else None
            if source is click.core.ParameterSource.DEFAULT_MAP:
                raise SpecError(f"{file}: [tool.padmask]: {error.format_message()}") from None
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; where it refuses what nobody typed, it says where that stands."""
        try:
            return super().invoke(ctx)
        except SpecError as error:
            given = _configured(ctx, str(error))
            if not given:
                raise
            verb = "is" if len(given) == 1 else "are"
            raise SpecError(
                f"{error} {' and '.join(given)} {verb} set in {find_project(Path.cwd())}."
            ) from None


def _configured(ctx: click.Context, said: str) -> list[str]:
    """Return the options that a pyproject.toml sets, if a message speaks of them or of their values."""
    found = []
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT_MAP:
            continue
        value = ctx.params[name]
        values = value if isinstance(value, (list, tuple)) else [value]
        # Of NAME[:DTYPE][=VALUE] a message has the name.
        words = [name, *(re.split("[:=]", str(value))[0] for value in values)]
        if any(re.search(rf"[`'\" ]{re.escape(word)}[`'\" ,.;]", said) for word in words):
            found.append(parameter.opts[-1])
    return found


def find_project(folder: Path) -> Path | None:
    """Return the nearest pyproject.toml at or above `folder`."""
    return next((p for p in (f / "pyproject.toml" for f in (folder, *folder.parents)) if p.is_file()), None)


def defaults(command: click.Command, file: Path) -> dict[str, Any]:
    """Return the defaults for a command's parameters that a pyproject.toml sets.

    Keys are the long options' names, in `[tool.padmask]` for every command and in
    `[tool.padmask.COMMAND]` for one.

    Raises:
        SpecError: the file is no TOML, or a key is no option.
    """
    text = _text_of(file)
    if b"padmask" not in text:
        # Most projects say nothing of padmask, and their files need not even be TOML.
        return {}
    table = _table(file, text)
    from padmask.cli import COMMANDS

    own = table.get(command.name or "", {})
    for name, value in table.items():
        if isinstance(value, dict) and name not in COMMANDS:
            raise SpecError(
                f"{file}: [tool.padmask.{name}] is for no command.{did_you_mean(name, list(COMMANDS))} "
                f"Choose one of {', '.join(COMMANDS)}."
            )
    if not isinstance(own, dict):
        raise SpecError(f"{file}: [tool.padmask] {command.name} must be a table of options.")
    shared = {key: value for key, value in table.items() if not isinstance(value, dict)}
    parameters = _options(command)
    switched_off = _switched_off(command)
    found: dict[str, Any] = {}
    for key, value in (shared | own).items():
        name = key.replace("_", "-")
        if name in switched_off:
            _check(file, key, value, ("true or false", (bool,)))
            found[switched_off[name]] = not value
        elif name in parameters:
            parameter = parameters[name]
            values = value if parameter.multiple and isinstance(value, list) else [value]
            for one in values:
                _check(file, key, one, _kind_of(parameter))
            found[parameter.name or ""] = values if parameter.multiple else value
        elif key in own or name not in _all_options():
            raise SpecError(
                f"{file}: [tool.padmask] sets {key!r:.60}, which is no option of padmask {command.name}."
                f"{did_you_mean(name, list(parameters))}"
            )
    return found


def _text_of(file: Path) -> bytes:
    text = read_small(str(file), MOST_BYTES)
    if text is None:
        raise SpecError(
            f"{file}: larger than {size(MOST_BYTES)}, the most that padmask reads of settings. Make the file "
            "smaller, or run padmask in another folder."
        )
    return text


def _kind_of(parameter: click.Option) -> tuple[str, tuple[type, ...]]:
    """Return what a parameter may be set to, in words and in types."""
    if parameter.is_flag:
        return "true or false", (bool,)
    if isinstance(parameter.type, click.types.IntParamType):
        return "a whole number", (int,)
    if isinstance(parameter.type, click.Path):
        return "a text", (str,)
    return "a text or a number", (str, int, float)


def _check(file: Path, key: str, value: Any, kind: tuple[str, tuple[type, ...]]) -> None:
    words, types = kind
    # Of Python's whole numbers two are true and false, and no name holds a NUL.
    if type(value) not in types or (isinstance(value, str) and "\0" in value):
        raise SpecError(
            f"{file}: [tool.padmask] sets {key!r:.60} to {value!r:.60}: it must be {words}. Mend it."
        )


def _table(file: Path, text: bytes) -> dict[str, Any]:
    import tomllib

    try:
        whole = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: cannot be read as TOML: {error}. Mend it there.") from None
    except RecursionError:
        raise SpecError(f"{file}: cannot be read as TOML: nested too deeply. Mend it.") from None
    tools = whole.get("tool", {})
    table = tools.get("padmask", {}) if isinstance(tools, dict) else {}
    if not isinstance(table, dict):
        raise SpecError(f"{file}: [tool.padmask] must be a table.")
    return table


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return the long options of a command, without dashes, and the parameters they set."""
    return {
        option.removeprefix("--"): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    }


def _switched_off(command: click.Command) -> dict[str, str]:
    """Return the long options that switch a flag off, without dashes, and the parameters they set."""
    return {
        option.removeprefix("--"): parameter.name or ""
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.secondary_opts
    }


def _all_options() -> set[str]:
    """Return the long options of all commands: a key may be meant for another one."""
    from padmask.cli import cli

    context = click.Context(cli)
    commands = [cli.get_command(context, name) for name in cli.list_commands(context)]
    return {
        option for command in commands if command for option in [*_options(command), *_switched_off(command)]
    }
