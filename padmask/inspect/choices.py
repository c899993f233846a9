"""The cost and the command for each value of maxlen that the reader of a report can choose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from padmask.inspect.advice import Adviser
from padmask.inspect.costs import Cost, cost_of, windows_cost
from padmask.inspect.inspection import Inspection

# All lengths up to this number are choices. Above this number, there are 64 choices between one power of two
# and the next, so adjacent choices differ by at most 1.6%.
ALL_LENGTHS = 128


@dataclass(frozen=True)
class Choice:
    """One value of maxlen.

    Args:
        maxlen: the length of all rows.
        whole: number of rows that are not longer than `maxlen`.
        cost: cost of the plan.
        command: command that pads the rows to this length.
    """

    maxlen: int
    whole: int
    cost: Cost
    command: str


def make_choices(seen: Inspection) -> list[Choice]:
    """Return the choices for maxlen, ascending. Each choice cuts long rows as the recommended plan does.

    The maxlen of every plan that has one length for all rows is a choice. The list is empty if no length is
    recommended, as for packed rows.

    Args:
        seen: result of `inspect_file`.
    """
    best, adviser = seen.advice.plan, seen.adviser
    if best is None or adviser is None:
        return []
    top = max(seen.stats.longest, best.maxlen)
    plans = {plan.maxlen for plan in seen.plans if 0 < plan.maxlen <= top}
    lengths = np.array(sorted(seen.stats.counts))
    ends = [0, *accumulate(seen.stats.counts[length] for length in lengths.tolist())]
    choices = []
    for maxlen in sorted({*lengths_up_to(top), *plans}):
        if not _fits(adviser, best, maxlen):
            continue
        is_window = best.overlong == "window"
        cost = windows_cost(adviser.basis, maxlen) if is_window else cost_of(adviser.basis, maxlen)
        whole = ends[int(np.searchsorted(lengths, maxlen, side="right"))]
        choices.append(Choice(maxlen, whole, cost, adviser.command_of(cost)))
    return choices


def _fits(adviser: Adviser, best: Cost, maxlen: int) -> bool:
    """Return whether `maxlen` is large enough for the tokens to keep and the overlap of windows.

    The result is True for the recommended length, and for lengths that cut no row.
    """
    if maxlen == best.maxlen or maxlen >= adviser.basis.stats.longest:
        return True
    cuts = adviser.basis.cuts
    return cuts.can_window(maxlen) if best.overlong == "window" else cuts.fit(maxlen, best.overlong)


def lengths_up_to(top: int) -> Iterable[int]:
    """Return all lengths up to 128, then lengths in steps of 2, 4, 8 and so on, and finally `top`.

    >>> lengths = list(lengths_up_to(1_000))
    >>> lengths[125:130], lengths[-3:], len(lengths)
    ([126, 127, 128, 130, 132], [984, 992, 1000], 317)
    """
    step, length = 1, 1
    while length < top:
        yield length
        if length >= ALL_LENGTHS and length & (length - 1) == 0:
            step *= 2
        length += step
    if top > 0:
        yield top
