"""The recipes in docs/packing.md: packed sequences have the outputs and the loss of single sequences."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recipes import run_recipes

import padmask

DOCUMENT = Path(__file__).parent.parent / "docs" / "packing.md"
ROWS = [[5, 3, 8], [2, 7], [4, 4, 6, 1, 3], [9], [1, 2, 3, 4, 5, 6], [8, 8]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DOCUMENT.exists(), reason="the document is not part of this installation"),
]


@pytest.fixture
def keras_recipe() -> tuple[dict[str, Any], Any]:
    """The names that the recipe defines, and a model with random weights."""
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    known = run_recipes(DOCUMENT, "keras", "proof")
    keras.utils.set_random_seed(1)
    return known, known["make_model"](10, 8)


def test_keras_outputs(keras_recipe):
    known, model = keras_recipe
    packed = padmask.pack(ROWS, maxlen=8)
    assert max(len(lengths) for lengths in packed.seq_lengths) > 1
    assert known["largest_difference"](model, ROWS, 8) < 1e-5


@pytest.mark.parametrize("broken", ["mask", "positions"])
def test_naive_concatenation_fails(keras_recipe, broken):
    known, model = keras_recipe
    packed = padmask.pack(ROWS, maxlen=8)
    right = known["inputs_of"](packed)
    naive = list(right)
    if broken == "mask":
        naive[2] = np.broadcast_to(np.tri(8, dtype=bool), right[2].shape)
    else:
        naive[1] = np.broadcast_to(np.arange(8, dtype=np.int32), right[1].shape)
    real = packed.mask
    difference = np.abs(np.asarray(model(naive)) - np.asarray(model(right)))[real].max()
    assert difference > 0.1


def test_keras_next_sequence(keras_recipe):
    """A change of a sequence changes no output of the other sequences in its row."""
    known, model = keras_recipe
    packed = padmask.pack([[1, 2, 3], [4, 5]], maxlen=8)
    inputs = known["inputs_of"](packed)
    changed = [inputs[0].copy(), *inputs[1:]]
    changed[0][0, 0] = 9
    difference = np.abs(np.asarray(model(changed)) - np.asarray(model(inputs)))[0]
    assert difference[3:].max() == 0
    assert difference[:3].max() > 0


def write_packed(folder: Path, dialect: str) -> Path:
    """Pack rows of tokens and labels for a trainer."""
    spec, mask = padmask.pack_preset(dialect, maxlen=8)
    table = pa.table({"input_ids": ROWS, "labels": ROWS})
    pq.write_table(padmask.pack_table(table, spec=spec, mask=mask), folder / "packed.parquet")
    return folder / "packed.parquet"


@pytest.fixture
def llama() -> Any:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    transformers = pytest.importorskip("transformers", reason="Transformers is not installed")
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=10, **sizes)).eval()


def loss_alone(model: Any) -> float:
    """Return the mean loss over the tokens of single rows."""
    import torch

    losses = [
        (float(model(input_ids=ids, labels=ids, use_cache=False).loss), ids.shape[1] - 1)
        for ids in (torch.tensor([row]) for row in ROWS if len(row) > 1)
    ]
    return sum(loss * count for loss, count in losses) / sum(count for _, count in losses)


@pytest.mark.filterwarnings("ignore")
def test_hf_loss(tmp_path, llama):
    known = run_recipes(DOCUMENT, "hf")
    table = pq.read_table(write_packed(tmp_path, "hf"))
    batch = known["read_batch"](table, list(range(table.num_rows)))
    assert float(known["loss_of"](llama, batch)) == pytest.approx(loss_alone(llama), abs=1e-5)
    naive = float(llama(input_ids=batch["input_ids"], labels=batch["labels"]).loss)
    assert abs(naive - loss_alone(llama)) > 1e-4


def make_tokenizer() -> Any:
    """Return a tokenizer. The rows have ids, so the trainer uses only its special tokens."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("trl") is None, reason="TRL is not installed")
def test_trl_loss(tmp_path, llama):
    known = run_recipes(DOCUMENT, "trl")
    path = write_packed(tmp_path, "trl")
    options = {"per_device_train_batch_size": 8, "report_to": "none", "use_cpu": True}
    trainer = known["make_trainer"](llama, make_tokenizer(), path, tmp_path, **options)
    [batch] = trainer.get_train_dataloader()
    assert float(trainer.compute_loss(llama, batch)) == pytest.approx(loss_alone(llama), abs=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("trl") is None, reason="TRL is not installed")
def test_trl_prompts(tmp_path, llama):
    """Labels that `pack` wrote keep prompts out of the loss. TRL ignores the `completion_mask` by default."""
    spec, mask = padmask.pack_preset("trl", maxlen=8)
    table = pa.table({"input_ids": [[5, 6, 7, 8]], "completion_mask": [[0, 0, 1, 1]]})
    packed = padmask.pack_table(table, spec=spec, mask=replace(mask, labels_from="input_ids"))
    pq.write_table(packed, tmp_path / "packed.parquet")
    known = run_recipes(DOCUMENT, "trl")
    options = {"report_to": "none", "use_cpu": True}
    trainer = known["make_trainer"](llama, make_tokenizer(), tmp_path / "packed.parquet", tmp_path, **options)
    [batch] = trainer.get_train_dataloader()
    assert batch["labels"].tolist() == [[-100, -100, 7, 8]]
