"""Describe how the plans of `inspect` handle rows longer than maxlen: `Cuts`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from padmask.core.shared_ends import SharedEnds
from padmask.spec.pad import PadSpec
from padmask.spec.windows import needed_positions, refuse_large_ends

Overlong = Literal["truncate", "window", "split", "drop", "error"]

# The overlap of windows is their length divided by this number, if the user requests no overlap.
OVERLAP = 8


@dataclass(frozen=True)
class WindowSize:
    """The numbers of tokens that each window of a row repeats.

    Args:
        first, last: numbers of tokens that each window keeps from the ends of its row.
        overlap: number of other tokens that a window repeats from the previous window.
    """

    first: int
    last: int
    overlap: int

    @property
    def repeated(self) -> int:
        """Number of tokens that each window after the first repeats."""
        return self.first + self.last + self.overlap


@dataclass(frozen=True)
class Cuts:
    """How a plan with one length for all rows handles rows longer than this length.

    Args:
        overlong: `"truncate"`, `"window"`, `"drop"` or `"error"`, as in `--overlong`.
        first, last: requested numbers of tokens to keep at the start and at the end of each row.
        overlap: requested overlap of windows; None for an eighth of the window length.
        shared: tokens with which most rows start and end, and which windows keep.
        has_window_columns: whether the input already has a column that windows would add, so that rows cannot
            be split.
    """

    overlong: Overlong = "truncate"
    first: int = 0
    last: int = 0
    overlap: int | None = None
    shared: SharedEnds = field(default_factory=SharedEnds)
    has_window_columns: bool = False

    @classmethod
    def of(cls, spec: PadSpec, overlong: Overlong, shared: SharedEnds) -> Cuts:
        """Return the cuts that `spec` requests.

        If a column contains the number of tokens to keep for each row, the number counts as 0.
        """
        first, last = (end if isinstance(end, int) else 0 for end in (spec.keep_first, spec.keep_last))
        # The user's choice for an end takes precedence over the shared token.
        shared = SharedEnds(
            None if spec.keep_first else shared.first, None if spec.keep_last else shared.last
        )
        if spec.windows is None:
            return cls(overlong, first, last, None, shared)
        return cls("window", first, last, spec.windows.overlap, shared)

    def fit(self, maxlen: int, overlong: Overlong) -> bool:
        """Return whether `maxlen` is large enough for the tokens to keep and the requested overlap."""
        overlap = (self.overlap or 0) if overlong == "window" else None
        return bool(needed_positions(self.first, self.last, overlap) <= maxlen)

    def can_window(self, maxlen: int) -> bool:
        """Return whether rows can be split into windows of `maxlen` positions."""
        return not self.has_window_columns and self.fit(maxlen, "window")

    def window_size(self, maxlen: int) -> WindowSize:
        """Return the numbers of tokens that windows of `maxlen` positions repeat.

        >>> Cuts(shared=SharedEnds(101, 102)).window_size(128)
        WindowSize(first=1, last=1, overlap=16)
        >>> Cuts(shared=SharedEnds(101, 102)).window_size(2)
        WindowSize(first=0, last=0, overlap=0)

        Raises:
            SpecError: the tokens to keep and the requested overlap do not fit.
        """
        refuse_large_ends(maxlen, self.first, self.last, self.overlap or 0)
        first = self.first or int(self.shared.first is not None)
        last = self.last or int(self.shared.last is not None)
        if needed_positions(first, last, self.overlap or 0) > maxlen:
            first, last = self.first, self.last
        if self.overlap is not None:
            return WindowSize(first, last, self.overlap)
        return WindowSize(first, last, min(maxlen // OVERLAP, maxlen - first - last - 1))
