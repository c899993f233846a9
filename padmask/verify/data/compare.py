"""Compare packed rows with the rows that were packed, token by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags
from padmask.core.columns import PadColumn, is_label
from padmask.core.end_tokens import add_end_tokens
from padmask.core.kernel import take_runs
from padmask.core.pack_planner import make_sequences
from padmask.core.packed_columns import PackedRows
from padmask.core.packed_layout import PackedLayout
from padmask.core.plan import Plan, Positions, Segments
from padmask.core.ragged import Ragged
from padmask.core.sequence_hashes import Hashes, find_unmatched, hash_sequences, join_hashes
from padmask.errors import Place, SpecError
from padmask.formats.contract import Batch
from padmask.spec.checks import as_int
from padmask.spec.columns import Column
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import PackSpec
from padmask.spec.pad import PadSpec, RowPolicy
from padmask.stream.job import PadRequest, make_job
from padmask.stream.run import Reading
from padmask.verify.data.rows_to_check import GroupToRead, map_audit_rows
from padmask.verify.data.rules import EXAMPLES, Audit


@dataclass
class SequenceTable:
    """The sequences of packed rows, or those that the input gives: 48 bytes for each sequence.

    Args:
        sources: source row of each sequence.
        starts: first token of each sequence in its source row.
        hashes: hash of each sequence.
        lengths: number of tokens of each sequence.
        numbers: number of the row or line with the sequence.
        files: index of the file of each sequence in `names`.
        names: name and unit of each file.
    """

    sources: list[Positions] = field(default_factory=list)
    starts: list[Positions] = field(default_factory=list)
    hashes: list[Hashes] = field(default_factory=list)
    lengths: list[Positions] = field(default_factory=list)
    numbers: list[Positions] = field(default_factory=list)
    files: list[Positions] = field(default_factory=list)
    names: list[tuple[str, str]] = field(default_factory=list)

    def add(
        self,
        batch: Batch,
        rows: Positions,
        sources: Positions,
        starts: Positions,
        lengths: Positions,
        hashes: Hashes,
    ) -> None:
        """Add sequences of a batch. `rows` are the indices of their rows in the batch."""
        name = (batch.source, batch.unit)
        if not self.names or self.names[-1] != name:
            self.names.append(name)
        self.sources.append(sources)
        self.starts.append(starts)
        self.lengths.append(lengths)
        self.hashes.append(hashes)
        self.numbers.append(batch.numbers[rows])
        self.files.append(np.full(len(rows), len(self.names) - 1))

    def keys(self, *, located: bool) -> Hashes:
        """Return a key of each sequence: its hash, and its source if `located` is True."""
        hashes = _join(self.hashes, np.uint64)
        return join_hashes(_join(self.sources), _join(self.starts), hashes) if located else hashes

    def places(self, flags: npt.NDArray[np.bool_]) -> tuple[int, list[Place]]:
        """Return the number of rows with a flagged sequence, and the locations of the first of these rows."""
        files, numbers = _join(self.files)[flags], _join(self.numbers)[flags]
        rows = np.unique(np.stack([files, numbers], axis=1), axis=0)
        examples = [(*self.names[file], number) for file, number in rows[:EXAMPLES].tolist()]
        return len(rows), [Place(source, unit, number) for source, unit, number in examples]


def _join(parts: Sequence[npt.NDArray[Any]], dtype: Any = np.int64) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype=dtype), *parts])


class PackedSequences:
    """Collects the sequences of packed rows, to compare them with the input.

    Args:
        layout: how the rows are packed.
        columns: packed columns that are checked. The first column has the tokens.
        names: names of the columns of the input. Other columns are not compared.

    Raises:
        SpecError: the metadata do not say how many tokens of a row were kept.
    """

    def __init__(self, layout: PackedLayout, columns: Sequence[PadColumn], names: Sequence[str]) -> None:
        if layout.spec is not None and layout.spec.end_columns:
            raise SpecError(
                f"The column {layout.spec.end_columns[0]!r} of the input says how many tokens of each row "
                "were kept, and `against` does not support such columns. Remove the option.",
                options=["against"],
            )
        self._layout = layout
        rest = [column for column in columns[1:] if column.name in names]
        self.columns = [
            columns[0],
            *(column for column in rest if not is_label(column) or _keeps_labels(layout)),
        ]
        self._packed = SequenceTable()

    def add(
        self,
        batch: Batch,
        rows: Positions,
        packed: PackedRows,
        values: Mapping[str, Ragged],
        sources: tuple[Positions, Positions] | None,
    ) -> None:
        """Add the sequences of some packed rows.

        Args:
            batch: rows of a file.
            rows: indices of the rows in the batch.
            packed: positions of the sequences in these rows.
            values: values of all rows of the batch, keyed by column name.
            sources: source row and first token of each sequence; None if unknown.
        """
        at, segments = rows[packed.sequence_rows], packed.segments
        lengths = segments.lengths
        hashes = self._hash(values, at, segments.first_places, lengths, lengths, shifted=self._shifts)
        none = np.zeros(len(at), dtype=np.int64)
        self._packed.add(batch, at, *(sources or (none, none)), segments.lengths, hashes)

    def compare(self, reading: Reading, audit: Audit, *, whole: bool) -> None:
        """Read the input, and report the sequences and rows that differ.

        Args:
            reading: input of the packed rows.
            audit: object that collects the findings.
            whole: whether all packed rows were read.
        """
        # Each packed file numbers its source rows from 0.
        located = self._layout.sources and len(self._packed.names) == 1
        expected, cut = self._read(reading, located=located)
        ours, theirs = self._packed.keys(located=located), expected.keys(located=located)
        audit.add_count("differs-from-input", *self._packed.places(find_unmatched(ours, theirs)))
        if not whole:
            return
        missing = find_unmatched(theirs, ours)
        if located:
            # A sequence that differs is already reported at its packed row.
            missing &= ~np.isin(_join(expected.sources), _join(self._packed.sources))
        # A row that is cut may also be dropped, which loses all its tokens.
        audit.add_count("not-packed", *expected.places(missing & ~cut))
        audit.add_count("tokens-lost", *expected.places(cut))

    def _read(self, reading: Reading, *, located: bool) -> tuple[SequenceTable, Flags]:
        """Return the sequences that the input gives, and flags of those whose rows lose tokens."""
        expected, cuts, first, used, source = SequenceTable(), [np.zeros(0, dtype=bool)], 0, 0, ""
        asked = [Column(column.name, column.dtype) for column in self.columns]
        request = PadRequest(asked, PadSpec(), MaskSpec(column=None), RowPolicy())
        job = make_job(reading.dataset, request, keep_others=False, purpose="audit")
        packing = self._layout.packing
        with map_audit_rows(
            reading, "comparing", [GroupToRead(job, [], padded=False)], report_bad_rows=True
        ) as batches:
            for batch in batches:
                rows = batch.groups[0]
                if not located and rows.batch.source != source:
                    source, used = rows.batch.source, 0
                ragged = {
                    name: Ragged(its.values, its.starts, np.where(rows.bad, 0, its.lengths))
                    for name, its in rows.ragged.items()
                }
                if packing is not None and packing.eos is not None:
                    ragged, _ = add_end_tokens(ragged, self.columns, packing.eos)
                lengths = ragged[self.columns[0].name].lengths
                segments = self._plan(lengths, first, used, located=located)
                used += int(lengths.sum())
                sequences = PackedRows(segments, packing or PackSpec())
                assert segments.sources is not None
                hashes = self._hash(
                    ragged, segments.sources, segments.starts, segments.counts, segments.lengths
                )
                its = sequences.sources
                expected.add(rows.batch, its, its + first, sequences.source_starts, segments.lengths, hashes)
                cuts.append((segments.kept_tokens() < lengths)[its])
                first += len(lengths)
        return expected, np.concatenate(cuts)

    def _plan(self, lengths: Positions, first: int, used: int, *, located: bool) -> Segments:
        """Return the sequences of some input rows, with one output row for each sequence.

        Without metadata, the packed rows say how rows were split.
        """
        spec = self._layout.spec
        if spec is not None and (maxlen := as_int(spec.maxlen)) is not None:
            planned = make_sequences(lengths, Plan(maxlen, "given", maxlen), spec, None, used % maxlen)
            sources = np.arange(len(lengths)) if planned.sources is None else planned.sources
            return replace(planned, sources=sources)
        sources = np.flatnonzero(lengths)
        starts, counts = np.zeros_like(sources), lengths[sources]
        if located:
            known, parts, its = (
                _join(part) for part in (self._packed.sources, self._packed.starts, self._packed.lengths)
            )
            here = np.flatnonzero((known >= first) & (known < first + len(lengths)))
            whole = sources[~np.isin(sources + first, known)]
            sources = np.concatenate([whole, known[here] - first])
            starts = np.concatenate(
                [np.zeros_like(whole), np.clip(parts[here], 0, lengths[known[here] - first])]
            )
            counts = np.concatenate(
                [lengths[whole], np.minimum(its[here], lengths[known[here] - first] - starts[len(whole) :])]
            )
        return Segments(lengths, starts, counts, None, sources=sources)

    def _hash(
        self,
        values: Mapping[str, Ragged],
        rows: Positions,
        firsts: Positions,
        counts: Positions,
        lengths: Positions,
        *,
        shifted: bool = False,
    ) -> Hashes:
        """Return the hash of each sequence over all columns.

        Args:
            values: rows of each column.
            rows: row of each slice.
            firsts: first token of each slice in its row.
            counts: number of tokens of each slice.
            lengths: number of tokens of each sequence, which consists of adjacent slices.
            shifted: whether each label is at the token before its own. The first label is then unknown.
        """
        hashes = []
        for column in self.columns:
            ragged = values[column.name]
            taken = take_runs(ragged.values, ragged.starts[rows] + firsts, counts)
            if column.dtype != "string":
                with np.errstate(invalid="ignore", over="ignore"):
                    taken = taken.astype(column.numpy_dtype)
            if shifted and is_label(column):
                taken = np.roll(taken, 1, axis=0)
            hashes.append(hash_sequences(taken, lengths, self._ignored(column)))
        return join_hashes(*hashes)

    @property
    def _shifts(self) -> bool:
        packing = self._layout.packing
        return packing is not None and packing.boundary_labels == "shift"

    def _ignored(self, column: PadColumn) -> int:
        """Return the number of tokens at the start of a sequence that may differ from the input."""
        packing = self._layout.packing
        return int(is_label(column) and (packing is None or packing.boundary_labels != "keep"))


def _keeps_labels(layout: PackedLayout) -> bool:
    """Return whether packing changes no labels but the first label of each sequence."""
    spec = layout.spec
    return spec is None or spec.windows is None or spec.windows.labels == "all"
