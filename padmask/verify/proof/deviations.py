"""Compare the outputs of two runs of a model at real positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from padmask.spec.pad import Side
from padmask.verify.proof.sample import Sample, shared_lengths
from padmask.verify.proof.tolerance import Array, Deviation, Deviations

Outputs = Mapping[str, Array]

# The time axes of each output, keyed by output name. There is one entry for each axis after the batch axis.
# The entry is None if padding does not change the size of the axis. Otherwise, the entry has the names of the
# inputs whose padded length equals the size. The entry is () if there is no such input.
Steps = Mapping[str, tuple[tuple[str, ...] | None, ...]]


def find_steps(short: Outputs, long: Outputs, before: Mapping[str, int], after: Mapping[str, int]) -> Steps:
    """Find the time axes of the outputs: the axes whose sizes grow with the padding of an input.

    Args:
        short: outputs for the batch with less padding.
        long: outputs for the same batch with more padding.
        before: padded length of each input in the first batch, keyed by input name.
        after: padded length of each input in the second batch, keyed by input name.
    """

    def axis(small: int, large: int) -> tuple[str, ...] | None:
        if small == large:
            return None
        return tuple(name for name in before if (before[name], after[name]) == (small, large))

    return {
        name: tuple(axis(*sizes) for sizes in zip(output.shape[1:], long[name].shape[1:], strict=True))
        for name, output in short.items()
        if output.ndim == long[name].ndim
    }


def compare_real_positions(
    sample: Sample, steps: Steps, base: Outputs, outputs: Outputs, where: str
) -> Deviations:
    """Compare two runs of the same sample at the real positions of each output."""
    lengths = sample.lengths()
    shared = shared_lengths(sample)
    rows = np.flatnonzero(shared > 0)
    found: Deviations = {}
    for name, axes in steps.items():
        if () in axes:
            # The output has more or fewer steps than each input, for example because of strides. Only the
            # check 'row-alone' can compare such outputs.
            continue
        if not any(axes) and len(rows) and base[name].shape == outputs[name].shape:
            # The output has no time axis, so every value is real and all rows can be compared together.
            add_deviation(
                found, name, _compare_rows(base[name][rows], outputs[name][rows], shared[rows], where)
            )
            continue
        for row in rows.tolist():
            shape = tuple(
                size if inputs is None else min(int(lengths[i][row]) for i in inputs)
                for inputs, size in zip(axes, base[name].shape[1:], strict=True)
            )
            one = crop(base[name][row], shape, sample.padding)
            two = crop(outputs[name][row], shape, sample.padding)
            assert one is not None
            deviation = Deviation(
                difference(one, two), scale_of(one), f"{describe_row(int(shared[row]))}, {where}"
            )
            add_deviation(found, name, deviation)
    return found


def _compare_rows(one: Array, two: Array, tokens: npt.NDArray[np.int64], where: str) -> Deviation:
    """Compare outputs that have no time axis. There must be at least one row."""
    largest = _differences(one, two).reshape(len(one), -1).max(axis=1, initial=0.0)
    worst = int(largest.argmax())
    return Deviation(float(largest[worst]), scale_of(one), f"{describe_row(int(tokens[worst]))}, {where}")


def add_deviation(found: Deviations, name: str, deviation: Deviation) -> None:
    """Add a deviation of an output to `found`. If the output already has a deviation, keep the larger one."""
    found[name] = found.get(name, Deviation()) | deviation


def concatenate_outputs(pieces: Sequence[Outputs]) -> Outputs:
    """Concatenate the outputs of the parts of a batch."""
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def describe_row(tokens: int) -> str:
    """Return a short description of a row with this number of tokens.

    >>> describe_row(1), describe_row(0)
    ('row of 1 token', 'row of 0 tokens')
    """
    return f"row of {tokens} token{'' if tokens == 1 else 's'}"


def crop(array: Array | None, shape: Sequence[int], padding: Side) -> Array | None:
    """Crop the output of a padded row to the shape of the unpadded output; None if the output is smaller."""
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
    """Return the largest absolute difference of two arrays.

    If the shapes differ, or if only one of two values is NaN, the result is infinite.
    """
    if one is None or two is None or one.shape != two.shape:
        return float("inf")
    return float(_differences(one, two).max(initial=0.0))


def _differences(one: Array, two: Array) -> npt.NDArray[np.float64]:
    """Return the absolute differences of two arrays. A difference is infinite if only one value is NaN."""
    first, second = _floats(one), _floats(two)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore"):
        differences = np.where(same, 0.0, np.abs(first - second))
    return np.where(np.isnan(differences), np.inf, differences)


def scale_of(array: Array) -> float:
    """Return the largest finite absolute value, or 1 for integers, because rounding cannot change them."""
    if array.dtype.kind in "iub":
        return 1.0 if array.size else 0.0
    finite = np.abs(_floats(array))
    return float(finite[np.isfinite(finite)].max(initial=0.0))


def is_all_nan(array: Array) -> bool:
    """Return whether an output has values and all of them are NaN."""
    return bool(array.size and np.isnan(_floats(array)).all())


def _floats(array: Array) -> npt.NDArray[np.float64]:
    if array.dtype.kind == "c":
        return np.stack([array.real, array.imag], axis=-1).astype(np.float64)
    return array.astype(np.float64)


def relative_difference(alone: Outputs, outputs: Outputs, padding: Side) -> float:
    """Return the largest difference between the outputs of a padded row and of the same row without padding.

    The difference is relative to the largest absolute value of the output.
    """
    shares = [
        difference(one, crop(outputs[name], one.shape, padding)) / (scale_of(one) or 1.0)
        for name, one in alone.items()
    ]
    return max(shares, default=0.0)
