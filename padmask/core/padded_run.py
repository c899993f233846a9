"""The numbers of rows that a run of `pad` read, left out and wrote, in the metadata of padded rows."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import pyarrow as pa

from padmask.core.metadata import METADATA_KEY, RUN_KEY, add_to_description, valid_descriptions


@dataclass(frozen=True)
class PaddedRun:
    """The numbers of rows of a run of `pad`, and the options that leave out rows.

    Args:
        overlong: what the run did with rows longer than maxlen, as in `RowPolicy`.
        empty_rows: what the run did with rows without tokens, as in `RowPolicy`.
        rows_read: number of rows of the input.
        rows_used: number of rows of the input that were padded.
        rows_dropped: number of rows that were dropped on request.
        rows_rejected: number of bad rows that were skipped.
        rows_written: number of padded rows.
        limit: maximum number of rows that the run reads; None if there is no maximum.
    """

    overlong: str
    empty_rows: str
    rows_read: int
    rows_used: int
    rows_dropped: int
    rows_rejected: int
    rows_written: int
    limit: int | None = None

    @property
    def rows_until_limit(self) -> int | None:
        """Number of rows that the run read, if `limit` may have ended the run; else None.

        >>> PaddedRun("truncate", "keep", 5, 5, 0, 0, 5, limit=5).rows_until_limit
        5
        >>> PaddedRun("truncate", "keep", 5, 5, 0, 0, 5, limit=9).rows_until_limit is None
        True
        """
        return None if self.limit is None or self.rows_read < self.limit else self.rows_read

    @property
    def drops_overlong(self) -> bool:
        """Whether the run may have left out rows longer than maxlen."""
        return self.overlong == "drop" and self.rows_dropped > 0

    @property
    def drops_empty(self) -> bool:
        """Whether the run may have left out rows without tokens."""
        return self.empty_rows == "drop" and self.rows_dropped > 0

    @classmethod
    def read(cls, schema: pa.Schema) -> PaddedRun | None:
        """Return the run that the metadata of padded rows describes; None if there is no valid description.

        >>> PaddedRun.read(pa.schema([("input_ids", pa.list_(pa.int32()))])) is None
        True
        """
        if not valid_descriptions(schema):
            return None
        found: Any = json.loads(schema.metadata[METADATA_KEY]).get(RUN_KEY)
        if not isinstance(found, dict):
            return None
        overlong, empty_rows, limit = (found.get(name) for name in ("overlong", "empty_rows", "limit"))
        if not isinstance(overlong, str) or not isinstance(empty_rows, str):
            return None
        if not all(type(found.get(name)) is int and found[name] >= 0 for name in COUNTED_ROWS):
            return None
        numbers = {name: found[name] for name in COUNTED_ROWS}
        run = cls(overlong, empty_rows, **numbers, limit=limit if type(limit) is int else None)
        return run if run.rows_read == run.rows_used + run.rows_dropped + run.rows_rejected else None

    def add_to(self, metadata: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Add this run to the metadata of padded rows. Return the new metadata.

        Args:
            metadata: metadata with a description of the padding.
        """
        return add_to_description(metadata, RUN_KEY, asdict(self))


# Names of the numbers of rows. `Ledger` has the same names.
COUNTED_ROWS = tuple(its.name for its in fields(PaddedRun) if its.type == "int")


def join_runs(runs: Collection[PaddedRun | None]) -> PaddedRun | None:
    """Combine the runs that wrote the files of a dataset into one `PaddedRun`.

    Return None if a run is unknown, or if the runs have different options.

    >>> first = PaddedRun("truncate", "keep", 5, 5, 0, 0, 5)
    >>> join_runs([first, first]).rows_written
    10
    >>> join_runs([first, None]) is None
    True
    """
    known = [run for run in runs if run is not None]
    if not known or len(known) < len(runs):
        return None
    if len({(run.overlong, run.empty_rows) for run in known}) > 1:
        return None
    totals = {name: sum(getattr(run, name) for run in known) for name in COUNTED_ROWS}
    limited = any(run.rows_until_limit is not None for run in known)
    return PaddedRun(
        known[0].overlong, known[0].empty_rows, **totals, limit=totals["rows_read"] if limited else None
    )
