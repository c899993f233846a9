"""Read the row groups of a Parquet file in batches of limited size, even if row sizes differ widely."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq

from padmask.formats.row_sizes import regroup

# Number of values in a batch.
BATCH_VALUES = 1 << 19

# Maximum number of rows in a batch.
BATCH_ROWS = 1 << 16

# Number of pieces per batch if all rows have the average length. pyarrow decodes a fixed number of rows at a
# time. The footer has only the average length of the rows, and some rows may be much longer. With smaller
# pieces, long rows need less memory, but decoding takes longer.
PIECES = 4
PIECE_ROWS = (8, 1 << 10)

# Number of rows that pyarrow decodes at a time from remote storage. The counts in the footer are not used for
# this, because checking them first would need a second request for each row group.
REMOTE_ROWS = 1 << 8


def read_batches(
    file: pq.ParquetFile,
    groups: range,
    names: Sequence[str] | None,
    rows: int = BATCH_ROWS,
    values: int = BATCH_VALUES,
    *,
    remote: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of row groups in batches of limited size.

    Args:
        file: the file.
        groups: row groups to read.
        names: names of the columns to read. If None, all columns are read.
        rows, values: maximum number of rows and of values in a batch. A single row may have more values.
        remote: whether the file is in remote storage. Remote row groups are read one after another, because
            each row group is loaded into memory completely.
    """
    return regroup(_pieces(file, groups, names, rows, remote), rows, values)


def _pieces(
    file: pq.ParquetFile, groups: Iterable[int], names: Sequence[str] | None, most: int, remote: bool
) -> Iterator[pa.RecordBatch]:
    if remote:
        for group in groups:
            yield from file.iter_batches(min(most, REMOTE_ROWS), row_groups=[group], columns=names)
        return
    for rows, same in groupby(groups, lambda group: min(most, _piece_rows(file, group, names))):
        yield from file.iter_batches(rows, row_groups=list(same), columns=names)


def _piece_rows(file: pq.ParquetFile, number: int, names: Sequence[str] | None) -> int:
    """Return the number of rows to decode at a time: a power of 2, from the column sizes in the footer."""
    low, high = PIECE_ROWS
    # If the footer is broken, reading the counts of a column would abort the process, but reading a row
    # raises an error. Therefore, read a row first, and then only the counts of the same columns.
    next(file.iter_batches(1, row_groups=[number], columns=names), None)
    group = file.metadata.row_group(number)
    read = (i for i in range(group.num_columns) if _is_read(file.schema.column(i).path, names))
    values = max((group.column(i).num_values for i in read), default=0)
    rows = int(BATCH_VALUES * group.num_rows // (PIECES * max(1, values)))
    return int(2 ** (max(low, min(high, rows)).bit_length() - 1))


def _is_read(path: str, names: Sequence[str] | None) -> bool:
    """Return whether the column at `path` is one of the columns `names`, or is nested in one of them."""
    return names is None or any(path == name or path.startswith(f"{name}.") for name in names)
