"""Unpad JSON Lines to JSON Lines without parsing tokens. The text of the remaining tokens stays unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from padmask.core.plan import Positions
from padmask.core.unpad_table import UnpadJob, blame_column, compare_lengths
from padmask.errors import Fault
from padmask.formats.contract import Batch
from padmask.formats.jsonl.tokens import read_items
from padmask.formats.jsonl.writer import write_objects
from padmask.stream.json_masks import MaskTexts
from padmask.stream.json_text import IdTexts, read_ids
from padmask.stream.unpad_rows import OnError, UnpadRows, lengths_of, split_bad_rows

Items = list[list[msgspec.Raw]]


class TextUnpadder:
    """Removes the padding from rows of JSON Lines as text.

    Args:
        job: the padded columns, and the columns that mark the padding.
        masks: reader of the mask column; None without a mask column.
        on_error: what to do with rows that contradict themselves.
    """

    def __init__(self, job: UnpadJob, masks: MaskTexts | None, on_error: OnError) -> None:
        self._job, self._masks, self._on_error = job, masks, on_error

    def cut(self, batch: Batch, consumed: int) -> tuple[bytes, UnpadRows]:
        """Return the unpadded rows as lines, and the rows with their counts."""
        job, objects = self._job, batch.objects
        assert objects is not None
        found: list[Fault] = []
        texts: dict[str, IdTexts | Items] = {}
        for name in job.columns:
            texts[name], faults = _read_texts([row.get(name) for row in objects])
            found += blame_column(name, faults, "columns")
        mask, faults = (None, []) if self._masks is None else self._masks.read(objects)
        found += faults
        places = {name: _count(rows) for name, rows in texts.items()}
        segments, faults = compare_lengths(places, mask, lengths_of(batch, job), found, job)
        cuts = split_bad_rows(batch, segments, faults, self._on_error, consumed)
        kept = [objects[row] for row in cuts.rows.tolist()]
        for name, rows in texts.items():
            for row, text in zip(kept, _cut(rows, cuts), strict=True):
                row[name] = text
        for name in job.dropped:
            for row in kept:
                del row[name]
        return write_objects(kept), cuts


def _read_texts(raws: Sequence[msgspec.Raw | None]) -> tuple[IdTexts | Items, list[Fault]]:
    ids = read_ids(raws, "int64") if raws else None
    return (ids, []) if ids is not None else read_items(raws)


def _count(texts: IdTexts | Items) -> Positions:
    return texts.lengths if isinstance(texts, IdTexts) else np.array(list(map(len, texts)), dtype=np.int64)


def _cut(texts: IdTexts | Items, cuts: UnpadRows) -> list[Any]:
    """Return the text of the real tokens of each kept row."""
    firsts, lengths = cuts.segments.starts, cuts.segments.counts
    if isinstance(texts, IdTexts):
        begins, ends = texts.between(texts.opens[cuts.rows] + firsts, lengths)
        return [
            msgspec.Raw(b"[" + texts.text[begin:end] + b"]")
            for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        ]
    rows = zip(cuts.rows.tolist(), firsts.tolist(), (firsts + lengths).tolist(), strict=True)
    return [texts[row][first:end] for row, first, end in rows]
