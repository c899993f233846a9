"""Read the masks of JSON Lines. Parsed masks are cached, because many rows have the same mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pyarrow as pa

from padmask.core.plan import Segments
from padmask.core.unpad_table import blame_column, read_mask_column
from padmask.errors import Fault
from padmask.formats.jsonl.reader import Object
from padmask.formats.jsonl.tokens import read_sequences
from padmask.spec.mask import TRUE_AT_TOKENS, Dialect

# Maximum size of the cached mask texts, in bytes.
CACHE_BYTES = 1 << 22


class MaskTexts:
    """Reads the masks of JSON rows, with a cache.

    Args:
        name: name of the mask column.
        type_: list type of the mask column.
        dialect: polarity and kind of the mask.
    """

    def __init__(self, name: str, type_: pa.DataType, dialect: Dialect = TRUE_AT_TOKENS) -> None:
        self._name, self._type, self._dialect = name, type_, dialect
        self._seen: Mapping[bytes, tuple[int, int, int, Fault | None]] = {}

    def read(self, objects: Sequence[Object]) -> tuple[Segments, list[Fault]]:
        """Return the positions of the real tokens, and a `Fault` for each row with a bad mask.

        >>> masks = MaskTexts("mask", pa.list_(pa.bool_()))
        >>> masks.read([{"mask": msgspec.Raw(b"[false,true,true]")}])[0].starts.tolist()
        [1]

        Args:
            objects: each row as a dict from keys to JSON text.
        """
        # No JSON value is an empty text, so an empty text means that the key is missing.
        texts = [bytes(row.get(self._name, b"")) for row in objects]
        cached = len(self._seen) * len(texts[0]) if texts else 0
        # This dict is replaced instead of changed, because another thread may read it.
        seen = self._seen if cached < CACHE_BYTES else {}
        new = [text for text in dict.fromkeys(texts) if text not in seen]
        if new:
            self._seen = seen = {**seen, **self._read(new)}
        rows = [seen[text] for text in texts]
        numbers = np.array([row[:3] for row in rows], dtype=np.int64).reshape(-1, 3)
        faults = [replace(row[3], row=i) for i, row in enumerate(rows) if row[3] is not None]
        segments = Segments(numbers[:, 0], numbers[:, 1], numbers[:, 2], None)
        return segments, faults

    def _read(self, texts: Sequence[bytes]) -> dict[bytes, tuple[int, int, int, Fault | None]]:
        array, unread = read_sequences([msgspec.Raw(text) if text else None for text in texts], self._type)
        segments, invalid = read_mask_column(array, self._name, self._dialect)
        unread = blame_column(self._name, unread, "mask_column")
        first = {fault.row: fault for fault in [*reversed(invalid), *unread]}
        numbers = np.stack([segments.source_lengths, segments.starts, segments.counts], axis=1).tolist()
        return {text: (*numbers[i], first.get(i)) for i, text in enumerate(texts)}
