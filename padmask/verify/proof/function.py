"""Verify a function that accepts ids and a mask as NumPy arrays and returns arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from padmask.errors import ModelError
from padmask.spec.verify import ModelSpec
from padmask.verify.proof.deviations import Outputs, concatenate_outputs
from padmask.verify.proof.function_result import outputs_of_result
from padmask.verify.proof.memory import Memory, find_memory
from padmask.verify.proof.sample import ModelBatch, Sample
from padmask.verify.proof.subject import CannotRunError, Subject
from padmask.verify.proof.tolerance import Array
from padmask.verify.proof.verify_subject import verify_subject
from padmask.verify.report import SubjectReport

IDS = "ids"


def verify_function(
    function: Callable[[Array, Array], Any], spec: ModelSpec, sample: Sample
) -> SubjectReport:
    """Verify a function of two arrays: ids of shape (rows, maxlen, ...), and a bool mask (rows, maxlen).

    Args:
        function: function that returns an array, a sequence of arrays or a dict of arrays, with the rows on
            axis 0.
        spec: options of the verification.
        sample: rows of one input.

    Raises:
        ModelError: the function cannot run on the rows, or returns unusable outputs.
    """

    names: list[str] = []
    left_out: set[str] = set()
    dtypes: set[str] = set()
    memory = Memory()

    def predict(batch: ModelBatch) -> Outputs:
        [padded] = batch.values()
        memory.forget()
        size = spec.batch_size
        results = [
            call_with_mask(function, padded.values[first : first + size], padded.mask[first : first + size])
            for first in range(0, len(padded.mask), size)
        ]
        names[:] = names or list(results[0].arrays)
        if any(list(result.arrays) != names for result in results):
            raise ModelError(
                "The names of the function's outputs changed between batches. For every batch, return the "
                f"outputs {', '.join(names)}."
            )
        left_out.update(*(result.left_out for result in results))
        dtypes.update(result.dtype for result in results)
        return concatenate_outputs([result.arrays for result in results])

    def other(batch: ModelBatch, seed: int = 23) -> Outputs:
        # Put random tokens into the padding and leave the mask unchanged.
        unmasked = sample.unmasked(batch, seed)
        return predict({name: replace(batch[name], values=unmasked[name].values) for name in batch})

    with suppress(CannotRunError):
        # From here on, `predict` clears this memory before each batch.
        memory = find_memory(function, lambda seed: predict(sample.with_random_tokens(40 + seed).padded()))
    dtype = least_precise(dtypes)
    subject = Subject(
        spec.name,
        predict,
        dtype,
        other=other,
        explicit_mask=True,
        is_function=True,
    )
    control = Subject(
        spec.name,
        lambda batch: predict(sample.unmasked(batch, 21)),
        dtype,
        other=lambda batch: predict(sample.unmasked(batch, 22)),
    )
    try:
        found = verify_subject(subject, control, sample, must_fail=False, far=True, empty=spec.empty_rows)
    except CannotRunError as error:
        raise ModelError(f"{spec.name}: {error}", options=error.options) from None
    remarks = [found.report.detail]
    if left_out:
        remarks.append(f"the checks do not compare the outputs {', '.join(sorted(left_out))}")
    if memory:
        remarks.append("the function remembers rows that it has seen, so the checks cleared its memory")
    return replace(found.report, detail="; ".join(remark for remark in remarks if remark))


def dtype_of_rows(rows: Sequence[Array]) -> str:
    """Return the dtype of the tokens that are passed to a function.

    >>> dtype_of_rows([np.array([1, 2])]), dtype_of_rows([np.array([2**40])]), dtype_of_rows([np.ones(2)])
    ('int32', 'int64', 'float32')
    """
    flat = np.concatenate([np.asarray(row).reshape(-1) for row in rows])
    is_large = flat.dtype.kind in "iu" and flat.size and int(flat.max()) > np.iinfo("int32").max
    return "float32" if flat.dtype.kind == "f" else "int64" if is_large else "int32"


def can_call(function: Callable[[Array, Array], Any], batch: ModelBatch) -> bool:
    """Return whether a function of ids and a mask can run on a batch of one input."""
    [padded] = batch.values()
    try:
        call_with_mask(function, padded.values, padded.mask)
    except CannotRunError:
        return False
    return True


@dataclass(frozen=True)
class FunctionOutputs:
    """The outputs of one call of a function.

    Args:
        arrays: outputs, with the rows on axis 0, keyed by name.
        left_out: names of the results that are not outputs.
        dtype: least precise dtype of the outputs, a key in `LIMITS`.
    """

    arrays: dict[str, Array]
    left_out: frozenset[str]
    dtype: str


def call_with_mask(function: Callable[..., Any], ids: Array, mask: Array) -> FunctionOutputs:
    """Call a function of ids and a mask. The mask may be a keyword-only parameter.

    Raises:
        CannotRunError: the function raised an error.
        ModelError: the results are not arrays of numbers with the rows on axis 0.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # Some functions of compiled modules have no signature.
        parameters = []
    if len(parameters) == 2 and parameters[1].kind == inspect.Parameter.KEYWORD_ONLY:
        return call_function(function, [ids], {parameters[1].name: mask})
    return call_function(function, [ids, mask], {})


