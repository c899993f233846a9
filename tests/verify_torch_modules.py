"""Small PyTorch modules that ignore padding or leak."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'padmask[torch]'")

from torch import nn  # noqa: E402
from torch.nn.functional import relu  # noqa: E402
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

VOCAB, DIM = 20, 8


class EmbeddingOnly(nn.Module):
    """One embedding. Its weights are the same in each test."""

    def __init__(self, padding_idx: int | None = None) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.table = nn.Embedding(VOCAB, DIM, padding_idx=padding_idx)

    def forward(self, input_ids):
        return self.table(input_ids)


class NestedRows(EmbeddingOnly):
    """A nested tensor has no padding, unless the module pads it."""

    def __init__(self, padded: bool = False) -> None:
        super().__init__()
        self.padded = padded

    def forward(self, input_ids, attention_mask):
        steps = self.table(input_ids)
        rows = [row[: int(mask.sum())] for row, mask in zip(steps, attention_mask, strict=True)]
        nested = torch.nested.nested_tensor(rows, layout=torch.jagged)
        return nested if not self.padded else torch.nested.to_padded_tensor(nested, 0.0).mean(dim=1)


class PackedRnn(EmbeddingOnly):
    """A bidirectional GRU on a `PackedSequence`, or on padded rows."""

    def __init__(self, *, packed: bool = True, enforce_sorted: bool = False) -> None:
        super().__init__()
        self.packed, self.enforce_sorted = packed, enforce_sorted
        self.gru = nn.GRU(DIM, 4, batch_first=True, bidirectional=True)

    def forward(self, input_ids, lengths):
        steps = self.table(input_ids)
        if not self.packed:
            return self.gru(steps)[0]
        packed = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=self.enforce_sorted)
        return pad_packed_sequence(self.gru(packed)[0], batch_first=True)[0]


class Encoder(EmbeddingOnly):
    """A layer of a Transformer encoder, with or without the mask."""

    def __init__(self, *, masked: bool = True) -> None:
        super().__init__()
        self.masked = masked
        self.layer = nn.TransformerEncoderLayer(DIM, 2, 16, batch_first=True)

    def forward(self, input_ids, src_key_padding_mask):
        mask = src_key_padding_mask if self.masked else None
        return self.layer(self.table(input_ids), src_key_padding_mask=mask)


class CacheDropsMask(EmbeddingOnly):
    """Attention that uses its mask only if it returns no cache, like FSMT of Hugging Face.

    The module stores the default of the parameter `use_cache`, as in Hugging Face models.
    """

    def __init__(self, *, use_cache: bool = True) -> None:
        super().__init__()
        self.use_cache = use_cache

    def forward(self, input_ids, attention_mask=None, use_cache=None):
        steps = self.table(input_ids)
        scores = steps @ steps.transpose(1, 2)
        if not (self.use_cache if use_cache is None else use_cache):
            scores = scores.masked_fill(attention_mask[:, None] == 0, -torch.inf)
        return scores.softmax(-1) @ steps


class FeatureSum(nn.Module):
    """A masked or a plain sum over float features."""

    def __init__(self, *, masked: bool = True) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.masked = masked
        self.dense = nn.Linear(5, 3)

    def forward(self, x, mask):
        steps = self.dense(x)
        return (steps * mask.unsqueeze(-1)).sum(dim=1) if self.masked else steps.sum(dim=1)


class MaskOnQueries(EmbeddingOnly):
    """Attention whose mask is on the axis of the queries."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)

    def forward(self, input_ids, attention_mask):
        steps = self.table(input_ids)
        scores = self.query(steps) @ self.key(steps).transpose(1, 2)
        scores = scores + (1.0 - attention_mask[:, :, None]) * -1e9
        return scores.softmax(dim=-1) @ steps


class ConvolutionMean(EmbeddingOnly):
    """A convolution and a mean over all positions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(DIM, 4, 3, padding=1)

    def forward(self, input_ids):
        return relu(self.conv(self.table(input_ids).transpose(1, 2))).mean(dim=-1)


class LastPlace(EmbeddingOnly):
    """A GRU of which only the output at the last position is used."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(DIM, 4, batch_first=True)

    def forward(self, input_ids):
        return self.gru(self.table(input_ids))[0][:, -1]


