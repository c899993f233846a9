"""Read the input of packed or padded rows, and compute the sequences expected from the input."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import Flags
from padmask.core.columns import PadColumn
from padmask.core.end_tokens import add_end_tokens
from padmask.core.keep_ends import Ends, find_large_ends, read_ends
from padmask.core.pack_planner import make_sequences
from padmask.core.packed_columns import PackedRows
from padmask.core.packed_layout import PackedLayout
from padmask.core.plan import Plan, Positions, Segments
from padmask.core.planners import make_segments
from padmask.core.ragged import Ragged
from padmask.core.windows import flag_repeated
from padmask.errors import Fault, Place, SpecError
from padmask.formats.contract import Batch
from padmask.spec.checks import as_int
from padmask.spec.columns import Column
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import PackSpec
from padmask.spec.pad import PadSpec, RowPolicy
from padmask.stream.column_values import column_values
from padmask.stream.job import Job, PadRequest, make_job
from padmask.stream.run import Reading
from padmask.verify.data.hashed_columns import ValueTypes
from padmask.verify.data.padded_layout import PaddedLayout
from padmask.verify.data.rows_to_check import AuditRows, GroupToRead, map_audit_rows
from padmask.verify.data.sequence_table import LocatedSequences


@dataclass(frozen=True)
class PlannedRows:
    """Rows of the input, and the sequences expected from these rows.

    Args:
        batch: the rows.
        ragged: rows of each column, keyed by column name. Rows that are flagged in `bad` are empty.
        segments: the sequences, with one output row for each sequence.
        first: number of the first row of `batch` in the input, from 0.
        bad: for each row, whether it cannot be packed or padded, or was not read because of `--limit`: bool,
            shape (rows,).
        by_window: whether a source row may have several sequences, which differ in their first token.
    """

    batch: Batch
    ragged: Mapping[str, Ragged]
    segments: Segments
    first: int
    bad: Flags
    by_window: bool = True

    @property
    def sources(self) -> Positions:
        """Index in `batch` of the source row of each sequence: int64, shape (sequences,)."""
        return PackedRows(self.segments, PackSpec()).sources

    @property
    def starts(self) -> Positions:
        """First token of each sequence in its source row: int64, shape (sequences,).

        The numbers are 0 if `by_window` is False.
        """
        starts = PackedRows(self.segments, PackSpec()).source_starts
        return starts if self.by_window else np.zeros_like(starts)

    @property
    def repeated(self) -> Flags | None:
        """Whether each token repeats a token of another window, which keeps the label: bool, shape (tokens,).

        None if rows are not split into windows.
        """
        if self.segments.windows is None or self.segments.windows.repeats is None:
            return None
        lengths = self.segments.lengths
        mask = np.zeros(int(lengths.sum()), dtype=bool)
        flag_repeated(mask, self.segments, np.cumsum(lengths) - lengths)
        return mask

    @property
    def slices(self) -> tuple[Positions, Positions, Positions]:
        """Row, first token in the row and number of tokens of each slice of a row, as in `hash_columns`."""
        assert self.segments.sources is not None
        return self.segments.sources, self.segments.starts, self.segments.counts


class InputPlanner:
    """Reads the input of packed or padded rows, and computes the sequences expected from the input.

    If the rows have no metadata, the sources in `packed` show where packing split the rows.

    Args:
        layout: how the rows are packed or padded.
        columns: packed or padded columns that the input has. The first column has the tokens.
        types: dtypes of the values of the packed rows.
        packed: sequences of the packed rows, with their sources in this input. None if the sources are
            unknown.
        input_names: original name of each column that packing renamed, keyed by the packed name.
        limit: maximum number of rows of the input that `pad` or `pack` read (`--limit`); None if there is no
            maximum, or if it is unknown.
        joined: whether all files of the input are packed into one file.
        copied: names of the columns of the input from which labels were copied.
    """

    def __init__(
        self,
        layout: PackedLayout,
        columns: Sequence[PadColumn],
        types: ValueTypes,
        packed: LocatedSequences | None,
        input_names: Mapping[str, str],
        limit: int | None,
        *,
        joined: bool,
        copied: Collection[str] = (),
    ) -> None:
        self._layout, self._columns, self._types = layout, columns, types
        self._packed, self._limit, self._joined = packed, limit, joined
        self._input_names, self._copied = input_names, list(dict.fromkeys(copied))
        self.rows = self.bad = self.unread = 0
        self.first_bad: tuple[Place, Fault] | None = None
        self.first_unread: Place | None = None

    def read(self, reading: Reading) -> Generator[PlannedRows]:
        """Yield the rows and sequences of the input.

        Raises:
            SpecError: the input lacks a column.
        """
        used, source = 0, ""
        job = self._job(reading)
        packing = self._layout.packing
        # Padded rows without windows have one sequence for each source row.
        by_window = not isinstance(self._layout, PaddedLayout) or self._layout.has_windows
        tokens, known = self._columns[0], [column.name for column in self._columns]
        beside = [its for its in job.columns if its.name in self._copied and its.name not in known]
        groups = [GroupToRead(job, self._end_fields(reading), padded=False)]
        with map_audit_rows(reading, "comparing", groups) as batches:
            for its in batches:
                rows = its.groups[0]
                if not self._joined and rows.batch.source != source:
                    source, used = rows.batch.source, 0
                ragged, ends, bad = self._usable_rows(rows)
                if packing is not None and packing.eos is not None:
                    ragged, _ = add_end_tokens(ragged, [*self._columns, *beside], packing.eos)
                    if self._name_in_input(tokens) in self._copied:
                        ragged[self._name_in_input(tokens)] = ragged[tokens.name]
                lengths = ragged[self._columns[0].name].lengths
                segments = self._plan(lengths, ends, used)
                yield PlannedRows(rows.batch, ragged, segments, self.rows, bad, by_window)
                used += int(lengths.sum())
                self.rows += len(lengths)

    def _job(self, reading: Reading) -> Job:
        asked = [
            replace(self._types.asked(column), name=self._name_in_input(column)) for column in self._columns
        ]
        names = [column.name for column in asked]
        asked += [Column(name) for name in self._copied if name not in names]
        request = PadRequest(asked, PadSpec(), MaskSpec(column=None), RowPolicy())
        return make_job(reading.dataset, request, keep_others=False, purpose="audit")

    def _name_in_input(self, column: PadColumn) -> str:
        return self._input_names.get(column.name, column.name)

    def _end_fields(self, reading: Reading) -> list[pa.Field]:
        """Return the columns that contain the numbers of tokens to keep at the ends of rows."""
        spec, schema = self._layout.spec, reading.dataset.schema()
        names = [] if spec is None else spec.end_columns
        for name in names:
            if name not in schema.names:
                made = "padded" if isinstance(self._layout, PaddedLayout) else "packed"
                raise SpecError(
                    f"{reading.dataset.name} has no column {name!r}. According to the metadata of the {made} "
                    "rows, this column contains the number of tokens to keep in each row. Compare with the "
                    "original input, which has this column.",
                    options=["against"],
                )
        # JSON rows have all fields as text.
        return [] if reading.dataset.format.is_text else [schema.field(name) for name in names]

    def _usable_rows(self, rows: AuditRows) -> tuple[dict[str, Ragged], Ends | None, Flags]:
        """Return the rows, the numbers of tokens to keep at their ends, and `bad` as in `PlannedRows`.

        Rows that are flagged in `bad` are returned as empty rows.
        """
        batch, spec = rows.batch, self._layout.spec
        faults, ends = list(rows.faults), None
        if spec is not None:
            ends, found = read_ends(spec, len(batch), partial(column_values, batch))
            lengths = rows.ragged[self._name_in_input(self._columns[0])].lengths
            faults += [*found, *find_large_ends(lengths, ends, _plan_of(spec), spec)]
        left = len(batch) if self._limit is None else max(0, self._limit - self.rows)
        if left < len(batch):
            self.unread += len(batch) - left
            self.first_unread = self.first_unread or batch.place(left)
        faults = [fault for fault in faults if fault.row < left]
        if faults and self.first_bad is None:
            first = min(faults, key=lambda fault: fault.row)
            self.first_bad = batch.place(first.row), first
        bad = np.arange(len(batch)) >= left
        bad[[fault.row for fault in faults]] = True
        self.bad += len({fault.row for fault in faults})
        read = {name: rows.ragged[name] for name in self._copied}
        read |= {column.name: rows.ragged[self._name_in_input(column)] for column in self._columns}
        used = {
            name: Ragged(its.values, its.starts, np.where(bad, 0, its.lengths)) for name, its in read.items()
        }
        return used, ends, bad

    def _plan(self, lengths: Positions, ends: Ends | None, used: int) -> Segments:
        """Return the sequences of some rows, with one output row for each sequence."""
        spec = self._layout.spec
        if spec is not None and as_int(spec.maxlen) is not None:
            plan = _plan_of(spec)
            if spec.packing is None:
                planned = make_segments(lengths, plan, spec, ends)
            else:
                planned = make_sequences(lengths, plan, spec, ends, used % max(1, plan.maxlen))
            sources = np.arange(len(lengths)) if planned.sources is None else planned.sources
            return replace(planned, sources=sources)
        sources = np.flatnonzero(lengths)
        starts, counts, packed, first = np.zeros_like(sources), lengths[sources], self._packed, self.rows
        if packed is not None:
            here = np.flatnonzero((packed.sources >= first) & (packed.sources < first + len(lengths)))
            its = packed.sources[here] - first
            whole = sources[~np.isin(sources, its)]
            begins = np.clip(packed.starts[here], 0, lengths[its])
            sources = np.concatenate([whole, its])
            starts = np.concatenate([np.zeros_like(whole), begins])
            counts = np.concatenate([lengths[whole], np.minimum(packed.lengths[here], lengths[its] - begins)])
        return Segments(lengths, starts, counts, None, sources=sources)


def _plan_of(spec: PadSpec) -> Plan:
    maxlen = as_int(spec.maxlen) or 0
    return Plan(maxlen, "given", maxlen)
