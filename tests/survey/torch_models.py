"""Small PyTorch modules, some with faults that are common in practice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from measure import Build, RunnableModel
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch_runs import runnable

PACKAGES = ("torch",)

SIZE = 16


class _Embedded(nn.Module):
    """A module that embeds tokens, applies one layer, and computes three numbers from each vector."""

    def __init__(self, layer: nn.Module, size: int = SIZE) -> None:
        super().__init__()
        self.embed, self.layer, self.out = nn.Embedding(50, SIZE), layer, nn.Linear(size, 3)


def _masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


class LastState(_Embedded):
    def forward(self, input_ids: Tensor) -> Tensor:
        _, (state, _) = self.layer(self.embed(input_ids))
        return self.out(state[-1])


class LastPosition(_Embedded):
    def forward(self, input_ids: Tensor) -> Tensor:
        return self.out(self.layer(self.embed(input_ids))[0][:, -1])


class LastToken(_Embedded):
    def forward(self, input_ids: Tensor, lengths: Tensor) -> Tensor:
        steps, _ = self.layer(self.embed(input_ids))
        return self.out(steps[torch.arange(len(steps)), lengths - 1])


class RecurrentMean(_Embedded):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.out(_masked_mean(self.layer(self.embed(input_ids))[0], attention_mask))


class Packed(_Embedded):
    def forward(self, input_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        packed = pack_padded_sequence(self.embed(input_ids), lengths, batch_first=True, enforce_sorted=False)
        steps, (state, _) = self.layer(packed)
        tokens, _ = pad_packed_sequence(steps, batch_first=True)
        return {"tokens": self.out(tokens), "state": self.out(torch.cat([state[0], state[1]], -1))}


class Encoder(_Embedded):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.out(self.layer(self.embed(input_ids), src_key_padding_mask=attention_mask == 0))


class EncoderWithoutMask(_Embedded):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.out(self.layer(self.embed(input_ids)))


class EncoderMean(Encoder):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return super().forward(input_ids, attention_mask).mean(dim=1)


class EncoderWithPositions(Encoder):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__(layer)
        self.position_embed = nn.Embedding(600, SIZE)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.embed(input_ids) + self.position_embed(torch.arange(input_ids.shape[1]))
        return self.out(self.layer(x, src_key_padding_mask=attention_mask == 0))


class Attention(_Embedded):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.embed(input_ids)
        return self.out(x + self.layer(x, x, x, key_padding_mask=attention_mask == 0)[0])


class OwnAttention(_Embedded):
    """Attention written by hand. The last axis of the scores has the keys, so the mask belongs there."""

    keys_last = True

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.embed(input_ids)
        mask = attention_mask[:, None, :] if self.keys_last else attention_mask[:, :, None]
        scores = self.layer(x) @ x.transpose(1, 2) / 4 + (1 - mask.float()) * -1e9
        return self.out(scores.softmax(-1) @ x)


class OwnAttentionOnQueries(OwnAttention):
    keys_last = False


class TimeLastMean(_Embedded):
    """A module with the time on the last axis, and a masked mean of its outputs."""

    zeros = False

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.embed(input_ids)
        x = x * attention_mask[..., None] if self.zeros else x
        return self.out(_masked_mean(self.layer(x.transpose(1, 2)).transpose(1, 2), attention_mask))


class TimeLastMeanOfZeros(TimeLastMean):
    zeros = True


class Fourier(_Embedded):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.embed(input_ids) * attention_mask[..., None]
        return self.out(self.layer(torch.fft.fft2(x).real))


class AttentionPooling(_Embedded):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.embed(input_ids)
        return self.out((self.scores(x, attention_mask).softmax(dim=1) * x).sum(1))

    def scores(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        return self.layer(x)


class MaskedAttentionPooling(AttentionPooling):
    def scores(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        return self.layer(x).masked_fill(attention_mask[..., None] == 0, -torch.inf)


def _encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(SIZE, 4, 32, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def _lstm(bidirectional: bool = False) -> nn.Module:
    return nn.LSTM(SIZE, SIZE, batch_first=True, bidirectional=bidirectional)


def _gru() -> nn.Module:
    return nn.GRU(SIZE, SIZE, batch_first=True)


def _conv() -> nn.Module:
    return nn.Conv1d(SIZE, SIZE, 3, padding=1)


_MODULES: dict[str, Callable[[], nn.Module]] = {
    "LSTM, last state": lambda: LastState(_lstm()),
    "LSTM, packed sequence": lambda: Packed(_lstm(bidirectional=True), 2 * SIZE),
    "LSTM, both directions, masked mean": lambda: RecurrentMean(_lstm(bidirectional=True), 2 * SIZE),
    "GRU, last position": lambda: LastPosition(_gru()),
    "GRU, last token": lambda: LastToken(_gru()),
    "GRU, masked mean": lambda: RecurrentMean(_gru()),
    "TransformerEncoder": lambda: Encoder(_encoder()),
    "TransformerEncoder, learned positions": lambda: EncoderWithPositions(_encoder()),
    "TransformerEncoder, mean of all positions": lambda: EncoderMean(_encoder()),
    "TransformerEncoder without a mask": lambda: EncoderWithoutMask(_encoder()),
    "MultiheadAttention": lambda: Attention(nn.MultiheadAttention(SIZE, 4, batch_first=True)),
    "attention by hand, mask on the keys": lambda: OwnAttention(nn.Linear(SIZE, SIZE)),
    "attention by hand, mask on the queries": lambda: OwnAttentionOnQueries(nn.Linear(SIZE, SIZE)),
    "attention pooling": lambda: AttentionPooling(nn.Linear(SIZE, 1)),
    "attention pooling, masked": lambda: MaskedAttentionPooling(nn.Linear(SIZE, 1)),
    "Conv1d, masked mean": lambda: TimeLastMean(_conv()),
    "Conv1d, zeros at padding, masked mean": lambda: TimeLastMeanOfZeros(_conv()),
    "BatchNorm1d, stored statistics": lambda: TimeLastMean(nn.BatchNorm1d(SIZE)),
    "BatchNorm1d, statistics of the batch": lambda: TimeLastMean(
        nn.BatchNorm1d(SIZE, track_running_stats=False)
    ),
    "GroupNorm": lambda: TimeLastMean(nn.GroupNorm(4, SIZE)),
    "InstanceNorm1d": lambda: TimeLastMean(nn.InstanceNorm1d(SIZE)),
    "Fourier transform": lambda: Fourier(nn.Linear(SIZE, SIZE)),
}


def _build(make: Callable[[], nn.Module]) -> Build:
    def build(seed: int = 0) -> RunnableModel:
        torch.manual_seed(seed)
        return runnable(make(), seed=seed)

    return build


MODELS = {name: _build(make) for name, make in _MODULES.items()}
