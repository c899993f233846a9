"""Padding with plain lists: slow, simple, and the reference for the kernel."""

from __future__ import annotations

from typing import Any


def pad_lists(
    rows: list[list[Any]], maxlen: int, padding: str, truncating: str, value: Any
) -> tuple[list[list[Any]], list[list[bool]], list[int]]:
    """Return the padded rows, their masks, and the number of real tokens in each row."""
    values, mask, lengths = [], [], []
    for row in rows:
        kept = row[:maxlen] if truncating == "post" else row[max(0, len(row) - maxlen) :]
        gap = maxlen - len(kept)
        real, fill = [True] * len(kept), [False] * gap
        values.append(kept + [value] * gap if padding == "post" else [value] * gap + kept)
        mask.append(real + fill if padding == "post" else fill + real)
        lengths.append(len(kept))
    return values, mask, lengths


def nearest_rank(lengths: list[int], percent: float) -> int:
    """Return the smallest length such that at least `percent` % of the rows are not longer."""
    return min(
        candidate
        for candidate in lengths
        if sum(length <= candidate for length in lengths) * 100 >= percent * len(lengths)
    )
