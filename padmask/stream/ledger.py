"""The result of a run, and the counts of rows and tokens that were read, written and lost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from padmask.spec.warning_names import Warned


@dataclass(frozen=True)
class Ledger:
    """Counts of rows and tokens. Ledgers of batches, files and machines can be added with `+`.

    >>> (Ledger(rows_read=2, rows_used=2) + Ledger(rows_read=1, rows_dropped=1)).rows_read
    3

    Args:
        rows_read: number of input rows, up to `--limit`.
        rows_used: number of input rows whose tokens are in the output.
        rows_written: number of output rows. An input row may become several output rows, or several input
            rows may become one.
        rows_dropped: number of overlong or empty rows that were dropped on request.
        rows_rejected: number of bad rows that were skipped (`--on-error skip`).
        rows_split: number of used rows that became several output rows.
        rows_truncated: number of used rows that lost tokens.
        ends_lost: number of truncated rows that lost their end token. The end token is the token that most
            rows have at the truncated end.
        rows_empty: number of used rows without tokens. All their positions are padding.
        rows_non_finite: number of used rows that contain NaN or an infinite token.
        tokens_read: number of tokens in the rows that could be read.
        tokens_kept: number of input tokens that are in the output.
        tokens_repeated: number of additional copies of input tokens in the output.
        labels_lost: number of labels other than -100 that are not in the output.
        own_tokens_lost: number of tokens lost from columns that have their own maxlen, by truncation or in
            dropped rows.
        own_tokens_read: number of tokens in the columns that have their own maxlen, in used and dropped rows.
        places: number of positions in the written rows, both tokens and padding.
        batches: number of batches with a token budget.
        batches_short: number of batches that are not full (see `BatchPlan.short`). A sort window has at most
            one such batch.
        tokens_added: number of end tokens that packing added (`--eos`).
        sequences: number of sequences in packed rows.
        most_sequences: maximum number of sequences in a packed row. `+` keeps the larger maximum.
        rows_at_least: lower bound of the number of packed rows: no algorithm can pack the sequences into
            fewer rows. `+` adds the bounds, because files are packed separately.
        sequences_rejected: number of sequences in good packed rows that `unpad` skipped, because the pieces
            of their source row cannot be joined.
        boundary_labels: number of labels other than -100 that packing replaced with -100, because they are
            the first label of a sequence (`--boundary-labels`). These labels do not count as lost.
        reasons: for each kind of reason, the number of rejected rows and the first reason of this kind. Two
            reasons have the same kind if they differ only in numbers and quoted values. Manifests do not
            contain the reasons.
    """

    rows_read: int = 0
    rows_used: int = 0
    rows_written: int = 0
    rows_dropped: int = 0
    rows_rejected: int = 0
    rows_split: int = 0
    rows_truncated: int = 0
    ends_lost: int = 0
    rows_empty: int = 0
    rows_non_finite: int = 0
    tokens_read: int = 0
    tokens_kept: int = 0
    tokens_repeated: int = 0
    labels_lost: int = 0
    own_tokens_lost: int = 0
    own_tokens_read: int = 0
    places: int = 0
    batches: int = 0
    batches_short: int = 0
    tokens_added: int = 0
    sequences: int = 0
    most_sequences: int = 0
    rows_at_least: int = 0
    sequences_rejected: int = 0
    boundary_labels: int = 0
    reasons: Mapping[str, tuple[int, str]] = field(default_factory=dict, compare=False, repr=False)

    def __add__(self, other: Ledger) -> Ledger:
        counts: dict[str, Any] = {
            name: number + getattr(other, name) for name, number in self.counts.items()
        } | {"most_sequences": max(self.most_sequences, other.most_sequences)}
        return Ledger(**counts, reasons=_join_reasons(self.reasons, other.reasons))

    @property
    def counts(self) -> dict[str, int]:
        """All counts by name."""
        return {its.name: getattr(self, its.name) for its in fields(self) if its.name != "reasons"}

    @property
    def main_reason(self) -> str:
        """The most frequent reason for rejected rows, with its number of rows; empty without reasons."""
        if not self.reasons:
            return ""
        rows, reason = max(self.reasons.values(), key=lambda its: its[0])
        return reason if rows == 1 else f"{reason} (first of {rows:,} rows)"

    @property
    def tokens_lost(self) -> int:
        """Number of tokens lost by truncation or in dropped rows."""
        return self.tokens_read - self.tokens_kept

    @property
    def padding_share(self) -> float:
        """Share of the positions that are padding, from 0 to 1."""
        tokens = self.tokens_kept + self.tokens_repeated + self.tokens_added
        return 1 - tokens / self.places if self.places else 0.0

    @property
    def balanced(self) -> bool:
        """Whether every row read was used, dropped or rejected."""
        return self.rows_read == self.rows_used + self.rows_dropped + self.rows_rejected

    def as_dict(self) -> dict[str, Any]:
        """Return all counts and shares as a dict for JSON."""
        counts = self.counts
        places = counts.pop("places")
        return counts | {
            "tokens_lost": self.tokens_lost,
            "padding_share": self.padding_share,
            "places": places,
        }


# Maximum number of different reasons to count. A reason that quotes a value may differ in every row.
_MOST_KINDS = 100

# Parts of a reason that differ between rows: numbers and quoted values.
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")


def count_rejected(reasons: Iterable[str]) -> Ledger:
    """Return a ledger with the number of rejected rows and their reasons.

    >>> rejected = count_rejected(["position 3: found null", "no list", "position 5: found null"])
    >>> rejected.rows_rejected, rejected.main_reason
    (3, 'position 3: found null (first of 2 rows)')

    Args:
        reasons: reason of each rejected row.
    """
    rows, found = 0, dict[str, tuple[int, str]]()
    for reason in reasons:
        rows += 1
        kind = _VALUES.sub("_", reason)
        if kind in found or len(found) < _MOST_KINDS:
            number, first = found.get(kind, (0, reason))
            found[kind] = number + 1, first
    return Ledger(rows_rejected=rows, reasons=found)


def _join_reasons(
    first: Mapping[str, tuple[int, str]], later: Mapping[str, tuple[int, str]]
) -> dict[str, tuple[int, str]]:
    joined = dict(first)
    for kind, (rows, reason) in later.items():
        if kind in joined:
            joined[kind] = (joined[kind][0] + rows, joined[kind][1])
        elif len(joined) < _MOST_KINDS:
            joined[kind] = (rows, reason)
    return joined


@dataclass(frozen=True)
class PaddedRows:
    """The counts of padded rows, the names of late columns, and notes on columns.

    >>> PaddedRows(Ledger(rows_read=1)) + PaddedRows(Ledger(rows_read=2), ("labels",))
    PaddedRows(ledger=Ledger(rows_read=3, ...), late=('labels',), column_notes={})

    Args:
        ledger: counts of rows and tokens.
        late: names of columns that have no values in the first rows, but one value per token in later rows.
        column_notes: notes of the writer on columns, keyed by column name. If two files have different notes
            on a column, the last note in alphabetical order is kept.
    """

    ledger: Ledger = Ledger()
    late: tuple[str, ...] = ()
    column_notes: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, other: PaddedRows) -> PaddedRows:
        notes = dict(self.column_notes)
        for name, note in other.column_notes.items():
            notes[name] = max(note, notes.get(name, ""))
        return PaddedRows(self.ledger + other.ledger, tuple(sorted({*self.late, *other.late})), notes)


@dataclass(frozen=True)
class BucketRows:
    """The counts of the rows of a bucket, over all files.

    Args:
        maxlen: length of every row of the bucket (the edge).
        rows: number of rows.
        tokens: number of tokens.
    """

    maxlen: int
    rows: int
    tokens: int

    @property
    def padding_share(self) -> float:
        """Share of the positions that are padding, from 0 to 1."""
        places = self.rows * self.maxlen
        return 1 - self.tokens / places if places else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the counts and the share of padding as a dict for JSON."""
        return asdict(self) | {"padding_share": self.padding_share}


