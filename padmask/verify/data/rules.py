"""The rules for ids and masks that `verify` checks without running a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags
from padmask.core.columns import IGNORED_LABEL
from padmask.core.masks import Mask
from padmask.core.ragged import Ragged
from padmask.spec.pad import Side
from padmask.spec.rules import RULES
from padmask.verify.data.findings import EXAMPLES, Finding, FindingCollector, Places
from padmask.verify.data.masked_values import MaskedValue, describe_masked, first_flagged
from padmask.verify.data.short_rows import ShortRows
from padmask.verify.data.token_ranges import TokenRanges


@dataclass(frozen=True)
class AuditColumn:
    """A column to check against the rules.

    Args:
        name: name of the column.
        value: pad value; None if unknown.
        label: whether the column contains labels, which should be padded with -100.
        any_value: whether the pad value is also a valid token of the column, such as the token type 0.
        masked: the value that the model masks in the column; None if there is no such value. Real tokens are
            compared with this value, or with the pad value if this value is None.
    """

    name: str
    value: Any
    label: bool = False
    any_value: bool = False
    masked: MaskedValue | None = None


def find_holes(mask: Mask) -> Flags:
    """Return, for each row, whether it has padding between real tokens.

    >>> find_holes(np.array([[True, False, True], [False, True, True]])).tolist()
    [True, False]
    """
    starts = mask[:, :1].sum(axis=1) + (~mask[:, :-1] & mask[:, 1:]).sum(axis=1)
    holes: Flags = starts > 1
    return holes


class Audit(FindingCollector):
    """Checks batches of rows against the rules, and collects the findings.

    >>> import pyarrow as pa
    >>> audit = Audit([AuditColumn("ids", value=0)])
    >>> rows, _ = Ragged.from_arrow(pa.array([[5, 0], [7]]))
    >>> audit.add_raw({"ids": rows}, "post", "row {}".format)
    >>> [finding.as_dict()["rule"] for finding in audit.findings()]
    ['pad-value-in-tokens']
    """

    def __init__(
        self, columns: Sequence[AuditColumn], *, mask: str | None = None, length: str | None = None
    ) -> None:
        """Create an audit without findings.

        Args:
            columns: columns to check, which have the same lengths.
            mask: name of the mask column of padded rows.
            length: name of the length column of padded rows.
        """
        super().__init__()
        self._columns, self._mask, self._length = columns, mask, length
        self._tokens = TokenRanges()
        self._pads: dict[str, Any] = {}
        self._short = ShortRows(EXAMPLES)
        # Whether short rows are padded at the start.
        self._pads_start = False
        self._late: set[str] = set()

    def id_range(self, name: str) -> tuple[int, int] | None:
        """Return the smallest and largest token of an integer column; None if the column has no tokens."""
        return self._tokens.range(name)

    def pad_value(self, name: str) -> Any:
        """Return the pad value found in the padding of a column.

        None if the pad value was known, or if the rows have no padding.
        """
        return self._pads.get(name)

    @property
    def late(self) -> list[str]:
        """Names of unchecked columns that have no values in the first rows, but one value per token later."""
        return sorted(self._late)

    def add_late(self, names: Iterable[str]) -> None:
        """Add names of unchecked columns to `late`."""
        self._late |= set(names)

    def join(self, later: Audit) -> None:
        """Add the findings of another audit, whose raw rows follow the rows of this audit.

        >>> from padmask.errors import Place
        >>> audits = [Audit([AuditColumn("ids", value=0)]) for _ in range(2)]
        >>> for number, audit in enumerate(audits):
        ...     rows = {"ids": Ragged(np.array([number]), np.array([0]), np.array([1]))}
        ...     audit.add_raw(rows, "pre", lambda row: Place("a", "row", row))
        >>> audits[0].join(audits[1])
        >>> audits[0].id_range("ids"), [found.count for found in audits[0].findings()]
        ((0, 1), [1])
        """
        self.join_findings(later)
        self._tokens.join(later._tokens)
        self._short.join(later._short)
        self._pads_start |= later._pads_start
        self._late |= later._late

    def copy(self) -> Audit:
        """Return an independent copy of the findings so far."""
        same = Audit(self._columns, mask=self._mask, length=self._length)
        same.copy_findings(self)
        same._tokens, same._pads = self._tokens.copy(), dict(self._pads)
        same._short, same._pads_start = self._short.copy(), self._pads_start
        same._late = set(self._late)
        return same

    def findings(self) -> list[Finding]:
        """Return the findings in the order of the rules and the columns."""
        rules, names = list(RULES), [column.name for column in self._columns]

        def order(finding: Finding) -> tuple[int, int, str]:
            known = names.index(finding.column) if finding.column in names else len(names)
            return rules.index(finding.rule.name), known, finding.column or ""

        found = []
        for finding in sorted([*self.collected(), *self._on_new_padding()], key=order):
            if finding.rule.name == "pad-value-in-tokens":
                if self._are_flags(finding.column):
                    continue
                finding = self._with_unused_id(finding)
            found.append(finding)
        return found

    def add_raw(
        self,
        rows: Mapping[str, Ragged],
        padding: Side,
        place: Places,
        maxlen: int | None = None,
        multiple: int = 1,
    ) -> None:
        """Check raw rows as if they were padded.

        Args:
            rows: rows of each column, by column name.
            padding: side of the padding.
            place: function that returns the location of a row, given its index.
            maxlen: length to which the rows are padded. If None, the longest row determines the length.
            multiple: if `maxlen` is None, the longest length is rounded up to a multiple of this number.
        """
        lengths = next(iter(rows.values())).lengths
        for column in self._columns:
            self._add_tokens(column, rows[column.name], place)
            if maxlen is not None and _pads_labels_in_loss(column):
                self.add_rows("labels-on-padding", lengths < maxlen, place, column.name)
        if maxlen is None and (padding == "pre" or any(map(_pads_labels_in_loss, self._columns))):
            self._short.multiple = multiple
            self._short.add(lengths, place)
        self.add_rows("row-fully-masked", lengths == 0, place)
        if padding == "post":
            self.add_rows("cudnn-fallback", lengths == 0, place)
        elif maxlen is None:
            self._pads_start = True
        else:
            self.add_rows("cudnn-fallback", (lengths == 0) | (lengths < maxlen), place)

    def add_padded(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        mask: Mask,
        padding: Side,
        place: Places,
        lengths: npt.NDArray[np.int64] | None = None,
        side_from: str = "",
        *,
        packed: bool = False,
    ) -> None:
        """Check padded rows.

        Args:
            values: values of each column by column name, shape (rows, maxlen, ...).
            mask: bool, shape (rows, maxlen), True at real tokens.
            padding: expected side of the padding.
            place: function that returns the location of a row, given its index.
            lengths: values of the length column, shape (rows,); None if there is no such column.
            side_from: source of `padding`, such as `"--padding post"`, for messages. Empty if `padding` is
                the most common side of the rows.
            packed: whether the rows have several sequences. There may be padding between the sequences.
        """
        kept = mask.sum(axis=1)
        holes, marks = find_holes(mask), self._mask or self._length
        if packed:
            holes = np.zeros_like(holes)
        self.add_rows("mask-not-contiguous", holes, place, marks)
        edge = mask[:, 0] if padding == "post" else mask[:, -1]
        detail = f"the padding is not on the side that {side_from} specifies" if side_from else ""
        self.add_rows("mask-wrong-side", ~holes & (kept > 0) & ~edge, place, marks, detail)
        if lengths is not None:
            self.add_rows("mask-length", lengths != kept, place, self._length)
        for column in self._columns:
            self._padded_column(column, values[column.name], mask, place)
        self.add_rows("row-fully-masked", kept == 0, place, marks)
        self.add_rows("cudnn-fallback", (kept == 0) | holes | ~mask[:, 0], place, marks)

    def add_invalid_lengths(self, bad: Flags, place: Places) -> None:
        """Report rows whose length is null, negative or larger than the row."""
        self.add_rows("length-range", bad, place, self._length)

    def add_invalid_masks(
        self, bad: Flags, place: Places, mask: str | None = None, reasons: Mapping[int, str] | None = None
    ) -> None:
        """Report rows in which the column `mask` is not a valid mask, or has a different length from the ids.

        Args:
            bad: for each row, whether its mask is invalid.
            place: function that returns the location of a row, given its index.
            mask: name of the column.
            reasons: reason for each invalid mask, keyed by row index.
        """
        first = int(np.argmax(bad)) if bad.any() else -1
        self.add_rows("mask-shape", bad, place, mask, (reasons or {}).get(first, ""))

    def add_unequal(
        self, bad: Flags, widths: npt.NDArray[np.int64], place: Places, of_group: str = ""
    ) -> None:
        """Report rows whose length differs from that of the first row in the data, the batch or the bucket.

        Args:
            bad: for each row, whether its length differs.
            widths: number of positions that each row should have.
            place: function that returns the location of a row, given its index.
            of_group: `" of the batch"` or `" of the bucket"` if the rows are divided into batches or buckets;
                else empty.
        """
        if bad.any():
            width = int(widths[int(np.argmax(bad))])
            means = RULES["rows-unequal"].means
            detail = (
                f"the first row{of_group} has {width:,} positions, but this row has another number: {means}"
            )
            self.add_rows("rows-unequal", bad, place, self._columns[0].name, detail)

    def _padded_column(
        self, column: AuditColumn, values: npt.NDArray[Any], mask: Mask, place: Places
    ) -> None:
        """Check a padded column."""
        if column.value is None and not mask.all():
            # The pad value is unknown. Use the most frequent value in the padding, because some masks may be
            # wrong.
            found, counts = np.unique(values[~mask].reshape(-1), return_counts=True)
            most = found.tolist()[int(counts.argmax())]
            column = replace(column, value=self._pads.setdefault(column.name, most))
        kept = mask.sum(axis=1)
        self._add_tokens(column, Ragged(values[mask], np.cumsum(kept) - kept, kept), place, mask)
        if column.label:
            unlike = (values != IGNORED_LABEL).reshape(*mask.shape, -1).any(axis=2) & ~mask
            self.add_rows("labels-on-padding", unlike.any(axis=1), place, column.name)
        if column.value is not None:
            other = ~_equal(values, column.value).reshape(*mask.shape, -1).all(axis=2) & ~mask
            self.add_rows("padding-not-pad-value", np.asarray(other.any(axis=1)), place, column.name)

    def _add_tokens(self, column: AuditColumn, rows: Ragged, place: Places, mask: Mask | None = None) -> None:
        """Check the real tokens of a column. `mask` is the mask of padded rows; None for raw rows."""
        values = rows.values
        if values.dtype.kind == "f":
            self.add_rows("non-finite", _rows_with(rows, ~np.isfinite(values)), place, column.name)
        if values.dtype.kind in "iu":
            self._tokens.add(column.name, values)
        value = column.value if column.masked is None else column.masked.value
        if column.label or column.any_value or value is None:
            return
        # A vector counts as padding if all its values are the pad value.
        equal = _per_token(_equal(values, value), np.all)
        bad, rule, detail = _rows_with(rows, equal), "pad-value-in-tokens", ""
        if bad.any() and not self.has(rule, column.name):
            row, position = first_flagged(rows, equal)
            if mask is not None:
                position = int(np.flatnonzero(mask[row])[position])
            detail = describe_masked(value, position, column.masked)
        self.add_rows(rule, bad, place, column.name, detail)
        if values.dtype.kind in "iu" and values.ndim == 1:
            self._tokens.add_used(column.name, values)

    def _on_new_padding(self) -> list[Finding]:
        """Return findings about the padding that raw rows will get if they are shorter than the longest row.

        Two findings are possible: labels are padded with a value other than -100, and the padding is at the
        start of rows, which cuDNN does not support.
        """
        count, places = self._short.found()
        rule = RULES["labels-on-padding"]
        columns = [column.name for column in self._columns if count and _pads_labels_in_loss(column)]
        found = [Finding(rule, count, list(places), rule.means, name) for name in columns]
        count, places = self._short.found(least=1) if self._pads_start else (0, [])
        rule = RULES["cudnn-fallback"]
        return [*found, *([Finding(rule, count, list(places), rule.means)] if count else [])]

    def _are_flags(self, name: str | None) -> bool:
        """Return whether a column is not the token column and contains only the values 0 and 1."""
        beside = (name or "") != next((column.name for column in self._columns), None)
        return beside and self._tokens.are_flags(name or "")

    def _with_unused_id(self, finding: Finding) -> Finding:
        """Return a `pad-value-in-tokens` finding whose text suggests the smallest unused id."""
        name = finding.column or ""
        unused = self._tokens.unused(name)
        # A model with `mask_zero=True` masks 0, whatever the pad value is.
        if unused is None or any(its.masked is not None for its in self._columns if its.name == name):
            return finding
        text = f"{finding.detail}; to pad with an unused id, use -c {quote(f'{name}={unused}')}"
        return replace(finding, detail=text)


def _pads_labels_in_loss(column: AuditColumn) -> bool:
    return column.label and column.value != IGNORED_LABEL


def _equal(values: npt.NDArray[Any], value: Any) -> Flags:
    """Return, for each value, whether it equals the pad value. The pad value may be NaN."""
    if value != value and values.dtype.kind == "f":
        return np.asarray(np.isnan(values))
    return np.asarray(values == value)


def _per_token(flagged: Flags, reduce: Callable[..., Any]) -> Flags:
    """Apply `reduce`, which is `np.all` or `np.any`, to the flags of each token. Return a flag per token."""
    # NumPy needs 40 times longer to reduce an axis of size 1 than to compare the values.
    if flagged.ndim == 1:
        return flagged
    return np.asarray(reduce(flagged.reshape(len(flagged), math.prod(flagged.shape[1:])), axis=1))


def _rows_with(rows: Ragged, flagged: Flags) -> Flags:
    """Return, for each row, whether `flagged` is True for any of its values."""
    if not flagged.any():
        return np.zeros(len(rows.lengths), dtype=bool)
    seen = np.concatenate([[0], np.cumsum(_per_token(flagged, np.any))])
    found: Flags = seen[rows.starts + rows.lengths] > seen[rows.starts]
    return found
