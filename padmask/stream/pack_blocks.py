"""Pack rows window by window, and create blocks of packed rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import Flags
from padmask.core.columns import IGNORED_LABEL, is_label
from padmask.core.end_tokens import add_end_tokens, rows_without_end
from padmask.core.length_stats import LengthStats
from padmask.core.pack_planner import make_sequences, pack_next, plan_pack
from padmask.core.packed_columns import PackedRows, count_boundary_labels, pack_columns
from padmask.core.packed_segments import round_up, select_packed_rows, with_sources
from padmask.core.packing import count_at_least
from padmask.core.plan import Plan, Positions, Segments
from padmask.formats.contract import Batch
from padmask.stream.counts import count_padded
from padmask.stream.job import Job
from padmask.stream.ledger import Ledger
from padmask.stream.paddable_rows import PadTarget, RejectedRow
from padmask.stream.plans import BATCH_POSITIONS
from padmask.stream.rows import Rows
from padmask.stream.sort_windows import SortWindows, copy_rows


@dataclass(frozen=True)
class PackBlock:
    """Consecutive packed rows.

    Args:
        rows: source rows of a window (rows that are packed together).
        segments: positions of the sequences in the packed rows.
        ledger: counts of rows and tokens that this block adds to the total.
        refused: rows that are not written.
        late: names of columns that have no values in the first rows, but one value per token in later rows.
    """

    rows: Rows
    segments: Segments
    ledger: Ledger = field(default_factory=Ledger)
    refused: Sequence[RejectedRow] = ()
    late: Sequence[str] = ()

    def pad(self, target: PadTarget) -> tuple[Any, PackBlock]:
        """Return the encoded packed rows, and a copy of this object whose ledger counts these rows."""
        job, rows = target.job, self.rows
        assert job.spec.packing is not None
        packed = PackedRows.of(self.segments, job.spec)
        columns = pack_columns(
            rows.batch.columns, rows.ragged, packed, job.columns, job.mask, rows.numbers, job.dropped
        )
        written = Ledger(
            rows_written=len(packed.sizes),
            places=int(packed.widths.sum()),
            sequences=len(self.segments.lengths),
            most_sequences=int(packed.sizes.max(initial=0)),
            boundary_labels=count_boundary_labels(packed, job.columns, rows.ragged),
        )
        encoded = target.writer.encode(_packed_batch(rows.batch, packed, columns, job))
        return encoded, replace(self, ledger=self.ledger + written)


def _packed_batch(batch: Batch, packed: PackedRows, columns: pa.RecordBatch, job: Job) -> Batch:
    """Return packed rows as a batch.

    If packing keeps the JSON fields that are not packed, they become arrays with one value for each sequence.
    """
    objects = None
    if batch.objects is not None:
        left_out = {*(column.name for column in job.columns), *job.added, *job.dropped}
        kept = packed.packing.fields == "list"
        ends = np.cumsum(packed.sizes)
        sources = packed.sources.tolist()
        objects = [
            _join_objects([batch.objects[row] for row in sources[start:stop]] if kept else [], left_out)
            for start, stop in zip((ends - packed.sizes).tolist(), ends.tolist(), strict=True)
        ]
    return Batch(columns, batch.source, np.arange(len(packed.sizes)), "row", objects)


def _join_objects(objects: Sequence[dict[str, Any]], left_out: set[str]) -> dict[str, Any]:
    """Combine JSON objects: each field becomes an array with the value of each object, or null if missing."""
    names = dict.fromkeys(name for fields in objects for name in fields if name not in left_out)
    missing = msgspec.Raw(b"null")
    return {
        name: msgspec.Raw(b"[" + b",".join([bytes(fields.get(name, missing)) for fields in objects]) + b"]")
        for name in names
    }


def pack_blocks(all_rows: Iterable[Any], job: Job, plan: Plan) -> Iterator[PackBlock]:
    """Pack all rows, and yield blocks of packed rows in order.

    For each item of `all_rows`, the first block has no packed rows. It has only the refused rows, and the
    counts of the rows and tokens that were read.

    Args:
        all_rows: the rows (`Rows`), in order.
        job: columns and options of the run, with packing.
        plan: length of the packed rows.
    """
    collected, packer = SortWindows(job, plan), _Packer(job, plan)
    read = used = 0
    for rows in all_rows:
        ended, added = _with_end_tokens(rows, job)
        written = ended.written(job, plan, read)
        sequences = make_sequences(written.lengths, plan, job.spec, written.ends, used % plan.maxlen)
        counts = _count(written, sequences, np.isin(written.numbers, added + read), job)
        read += rows.ledger.rows_read
        used += int(written.lengths.sum())
        nothing = copy_rows(written, np.zeros(0, np.int64), job)
        no_rows = plan_pack(nothing.lengths, plan, job.spec, 1)
        yield PackBlock(nothing, no_rows, written.ledger + counts, written.refused, written.late)
        for window in collected.add(written):
            blocks, carried = packer.pack(window, last=False)
            collected.carry(carried)
            yield from blocks
            # These references would keep the window in memory while the next window is read.
            del window, blocks, carried
    for window in collected.rest():
        yield from packer.pack(window, last=True)[0]


def _with_end_tokens(rows: Rows, job: Job) -> tuple[Rows, Positions]:
    """Add missing end tokens. Return all rows, and the row numbers of the changed rows."""
    token = None if job.spec.packing is None else job.spec.packing.eos
    if token is None:
        return rows, np.zeros(0, np.int64)
    ragged, added = add_end_tokens(rows.ragged, job.columns, token)
    return replace(rows, ragged=ragged), rows.numbers[added]


def _count(rows: Rows, sequences: Segments, added: Flags, job: Job) -> Ledger:
    """Return a ledger that counts the tokens and labels of source rows: kept, lost and added.

    Args:
        rows: the source rows.
        sequences: the sequences of these rows.
        added: whether the last token of each row was added: bool, shape (rows,).
        job: columns and options of the run.
    """
    counts = count_padded(rows.ragged, [(job.groups[0], sequences)], job.beside.shared)
    lost = np.zeros(len(added), dtype=bool)
    lost[rows_without_end(sequences, "post")] = True
    kept, removed = int((added & ~lost).sum()), np.flatnonzero(added & lost)
    # The labels of added tokens were not in the input.
    has_end = job.spec.packing is not None and job.spec.packing.eos is not None
    labels = 0
    for column in filter(is_label, job.columns):
        its = rows.ragged[column.name]
        labels += int((its.values[(its.starts + its.lengths - 1)[removed]] != IGNORED_LABEL).sum())
    return replace(
        counts,
        rows_written=0,
        places=0,
        tokens_kept=counts.tokens_kept - kept,
        tokens_added=kept,
        labels_lost=counts.labels_lost - labels,
        ends_lost=int(lost.sum()) if has_end else counts.ends_lost,
    )


class _Packer:
    """Packs windows of rows. Sequences of packed rows that are not full are packed again in the next window.

    Args:
        job: columns and options of the run, with packing.
        plan: length of the packed rows.
    """

    def __init__(self, job: Job, plan: Plan) -> None:
        self._job, self._plan = job, plan
        self._carried = make_sequences(np.zeros(0, np.int64), plan, job.spec)
        self._stats = LengthStats()

    def pack(self, rows: Rows, *, last: bool) -> tuple[Iterator[PackBlock], Rows]:
        """Pack the rows of a window.

        Args:
            rows: the rows that the last call returned for this window, followed by the new rows.
            last: whether there are no more rows after this window.

        Returns:
            The blocks of packed rows, and the rows to carry to the next window.
        """
        job, plan, spec = self._job, self._plan, self._job.spec
        assert spec.packing is not None
        first = len(self._carried.source_lengths)
        used = int(self._carried.lengths.sum())
        ends = rows.ends and rows.ends.select(slice(first, None))
        new = make_sequences(rows.lengths[first:], plan, spec, ends, used)
        self._stats += LengthStats.of(round_up(new.lengths, spec.packing.align))
        held, new = with_sources(self._carried, rows.lengths, 0), with_sources(new, rows.lengths, first)
        packed, left = pack_next(held, new, plan, spec, last=last)
        carried, self._carried = _take_sources(rows, left, job)
        bound = Ledger()
        if last:
            least = count_at_least(self._stats, plan.maxlen, spec.packing.max_segments)
            bound = Ledger(rows_at_least=least)
        return _blocks_of(rows, packed, plan, bound), carried


def _blocks_of(rows: Rows, segments: Segments, plan: Plan, ledger: Ledger) -> Iterator[PackBlock]:
    """Yield blocks of packed rows. The first block gets `ledger`, all other blocks get an empty ledger."""
    assert segments.rows is not None
    step, total = max(1, BATCH_POSITIONS // plan.maxlen), int(segments.rows.max(initial=-1)) + 1
    for first in range(0, total, step):
        block = select_packed_rows(segments, first, first + step)
        yield PackBlock(rows, block, Ledger() if first else ledger)


def _take_sources(rows: Rows, sequences: Segments, job: Job) -> tuple[Rows, Segments]:
    """Select the source rows that the sequences use, and renumber the sources of the sequences."""
    assert sequences.sources is not None
    used, sources = np.unique(sequences.sources, return_inverse=True)
    return (
        copy_rows(rows, used, job),
        replace(sequences, source_lengths=sequences.source_lengths[used], sources=sources),
    )
