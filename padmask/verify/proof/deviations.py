"""Compare the outputs of two runs of a model at real positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padmask.spec.pad import Side
from padmask.verify.proof.sample import Sample, shared_lengths
from padmask.verify.proof.tolerance import Array, Deviation, Deviations, shares_of

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


# Quantiles to which smaller scales of channels and of rows are raised. Without this, a value that is close to
# zero by chance would have a large relative rounding error.
SMALL_CHANNELS, SMALL_ROWS = 1 / 16, 1 / 4


@dataclass(frozen=True)
class Pair:
    """The values of one row of an output in two runs, at real positions.

    Args:
        one: values of the first run: shape (..., channels). None if the output has too few positions.
        two: values of the second run, in the same form.
        where: description of the row and the padding.
    """

    one: Array | None
    two: Array | None
    where: str


def measure(
    pairs: Sequence[Pair], *, has_steps: bool, has_channels: bool = True, usual: Array | None = None
) -> Deviation:
    """Return the largest deviation of each channel of an output.

    The scale of a channel is its largest value. If the output has no time axis, each row also has its own
    scale, so that a row with large values does not hide a leak in another row.

    Args:
        pairs: rows of two runs. There must be at least one.
        has_steps: whether the output has a time axis.
        has_channels: whether the last axis has channels. If False, the last axis is a time axis, and the
            output has one channel.
        usual: minimum scale of each channel: shape (channels,). None for no minimum.
    """
    ones = [_split_channels(pair.one, has_channels) for pair in pairs if pair.one is not None]
    channels = max((one.shape[1] for one in ones), default=1)
    differences = np.full((len(pairs), channels), np.inf)
    scales = np.zeros((len(pairs), channels))
    for row, pair in enumerate(pairs):
        if pair.one is None or pair.two is None or pair.one.shape != pair.two.shape:
            continue
        one, two = _split_channels(pair.one, has_channels), _split_channels(pair.two, has_channels)
        if one.shape[1] == channels:
            differences[row] = _differences(one, two).max(axis=0, initial=0.0)
            scales[row] = _scales_of_channels(one)
    scales = _choose_scales(scales, by_row=not has_steps)
    if usual is not None and usual.shape == (channels,):
        scales = np.maximum(scales, usual)
    worst = shares_of(differences, scales).argmax(axis=0)
    where = np.array([pair.where for pair in pairs], dtype=object)
    index = np.arange(channels)
    return Deviation(differences[worst, index], scales[worst, index], where[worst])


def _split_channels(array: Array, has_channels: bool) -> Array:
    """Reshape the values of one row to (positions, channels).

    The real and the imaginary parts of complex numbers become separate positions.
    """
    if array.dtype.kind == "c":
        array = np.stack([array.real, array.imag])
        return _split_channels(array.reshape(-1, 1) if array.ndim == 1 else array, has_channels)
    if not has_channels or array.ndim == 0:
        return array.reshape(-1, 1)
    return array.reshape(array.size // max(1, array.shape[-1]), array.shape[-1])


def _scales_of_channels(array: Array) -> npt.NDArray[np.float64]:
    """Return the largest finite absolute value of each channel, or 1 for integers, which are exact.

    Args:
        array: values: shape (positions, channels).
    """
    if array.dtype.kind in "iub":
        return np.full(array.shape[1], 1.0 if len(array) else 0.0)
    size = np.abs(array.astype(np.float64))
    largest: npt.NDArray[np.float64] = np.where(np.isfinite(size), size, 0.0).max(axis=0, initial=0.0)
    return largest


def _choose_scales(scales: npt.NDArray[np.float64], *, by_row: bool) -> npt.NDArray[np.float64]:
    """Return the scale of each value: shape (rows, channels).

    Args:
        scales: largest absolute value of each channel in each row: shape (rows, channels).
        by_row: whether each row has its own scale.
    """
    channels = _raise_smallest(scales.max(axis=0), SMALL_CHANNELS)
    if not by_row:
        return np.broadcast_to(channels, scales.shape)
    rows = _raise_smallest(scales.max(axis=1, initial=0.0), SMALL_ROWS)
    return np.minimum(rows[:, None], channels)


def _raise_smallest(scales: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.float64]:
    """Raise each scale to at least the quantile `share`, from 0 to 1, of the nonzero scales.

    >>> _raise_smallest(np.array([1e-9, 2.0, 3.0, 4.0, 5.0]), 1 / 4).tolist()
    [2.0, 2.0, 3.0, 4.0, 5.0]
    """
    positive = np.sort(scales[scales > 0])
    if not len(positive):
        return scales
    raised: npt.NDArray[np.float64] = np.maximum(scales, positive[int((len(positive) - 1) * share)])
    return raised


def compare_real_positions(
    sample: Sample, steps: Steps, base: Outputs, outputs: Outputs, where: str
) -> Deviations:
    """Compare two runs of the same sample at the real positions of each output."""
    lengths = sample.lengths()
    shared = shared_lengths(sample)
    rows = np.flatnonzero(shared > 0).tolist()
    found: Deviations = {}
    for name, axes in steps.items():
        if () in axes or not rows:
            # The output has more or fewer steps than each input, for example because of strides. Only the
            # check 'row-alone' can compare such outputs.
            continue
        pairs = []
        for row in rows:
            shape = tuple(
                size if inputs is None else min(int(lengths[i][row]) for i in inputs)
                for inputs, size in zip(axes, base[name].shape[1:], strict=True)
            )
            one = crop(base[name][row], shape, sample.padding)
            two = crop(outputs[name][row], shape, sample.padding)
            pairs.append(Pair(one, two, f"{describe_row(int(shared[row]))}, {where}"))
        found[name] = measure(pairs, has_steps=any(axes), has_channels=not axes or axes[-1] is None)
    return found


def add_deviation(found: Deviations, name: str, deviation: Deviation) -> None:
    """Add the deviation of an output to `found`.

    If `found` already has a deviation of this output, keep the larger of the two in each channel.
    """
    found[name] = found[name] | deviation if name in found else deviation


def concatenate_outputs(pieces: Sequence[Outputs]) -> Outputs:
    """Concatenate the outputs of consecutive rows of a batch."""
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
    """Return the largest finite absolute value, or 1 for integers, which have no rounding errors."""
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


def are_close(one: Outputs, two: Outputs, limit: float) -> bool:
    """Return whether two runs have outputs with the same names and with close values.

    >>> are_close({"a": np.array([1.0, 2.0])}, {"a": np.array([1.0, 2.1])}, 0.1)
    True

    Args:
        one, two: outputs of the runs, keyed by name.
        limit: largest difference, as a share of the scale of the output in `one`.
    """
    return one.keys() == two.keys() and all(
        difference(output, two[name]) <= limit * scale_of(output) for name, output in one.items()
    )


def relative_difference(alone: Outputs, outputs: Outputs, padding: Side) -> float:
    """Return the largest difference between the outputs of a padded row and of the same row without padding.

    The difference is a share of the largest absolute value of the output without padding.
    """
    shares = [
        difference(one, crop(outputs[name], one.shape, padding)) / (scale_of(one) or 1.0)
        for name, one in alone.items()
    ]
    return max(shares, default=0.0)
