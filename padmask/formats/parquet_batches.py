"""Read the row groups of a Parquet file in batches of limited size, even if row sizes differ widely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq

from padmask.formats.row_sizes import regroup

# Number of values in a batch.
BATCH_VALUES = 1 << 19

# Maximum number of rows in a batch.
BATCH_ROWS = 1 << 16

# pyarrow decodes a fixed number of rows at a time, a piece. If all rows have the average length, a batch has
# `PIECES` pieces. The footer gives only the average length of the rows, and some rows may be much longer.
# With smaller pieces, long rows need less memory, but decoding takes longer. `PIECE_ROWS` is the minimum and
# maximum number of rows in a piece.
PIECES = 4
PIECE_ROWS = (8, 1 << 10)

# Number of rows that pyarrow decodes at a time from remote storage, or if the numbers of values are unknown.
REMOTE_ROWS = 1 << 8


def read_batches(
    file: pq.ParquetFile,
    groups: range,
    names: Sequence[str] | None,
    counts: Sequence[Mapping[str, int]] = (),
    rows: int = BATCH_ROWS,
    values: int = BATCH_VALUES,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of row groups in batches of limited size.

    Args:
        file: the file.
        groups: row groups to read.
        names: names of the columns to read. If None, all columns are read.
        counts: for each row group, the number of values in each column, from `read_value_counts`. If `counts`
            is empty, row groups are read one after another. Remote files must be read in this way, because
            Arrow loads complete row groups of remote files into memory.
        rows, values: maximum number of rows and of values in a batch. A single row may have more values.
    """
    return regroup(_pieces(file, groups, names, counts, rows), rows, values)


def _pieces(
    file: pq.ParquetFile,
    groups: range,
    names: Sequence[str] | None,
    counts: Sequence[Mapping[str, int]],
    most: int,
) -> Iterator[pa.RecordBatch]:
    if not counts:
        for group in groups:
            yield from file.iter_batches(min(most, REMOTE_ROWS), row_groups=[group], columns=names)
        return

    def piece_rows(group: int) -> int:
        return min(most, _piece_rows(file.metadata.row_group(group).num_rows, counts[group], names))

    for rows, same in groupby(groups, piece_rows):
        yield from file.iter_batches(rows, row_groups=list(same), columns=names)


def _piece_rows(rows: int, counts: Mapping[str, int], names: Sequence[str] | None) -> int:
    """Return the number of rows to decode at a time: a power of 2, computed from the counts in the footer.

    >>> _piece_rows(1000, {"id": 1000, "ids.list.element": 500_000}, None)
    256

    Args:
        rows: number of rows in the row group.
        counts: number of values in each column of the row group, keyed by column path.
        names: names of the columns to read. If None, all columns are read.
    """
    low, high = PIECE_ROWS
    values = max((count for path, count in counts.items() if _is_read(path, names)), default=0)
    pieces = BATCH_VALUES * rows // (PIECES * max(1, values))
    return int(2 ** (max(low, min(high, pieces)).bit_length() - 1))


def _is_read(path: str, names: Sequence[str] | None) -> bool:
    """Return whether the column at `path` is one of the columns `names`, or is nested in one of them."""
    return names is None or any(path == name or path.startswith(f"{name}.") for name in names)
