"""Load a saved Keras model. By default, code in the model file does not run."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from padmask.errors import AccessError, DataError, SpecError, UnsupportedError
from padmask.verify.data.masked_values import MaskedValue

# Maximum number of characters of a Keras error in a message. Some Keras errors print every input.
LONGEST_ERROR = 300


def load_model(path: str, custom_objects: str | None = None, *, unsafe: bool = False) -> Any:
    """Load a saved Keras model.

    Args:
        path: path of the `.keras` file.
        custom_objects: path of a Python file that defines the model's custom classes. This function runs the
            file.
        unsafe: whether code in the model file may run.

    Raises:
        SpecError: the model file contains code and `unsafe` is False, or `custom_objects` fails to run.
        DataError: the model file is corrupt.
        AccessError: the model file does not exist.
        UnsupportedError: Keras does not know a class of the model or does not support the file format.
    """
    if not Path(path).is_file():
        raise AccessError(f"{path}: no such file. Check the path in --model.")
    if path.endswith(".keras") and not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not a complete .keras file. Save the model again with model.save.")
    known = _load_custom_objects(custom_objects) if custom_objects else {}
    try:
        with keras.saving.custom_object_scope(known), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return keras.saving.load_model(path, compile=False, safe_mode=not unsafe)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - Keras, and the classes it builds, may raise anything
        text = str(error)
        if not unsafe and ("safe_mode" in text or "unsafe" in text.lower() or "lambda" in text.lower()):
            raise SpecError(
                f"{path} contains Python code, such as a Lambda layer, and loading the file would run the "
                "code. If you trust the file, use --allow-unsafe-model."
            ) from None
        missing = [name for name in _find_missing_modules(path) if not custom_objects or name in text]
        if missing:
            raise UnsupportedError(
                f"{path}: the model has classes from {missing[0]}, which is not installed. If {missing[0]} "
                f"is a package, install the package: pip install {missing[0].replace('_', '-')}   If "
                f"{missing[0]}.py is your own file, use --custom-objects {missing[0]}.py."
            ) from None
        unknown = re.search(r"Could not locate \w+ '(\w+)'|Unknown \w+: '?(\w+)", text)
        if unknown:
            name = unknown[1] or unknown[2]
            raise UnsupportedError(
                f"{path}: Keras does not know {name!r}, which the model uses. Pass the Python file that "
                f"defines {name} with --custom-objects FILE.py."
            ) from None
        if "custom" in text.lower() or "Could not locate" in text or "Unknown layer" in text:
            raise UnsupportedError(
                f"{path}: Keras cannot load the model: {shorten(text)} Pass the Python file that defines its "
                "custom classes with --custom-objects FILE.py."
            ) from None
        known_format = path.endswith((".keras", ".h5", ".hdf5"))
        raise (DataError if known_format else UnsupportedError)(
            f"{path}: Keras cannot load the model: {shorten(text)} Check that model.save('....keras') wrote "
            "the file."
        ) from None


def _find_missing_modules(path: str) -> list[str]:
    """Return the top-level modules that classes in a model file require, but that cannot be imported."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        if "config.json" not in archive.namelist():
            # Other programs write zip files too, for example torch.save.
            return []
        config = archive.read("config.json").decode(errors="replace")
    modules = dict.fromkeys(re.findall(r'"module": "(\w+)', config))
    return [module for module in modules if importlib.util.find_spec(module) is None]


# Terminal colours, and the node names that Keras and TensorFlow insert into messages.
_INNER = re.compile(r"\x1b\[[0-9;]*m|\{\{.*?\}\}")

# Start of the details that only help Keras and TensorFlow developers.
_END = re.compile(r"\[Op:\w+\]|Arguments received by|Detected at node|Stack trace for op|Full object config")


def shorten(message: str) -> str:
    """Shorten a Keras or TensorFlow error message to one sentence for users."""
    plain = " ".join(_END.split(_INNER.sub("", message))[0].split())
    return (plain[:LONGEST_ERROR] + " ..." if len(plain) > LONGEST_ERROR else plain).rstrip(".: ") + "."


def _load_custom_objects(path: str) -> dict[str, Any]:
    """Run a Python file. Return the classes and functions in its namespace, keyed by name."""
    file = Path(path)
    spec = importlib.util.spec_from_file_location(file.stem, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise SpecError(f"{path}: no such Python file. Check the path in --custom-objects.")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the file is the user's, and may raise anything
        raise SpecError(f"{path} failed to run: {type(error).__name__}: {error}. Fix the file.") from None
    public = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    return {name: value for name, value in public.items() if callable(value)}


def masked_values(model: Any) -> dict[str, MaskedValue]:
    """Return the values that a model treats as padding in tokens and in features, keyed by kind of input.

    An embedding with `mask_zero` masks tokens, and a Masking layer masks features. If the model has a Masking
    layer but no such embedding, the Masking layer also masks tokens. Kinds that no layer masks are left out.
    """
    layers = list(model._flatten_layers())
    masking = [layer for layer in layers if isinstance(layer, keras.layers.Masking)]
    found = {}
    if masking:
        value = MaskedValue(float(np.max(masking[0].mask_value)), "Masking")
        found = {"tokens": value, "features": value}
    if any(isinstance(layer, keras.layers.Embedding) and layer.mask_zero for layer in layers):
        found["tokens"] = MaskedValue(0, "Embedding")
    return found


def is_recurrent(model: Any) -> bool:
    """Return whether a model has layers that may run on the recurrent kernels of cuDNN."""
    kinds = (keras.layers.LSTM, keras.layers.GRU)
    return any(isinstance(layer, kinds) for layer in model._flatten_layers())
