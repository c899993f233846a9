"""Padding with plain lists: slow, simple, and the reference for the kernel."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Return the percentile of the lengths by the nearest-rank method."""
    return min(
        candidate
        for candidate in lengths
        if sum(length <= candidate for length in lengths) * 100 >= percent * len(lengths)
    )


def cut_between_ends(row: list[Any], maxlen: int, first: int, last: int, truncating: str) -> list[Any]:
    """Return a row that is cut to maxlen, but keeps `first` tokens at its start and `last` at its end."""
    if len(row) <= maxlen:
        return row
    head, body, tail = row[:first], row[first : len(row) - last], row[len(row) - last :]
    room = maxlen - first - last
    return head + (body[:room] if truncating == "post" else body[len(body) - room :]) + tail


def split_row(
    row: list[Any], maxlen: int, first: int, last: int, overlap: int, truncating: str
) -> list[tuple[int, int]]:
    """Return the start and stop of each window, without the kept ends, as in Hugging Face's tokenizers."""
    if len(row) <= maxlen:
        return [(0, len(row))]
    room, length = maxlen - first - last, len(row) - first - last
    found = []
    for offset in range(0, length, room - overlap):
        end = min(offset + room, length)
        found.append((offset, end))
        if end == length:
            break
    if truncating == "pre":
        found = [(length - end, length - start) for start, end in reversed(found)]
    return [(first + start, first + end) for start, end in found]


def batch_lists(
    lengths: Sequence[int], tokens: int, rows_multiple: int = 1, multiple: int = 1
) -> list[tuple[int, list[int]]]:
    """Return the width and the rows of each batch. A batch takes as many of the shortest rows as possible."""

    def width(rows: list[int]) -> int:
        longest = max(1, *(lengths[row] for row in rows))
        return -(-longest // multiple) * multiple

    left, found = sorted(range(len(lengths)), key=lambda row: lengths[row]), []
    while left:
        fitting = [
            left[:n]
            for n in range(1, len(left) + 1)
            if n * width(left[:n]) <= tokens and (n % rows_multiple == 0 or n == len(left))
        ]
        found.append((width(fitting[-1]), fitting[-1]))
        left = left[len(fitting[-1]) :]
    return found
