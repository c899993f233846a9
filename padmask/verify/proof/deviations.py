"""Compare outputs at real places: which part belongs to tokens, and how far two outputs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from padmask.spec.pad import Side
from padmask.verify.proof.sample import Sample, shared_lengths
from padmask.verify.proof.tolerance import Array, Deviation, Deviations

Outputs = Mapping[str, Array]

# For each output and each of its axes after the first: the inputs whose steps it counts, () where it
# follows none in a known way, None where it does not change with the padding.
Steps = Mapping[str, tuple[tuple[str, ...] | None, ...]]


def find_steps(short: Outputs, long: Outputs, before: Mapping[str, int], after: Mapping[str, int]) -> Steps:
    """Find out which axes of the outputs count steps: those that grow with the inputs."""

    def axis(small: int, large: int) -> tuple[str, ...] | None:
        if small == large:
            return None
        return tuple(name for name in before if (before[name], after[name]) == (small, large))

    return {
        name: tuple(axis(*sizes) for sizes in zip(output.shape[1:], long[name].shape[1:], strict=True))
        for name, output in short.items()
        if output.ndim == long[name].ndim
    }


def at_real_places(sample: Sample, follow: Steps, base: Outputs, outputs: Outputs, where: str) -> Deviations:
    lengths = sample.lengths()
    shared = shared_lengths(sample)
    rows = np.flatnonzero(shared > 0)
    found: Deviations = {}
    for name, axes in follow.items():
        if () in axes:
            # Steps of another kind, as after striding: rows alone tell which are real.
            continue
        if not any(axes) and len(rows) and base[name].shape == outputs[name].shape:
            # Without steps all of a row is real: the rows can be looked at together.
            add(found, name, _whole_rows(base[name][rows], outputs[name][rows], shared[rows], where))
            continue
        for row in rows.tolist():
            shape = tuple(
                size if inputs is None else min(int(lengths[i][row]) for i in inputs)
                for inputs, size in zip(axes, base[name].shape[1:], strict=True)
            )
            one = crop(base[name][row], shape, sample.padding)
            two = crop(outputs[name][row], shape, sample.padding)
            assert one is not None
            deviation = Deviation(difference(one, two), scale_of(one), f"{row_of(int(shared[row]))}, {where}")
            add(found, name, deviation)
    return found


def _whole_rows(one: Array, two: Array, tokens: npt.NDArray[np.int64], where: str) -> Deviation:
    """Hold rows against each other, of which there is at least one, and all of it real."""
    apart = _differences(one, two).reshape(len(one), -1).max(axis=1, initial=0.0)
    worst = int(apart.argmax())
    return Deviation(float(apart[worst]), scale_of(one), f"{row_of(int(tokens[worst]))}, {where}")


def add(found: Deviations, name: str, deviation: Deviation) -> None:
    """Add a deviation of an output to those found before."""
    found[name] = found.get(name, Deviation()) | deviation


def stacked(pieces: Sequence[Outputs]) -> Outputs:
    """Return the outputs of a batch that was run in pieces."""
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def row_of(tokens: int) -> str:
    """Name a row by its length.

    >>> row_of(1), row_of(0)
    ('row of 1 token', 'row of 0 tokens')
    """
    return f"row of {tokens} token{'' if tokens == 1 else 's'}"


def crop(array: Array | None, shape: Sequence[int], padding: Side) -> Array | None:
    """Cut an output of a padded row to the part that an unpadded one has; None where it is too small."""
    if (
        array is None
        or array.ndim != len(shape)
        or any(a < s for a, s in zip(array.shape, shape, strict=True))
    ):
        return None
    slices = tuple(
        slice(None, size) if padding == "post" else slice(have - size, None)
        for have, size in zip(array.shape, shape, strict=True)
    )
    return array[slices]


def difference(one: Array | None, two: Array | None) -> float:
    """Return the largest absolute difference; infinite where shapes differ or a number meets none."""
    if one is None or two is None or one.shape != two.shape:
        return float("inf")
    return float(_differences(one, two).max(initial=0.0))


def _differences(one: Array, two: Array) -> npt.NDArray[np.float64]:
    """Return the absolute differences, a row for each row; infinite where a number met none."""
    first, second = _floats(one), _floats(two)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(first - second))
    return np.where(np.isnan(apart), np.inf, apart)


def scale_of(array: Array) -> float:
    """Return the largest absolute value; of whole numbers 1, whose changes are never rounding."""
    if array.dtype.kind in "iub":
        return 1.0 if array.size else 0.0
    finite = np.abs(_floats(array))
    return float(finite[np.isfinite(finite)].max(initial=0.0))


def is_no_number(array: Array) -> bool:
    """Whether nothing in an output is a number."""
    return bool(array.size and np.isnan(_floats(array)).all())


def _floats(array: Array) -> npt.NDArray[np.float64]:
    if array.dtype.kind == "c":
        return np.stack([array.real, array.imag], axis=-1).astype(np.float64)
    return array.astype(np.float64)


def share_apart(alone: Outputs, outputs: Outputs, padding: Side) -> float:
    """Return how far outputs of a padded row lie from those of the row alone, as a share of their size."""
    apart = [
        difference(one, crop(outputs[name], one.shape, padding)) / (scale_of(one) or 1.0)
        for name, one in alone.items()
    ]
    return max(apart, default=0.0)
