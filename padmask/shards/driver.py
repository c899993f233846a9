"""Run a dataset job: find maxlen, pad the shards, and move the shards to the output folder.

The driver does not process rows. Workers read and write the rows, and return only counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile

from padmask.core.plan import Plan, needs_survey
from padmask.errors import OutputError, PadmaskError, UnreadableError, WorkerDiedError, join_few, size
from padmask.formats.jsonl.types import OtherTypesError
from padmask.shards.dataset_job import DatasetJob, suggesting_skip
from padmask.shards.first_types import assume_first_types
from padmask.shards.manifest import ShardRecord
from padmask.shards.pool import WorkerPool
from padmask.shards.resume import Action, DatasetPlan, Decision, ResumePolicy, ResumeRequest
from padmask.shards.split import Shard, output_names
from padmask.shards.worker import measure_shard, pad_shard
from padmask.spec.warning_names import Warned
from padmask.storage.system import cores
from padmask.storage.urls import display_path
from padmask.stream.capacity import available_bytes, refuse_zero_maxlen
from padmask.stream.passes import plan_job, typed_job
from padmask.stream.plans import choose_plan, positions_in_memory
from padmask.stream.survey import Survey


@dataclass(frozen=True)
class FinishedDataset:
    """The result of a dataset job.

    Args:
        plan: maxlen of the output rows, and how it was determined.
        records: records of all shards and of all skipped files.
        decision: the shards of earlier runs that this run uses, and the reason.
        deleted: number of files of an earlier dataset that were deleted, because no new file replaces them.
    """

    plan: Plan
    records: Sequence[ShardRecord]
    decision: Decision
    deleted: int = 0


# The plan, the records of the padded shards, and the records of the skipped shards.
Padded = tuple[Plan, Sequence[ShardRecord], Sequence[ShardRecord]]


@dataclass(frozen=True)
class Driver:
    """The process that runs a dataset job with a pool of workers.

    Args:
        job: the dataset job.
        pool: workers that pad the shards.
    """

    job: DatasetJob
    pool: WorkerPool

    def run(
        self, *, resume: bool, delete: bool, warn: Callable[[Warned], None] | None = None
    ) -> FinishedDataset:
        """Pad the shards that are not padded yet, and move all shards to the output folder.

        Args:
            resume: whether to use shards of earlier runs.
            delete: whether to delete the files of an earlier dataset that no new file replaces.
            warn: as in `pad_dataset`.

        Raises:
            DataError: a shard cannot be read or padded.
            OutputError: the folder cannot be written, or contains other data.
        """
        job, staging, rejects = self.job, self.job.work.staging, self.job.work.files.rejects
        policy = ResumePolicy(resume=resume, delete=delete, rejects=rejects is not None, skip=job.skips)
        spec = job.work.job.spec
        given = None if needs_survey(spec) else plan_job(job.work.job, None)
        finds_edges = isinstance(spec.buckets, int)
        names = None if finds_edges else output_names(job.shards, given.edges if given is not None else ())
        request = ResumeRequest(job.identity, job.shards, policy, given, job.typed)
        decision = staging.prepare(request, rejects, names, warn)
        found = decision.found
        if decision.action is Action.FINISH and found is not None:
            staging.finish(rejects)
            return FinishedDataset(found.plan, self._all(decision.records, found.left_out), decision)
        done = None
        if given is not None and job.typed and (found is None or found.assumed):
            done = self._pad_with_assumed_types(decision)
            if done is None:
                # Neither this run nor a later run may keep shards with the assumed types.
                staging.remove()
                decision, found = replace(decision, action=Action.START, found=None, kept=()), None
        if done is None:
            driver = self._with_max_bytes(decision.records)
            if found is None:
                found = driver._measure()
            if finds_edges:
                staging.refuse_conflicts(output_names(job.shards, found.plan.edges), delete=delete)
            if decision.action is not Action.CONTINUE:
                staging.write_plan(found, job.identity)
            done = found.plan, *driver._pad(found, decision.records)
        plan, padded, left_out = done
        records = self._all(padded, left_out)
        with self._adding_progress_note({record.index: record for record in padded}):
            deleted = staging.commit(job.identity, plan, records, rejects)
        return FinishedDataset(plan, records, decision, deleted)

    def _all(self, records: Sequence[ShardRecord], left_out: Sequence[ShardRecord]) -> list[ShardRecord]:
        """Return the records of all shards and skipped files, sorted by index."""
        by_index = {record.index: record for record in (*records, *left_out, *self.job.unreadable)}
        return [by_index[index] for index in sorted(by_index)]

    def _with_max_bytes(self, finished: Sequence[ShardRecord]) -> Driver:
        """Return a driver whose size limit applies to the sum of all shards, including finished shards."""
        work = self.job.work
        max_bytes = available_bytes(work.staging.folder.path_of("_"), work.files.max_bytes)
        if max_bytes is not None and work.files.max_bytes is None:
            max_bytes += sum(record.size for record in finished)
        work = replace(work, files=replace(work.files, max_bytes=max_bytes))
        return replace(self, job=replace(self.job, work=work))

    def _pad_with_assumed_types(self, decision: Decision) -> Padded | None:
        """Pad the shards without a first pass over all inputs: assume the types of the first rows.

        Return None if the assumption is false. All shards must then be padded again.

        Args:
            decision: the shards of earlier runs that are kept. Those runs also assumed the types.
        """
        found, assumed = decision.found, assume_first_types(self.job.work, self.job.shards)
        if assumed is None:
            return None
        types = assumed.work.job.wanted.others
        if found is None:
            found = DatasetPlan(self._choose_plan(None), types, assumed=True)
            self.job.work.staging.write_plan(found, self.job.identity)
        elif found.types != types:
            return None
        driver = replace(self, job=replace(self.job, work=assumed.work))._with_max_bytes(decision.records)
        try:
            padded, left_out = driver._pad(found, decision.records)
        except OtherTypesError:
            return None
        if any(record.index in assumed.first for record in left_out):
            return None
        return found.plan, padded, left_out

    def _measure(self) -> DatasetPlan:
        """Find maxlen and the column types in all shards. With `--on-error skip`, skip unreadable shards."""
        work, shards, typed = self.job.work, self.job.shards, self.job.typed
        surveys, left_out = SurveySum(), list[ShardRecord]()
        if needs_survey(work.job.spec) or typed:
            total, read, rows = sum(shard.size for shard in shards), 0, 0
            measure = partial(measure_shard, work, typed=typed)
            with self._adding_progress_note({}), closing(self.pool.each(measure, shards)) as outcomes:
                for shard, found in outcomes:
                    if isinstance(found, Exception):
                        left_out.append(self._leave_out(shard, found, {}))
                        surveys.add(shard.index, None)
                        continue
                    surveys.add(shard.index, found)
                    read, rows = read + shard.size, rows + found.rows
                    self.pool.report("measuring", rows, read, total)
            _refuse_all_skipped(surveys.total is not None, left_out)
        types = typed_job(work.job, surveys.total).wanted.others if typed else None
        return DatasetPlan(self._choose_plan(surveys.total), types, tuple(left_out))

    def _choose_plan(self, survey: Survey | None) -> Plan:
        work = self.job.work
        places = positions_in_memory(work.files, ahead=2 * (work.files.threads or cores()))
        # If there are more workers than cores, some run on other machines, whose memory is unknown.
        at_once = min(self.pool.workers, cores())
        plan = choose_plan(
            work.job, survey, work.output_format, work.files.max_bytes, lambda plan: places(plan) * at_once
        )
        refuse_zero_maxlen(plan, survey, self.job.source)
        return plan

    def _pad(
        self, found: DatasetPlan, finished: Sequence[ShardRecord]
    ) -> tuple[list[ShardRecord], list[ShardRecord]]:
        """Pad the shards that are not finished.

        Args:
            found: maxlen and column types for all shards.
            finished: records of the shards that earlier runs padded.

        Returns:
            The records of all padded shards, sorted by shard index; and the records of the skipped shards.

        Raises:
            OtherTypesError: a shard does not have the assumed types. No worker is running when the error is
                raised.
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
        pad, other_types = partial(pad_shard, work, plan=found.plan), list[OtherTypesError]()
        # After an `OtherTypesError`, no more shards are padded. The loop then waits for the running workers,
        # because they would replace files of the next attempt.
        some = takewhile(lambda _: not other_types, waiting)
        with self._adding_progress_note(records), closing(self.pool.each(pad, some)) as outcomes:
            for shard, record in outcomes:
                if isinstance(record, OtherTypesError):
                    other_types.append(record)
                if other_types:
                    continue
                if isinstance(record, Exception):
                    left_out.append(self._leave_out(shard, record, records))
                    continue
                records[shard.index] = record
                read, rows, written = read + shard.size, rows + record.ledger.rows_read, written + record.size
                self.pool.report("padding", rows, read, total)
                self._refuse_large(written)
        if other_types:
            raise other_types[0]
        _refuse_all_skipped(bool(records), left_out)
        return [records[index] for index in sorted(records)], left_out

    def _refuse_large(self, written: int) -> None:
        limit = self.job.work.files.max_bytes
        if limit is not None and written > limit:
            raise OutputError(
                f"The output {display_path(self.job.work.folder)!r} is larger than the limit of "
                f"{size(limit)}. Choose a smaller --maxlen or --limit, or raise the limit with --max-bytes."
            )

    def _leave_out(self, shard: Shard, error: Exception, finished: Mapping[int, ShardRecord]) -> ShardRecord:
        """Return the record of an unreadable shard if the run skips such shards. Otherwise, raise the error.

        Raises:
            PadmaskError: the run does not skip unreadable shards, or the error has another cause. The message
                includes the progress of the run.
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
    def _adding_progress_note(self, finished: Mapping[int, ShardRecord]) -> Iterator[None]:
        """Add a note with the progress to an interrupt such as KeyboardInterrupt, but not to an error."""
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
        if self.job.identity.measured and self.job.work.job.wanted.check is None:
            return f"{done} ({names}). If no input changes, --resume keeps these shards."
        return f"{done} ({names}). --resume keeps these shards."


class SurveySum:
    """A running sum of the row lengths and column types that workers found in the shards.

    Only the sum is kept, because a list of all results would need gigabytes of memory. The results are added
    in shard order.
    """

    def __init__(self) -> None:
        self.total: Survey | None = None
        self._early: dict[int, Survey | None] = {}
        self._next = 0

    def add(self, index: int, survey: Survey | None) -> None:
        """Add the result for a shard, or None for a skipped shard. Results may arrive in any order."""
        self._early[index] = survey
        while self._next in self._early:
            survey = self._early.pop(self._next)
            self._next += 1
            if survey is not None:
                self.total = survey if self.total is None else self.total + survey


def _refuse_all_skipped(found: bool, left_out: Sequence[ShardRecord]) -> None:
    """Raise an error if all shards were skipped.

    Raises:
        UnreadableError: no shard can be read. The message is the error of the first shard.
    """
    if not found and left_out:
        raise UnreadableError(min(left_out, key=lambda record: record.index).fault)