@dataclass(frozen=True)
class PadResult:
    """The result of `pad_file` and `pad_dataset`.

    Args:
        ledger: counts of rows and tokens.
        maxlen: length of every output row. With batches or buckets, the largest possible length of a row.
        maxlen_found: how maxlen was determined: `"given"`, `"longest"` or a percentile such as `"p95"`.
            `"batches"` means that only `batch_tokens` limits the length.
        maxlen_exact: maxlen before rounding up to a multiple.
        padding: side of the padding.
        columns: names of the padded columns.
        unpadded: columns that were not padded but have the same lengths as the padded columns, each with the
            command-line options that would pad the column.
        notes: warnings. Each is a `str` whose attribute `name` is the name of the warning.
        shards: number of shards if the output is a folder; otherwise 0. A shard is one output file or, with
            buckets, one output file for each bucket that has rows.
        resumed: number of shards from an earlier run that `resume` kept.
        faults: message for each unreadable file that was skipped.
        own: maxlen of each column that has its own maxlen, keyed by column name.
        remarks: notes for the summary that require no action, as sentences.
        shared_end: token that most rows share at the truncated end; None if there is none. `Ledger.ends_lost`
            counts the rows that lost this token.
        truncating: side on which rows are truncated.
        buckets: rows of each bucket, in ascending order of maxlen; empty without buckets.
        batch_tokens: maximum number of positions in a batch; None if the rows are not divided into batches.
        packed: whether several sequences are packed into each row.
    """

    ledger: Ledger
    maxlen: int
    maxlen_found: str
    maxlen_exact: int
    padding: str
    columns: tuple[str, ...]
    unpadded: dict[str, str]
    notes: tuple[Warned, ...] = ()
    shards: int = 0
    resumed: int = 0
    faults: tuple[str, ...] = ()
    own: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    shared_end: int | None = None
    truncating: str = "post"
    buckets: tuple[BucketRows, ...] = ()
    batch_tokens: int | None = None
    packed: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the contents of the `--report` file, as a dict for JSON."""
        rest = asdict(self) | {"buckets": [bucket.as_dict() for bucket in self.buckets]}
        del rest["ledger"]
        return self.ledger.as_dict() | rest


@dataclass(frozen=True)
class UnpadResult:
    """The result of `unpad_file`.

    Args:
        ledger: counts of rows and tokens. `places` is the number of positions before unpadding.
        columns: names of the unpadded columns.
        mask_column: name of the mask column; None if only a length column marked the padding.
        length_column: name of the length column; None if there is no length column.
        still_padded: columns that may still be padded, because they have the same lengths as the padded
            columns, each with the command-line options that would unpad the column.
        notes: warnings. Each is a `str` whose attribute `name` is the name of the warning.
        remarks: notes for the summary that require no action, as sentences.
        packed: whether the rows were packed.
    """

    ledger: Ledger
    columns: tuple[str, ...]
    mask_column: str | None
    length_column: str | None
    still_padded: dict[str, str]
    notes: tuple[Warned, ...] = ()
    remarks: tuple[str, ...] = ()
    packed: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the contents of the `--report` file, as a dict for JSON."""
        counts = self.ledger.as_dict()
        names: tuple[str, ...] = ("rows_read", "rows_written", "rows_rejected", "rows_empty", "tokens_kept")
        if self.packed:
            names = (*names, "sequences", "sequences_rejected", "most_sequences", "tokens_repeated")
        rest = asdict(self)
        del rest["ledger"]
        return {name: counts[name] for name in (*names, "padding_share", "places")} | rest
