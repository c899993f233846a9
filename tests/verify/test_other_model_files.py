"""Files and folders that `--model` cannot open."""

from __future__ import annotations

import pytest
from raised import raises_error

from padmask.errors import UnsupportedError
from padmask.verify.other_model_files import refuse_other_files


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("model.weights.h5", ["only weights", "--model MODULE:FUNCTION", ".keras"]),
        ("model.safetensors", ["only weights", "--model MODULE:FUNCTION"]),
        ("model.pt", ["--model MODULE:FUNCTION", "torch.export.save"]),
        ("pytorch_model.bin", ["only weights", "--model MODULE:FUNCTION"]),
        ("model.pkl", ["pickle", "--model MODULE:FUNCTION"]),
        ("model.onnx", ["ONNX", "--predict MODULE:FUNCTION"]),
        ("saved/saved_model.pb", ["SavedModel", ".keras"]),
    ],
)
def test_file_is_refused(tmp_path, name, facts):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.touch()
    with raises_error(UnsupportedError, name, *facts):
        refuse_other_files(str(file))


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("saved_model.pb", ["SavedModel", "--predict"]),
        ("config.json", ["Hugging Face", "--model MODULE:FUNCTION"]),
        ("notes.txt", ["folder", ".keras or .pt2"]),
    ],
)
def test_folder_is_refused(tmp_path, name, facts):
    (tmp_path / name).touch()
    with raises_error(UnsupportedError, tmp_path.name, *facts):
        refuse_other_files(str(tmp_path))


def test_other_names_are_accepted(tmp_path):
    (tmp_path / "model.keras").touch()
    refuse_other_files(str(tmp_path / "model.keras"))
    refuse_other_files(str(tmp_path / "missing.pt"))
