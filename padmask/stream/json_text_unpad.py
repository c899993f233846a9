"""Unpad JSON Lines to JSON Lines without parsing tokens. The text of the real tokens stays unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from padmask.core.plan import Positions
from padmask.core.unpad_job import UnpadJob
from padmask.core.unpad_table import blame_column, compare_lengths
from padmask.errors import Fault
from padmask.formats.contract import Batch
from padmask.formats.jsonl.id_texts import read_ids
from padmask.formats.jsonl.tokens import read_items
from padmask.formats.jsonl.values import write_objects
from padmask.stream.json_masks import MaskTexts
from padmask.stream.unpad_rows import OnError, UnpadRows, lengths_of, split_bad_rows


class TokenTexts(Protocol):
    """The tokens of a column as JSON text: ids (`IdTexts`) or items of any type (`ItemTexts`)."""

    @property
    def lengths(self) -> Positions:
        """Number of tokens in each row: int64, shape (rows,)."""

    def cut(self, rows: Positions, starts: Positions, counts: Positions) -> Sequence[Any]:
        """For each i, return `counts[i]` tokens of row `rows[i]`, starting at index `starts[i]`."""


class ItemTexts:
    """The items of lists as JSON text.

    Args:
        items: items of each row.
    """

    def __init__(self, items: Sequence[Sequence[msgspec.Raw]]) -> None:
        self._items = items
        self.lengths = np.array(list(map(len, items)), dtype=np.int64)

    def cut(self, rows: Positions, starts: Positions, counts: Positions) -> Sequence[Any]:
        """For each i, return `counts[i]` items of row `rows[i]`, starting at index `starts[i]`.

        >>> items = ItemTexts([[msgspec.Raw(b"1.5"), msgspec.Raw(b"0")]])
        >>> [bytes(item) for item in items.cut(np.array([0]), np.array([0]), np.array([1]))[0]]
        [b'1.5']
        """
        slices = zip(rows.tolist(), starts.tolist(), (starts + counts).tolist(), strict=True)
        return [self._items[row][start:end] for row, start, end in slices]


class TextUnpadder:
    """Removes the padding from JSON rows without parsing the tokens.

    Args:
        job: the padded columns, and the columns that mark the padding.
        masks: reader of the mask column; None if there is no mask column.
        on_error: `"fail"` raises an error for a bad row, `"skip"` skips the row.
    """

    def __init__(self, job: UnpadJob, masks: MaskTexts | None, on_error: OnError) -> None:
        self._job, self._masks, self._on_error = job, masks, on_error

    def cut(self, batch: Batch, consumed: int) -> tuple[bytes, UnpadRows]:
        """Return the unpadded rows as JSON lines, and the `UnpadRows` with the padded rows and the counts."""
        job, objects = self._job, batch.objects
        assert objects is not None
        found: list[Fault] = []
        texts: dict[str, TokenTexts] = {}
        for name in job.columns:
            texts[name], faults = read_texts([row.get(name) for row in objects])
            found += blame_column(name, faults, "columns")
        mask, faults = (None, []) if self._masks is None else self._masks.read(objects)
        found += faults
        places = {name: tokens.lengths for name, tokens in texts.items()}
        segments, faults = compare_lengths(places, mask, lengths_of(batch, job), found, job)
        cuts = split_bad_rows(batch, segments, faults, self._on_error, consumed, job.order)
        kept = [objects[row] for row in cuts.rows.tolist()]
        for name, tokens in texts.items():
            cut = tokens.cut(cuts.rows, cuts.segments.starts, cuts.segments.counts)
            for row, text in zip(kept, cut, strict=True):
                row[name] = text
        for name in job.dropped:
            for row in kept:
                row.pop(name, None)
        return write_objects(kept), cuts


def read_texts(raws: Sequence[msgspec.Raw | None]) -> tuple[TokenTexts, list[Fault]]:
    """Return the tokens of JSON lists as text, and a `Fault` for each row that is not a list."""
    ids = read_ids(raws, "int64") if raws else None
    if ids is not None:
        return ids, []
    items, faults = read_items(raws)
    return ItemTexts(items), faults