class PadValueMask(EmbeddingOnly):
    """A maximum over the positions whose id is not the pad value."""

    def __init__(self, padding_idx: int = 0) -> None:
        super().__init__(padding_idx)

    def forward(self, input_ids):
        is_pad = (input_ids == self.table.padding_idx).unsqueeze(-1)
        return self.table(input_ids).masked_fill(is_pad, -1e9).amax(dim=1)


class BatchStatistics(EmbeddingOnly):
    """A batch normalisation that uses the statistics of the batch in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(DIM, track_running_stats=False)

    def forward(self, input_ids):
        return self.norm(self.table(input_ids).transpose(1, 2)).transpose(1, 2)


class FixedLength(EmbeddingOnly):
    """A dense layer over all positions, which requires 12 positions."""

    def __init__(self, *, masked: bool = True) -> None:
        super().__init__()
        self.masked = masked
        self.dense = nn.Linear(12 * DIM, 3)

    def forward(self, input_ids, attention_mask):
        steps = self.table(input_ids)
        if self.masked:
            steps = steps * attention_mask.unsqueeze(-1)
        return self.dense(steps.flatten(1))


class RightPositions(EmbeddingOnly):
    """Attention with learned position embeddings, which count from the first position by default."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Embedding(600, DIM)
        self.attention = nn.MultiheadAttention(DIM, 2, batch_first=True)

    def forward(self, input_ids, attention_mask, position_ids=None):
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1])
        steps = self.table(input_ids) + self.places(position_ids)
        padding = attention_mask == 0
        return self.attention(steps, steps, steps, key_padding_mask=padding, need_weights=False)[0]


class SoftmaxPooling(EmbeddingOnly):
    """A sum that is weighted by a softmax over all positions."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(DIM, 1)

    def forward(self, input_ids, attention_mask):
        steps = self.table(input_ids)
        return (self.score(steps).softmax(dim=1) * steps).sum(dim=1)


class FourierMix(EmbeddingOnly):
    """A Fourier transform over time and features."""

    def forward(self, input_ids):
        return torch.fft.fft2(self.table(input_ids)).real


class Nested(nn.Module):
    """A module around another module."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, input_ids):
        return self.inner(input_ids)


class PaddingMask(EmbeddingOnly):
    """Attention whose argument `mask` is True at padding."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(DIM, 2, batch_first=True)

    def forward(self, input_ids, mask):
        steps = self.table(input_ids)
        return self.attention(steps, steps, steps, key_padding_mask=mask, need_weights=False)[0]


class PaddingMaskMean(PaddingMask):
    """Attention whose argument `mask` is True at padding, and a mean over all positions."""

    def forward(self, input_ids, mask):
        return super().forward(input_ids, mask).mean(dim=1)


class PaddingMaskEncoder(PaddingMask):
    """An encoder that fails if `padding_mask` marks whole rows as padding."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(DIM, 2, 16, batch_first=True), 1)

    def forward(self, input_ids, padding_mask):
        return self.encoder(self.table(input_ids), src_key_padding_mask=padding_mask)


