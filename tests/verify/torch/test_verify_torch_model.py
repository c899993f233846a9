"""Verdicts on PyTorch modules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'padmask[torch]'")

from raised import raises_error  # noqa: E402
from recipes import run_recipes  # noqa: E402
from verify_torch_modules import (  # noqa: E402
    VOCAB,
    BatchStatistics,
    CacheDropsMask,
    Characters,
    ColumnMask,
    ConvolutionMean,
    EmbeddingOnly,
    Encoder,
    EndOfRow,
    FeatureSum,
    FixedLength,
    FixedStreams,
    GatedSteps,
    LastPlace,
    MaskForEachQuery,
    MaskOnQueries,
    MeanForMultipleChoice,
    MeanOfBatch,
    NamedLength,
    NestedRows,
    OptionalMask,
    PackedRnn,
    PaddingMask,
    PaddingMaskEncoder,
    PaddingMaskMean,
    PadValueMask,
    Pair,
    PassesBatchOn,
    PassesKeywordsOn,
    PositionsFromIds,
    RightPositions,
    RowsFirst,
    SpeechDecoder,
    Strided,
    StridedPacked,
    TimeFirst,
    TimeFirstPacked,
    TimeFirstState,
    TokensAndVector,
    Translator,
    TwoStreams,
    WideMask,
    WindowOfSeries,
)

from padmask.errors import ModelError, SpecError  # noqa: E402
from padmask.verify import assert_ignores_padding, verify_model  # noqa: E402
from padmask.verify.api import is_torch_model  # noqa: E402
from padmask.verify.torch.module_state import guard_tables  # noqa: E402

MANUAL = Path(__file__).parents[3] / "docs" / "verify.md"


def verdict_of(module, **options):
    report = verify_model(module, **options)
    return report.verdict


@pytest.mark.parametrize(
    ("build", "verdict"),
    [
        (PackedRnn, "ignores"),
        (NestedRows, "ignores"),
        (lambda: NestedRows(padded=True), "leaks"),
        (lambda: PackedRnn(enforce_sorted=True), "ignores"),
        (lambda: PackedRnn(packed=False), "leaks"),
        (Encoder, "ignores"),
        (lambda: Encoder(masked=False), "leaks"),
        (CacheDropsMask, "leaks"),
        (lambda: CacheDropsMask(use_cache=False), "ignores"),
        (FeatureSum, "ignores"),
        (lambda: FeatureSum(masked=False), "leaks"),
        (MaskOnQueries, "leaks"),
        (ConvolutionMean, "leaks"),
        (LastPlace, "leaks"),
        (PadValueMask, "ignores"),
        (BatchStatistics, "leaks"),
        (FixedLength, "ignores"),
        (lambda: FixedLength(masked=False), "leaks"),
        (TimeFirst, "ignores"),
        (lambda: TimeFirst(bidirectional=True), "leaks"),
        (TimeFirstState, "leaks"),
        (TimeFirstPacked, "ignores"),
        (RowsFirst, "leaks"),
        (PaddingMask, "ignores"),
        (PaddingMaskEncoder, "ignores"),
        (PaddingMaskMean, "leaks"),
        (GatedSteps, "leaks"),
        (StridedPacked, "ignores"),
        (TokensAndVector, "ignores"),
        (lambda: TokensAndVector(last_place=True), "leaks"),
        (NamedLength, "ignores"),
        (lambda: NamedLength(masked=False), "leaks"),
        (SpeechDecoder, "ignores"),
        (lambda: SpeechDecoder(masked=False), "leaks"),
        (Characters, "ignores"),
        (lambda: Characters(bidirectional=True), "leaks"),
        (PositionsFromIds, "ignores"),
        (MeanOfBatch, "ignores"),
        (lambda: MeanOfBatch(masked=False), "leaks"),
        (OptionalMask, "ignores"),
        (PassesBatchOn, "ignores"),
        (PassesKeywordsOn, "ignores"),
        (WindowOfSeries, "ignores"),
        (FixedStreams, "ignores"),
        (lambda: FixedStreams(in_blocks=False), "ignores"),
        (lambda: FixedStreams(leak="two"), "leaks"),
        (lambda: FixedStreams(leak="two", in_blocks=False), "leaks"),
        (ColumnMask, "ignores"),
        (lambda: ColumnMask(masked=False), "leaks"),
        (lambda: WideMask(added=True), "ignores"),
        (Translator, "ignores"),
        (lambda: Translator(memory=False), "leaks"),
        (MaskForEachQuery, "ignores"),
        (lambda: MaskForEachQuery(masked=False), "leaks"),
        (lambda: WideMask(added=False), "ignores"),
        (lambda: WideMask(added=True, queries=True), "leaks"),
        (lambda: WideMask(added=False, queries=True), "leaks"),
    ],
)
def test_module_gets_its_verdict(build, verdict):
    assert verdict_of(build()) == verdict


@pytest.mark.parametrize(("padding", "verdict"), [("post", "ignores"), ("pre", "leaks")])
def test_positions_leak_on_the_left(padding, verdict):
    assert verdict_of(RightPositions(), padding=padding) == verdict


def test_inputs_in_one_argument():
    [subject] = verify_model(MeanOfBatch(masked=False)).subjects
    assert "tokens, mask from one argument" in subject.detail
    assert (subject.culprit, "mean" in subject.advice) == ("MeanOfBatch", True)
    ids = np.array([[5, 6, 7, 0], [8, 9, 0, 0]])
    assert verify_model(MeanOfBatch(), {"tokens": ids}, ids != 0).ok


def test_tuple_needs_another_module():
    with raises_error(ModelError, "one argument", "input_ids", "verify.md"):
        verify_model(Pair())
    manual = run_recipes(MANUAL, "torch-wrappers")
    assert verdict_of(manual["FromTuple"](Pair())) == "leaks"


def test_state_needs_another_module():
    class Stateful(EmbeddingOnly):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(8, 4, batch_first=True)

        def forward(self, ids, hidden):
            return self.lstm(self.table(ids), hidden)[0]

    with raises_error(ModelError, "hidden", "state"):
        verify_model(Stateful())


def test_given_rows():
    ids = np.array([[5, 6, 7, 0], [8, 9, 0, 0]])
    [subject] = verify_model(Encoder(masked=False), ids, ids != 0).subjects
    assert subject.verdict == "leaks"
    assert verify_model(Encoder(), {"input_ids": ids}, ids != 0).ok


def test_mask_needs_no_cache():
    [subject] = verify_model(CacheDropsMask()).subjects
    assert "Pass use_cache=False" in subject.advice
    [other] = verify_model(Encoder(masked=False)).subjects
    assert "use_cache" not in other.advice


def test_inputs_are_found():
    found = verify_model(Encoder()).environment
    assert found["inputs"] == {"input_ids": "tokens", "src_key_padding_mask": "mask"}
    assert found["backend"] == "torch"


@pytest.mark.parametrize("padding", ["post", "pre"])
@pytest.mark.parametrize("in_blocks", [True, False])
@pytest.mark.parametrize("leak", ["", "one", "two"])
def test_blocks_of_positions(leak, in_blocks, padding):
    module = TwoStreams(leak=leak, in_blocks=in_blocks)
    [subject] = verify_model(module, padding=padding).subjects
    wrong = [output.name for output in subject.outputs if output.verdict == "leaks"]
    assert (subject.verdict, wrong) == (("leaks", [leak]) if leak else ("ignores", []))
    assert ("the time axis of two has 2 blocks" in subject.detail) == in_blocks


def test_vector_of_each_row():
    found = verify_model(TokensAndVector()).environment
    assert found["inputs"]["features"] == "static"


def test_rows_with_characters():
    words = [np.array([5, 6, 7]), np.array([8])]
    characters = [np.array([[1, 2, 0], [3, 4, 5], [6, 0, 0]]), np.array([[7, 8, 9]])]
    rows = {"words": words, "characters": characters}
    assert verify_model(Characters(), rows).ok
    assert not verify_model(Characters(bidirectional=True), rows).ok


@pytest.mark.parametrize(
    ("module", "remark"),
    [
        (TimeFirst(), "the first axis of input_ids is the time axis"),
        (PaddingMaskEncoder(), "True means padding in padding_mask"),
        (PaddingMaskMean(), "True means padding in mask"),
    ],
)
def test_remark_on_inputs(module, remark):
    [subject] = verify_model(module).subjects
    assert remark in subject.detail


def test_mask_is_not_blamed():
    [subject] = verify_model(PaddingMaskMean()).subjects
    assert "(mean, " in subject.path


def test_mode_is_restored():
    module = Encoder().train()
    module.layer.eval()
    verify_model(module)
    assert module.training
    assert not module.layer.training


def test_weights_are_kept():
    module = Encoder()
    before = {name: weight.clone() for name, weight in module.state_dict().items()}
    verify_model(module)
    assert all(torch.equal(before[name], weight) for name, weight in module.state_dict().items())


@pytest.mark.parametrize(("more_weights", "threads"), [(0, 1), (1500**2, 2)])
def test_small_modules_use_one_thread(more_weights, threads):
    seen = set()

    class Noting(Encoder):
        def forward(self, input_ids, src_key_padding_mask):
            seen.add(torch.get_num_threads())
            return super().forward(input_ids, src_key_padding_mask)

    module = Noting()
    module.more = torch.nn.Parameter(torch.zeros(more_weights))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        verify_model(module)
        assert seen == {threads}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_half_precision_copy():
    module = EmbeddingOnly().to(torch.bfloat16)
    assert verify_model(module).environment["dtype"] == "float32"
    assert module.table.weight.dtype == torch.bfloat16


def test_pad_value_of_embedding():
    assert verify_model(PadValueMask(padding_idx=3)).environment["value"] == 3


def test_assertion_accepts_modules():
    assert_ignores_padding(Encoder())
    with pytest.raises(AssertionError):
        assert_ignores_padding(ConvolutionMean())


def test_broken_forward():
    class Broken(torch.nn.Module):
        def forward(self, input_ids):
            raise ValueError("no such layer")

    with raises_error(ModelError, "no such layer"):
        verify_model(Broken())


def test_short_rows_are_too_short():
    report = verify_model(Strided())
    assert report.verdict == "leaks"
    assert report.environment["places"]["input_ids"] >= 32


def test_ids_outside_a_table_are_refused():
    module = EmbeddingOnly()
    hooks = guard_tables(module)
    module(torch.tensor([[VOCAB - 1]]))
    with pytest.raises(IndexError, match=str(VOCAB)):
        module(torch.tensor([[VOCAB]]))
    assert len(hooks) == 1


def test_keras_model_on_torch():
    """A Keras model on PyTorch is a PyTorch module, but the checks for Keras apply."""

    class Layered(torch.nn.Module):
        _flatten_layers = None

    assert is_torch_model(torch.nn.Identity())
    assert not is_torch_model(Layered())


def test_recipe_of_the_manual():
    build = run_recipes(MANUAL, "torch")["build"]
    assert_ignores_padding(build())


@pytest.mark.parametrize("padding", ["post", "pre"])
@pytest.mark.parametrize(("masked", "verdict"), [(True, "ignores"), (False, "leaks")])
@pytest.mark.parametrize("build", [MeanForMultipleChoice, EndOfRow])
def test_outer_modules_of_the_manual(build, masked, verdict, padding):
    manual, inner = run_recipes(MANUAL, "torch-wrappers"), build(masked=masked)
    outer = manual["EndToken"](inner, EndOfRow.END, 3) if build is EndOfRow else manual["OneChoice"](inner)
    assert verdict_of(outer, padding=padding) == verdict


@pytest.mark.parametrize(
    ("build", "fact"),
    [(MeanForMultipleChoice, "input_ids[:, None]"), (EndOfRow, "last real position")],
)
def test_error_names_an_outer_module(build, fact):
    with raises_error(ModelError, fact):
        verify_model(build())


def test_forward_without_names():
    class Unnamed(torch.nn.Module):
        def forward(self, *arguments):
            return arguments[0]

    with raises_error(SpecError, "Unnamed"):
        verify_model(Unnamed())
