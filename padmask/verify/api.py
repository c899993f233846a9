"""Proofs for test suites: `verify_model` and `assert_ignores_padding`."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from padmask._version import __version__
from padmask.core.kernel import Padded
from padmask.errors import SpecError
from padmask.spec.checks import one_of
from padmask.spec.pad import Side
from padmask.spec.verify import ModelSpec
from padmask.verify.data.rules import holes_in
from padmask.verify.keras.backend import Engine, start_backend
from padmask.verify.proof.function import IDS, prove_function
from padmask.verify.proof.random_rows import draw_random_rows, take_sample
from padmask.verify.proof.sample import ModelInput, SampleRows
from padmask.verify.proof.tolerance import Array
from padmask.verify.report import Report, blame, check_sentence

# What a report says where there is nothing to prove anything on.
NOTHING_TO_PROVE = {"subjects": "none: the data have no row with a token to prove anything on"}


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
    """Find out whether padding can change what a model says of real places, and which layer lets it.

    >>> import numpy as np
    >>> def masked_mean(ids, mask):
    ...     return (ids * mask).sum(axis=1) / mask.sum(axis=1).clip(1)
    >>> verify_model(masked_mean, vocab_size=50).verdict
    'ignores'
    >>> verify_model(lambda ids, mask: ids.mean(axis=1), vocab_size=50).verdict
    'leaks'

    Args:
        model: a built Keras model; or any function that takes ids and their mask as NumPy arrays and
            returns one array, or a dict or sequence of them.
        ids: padded ids or features of shape (rows, maxlen, ...), or a dict of them by input; None draws
            random rows of the lengths that matter.
        mask: bool, shape (rows, maxlen), True at real tokens, or a dict as `ids`; None where all is real.
        padding: the side of the padding; None sees it in the mask, and takes `"post"` without one.
        value: the pad value; None takes what stands in the padded places of `ids`, else what a Masking
            layer of the model takes, else 0.
        vocab_size: ids there are, where rows are drawn; None takes the embeddings' sizes.
        seed: of the draw.
        explain: whether the report tells of every layer.

    Returns:
        A report with one subject.

    Raises:
        SpecError: the model cannot be run on such rows, or the mask has holes.
    """
    one_of("padding", padding or "post", ("post", "pre"))
    if isinstance(ids, Padded):
        ids, mask = ids.values, ids.mask
    if value is None and ids is not None:
        value = _pad_value(ids, mask)
    rows, side = (None, padding or "post") if ids is None else _real_rows(ids, mask, padding)
    spec = ModelSpec(
        name=str(getattr(model, "name", None) or getattr(model, "__name__", "model")),
        padding=side,
        value=value,
        vocab_size=vocab_size,
        seed=seed,
        # Of rows that there are it is known whether any has no token.
        empty_rows=rows is None or any(len(row) == 0 for given in rows.values() for row in given),
        explain=explain,
    )
    if hasattr(model, "_flatten_layers"):
        return report_on_model(model, spec, rows, start_backend())
    return report_on_function(model, spec, rows)


def assert_ignores_padding(model: Any, ids: Any = None, mask: Any = None, **options: Any) -> None:
    """Raise an AssertionError, with the layer to blame, unless padding was proven to be ignored.

    >>> assert_ignores_padding(lambda ids, mask: (ids * mask).max(axis=1), vocab_size=50)

    Args:
        model, ids, mask: as `verify_model` takes them.
        options: as `verify_model` takes them.

    Raises:
        AssertionError: a leak, or no proof either way.
    """
    __tracebackhide__ = True
    report = verify_model(model, ids, mask, **options)
    if report.ok:
        return
    [subject] = report.subjects
    failed = [check_sentence(subject, check) for check in subject.checks if check.verdict == "fails"]
    said = "\n".join([f"{report.verdict}: {subject.detail}".rstrip(": "), *failed])
    raise AssertionError(f"{said}\n{blame(subject).strip()}".rstrip())


def report_on_model(model: Any, spec: ModelSpec, rows: SampleRows | None, engine: Engine) -> Report:
    """Prove a Keras model, and say on what."""
    from padmask.verify.keras.prove_model import prove_model
    from padmask.verify.keras.user_model import UserModel

    user = UserModel(model, engine, spec.batch_size)
    if rows is not None and set(rows) == {IDS} and IDS not in [slot.name for slot in user.slots]:
        # One array for a model of one input needs no name.
        timed = [slot.name for slot in user.slots if slot.kind in ("tokens", "features")]
        if len(timed) > 1:
            raise SpecError(f"The model has the inputs {', '.join(timed)}: give a dict by these names.")
        rows = {timed[0]: rows[IDS]}
    subject, seen = prove_model(user, spec, rows)
    return Report((), [subject], {**environment(), **engine.describe(), **seen})


def report_on_function(
    function: Callable[[Array, Array], Any],
    spec: ModelSpec,
    rows: SampleRows | None,
    places: int | None = None,
) -> Report:
    """Prove a function, and say on what.

    Args:
        function: of ids and mask.
        spec: how.
        rows: real tokens of one input; None draws them.
        places: how many the function insists on, where it takes one length only.
    """
    value = 0 if spec.value is None else spec.value
    if rows is None:
        slot = ModelInput(IDS, shape=(places,))
        sample = draw_random_rows(
            [slot], padding=spec.padding, value=value, vocab_size=spec.vocab_size, seed=spec.seed
        )
    else:
        if len(rows) > 1:
            raise SpecError("A function takes one array of ids and its mask. Give an array, not a dict.")
        [given] = rows.values()
        flat = np.concatenate([np.asarray(row).reshape(-1) for row in given])
        large = flat.dtype.kind in "iu" and flat.size and int(flat.max()) > np.iinfo("int32").max
        dtype = "float32" if flat.dtype.kind == "f" else "int64" if large else "int32"
        slot = ModelInput(IDS, shape=(places,), dtype=dtype)
        sample = take_sample([slot], {IDS: given}, padding=spec.padding, values={IDS: value}, seed=spec.seed)
    subject = prove_function(function, replace(spec, value=value), sample)
    seen = {
        "rows_checked": len(sample),
        "padding": spec.padding,
        "value": value,
        "seed": spec.seed,
        "places": sample.places(),
    }
    return Report((), [subject], {**environment(), **seen})


def environment() -> dict[str, Any]:
    """Return what every report says of where it was made."""
    return {"padmask": __version__, "python": platform.python_version(), "numpy": np.__version__}


def _real_rows(ids: Any, mask: Any, padding: Side | None) -> tuple[SampleRows, Side]:
    """Take the padding off: the proof puts it on again, in as many ways as it needs."""
    given = dict(ids) if isinstance(ids, Mapping) else {IDS: ids}
    masks = dict(mask) if isinstance(mask, Mapping) else {}
    for name in masks:
        if name not in given:
            raise SpecError(f"There is a mask for {name!r}, but no ids of that name. Give one name to both.")
    if not isinstance(ids, Mapping) and hasattr(ids, "__len__") and len(ids) and np.ndim(ids[0]) == 0:
        raise SpecError("ids must have rows of tokens: shape (rows, maxlen). For one row, give [ids].")
    rows: dict[str, list[Array]] = {}
    sides: set[Side] = set()
    for name, values in given.items():
        if isinstance(mask, Mapping) or len(given) == 1:
            own = mask.get(name) if isinstance(mask, Mapping) else mask
        else:
            # One mask for several: values without steps, such as an age, are not masked.
            own = mask if mask is not None and np.shape(values)[:2] == np.shape(mask) else None
        rows[name], side = _without_padding(name, values, own)
        sides |= side
    if mask is not None and not isinstance(mask, Mapping) and not sides and not np.all(mask):
        raise SpecError("The mask has the shape of none of the inputs. Give a dict of masks by their names.")
    if len({len(given) for given in rows.values()}) > 1:
        raise SpecError("The inputs have different numbers of rows. Give as many of each.")
    if padding is None and len(sides) > 1:
        raise SpecError("The mask pads some rows before and some after. Say which with padding=.")
    return rows, padding or ("pre" if "pre" in sides else "post")


def _pad_value(ids: Any, mask: Any) -> Any:
    """Return what stands in the padded places of one array; None where nothing or different things do."""
    if mask is None or isinstance(ids, Mapping) or isinstance(mask, Mapping):
        return None
    array, real = np.asarray(ids), np.asarray(mask).astype(bool)
    if real.shape != array.shape[:2]:
        return None
    found = np.unique(array[~real])
    return found[0].item() if len(found) == 1 else None


def _without_padding(name: str, values: Any, mask: Any) -> tuple[list[Array], set[Side]]:
    """Return the real part of each row, and the sides that the padding is on."""
    if not hasattr(values, "__len__") or len(values) == 0:
        raise SpecError(f"{name}: there are no rows. Give ids of shape (rows, maxlen).")
    if mask is None:
        rows = [np.asarray(row) for row in values]
        _check_kinds(name, rows)
        if not any(row.size for row in rows):
            raise SpecError(f"{name}: no row has a token to prove anything on.")
        return rows, set()
    array, real = np.asarray(values), np.asarray(mask).astype(bool)
    if array.ndim < 2 or real.shape != array.shape[:2]:
        raise SpecError(f"{name}: the mask's shape {real.shape} is not that of the ids, {array.shape[:2]}.")
    if not real.any():
        raise SpecError(f"{name}: the mask is False everywhere: there is no real token to prove anything on.")
    if holes_in(real).any():
        raise SpecError(f"{name}: the mask has a hole: padding stands among real tokens. Fix it.")
    sides: set[Side] = set()
    if (~real[:, 0] & real[:, -1]).any():
        sides.add("pre")
    if (real[:, 0] & ~real[:, -1]).any():
        sides.add("post")
    rows = [row[kept] for row, kept in zip(array, real, strict=True)]
    _check_kinds(name, rows)
    return rows, sides


def _check_kinds(name: str, rows: Sequence[Array]) -> None:
    for row in rows:
        if row.size and row.dtype.kind not in "iuf":
            raise SpecError(f"{name}: models take ids or features, that is numbers, not {row.dtype}.")
