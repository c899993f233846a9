"""Write unpadded rows in the order of the source rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import list_lengths
from padmask.core.join_windows import read_windows
from padmask.core.metadata import valid_descriptions
from padmask.core.plan import Positions, plan_unpad
from padmask.core.unpad_job import UnpadJob
from padmask.errors import quoted
from padmask.formats.contract import Batch
from padmask.spec.buckets import BUCKET_FOLDER, bucket_folder_of
from padmask.spec.windows import WINDOW_COLUMNS
from padmask.stream.column_values import column_values
from padmask.stream.ledger import Ledger
from padmask.stream.run import RowSink
from padmask.stream.sorted_rows import KeyedRows, RowSorter
from padmask.stream.unpad_rows import EncodedRows, UnpadRows


def source_ranks(names: Sequence[str]) -> dict[str, int]:
    """Map the name of each input file to the rank of the source file of its rows.

    If the paths of two input files differ only in the bucket, their rows come from one source file. Without
    buckets, source files are ranked in the order of the input. With buckets, source files are ranked by path,
    because the first bucket may lack rows of some source files.

    >>> source_ranks(["bucket=8/b.arrow", "bucket=9/a.arrow", "bucket=9/b.arrow"])
    {'bucket=8/b.arrow': 1, 'bucket=9/a.arrow': 0, 'bucket=9/b.arrow': 1}
    """
    sources = {name: BUCKET_FOLDER.sub(r"\1", name, count=1) for name in names}
    ordered = dict.fromkeys(sources.values())
    places = sorted(ordered) if any(map(bucket_folder_of, names)) else ordered
    ranks = {source: rank for rank, source in enumerate(places)}
    return {name: ranks[source] for name, source in sources.items()}


def collect_rows(
    results: Iterable[EncodedRows], sorter: RowSorter, sink: RowSink, ranks: Mapping[str, int]
) -> tuple[Ledger, set[tuple[int, int]]]:
    """Add all rows to a sorter, and write refused rows to the `--rejects` file.

    Args:
        results: the unpadded rows.
        sorter: sorter of the rows. The keys are the rank of the source file, the columns of
            `UnpadJob.order`, and the number of the row in the input.
        sink: output of the refused rows.
        ranks: result of `source_ranks`.

    Returns:
        The counts of the rows; and for each refused row whose source row is known, the pair (rank of the
        source file, source row).
    """
    ledger, lost = Ledger(), set()
    for result in results:
        cuts = result.cuts
        ledger += cuts.ledger
        sink.refuse(cuts.refused)
        rank = ranks[cuts.batch.source]
        lost |= {(rank, row) for row in cuts.lost.tolist()}
        numbers = cuts.batch.numbers
        keys = np.column_stack([np.full(len(numbers), rank), cuts.order, numbers])
        sorter.add(KeyedRows(keys, _as_batch(result.encoded)))
    return ledger, lost


def _as_batch(encoded: Any) -> pa.RecordBatch:
    """Return encoded rows as a record batch. Each line of JSON Lines becomes a row."""
    if isinstance(encoded, pa.RecordBatch):
        return encoded
    lines = encoded.split(b"\n")[:-1]
    return pa.record_batch([pa.array(lines, pa.large_binary())], ["line"])


def as_lines(rows: pa.RecordBatch) -> bytes:
    """Convert a batch with one line in each row to JSON Lines."""
    return b"".join(line + b"\n" for line in rows.column(0).to_pylist())


def split_sources(rows: Iterable[KeyedRows]) -> Iterator[KeyedRows]:
    """Split sorted rows, so that all rows of each result come from one source file."""
    for part in rows:
        stops = [*np.flatnonzero(np.diff(part.keys[:, 0])) + 1, len(part.keys)]
        for start, stop in zip([0, *stops], stops, strict=False):
            yield part.slice(start, stop)


def sorted_windows(batch: Batch, keys: Positions, job: UnpadJob, lost: set[tuple[int, int]]) -> UnpadRows:
    """Convert sorted windows without padding to the rows that `join_windows` accepts.

    Args:
        batch: the windows, which come from one source file.
        keys: keys of the windows, as in `collect_rows`: int64, shape (windows, keys).
        job: the unpadded columns.
        lost: for each refused window, the pair (rank of the source file, source row). These source rows are
            not joined.
    """
    segments = []
    for part in (job, *job.also):
        lengths = list_lengths(batch.columns.column(part.columns[0]))[0]
        segments.append(plan_unpad(lengths, lengths, "post"))
    windows, _ = read_windows(lambda name: column_values(batch, name))
    rows, tokens = len(batch), int(segments[0].counts.sum())
    rank_and_row = keys[:, :2].tolist()
    ends = np.append(windows.rows[1:] != windows.rows[:-1], [True] * bool(rows)).astype(bool)
    gaps = [place + 1 for place in np.flatnonzero(ends).tolist() if tuple(rank_and_row[place]) in lost]
    return UnpadRows(
        np.arange(rows),
        replace(batch, numbers=keys[:, -1]),
        segments[0],
        Ledger(rows_used=rows, rows_written=rows, tokens_read=tokens, tokens_kept=tokens),
        also=segments[1:],
        windows=windows,
        gaps=np.array(gaps, dtype=np.int64),
    )


def column_remarks(schema: pa.Schema, job: UnpadJob) -> list[str]:
    """Return a note if rows without metadata are sorted, and another note if their windows are joined.

    Args:
        schema: columns of the padded rows.
        job: the unpadded columns.
    """
    if valid_descriptions(schema):
        return []
    remarks = []
    if job.order:
        remarks.append(
            f"rows sorted by {quoted(job.order)}. To keep the order of the input: --no-restore-order"
        )
    if job.windows:
        remarks.append(f"windows joined by {quoted(WINDOW_COLUMNS)}. To keep the windows: --no-join-windows")
    return remarks


def add_joined(collected: Ledger, joined: Ledger) -> Ledger:
    """Combine the counts of the two steps of a run: collecting windows, and joining them.

    Args:
        collected: counts of the windows that were read.
        joined: sum of the counts of the joined rows.
    """
    return joined + replace(collected, rows_used=0, rows_written=0, tokens_read=0, tokens_kept=0)
