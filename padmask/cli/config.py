"""Defaults from `[tool.padmask]` in the nearest pyproject.toml. The command line takes precedence.

As in ruff, only the nearest file is used. Files are not merged. The file may come from an untrusted source
together with the data, so the file may set only how data is padded and displayed. Options that the file may
set are declared with `setting`. All other options are declared with `command_line_only`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import click

from padmask.cli.colours import CommandWithBoldHelp
from padmask.cli.commands import COMMANDS, load_command
from padmask.cli.help_layout import wrap_choices, wrap_examples
from padmask.cli.option_groups import group_options
from padmask.errors import PadmaskError, SpecError, did_you_mean, printable, size
from padmask.storage.system import read_small

# Maximum size of a pyproject.toml. Settings need a few kilobytes. Parsing megabytes of TOML takes a second.
MOST_BYTES = 1 << 20

# Reasons why only the command line may set some options. Loading a model file or a module runs code. The
# author of the data must not choose which rows are checked, or how.
RUNS_CODE = "may run code"

WRITES = "specifies a file to write"

CHANGES_CHECKS = "changes which checks padmask verify runs"

PASSES_BAD_ROWS = "allows a run to succeed with bad rows"

READS_A_PART = "skips part of the data"

# Key in `click.Context.meta` for the path of the pyproject.toml.
_PROJECT = f"{__name__}.project"

Declared = TypeVar("Declared", bound=Callable[..., Any])


class Setting(click.Option):
    """A command-line option that a pyproject.toml may also set."""


class CommandLineOnly(click.Option):
    """A command-line option that a pyproject.toml must not set.

    Args:
        because: the reason, as a phrase that follows the name of the option in messages, such as "deletes
            files".
    """

    def __init__(self, *args: Any, because: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.because = because


def setting(*names: str, **attributes: Any) -> Callable[[Declared], Declared]:
    """Declare an option that a pyproject.toml may also set. Such an option affects only padding or display.

    Args:
        names: as in `click.option`.
        attributes: as in `click.option`.
    """
    return click.option(*names, cls=Setting, **attributes)


def command_line_only(*names: str, because: str, **attributes: Any) -> Callable[[Declared], Declared]:
    """Declare an option that a pyproject.toml must not set, for example because the option runs code.

    Args:
        names: as in `click.option`.
        because: as in `CommandLineOnly`.
        attributes: as in `click.option`.
    """
    return click.option(*names, cls=CommandLineOnly, because=because, **attributes)


class ConfiguredCommand(CommandWithBoldHelp):
    """A command with defaults from the nearest pyproject.toml.

    Args:
        unsupported: messages that name the padmask option to use, keyed by the option of another tool, such
            as `--max-len`. A key also matches the option with underscores, such as `--max_len`.
        settings: arguments of `click.Command`.
    """

    def __init__(self, *args: Any, unsupported: Mapping[str, str] | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._unsupported = unsupported or {}

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the description, with examples that fit the terminal."""
        text = self.help
        self.help = wrap_examples(text or "", formatter.width)
        try:
            super().format_help_text(ctx, formatter)
        finally:
            self.help = text

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in groups."""
        options = [option for option in self.get_params(ctx) if isinstance(option, click.Option)]
        for heading, group in group_options(self.name or "", options).items():
            records = [record for option in group if (record := option.get_help_record(ctx))]
            with formatter.section(heading):
                formatter.write_dl([(wrap_choices(term, formatter.width), text) for term, text in records])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if (remedy := self._unsupported.get(error.option_name.replace("_", "-"))) is None:
                raise
            raise click.UsageError(remedy, ctx) from None

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if extra.get("resilient_parsing"):
            # Completion in the shell needs no settings, and must not print errors.
            return super().make_context(info_name, args, parent, **extra)
        try:
            file = find_project(os.getcwd())
        except FileNotFoundError:
            raise SpecError("The current folder no longer exists. Change to another folder.") from None
        extra.setdefault("default_map", read_defaults(self, file) if file else {})
        try:
            context = super().make_context(info_name, args, parent, **extra)
            context.meta[_PROJECT] = file
            return context
        except click.BadParameter as error:
            name = error.param.name if error.param else None
            source = error.ctx.get_parameter_source(name) if error.ctx and name else None
            if source is click.core.ParameterSource.DEFAULT_MAP:
                raise SpecError(f"{file}: [tool.padmask]: {error.format_message()}") from None
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Print which options a pyproject.toml changes.

        If the command fails because of an option in this file, the message contains the path of the file.
        """
        try:
            result = super().invoke(ctx)
        except PadmaskError as error:
            given = _from_project(ctx, error.options)
            if not given:
                raise
            raise error.reworded(f"{error} {_set_in(ctx, given)}.") from None
        except click.BadOptionUsage as error:
            given = _from_project(ctx, [error.option_name])
            if not given:
                raise
            message = f"{error.message} {_set_in(ctx, given)}."
            raise click.BadOptionUsage(error.option_name, message, error.ctx) from None
        changed = _changed(ctx)
        if changed and not ctx.params["quiet"]:
            # The run is complete, so a closed stderr is not an error.
            with suppress(OSError):
                click.echo(printable(f"settings: {_set_in(ctx, changed)}"), err=True)
        return result


