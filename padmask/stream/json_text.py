"""Pad JSON Lines to JSON Lines as text, without parsing numbers.

Padding as text is faster than `rows.py`, and the output bytes are the same. A chunk is padded as text only if
all its tokens are integers that fit the dtype. `rows.py` pads all other chunks and reports bad rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import msgspec
import numpy as np

from padmask.core.columns import IGNORED_LABEL, PadColumn, is_label
from padmask.core.end_tokens import rows_without_end
from padmask.core.loss_tokens import loss_masks
from padmask.core.made_columns import made_columns
from padmask.core.plan import Plan, Positions, Segments
from padmask.core.planners import make_segments
from padmask.errors import Place
from padmask.formats.contract import Chunk
from padmask.formats.jsonl.id_texts import IdTexts, read_ids
from padmask.formats.jsonl.reader import line_place, read_objects
from padmask.formats.jsonl.values import write_objects
from padmask.spec.pad import FLOAT_DTYPES, INTEGER_DTYPES
from padmask.stream.counts import count_written
from padmask.stream.job import Job
from padmask.stream.late_fields import may_mark_padding
from padmask.stream.ledger import Ledger
from padmask.stream.paddable_rows import PadTarget, RejectedRow

# Maximum number of positions in the cached mask texts.
CACHE_POSITIONS = 1 << 20

# Text of True and False in a mask, by dtype of the mask. Other masks contain 1 and 0.
_FLAGS = {"bool": (b"true", b"false"), **dict.fromkeys(FLOAT_DTYPES, (b"1.0", b"0.0"))}

_IGNORED = str(IGNORED_LABEL).encode()


@dataclass(frozen=True)
class TextRows:
    """JSON rows that can be padded as text, and the counts of rows and tokens.

    Args:
        objects: each row as a dict from keys to JSON text.
        ids: ids of the columns to pad, keyed by column name.
        ledger: counts of rows and tokens.
        chunk: the chunk that contains the rows. The chunk may contain more rows.
        refused: rows that are not written. Always empty, because a chunk with such rows is not padded as
            text.
        late: names of columns that have no values in the first rows, but one value per token in later rows.
    """

    objects: Sequence[dict[str, Any]]
    ids: Mapping[str, IdTexts]
    ledger: Ledger
    chunk: Chunk
    refused: Sequence[RejectedRow] = ()
    late: Sequence[str] = ()

    @property
    def lengths(self) -> Positions:
        """Number of tokens in each row: int64, shape (rows,)."""
        return next(iter(self.ids.values())).lengths

    @property
    def consumed(self) -> int:
        """Number of input bytes read so far, for progress reports."""
        return self.chunk.consumed

    def place(self, row: int) -> Place:
        """Return the location of a row in the input."""
        return line_place(self.chunk, row)

    def split(self, job: Job, plan: Plan, size: int, first: int) -> Iterator[TextRows]:
        """Split the rows into blocks of at most `size` rows.

        The ledger of the first block has the counts of all rows. No row is dropped, because `read_text_rows`
        accepts only chunks whose rows are all written.
        """
        for start in range(0, len(self.objects), size):
            block = slice(start, start + size)
            ids = {name: texts.select(block) for name, texts in self.ids.items()}
            ledger, late = (Ledger(), ()) if start else (self.ledger, self.late)
            yield TextRows(self.objects[block], ids, ledger, self.chunk, late=late)

    def pad(self, target: PadTarget) -> tuple[bytes, TextRows]:
        """Pad the rows. Return the JSON lines, and a copy of this object whose ledger counts the output."""
        job = target.job
        segments = make_segments(self.lengths, target.plan, job.spec)
        for column in job.columns:
            _pad_column(self, column, segments, self.ids[column.name])
        self._add_columns(target, segments)
        for row in self.objects if job.dropped else ():
            for name in job.dropped:
                row.pop(name, None)
        lost = sum(_labels_lost(self.ids[column.name], column, segments) for column in job.columns)
        counts = count_written(segments, lost) + self._count_lost_ends(job, segments)
        done = replace(self, ledger=self.ledger + counts)
        return write_objects(self.objects), done

    def _add_columns(self, target: PadTarget, segments: Segments) -> None:
        """Add the requested columns to the rows: mask, lengths, position ids and labels."""
        job = target.job
        kept = segments.lengths.tolist()
        if job.mask.column is not None:
            for row, length in zip(self.objects, kept, strict=True):
                row[job.mask.column] = target.cache.get(length) or _mask_text(length, target)
        if job.mask.length_column is not None:
            for row, length in zip(self.objects, kept, strict=True):
                row[job.mask.length_column] = length
        for column in made_columns(job.columns, job.mask, segments.maxlen or 0):
            if column.name == job.mask.position_ids:
                texts = {length: _position_text(length, segments) for length in set(kept)}
                for row, length in zip(self.objects, kept, strict=True):
                    row[column.name] = texts[length]
            else:
                _pad_column(self, column, segments, self.ids[str(job.mask.labels_from)])

    def _count_lost_ends(self, job: Job, segments: Segments) -> Ledger:
        """Return a `Ledger` with the number of rows that lost their shared end token by truncation."""
        shared, truncating = job.beside.shared.cut_at(job.spec.truncating), job.spec.truncating
        rows = rows_without_end(segments, truncating) if shared is not None else np.zeros(0, dtype=np.int64)
        if not len(rows):
            return Ledger()
        ids, token = self.ids[job.columns[0].name], str(shared).encode()
        marks = ids.opens[rows] + (ids.lengths[rows] - 1 if truncating == "post" else 0)
        begins, ends = ids.between(marks, np.ones_like(rows))
        begins = begins[ends - begins == len(token)]
        letters = np.frombuffer(ids.text, dtype=np.uint8)
        found = np.ones(len(begins), dtype=bool)
        for i, letter in enumerate(token):
            found &= letters[begins + i] == letter
        return Ledger(ends_lost=int(found.sum()))


def can_pad_as_text(job: Job) -> bool:
    """Return whether the columns and options of a run allow padding as text.

    All columns to pad must contain integers, get an integer dtype and have the same lengths. Windows,
    buckets, batches, packing, additive masks, kept ends from columns, and labels that depend on loss masks
    need parsed rows.
    """
    return (
        not job.own
        and job.mask.kind == "binary"
        and not job.spec.added_columns
        and not job.spec.reorders
        and not job.spec.end_columns
        and not (job.mask.labels_from is not None and loss_masks(job.columns))
        and all(
            column.kind == "int" and column.inner is None and column.dtype in INTEGER_DTYPES
            for column in job.columns
        )
    )


def read_text_rows(chunk: Chunk, job: Job, longest: int | None = None) -> TextRows | None:
    """Return the rows of a chunk as text. Return None if a row must be parsed or must not be written.

    Args:
        chunk: lines of JSON Lines.
        job: columns and options, for which `can_pad_as_text` is True.
        longest: maximum number of tokens in a row; None if there is no limit.
    """
    objects = read_objects(chunk.data)
    if not objects:
        return None
    ids: dict[str, IdTexts] = {}
    for column in job.columns:
        found = read_ids([row.get(column.name) for row in objects], column.dtype)
        if found is None:
            return None
        ids[column.name] = found
    lengths, *others = (texts.lengths for texts in ids.values())
    if any(not np.array_equal(lengths, other) for other in others):
        return None
    if job.policy.empty_rows != "keep" and not lengths.all():
        return None
    if longest is not None and int(lengths.max()) > longest:
        return None
    added = job.mask.made if job.mask.overwrite else job.mask.names
    if any(_any_has(objects, name) for name in added if name != job.replaced):
        return None
    if not _are_without_padding(objects, job, lengths):
        return None
    late = () if job.late is None else job.late.find_in(objects)
    ledger = Ledger(rows_read=len(objects), tokens_read=int(lengths.sum()))
    return TextRows(objects, ids, ledger, chunk, late=late)


def _are_without_padding(objects: Sequence[dict[str, Any]], job: Job, lengths: Positions) -> bool:
    """Return whether no mask of the input marks padding. If the result is False, `rows.py` reads the rows."""
    if job.ones is not None and not _are_ones([row.get(job.ones) for row in objects], lengths):
        return False
    return not any(
        may_mark_padding(row[name], name)
        for name in job.watched
        if _any_has(objects, name)
        for row in objects
        if name in row
    )


def _are_ones(raws: Sequence[msgspec.Raw | None], lengths: Positions) -> bool:
    """Return whether all values are lists of ones with the given lengths."""
    found = read_ids(raws, "int32")
    if found is None or not np.array_equal(found.lengths, lengths):
        return False
    return not found.text.translate(None, b"1,[]") and b"11" not in found.text


def _any_has(objects: Sequence[dict[str, Any]], name: str) -> bool:
    return any(map(dict.__contains__, objects, repeat(name)))


def _position_text(kept: int, segments: Segments) -> msgspec.Raw:
    """Return the position ids of a row with `kept` tokens, as JSON text."""
    places, others = list(range(kept)), [0] * ((segments.maxlen or 0) - kept)
    return msgspec.Raw(
        msgspec.json.encode(places + others if segments.padding == "post" else others + places)
    )


def _pad_column(rows: TextRows, column: PadColumn, segments: Segments, ids: IdTexts) -> None:
    """Set the values of a column in `rows.objects` to the padded text of `ids`."""
    name, maxlen = column.name, segments.maxlen or 0
    texts, kept = ids.join(segments), segments.lengths
    value = str(column.value).encode()
    width, raw = len(value) + 1, msgspec.Raw
    if segments.padding == "post":
        padding = (b"," + value) * maxlen + b"]"
        # A row without ids has no comma before its padding.
        skips = np.where(kept == 0, min(1, maxlen), kept * width)
        for row, text, skip in zip(rows.objects, texts, skips.tolist(), strict=True):
            row[name] = raw(b"[" + text + padding[skip:])
    else:
        padding = b"[" + (value + b",") * maxlen
        stops = np.where(kept == 0, max(1, maxlen * width), 1 + (maxlen - kept) * width)
        for row, text, stop in zip(rows.objects, texts, stops.tolist(), strict=True):
            row[name] = raw(padding[:stop] + text + b"]")


def _mask_text(kept: int, target: PadTarget) -> msgspec.Raw:
    """Make the mask of a row with `kept` tokens as JSON text, and add the mask to the cache."""
    maxlen = target.plan.maxlen
    spec = target.job.mask
    true, false = _FLAGS.get(spec.written_dtype, (b"1", b"0"))
    real, padding = (true, false) if spec.polarity == "real" else (false, true)
    words, others = [real] * kept, [padding] * (maxlen - kept)
    mask = msgspec.Raw(
        b"[" + b",".join(words + others if target.job.spec.padding == "post" else others + words) + b"]"
    )
    if len(target.cache) * maxlen > CACHE_POSITIONS:
        target.cache.clear()
    target.cache[kept] = mask
    return mask


def _labels_lost(texts: IdTexts, column: PadColumn, segments: Segments) -> int:
    """Return the number of labels other than -100 that are not in the output."""
    cut = np.flatnonzero(segments.lengths < texts.lengths)
    if not is_label(column) or not len(cut):
        return 0
    all_ids = zip(*map(np.ndarray.tolist, texts.between(texts.opens[cut], texts.lengths[cut])), strict=True)
    kept = list(texts.join(segments))
    return sum(
        _labels(texts.text[first:last]) - _labels(kept[row])
        for row, (first, last) in zip(cut.tolist(), all_ids, strict=True)
    )


def _labels(ids: bytes) -> int:
    """Count the comma-separated ids other than -100."""
    return sum(label != _IGNORED for label in ids.split(b",")) if ids else 0
