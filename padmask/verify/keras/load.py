"""Load a user's Keras model, in safe mode unless asked otherwise."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras

from padmask.errors import AccessError, DataError, SpecError, UnsupportedError

# Of a row that carries all inputs along.
SHORTEST_SAID = 300


def load_model(path: str, custom_objects: str | None = None, *, unsafe: bool = False) -> Any:
    """Load a saved Keras model.

    Args:
        path: of the `.keras` file.
        custom_objects: a Python file with the classes that the model needs; it is run.
        unsafe: whether code from within the model file may be run too.

    Raises:
        SpecError: the file holds code, and `unsafe` was not asked for.
        DataError: it is corrupt.
        AccessError: it is not there.
        UnsupportedError: it needs classes, or has a format, that Keras does not know.
    """
    if not Path(path).is_file():
        raise AccessError(f"{path}: there is no such file. Check the path of --model.")
    if path.endswith(".keras") and not zipfile.is_zipfile(path):
        raise DataError(f"{path} is no .keras file, or not a whole one. Save it again with model.save.")
    known = _classes(custom_objects) if custom_objects else {}
    try:
        with keras.saving.custom_object_scope(known), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return keras.saving.load_model(path, compile=False, safe_mode=not unsafe)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - Keras, and the classes it builds, may raise anything
        said = str(error)
        if not unsafe and ("safe_mode" in said or "unsafe" in said.lower() or "lambda" in said.lower()):
            raise SpecError(
                f"{path} holds Python code (a Lambda layer, or the like), which loading would run. If you "
                "trust the file, say --allow-unsafe-model."
            ) from None
        unknown = re.search(r"Could not locate \w+ '(\w+)'|Unknown \w+: '?(\w+)", said)
        if unknown:
            name = unknown[1] or unknown[2]
            raise UnsupportedError(
                f"{path}: it needs {name!r}, which Keras does not know. Give the Python file that defines it "
                "with --custom-objects FILE.py."
            ) from None
        if "custom" in said.lower() or "Could not locate" in said or "Unknown layer" in said:
            raise UnsupportedError(
                f"{path}: Keras cannot load it: {shorten(said)} Give the classes that it needs with "
                "--custom-objects FILE.py."
            ) from None
        known_format = path.endswith((".keras", ".h5", ".hdf5"))
        raise (DataError if known_format else UnsupportedError)(
            f"{path}: Keras cannot load it: {shorten(said)} Check that it is a model saved by "
            "model.save('....keras')."
        ) from None


# Colours, and what Keras and TensorFlow add to a message for their own developers.
_INNER = re.compile(r"\x1b\[[0-9;]*m|\{\{.*?\}\}")

_END = re.compile(r"\[Op:\w+\]|Arguments received by|Detected at node|Stack trace for op|Full object config")


def shorten(said: str) -> str:
    """Cut a library's message to what it says."""
    plain = " ".join(_END.split(_INNER.sub("", said))[0].split())
    return (plain[:SHORTEST_SAID] + " ..." if len(plain) > SHORTEST_SAID else plain).rstrip(".: ") + "."


def _classes(path: str) -> dict[str, Any]:
    """Run a Python file and return the Keras classes and functions that it defines."""
    file = Path(path)
    spec = importlib.util.spec_from_file_location(file.stem, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise SpecError(f"{path}: there is no such Python file. Check the path of --custom-objects.")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the file is the user's, and may raise anything
        raise SpecError(f"{path} cannot be run: {type(error).__name__}: {error}. Fix the file.") from None
    public = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    return {name: value for name, value in public.items() if callable(value)}
