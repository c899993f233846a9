"""The printed report of `verify`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from padmask.render.console import make_console
from padmask.render.report import show_report
from padmask.verify.proof.tolerance import Check
from padmask.verify.report import Report, SubjectReport

HOLDS = SubjectReport("embedding", "ignores", [Check("row-alone", "holds", 1e-8, 1e-5)])
RUN = {"device": "cpu", "backend": "tensorflow", "backend_version": "2.21.0"}
SOUND = Report((), [HOLDS, replace(HOLDS, name="functional")], RUN, references=True)


def shown(report: Report, capsys: pytest.CaptureFixture[str], *, verbose: bool = False) -> list[str]:
    show_report(report, make_console(), verbose=verbose)
    return capsys.readouterr().out.splitlines()


def test_sound_references_are_one_line(capsys):
    lines = shown(SOUND, capsys)
    assert lines[-1] == "Models: 2 reference models ignore padding on cpu, tensorflow 2.21.0"
    assert not any("functional" in line for line in lines)


def test_verbose_shows_each_model(capsys):
    assert [line for line in shown(SOUND, capsys, verbose=True) if line.strip().startswith("functional")]


@pytest.mark.parametrize(
    "report",
    [replace(SOUND, references=False), replace(SOUND, subjects=[HOLDS, replace(HOLDS, verdict="leaks")])],
    ids=["own-model", "leak"],
)
def test_other_results_are_tables(report, capsys):
    assert [line for line in shown(report, capsys) if line.strip().startswith("embedding")]
