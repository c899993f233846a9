"""The check of the GPU runs on the CPU, and finds a wrong result."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def checks(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent / "gpu")
    import check

    yield check
    for name in ("check", *(f"{framework}_cases" for framework in check.FRAMEWORKS)):
        sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_padding_changes_nothing(framework, checks):
    pytest.importorskip(framework)
    rows, devices = checks.check([framework])
    assert {row.case.padding for row in rows} == {"right", "left", "only padding"}
    assert not [row for row in rows if row.is_wrong], checks.render(rows, devices)


def test_wrong_results_are_found(checks):
    def row_of(found, **options):
        expected = np.array([1.0, 2.0])
        case = checks.Case("LSTM", "left", "float32", lambda: (np.array(found), expected), **options)
        return checks.measure("torch", case)

    assert row_of([1.0, 2.0]).verdict == "equal"
    assert row_of([1.0, 2.1]).is_wrong
    assert row_of([1.0, np.nan]).is_wrong
    assert not row_of([1.0, 2.1], supported=False).is_wrong
    assert row_of([1.0, 2.0, 3.0]).verdict.startswith("fails: ValueError")
    assert "| torch | LSTM | left | float32 | 5e-02 | differs |" in checks.render([row_of([1.0, 2.1])], {})


def test_padded_positions_are_large(checks):
    features, lengths = checks.draw_batch()
    padded, mask = checks.pad(features, lengths, "left")
    assert (padded[~mask] == 50).all()
    assert (padded[2, mask[2]] == features[2, :9]).all()