class GatedSteps(EmbeddingOnly):
    """Masked steps, with a gate that is computed from a mean over all positions."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(DIM, DIM, bias=False)

    def forward(self, input_ids, mask):
        steps = self.table(input_ids) * mask.unsqueeze(-1)
        return self.dense(steps * steps.mean(dim=1, keepdim=True))


class StridedPacked(nn.Module):
    """A convolution with a stride and a GRU on a `PackedSequence`, as in speech recognition.

    The number of output steps depends on the longest row of the batch, not on the padded length.
    """

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.conv = nn.Conv1d(5, 4, 3, stride=2, padding=1)
        self.gru = nn.GRU(4, 4, batch_first=True, bidirectional=True)

    def forward(self, x, lengths):
        steps = self.conv(x.transpose(1, 2)).transpose(1, 2)
        packed = pack_padded_sequence(steps, (lengths - 1) // 2 + 1, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.gru(packed)[0], batch_first=True)[0]


class NamedLength(EmbeddingOnly):
    """A masked or plain sum of rows of a fixed length. Only an error of the module states this length."""

    def __init__(self, *, masked: bool = True) -> None:
        super().__init__()
        self.masked = masked

    def forward(self, input_ids, attention_mask):
        if input_ids.shape[1] != 90:
            raise ValueError(f"expected rows of length 90, found {input_ids.shape[1]}")
        steps = self.table(input_ids)
        return (steps * attention_mask.unsqueeze(-1) if self.masked else steps).sum(dim=1)


class SpeechDecoder(EmbeddingOnly):
    """A sum of encoded features, which may be None, is added to the embedded ids of a decoder."""

    def __init__(self, *, masked: bool = True) -> None:
        super().__init__()
        self.masked = masked
        self.encoder = nn.Linear(5, DIM)

    def forward(self, input_features=None, attention_mask=None, decoder_input_ids=None):
        steps = self.encoder(input_features)
        if self.masked:
            steps = steps * attention_mask.unsqueeze(-1)
        return self.table(decoder_input_ids) + steps.sum(dim=1, keepdim=True)


class Reversed(EmbeddingOnly):
    """All positions in reverse order, selected by their indices."""

    def forward(self, input_ids):
        return self.table(input_ids)[:, torch.arange(input_ids.shape[1] - 1, -1, -1)]


class TokensAndVector(EmbeddingOnly):
    """The last real step of a GRU, and a vector of three numbers for each row."""

    def __init__(self, *, last_place: bool = False) -> None:
        super().__init__()
        self.last_place = last_place
        self.gru = nn.GRU(DIM, 4, batch_first=True)
        self.dense, self.out = nn.Linear(3, 4), nn.Linear(8, 2)

    def forward(self, input_ids, lengths, features):
        steps, _ = self.gru(self.table(input_ids))
        last = steps[:, -1] if self.last_place else steps[torch.arange(len(steps)), lengths - 1]
        return self.out(torch.cat([last, self.dense(features)], dim=-1))


class Characters(EmbeddingOnly):
    """A GRU over words, with the mean of the embedded characters of each word."""

    def __init__(self, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.characters = nn.Embedding(VOCAB, 5)
        self.gru = nn.GRU(DIM + 5, 4, batch_first=True, bidirectional=bidirectional)

    def forward(self, words, characters):
        rows, places, size = characters.shape
        means = self.characters(characters.view(rows * places, size)).mean(dim=1)
        return self.gru(torch.cat([self.table(words), means.view(rows, places, -1)], dim=-1))[0]


class MeanForMultipleChoice(EmbeddingOnly):
    """A score of each choice, from ids of shape (rows, choices, time), like the models of Hugging Face."""

    def __init__(self, *, masked: bool = True) -> None:
        super().__init__()
        self.masked, self.score = masked, nn.Linear(DIM, 1)

    def forward(self, input_ids, attention_mask):
        choices, places = input_ids.shape[1:]
        ids = input_ids.view(-1, places)
        mask = attention_mask.view(-1, places, 1) if self.masked else torch.ones_like(ids).unsqueeze(-1)
        means = (self.table(ids) * mask).sum(1) / mask.sum(1)
        return {"logits": self.score(means).view(-1, choices)}


class EndOfRow(EmbeddingOnly):
    """The state of the end token, like `BartForSequenceClassification`. Each row must have one end token."""

    END = 2

    def __init__(self, *, masked: bool = True) -> None:
        super().__init__()
        self.masked = masked

    def forward(self, input_ids, attention_mask):
        ends = input_ids == self.END
        if (ends.sum(1) != 1).any():
            raise ValueError("All examples must have the same number of <eos> tokens.")
        mask = attention_mask.unsqueeze(-1) if self.masked else torch.ones_like(input_ids).unsqueeze(-1)
        steps = self.table(input_ids)
        return {"logits": steps[ends] + (steps * mask).sum(1) / mask.sum(1)}


class TwoStreams(EmbeddingOnly):
    """Two outputs: one value for each position, and two values, in two blocks of positions or side by side.

    Args:
        leak: output that contains the mean of the padded row instead of the mean of its tokens.
        in_blocks: whether the second output has two blocks of positions, like the streams of ProphetNet.
    """

    def __init__(self, *, leak: str = "", in_blocks: bool = True) -> None:
        super().__init__()
        self.leak, self.in_blocks = leak, in_blocks

    def forward(self, input_ids, attention_mask):
        steps, mask = self.table(input_ids), attention_mask.unsqueeze(-1)
        right = (steps * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        means = {name: steps.mean(1, keepdim=True) if name == self.leak else right for name in ("one", "two")}
        pair = [2 * steps, steps - means["two"]]
        two = torch.cat(pair, dim=1) if self.in_blocks else torch.stack(pair, dim=2).flatten(1, 2)
        return {"one": steps + means["one"], "two": two}


class TimeFirst(EmbeddingOnly):
    """A GRU for ids of shape (time, rows). Ids of shape (rows, time) give wrong outputs, but no error."""

    def __init__(self, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.gru = nn.GRU(DIM, 4, bidirectional=bidirectional)

    def forward(self, input_ids):
        return self.gru(self.table(input_ids))[0]


class TimeFirstState(TimeFirst):
    """A GRU that reads ids of shape (time, rows), and returns its last state."""

    def forward(self, input_ids):
        return self.gru(self.table(input_ids))[1][0]


class TimeFirstPacked(TimeFirst):
    """A bidirectional GRU on a `PackedSequence` of ids of shape (time, rows)."""

    def __init__(self) -> None:
        super().__init__(bidirectional=True)

    def forward(self, input_ids, lengths):
        packed = pack_padded_sequence(self.table(input_ids), lengths.cpu(), enforce_sorted=False)
        return torch.cat(list(self.gru(packed)[1]), dim=-1)


class RowsFirst(TimeFirst):
    """A bidirectional GRU with the time on the first axis, for ids of shape (rows, time)."""

    def __init__(self) -> None:
        super().__init__(bidirectional=True)

    def forward(self, input_ids):
        return self.gru(self.table(input_ids).transpose(0, 1))[0].transpose(0, 1)


class Rotary(EmbeddingOnly):
    """Attention with rotary positions, which count from the first position."""

    def __init__(self, *, mean: bool = False) -> None:
        super().__init__()
        self.mean = mean
        self.query, self.key = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)

    def forward(self, input_ids, attention_mask):
        steps = self.table(input_ids)
        places = torch.arange(input_ids.shape[1], dtype=steps.dtype)
        angles = places[:, None] * torch.tensor([1.0, 0.3, 0.1, 0.03], dtype=steps.dtype)
        cosines, sines = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)

        def rotate(x):
            half = torch.cat([-x[..., DIM // 2 :], x[..., : DIM // 2]], dim=-1)
            return x * cosines + half * sines

        scores = rotate(self.query(steps)) @ rotate(self.key(steps)).transpose(1, 2)
        scores = scores.masked_fill(attention_mask[:, None, :] == 0, -1e9)
        outputs = scores.softmax(dim=-1) @ steps
        return outputs.mean(dim=1) if self.mean else outputs


class TableInCode(EmbeddingOnly):
    """Position embeddings that the module's own code reads from a table, after a branch for padding."""

    def __init__(self) -> None:
        super().__init__()
        self.sines = nn.Parameter(torch.randn(600, DIM))
        self.dense = nn.Linear(DIM, DIM)

    def forward(self, input_ids, attention_mask):
        steps = self.table(input_ids)
        if not attention_mask.all():
            steps = steps[:] * attention_mask[:, :, None]
        return self.dense(steps + self.sines[torch.arange(input_ids.shape[1])])


