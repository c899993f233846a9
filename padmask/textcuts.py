"""JSON Lines to JSON Lines without reading a token: what is kept keeps its own text.

Padded rows have few masks, so that each is read once and known by its text from then on;
plain ids are cut in one text of all rows, and other tokens, whatever they are, one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.cuts import Cuts, OnError, lengths_of, set_apart
from padmask.errors import Fault
from padmask.formats.batch import Batch
from padmask.formats.jsonl import write_objects
from padmask.formats.jsontokens import read_items, read_sequences
from padmask.kernel import Windows
from padmask.ragged import Ragged
from padmask.textrows import MEMO_PLACES, IdTexts, read_ids
from padmask.unpadded import Unpadding, name_column, settle

Positions = npt.NDArray[np.int64]
Items = list[list[msgspec.Raw]]


class MaskTexts:
    """Reads the text of masks, each different one once.

    Args:
        type_: list type of the mask.
    """

    def __init__(self, type_: pa.DataType) -> None:
        self._type = type_
        self._seen: Mapping[bytes, tuple[int, int, int, str | None]] = {}

    def read(self, raws: Sequence[msgspec.Raw | None]) -> tuple[Windows, list[Fault]]:
        """Return the real places of each row, and a fault for each that is no mask.

        >>> masks = MaskTexts(pa.list_(pa.bool_()))
        >>> masks.read([msgspec.Raw(b"[false,true,true]")])[0].firsts.tolist()
        [1]

        Args:
            raws: a valid JSON value each; None where the key is missing.
        """
        # No JSON value is without text.
        texts = [b"" if raw is None else bytes(raw) for raw in raws]
        held = len(self._seen) * len(texts[0]) if texts else 0
        # Not changed but replaced: another thread may be reading it.
        seen = self._seen if held < MEMO_PLACES else {}
        new = [text for text in dict.fromkeys(texts) if text not in seen]
        if new:
            self._seen = seen = {**seen, **self._read(new)}
        rows = [seen[text] for text in texts]
        numbers = np.array([row[:3] for row in rows], dtype=np.int64).reshape(-1, 3)
        faults = [Fault(i, row[3]) for i, row in enumerate(rows) if row[3] is not None]
        return Windows(numbers[:, 0], numbers[:, 1], numbers[:, 2]), faults

    def _read(self, texts: Sequence[bytes]) -> dict[bytes, tuple[int, int, int, str | None]]:
        array, unread = read_sequences([msgspec.Raw(text) if text else None for text in texts], self._type)
        mask, odd = Ragged.from_mask(array)
        windows, broken = Windows.of_mask(mask)
        reasons = {fault.row: fault.reason for fault in [*broken, *odd, *unread]}
        numbers = np.stack([windows.firsts, windows.lengths, windows.places], axis=1).tolist()
        return {text: (*numbers[i], reasons.get(i)) for i, text in enumerate(texts)}


class TextCutter:
    """Cuts rows of JSON Lines as text.

    Args:
        job: what is padded, and what says so.
        mask_type: list type of the mask, where there is one.
        on_error: what becomes of rows that contradict themselves.
    """

    def __init__(self, job: Unpadding, mask_type: pa.DataType | None, on_error: OnError) -> None:
        self._job, self._on_error = job, on_error
        self._masks = None if mask_type is None else MaskTexts(mask_type)

    def cut(self, batch: Batch, consumed: int) -> tuple[bytes, Cuts]:
        """Return the rows as lines, and their account."""
        job, objects = self._job, batch.objects
        assert objects is not None
        found: list[Fault] = []
        texts: dict[str, IdTexts | Items] = {}
        for name in job.columns:
            texts[name], faults = _read_texts([row.get(name) for row in objects])
            found += name_column(name, faults)
        mask = None
        if self._masks is not None and job.mask is not None:
            mask, faults = self._masks.read([row.get(job.mask) for row in objects])
            found += name_column(job.mask, faults)
        places = {name: _count(rows) for name, rows in texts.items()}
        windows, faults = settle(places, mask, lengths_of(batch, job), found, job)
        cuts = set_apart(batch, windows, faults, self._on_error, consumed)
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


def _cut(texts: IdTexts | Items, cuts: Cuts) -> list[Any]:
    """Return the text of the real tokens of each row that is kept."""
    firsts, lengths = cuts.windows.firsts, cuts.windows.lengths
    if isinstance(texts, IdTexts):
        begins, ends = texts.between(texts.opens[cuts.rows] + firsts, lengths)
        return [
            msgspec.Raw(b"[" + texts.text[begin:end] + b"]")
            for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        ]
    rows = zip(cuts.rows.tolist(), firsts.tolist(), (firsts + lengths).tolist(), strict=True)
    return [texts[row][first:end] for row, first, end in rows]
