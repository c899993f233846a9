"""Proofs for people's own test suites: a model or a function, and rows if there are any."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.errors import SpecError
from padmask.spec import Side
from padmask.verify.callables import IDS, FunctionSlot, prove_function
from padmask.verify.drawn import draw_sample, take_sample
from padmask.verify.report import Report, blame, check_sentence
from padmask.verify.specs import ModelSpec

Array = npt.NDArray[Any]
Rows = Mapping[str, Sequence[Array]]


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
        value: the pad value; None takes what a Masking layer of the model takes, else 0.
        vocab_size: ids there are, where rows are drawn; None takes the embeddings' sizes.
        seed: of the draw.
        explain: whether the report tells of every layer.

    Returns:
        A report with one subject.

    Raises:
        SpecError: the model cannot be run on such rows, or the mask has holes.
    """
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
        return report_on_model(model, spec, rows)
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
    report = verify_model(model, ids, mask, **options)
    if report.ok:
        return
    [subject] = report.subjects
    failed = [check_sentence(subject, check) for check in subject.checks if check.verdict == "fails"]
    said = " ".join([f"{report.verdict}: {subject.detail}".rstrip(": "), *failed])
    raise AssertionError(said + blame(subject))


def report_on_model(
    model: Any, spec: ModelSpec, rows: Rows | None, *, backend: str | None = None, device: str = "auto"
) -> Report:
    """Prove a Keras model, and say on what."""
    from padmask.verify.backend import start

    engine = start(backend, device)
    from padmask.verify.loaded import UserModel
    from padmask.verify.user_model import prove_model

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
    function: Callable[[Array, Array], Any], spec: ModelSpec, rows: Rows | None, places: int | None = None
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
        slot = FunctionSlot(shape=(places,))
        sample = draw_sample(
            [slot], padding=spec.padding, value=value, vocab_size=spec.vocab_size, seed=spec.seed
        )
    else:
        [(_, given)] = rows.items()
        kind = next((np.asarray(row).dtype for row in given if len(row)), np.dtype("int32"))
        slot = FunctionSlot(shape=(places,), dtype="float32" if kind.kind == "f" else "int32")
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
    from padmask import __version__

    return {"padmask": __version__, "python": platform.python_version(), "numpy": np.__version__}


def _real_rows(ids: Any, mask: Any, padding: Side | None) -> tuple[Rows, Side]:
    """Take the padding off: the proof puts it on again, in as many ways as it needs."""
    given = dict(ids) if isinstance(ids, Mapping) else {IDS: ids}
    masks = dict(mask) if isinstance(mask, Mapping) else dict.fromkeys(given, mask)
    rows: dict[str, list[Array]] = {}
    sides: set[Side] = set()
    for name, values in given.items():
        if masks.get(name) is None:
            rows[name] = [np.asarray(row) for row in values]
            continue
        array, real = np.asarray(values), np.asarray(masks[name]).astype(bool)
        if real.shape != array.shape[:2]:
            raise SpecError(f"The mask's shape {real.shape} is not that of the ids, {array.shape[:2]}.")
        if ((~real[:, :-1] & real[:, 1:]).sum(axis=1) + real[:, 0] > 1).any():
            raise SpecError("The mask has a hole: padding stands among real tokens. Mend it.")
        sides |= {"pre"} if (~real[:, 0] & real[:, -1]).any() else set()
        sides |= {"post"} if (real[:, 0] & ~real[:, -1]).any() else set()
        rows[name] = [row[kept] for row, kept in zip(array, real, strict=True)]
    if len({len(given) for given in rows.values()}) > 1:
        raise SpecError("The inputs have different numbers of rows. Give as many of each.")
    if padding is None and len(sides) > 1:
        raise SpecError("The mask pads some rows before and some after. Say which with padding=.")
    side: Side = padding or ("pre" if "pre" in sides else "post")
    return rows, side
