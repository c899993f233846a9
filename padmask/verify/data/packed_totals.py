"""Compare the numbers of packed rows, sequences and tokens with the file metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from padmask.core.kernel import take_runs
from padmask.core.packed_counts import PackedCounts
from padmask.core.ragged import Ragged
from padmask.errors import Place, count
from padmask.verify.data.rules import Audit


@dataclass
class _Totals:
    """The numbers of rows, sequences and tokens in a file.

    The numbers of sequences and tokens are known only if all rows are valid.
    """

    rows: int = 0
    sequences: int = 0
    tokens: int = 0
    complete: bool = True


class CountAudit:
    """Counts the packed rows, sequences and tokens of each file, and compares them with the metadata.

    Args:
        counts: counts from the metadata of each file, keyed by file name.
        audit: object that collects the findings.
    """

    def __init__(self, counts: Mapping[str, PackedCounts], audit: Audit) -> None:
        self._counts, self._audit = counts, audit
        self._totals = {name: _Totals() for name in counts}

    def add(self, file: str, rows: int, lengths: Ragged) -> None:
        """Add rows of a file.

        Args:
            file: name of the file.
            rows: number of rows.
            lengths: lengths of the sequences of each valid row.
        """
        totals = self._totals.get(file)
        if totals is None:
            return
        totals.rows += rows
        totals.sequences += int(lengths.lengths.sum())
        totals.tokens += int(take_runs(lengths.values, lengths.starts, lengths.lengths).sum())
        totals.complete &= len(lengths.lengths) == rows

    def finish(self, sources: Mapping[str, tuple[int, int]]) -> None:
        """Report the files whose numbers differ from the metadata.

        Args:
            sources: count of distinct source rows, and row number of the last source row, by file name. There
                is no item for a file whose sources are unknown or wrong.
        """
        for name, counts in self._counts.items():
            wrong = _differences(counts, self._totals[name], sources.get(name))
            self._audit.add_count("packed-counts", int(bool(wrong)), [Place(name)], detail="; ".join(wrong))


def _differences(counts: PackedCounts, totals: _Totals, sources: tuple[int, int] | None) -> list[str]:
    """Return the differences between the metadata and the rows of a file, as texts."""
    pairs = [("rows", totals.rows, counts.rows_written)]
    if totals.complete:
        pairs += [
            ("sequences", totals.sequences, counts.sequences),
            ("tokens", totals.tokens, counts.tokens_written),
        ]
        if sources is not None:
            pairs.append(("source rows", sources[0], counts.rows_used - counts.rows_empty))
    wrong = [
        f"the file has {found:,} {what}, but the metadata says {expected:,}"
        for what, found, expected in pairs
        if found != expected
    ]
    if sources is not None and sources[1] >= counts.rows_read:
        wrong.append(
            f"source row {sources[1]:,} does not exist: according to the metadata, the input had "
            f"{count(counts.rows_read, 'row')}"
        )
    if not counts.agree:
        wrong.append("the numbers in the metadata disagree with each other")
    return wrong
