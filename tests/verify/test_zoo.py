"""Every animal of the zoo, saved and loaded again: no leak missed, none invented, every culprit named."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="models need TensorFlow: pip install 'padmask[verify]'")

sys.path.insert(0, str(Path(__file__).parent))
from zoo import VOCAB, ZOO

from padmask.spec.verify import ModelSpec
from padmask.verify.keras.backend import start_backend

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore")]

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """Save an animal, load it as the command does, and prove it on random rows."""
    engine = start_backend()
    from padmask.verify.keras.load import load_model
    from padmask.verify.keras.prove_model import prove_model
    from padmask.verify.keras.user_model import UserModel

    folder = tmp_path_factory.mktemp("zoo")

    def judged(animal):
        file = folder / f"{animal.name}.keras"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            animal.build().save(file)
        custom = str(HERE / "zoo.py") if animal.custom else None
        user = UserModel(load_model(str(file), custom, unsafe=animal.unsafe), engine)
        spec = ModelSpec(
            name=animal.name,
            padding=animal.padding,
            # A Masking layer says itself what it takes for padding.
            value=animal.value or None,
            vocab_size=VOCAB,
        )
        return prove_model(user, spec)[0]

    return judged


@pytest.mark.parametrize("animal", ZOO, ids=lambda animal: animal.name)
def test_the_verdict_and_the_culprit(animal, judge):
    report = judge(animal)
    assert report.verdict == animal.verdict, [check for check in report.checks if check.verdict != "skipped"]
    if animal.verdict == "leaks":
        assert report.culprit in animal.culprits, report.path
        assert report.advice and report.path
    else:
        assert report.culprit is None


def test_the_zoo_is_large_and_half_of_it_leaks():
    leaks = sum(animal.verdict == "leaks" for animal in ZOO)
    assert len(ZOO) >= 40
    assert 0.4 < leaks / len(ZOO) < 0.6
