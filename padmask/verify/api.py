"""`verify_model` and `assert_ignores_padding`, which verify models in test suites and notebooks."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from padmask._version import __version__
from padmask.core.kernel import Padded
from padmask.core.pack_arrays import Packed
from padmask.errors import SpecError
from padmask.spec.checks import optional
from padmask.spec.pad import Side
from padmask.spec.sides import checked_side
from padmask.spec.verify import ModelSpec
from padmask.verify.data.rules import find_holes
from padmask.verify.keras.backend import Engine, start_backend
from padmask.verify.packed_model import (
    PackedFunction,
    arguments_in,
    make_packed_sample,
    packed_rows_of,
    run_packed,
)
from padmask.verify.proof.function import IDS, can_call, dtype_of_rows, verify_function
from padmask.verify.proof.packed_arguments import DataArguments
from padmask.verify.proof.packed_sample import PackedSample
from padmask.verify.proof.random_rows import draw_longer_rows, draw_random_rows, middle_row, take_sample
from padmask.verify.proof.sample import TIMED, ModelInput, SampleRows
from padmask.verify.proof.tolerance import Array
from padmask.verify.report import Report, describe_culprit, describe_deviation

# Entry of `Report.environment` if no row has a token, so that no model can be verified.
NO_TOKENS = {"subjects": "none: all rows are empty, so no model was verified"}


def verify_model(
    model: Any,
    ids: Any = None,
    mask: Any = None,
    *,
    padding: Side | None = None,
    value: Any = None,
    vocab_size: int | None = None,
    seed: int = 0,
    explain: bool = False,
) -> Report:
    """Check whether padding changes the outputs of a model, and find the layer that causes a leak.

    >>> import numpy as np
    >>> def masked_mean(ids, mask):
    ...     return (ids * mask).sum(axis=1) / mask.sum(axis=1).clip(1)
    >>> verify_model(masked_mean, vocab_size=50).verdict
    'ignores'
    >>> verify_model(lambda ids, mask: ids.mean(axis=1), vocab_size=50).verdict
    'leaks'

    Args:
        model: built Keras model, PyTorch module, or a function `model(ids, mask)` of two NumPy arrays. The
            function returns an array, a sequence of arrays or a dict of arrays.
        ids: padded ids or features, shape (rows, maxlen, ...), or a dict of such arrays, keyed by input name.
            If None, random rows are generated. For packed rows, pass the result of `padmask.pack`. The checks
            then compare the outputs of each sequence in its packed row with the outputs of a run on the
            sequence alone.
        mask: bool array, shape (rows, maxlen), True at real tokens, or a dict of such arrays, keyed by input
            name. If None, all tokens are real.
        padding: side of the padding, `"post"` or `"pre"`. If None, the mask determines the side. Without a
            mask, the side is `"post"`.
        value: pad value. If None, the value is found from the padding in `ids`. If this is not possible,
            the `mask_value` of a Masking layer is used. If there is no Masking layer, the value is 0.
        vocab_size: size of the vocabulary from which random rows are drawn. If None, the number of ids that
            each embedding of the model accepts is used. Functions require a value if `ids` is None.
        seed: random seed of the generated rows.
        explain: whether the report lists every layer.

    Returns:
        A report whose only subject is this model.

    Raises:
        SpecError: the model cannot run on the rows, or the mask has padding between real tokens.
    """
    padding = optional(checked_side)("padding", padding)
    if isinstance(ids, Packed):
        spec = ModelSpec(name=_name_of(model), seed=seed)
        sample = make_packed_sample(packed_rows_of(ids), ids.values.dtype.name, value or 0, spec.seed)
        return _on_given_rows(report_on_packed(model, spec, sample, arguments_in(None)))
    if isinstance(ids, Padded):
        ids, mask = ids.values, ids.mask
    if value is None and ids is not None:
        value = _find_pad_value(ids, mask)
    rows, side = (None, padding or "post") if ids is None else _remove_padding(ids, mask, padding)
    spec = ModelSpec(
        name=_name_of(model),
        padding=side,
        value=value,
        vocab_size=vocab_size,
        seed=seed,
        # The user's rows show whether empty rows occur. Random rows do not.
        empty_rows=None if rows is None else any(len(row) == 0 for given in rows.values() for row in given),
        explain=explain,
    )
    if hasattr(model, "_flatten_layers"):
        report = report_on_model(model, spec, rows, start_backend())
    elif is_torch_model(model):
        report = report_on_torch_model(model, spec, rows)
    else:
        report = report_on_function(model, spec, rows)
    return report if rows is None else _on_given_rows(report)


def _on_given_rows(report: Report) -> Report:
    """Return the report with a note that the rows came from the caller."""
    return replace(report, environment={**report.environment, "rows_given": True})


def _name_of(model: Any) -> str:
    return str(getattr(model, "name", None) or getattr(model, "__name__", "model"))


def assert_ignores_padding(model: Any, ids: Any = None, mask: Any = None, **options: Any) -> None:
    """Raise an AssertionError if padding changes the outputs of a model. The error names the layer to fix.

    >>> assert_ignores_padding(lambda ids, mask: (ids * mask).max(axis=1), vocab_size=50)

    Args:
        model: as in `verify_model`.
        ids: as in `verify_model`.
        mask: as in `verify_model`.
        **options: other arguments of `verify_model`.

    Raises:
        AssertionError: padding changes the outputs, or the checks are inconclusive.
    """
    __tracebackhide__ = True
    report = verify_model(model, ids, mask, **options)
    if report.ok:
        return
    [subject] = report.subjects
    failed = [describe_deviation(check) for check in subject.checks if check.verdict == "fails"]
    lines = [f"{report.verdict}: {report.answer} of the model {subject.name!r}", subject.detail, *failed]
    lines.append(describe_culprit(subject).strip() or "To see each check: print(verify_model(...).as_dict())")
    raise AssertionError("\n".join(filter(None, lines)))


def report_on_model(
    model: Any,
    spec: ModelSpec,
    rows: SampleRows | None,
    engine: Engine,
    roles: Mapping[str, str] | None = None,
) -> Report:
    """Verify a Keras model and return the report.

    Args:
        model: built Keras model.
        spec: options of the verification.
        rows: real tokens of each row, keyed by input name. If None, random rows are generated.
        engine: Keras backend and device.
        roles: role of each input that the user specified, keyed by input name, as in `find_model_inputs`.
    """
    from padmask.verify.keras.user_model import UserModel
    from padmask.verify.keras.verify_keras_model import verify_keras_model

    user = UserModel(model, engine, spec.batch_size, roles)
    timed = [slot.name for slot in user.slots if slot.kind in TIMED]
    subject, settings = verify_keras_model(user, spec, _rows_by_input(rows, timed))
    return Report((), [subject], {**environment(), **engine.describe(), **settings})


def is_torch_model(model: Any) -> bool:
    """Return whether a model is a PyTorch module. PyTorch is not imported.

    If Keras runs on PyTorch, Keras models are PyTorch modules too, but the result for Keras models is False.
    """
    torch = sys.modules.get("torch")
    is_keras = hasattr(model, "_flatten_layers")
    return torch is not None and isinstance(model, torch.nn.Module) and not is_keras


def report_on_torch_model(
    model: Any,
    spec: ModelSpec,
    rows: SampleRows | None,
    device: str | None = None,
    roles: Mapping[str, str] | None = None,
) -> Report:
    """Verify a PyTorch module and return the report.

    Args:
        model: PyTorch module.
        spec: options of the verification.
        rows: real tokens of each row, keyed by input name. If None, random rows are generated.
        device: `"auto"`, `"cpu"` or `"gpu"`. If None, the module stays on its device.
        roles: role of each input that the user specified, keyed by input name, as in `find_roles`.

    Raises:
        SpecError: the module has no input with a time axis, or the rows do not match its inputs.
        ModelError: the module cannot run.
    """
    from padmask.verify.torch.name_inputs import name_inputs
    from padmask.verify.torch.signature import Signature
    from padmask.verify.torch.verify_torch_model import open_torch_model, verify_torch_model

    model = name_inputs(model, [*(roles or {}), *(name for name in rows or {} if name != IDS)])
    timed = [name for name, kind in Signature.of(model).find_roles(roles).items() if kind in TIMED]
    rows = _rows_by_input(rows, timed)
    user = open_torch_model(model, spec, rows, device, roles)
    subject, settings = verify_torch_model(user, spec, rows)
    return Report((), [subject], {**environment(), **user.device.describe(), **settings})


def _rows_by_input(rows: SampleRows | None, timed: Sequence[str]) -> SampleRows | None:
    """Return the rows, keyed by input name. A single array belongs to the only input with a time axis."""
    if rows is None or set(rows) != {IDS} or IDS in timed:
        return rows
    if len(timed) > 1:
        raise SpecError(
            f"The model has the inputs {', '.join(timed)}. Pass a dict of arrays with these names."
        )
    return {timed[0]: rows[IDS]}


def report_on_function(
    function: Callable[[Array, Array], Any],
    spec: ModelSpec,
    rows: SampleRows | None,
    places: int | None = None,
) -> Report:
    """Verify a function and return the report.

    Args:
        function: function of ids and a mask.
        spec: options of the verification.
        rows: real tokens of each row, in a dict whose only key is the name of the input. If None, random
            rows are generated.
        places: padded row length that the function requires; None if the function accepts any length.
    """
    value = 0 if spec.value is None else spec.value
    if rows is None:
        slot = ModelInput(IDS, shape=(places,))
        sample = draw_random_rows([slot], spec, value)
        if places is None and not can_call(function, middle_row(sample)):
            # A function with strides or poolings may need longer rows.
            longer = draw_longer_rows([slot], spec, value, lambda batch: can_call(function, batch))
            sample = longer or sample
    else:
        if len(rows) > 1:
            raise SpecError(
                "A model that is a function accepts only one array of ids and one mask. Pass an array "
                "instead of a dict."
            )
        [given] = rows.values()
        slot = ModelInput(IDS, shape=(places,), dtype=dtype_of_rows(given))
        sample = take_sample([slot], {IDS: given}, spec, value)
    subject = verify_function(function, replace(spec, value=value), sample)
    settings = {
        "rows_checked": len(sample),
        "padding": spec.padding,
        "value": value,
        "seed": spec.seed,
        "places": sample.places(),
    }
    return Report((), [subject], {**environment(), **settings})


def report_on_packed(
    model: Any,
    spec: ModelSpec,
    sample: PackedSample,
    data: DataArguments,
    engine: Engine | None = None,
    device: str | None = None,
) -> Report:
    """Verify a model or a function on packed rows and return the report.

    Args:
        model: built Keras model, PyTorch module, or a function of arrays.
        spec: options of the verification.
        sample: packed rows.
        data: what the data and the user specify about the inputs of the model.
        engine: Keras backend and device. If None, Keras is started for Keras models.
        device: `"auto"`, `"cpu"` or `"gpu"` for a PyTorch module. If None, the module stays on its device.

    Raises:
        SpecError: it is unknown what an input of the model contains.
        ModelError: the model cannot run on the rows.
    """
    described: dict[str, Any] = {}
    if hasattr(model, "_flatten_layers"):
        engine = engine or start_backend()
        from padmask.verify.keras.packed_keras_model import PackedKerasModel

        packed = PackedKerasModel(model, engine, spec.batch_size, data)
        with packed.user.restore_afterwards():
            subject = run_packed(spec, sample, packed)
        described = engine.describe()
    elif is_torch_model(model):
        from padmask.verify.torch.name_inputs import name_inputs
        from padmask.verify.torch.packed_module import PackedModule

        module = PackedModule(name_inputs(model), device, data)
        with module.running():
            subject = run_packed(spec, sample, module)
        described = module.device.describe()
    else:
        subject = run_packed(spec, sample, PackedFunction(model, data))
    run = {
        "rows_checked": len(sample.rows),
        "sequences_checked": sum(len(row.sequences) for row in sample.rows),
        "value": sample.value,
        "seed": sample.seed,
    }
    return Report((), [subject], {**environment(), **described, **run}, packed=True)


def environment() -> dict[str, Any]:
    """Return the versions of padmask, Python and NumPy. Every report includes them."""
    return {"padmask": __version__, "python": platform.python_version(), "numpy": np.__version__}


def _remove_padding(ids: Any, mask: Any, padding: Side | None) -> tuple[SampleRows, Side]:
    """Remove the padding from the arrays of all inputs.

    Returns:
        The real tokens of each row, keyed by input name, and the side of the padding.
    """
    given = dict(ids) if isinstance(ids, Mapping) else {IDS: ids}
    masks = dict(mask) if isinstance(mask, Mapping) else {}
    for name in masks:
        if name not in given:
            raise SpecError(
                f"The dict of masks has {name!r}, but the dict of ids does not. Use the same names in both "
                "dicts."
            )
    if not isinstance(ids, Mapping) and hasattr(ids, "__len__") and len(ids) and np.ndim(ids[0]) == 0:
        raise SpecError("ids must have the shape (rows, maxlen). Pass a single row as [ids].")
    rows: dict[str, list[Array]] = {}
    sides: set[Side] = set()
    for name, values in given.items():
        if isinstance(mask, Mapping) or len(given) == 1:
            own = mask.get(name) if isinstance(mask, Mapping) else mask
        else:
            # One mask applies to several inputs, except to inputs without a time axis, such as an age.
            own = mask if mask is not None and np.shape(values)[:2] == np.shape(mask) else None
        rows[name], own_sides = _remove_padding_of_input(name, values, own)
        sides |= own_sides
    if mask is not None and not isinstance(mask, Mapping) and not sides and not np.all(mask):
        raise SpecError(
            "The shape of the mask does not match any input. Pass a dict from input names to masks."
        )
    if len({len(given) for given in rows.values()}) > 1:
        raise SpecError(
            "The number of rows differs between the inputs. Pass the same number of rows for each input."
        )
    if padding is None and len(sides) > 1:
        raise SpecError(
            "The mask marks padding at the start of some rows and at the end of other rows. Choose one side "
            "with padding=."
        )
    return rows, padding or ("pre" if "pre" in sides else "post")


def _find_pad_value(ids: Any, mask: Any) -> Any:
    """Return the pad value of an array; None if the padding is empty or has several values."""
    if mask is None or isinstance(ids, Mapping) or isinstance(mask, Mapping):
        return None
    array, real = np.asarray(ids), np.asarray(mask).astype(bool)
    if real.shape != array.shape[:2]:
        return None
    found = np.unique(array[~real])
    return found[0].item() if len(found) == 1 else None


def _remove_padding_of_input(name: str, values: Any, mask: Any) -> tuple[list[Array], set[Side]]:
    """Return the real tokens of each row, and the set of sides on which the rows are padded."""
    if not hasattr(values, "__len__") or len(values) == 0:
        raise SpecError(f"{name}: the array has no rows. Pass ids of shape (rows, maxlen).")
    if mask is None:
        rows = [np.asarray(row) for row in values]
        _check_dtypes(name, rows)
        if not any(row.size for row in rows):
            raise SpecError(f"{name}: every row is empty. Pass at least one row with tokens.")
        return rows, set()
    array, real = np.asarray(values), np.asarray(mask).astype(bool)
    if array.ndim < 2 or real.shape != array.shape[:2]:
        raise SpecError(
            f"{name}: the mask has the shape {real.shape}, but the ids have the shape {array.shape[:2]}."
        )
    if not real.any():
        raise SpecError(f"{name}: the mask is False everywhere. Pass at least one row with real tokens.")
    if find_holes(real).any():
        raise SpecError(f"{name}: the mask has padding between real tokens. Fix the mask.")
    sides: set[Side] = set()
    if (~real[:, 0] & real[:, -1]).any():
        sides.add("pre")
    if (real[:, 0] & ~real[:, -1]).any():
        sides.add("post")
    rows = [row[is_real] for row, is_real in zip(array, real, strict=True)]
    _check_dtypes(name, rows)
    return rows, sides


def _check_dtypes(name: str, rows: Sequence[Array]) -> None:
    for row in rows:
        if row.size and row.dtype.kind not in "iuf":
            raise SpecError(f"{name}: the dtype {row.dtype} is not numeric. Pass ids or float features.")
