"""Tell a leak from rounding: tolerances, noise, and the result of a check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CheckVerdict = Literal["holds", "fails", "skipped"]

# What a model that was made double is judged by: it may still cast to float32 inside, whose rounding is
# up to 4e-7; leaks were never below 1e-5.
PRECISE = "widened"

# How far outputs may lie apart, as a share of the largest one. The worst that models that ignore
# padding showed over recurrent, attention and pooling layers was 4e-7 in float32 and 9e-16 in float64.
LIMITS = {"float64": 1e-9, PRECISE: 1e-6, "float32": 1e-5, "float16": 5e-3, "bfloat16": 2e-2}

# Deviations of sound models stay within measured noise, those of leaks were thousands of times larger.
NOISE_FACTOR = 20.0

# Noise beyond this share of the outputs excuses nothing.
MOST_NOISE = 1e-3

# What rounding may explain, as a share of the outputs, where double precision shows no leak.
PLAUSIBLE_ROUNDING = {"float32": 2e-2, "float16": 5e-2, "bfloat16": 2e-1}


@dataclass(frozen=True)
class Deviation:
    """How far an output strays at real places.

    Args:
        largest: the largest absolute difference; infinite where a number met none.
        scale: the largest absolute output.
        where: in which row and at which padding.
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
    """A deviation against its tolerance, both absolute."""

    deviation: float
    tolerance: float
    where: str = ""

    @property
    def holds(self) -> bool:
        return self.deviation <= self.tolerance


@dataclass(frozen=True)
class Check:
    """What a check found.

    Args:
        name: of the check.
        verdict: `"holds"`, `"fails"` or `"skipped"`.
        max_abs_diff: the largest deviation at real places, in the outputs' unit; None where skipped.
        tolerance: what it may be; None where skipped.
        detail: where it was found, or why the check was skipped.
        outputs: the same for each output.
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
    def of(cls, name: str, judged: Mapping[str, ComparedDeviation], detail: str = "") -> Check:
        """Sum up what was found at each output: the worst one speaks."""
        if not judged:
            return cls.skipped(name, detail or "no output has real places to compare")
        worst_name, worst = max(judged.items(), key=lambda item: _excess(item[1]))
        where = f"{worst_name}: {worst.where}" if len(judged) > 1 and worst.where else worst.where
        said = where if not worst.holds or not detail else detail
        if not worst.holds and detail:
            said = f"{where}; {detail}" if where else detail
        verdict: CheckVerdict = "holds" if worst.holds else "fails"
        return cls(name, verdict, worst.deviation, worst.tolerance, said, judged)


def _excess(judged: ComparedDeviation) -> tuple[bool, float]:
    tolerance = judged.tolerance or np.finfo(float).tiny
    return not judged.holds, judged.deviation / tolerance


def compare_deviation(
    native: Deviations,
    noises: Mapping[str, float],
    dtype: str,
    precise: tuple[Deviations, Mapping[str, float]] | None,
) -> tuple[dict[str, ComparedDeviation], str]:
    """Decide for each output whether its deviation is more than rounding.

    Where the model could be run in double precision too, that decides between rounding, which
    vanishes there, and a leak, which does not. It excuses nothing that rounding cannot explain: some
    leaks come with a precision, since a cast makes a new tensor, and masks ride on tensors.

    Args:
        native: deviations in the model's own precision.
        noises: of that precision, by output, in the outputs' unit.
        dtype: of that precision.
        precise: the same two in double precision.

    Returns:
        The judgements by output, and a remark.
    """
    judged, remark = {}, ""
    for name, deviation in native.items():
        own = _judged(deviation, noises.get(name, 0.0), dtype)
        judged[name] = own
        if precise is None:
            continue
        better = _judged(precise[0].get(name, Deviation()), precise[1].get(name, 0.0), PRECISE)
        if own.holds != better.holds and (own.holds or _may_be_rounding(deviation, dtype)):
            judged[name] = better
            remark = (
                f"in {dtype} it is {own.deviation:.1e}, rounding that vanishes in float64"
                if better.holds
                else "seen in float64"
            )
    return judged, remark


def _judged(deviation: Deviation, noise_: float, dtype: str) -> ComparedDeviation:
    tolerance = max(LIMITS[dtype] * deviation.scale, NOISE_FACTOR * noise_)
    return ComparedDeviation(deviation.largest, tolerance, deviation.where)


def _may_be_rounding(deviation: Deviation, dtype: str) -> bool:
    """Whether a deviation beyond its tolerance is still small enough to be rounding."""
    return deviation.largest <= PLAUSIBLE_ROUNDING.get(dtype, 0.0) * deviation.scale


def worst(judged: Iterable[ComparedDeviation]) -> ComparedDeviation | None:
    """Return the judgement that exceeds its tolerance most."""
    return max(judged, key=_excess, default=None)
