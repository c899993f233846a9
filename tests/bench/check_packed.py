"""Compare the sequences in two files of packed rows: `python check_packed.py MAXLEN OURS THEIRS`.

Prints how full the rows of each file are, as JSON. The exit code is 1 if one of the files lacks a sequence of
the other file. The order of the sequences does not matter, because tools pack different sequences together.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from padmask.core.length_stats import LengthStats
from padmask.core.packing import count_at_least


def sequences(path: str, maxlen: int) -> tuple[Any, Any, int, int]:
    """Return sorted hashes and lengths of all sequences, the row count, and the most sequences in a row."""
    weights = np.random.default_rng(0).integers(1, 1 << 63, maxlen, dtype=np.uint64)
    hashes, lengths, most = [], [], 0
    file = pq.ParquetFile(path)
    for group in file.iter_batches(4_096):
        values, counts, sizes = _flat(group)
        starts = np.cumsum(counts) - counts
        places = np.arange(len(values)) - np.repeat(starts, counts)
        products = (values.astype(np.uint64) + np.uint64(1)) * weights[places]
        hashes.append(np.add.reduceat(products, starts))
        lengths.append(counts)
        most = max(most, int(sizes.max()))
    return np.sort(np.concatenate(hashes)), np.concatenate(lengths), file.metadata.num_rows, most


def _flat(group: Any) -> tuple[Any, Any, Any]:
    """Return the tokens, the length of each sequence, and the number of sequences in each row."""
    values = group.column("input_ids").flatten().to_numpy()
    name = "input_ids_segment_ids"
    if name not in group.schema.names:
        lengths = group.column("seq_lengths")
        return values, lengths.flatten().to_numpy(), lengths.value_lengths().to_numpy()
    # Padding has the number 0. The numbers start at 1 in each row.
    numbers = group.column(name).flatten().to_numpy()
    starts = np.concatenate([[True], numbers[1:] != numbers[:-1]])
    rows = numbers.reshape(len(group), -1)
    starts[:: rows.shape[1]] = True
    real, sequence = numbers > 0, np.cumsum(starts)
    counts = np.bincount(sequence[real])
    return values[real], counts[counts > 0], rows.max(axis=1)


def main(maxlen: int, paths: list[str]) -> None:
    (ours, lengths, *_), (theirs, *_) = found = [sequences(path, maxlen) for path in paths]
    if not np.array_equal(ours, theirs):
        raise SystemExit("the files have different sequences")
    tokens, bound = int(lengths.sum()), count_at_least(LengthStats.of(lengths), maxlen)
    print(
        json.dumps(
            [
                {"full": 100 * tokens / (rows * maxlen), "over": 100 * (rows / bound - 1), "most": most}
                for *_, rows, most in found
            ]
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
