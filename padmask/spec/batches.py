"""Options for batches with a token budget (`BatchSpec`), and the names of the columns for batches."""

from __future__ import annotations

from dataclasses import dataclass

from padmask.errors import SpecError, join_or
from padmask.spec.checks import at_least, check_fields, optional

# Column with the number of the source row, for output rows in a different order from the source rows.
SOURCE_ROW = "source_row"

# Column with the number of the batch.
BATCH = "batch"

# The kinds of output that have additional columns, each with the option that requests this kind.
SHAPE_OPTIONS = {
    "packed rows": "emit",
    "windows": "overlong",
    "buckets": "buckets",
    "batches": "batch_tokens",
}


@dataclass(frozen=True, kw_only=True)
class BatchSpec:
    """Options for batches with a maximum number of positions.

    >>> BatchSpec(tokens=8192).sort_window
    100000

    Args:
        tokens: maximum number of positions in a batch, including padding.
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

    def widest(self, multiple: int | None) -> int:
        """Return the largest row length for which `self.multiple` rows fit in a batch.

        >>> BatchSpec(tokens=100, multiple=3).widest(8)
        32

        Args:
            multiple: the result is rounded down to a multiple of this number. None for no rounding.
        """
        step = multiple or 1
        return self.tokens // self.multiple // step * step

    def refuse_conflicts(self, maxlen: int | str, multiple: int | None, other: str) -> None:
        """Raise an error if batches are too small, or if they conflict with another option.

        Args:
            maxlen: length to which rows are truncated.
            multiple: the row length of each batch is rounded up to a multiple of this number.
            other: name of another option that also sets row lengths: `"buckets"` or `"own_lengths"`. An empty
                string if neither is set.

        Raises:
            SpecError: the smallest possible batch has more than `self.tokens` positions, `maxlen` is 0, or
                `other` is not empty.
        """
        if not self.widest(multiple):
            parts = [f"{self.multiple} rows"] * (self.multiple > 1)
            parts += [f"{multiple} positions"] * bool(multiple)
            options = ["batch_multiple"] * (self.multiple > 1) + ["pad_to_multiple_of"] * bool(multiple)
            raise SpecError(
                f"A batch of {self.tokens:,} positions is too small, because a batch must have at least "
                f"{' of '.join(parts)}. Choose a larger `batch_tokens`, or a smaller "
                f"{join_or([f'`{name}`' for name in options])}.",
                options=["batch_tokens", *options],
            )
        if other:
            reasons = {
                "buckets": "sets the length of the rows in each file",
                "own_lengths": "sets a separate length for a column",
            }
            raise SpecError(
                f"Each batch is padded to its own longest row, but `{other}` {reasons[other]}. Remove "
                f"`batch_tokens` or `{other}`.",
                options=["batch_tokens", other],
            )
        if maxlen == 0:
            raise SpecError(
                "`maxlen` 0 removes every token, so there is nothing to divide into batches. Choose a larger "
                "`maxlen`.",
                options=["maxlen", "batch_tokens"],
            )
