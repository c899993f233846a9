"""Join the pieces of rows that packing split, after the pieces were sorted by their source rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import numpy as np

from padmask.core.packed_layout import PackedLayout
from padmask.core.plan import Positions, plan_unpad
from padmask.core.row_pieces import find_other_tokens, is_first_of, kept_lasts, piece_remedy, plan_pieces
from padmask.core.unpad_job import UnpadJob
from padmask.formats.contract import Batch
from padmask.stream.column_values import column_values
from padmask.stream.ledger import Ledger
from padmask.stream.sorted_rows import KeyedRows, concat_keyed_rows
from padmask.stream.unpad_rows import OnError, UnpadRows
from padmask.stream.unpad_windows import find_field_differences, join_planned

# Indices of the keys of a sequence. The keys are the rank of the source file, the source row, the first token
# in this row, the number of tokens, and the number of the packed row.
_SOURCE, _START, _COUNT, _NUMBER = 1, 2, 3, 4


def whole_rows(parts: Iterable[KeyedRows]) -> Iterator[KeyedRows]:
    """Regroup sorted sequences, so that all sequences of a source row are in one batch.

    All sequences of a batch come from one source file.
    """
    held: list[KeyedRows] = []
    for part in parts:
        firsts = np.flatnonzero(np.diff(part.keys[:, :2], axis=0).any(axis=1)) + 1
        if held and (held[-1].keys[-1, :2] != part.keys[0, :2]).any():
            firsts = np.append(0, firsts)
        if not len(firsts):
            held.append(part)
            continue
        last = int(firsts[-1])
        complete = [*held, *([part.slice(0, last)] if last else [])]
        held = [part.slice(last, len(part.keys))]
        if complete:
            yield from _by_file(concat_keyed_rows(complete))
    if held:
        yield from _by_file(concat_keyed_rows(held))


def _by_file(rows: KeyedRows) -> Iterator[KeyedRows]:
    stops = [*np.flatnonzero(np.diff(rows.keys[:, 0])) + 1, len(rows.keys)]
    for start, stop in zip([0, *stops], stops, strict=False):
        yield rows.slice(start, stop)


def are_whole(keys: Positions, layout: PackedLayout, lost: Collection[tuple[int, int]]) -> bool:
    """Return whether all sequences are complete source rows. If so, no pieces need to be joined or checked.

    Args:
        keys: keys of the sequences, as in `collect_rows`: int64, shape (sequences, 5).
        layout: the columns of packed rows.
        lost: for each sequence that could not be read, the pair (rank of the source file, source row).
    """
    if lost or (layout.splits and keys[:, _START].any()):
        return False
    return bool(is_first_of(keys[:, _SOURCE]).all())


def join_sequences(
    batch: Batch,
    keys: Positions,
    layout: PackedLayout,
    job: UnpadJob,
    on_error: OnError,
    lost: Collection[tuple[int, int]] = (),
) -> UnpadRows:
    """Join the pieces of source rows. The batch of the result has the joined rows.

    Args:
        batch: the sequences, with all pieces of each source row.
        keys: keys of the sequences, sorted, as in `collect_rows`: int64, shape (sequences, 5).
        layout: the columns of packed rows.
        job: columns to join.
        on_error: `"fail"` raises an error for a bad row, `"skip"` skips the row.
        lost: for each sequence that could not be read, the pair (rank of the source file, source row).

    Raises:
        RowError: pieces cannot be joined, and `on_error` is `"fail"`.
    """
    rows, starts, counts = keys[:, _SOURCE], keys[:, _START], keys[:, _COUNT]
    rank = int(keys[0, 0]) if len(keys) else 0
    lost_rows = {row for file, row in lost if file == rank}
    values = [] if isinstance(layout.keep_last, int) else column_values(batch, layout.keep_last)
    lasts = kept_lasts(layout.keep_last, values, len(batch))
    pieces, found = plan_pieces(
        rows,
        starts,
        counts,
        lasts,
        packed=keys[:, _NUMBER],
        unit=batch.unit,
        splits=layout.splits,
        lost=lost_rows,
    )
    found += find_other_tokens(batch.columns.column(layout.unpacked_columns[0]), pieces)
    found += find_field_differences(batch, pieces, job.may_differ)
    tokens = int(counts.sum())
    part = UnpadRows(
        np.arange(len(batch)),
        replace(batch, numbers=keys[:, _NUMBER]),
        plan_unpad(counts, counts, "post"),
        Ledger(rows_used=len(batch), rows_written=len(batch), tokens_read=tokens, tokens_kept=tokens),
        windows=pieces,
    )
    return join_planned(part, job, on_error, found, piece_remedy)


def count_joined(collected: Ledger, joined: Ledger) -> Ledger:
    """Combine the counts of the two steps of a run: collecting sequences, and joining them.

    Args:
        collected: counts of the packed rows that were read.
        joined: sum of the counts of the joined rows.
    """
    return replace(
        collected,
        rows_written=joined.rows_written,
        tokens_kept=joined.tokens_kept,
        tokens_repeated=joined.tokens_repeated,
        sequences_rejected=joined.rows_rejected,
    )
