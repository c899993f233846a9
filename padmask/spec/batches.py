"""Options for batches of a token budget (`BatchSpec`), and the names of the columns that batches add."""

from __future__ import annotations

from dataclasses import dataclass

from padmask.spec.checks import at_least, check_fields, optional

# Column with the number of the source row, for output rows in another order than the source rows.
SOURCE_ROW = "source_row"

# Column with the number of the batch.
BATCH = "batch"


@dataclass(frozen=True, kw_only=True)
class BatchSpec:
    """Options for writing rows in batches that have at most a certain number of positions.

    >>> BatchSpec(tokens=8192).sort_window
    100000

    Args:
        tokens: maximum number of positions in a batch, tokens and padding.
        multiple: the number of rows of a batch is a multiple of this number, except for the last batch of a
            sort window.
        sort_window: number of consecutive rows that are sorted by length and divided into batches.
        shuffle: seed of a random order of the batches in each sort window. If None, the batches are in
            ascending order of length.

    Source: `max_tokens` and `required_batch_size_multiple` of fairseq.
    """

    tokens: int
    multiple: int = 1
    sort_window: int = 100_000
    shuffle: int | None = None

    def __post_init__(self) -> None:
        check_fields(
            self,
            tokens=at_least(1, bits=53),
            multiple=at_least(1, bits=31),
            sort_window=at_least(1, bits=53),
            shuffle=optional(at_least(0, bits=63)),
        )
