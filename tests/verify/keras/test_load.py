"""If the classes of a model file cannot be imported, the error names the missing module."""

from __future__ import annotations

import json
import zipfile

import pytest

pytest.importorskip("tensorflow", reason="models need TensorFlow: pip install 'padmask[verify]'")

from raised import raises_error
from verify.keras.example_models import VOCAB, L, keras

from padmask.errors import UnsupportedError
from padmask.verify.keras.backend import start_backend
from padmask.verify.keras.load import is_recurrent

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def with_module(tmp_path):
    """Save a model, and replace the module of one class."""

    def save(module):
        file, changed = tmp_path / "a.keras", tmp_path / "b.keras"
        keras.Sequential([L.Input((None,)), L.Embedding(VOCAB, 2, name="embed")]).save(file)
        with zipfile.ZipFile(file) as old, zipfile.ZipFile(changed, "w") as new:
            for name in old.namelist():
                content = old.read(name)
                if name == "config.json":
                    config = json.loads(content)
                    [layer] = [x for x in config["config"]["layers"] if x["class_name"] == "Embedding"]
                    layer.update(
                        module=f"{module}.layers", class_name="Mine", registered_name=f"{module}>Mine"
                    )
                    content = json.dumps(config)
                new.writestr(name, content)
        return str(changed)

    return save


@pytest.mark.parametrize(
    ("module", "facts"),
    [
        ("keras_hub", ["keras_hub", "pip install keras-hub"]),
        ("absent_layers", ["absent_layers", "--custom-objects absent_layers.py"]),
    ],
)
def test_missing_module_is_named(with_module, module, facts):
    start_backend()
    from padmask.verify.keras.load import load_model

    with raises_error(UnsupportedError, "b.keras", *facts):
        load_model(with_module(module))


def test_other_module_is_missing(with_module, tmp_path):
    """The error names the missing package, because the file of `--custom-objects` lacks its classes."""
    start_backend()
    from padmask.verify.keras.load import load_model

    (tmp_path / "layers.py").write_text("")
    with raises_error(UnsupportedError, "pip install keras-hub"):
        load_model(with_module("keras_hub"), str(tmp_path / "layers.py"))


@pytest.mark.parametrize("layer, recurrent", [(L.GRU(2), True), (L.GlobalAveragePooling1D(), False)])
def test_recurrent_layers_are_found(layer, recurrent):
    assert is_recurrent(keras.Sequential([L.Embedding(VOCAB, 2), layer])) is recurrent
