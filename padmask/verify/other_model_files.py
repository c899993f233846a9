"""Refuse files and folders that `--model` cannot open, and say how to verify their models."""

from __future__ import annotations

from pathlib import Path

from padmask.errors import UnsupportedError

_FACTORY = (
    "Write a function that takes no arguments, builds the model and loads the file. Then use --model "
    "MODULE:FUNCTION"
)
_PREDICT = "Write a function that runs the model on ids and a mask. Then use --predict MODULE:FUNCTION"

# Ends of file names -> what the file contains, and how to verify its model.
_KINDS = {
    ".weights.h5": ("contains only weights", f"{_FACTORY}, or save the model with model.save('....keras')"),
    ".safetensors": ("contains only weights", _FACTORY),
    ".pt": (
        "probably contains only weights",
        f"{_FACTORY}, or save a program with torch.export.save('....pt2')",
    ),
    ".pth": (
        "probably contains only weights",
        f"{_FACTORY}, or save a program with torch.export.save('....pt2')",
    ),
    ".ckpt": ("probably contains only weights", _FACTORY),
    ".bin": ("probably contains only weights", _FACTORY),
    ".pkl": ("is a pickle of Python objects", _FACTORY),
    ".onnx": ("is an ONNX model", _PREDICT),
    ".tflite": ("is a LiteRT model", _PREDICT),
    ".pb": ("is part of a TensorFlow SavedModel", f"{_PREDICT}, or save the model as a .keras file"),
}


def refuse_other_files(path: str) -> None:
    """Raise an error if a path is a folder, or a file of a format that `--model` cannot open.

    Raises:
        UnsupportedError: `--model` cannot open the path.
    """
    place = Path(path)
    if place.is_dir():
        if (place / "saved_model.pb").exists():
            kind, remedy = _KINDS[".pb"]
            kind = kind.replace("part of ", "")
        elif (place / "config.json").exists():
            kind, remedy = "is a folder of a Hugging Face model", _FACTORY
        else:
            kind, remedy = "is a folder", "Choose a .keras or .pt2 file"
    else:
        known = next((end for end in _KINDS if place.name.endswith(end)), None)
        if known is None or not place.is_file():
            return
        kind, remedy = _KINDS[known]
    raise UnsupportedError(f"{path} {kind}, which --model cannot open. {remedy}.", options=["model"])