class Neighbours(EmbeddingOnly):
    """Each step is added to the next one. The last step of a padded row has padding as its neighbour."""

    def forward(self, input_ids, attention_mask):
        steps = self.table(input_ids)
        return steps + nn.functional.pad(steps[:, 1:], (0, 0, 0, 1))


class CopiedStart(nn.Module):
    """A copy of the first two steps, which may be padding, has no effect on the others."""

    def forward(self, steps):
        return torch.cat([steps[:, :2] * 1.0, steps[:, 2:]], dim=1)


class FirstPlace(EmbeddingOnly):
    """The first position represents the row, after a module that also reads the first positions."""

    def __init__(self) -> None:
        super().__init__()
        self.copied = CopiedStart()

    def forward(self, input_ids, attention_mask):
        steps = self.copied(self.table(input_ids))
        return {"steps": steps, "first": steps[:, 0]}


class Segments(EmbeddingOnly):
    """Embeddings of ids and of the parts of a row."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds = nn.Embedding(2, DIM)

    def forward(self, input_ids, parts):
        return self.table(input_ids) + self.kinds(parts)


class Strided(EmbeddingOnly):
    """A convolution and a pooling with strides, which need at least 17 positions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv1d(DIM, 4, 9, stride=2), nn.MaxPool1d(5)

    def forward(self, input_ids):
        return self.pool(self.conv(self.table(input_ids).transpose(1, 2))).amax(dim=-1)