def is_setting(ctx: click.Context, name: str) -> bool:
    """Return whether a pyproject.toml sets the value of a parameter."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.DEFAULT_MAP


def _from_project(ctx: click.Context, names: Iterable[str]) -> list[click.Parameter]:
    """Return the parameters in `names` whose values come from a pyproject.toml."""
    wanted = set(names)
    return [
        parameter
        for parameter in ctx.command.params
        if parameter.name in wanted and is_setting(ctx, parameter.name)
    ]


def _changed(ctx: click.Context) -> list[click.Parameter]:
    """Return the parameters that a pyproject.toml sets to values other than their defaults."""
    found = _from_project(ctx, ctx.params)
    if not found:
        return []
    defaults = click.Command.make_context(ctx.command, ctx.info_name, [], default_map={}).params
    return [one for one in found if ctx.params[one.name or ""] != defaults[one.name or ""]]


def _set_in(ctx: click.Context, parameters: Sequence[click.Parameter]) -> str:
    """Return a text with the option names and the path of the pyproject.toml that sets them."""
    verb = "is" if len(parameters) == 1 else "are"
    *names, last = map(long_option, parameters)
    named = f"{', '.join(names)} and {last}" if names else last
    return f"{named} {verb} set in {ctx.meta[_PROJECT]}"


def long_option(parameter: click.Parameter) -> str:
    """Return the first long option of a parameter, such as `--maxlen`. For an argument, return its name."""
    return next((option for option in parameter.opts if option.startswith("--")), parameter.opts[-1])


def find_project(folder: str) -> str | None:
    """Return the path of the nearest pyproject.toml in `folder` or its parents; None if there is none."""
    while not _is_file(file := os.path.join(folder, "pyproject.toml")):
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return file


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError as error:
        # If the file exists but cannot be accessed, raise the error.
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return False


def read_defaults(command: click.Command, file: str) -> dict[str, Any]:
    """Return the defaults that a pyproject.toml sets for the parameters of a command.

    In the file, the keys are long option names. The table `[tool.padmask]` is for all commands, and the table
    `[tool.padmask.COMMAND]` is for one command.

    Raises:
        SpecError: the file is too large or not valid TOML, a key is not an option that the file may set, or
            a value has the wrong type.
    """
    text = _text_of(file)
    if b"padmask" not in text:
        # The file does not configure padmask, so ignore it even if it is not valid TOML.
        return {}
    table = _table(file, text)
    tables = _tables_of_commands(file, table)
    shared = {key: value for key, value in table.items() if not isinstance(value, dict)}
    _refuse_command_line_only(file, shared, tables)
    own = tables.get(command.name or "", {})
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
                f"{file}: [tool.padmask] sets {key!r:.60}, which is not an option of padmask {command.name}."
                f"{did_you_mean(name, list(parameters))}"
            )
    return found


def _tables_of_commands(file: str, table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the table `[tool.padmask.COMMAND]` of each command."""
    for name, value in table.items():
        if isinstance(value, dict) and name not in COMMANDS:
            raise SpecError(
                f"{file}: [tool.padmask.{name}]: no such command.{did_you_mean(name, list(COMMANDS))} "
                f"Choose one of {', '.join(COMMANDS)}."
            )
        if not isinstance(value, dict) and name in COMMANDS:
            raise SpecError(f"{file}: [tool.padmask] {name} must be a table of options. Fix the file.")
    return {name: table.get(name, {}) for name in COMMANDS}


