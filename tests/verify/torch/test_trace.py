"""The module that causes a leak, and the advice."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'padmask[torch]'")

from raised import has_facts  # noqa: E402
from verify_torch_modules import (  # noqa: E402
    BatchStatistics,
    ConvolutionMean,
    EmbeddingOnly,
    Encoder,
    FeatureSum,
    FirstPlace,
    FixedLength,
    FourierMix,
    JoinedHeads,
    LastPlace,
    MaskOnQueries,
    Neighbours,
    Nested,
    PackedRnn,
    PaddingMask,
    Reversed,
    RightPositions,
    Rotary,
    SoftmaxPooling,
    TableInCode,
    TimeFirstState,
    Translator,
    TwoStreams,
)

from padmask.verify import verify_model  # noqa: E402


def subject_of(module, **options):
    [subject] = verify_model(module, **options).subjects
    return subject


@pytest.mark.parametrize(
    ("build", "culprit", "facts"),
    [
        (lambda: PackedRnn(packed=False), "gru", ["pack_padded_sequence"]),
        (lambda: Encoder(masked=False), "layer.self_attn", ["src_key_padding_mask"]),
        (MaskOnQueries, "MaskOnQueries", ["queries", "keys"]),
        (ConvolutionMean, "conv", ["convolution", "zero"]),
        (LastPlace, "LastPlace", ["last", "lengths - 1"]),
        (BatchStatistics, "norm", ["track_running_stats"]),
        (lambda: FeatureSum(masked=False), "FeatureSum", ["sum", "mask"]),
        (lambda: FixedLength(masked=False), "FixedLength", ["flattening"]),
        (SoftmaxPooling, "SoftmaxPooling", ["softmax", "-inf"]),
        (FourierMix, "FourierMix", ["Fourier", "same length"]),
        (lambda: Nested(ConvolutionMean()), "inner.conv", ["convolution"]),
        (Neighbours, "Neighbours", ["pad", "zero"]),
        (Reversed, "Reversed", ["shifts", "zero"]),
        (
            lambda: Translator(memory=False),
            "transformer.decoder.layers.0.multihead_attn",
            ["key_padding_mask"],
        ),
    ],
)
def test_culprit_and_advice(build, culprit, facts):
    found = subject_of(build())
    assert found.culprit == culprit
    assert has_facts(found.advice, *facts), found.advice


@pytest.mark.parametrize(
    ("build", "culprit", "facts"),
    [
        (RightPositions, "places", ["right", "position_ids"]),
        (PackedRnn, "PackedRnn", ["right", "pack_padded_sequence"]),
        (lambda: PackedRnn(packed=False), "gru", ["start"]),
        (TableInCode, "TableInCode", ["right", "compute the positions"]),
        (FirstPlace, "FirstPlace", ["first", "right"]),
    ],
)
def test_culprit_under_left_padding(build, culprit, facts):
    found = subject_of(build(), padding="pre")
    assert found.culprit == culprit
    assert has_facts(found.advice, *facts), found.advice


@pytest.mark.parametrize(
    ("build", "has_batch_first"), [(TimeFirstState, False), (lambda: PackedRnn(packed=False), True)]
)
def test_layout_in_advice(build, has_batch_first):
    advice = subject_of(build()).advice
    assert "pack_padded_sequence" in advice
    assert ("batch_first=True" in advice) is has_batch_first


def test_path_names_function_and_line():
    path = subject_of(LastPlace()).path
    assert path.startswith("gru -> LastPlace (getitem, verify_torch_modules.py:")


def test_leak_in_blocks_of_positions():
    assert "mean" in subject_of(TwoStreams(leak="two")).path


def test_leak_in_joined_axes():
    """The reshape that separates the axes later is not the culprit."""
    found = subject_of(JoinedHeads())
    assert "(add, " in found.path
    assert has_facts(found.advice, "same order", "transpose")


def test_rotary_positions_do_not_leak():
    """Left padding changes rotary positions, but not their differences. Only the mean causes a leak."""
    assert subject_of(Rotary(), padding="pre").verdict == "ignores"
    found = subject_of(Rotary(mean=True), padding="pre")
    assert found.culprit == "Rotary"
    assert "mean" in found.path


def test_mask_of_padding_is_recognized():
    found = subject_of(PaddingMask())
    assert found.verdict == "ignores"
    assert has_facts(found.detail, "mask", "True")


def test_explain_lists_modules():
    layers = {layer.name: layer for layer in subject_of(ConvolutionMean(), explain=True).layers}
    assert layers["table"].max_abs_diff == 0
    assert layers["conv"].max_abs_diff > 0.01
    assert layers["conv"].kind == "Conv1d"


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_has_no_culprit():
    subject = subject_of(torch.jit.script(Neighbours()), vocab_size=10)
    assert (subject.verdict, subject.culprit) == ("leaks", None)
    assert "TorchScript" in subject.detail


def test_no_culprit_without_leak():
    found = subject_of(EmbeddingOnly())
    assert (found.verdict, found.culprit, found.advice) == ("ignores", None, None)