class JoinedHeads(EmbeddingOnly):
    """A sum of two tensors that join the positions and the heads in different orders."""

    def forward(self, input_ids):
        heads = self.table(input_ids).unflatten(2, (2, 4))
        joined = heads.flatten(1, 2) + heads.transpose(1, 2).flatten(1, 2)
        return joined.view(len(input_ids), 2, -1, 4)


class CountedPositions(nn.Embedding):
    """An embedding of positions that receives ids, and counts the positions itself, as in FSMT."""

    def forward(self, input_ids):
        return super().forward(torch.arange(input_ids.shape[1]).expand_as(input_ids))


class PositionsFromIds(nn.Module):
    """A sum of position embeddings and token embeddings.

    The table of positions is larger, and is the first to receive the ids.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places, self.table = CountedPositions(600, DIM), nn.Embedding(VOCAB, DIM)

    def forward(self, input_ids):
        return self.places(input_ids) + self.table(input_ids)


class MeanOfBatch(EmbeddingOnly):
    """A mean over the tokens. `forward` reads all inputs from one dict, as in Lightning.

    Args:
        masked: whether the mean leaves out the padding.
    """

    def __init__(self, *, masked: bool = True) -> None:
        super().__init__()
        self.masked = masked

    def forward(self, batch):
        steps, mask = self.table(batch["tokens"]), batch["mask"].unsqueeze(-1)
        return (steps * mask).sum(1) / mask.sum(1) if self.masked else steps.mean(1)


class OptionalMask(EmbeddingOnly):
    """A mean that leaves out the padding only if its batch has a mask."""

    def forward(self, batch):
        mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).unsqueeze(-1)
        return (self.table(batch["input_ids"]) * mask).sum(1) / mask.sum(1)


class PassesBatchOn(EmbeddingOnly):
    """A module that reads a dict, and passes the items on to another module as keyword arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = FeatureMean()

    def forward(self, inputs):
        return self.inner(**inputs)


class PassesKeywordsOn(PassesBatchOn):
    """A module that passes its keyword arguments on to another module."""

    def forward(self, **inputs):
        return self.inner(**inputs)


class FeatureMean(EmbeddingOnly):
    """A mean over the tokens. The mask has a default, as in models of Hugging Face."""

    def forward(self, input_ids=None, attention_mask=None):
        if input_ids is None:
            raise ValueError("specify input_ids")
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return (self.table(input_ids) * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)


class Pair(EmbeddingOnly):
    """A module that reads a tuple of ids and a mask."""

    def forward(self, batch):
        ids, mask = batch
        return self.table(ids).sum(1) * mask.sum(1, keepdim=True)


