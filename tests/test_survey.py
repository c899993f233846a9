"""The measurement of the survey finds deviations that padding causes, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from survey.measure import LEAK, Input, RunnableModel, measured_deviation


def deviation_of(predict, side):
    def draw_row(length, seed):
        values = np.random.default_rng(seed).normal(size=(1, length))
        return {"x": Input(values), "mask": Input(np.ones((1, length)))}

    return measured_deviation(RunnableModel(None, draw_row, predict, {}), side)


def masked_mean(batch):
    sums = (batch["x"] * batch["mask"]).sum(1, keepdims=True)
    return {"mean": sums / batch["mask"].sum(1, keepdims=True), "steps": batch["x"][..., None]}


def mean(batch):
    return {"mean": batch["x"].mean(1, keepdims=True)}


def positions(batch):
    return {"steps": batch["x"][..., None] + np.arange(batch["x"].shape[1])[None, :, None]}


def mean_of_batch(batch):
    return {"steps": (batch["x"] - batch["x"].mean())[..., None]}


def not_a_number(batch):
    return {"steps": np.where(batch["mask"].all(), batch["x"], np.nan)[..., None]}


@pytest.mark.parametrize("side", ["post", "pre"])
def test_no_deviation(side):
    assert deviation_of(masked_mean, side) < 1e-12


@pytest.mark.parametrize("side", ["post", "pre"])
@pytest.mark.parametrize("predict", [mean, mean_of_batch, not_a_number])
def test_leaks_have_deviations(predict, side):
    assert deviation_of(predict, side) > LEAK


def test_positions_and_side():
    assert deviation_of(positions, "post") == 0
    assert deviation_of(positions, "pre") > LEAK
