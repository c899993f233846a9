"""Colours of messages on a terminal, and in pipes."""

from __future__ import annotations

import pytest

from padmask.cli.colours import styled


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_errors_are_red():
    assert styled("Error:", "red") == "\x1b[31m\x1b[1mError:\x1b[0m"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_disabled(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert styled("Error:", "red") == "Error:"


@pytest.mark.parametrize("args", [["pad", "absent.jsonl"], ["pad", "--help"], ["--help"], ["pad", "--nope"]])
def test_pipes_have_no_colours(here, args):
    done = here(*args)
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stdout + done.stderr
