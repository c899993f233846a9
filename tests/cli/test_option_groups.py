"""The help of each command has its options in groups."""

from __future__ import annotations

import click
import pytest

from padmask.cli import COMMANDS, cli, run
from padmask.cli.option_groups import EXCEPTIONS, GROUPS


def option_names(command: str) -> set[str]:
    parameters = cli.get_command(click.Context(cli), command).params
    return {one.name for one in parameters if isinstance(one, click.Option)}


def test_each_option_is_in_one_group():
    listed = [name for names in GROUPS.values() for name in names]
    assert len(listed) == len(set(listed))
    assert set(listed) == set().union(*map(option_names, COMMANDS))


def test_exceptions_name_options():
    for command, exceptions in EXCEPTIONS.items():
        assert exceptions.keys() <= option_names(command)
        assert set(exceptions.values()) <= set(GROUPS)


@pytest.mark.parametrize("columns", [60, 73, 80, 100, 200])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_the_terminal(command, columns, monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run([command, "--help"]) == 0
    lines = capfd.readouterr().out.splitlines()
    # Headings are at the start of a line.
    assert {"Input:", "Display:"} <= set(lines)
    assert max(map(len, lines)) <= min(columns, 100)