class WindowOfSeries(nn.Module):
    """A model of a fixed length. It raises different errors for wrong axes and for a wrong length."""

    LENGTH = 21

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.steps = nn.Linear(3, 4)

    def forward(self, series, mask):
        if series.ndim < 3:
            raise ValueError("expected features")
        if series.shape[1] != self.LENGTH:
            raise ValueError(f"expected {self.LENGTH} positions")
        return (self.steps(series) * mask.unsqueeze(-1)).sum(1)


class WideMask(EmbeddingOnly):
    """One attention with a mask of shape (rows, 1, 1, time).

    Args:
        added: whether the mask is added to the scores. If not, the mask is 1 at tokens and 0 at padding.
        queries: whether the mask is on the axis of the queries by mistake.
    """

    def __init__(self, *, added: bool, queries: bool = False) -> None:
        super().__init__()
        self.added, self.queries = added, queries
        self.key = nn.Linear(DIM, DIM)

    def forward(self, input_ids, attention_mask):
        if attention_mask.ndim != 4:
            raise ValueError("expected a mask of shape (rows, 1, 1, time)")
        steps = self.table(input_ids)[:, None]
        scores = steps @ self.key(steps).transpose(2, 3)
        mask = attention_mask.transpose(2, 3) if self.queries else attention_mask
        scores = scores + mask if self.added else scores.masked_fill(mask == 0, -1e9)
        return (scores.softmax(-1) @ steps)[:, 0]


class FixedStreams(TwoStreams):
    """`TwoStreams` for rows of 12 positions."""

    def __init__(self, *, leak: str = "", in_blocks: bool = True) -> None:
        super().__init__(leak=leak, in_blocks=in_blocks)
        self.places = nn.Parameter(torch.randn(12, 1))

    def forward(self, input_ids, attention_mask):
        outputs = super().forward(input_ids, attention_mask)
        return {"one": outputs["one"] + self.places, "two": outputs["two"]}


class Translator(nn.Module):
    """`nn.Transformer` with all its masks, as in the tutorial on translation of PyTorch.

    Args:
        memory: whether the decoder receives the mask of the source.
    """

    def __init__(self, *, memory: bool = True) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.memory, self.table = memory, nn.Embedding(VOCAB, DIM)
        self.transformer = nn.Transformer(DIM, 2, 1, 1, 8, batch_first=True)

    def forward(self, src, trg, src_mask, tgt_mask, src_padding_mask, tgt_padding_mask):
        return self.transformer(
            self.table(src),
            self.table(trg),
            src_mask,
            tgt_mask,
            src_key_padding_mask=src_padding_mask,
            tgt_key_padding_mask=tgt_padding_mask,
            memory_key_padding_mask=src_padding_mask if self.memory else None,
        )


class MaskForEachQuery(EmbeddingOnly):
    """Attention with masks of shape (rows, 1, time) and (rows, time, time), as in the Annotated Transformer.

    Args:
        masked: whether the second attention uses the mask of the source.
    """

    def __init__(self, *, masked: bool = True) -> None:
        super().__init__()
        self.masked = masked

    def forward(self, src, tgt, src_mask, tgt_mask):
        source, target = self.table(src), self.table(tgt)
        target = self.attend(target, target, tgt_mask)
        return self.attend(target, source, src_mask if self.masked else torch.ones_like(src_mask))

    def attend(self, queries, keys, mask):
        scores = queries @ keys.transpose(1, 2)
        return scores.masked_fill(mask == 0, -1e9).softmax(-1) @ keys


class ColumnMask(EmbeddingOnly):
    """A mean over the tokens, with a mask of shape (rows, time, 1).

    Args:
        masked: whether the mean leaves out the padding.
    """

    def __init__(self, *, masked: bool = True) -> None:
        super().__init__()
        self.masked = masked

    def forward(self, input_ids, mask):
        steps = self.table(input_ids)
        if mask.shape != (*input_ids.shape, 1):
            raise ValueError("expected a mask of shape (rows, time, 1)")
        return (steps * mask).sum(1) / mask.sum(1) if self.masked else steps.mean(1)
