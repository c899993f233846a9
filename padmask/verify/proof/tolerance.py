"""Distinguish leaks from rounding errors with tolerances and measured noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CheckVerdict = Literal["holds", "fails", "skipped"]

# Key in LIMITS for a model that was converted to float64. Layers may still cast to float32, which causes
# rounding errors of up to 4e-7. Measured leaks were never smaller than 1e-5.
PRECISE = "widened"

# Largest allowed deviation, as a share of the scale of the channel. For models that ignore padding, the
# largest measured deviation was 4e-7 in float32 and 9e-16 in float64.
LIMITS = {"float64": 1e-9, PRECISE: 1e-6, "float32": 1e-5, "float16": 5e-3, "bfloat16": 2e-2}

# Allowed deviation as a multiple of the measured noise. Leaks were thousands of times larger than the noise.
NOISE_FACTOR = 20.0

# Upper limit for the noise, as a share of the scale of the channel.
MOST_NOISE = 1e-3

# Largest deviation that can be rounding if float64 shows no leak, as a share of the scale of the channel.
PLAUSIBLE_ROUNDING = {"float32": 2e-2, "float16": 5e-2, "bfloat16": 2e-1}


# Changes of an output up to this share can be rounding. A change between this share and the tolerance shows
# that the output depends on the tokens, but that the checks cannot see a leak of the same size.
RESOLUTION = {"float64": 1e-15, PRECISE: 5e-7, "float32": 5e-7, "float16": 4e-3, "bfloat16": 1.6e-2}


@dataclass(frozen=True, eq=False)
class Deviation:
    """The largest deviation of each channel of an output at real positions.

    A channel is an index of the last axis, such as a feature or a class. Outputs without such an axis have
    one channel. Each channel has its own scale, so that a channel with large values does not hide a leak in
    another channel.

    Args:
        largest: the absolute difference that is largest in relation to its scale: shape (channels,). If the
            shapes differ, or if only one value is NaN, the difference is infinite.
        scale: scale of this difference, as `measure` chooses it: shape (channels,).
        where: description of the row and the padding of this difference: shape (channels,), dtype object.
    """

    largest: Array
    scale: Array
    where: Array

    @classmethod
    def one(cls, largest: float, scale: float, where: str = "") -> Deviation:
        """Return a deviation with one channel."""
        return cls(np.array([largest]), np.array([scale]), np.array([where], dtype=object))

    @property
    def shares(self) -> Array:
        """The differences as shares of their scales: shape (channels,)."""
        return shares_of(self.largest, self.scale)

    def __or__(self, other: Deviation) -> Deviation:
        if self.largest.shape != other.largest.shape:
            # The number of channels differs between two runs, so one of the deviations is infinite.
            return max(self, other, key=lambda deviation: float(deviation.shares.max(initial=0.0)))
        mine = self.shares >= other.shares
        return Deviation(
            np.where(mine, self.largest, other.largest),
            np.where(mine, self.scale, other.scale),
            np.where(mine, self.where, other.where),
        )


def shares_of(differences: Array, scales: Array) -> Array:
    """Return differences as shares of their scales. If the scale is 0, a difference other than 0 is infinite.

    >>> shares_of(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 4.0])).tolist()
    [0.0, inf, 0.25]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        shares: Array = np.where(differences == 0, 0.0, differences / scales)
    return np.where(np.isnan(shares), np.inf, shares)


Deviations = dict[str, Deviation]

# Noise of each channel of each output as a share of its scale, keyed by output name.
Noises = Mapping[str, Array]


@dataclass(frozen=True)
class ComparedDeviation:
    """The deviation of an output and its tolerance, both as absolute differences."""

    deviation: float
    tolerance: float
    where: str = ""

    @property
    def holds(self) -> bool:
        return self.deviation <= self.tolerance


@dataclass(frozen=True)
class Check:
    """The result of a check.

    Args:
        name: name of the check.
        verdict: `"holds"` if the check passed, `"fails"` or `"skipped"`.
        max_abs_diff: largest absolute deviation at real positions; None if the check was skipped.
        tolerance: largest allowed deviation; None if the check was skipped.
        detail: row and padding with the largest deviation, or the reason why the check was skipped.
        outputs: deviation and tolerance of each output, keyed by output name.
    """

    name: str
    verdict: CheckVerdict
    max_abs_diff: float | None = None
    tolerance: float | None = None
    detail: str = ""
    outputs: Mapping[str, ComparedDeviation] | None = None

    @classmethod
    def skipped(cls, name: str, reason: str) -> Check:
        return cls(name, "skipped", detail=reason)

    @classmethod
    def of(cls, name: str, outputs: Mapping[str, ComparedDeviation], detail: str = "") -> Check:
        """Create a result from the deviations of all outputs.

        `max_abs_diff` and `tolerance` come from the output with the largest ratio of deviation to tolerance.
        """
        if not outputs:
            return cls.skipped(
                name, detail or "no output has a value at a real token, so there is nothing to compare"
            )
        worst_name, worst = max(outputs.items(), key=lambda item: _excess(item[1]))
        where = f"{worst_name}: {worst.where}" if len(outputs) > 1 and worst.where else worst.where
        summary = where if not worst.holds or not detail else detail
        if not worst.holds and detail:
            summary = f"{where}; {detail}" if where else detail
        verdict: CheckVerdict = "holds" if worst.holds else "fails"
        return cls(name, verdict, worst.deviation, worst.tolerance, summary, outputs)


