"""Make an `Inspection` from the rows that `inspect_file` read: the plans, the advice and the shown masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa

from padmask.core.columns import PadColumn
from padmask.core.kernel import pad_batch
from padmask.core.length_stats import LengthStats
from padmask.core.plan import make_plan
from padmask.core.planners import make_segments
from padmask.core.ragged import Ragged
from padmask.errors import count
from padmask.inspect.advice import (
    ADVICE_WITHOUT_MARKER,
    Advice,
    Adviser,
    advise_on_packed_rows,
    advise_to_join,
    advise_to_restore,
)
from padmask.inspect.commands import STDIN, PadCommand, has_many_files, new_name
from padmask.inspect.costs import CostBasis, candidate_costs
from padmask.inspect.cuts import Cuts
from padmask.inspect.inspection import Inspection, ShownRow
from padmask.inspect.packed import PackedStats
from padmask.inspect.padded_options import find_padded_options
from padmask.inspect.read_files import InspectedRows
from padmask.inspect.shared_end import SharedEnd
from padmask.spec.checks import as_int
from padmask.spec.columns import Columns
from padmask.spec.files import ReadOptions
from padmask.spec.formats import RECOMMENDED_FORMAT
from padmask.spec.mask import Dialect
from padmask.spec.pad import PadSpec, Side
from padmask.spec.show import ShowSpec
from padmask.spec.windows import WINDOW_COLUMNS
from padmask.stream.job import Job
from padmask.stream.late_fields import late_notes
from padmask.stream.row_sample import Row
from padmask.verify.data.audit_job import AuditJob
from padmask.verify.data.audit_rows import findings_of
from padmask.verify.data.findings import Finding
from padmask.verify.data.rules import Audit


@dataclass(frozen=True)
class InspectOptions:
    """The arguments of `inspect_file`."""

    inputs: Sequence[str]
    columns: Columns
    specs: Sequence[PadSpec]
    overlong: Literal["truncate", "drop", "error"]
    show: ShowSpec
    mask_column: str | None
    dialect: Dialect | None
    declared: Side | None
    files: ReadOptions

    @property
    def maxlens(self) -> list[int | str]:
        """The requested values of maxlen; empty if the user requested none."""
        maxlens = [spec.maxlen for spec in self.specs]
        return [] if maxlens == ["longest"] else maxlens

    @property
    def spec(self) -> PadSpec:
        """The padding options of all plans."""
        return replace(self.specs[0], own_lengths=())


# The kind of the rows of a dataset.
Shape = Literal["raw", "padded", "windows", "batches", "buckets", "packed"]


@dataclass(frozen=True)
class ReadDataset:
    """A dataset after all rows are read.

    Args:
        name: name of the dataset.
        schema: columns, with metadata.
        job: inspected columns, and how their padding is marked.
        rows: length statistics and findings.
        shape: kind of the rows.
        notes: facts about the files.
    """

    name: str
    schema: pa.Schema
    job: AuditJob
    rows: InspectedRows
    shape: Shape
    notes: Sequence[str]

    @property
    def tokens(self) -> PadColumn:
        """The column with the tokens."""
        return self.job.pad.columns[0]


def make_inspection(asked: InspectOptions, data: ReadDataset) -> Inspection:
    """Return the statistics, the plans and the advice for a dataset whose rows have been read."""
    spec, stats, shared_ends = asked.spec, data.rows.stats, data.rows.shared
    has_window_columns = not {*WINDOW_COLUMNS}.isdisjoint(data.schema.names)
    cuts = replace(Cuts.of(spec, asked.overlong, shared_ends), has_window_columns=has_window_columns)
    token = shared_ends.cut_at(spec.truncating)
    shared = None if token is None else SharedEnd(token, spec.truncating, data.rows.ends)
    is_kept = bool(spec.keep_last if spec.truncating == "post" else spec.keep_first)
    unkept = None if is_kept else shared
    files = data.rows.files if has_many_files(asked.inputs) else ()
    unit = "token" if data.tokens.inner is None and data.tokens.kind != "float" else "step"
    basis = CostBasis(stats, spec.pad_to_multiple_of, _token_bytes(data.tokens), unkept, cuts, files, unit)
    # The costs of plans for packed rows have no meaning.
    plans = [] if data.shape == "packed" else candidate_costs(basis, asked.maxlens)
    # The recommended command pads on the side of the padding in the input, unless the user chooses a side.
    spec = replace(spec, padding=asked.declared or _side(spec, data.rows))
    command = _command(asked, data, spec)
    adviser = None
    if data.shape in ("raw", "padded"):
        adviser = Adviser(basis, {cost.name: cost for cost in plans}, command, spec, data.rows.width)
        advice = adviser.recommend(asked.maxlens)
    else:
        advice = _advise_to_restore(asked, data, command, spec)
    advice = _name_stdin(_name_bad_rows(advice, data.rows), asked.inputs)
    # The shown rows are cut as in the recommended plan. With windows, one window of each row is shown.
    spec = replace(advice.spec or replace(spec, maxlen="longest"), windows=None)
    chosen = data.rows.shown(asked.show)
    if advice.plan is not None and advice.plan not in plans:
        plans = [*plans, advice.plan]
    return Inspection(
        data.name,
        data.tokens.name,
        data.job.padding is not None,
        stats,
        [_show(row, data.job.pad, spec, stats) for row in chosen],
        plans,
        _health(data.rows.audits),
        advice,
        shared,
        asked.show.random_rows is not None,
        (
            *data.notes,
            *data.job.notes,
            *late_notes(data.rows.audits[0].late, "check"),
            *_notes(spec, asked.show, asked.files, data.rows, chosen),
        ),
        _packed_stats(data),
        data.rows.buckets if data.shape == "buckets" else (),
        data.rows.buckets,
        data.rows.padding,
        adviser,
        is_packed=data.shape == "packed",
        bad_rows=data.rows.bad,
        unit=unit,
    )


def _advise_to_restore(
    asked: InspectOptions, data: ReadDataset, command: PadCommand, spec: PadSpec
) -> Advice:
    """Return the advice for packed rows, batches, buckets and windows: restore the original rows first.

    If no column separates the sequences of packed rows, the rows cannot be restored. The advice says so.
    """
    if data.job.unseparated is not None:
        return Advice(ADVICE_WITHOUT_MARKER)
    if data.shape == "packed":
        return advise_on_packed_rows(command)
    if data.shape == "batches" or data.shape == "buckets":
        return advise_to_restore(command, data.shape, data.rows.padding_share)
    return advise_to_join(command, asked.maxlens, spec)


def _command(asked: InspectOptions, data: ReadDataset, spec: PadSpec) -> PadCommand:
    """Return the inputs and options of the recommended command."""
    job, suffix, again = data.job, RECOMMENDED_FORMAT.suffixes[0], None
    if job.padding is not None and not job.packed:
        again = find_padded_options(data.schema, job.padding, asked.columns, spec, data.tokens.name)
    is_padded = job.padding is not None
    return PadCommand(
        asked.inputs,
        new_name("padded", "/" if has_many_files(asked.inputs) and not is_padded else suffix),
        asked.columns,
        asked.files.input_format,
        new_name("rows", suffix) if is_padded else None,
        asked.mask_column,
        asked.dialect,
        [column.name for column in job.pad.columns] if asked.columns else [],
        again,
    )


def _packed_stats(data: ReadDataset) -> PackedStats | None:
    """Return the statistics of packed rows; None for other rows."""
    packed, rows = data.job.packed, data.rows
    if rows.packed is None:
        return None
    spec = None if packed is None else packed.spec
    known = None if spec is None else as_int(spec.maxlen)
    most = None if packed is None or packed.packing is None else packed.packing.max_segments
    return rows.packed.found(known or rows.width or rows.stats.longest, most)


def _side(spec: PadSpec, inspected: InspectedRows) -> Side:
    return (inspected.padding or "post") if spec.padding == "post" else spec.padding


def _name_bad_rows(advice: Advice, rows: InspectedRows) -> Advice:
    """Return the advice. If there are bad rows, add a line that says how to handle them."""
    if not rows.bad:
        return advice
    number = "a bad row" if rows.bad == 1 else f"{rows.bad:,} bad rows"
    line = (
        f"The commands fail because of {number}. Fix the data, or skip bad rows with --on-error skip. To "
        "write the skipped rows to a file, add --rejects FILE too."
    )
    return replace(advice, details=(line, *advice.details))


def _name_stdin(advice: Advice, inputs: Sequence[str]) -> Advice:
    """Return the advice. If an input is standard input, add a line about its placeholder in the commands."""
    if "-" not in inputs or not advice.command:
        return advice
    line = f"In the commands, replace {STDIN} with a file, or with - to pipe the data again."
    return replace(advice, details=(*advice.details, line))


def _notes(
    spec: PadSpec, show: ShowSpec, files: ReadOptions, inspected: InspectedRows, chosen: Sequence[Row]
) -> list[str]:
    """Return notes for the user.

    There are notes for three cases: `--limit` leaves out rows, the rows to show do not exist, or a column
    contains the numbers of tokens to keep, which the costs ignore.
    """
    notes = []
    total = inspected.rows_read
    if files.limit is not None and total == files.limit:
        first = f"only the first {count(total, 'row')} were read (--limit)"
        notes.append(
            f"{first}. The recommended command reads all rows, so its output may differ from these numbers"
        )
    if show.random_rows is None and total <= show.first < show.stop:
        rows = count(total, "row")
        notes.append(f"rows {show.first}:{show.stop} do not exist, because the input has {rows}")
    if spec.end_columns:
        notes.append(
            f"the costs of the plans ignore column {spec.end_columns[0]!r}, which contains the number of "
            "tokens to keep in each row. If rows are split into windows, the output has more rows than shown"
        )
    return notes


def _health(audits: Sequence[Audit]) -> list[Finding]:
    """Return the findings, with `unlisted-file` as a warning. In `verify`, this rule is an error."""
    return [
        replace(finding, rule=replace(finding.rule, severity="warning"))
        if finding.rule.name == "unlisted-file"
        else finding
        for finding in findings_of(audits)
    ]


def _token_bytes(column: PadColumn) -> int:
    size = 1 if column.dtype == "string" else np.dtype(column.dtype).itemsize
    return size * (column.inner or 1)


def _show(row: Row, job: Job, spec: PadSpec, stats: LengthStats) -> ShownRow:
    """Convert a sampled row to a `ShownRow`. Raw rows are padded first."""
    column = job.columns[0]
    values = row.values[column.name]
    if row.mask is not None:
        return ShownRow(row.number, int(row.mask.sum()), values, row.mask, segments=row.segments)
    ragged = Ragged(values, np.array([0]), np.array([len(values)]))
    segments = make_segments(ragged.lengths, make_plan(spec, stats), spec)
    padded = pad_batch(ragged, segments, value=column.value, dtype=column.numpy_dtype)
    kept, cut_first = int(padded.lengths[0]), spec.truncating == "pre"
    first, last = (end if isinstance(end, int) else 0 for end in (spec.keep_first, spec.keep_last))
    return ShownRow(
        row.number,
        kept,
        padded.values[0],
        padded.mask[0],
        len(values) - kept,
        cut_first,
        first if cut_first else kept - last,
    )
