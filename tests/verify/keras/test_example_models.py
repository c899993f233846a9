"""Every example model, saved and loaded again, gets its known verdict and culprit."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="models need TensorFlow: pip install 'padmask[verify]'")

from tiers import represented
from verify.keras.example_models import EXAMPLES, VOCAB

from padmask.spec.verify import ModelSpec
from padmask.verify.keras.backend import start_backend

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore")]

HERE = Path(__file__).parent

# Examples of each verdict that run quickly.
QUICK = {
    "flatten-fixed",
    "mean-operation",
    "custom-masked-mean",
    "masked-softmax-layer",
    "dead-relu",
}

# One example of each way to lose or ignore the mask, and of each kind of input and verdict. Attention,
# initial states and TimeDistributed have theirs in test_keras_faults.py.
SLOW = {
    # operations and layers that drop the mask
    *("last-step", "concatenate-unmasked-branch", "softmax-over-time", "conv-same", "global-max"),
    *("average-pool-then-mean", "custom-with-two-tensors", "lambda-last-step"),
    *("group-normalization", "unmasked-mean", "unmasked-fixed", "frames-conv", "first-step-pre"),
    *(
        "dot-attention",
        "nested-peak",
        "subclassed-mean",
    ),
    # masks that are inputs
    *("mask-input-ignored", "mask-input-inverted", "float-mask-input", "probability-beside-price"),
    # leaks that few rows or outputs show
    *("weak-mask-constant", "slight-leak", "short-rows-alone", "one-output-of-two", "batch-centred-unmasked"),
    # layers that use the mask, or need none
    *("masked-mean", "masked-softmax", "masked-peak", "masked-batch-normalization"),
    *("masked-lstm", "dot-product-attention", "causal-conv"),
    *("pointwise-conv", "custom-count", "positions-from-left", "several-outputs", "one-after-the-other"),
    *("two-streams", "two-streams-of-a-convolution"),
    "attention-fixed",
    # pad values and precisions
    *("other-pad-id-masked", "zero-pad-row", "masking-minus-one"),
    *("bfloat16-unmasked", "bfloat16-attention", "float64-peak"),
    # inconclusive
    *("frames-fixed-masked-by-value", "count-alone"),
}


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """Save an example model, load the file as the command does, and verify it on random rows."""
    engine = start_backend()
    from padmask.verify.keras.load import load_model
    from padmask.verify.keras.user_model import UserModel
    from padmask.verify.keras.verify_keras_model import verify_keras_model

    folder = tmp_path_factory.mktemp("models")

    def judged(example):
        file = folder / f"{example.name}.keras"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            example.build().save(file)
        custom = str(HERE / "example_models.py") if example.custom else None
        user = UserModel(load_model(str(file), custom, unsafe=example.unsafe), engine)
        spec = ModelSpec(
            name=example.name,
            padding=example.padding,
            # The mask_value of a Masking layer determines the pad value.
            value=example.value or None,
            vocab_size=VOCAB,
        )
        return verify_keras_model(user, spec)[0]

    return judged


def marked(example):
    """Mark an example that is not quick as slow."""
    return pytest.param(example, id=example.name, marks=[] if example.name in QUICK else pytest.mark.slow)


@represented("example", [marked(example) for example in EXAMPLES], by=QUICK | SLOW)
def test_verdict_and_culprit(example, judge):
    report = judge(example)
    assert report.verdict == example.verdict, [check for check in report.checks if check.verdict != "skipped"]
    if example.verdict == "leaks":
        assert report.culprit in example.culprits, report.path
        assert report.advice and report.path
    else:
        assert report.culprit is None


@pytest.mark.slow
@represented(
    "name,advice",
    [
        ("fourier-in-layer", "Fourier"),
        ("positions-from-right-post", "Pad on the left"),
        ("rotary-with-mask-on-queries", "receives the mask but does not use it"),
        ("conv-with-large-steps", "neighbouring steps"),
        ("positions-from-left-pre", "Pad on the right"),
        ("conv-same", "neighbouring steps"),
        ("causal-conv-pre", "neighbouring steps"),
        ("lambda-last-step", "takes a mask argument"),
    ],
    by=4,
)
def test_advice_fits_the_cause(name, advice, judge):
    [example] = [one for one in EXAMPLES if one.name == name]
    assert advice in judge(example).advice


def test_half_of_the_examples_leak():
    leaks = sum(example.verdict == "leaks" for example in EXAMPLES)
    assert len(EXAMPLES) >= 40
    assert 0.4 < leaks / len(EXAMPLES) < 0.6


def test_quick_examples_exist():
    quick = [example for example in EXAMPLES if example.name in QUICK]
    assert len(quick) == len(QUICK)
    assert {example.verdict for example in quick} == {"ignores", "leaks", "inconclusive"}
