"""The numbers of rows and tokens that `pack` read and wrote, in the metadata of packed rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import pyarrow as pa

from padmask.core.arrow_lists import Flags
from padmask.core.end_tokens import rows_without_end
from padmask.core.metadata import add_to_description, groups_to_keep
from padmask.core.plan import Positions, Segments

_KEY = "counts"


@dataclass(frozen=True)
class PackedCounts:
    """The numbers of rows, sequences and tokens of a run of `pack`.

    Args:
        rows_read: number of source rows.
        rows_used: number of source rows whose tokens are in the packed rows.
        rows_dropped: number of source rows that were dropped on request.
        rows_rejected: number of bad source rows.
        rows_empty: number of used source rows without tokens.
        rows_written: number of packed rows.
        sequences: number of sequences in the packed rows.
        tokens_read: number of tokens in the source rows.
        tokens_kept: number of source tokens in the packed rows.
        tokens_lost: number of source tokens that are not in the packed rows.
        tokens_repeated: number of additional copies of source tokens in the packed rows.
        tokens_added: number of end tokens that were added.
        limit: maximum number of source rows that the run reads; None if there is no maximum.
    """

    rows_read: int
    rows_used: int
    rows_dropped: int
    rows_rejected: int
    rows_empty: int
    rows_written: int
    sequences: int
    tokens_read: int
    tokens_kept: int
    tokens_lost: int
    tokens_repeated: int
    tokens_added: int
    limit: int | None = None

    @classmethod
    def of(cls, segments: Segments, read: Positions, added: Flags | None) -> PackedCounts:
        """Return the counts for rows in memory, none of which are bad.

        Args:
            segments: positions of the sequences in the packed rows.
            read: length of each source row, including dropped rows: int64, shape (source rows,).
            added: for each row that was not dropped, whether its last token is an added end token: bool,
                shape (rows,). None if no row has an added token.
        """
        ends = 0
        if added is not None:
            ends = int(added.sum() - added[rows_without_end(segments, "post")].sum())
        kept, written = int(segments.kept_tokens().sum()), int(segments.lengths.sum())
        used, tokens = len(segments.source_lengths), int(read.sum())
        return cls(
            rows_read=len(read),
            rows_used=used,
            rows_dropped=len(read) - used,
            rows_rejected=0,
            rows_empty=int((segments.source_lengths == 0).sum()),
            rows_written=0 if segments.rows is None else int(segments.rows.max(initial=-1)) + 1,
            sequences=len(segments.lengths),
            tokens_read=tokens,
            tokens_kept=kept - ends,
            tokens_lost=tokens - (kept - ends),
            tokens_repeated=written - kept,
            tokens_added=ends,
        )

    @property
    def tokens_written(self) -> int:
        """Number of tokens in the packed rows."""
        return self.tokens_kept + self.tokens_repeated + self.tokens_added

    @property
    def agree(self) -> bool:
        """Whether the counts are consistent.

        The rows used, dropped and rejected must add up to `rows_read`. The tokens kept and lost must add up
        to `tokens_read`. No count may be negative.
        """
        return (
            self.rows_read == self.rows_used + self.rows_dropped + self.rows_rejected
            and self.tokens_read == self.tokens_kept + self.tokens_lost
            and min(getattr(self, name) for name in COUNTED) >= 0
        )

    @classmethod
    def read(cls, schema: pa.Schema) -> PackedCounts | None:
        """Return the counts in the metadata of packed rows; None if the metadata has no counts.

        >>> PackedCounts.read(pa.schema([("input_ids", pa.list_(pa.int32()))])) is None
        True
        """
        for group in groups_to_keep(schema, ()):
            found: Any = group.get(_KEY)
            if isinstance(found, dict) and all(type(found.get(name)) is int for name in COUNTED):
                limit = found.get("limit")
                return cls(
                    **{name: found[name] for name in COUNTED}, limit=limit if type(limit) is int else None
                )
        return None

    def add_to(self, metadata: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Add these numbers to the metadata of packed rows. Return the new metadata.

        Args:
            metadata: metadata with a description of the packing.
        """
        return add_to_description(metadata, _KEY, asdict(self))


# Names of all numbers except the limit. `Ledger` has the same names.
COUNTED = tuple(its.name for its in fields(PackedCounts) if its.name != "limit")
