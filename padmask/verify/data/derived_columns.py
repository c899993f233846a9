"""Check the columns that packing computes from the lengths of the sequences, such as `position_ids`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags
from padmask.core.columns import LABEL_NAMES, PadColumn, is_label
from padmask.core.kernel import take_runs
from padmask.core.loss_tokens import LossTokens
from padmask.core.masks import number_sequences
from padmask.core.packed_columns import PackedRows, derived_column
from padmask.core.packed_head import sums_by_row
from padmask.core.packed_layout import PackedLayout
from padmask.core.plan import Positions
from padmask.core.ragged import Ragged
from padmask.errors import count
from padmask.formats.contract import Batch
from padmask.spec.pack import WIDE
from padmask.spec.rules import RULES
from padmask.verify.data.rows_to_check import AuditRows
from padmask.verify.data.rules import Audit


@dataclass(frozen=True)
class ValidRows:
    """The rows of a batch with valid sequences.

    Args:
        batch: all rows of the batch.
        rows: indices of the valid rows: int64, shape (valid rows,).
        packed: positions of the sequences in the valid rows.
        tokens: positions that count in the loss; None if there are neither label nor loss mask columns.
    """

    batch: Batch
    rows: Positions
    packed: PackedRows
    tokens: LossTokens | None

    def flags(self, bad: Flags) -> Flags:
        """Convert flags of the valid rows to flags of all rows of the batch.

        Rows that are not valid get the flag False.
        """
        found = np.zeros(len(self.batch), dtype=bool)
        found[self.rows[bad]] = True
        return found

    def rows_with(self, positions: Flags) -> Flags:
        """Return, for each valid row, whether any of its positions is True in `positions`."""
        return any_by_row(positions, self.packed.widths)


class DerivedColumns:
    """Checks columns that describe the sequences, against values computed from the lengths of the sequences.

    Args:
        layout: how the rows are packed.
        audit: object that collects the findings.
        columns: packed columns that are checked.
        mask: name of the mask column; None if there is no mask.
    """

    def __init__(
        self, layout: PackedLayout, audit: Audit, columns: Sequence[PadColumn], mask: str | None
    ) -> None:
        self._layout, self._audit, self._mask = layout, audit, mask
        names = {column.name for column in columns}
        # The loss mask depends on the labels, so it is checked only if all label columns are checked.
        packed = layout.columns if layout.described else ()
        self._has_all_labels = not [name for name in packed if name not in names and name in LABEL_NAMES]
        # If pack used loss masks that are not checked, or windows that label a token only once, fewer tokens
        # count in the loss than the checked columns show.
        windows = None if layout.spec is None else layout.spec.windows
        new = windows is not None and windows.labels == "new" and not any(map(is_label, columns))
        self._has_all_masks = names.issuperset(layout.loss_masks) and not new

    def check(self, rows: AuditRows, found: ValidRows) -> None:
        """Check the next batch.

        Args:
            rows: rows of the batch.
            found: the valid rows.
        """
        packing, marker = self._layout.packing, self._layout.marker
        for name, derived in self._layout.derived.items():
            # Without metadata, the sequences come from the marker column, so a check of it always passes.
            if name != self._mask and (packing is not None or marker is None or name != marker.column):
                self._check_derived(name, derived, found)
        self._check_segment_ids(rows, found)
        self._check_positions(rows, found)

    def _check_derived(self, column: str, name: str, found: ValidRows) -> None:
        """Compare a derived column with the values computed from the lengths of the sequences.

        Args:
            column: name of the column.
            name: name of this derived column in `DERIVED`.
            found: the valid rows.
        """
        packing, packed = self._layout.packing, found.packed
        if name == "loss_mask" and (packing is None or not self._has_all_labels):
            return
        if packing is None and name in ("segment_ids", "seq_lens"):
            # `seq_lens` depends on --align, which only the metadata contains.
            return
        actual = read_integers(found.batch, column).select(found.rows)
        expected, _ = Ragged.from_arrow(derived_column(name, packed, found.tokens))
        if packing is None and name == "attention_mask" and (all_row_values(actual) <= 1).all():
            expected = Ragged(packed.mask, expected.starts, expected.lengths)
        if packing is None and name == "cu_seqlens":
            # The last value of `cu_seqlens` may include padding, and some tools add the end of the row.
            enough = actual.lengths > packed.sizes
            expected = replace(expected, lengths=np.where(enough, packed.sizes, expected.lengths))
            actual = replace(actual, lengths=np.where(enough, packed.sizes, actual.lengths))
        bad = actual.lengths != expected.lengths
        same = np.flatnonzero(~bad)
        differ = row_values(actual, same) != row_values(expected, same)
        if name == "loss_mask" and not self._has_all_masks:
            differ &= row_values(expected, same) == 0
        if packing is None and name in WIDE:
            # Other tools may write other values at padding, so only real positions are compared.
            differ &= row_values(Ragged(packed.mask, expected.starts, expected.lengths), same)
        bad[same] = any_by_row(differ, expected.lengths[same])
        self._report(column, bad, found, actual, expected, differ)

    def _check_segment_ids(self, rows: AuditRows, found: ValidRows) -> None:
        """Check the column `segment_ids` if padmask did not compute it.

        Such a column sometimes contains token types instead of sequence numbers. This is a finding.
        """
        name, packing, packed = "segment_ids", self._layout.packing, found.packed
        is_packed = name in rows.ragged
        if packing is not None and (name in packing.emit or not is_packed):
            return
        if not is_packed and name not in self._layout.describing:
            return
        ids = (rows.ragged[name] if is_packed else read_integers(found.batch, name)).select(found.rows)
        fits = ids.lengths == packed.widths
        wrong, differs = np.zeros(len(fits), dtype=bool), np.zeros(0, dtype=bool)
        expected = Ragged(ids.values[:0], ids.starts, packed.widths)
        if fits.all():
            values, mask = all_row_values(ids), packed.mask
            from_zero = values[np.cumsum(packed.widths) - packed.widths] == 0
            shifted = values + np.repeat(from_zero, packed.widths)
            numbers = number_sequences(packed.segments, mask)
            differs = (shifted != numbers) & mask
            differ = found.rows_with(differs)
            expected = Ragged(numbers, np.cumsum(packed.widths) - packed.widths, packed.widths)
            zeros = found.rows_with((values == 0) & ~mask)
            types = from_zero & (differ | zeros)
            self._audit.add_rows("token-type-segments", found.flags(types), found.batch.place, name)
            wrong = differ & ~from_zero
        if packing is None:
            self._report(name, wrong | ~fits, found, ids, expected, differs)

    def _report(
        self, column: str, bad: Flags, found: ValidRows, actual: Ragged, expected: Ragged, differ: Flags
    ) -> None:
        """Report rows in which a column differs from the computed values. Describe the first difference.

        Args:
            column: name of the column.
            bad: for each valid row, whether it differs.
            found: the valid rows.
            actual: the values of the column in the valid rows.
            expected: the computed values of the valid rows.
            differ: for each value, whether it differs. Values of rows with too few or too many values are
                left out.
        """
        if not bad.any():
            return
        row = int(np.argmax(bad))
        here, there = actual.lengths[row], expected.lengths[row]
        computed = count(int(there), "value")
        text = f"the row has {count(int(here), 'value')}, but the lengths of the sequences give {computed}"
        same = actual.lengths == expected.lengths
        if same[row]:
            before = int(actual.lengths[:row][same[:row]].sum())
            place = int(np.argmax(differ[before : before + here]))
            values = (int(its.values[its.starts[row] + place]) for its in (actual, expected))
            text = "position {} of the row has {}, but the lengths of the sequences give {}".format(
                place, *values
            )
        detail = f"{RULES['derived-column'].means}; first: {text}"
        self._audit.add_rows("derived-column", found.flags(bad), found.batch.place, column, detail)

    def _check_positions(self, rows: AuditRows, found: ValidRows) -> None:
        """Report rows with several sequences if the data has both `position_ids` and an attention mask.

        Models that get an attention mask, whether of ones or of sequence numbers, ignore that the positions
        restart at each sequence. Therefore, the positions do not separate the sequences.
        """
        name, batch = "attention_mask", found.batch
        if "position_ids" not in (*self._layout.describing, *rows.ragged):
            return
        if name != self._mask and name not in self._layout.describing:
            return
        self._audit.add_rows("ignored-positions", found.flags(found.packed.sizes > 1), batch.place, name)


def read_integers(batch: Batch, name: str) -> Ragged:
    """Read a column of lists of integers. A row that is null or contains a null has length 0."""
    return Ragged.from_arrow(batch.columns.column(name))[0]


def row_values(rows: Ragged, chosen: Positions) -> npt.NDArray[np.int64]:
    """Return the values of some rows, one row after another."""
    return np.asarray(take_runs(rows.values, rows.starts[chosen], rows.lengths[chosen]))


def all_row_values(rows: Ragged) -> npt.NDArray[np.int64]:
    return row_values(rows, np.arange(len(rows.lengths)))


def any_by_row(flags: Flags, counts: Positions) -> Flags:
    """Return, for each row, whether any of its values is True. `counts` are the numbers of values per row."""
    found: Flags = sums_by_row(flags.astype(np.int64), counts) > 0
    return found
