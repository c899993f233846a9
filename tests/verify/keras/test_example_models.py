"""Every example model, saved and loaded again, gets its known verdict and culprit."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="models need TensorFlow: pip install 'padmask[verify]'")

from verify.keras.example_models import EXAMPLES, VOCAB

from padmask.spec.verify import ModelSpec
from padmask.verify.keras.backend import start_backend

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore")]

HERE = Path(__file__).parent

# Examples of each verdict that run quickly.
QUICK = {
    "flatten-fixed",
    "mean-operation",
    "dot-attention",
    "masked-lstm",
    "custom-masked-mean",
    "masked-softmax-layer",
    "dead-relu",
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
    """Mark an example that is not quick."""
    return pytest.param(example, id=example.name, marks=[] if example.name in QUICK else pytest.mark.slow)


@pytest.mark.parametrize("example", [marked(example) for example in EXAMPLES])
def test_verdict_and_culprit(example, judge):
    report = judge(example)
    assert report.verdict == example.verdict, [check for check in report.checks if check.verdict != "skipped"]
    if example.verdict == "leaks":
        assert report.culprit in example.culprits, report.path
        assert report.advice and report.path
    else:
        assert report.culprit is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("fourier-in-layer", "Fourier"),
        ("positions-from-left-pre", "Pad on the right"),
        ("positions-from-right-post", "Pad on the left"),
        ("conv-same", "neighbouring steps"),
        ("conv-with-large-steps", "neighbouring steps"),
        ("causal-conv-pre", "neighbouring steps"),
        ("rotary-with-mask-on-queries", "receives the mask but does not use it"),
    ],
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
