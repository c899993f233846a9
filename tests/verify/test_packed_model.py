"""Functions run on packed files of each dialect."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from raised import raises_error

import padmask
from padmask import SpecError
from padmask.spec.pack_presets import PACK_PRESETS
from padmask.spec.verify import ModelSpec
from padmask.verify.proof_spec import ModelProof
from padmask.verify.verify_file import verify_file

FUNCTIONS = """
import numpy as np

TABLE = np.random.default_rng(0).normal(size=(100, 8)).astype("float32")

def attend(ids, allowed, places):
    x = TABLE[ids] + np.sin(places)[..., None]
    scores = np.where(allowed, x @ x.swapaxes(1, 2), -1e9)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ x

def right(ids, mask, segment_ids, position_ids):
    return attend(ids, segment_ids[:, :, None] == segment_ids[:, None, :], position_ids)

def leaky(ids, mask, position_ids):
    return attend(ids, mask[:, None, :], position_ids)

def with_column(ids, mask, position_ids, sequence_id=None):
    if sequence_id is None:
        return leaky(ids, mask, position_ids)
    return right(ids, mask, sequence_id, position_ids)

def declared(ids, mask, groups, places):
    return right(ids, mask, groups, places)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "functions_of_packed_rows.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    random = np.random.default_rng(0)
    rows = [random.integers(1, 99, size=size).tolist() for size in random.integers(1, 9, size=30)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"input_ids": row}) + "\n" for row in rows))
    yield tmp_path
    sys.modules.pop("functions_of_packed_rows", None)


def pack(folder, dialect, name="packed.parquet"):
    spec, mask = padmask.pack_preset(dialect, maxlen=16)
    padmask.pack_file(folder / "in.jsonl", folder / name, spec=spec, mask=mask)
    return folder / name


def verify(path, function, **options):
    proof = ModelProof(spec=ModelSpec(), predict=f"functions_of_packed_rows:{function}", **options)
    return verify_file(path, proof=proof)


@pytest.mark.parametrize("dialect", sorted(PACK_PRESETS))
def test_model_reads_each_dialect(folder, dialect):
    report = verify(pack(folder, dialect), "right")
    assert (report.verdict, report.packed) == ("ignores", True)
    assert report.environment["sequences_checked"] == 30


def test_leak_in_packed_rows(folder):
    assert verify(pack(folder, "seqio"), "leaky").verdict == "leaks"


def test_json_lines(folder):
    path = pack(folder, "trl", "packed.jsonl")
    assert verify(path, "right").verdict == "ignores"


def test_default_needs_a_column(folder):
    assert verify(pack(folder, "llm-foundry"), "with_column").verdict == "ignores"
    assert verify(pack(folder, "hf"), "with_column").verdict == "leaks"


def test_kinds_of_inputs(folder):
    path = pack(folder, "hf")
    kinds = {"groups": "segments", "places": "positions"}
    assert verify(path, "declared", kinds=kinds).verdict == "ignores"
    with raises_error(SpecError, "groups", option="model_inputs"):
        verify(path, "declared")


def test_inputs_need_packed_rows(folder):
    with raises_error(SpecError, "groups", option="model_inputs"):
        verify(folder / "in.jsonl", "declared", kinds={"groups": "segments"})


def test_answer_of_packed_rows(folder):
    assert "other sequences or the padding in its row" in verify(pack(folder, "hf"), "right").answer