def call_function(
    function: Callable[..., Any], arrays: Sequence[Array], named: Mapping[str, Array | int]
) -> FunctionOutputs:
    """Call a function, and return its outputs.

    Args:
        function: function of arrays.
        arrays: positional arguments, starting with the ids.
        named: arguments that are passed by their names.

    Raises:
        CannotRunError: the function raised an error.
        ModelError: the results are not arrays of numbers with the rows on axis 0.
    """
    ids = arrays[0]
    try:
        # Pass copies, because the function may change its arguments.
        result = function(
            *(copy(array) for array in arrays), **{name: copy(array) for name, array in named.items()}
        )
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the function is the user's, and may raise anything
        raise CannotRunError(f"the function raised {type(error).__name__}: {_first_line(error)}") from None
    try:
        outputs, left_out = outputs_of_result(result)
        dtypes = {str(getattr(output, "dtype", "")) for output in outputs.values()}
        found = {name: _to_numpy(output) for name, output in outputs.items()}
    except Exception as error:  # noqa: BLE001 - the tensors of each library raise their own errors
        raise ModelError(
            "The result of the function cannot be converted to a NumPy array: "
            f"{type(error).__name__}: {_first_line(error)}. Return NumPy arrays."
        ) from None
    if not found:
        raise ModelError("The function returned no outputs. Return an array, or a dict of arrays.")
    for name, output in found.items():
        has_rows = output.ndim > 0 and len(output) == len(ids)
        if not has_rows and isinstance(result, list) and len(result) == len(ids):
            raise ModelError(
                f"For {len(ids)} rows, the function returned a list of {len(ids)} items, one for each row. "
                "Return one array of numbers with the rows on the first axis. If the rows have different "
                "lengths, pad them."
            )
        if not has_rows or output.dtype.kind not in "biufc":
            raise ModelError(
                f"For {len(ids)} rows, the function returned {name} with shape {output.shape} and dtype "
                f"{output.dtype}. The function must return numbers, with the rows on the first axis."
            )
    return FunctionOutputs(found, frozenset(left_out), least_precise(dtypes))


def least_precise(dtypes: Iterable[str]) -> str:
    """Return the least precise dtype of several outputs, as a key in `LIMITS`.

    >>> least_precise(["torch.bfloat16", "float32"]), least_precise(["float64"])
    ('bfloat16', 'float32')
    """
    names = {name.rpartition(".")[2] for name in dtypes}
    return next((half for half in ("bfloat16", "float16") if half in names), "float32")


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else ""


def _to_numpy(output: Any) -> Array:
    """Convert an output to a NumPy array. PyTorch tensors are detached and copied to the CPU first."""
    if hasattr(output, "detach"):
        output = output.detach().cpu()
        if "bfloat16" in str(output.dtype):
            output = output.float()
        output = output.numpy()
    # Copy the array, because some functions return the same buffer each time.
    array = np.array(output)
    # The bfloat16 of JAX and TensorFlow is not a number for NumPy.
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
