"""The recipes in docs/batches.md yield the batches that `pad --batch-tokens` wrote."""

from __future__ import annotations

import json
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recipes import run_recipes

from padmask import BatchSpec, PadSpec, pad_file

DOCUMENT = Path(__file__).parent.parent / "docs" / "batches.md"
TOKENS = 48
COLUMNS = ("input_ids", "attention_mask", "labels")

pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason="the document is not part of this installation")
with_keras = pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of batches that padmask made from the rows of a tokenizer."""
    rows = [[i + 1] * (i * 5 % 11 + 1) for i in range(60)]
    return write_batches(
        tmp_path,
        [{"input_ids": row, "attention_mask": [1] * len(row), "labels": row} for row in rows],
    )


def write_batches(folder: Path, rows: list[dict[str, Any]]) -> Path:
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = folder / "batches.arrow"
    pad_file(folder / "in.jsonl", output, spec=PadSpec(batches=BatchSpec(tokens=TOKENS, multiple=2)))
    return output


def check(batches: list[dict[str, Any]]) -> None:
    """Check that the batches have all rows, within the budget, with their masks and labels."""
    seen = []
    for batch in batches:
        ids, mask, labels = (np.asarray(batch[name]) for name in COLUMNS)
        assert ids.shape == mask.shape == labels.shape
        assert ids.size <= TOKENS
        assert (mask == (ids > 0)).all()
        assert (labels == np.where(mask, ids, -100)).all()
        assert mask.any(axis=0).all(), "the longest row has no padding"
        seen += ids[:, 0].tolist()
    assert sorted(seen) == list(range(1, 61))


def test_reader_recipe(path):
    batches = run_recipes(DOCUMENT, "reader")["Batches"](path, COLUMNS)
    check([batches[i] for i in range(len(batches))])


def test_reader_in_a_worker(path, monkeypatch):
    """The reader is sent to a worker as a path."""
    known = run_recipes(DOCUMENT, "reader")
    known["Batches"].__module__ = __name__
    monkeypatch.setitem(globals(), "Batches", known["Batches"])
    batches = known["Batches"](path, ["input_ids"])
    sent = pickle.dumps(batches)
    assert len(sent) < 1000
    assert (pickle.loads(sent)[3]["input_ids"] == batches[3]["input_ids"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_torch_recipe(path, workers):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    loader = run_recipes(DOCUMENT, "reader", "torch")["make_loader"](path, workers=workers)
    batches = list(loader)
    assert all(isinstance(batch["input_ids"], torch.Tensor) for batch in batches)
    check(batches)


@pytest.mark.slow
def test_torch_without_labels(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path = write_batches(tmp_path, [{"input_ids": [n] * n} for n in range(1, 9)])
    loader = run_recipes(DOCUMENT, "reader", "torch")["make_loader"](path, ["input_ids", "mask"])
    batches = list(loader)
    assert all((batch["mask"] == (batch["input_ids"] > 0)).all() for batch in batches)
    assert sum(len(batch["mask"]) for batch in batches) == 8


@pytest.mark.slow
@pytest.mark.tf
@with_keras
def test_tensorflow_recipe(path):
    dataset = run_recipes(DOCUMENT, "reader", "tensorflow")["make_dataset"](path, seed=1)
    check(list(dataset.as_numpy_iterator()))


@pytest.mark.slow
@pytest.mark.tf
@with_keras
def test_keras_recipe_trains(path):
    known = run_recipes(DOCUMENT, "reader", "keras")
    keras, data = known["keras"], known["TrainingBatches"](path)
    rows = 0
    for i in range(len(data)):
        ids, labels, weights = data[i]
        assert (labels == ids).all()
        assert (weights == (ids > 0)).all()
        rows += len(ids)
    assert rows == 60
    model = keras.Sequential([keras.layers.Embedding(64, 4, mask_zero=True), keras.layers.Dense(64)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss)
    history = model.fit(data, epochs=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]
