"""Sort rows by integer keys in bounded memory: an external merge sort of record batches.

Rows that do not fit in memory go to temporary files (runs). Each run is sorted, and the runs are merged. The
files have no name, so the system removes them when the process ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import Flags, join_batches, select_rows, to_arrow, to_numpy
from padmask.core.plan import Positions

# Size of the rows that are sorted in memory, in bytes. Sorting needs up to twice this size.
RUN_BYTES = 128 << 20

# Size of a batch of sorted rows, in bytes.
BATCH_BYTES = 2 << 20

# Number of files that are merged at the same time.
MOST_RUNS = 64


@dataclass(frozen=True)
class KeyedRows:
    """Rows with their keys.

    Args:
        keys: keys of the rows, the most significant first: int64, shape (rows, keys).
        rows: the rows.
    """

    keys: npt.NDArray[np.int64]
    rows: pa.RecordBatch

    def select(self, rows: Positions) -> KeyedRows:
        """Return the rows at the given indices."""
        return KeyedRows(self.keys[rows], select_rows(self.rows, rows))

    def slice(self, start: int, stop: int) -> KeyedRows:
        """Return the rows from `start` to `stop` (exclusive)."""
        return KeyedRows(self.keys[start:stop], self.rows.slice(start, stop - start))


class RowSorter:
    """Sorts rows by their keys. The order of rows with equal keys may change.

    Use the sorter in a `with` block, which removes the temporary files.

    Args:
        folder: folder for temporary files.
        run_bytes: size of the rows that are sorted in memory, in bytes. If None, `RUN_BYTES` is used.
    """

    def __init__(self, folder: str, run_bytes: int | None = None) -> None:
        self._folder, self._run_bytes = folder, RUN_BYTES if run_bytes is None else run_bytes
        self._held: list[KeyedRows] = []
        self._bytes = 0
        # The runs of each level. A run of level n + 1 has the rows of many runs of level n.
        self._levels: list[list[IO[bytes]]] = []
        self._files = ExitStack()

    def __enter__(self) -> RowSorter:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, rows: KeyedRows) -> None:
        """Add rows. If there are too many rows in memory, sort them and write them to a file."""
        if not len(rows.keys):
            return
        self._held.append(rows)
        self._bytes += rows.rows.nbytes + rows.keys.nbytes
        if self._bytes >= self._run_bytes:
            self._store(0, self._sort_held())

    def sorted_rows(self) -> Iterator[KeyedRows]:
        """Yield all rows in ascending order of their keys, as batches."""
        runs = [_read(file) for level in reversed(self._levels) for file in level]
        # The rows in memory were added last.
        yield from _merge([*runs, self._sort_held()]) if runs else self._sort_held()

    def _sort_held(self) -> Iterator[KeyedRows]:
        held, self._held, self._bytes = self._held, [], 0
        if not held:
            return
        rows = concat_keyed_rows(held)
        held.clear()
        order = np.lexsort(rows.keys.T[::-1])
        step = max(1, len(order) * BATCH_BYTES // max(1, rows.rows.nbytes))
        for start in range(0, len(order), step):
            yield rows.select(order[start : start + step])

    def _store(self, level: int, batches: Iterator[KeyedRows]) -> None:
        """Write sorted rows to a new file of a level. Merge the files of a full level into the next level."""
        file = tempfile.TemporaryFile(prefix="padmask-", dir=self._folder)  # noqa: SIM115
        self._files.callback(file.close)
        _write(file, batches)
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(file)
        if len(self._levels[level]) == MOST_RUNS:
            full, self._levels[level] = self._levels[level], []
            self._store(level + 1, _merge([_read(file) for file in full]))
            for done in full:
                done.close()


def concat_keyed_rows(parts: Sequence[KeyedRows]) -> KeyedRows:
    """Return the rows of all parts, one part after another."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return KeyedRows(
        np.concatenate([part.keys for part in parts]), join_batches([part.rows for part in parts])
    )


def _write(file: IO[bytes], batches: Iterator[KeyedRows]) -> None:
    """Write rows as an Arrow stream. The keys are the first columns."""
    writer = None
    for batch in batches:
        keys = [to_arrow(key) for key in batch.keys.T]
        fields = [pa.field("", pa.int64()) for _ in keys]
        schema = pa.schema([*fields, *batch.rows.schema])
        if writer is None:
            writer = pa.ipc.new_stream(pa.PythonFile(file, mode="w"), schema)
        writer.write_batch(pa.RecordBatch.from_arrays([*keys, *batch.rows.columns], schema=schema))
    if writer is not None:
        writer.close()
    file.flush()


def _read(file: IO[bytes]) -> Iterator[KeyedRows]:
    file.seek(0)
    with pa.ipc.open_stream(pa.PythonFile(file, mode="r")) as reader:
        keys = sum(name == "" for name in reader.schema.names)
        for batch in reader:
            columns = batch.columns
            yield KeyedRows(
                np.stack([to_numpy(column) for column in columns[:keys]], axis=1),
                pa.RecordBatch.from_arrays(columns[keys:], schema=pa.schema(list(batch.schema)[keys:])),
            )


def _merge(runs: Sequence[Iterator[KeyedRows]]) -> Iterator[KeyedRows]:
    """Merge sorted runs. Only one batch of each run is in memory at a time."""
    heads = [(head, run) for run in runs if (head := next(run, None)) is not None]
    while heads:
        # All rows up to the smallest last key are in memory.
        bound = min(tuple(head.keys[-1].tolist()) for head, _ in heads)
        parts, rest = [], []
        for head, run in heads:
            count = int(_up_to(head.keys, bound).sum())
            parts.append(head.slice(0, count))
            left = head.slice(count, len(head.keys)) if count < len(head.keys) else next(run, None)
            if left is not None:
                rest.append((left, run))
        rows = concat_keyed_rows(parts)
        yield rows.select(np.lexsort(rows.keys.T[::-1]))
        heads = rest


def _up_to(keys: npt.NDArray[np.int64], bound: Sequence[int]) -> Flags:
    """Return whether the keys of each row, compared as a tuple, are at most `bound`: bool, shape (rows,)."""
    found = np.ones(len(keys), dtype=bool)
    for key, limit in zip(keys.T[::-1], reversed(bound), strict=True):
        found = (key < limit) | ((key == limit) & found)
    return found
