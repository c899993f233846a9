"""The cost of batches that inspect shows, and its advice for rows in batches."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from padmask import BatchSpec, FileOptions, PadSpec, inspect_file, pad_dataset, pad_file
from padmask.core.length_stats import LengthStats
from padmask.inspect.batches import batches_cost
from padmask.inspect.costs import CostBasis
from padmask.stream.ledger import PadResult

LENGTHS = [n for i in range(200) for n in (i % 40 + 1, 5, 300 - i)]


@pytest.mark.parametrize("multiple", [None, 8])
def test_cost_is_that_of_pad(tmp_path, multiple):
    random.Random(1).shuffle(LENGTHS)
    (tmp_path / "in.jsonl").write_text("".join(f'{{"input_ids": {[7] * n}}}\n' for n in LENGTHS))
    spec = PadSpec(batches=BatchSpec(tokens=8192), pad_to_multiple_of=multiple)
    ledger = pad_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", spec=spec).ledger
    cost = batches_cost(CostBasis(LengthStats.of(LENGTHS), multiple=multiple))
    assert (cost.name, cost.places, cost.tokens) == ("batches-8192", ledger.places, ledger.tokens_kept)


def test_many_rows_count_as_several_windows():
    one = batches_cost(CostBasis(LengthStats({10: 50_000, 90: 50_000})))
    ten = batches_cost(CostBasis(LengthStats({10: 500_000, 90: 500_000})))
    assert ten.places == 10 * one.places


def test_budget_holds_the_longest_row():
    assert batches_cost(CostBasis(LengthStats({8193: 1}))).name == "batches-16384"


def test_advice_unpads_batches(tmp_path):
    (tmp_path / "in.jsonl").write_text("".join(f'{{"input_ids": {[7] * n}}}\n' for n in LENGTHS * 4))
    advice = inspect_file([str(tmp_path / "in.jsonl")]).advice
    [batches] = [other for other in advice.alternatives if other.command.endswith("--batch-tokens 8192")]
    assert "8,192 positions" in batches.text
    pad_file(tmp_path / "in.jsonl", tmp_path / "out.parquet", spec=PadSpec(batches=BatchSpec(tokens=8192)))
    advice = inspect_file([str(tmp_path / "out.parquet")]).advice
    assert advice.plan is None
    assert advice.command.startswith("padmask unpad")


def pad_to_buckets(folder: Path, suffix: str) -> PadResult:
    (folder / "in.jsonl").write_text("".join(f'{{"input_ids": {[7] * n}}}\n' for n in LENGTHS))
    files = FileOptions(output_format=suffix)
    return pad_dataset([str(folder / "in.jsonl")], f"{folder}/out", spec=PadSpec(buckets=4), files=files)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_advice_on_buckets(tmp_path, suffix):
    """The advice for rows in buckets is to restore them before they are padded in another way."""
    result = pad_to_buckets(tmp_path, suffix)
    advice = inspect_file([f"{tmp_path}/out"]).advice
    assert (advice.plan, advice.details) == (None, ())
    assert advice.command.startswith("padmask unpad")
    assert "buckets" in advice.text
    assert f"{result.ledger.padding_share:.1%}" in advice.text


def test_advice_on_one_bucket(tmp_path):
    pad_to_buckets(tmp_path, "parquet")
    file = next(tmp_path.glob("out/*/*")).rename(tmp_path / "one.parquet")
    assert "buckets" in inspect_file([str(file)]).advice.text
