"""The result of the search for the layer or module that causes a leak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from padmask.verify.report import LayerReport

# Maximum number of differences that a search skips because they have no effect on the outputs, such as those
# of rotary positions under left padding.
MOST_HARMLESS = 24


@dataclass(frozen=True)
class Traced:
    """The result of the search for the layer or module that causes a leak.

    Args:
        culprit: name of the layer, operation or module to fix, such as the layer that drops the mask. None if
            unknown.
        path: the calls that lead to the first output that depends on padding.
        advice: how to fix the model.
        remark: additional information, or the reason why the search failed.
        layers: masks and deviations of every layer, operation or module that ran.
    """

    culprit: str | None = None
    path: str | None = None
    advice: str | None = None
    remark: str = ""
    layers: Sequence[LayerReport] = ()
