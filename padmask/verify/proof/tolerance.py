"""Distinguish leaks from rounding errors with tolerances and measured noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CheckVerdict = Literal["holds", "fails", "skipped"]

# Key in LIMITS for a model that was converted to float64. Layers may still cast to float32, which causes
# rounding errors of up to 4e-7. Measured leaks were never smaller than 1e-5.
PRECISE = "widened"

# Largest allowed deviation, as a share of the largest output. For models that ignore padding, the largest
# measured deviation was 4e-7 in float32 and 9e-16 in float64.
LIMITS = {"float64": 1e-9, PRECISE: 1e-6, "float32": 1e-5, "float16": 5e-3, "bfloat16": 2e-2}

# Allowed deviation as a multiple of the measured noise. Leaks were thousands of times larger than the noise.
NOISE_FACTOR = 20.0

# Upper limit for the noise, as a share of the largest output.
MOST_NOISE = 1e-3

# Largest deviation that can be rounding if float64 shows no leak, as a share of the largest output.
PLAUSIBLE_ROUNDING = {"float32": 2e-2, "float16": 5e-2, "bfloat16": 2e-1}


@dataclass(frozen=True)
class Deviation:
    """The largest deviation of an output at real positions.

    Args:
        largest: largest absolute difference. If the shapes differ, or if only one value is NaN, the
            difference is infinite.
        scale: largest absolute value of the output.
        where: description of the row and the padding with the largest difference.
    """

    largest: float = 0.0
    scale: float = 0.0
    where: str = ""

    def __or__(self, other: Deviation) -> Deviation:
        worst = self if self.largest >= other.largest else other
        return replace(worst, scale=max(self.scale, other.scale))


Deviations = dict[str, Deviation]


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
            return cls.skipped(name, detail or "no output has a value at a real token to compare")
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
    native: Deviations,
    noises: Mapping[str, float],
    dtype: str,
    precise: tuple[Deviations, Mapping[str, float]] | None,
) -> tuple[dict[str, ComparedDeviation], str]:
    """Choose the deviation and the tolerance of each output so that rounding is not reported as a leak.

    If the model also ran in float64, the float64 deviation is usually chosen, because float64 has almost no
    rounding. However, a deviation that is too large for rounding is always a leak. Some leaks occur in only
    one precision, because a cast returns a new tensor without the mask.

    Args:
        native: deviation of each output in the model's own precision, keyed by output name.
        noises: absolute noise of each output in the model's own precision, keyed by output name.
        dtype: the model's own precision, such as `"float32"`.
        precise: deviations and noise in float64; None if the model did not run in float64.

    Returns:
        The deviation and tolerance of each output, and a remark for the report.
    """
    compared, remark = {}, ""
    for name, deviation in native.items():
        own = _compare(deviation, noises.get(name, 0.0), dtype)
        compared[name] = own
        if precise is None:
            continue
        float64 = _compare(precise[0].get(name, Deviation()), precise[1].get(name, 0.0), PRECISE)
        if own.holds != float64.holds and (own.holds or _may_be_rounding(deviation, dtype)):
            compared[name] = float64
            remark = (
                f"the {dtype} deviation, {own.deviation:.1e}, is a rounding error, because it vanishes in "
                "float64"
                if float64.holds
                else "measured in float64"
            )
    return compared, remark


def _compare(deviation: Deviation, noise: float, dtype: str) -> ComparedDeviation:
    tolerance = max(LIMITS[dtype] * deviation.scale, NOISE_FACTOR * noise)
    return ComparedDeviation(deviation.largest, tolerance, deviation.where)


def _may_be_rounding(deviation: Deviation, dtype: str) -> bool:
    """Return whether a deviation above its tolerance is small enough to be a rounding error."""
    return deviation.largest <= PLAUSIBLE_ROUNDING.get(dtype, 0.0) * deviation.scale


def worst(deviations: Iterable[ComparedDeviation]) -> ComparedDeviation | None:
    """Return the deviation with the largest ratio to its tolerance; None if there are no deviations."""
    return max(deviations, key=_excess, default=None)