def _refuse_command_line_only(
    file: str, shared: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raise an error if a table sets an option that only the command line may set.

    Raises:
        SpecError: a table sets such an option.
    """
    for command in _all_commands():
        own = tables.get(command.name or "", {})
        reasons = _command_line_only(command)
        for keys, where in ((shared, "tool.padmask"), (own, f"tool.padmask.{command.name}")):
            for key in keys:
                name = key.replace("_", "-")
                if name in reasons:
                    raise SpecError(
                        f"{file}: [{where}] sets {key!r:.60}, but --{name} {reasons[name]}, so only the "
                        f"command line may set --{name}. Remove {key!r:.60} from the file."
                    )


def _command_line_only(command: click.Command) -> dict[str, str]:
    """Return the options that only the command line may set: a dict from names without `--` to reasons."""
    return {
        option.removeprefix("--"): getattr(parameter, "because", "cannot be set in a file")
        for parameter in command.params
        if isinstance(parameter, click.Option) and not isinstance(parameter, Setting)
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }


def _text_of(file: str) -> bytes:
    text = read_small(file, MOST_BYTES)
    if text is None:
        raise SpecError(
            f"{file}: the file is larger than {size(MOST_BYTES)}, the limit for settings. Make the file "
            "smaller, or run padmask in another folder."
        )
    return text


def _kind_of(parameter: click.Option) -> tuple[str, tuple[type, ...]]:
    """Return which values a parameter accepts: a phrase for messages, and the Python types."""
    if parameter.is_flag:
        return "true or false", (bool,)
    if isinstance(parameter.type, click.types.IntParamType):
        return "an integer", (int,)
    return "a string or a number", (str, int, float)


def _check(file: str, key: str, value: Any, kind: tuple[str, tuple[type, ...]]) -> None:
    words, types = kind
    # A bool is an instance of int, so compare the types. Reject NUL, which file names cannot contain.
    if type(value) not in types or (isinstance(value, str) and "\0" in value):
        raise SpecError(
            f"{file}: [tool.padmask] sets {key!r:.60} to {value!r:.60}, but the value must be {words}. "
            "Fix the file."
        )


def _table(file: str, text: bytes) -> dict[str, Any]:
    import tomllib

    try:
        document = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: not valid TOML: {error}. Fix the file.") from None
    except RecursionError:
        raise SpecError(f"{file}: not valid TOML: nested too deeply. Fix the file.") from None
    tools = document.get("tool", {})
    table = tools.get("padmask", {}) if isinstance(tools, dict) else {}
    if not isinstance(table, dict):
        raise SpecError(f"{file}: [tool.padmask] must be a table. Fix the file.")
    return table


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return the parameters of a command, keyed by long option name without the leading dashes."""
    return {
        option.removeprefix("--"): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    }


def _switched_off(command: click.Command) -> dict[str, str]:
    """Return the parameter name of each flag, keyed by the option that disables the flag (`no-progress`)."""
    return {
        option.removeprefix("--"): parameter.name or ""
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.secondary_opts
    }


def _all_commands() -> list[click.Command]:
    return [load_command(name) for name in COMMANDS]


def _all_options() -> set[str]:
    """Return the long option names of all commands. `[tool.padmask]` applies to all commands."""
    return {option for one in _all_commands() for option in (*_options(one), *_switched_off(one))}