def _excess(compared: ComparedDeviation) -> tuple[bool, float]:
    tolerance = compared.tolerance or np.finfo(float).tiny
    return not compared.holds, compared.deviation / tolerance


def compare_deviation(
    native: Deviations, noises: Noises, dtype: str, precise: tuple[Deviations, Noises, str] | None
) -> tuple[dict[str, ComparedDeviation], str]:
    """Choose the deviation and the tolerance of each output so that rounding is not reported as a leak.

    The results of a run in a higher precision are chosen in two cases:

    - Only the run in the model's own precision exceeds its tolerance, and rounding can explain the deviation.
    - Only the run in the higher precision exceeds its tolerance, and the deviation is so small that the run
      in the model's own precision cannot show it.

    Otherwise, the results in the model's own precision are chosen. For example, if only the run in the higher
    precision has a large deviation, the conversion changed the model: a cast may return a new tensor without
    the mask.

    Args:
        native: deviation of each output in the model's own precision, keyed by output name.
        noises: noise of each output in the model's own precision.
        dtype: the model's own precision, such as `"float32"`.
        precise: deviations and noise in a higher precision, and its key in `LIMITS`; None if the model did
            not run in a higher precision.

    Returns:
        The deviation and tolerance of each output, and a text for the report about the choice, or an empty
        string.
    """
    compared, remark = {}, ""
    for name, deviation in native.items():
        own = _compare(deviation, noises.get(name), dtype)
        compared[name] = own
        if precise is None or name not in precise[0]:
            continue
        in_float64 = precise[0][name]
        better = _compare(in_float64, precise[1].get(name), precise[2])
        if own.holds == better.holds:
            continue
        if own.holds and not _is_below(in_float64, allowed_shares(noises.get(name), dtype)):
            remark = (
                f"a copy of the model in float64 behaves differently: its deviation is "
                f"{better.deviation:.1e}, but the {dtype} deviation is {own.deviation:.1e}"
            )
        elif own.holds:
            compared[name], remark = better, "measured in float64"
        elif _is_below(deviation, np.array(PLAUSIBLE_ROUNDING.get(dtype, 0.0))):
            compared[name] = better
            remark = (
                f"the {dtype} deviation, {own.deviation:.1e}, is a rounding error, because it vanishes in "
                "float64"
            )
    return compared, remark


def allowed_shares(noise: Array | None, dtype: str) -> Array:
    """Return the largest allowed deviation of each channel, as a share of its scale.

    Args:
        noise: noise of each channel as a share of its scale: shape (channels,); None if unknown.
        dtype: key in `LIMITS`.
    """
    if noise is None:
        return np.array(LIMITS[dtype])
    return np.maximum(LIMITS[dtype], NOISE_FACTOR * noise)


def _is_below(deviation: Deviation, shares: Array) -> bool:
    if shares.ndim and shares.shape != deviation.largest.shape:
        return False
    return bool((deviation.largest <= shares * deviation.scale).all())


def _compare(deviation: Deviation, noise: Array | None, dtype: str) -> ComparedDeviation:
    """Return the deviation and tolerance of the channel in which their ratio is largest."""
    allowed = allowed_shares(noise, dtype)
    if allowed.ndim and allowed.shape != deviation.largest.shape:
        allowed = np.array(LIMITS[dtype])
    if not deviation.largest.size:
        return ComparedDeviation(0.0, 0.0)
    tolerances = allowed * deviation.scale
    channel = int(shares_of(deviation.largest, tolerances).argmax())
    return ComparedDeviation(
        float(deviation.largest[channel]), float(tolerances[channel]), str(deviation.where[channel])
    )


def worst(deviations: Iterable[ComparedDeviation]) -> ComparedDeviation | None:
    """Return the deviation with the largest ratio to its tolerance; None if there are no deviations."""
    return max(deviations, key=_excess, default=None)
