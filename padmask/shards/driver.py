"""Run a dataset job: measure the shards, pad them, and commit.

Rows never pass through the driver: workers read and write them, and return counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from padmask.core.plan import Plan, make_plan, needs_lengths
from padmask.errors import OutputError, PadmaskError, UnreadableError, WorkerDiedError, join_few, size
from padmask.shards.dataset_job import DatasetJob, suggesting_skip
from padmask.shards.manifest import ShardRecord
from padmask.shards.pool import WorkerPool
from padmask.shards.resume import Action, DatasetPlan, Decision, ResumePolicy, ResumeRequest
from padmask.shards.split import Shard
from padmask.shards.worker import measure_shard, pad_shard
from padmask.storage.system import cores
from padmask.storage.urls import display_path
from padmask.stream.capacity import available_bytes
from padmask.stream.pad import choose_plan, places_in_memory
from padmask.stream.passes import Survey, typed_job


@dataclass(frozen=True)
class FinishedDataset:
    """A dataset that is committed.

    Args:
        plan: the length of all rows.
        records: of all shards, and of the files that were left out.
        decision: what became of the work of earlier runs.
        deleted: how many files of an earlier dataset were deleted because nothing replaces them.
    """

    plan: Plan
    records: Sequence[ShardRecord]
    decision: Decision
    deleted: int = 0


@dataclass(frozen=True)
class Driver:
    """What runs a dataset job.

    Args:
        job: what is padded.
        pool: where the shards are padded.
    """

    job: DatasetJob
    pool: WorkerPool

    def run(self, *, resume: bool, delete: bool) -> FinishedDataset:
        """Pad the shards that no earlier run padded, and commit the dataset.

        Args:
            resume: whether the work of earlier runs is kept.
            delete: whether files of an earlier dataset may be deleted that the new one does not replace.

        Raises:
            DataError: a shard cannot be read or padded.
            OutputError: the folder cannot be written, or holds other data.
        """
        job, staging, rejects = self.job, self.job.work.staging, self.job.work.files.rejects
        policy = ResumePolicy(resume=resume, delete=delete, rejects=rejects is not None, skip=job.skips)
        given = None if needs_lengths(job.work.job.spec) else make_plan(job.work.job.spec)
        decision = staging.prepare(ResumeRequest(job.identity, job.shards, policy, given, job.typed), rejects)
        found = decision.found
        if decision.action is Action.FINISH and found is not None:
            staging.finish(rejects)
            return FinishedDataset(found.plan, self._all(decision.records, found.left_out), decision)
        driver = self._with_room(decision.records)
        if found is None:
            found = driver._measure()
        if decision.action is not Action.CONTINUE:
            staging.write_plan(found, job.identity)
        padded, left_out = driver._pad(found, decision.records)
        records = self._all(padded, left_out)
        with self._noting_progress({record.index: record for record in padded}):
            deleted = staging.commit(job.identity, found.plan, records, rejects)
        return FinishedDataset(found.plan, records, decision, deleted)

    def _all(self, records: Sequence[ShardRecord], left_out: Sequence[ShardRecord]) -> list[ShardRecord]:
        """Return the records of all shards and of the files that cannot be opened, in order."""
        by_index = {record.index: record for record in (*records, *left_out, *self.job.unreadable)}
        return [by_index[index] for index in sorted(by_index)]

    def _with_room(self, finished: Sequence[ShardRecord]) -> Driver:
        """Return the driver with the bytes that the output may take, finished shards included."""
        work = self.job.work
        room = available_bytes(work.staging.folder.path_of("_"), work.files.max_bytes)
        if room is not None and work.files.max_bytes is None:
            room += sum(record.size for record in finished)
        work = replace(work, files=replace(work.files, max_bytes=room))
        return replace(self, job=replace(self.job, work=work))

    # --- Measure -----------------------------------------------------------------------------

    def _measure(self) -> DatasetPlan:
        """Find the length and the types; shards that cannot be read are left out, where this is asked for."""
        work, shards, typed = self.job.work, self.job.shards, self.job.typed
        surveys, left_out = SurveySum(), list[ShardRecord]()
        if needs_lengths(work.job.spec) or typed:
            total, read, rows = sum(shard.size for shard in shards), 0, 0
            measure = partial(measure_shard, work, typed=typed)
            with self._noting_progress({}), closing(self.pool.each(measure, shards)) as outcomes:
                for shard, seen in outcomes:
                    if isinstance(seen, Exception):
                        left_out.append(self._leave_out(shard, seen, {}))
                        surveys.add(shard.index, None)
                        continue
                    surveys.add(shard.index, seen)
                    read, rows = read + shard.size, rows + seen.rows
                    self.pool.report("measuring", rows, read, total)
            _refuse_nothing(surveys.total is not None, left_out)
        types = typed_job(work.job, surveys.total).wanted.others if typed else None
        return DatasetPlan(self._choose_plan(surveys.total), types, tuple(left_out))

    def _choose_plan(self, seen: Survey | None) -> Plan:
        work = self.job.work
        places = places_in_memory(work.files, ahead=2 * (work.files.threads or cores()))
        # Workers beyond the cores are on other machines, whose memory is not known here.
        at_once = min(self.pool.workers, cores())
        return choose_plan(
            work.job, seen, work.output_format, work.files.max_bytes, lambda plan: places(plan) * at_once
        )

    # --- Pad ---------------------------------------------------------------------------------

    def _pad(
        self, found: DatasetPlan, finished: Sequence[ShardRecord]
    ) -> tuple[list[ShardRecord], list[ShardRecord]]:
        """Pad the shards that are not finished.

        Args:
            found: the length and the types of all shards.
            finished: records of shards that earlier runs padded.

        Returns:
            The records of all padded shards in order, and of the shards that are left out.
        """
        work, shards = self.job.work, self.job.shards
        if found.types is not None:
            work = replace(work, job=replace(work.job, wanted=replace(work.job.wanted, others=found.types)))
        records, left_out = {record.index: record for record in finished}, list(found.left_out)
        known = records.keys() | {record.index for record in left_out}
        waiting = [shard for shard in shards if shard.index not in known]
        total = sum(shard.size for shard in shards)
        read = total - sum(shard.size for shard in waiting)
        rows = sum(record.ledger.rows_read for record in finished)
        written = sum(record.size for record in finished)
        pad = partial(pad_shard, work, plan=found.plan)
        with self._noting_progress(records), closing(self.pool.each(pad, waiting)) as outcomes:
            for shard, record in outcomes:
                if isinstance(record, Exception):
                    left_out.append(self._leave_out(shard, record, records))
                    continue
                records[shard.index] = record
                read, rows, written = read + shard.size, rows + record.ledger.rows_read, written + record.size
                self.pool.report("padding", rows, read, total)
                self._refuse_large(written)
        _refuse_nothing(bool(records), left_out)
        return [records[index] for index in sorted(records)], left_out

    def _refuse_large(self, written: int) -> None:
        room = self.job.work.files.max_bytes
        if room is not None and written > room:
            raise OutputError(
                f"The output {display_path(self.job.work.folder)!r} takes more than the {size(room)} that "
                "may be written. Write less, as with a smaller --maxlen or --limit, or allow more with "
                "--max-bytes."
            )

    # --- Faults and interrupts ---------------------------------------------------------------

    def _leave_out(self, shard: Shard, error: Exception, finished: Mapping[int, ShardRecord]) -> ShardRecord:
        """Return the record of a shard that cannot be read, where such shards are left out.

        Raises:
            PadmaskError: they are not left out; with how many shards are done.
        """
        if isinstance(error, WorkerDiedError):
            error = WorkerDiedError(f"{shard.place}: {error}")
        if isinstance(error, UnreadableError) and self.job.skips:
            return ShardRecord(shard.index, "", shard.address, version=shard.stamp, fault=str(error))
        with suggesting_skip(len(self.job.shards) > 1):
            if isinstance(error, PadmaskError) and finished:
                raise error.reworded(f"{error} {self._describe_progress(finished)}") from None
            raise error

    @contextmanager
    def _noting_progress(self, finished: Mapping[int, ShardRecord]) -> Iterator[None]:
        """Add how many shards are done to what interrupts the block, such as Ctrl-C."""
        try:
            yield
        except Exception:
            raise
        except BaseException as interrupt:
            interrupt.add_note(self._describe_progress(finished))
            raise

    def _describe_progress(self, finished: Mapping[int, ShardRecord]) -> str:
        done = f"{len(finished):,} of {len(self.job.shards):,} shards are done"
        if not finished:
            return f"{done}."
        names = join_few([finished[index].name for index in sorted(finished)])
        unless = ", as long as no input changes" if self.job.identity.measured else ""
        return f"{done} ({names}); --resume goes on with them{unless}."


class SurveySum:
    """Surveys added up in the order of the shards as they arrive: all of them at once take gigabytes."""

    def __init__(self) -> None:
        self.total: Survey | None = None
        self._early: dict[int, Survey | None] = {}
        self._next = 0

    def add(self, index: int, seen: Survey | None) -> None:
        """Add the survey of a shard, or None of one that is left out, once all before it are added."""
        self._early[index] = seen
        while self._next in self._early:
            seen = self._early.pop(self._next)
            self._next += 1
            if seen is not None:
                self.total = seen if self.total is None else self.total + seen


def _refuse_nothing(found: bool, left_out: Sequence[ShardRecord]) -> None:
    """Refuse a dataset in which no shard can be read, as a single unreadable file is refused.

    Raises:
        UnreadableError: no shard is left.
    """
    if not found and left_out:
        raise UnreadableError(min(left_out, key=lambda record: record.index).fault)
