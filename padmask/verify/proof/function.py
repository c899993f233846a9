"""Prove any function that takes NumPy ids and mask and returns arrays."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.machinery import PathFinder
from typing import Any

import numpy as np

from padmask.errors import ModelError, SpecError
from padmask.spec.verify import ModelSpec
from padmask.verify.proof.checks import CannotRunError, Subject
from padmask.verify.proof.deviations import Outputs, stacked
from padmask.verify.proof.prove import prove
from padmask.verify.proof.sample import ModelBatch, Sample
from padmask.verify.proof.tolerance import Array
from padmask.verify.report import SubjectReport

IDS = "ids"


def find_function(text: str) -> Callable[[Array, Array], Any]:
    """Import `module:function`, from the current folder too.

    Raises:
        SpecError: there is no such function, or importing its module failed.
    """
    module, colon, name = text.partition(":")
    if not module or not colon or not name:
        raise SpecError(
            f"--predict takes module:function, as in mypackage.serve:predict. Received: {text!r}."
        )
    _add_current_folder(module)
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the module is the user's, and may raise anything
        raise SpecError(
            f"--predict {text}: importing {module} failed: {type(error).__name__}: {error}. "
            "Check the name, and that it can be imported from here."
        ) from None
    for part in name.split("."):
        found = getattr(found, part, None)  # type: ignore[assignment]
    if not callable(found):
        raise SpecError(f"--predict {text}: {module} has no function {name!r}. Check the name.")
    function: Callable[[Array, Array], Any] = found
    return function


def _add_current_folder(module: str) -> None:
    """Let a module be imported from the current folder too.

    The folder comes first only where it holds the module: else the folder holds data, and nothing in
    it may take the place of a module that is installed.
    """
    here = os.getcwd()
    if here not in sys.path:
        holds_it = PathFinder.find_spec(module.partition(".")[0], [here]) is not None
        sys.path.insert(0 if holds_it else len(sys.path), here)


def prove_function(function: Callable[[Array, Array], Any], spec: ModelSpec, sample: Sample) -> SubjectReport:
    """Prove a function that takes ids, shape (rows, maxlen, ...), and their bool mask.

    Args:
        function: returns an array, or a dict or sequence of arrays, with the rows first.
        spec: how.
        sample: rows of one input.

    Raises:
        ModelError: it cannot be run on such rows.
    """

    names: list[str] = []

    def predict(batch: ModelBatch) -> Outputs:
        [padded] = batch.values()
        size = spec.batch_size
        pieces = [
            _outputs(function, padded.values[first : first + size], padded.mask[first : first + size])
            for first in range(0, len(padded.mask), size)
        ]
        names[:] = names or list(pieces[0])
        if any(list(piece) != names for piece in pieces):
            raise ModelError(f"The function must always return the same outputs. At first they were {names}.")
        return stacked(pieces)

    def other(batch: ModelBatch) -> Outputs:
        # Other tokens where the mask says padding: for functions of one length nothing else can be varied.
        dressed = sample.disguised(batch, 23)
        return predict({name: replace(batch[name], values=dressed[name].values) for name in batch})

    try:
        half = any(output.dtype == np.float16 for output in predict(sample.padded()).values())
    except CannotRunError:
        half = False
    dtype = "float16" if half else "float32"
    subject = Subject(
        spec.name,
        predict,
        dtype,
        other=other if sample.is_fixed else None,
        reason="the function takes any length, so rows alone tell more",
    )
    control = Subject(
        spec.name,
        lambda batch: predict(sample.disguised(batch, 21)),
        dtype,
        other=lambda batch: predict(sample.disguised(batch, 22)),
    )
    try:
        return prove(subject, control, sample, twin=False, far=True, empty=spec.empty_rows).report
    except CannotRunError as error:
        raise ModelError(f"{spec.name}: {error}", options=error.options) from None


def _outputs(function: Callable[[Array, Array], Any], ids: Array, mask: Array) -> dict[str, Array]:
    try:
        # Copies: what the function does to them is its own affair.
        said = function(ids.copy(), mask.copy())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the function is the user's, and may raise anything
        raise CannotRunError(f"it raised {type(error).__name__}: {_first_line(error)}") from None
    try:
        if isinstance(said, Mapping):
            named = {str(name): _array(output) for name, output in said.items()}
        elif isinstance(said, (list, tuple)):
            named = {f"output_{place}": _array(output) for place, output in enumerate(said)}
        else:
            named = {"output": _array(said)}
    except Exception as error:  # noqa: BLE001 - tensors of other libraries may refuse in their own ways
        raise ModelError(
            f"What the function returns is no array: {type(error).__name__}: {_first_line(error)}. "
            "Return NumPy arrays."
        ) from None
    if not named:
        raise ModelError("The function returns nothing. It must return an array, or a dict of arrays.")
    for name, output in named.items():
        if output.ndim == 0 or len(output) != len(ids) or output.dtype.kind not in "biufc":
            raise ModelError(
                f"{name} is an array of shape {output.shape} and type {output.dtype} for {len(ids)} rows. "
                "The function must return numbers, with the rows first."
            )
    return named


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else ""


def _array(output: Any) -> Array:
    """Take tensors of other libraries off their device, where they need to be asked for that."""
    if hasattr(output, "detach"):
        output = output.detach().cpu()
        if "bfloat16" in str(output.dtype):
            output = output.float()
    # A copy: some give the same memory each time.
    return np.array(output)
