"""PyTorch modules run on packed rows. Recurrent layers that keep their state at a new sequence are named."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from raised import raises_error

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'padmask[torch]'")

import padmask  # noqa: E402
from padmask import SpecError  # noqa: E402
from padmask.verify import verify_model  # noqa: E402

RANDOM = np.random.default_rng(0)
PACKED = padmask.pack([RANDOM.integers(1, 50, size=size) for size in RANDOM.integers(1, 9, 24)], maxlen=16)


class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Embedding(50, 8)
        self.rnn = torch.nn.GRU(8, 8, batch_first=True)

    def forward(self, input_ids, attention_mask=None):
        return self.rnn(self.table(input_ids))[0]


class Reset(Recurrent):
    def forward(self, input_ids, cu_seqlens):
        x = self.table(input_ids)
        parts = [self.rnn(x[:, start:end])[0] for start, end in pairwise(cu_seqlens.tolist())]
        y = torch.cat(parts, dim=1)
        return torch.nn.functional.pad(y, (0, 0, 0, x.shape[1] - y.shape[1]))


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.places = torch.nn.Embedding(50, 8), torch.nn.Embedding(16, 8)

    def forward(self, input_ids, segment_ids, position_ids=None):
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1])
        x = self.table(input_ids) + self.places(position_ids)
        allowed = segment_ids[:, :, None] == segment_ids[:, None, :]
        y = torch.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=allowed)
        return {"logits": y, "past_key_values": None}


class NoCache(Attention):
    """Attention that separates the sequences only without a cache, like Hugging Face models."""

    def forward(self, input_ids, segment_ids, position_ids, use_cache=True):
        return super().forward(input_ids, segment_ids if not use_cache else 0 * segment_ids, position_ids)


class HalfPrecision(Attention):
    """Attention in bfloat16. Its rounding errors differ between a packed row and a sequence alone."""

    def forward(self, input_ids, segment_ids, position_ids):
        with torch.autocast("cpu", torch.bfloat16):
            x = self.table(input_ids) + self.places(position_ids)
            allowed = segment_ids[:, :, None] == segment_ids[:, None, :]
            scores = (x @ x.transpose(1, 2)).masked_fill(~allowed, -1e9)
            return scores.softmax(-1).bfloat16() @ x


class LongestSequence(Reset):
    def forward(self, input_ids, cu_seqlens, max_seqlen=None):
        lengths = cu_seqlens.diff()
        assert max_seqlen == int(lengths.max())
        return super().forward(input_ids, cu_seqlens)


class CountingPositions(Attention):
    def forward(self, input_ids, segment_ids):
        return super().forward(input_ids, segment_ids)


class Unknown(Attention):
    def forward(self, input_ids, age):
        return self.table(input_ids)


def subject_of(module):
    [subject] = verify_model(module, PACKED).subjects
    return subject


@pytest.mark.parametrize("module", [Reset, Attention, HalfPrecision, LongestSequence])
def test_right_modules(module):
    subject = subject_of(module())
    assert (subject.verdict, subject.control.verdict) == ("ignores", "fails")


def test_function_in_half_precision():
    module = HalfPrecision()

    def predict(ids, mask, segment_ids, position_ids):
        with torch.no_grad():
            return module(*map(torch.from_numpy, (ids, segment_ids, position_ids)))

    subject = subject_of(predict)
    assert subject.verdict == "ignores"


def test_exported_program():
    """A program that accepts its inputs by position, in batches of one row."""
    examples = tuple(torch.ones(1, 16, dtype=torch.long) for _ in range(3))
    axis = {1: torch.export.Dim("places", min=2, max=64)}
    program = torch.export.export(Attention(), examples, dynamic_shapes=(axis,) * 3).module()
    assert subject_of(program).verdict == "ignores"


def test_remark_on_the_cache():
    subject = subject_of(NoCache())
    assert subject.verdict == "ignores"
    assert subject.detail == "the module ran with use_cache=False"
    assert subject_of(Attention()).detail == ""


def test_recurrent_layer_is_named():
    subject = subject_of(Recurrent())
    assert subject.verdict == "leaks"
    assert "layers rnn " in subject.advice


class UnusedRecurrent(Recurrent):
    """Causal attention over the whole row, with a recurrent layer that never runs."""

    def forward(self, input_ids, attention_mask=None):
        x = self.table(input_ids)[:, None]
        return torch.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)[:, 0]


def test_unused_layer_is_not_named():
    subject = subject_of(UnusedRecurrent())
    assert subject.verdict == "leaks"
    assert "rnn" not in subject.advice


def test_positions_count_on():
    subject = subject_of(CountingPositions())
    assert subject.verdict == "leaks"
    assert "position_ids" in subject.advice


def test_mode_is_restored():
    module = Attention().train()
    subject_of(module)
    assert module.training


class Headless(Attention):
    """Computes from positions only."""

    def forward(self, position_ids):
        return self.places(position_ids)


def test_module_without_ids():
    with raises_error(SpecError, "position_ids", option="model_inputs"):
        subject_of(Headless())


def test_unknown_input():
    with raises_error(SpecError, "age", option="model_inputs"):
        subject_of(Unknown())
