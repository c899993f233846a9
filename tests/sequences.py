"""Tables of sequences for tests: each sequence is given by its values."""

from __future__ import annotations

import numpy as np

from padmask.core.sequence_hashes import hash_sequences
from padmask.verify.data.sequence_table import LocatedSequences


def located(*columns, sources=None, starts=None, files=None):
    """Return the table of some sequences.

    Args:
        columns: values of each sequence, for each column. The first column has the tokens.
        sources, starts: source row and first token of each sequence. By default, each row is one sequence.
        files: index of the file of each sequence.
    """
    lengths = np.array([len(tokens) for tokens in columns[0]], dtype=np.int64)
    hashes = [
        hash_sequences(np.array([value for values in column for value in values], dtype=np.int64), lengths)
        for column in columns
    ]
    none = np.zeros(len(lengths), dtype=np.int64)
    files = none if files is None else np.array(files)
    return LocatedSequences(
        sources=np.arange(len(lengths)) if sources is None else np.array(sources),
        starts=none if starts is None else np.array(starts),
        lengths=lengths,
        numbers=np.arange(len(lengths)),
        files=files,
        hashes=np.stack(hashes, axis=1),
        names=[(f"{file}.parquet", "row") for file in range(int(files.max(initial=0)) + 1)],
    )
