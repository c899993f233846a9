"""Divide packed rows that were read from files into their sequences, and reject bad rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from padmask.core.packed_head import ABSENT, NO_LIST
from padmask.core.packed_layout import PackedLayout
from padmask.core.plan import Positions, plan_unpad
from padmask.core.unpack import Sequences, explode, packed_places, read_packed
from padmask.errors import Fault, RowError
from padmask.formats.contract import Batch
from padmask.formats.jsonl.tokens import read_items
from padmask.formats.jsonl.values import write_objects
from padmask.stream.json_text_unpad import TokenTexts, read_texts
from padmask.stream.ledger import Ledger, count_rejected
from padmask.stream.paddable_rows import RejectedRow
from padmask.stream.unpad_rows import EncodedRows, OnError, UnpadRows


@dataclass(frozen=True)
class Unpacker:
    """Divides packed rows into their sequences.

    Args:
        layout: the columns of packed rows.
        on_error: `"fail"` raises an error for a bad row, `"skip"` skips the row.
    """

    layout: PackedLayout
    on_error: OnError

    def unpack(self, batch: Batch, consumed: int = 0) -> UnpadRows:
        """Return one row for each sequence. In JSON rows, only the fields that are not packed stay text.

        Raises:
            RowError: a row is bad, and `on_error` is `"fail"`.
        """
        layout = self.layout
        places, sizes, faults = packed_places(batch.columns, layout)
        items = {} if batch.objects is None else _read_fields(batch.objects, layout)
        sizes |= {name: _sizes(its) for name, its in items.items()}
        rows, sequences = self._split(batch, places, sizes, faults, consumed)
        columns = explode(batch.columns, sequences, layout)
        objects = (
            None if batch.objects is None else _explode_objects(batch.objects, sequences, layout, items, {})
        )
        return replace(rows, batch=replace(rows.batch, columns=columns, objects=objects))

    def unpack_text(self, batch: Batch, consumed: int) -> EncodedRows:
        """Return JSON lines with one line for each sequence. The text of tokens and fields stays unchanged.

        Raises:
            RowError: a row is bad, and `on_error` is `"fail"`.
        """
        layout = self.layout
        assert batch.objects is not None
        texts: dict[str, TokenTexts] = {}
        faults: list[Fault] = []
        for name in layout.columns:
            texts[name], found = read_texts([row.get(name) for row in batch.objects])
            faults += [replace(fault, column=name, options=("columns",)) for fault in found]
        items = _read_fields(batch.objects, layout)
        places = {name: its.lengths for name, its in texts.items()}
        sizes = {name: _sizes(its) for name, its in items.items()}
        rows, sequences = self._split(batch, places, sizes, faults, consumed)
        return EncodedRows(
            write_objects(_explode_objects(batch.objects, sequences, layout, items, texts)), rows
        )

    def _split(
        self,
        batch: Batch,
        places: Mapping[str, Positions],
        sizes: Mapping[str, Positions],
        faults: Sequence[Fault],
        consumed: int,
    ) -> tuple[UnpadRows, Sequences]:
        """Separate the bad rows from the sequences of the other rows, and count the rows and tokens."""
        sequences, found, lost = read_packed(
            batch.columns, self.layout, places, sizes, [*batch.faults, *faults]
        )
        if found and self.on_error == "fail":
            raise RowError(
                found[0].reason,
                place=batch.place(found[0].row),
                column=found[0].column,
                options=found[0].options,
                remedy=_remedy(found[0], self.layout),
            )
        bad = [fault.row for fault in found]
        widths = np.delete(next(iter(places.values())), bad)
        tokens, total = int(sequences.counts.sum()), len(sequences.rows)
        ledger = Ledger(
            rows_read=len(batch),
            rows_used=len(batch) - len(bad),
            rows_written=total,
            rows_empty=int((sequences.counts == 0).sum()),
            tokens_read=tokens,
            tokens_kept=tokens,
            places=int(widths.sum()),
            sequences=total,
            most_sequences=int(np.bincount(sequences.rows).max(initial=0)),
        ) + count_rejected(map(str, found))
        refused = [RejectedRow(batch, fault.row, str(fault)) for fault in found]
        # The keys also have the number of tokens, because joining pieces needs the end of each sequence.
        order = np.column_stack([sequences.sources, sequences.counts])
        exploded = Batch(
            pa.RecordBatch.from_arrays([], names=[]), batch.source, batch.numbers[sequences.rows], batch.unit
        )
        segments = plan_unpad(sequences.counts, sequences.counts, "post")
        rows = UnpadRows(
            np.arange(total), exploded, segments, ledger, refused, consumed, order=order, lost=lost
        )
        return rows, sequences


def _remedy(fault: Fault, layout: PackedLayout) -> str:
    marker = layout.marker
    if "align" in fault.options:
        return (
            "Use --align N with the value that pack used, or --align 1 if padding is only at the end of the "
            "rows."
        )
    if marker is None or layout.described or fault.column != marker.column:
        return "Fix the row, or skip bad rows with --on-error skip."
    return (
        f"Fix the row, or skip bad rows with --on-error skip. If {marker.column!r} does not separate packed "
        "sequences, rename the column."
    )


def _read_fields(objects: Sequence[Mapping[str, Any]], layout: PackedLayout) -> dict[str, list[Any]]:
    """Return the fields that have one value for each sequence, keyed by name.

    For each field, the result has a list with one item for each packed row: the JSON texts of the values in
    this row, None if the row lacks the field, or `NO_LIST` if the field is not a list.
    """
    names = dict.fromkeys(name for row in objects for name in row)
    found: dict[str, list[Any]] = {}
    for name in layout.fields(list(names)):
        raws = [row.get(name) for row in objects]
        items, faults = read_items(raws)
        rows: list[Any] = list(items)
        for fault in faults:
            rows[fault.row] = None if raws[fault.row] is None else NO_LIST
        found[name] = rows
    return found


def _sizes(rows: Sequence[Any]) -> Positions:
    return np.array(
        [ABSENT if row is None else NO_LIST if row == NO_LIST else len(row) for row in rows], dtype=np.int64
    )


def _explode_objects(
    objects: Sequence[Mapping[str, Any]],
    sequences: Sequences,
    layout: PackedLayout,
    items: Mapping[str, Sequence[Any]],
    texts: Mapping[str, TokenTexts],
) -> list[dict[str, Any]]:
    """Return a JSON object for each sequence, with the fields in the order in which they first appear."""
    owners, numbers = sequences.rows.tolist(), sequences.numbers.tolist()
    new: list[dict[str, Any]] = [{} for _ in owners]
    for name in dict.fromkeys(name for row in objects for name in row):
        if name in texts:
            for fields, text in zip(
                new, texts[name].cut(sequences.rows, sequences.starts, sequences.counts), strict=True
            ):
                fields[name] = text
        elif name in items:
            rows = items[name]
            for fields, row, number in zip(new, owners, numbers, strict=True):
                if rows[row] is not None:
                    fields[name] = rows[row][number]
        elif name in layout.repeated:
            for fields, row in zip(new, owners, strict=True):
                if name in objects[row]:
                    fields[name] = objects[row][name]
    return new
