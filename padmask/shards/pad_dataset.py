"""`pad_dataset`: pad every shard of a dataset into a folder, on any executor.

The driver decides, has the shards measured where a length or types must be found, has them padded, and
commits.
Rows never pass through the driver: workers read and write them, and return counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from padmask.core.plan import Plan, make_plan, needs_lengths
from padmask.errors import (
    OutputError,
    PadmaskError,
    SpecError,
    UnreadableError,
    WorkerDiedError,
    join_few,
    size,
)
from padmask.formats.dataset import Dataset
from padmask.shards.fingerprint import LEFT_OUT, Fingerprint, fingerprint_job
from padmask.shards.manifest import ShardRecord, file_digest, total_ledger
from padmask.shards.pool import WorkerPool
from padmask.shards.split import (
    SHARD_BYTES,
    Shard,
    absolute,
    find_shards,
    refuse_no_shards,
    refuse_own_files,
    refuse_too_many,
)
from padmask.shards.staging import EarlierRun, ResumePolicy
from padmask.shards.worker import ShardWork, measure_shard, pad_shard
from padmask.spec.checks import at_least, flag, optional, or_default
from padmask.spec.columns import Columns, as_list
from padmask.spec.files import FileOptions
from padmask.spec.formats import FORMATS
from padmask.spec.pad import MaskSpec, PadSpec, RowPolicy
from padmask.storage.conflicts import refuse_among_data, refuse_inside, refuse_nowhere, refuse_replaced
from padmask.storage.folder import OutputFolder
from padmask.storage.inputs import InputFiles, find_inputs
from padmask.storage.source import sources_of
from padmask.storage.system import cores
from padmask.storage.urls import checked_path, checked_paths, display_path, refuse_mistyped
from padmask.stream.capacity import available_bytes
from padmask.stream.inputs import Paths, data_notes
from padmask.stream.job import PadRequest, make_job
from padmask.stream.ledger import PadResult
from padmask.stream.pad import choose_plan, make_result, places_in_memory
from padmask.stream.passes import Survey, typed_job
from padmask.stream.progress import ProgressCallback
from padmask.stream.run import choose_threads
from padmask.stream.similar_columns import find_unpadded

GONE = "files of the dataset that stood in the folder before, and have none in their place, are gone: {:,}"

OTHERS = "took the place of shards that were made of other inputs: {}"

FORGONE = "shards that a run which was stopped had done, and that were done anew: {:,}; --resume keeps them"


def pad_dataset(  # noqa: PLR0913 - a keyword each for what the command takes
    inputs: Paths,
    folder: str | os.PathLike[str],
    *,
    columns: Columns = None,
    spec: PadSpec | None = None,
    mask: MaskSpec | None = None,
    policy: RowPolicy | None = None,
    files: FileOptions | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    resume: bool = False,
    delete: bool = False,
    shard_bytes: int = SHARD_BYTES,
    progress: ProgressCallback | None = None,
) -> PadResult:
    """Pad a dataset shard by shard into a folder: what `padmask pad data/ -o padded/` calls.

    >>> import tempfile, pathlib
    >>> data = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (data / "a.jsonl").write_text('{"input_ids": [7, 8]}\\n')
    >>> _ = (data / "b.jsonl").write_text('{"input_ids": [9]}\\n')
    >>> padded = pathlib.Path(tempfile.mkdtemp())
    >>> result = pad_dataset(data, padded)
    >>> result.maxlen, result.shards, sorted(path.name for path in padded.iterdir())
    (2, 2, ['_padmask.json', 'a.jsonl', 'b.jsonl'])
    >>> print((padded / "b.jsonl").read_text(), end="")
    {"input_ids":[9,0],"mask":[true,false]}

    Args:
        inputs: paths, addresses or patterns; a folder means the data files in it.
        folder: where to: a path or an address. It gets a file for each of the input, and at the end
            `_padmask.json`, which says that all are there.
        columns, spec, mask, policy: as in `pad_file`; the length is that of the whole dataset.
        files: formats and limits; without an `output_format`, that of the input. With
            `policy.on_error="skip"`, shards that cannot be read are left out too, and told of.
        executor: where shards are worked on: threads, processes or a cluster; None is here, one by one, as
            a single one always is.
        workers: how many the executor works on at once; None is its own `workers`, else the cores.
        resume: go on with a run of the same inputs and options that ended before it was done.
        delete: delete files of a dataset that stood in the folder before and have none in their place.
        shard_bytes: size beyond which a Parquet file is cut between its row groups.
        progress: called when a shard is done.

    Returns:
        As `pad_file`, of all shards together.

    Raises:
        SpecError: what was asked for cannot be.
        DataError: a shard cannot be read or padded; those that are done are kept for `resume`.
        OutputError: the folder cannot be written, or holds other data, or files that would be lost.
    """
    asked = PadRequest(
        as_list(columns),
        or_default("spec", spec, PadSpec),
        or_default("mask", mask, MaskSpec),
        or_default("policy", policy, RowPolicy),
    )
    files = or_default("files", files, FileOptions)
    workers = optional(at_least(1))("workers", workers)
    resume, delete = flag("resume", resume), flag("delete", delete)
    shard_bytes = at_least(1)("shard_bytes", shard_bytes)
    paths = checked_paths(inputs)
    output = OutputFolder(checked_path(folder))
    if files.rejects is not None:
        refuse_mistyped(files.rejects)
    refuse_inside({"the output": output.path, "the rejects": files.rejects}, paths)
    refuse_among_data(output.path, {"the rejects": files.rejects})
    refuse_nowhere(files.rejects)
    with ExitStack() as stack:
        driver = _prepare(paths, output, asked, files, shard_bytes)
        team = WorkerPool.of(executor, workers, len(driver.shards), progress)
        if team.executor is not None:
            # The others have the other cores.
            driver = replace(driver, work=replace(driver.work, files=replace(driver.work.files, threads=1)))
        new = output.url is None and not os.path.isdir(output.path)
        output.make()
        stack.enter_context(output.locked())
        if new:
            # Where nothing was begun, nothing stays.
            stack.callback(output.remove_if_empty)
        ended = driver.run(team, resume=resume, delete=delete)
    notes = [*driver.notes]
    notes += [GONE.format(ended.gone)] if ended.gone else []
    notes += [FORGONE.format(ended.before.forgone)] if ended.before.forgone else []
    notes += [OTHERS.format(join_few(ended.before.others))] if ended.before.others else []
    result = make_result(
        total_ledger(ended.records), ended.plan, driver.work.job, driver.unpadded, tuple(notes)
    )
    faults = tuple(sorted(record.fault for record in ended.records if record.fault))
    return replace(result, shards=len(ended.records) - len(faults), resumed=ended.resumed, faults=faults)


def _prepare(
    paths: Sequence[str], output: OutputFolder, asked: PadRequest, files: FileOptions, shard_bytes: int
) -> _Driver:
    """Decide everything that does not take a pass over the rows."""
    if not paths:
        raise SpecError("There is no input: name a file or a folder.")
    found = find_inputs(paths)
    refuse_no_shards(found.files)
    refuse_replaced({"the rejects": files.rejects}, [file.path for file in found.files])
    with _told_of_skip(len(found.files) > 1 and asked.policy.on_error == "fail"):
        return _decided(found, output, asked, files, shard_bytes)


def _decided(
    found: InputFiles,
    output: OutputFolder,
    asked: PadRequest,
    files: FileOptions,
    shard_bytes: int,
) -> _Driver:
    """Decide for files that are known."""
    sources = sources_of(found.files)
    dataset = Dataset(sources, files.input_format, files.batch_rows, passed_over=found.passed_over)
    faults = dataset.leave_unreadable() if asked.policy.on_error == "skip" else {}
    format_ = FORMATS[files.output_format] if files.output_format else dataset.format
    readable = [file for file in found.files if file.path not in faults]
    shards = find_shards(readable, dataset.format, format_, shard_bytes)
    refuse_own_files(output, shards)
    refuse_too_many(shards)
    job = make_job(dataset, asked, keep_others=format_.keeps_others)
    job = replace(job, fixed_size=files.fixed_size_list)
    typed = dataset.format.is_text and format_.needs_types
    measured = needs_lengths(asked.spec) or typed
    schema = dataset.schema()
    identity = fingerprint_job(
        shards, faults, (schema, job), asked, files, format_.name, shard_bytes, measured=measured
    )
    files, folder = choose_threads(files, dataset.format, format_), absolute(output.path)
    work = ShardWork(dataset.format, format_, schema, job, files, folder, identity.name)
    left_out = [
        ShardRecord(len(shards) + i, "", display_path(absolute(path)), version=LEFT_OUT, fault=fault)
        for i, (path, fault) in enumerate(faults.items())
    ]
    return _Driver(
        identity,
        work,
        _limited(work, shards, files.limit),
        left_out,
        typed=typed,
        unpadded=find_unpadded(dataset, job, asked.columns),
        notes=data_notes(dataset, job, format_),
    )


@contextmanager
def _told_of_skip(is_of_use: bool) -> Iterator[None]:
    """Say of a file that cannot be read how to go on without it."""
    try:
        yield
    except UnreadableError as error:
        if not is_of_use:
            raise
        raise error.reworded(f"{error} --on-error skip leaves such files out.") from None


def _limited(work: ShardWork, shards: Sequence[Shard], limit: int | None) -> list[Shard]:
    """Return the shards that hold the first rows, and of the last one how many."""
    if limit is None:
        return list(shards)
    kept: list[Shard] = []
    spec, policy = work.job.spec, work.job.policy
    refused = None if needs_lengths(spec) or policy.overlong != "error" else make_plan(spec).maxlen
    for shard in shards:
        if limit <= 0 and kept:
            break
        kept.append(replace(shard, limit=limit))
        try:
            seen = measure_shard(work, kept[-1], typed=False)
            if refused is not None and seen.longest > refused:
                # The run ends in this shard: a fault in a later one is not the first.
                break
            limit -= seen.rows
        except UnreadableError:
            # It is left out later, and the shards after it have the rows.
            if policy.on_error != "skip":
                raise
    return kept


@dataclass(frozen=True)
class _Ended:
    """A job that has come to its end.

    Args:
        plan: the length of all rows.
        records: of all shards, and of the files that are none.
        resumed: how many shards an earlier run had done.
        before: what was there when it began.
        gone: how many files of an older dataset are gone.
    """

    plan: Plan
    records: Sequence[ShardRecord]
    resumed: int
    before: EarlierRun
    gone: int = 0


@dataclass(frozen=True)
class _Driver:
    """A job that is decided.

    Args:
        identity: what it is known by.
        work: what workers must know.
        shards: to pad.
        left_out: records of what cannot be read.
        typed: whether types must be found.
        unpadded, notes: for the result.
    """

    identity: Fingerprint
    work: ShardWork
    shards: Sequence[Shard]
    left_out: Sequence[ShardRecord]
    typed: bool
    unpadded: dict[str, str]
    notes: tuple[str, ...]

    def run(self, team: WorkerPool, *, resume: bool, delete: bool) -> _Ended:
        """Measure, pad and commit."""
        staging, rejects = self.work.staging, self.work.files.rejects
        skip = self.work.job.policy.on_error == "skip"
        asked = ResumePolicy(resume=resume, delete=delete, rejects=rejects is not None, skip=skip)
        before = done = staging.prepare(self.identity, self.shards, asked)
        if done.plan is not None and not needs_lengths(self.work.job.spec):
            # What is known is not asked of a file.
            done = replace(done, plan=make_plan(self.work.job.spec))
        if done.committed and self._is_whole(done):
            assert done.plan is not None
            if rejects is not None and not os.path.isfile(rejects):
                staging.join_rejects((), rejects)
            staging.clear()
            return _Ended(done.plan, self._all(done.records, done.left_out), len(done.records), before)
        if done.committed and (self.typed or rejects is not None):
            # What is missing cannot be made alone: the types and the other shards' rejects are gone.
            done = EarlierRun()
        driver = self._with_room(done)
        if done.plan is None:
            done = driver._measured(team)
            staging.keep_plan(done, self.identity)
        assert done.plan is not None
        records, left_out = driver._padded(team, done)
        whole = self._all(records, left_out)
        with self._told_of({record.index: record for record in records}):
            if rejects is not None:
                staging.join_rejects(records, rejects)
            gone = staging.commit(self.identity, done.plan, whole, _digest_of_file(rejects))
        return _Ended(done.plan, whole, len(done.records), before, gone)

    def _is_whole(self, done: EarlierRun) -> bool:
        """Tell whether a dataset that was committed, and the rejects beside it, are all there."""
        known = {record.index for record in self._all(done.records, done.left_out)}
        ledger, rejects = total_ledger(done.records), self.work.files.rejects
        refused = ledger.rows_dropped + ledger.rows_rejected
        kept = rejects is None or not refused or _digest_of_file(rejects) == done.rejects != ""
        return kept and all(shard.index in known for shard in self.shards)

    def _all(self, records: Sequence[ShardRecord], left_out: Sequence[ShardRecord]) -> list[ShardRecord]:
        """Return the records of all shards and of the files that are none, in order."""
        by_index = {record.index: record for record in (*records, *left_out, *self.left_out)}
        return [by_index[index] for index in sorted(by_index)]

    def _with_room(self, done: EarlierRun) -> _Driver:
        """Return the same with the bytes that the output may take, and what is done already takes."""
        asked, output = self.work.files.max_bytes, OutputFolder(self.work.folder)
        room = available_bytes(output.path_of("_"), asked)
        if room is not None and asked is None:
            room += sum(record.size for record in done.records)
        return replace(self, work=replace(self.work, files=replace(self.work.files, max_bytes=room)))

    def _measured(self, team: WorkerPool) -> EarlierRun:
        """Find the length and the types; shards that cannot be read are left out, where that is asked for."""
        job, found, left_out = self.work.job, SurveySum(), list[ShardRecord]()
        if needs_lengths(job.spec) or self.typed:
            whole, read, rows = sum(shard.size for shard in self.shards), 0, 0
            measure = partial(measure_shard, self.work, typed=self.typed)
            with self._told_of({}), closing(team.each(measure, self.shards)) as outcomes:
                for shard, seen in outcomes:
                    if isinstance(seen, Exception):
                        left_out.append(self._left_out(shard, seen, {}))
                        found.add(shard.index, None)
                        continue
                    found.add(shard.index, seen)
                    read, rows = read + shard.size, rows + seen.rows
                    team.tell("measuring", rows, read, whole)
            _refuse_nothing(found.whole is not None, left_out)
        plan = self._settled(team, found.whole)
        types = typed_job(job, found.whole).wanted.others if self.typed else None
        return EarlierRun(plan=plan, types=types, left_out=left_out)

    def _settled(self, team: WorkerPool, seen: Survey | None) -> Plan:
        files = self.work.files
        one = places_in_memory(files, ahead=2 * (files.threads or cores()))
        room, format_ = files.max_bytes, self.work.output_format
        # Those beyond the cores are other machines' workers, whose memory nobody here knows.
        at_once = min(team.workers, cores())
        return choose_plan(self.work.job, seen, format_, room, lambda plan: one(plan) * at_once)

    def _padded(self, team: WorkerPool, done: EarlierRun) -> tuple[list[ShardRecord], list[ShardRecord]]:
        """Pad what is not padded yet, and return all records, and those of what was left out."""
        work, plan = self.work, done.plan
        assert plan is not None
        if done.types is not None:
            work = replace(work, job=replace(work.job, wanted=replace(work.job.wanted, others=done.types)))
        records, left_out = {record.index: record for record in done.records}, list(done.left_out)
        known = records.keys() | {record.index for record in left_out}
        waiting = [shard for shard in self.shards if shard.index not in known]
        whole = sum(shard.size for shard in self.shards)
        read = whole - sum(shard.size for shard in waiting)
        rows = sum(record.ledger.rows_read for record in done.records)
        written = sum(record.size for record in done.records)
        with (
            self._told_of(records),
            closing(team.each(partial(pad_shard, work, plan=plan), waiting)) as outcomes,
        ):
            for shard, record in outcomes:
                if isinstance(record, Exception):
                    left_out.append(self._left_out(shard, record, records))
                    continue
                records[shard.index] = record
                read, rows, written = read + shard.size, rows + record.ledger.rows_read, written + record.size
                team.tell("padding", rows, read, whole)
                self._refuse_large(written)
        _refuse_nothing(bool(records), left_out)
        return [records[index] for index in sorted(records)], left_out

    def _left_out(self, shard: Shard, error: Exception, done: Mapping[int, ShardRecord]) -> ShardRecord:
        """Return the record of a shard that cannot be read, where such are left out.

        Raises:
            PadmaskError: they are not; with what is done.
        """
        if isinstance(error, WorkerDiedError):
            error = WorkerDiedError(f"{shard.place}: {error}")
        if isinstance(error, UnreadableError) and self.work.job.policy.on_error == "skip":
            return ShardRecord(shard.index, "", shard.address, version=shard.stamp, fault=str(error))
        with _told_of_skip(len(self.shards) > 1):
            if isinstance(error, PadmaskError) and done:
                raise error.reworded(f"{error} {self._said_of(done)}") from None
            raise error

    @contextmanager
    def _told_of(self, done: Mapping[int, ShardRecord]) -> Iterator[None]:
        """Add to a Ctrl-C and its like what is done by then."""
        try:
            yield
        except Exception:
            raise
        except BaseException as stopped:
            stopped.add_note(self._said_of(done) if done else f"0 of {len(self.shards):,} shards are done.")
            raise

    def _said_of(self, done: Mapping[int, ShardRecord]) -> str:
        names = join_few([done[index].name for index in sorted(done)])
        unless = ", as long as no input changes" if self.identity.measured else ""
        return (
            f"{len(done):,} of {len(self.shards):,} shards are done ({names}); --resume goes on with "
            f"them{unless}."
        )

    def _refuse_large(self, written: int) -> None:
        room = self.work.files.max_bytes
        if room is not None and written > room:
            raise OutputError(
                f"The output {display_path(self.work.folder)!r} takes more than the {size(room)} that may be "
                "written. Write less, as with a smaller --maxlen or --limit, or allow more with --max-bytes."
            )


def _digest_of_file(path: str | None) -> str:
    """Return the SHA-256 of a file of this machine; nothing where there is none."""
    return file_digest(path)[0] if path is not None and os.path.isfile(path) else ""


class SurveySum:
    """Surveys added up in the order of the shards, as they come: held at once, many take gigabytes."""

    def __init__(self) -> None:
        self.whole: Survey | None = None
        self._early: dict[int, Survey | None] = {}
        self._next = 0

    def add(self, index: int, seen: Survey | None) -> None:
        """Take in what a shard told, or None of one that is left out; it waits for those before it."""
        self._early[index] = seen
        while self._next in self._early:
            seen = self._early.pop(self._next)
            self._next += 1
            if seen is not None:
                self.whole = seen if self.whole is None else self.whole + seen


def _refuse_nothing(found: bool, left_out: Sequence[ShardRecord]) -> None:
    """Refuse a dataset of which nothing can be read, as one file that cannot be read is refused.

    Raises:
        UnreadableError: no shard is left.
    """
    if not found and left_out:
        raise UnreadableError(min(left_out, key=lambda record: record.index).fault)
