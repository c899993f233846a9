r"""Decide which shards of earlier runs a run with `--resume` uses.

This module does not access files: `padmask/shards/staging.py` reads the `FolderState`, and applies the
`Decision`.

A run first pads all shards into a staging folder. The run then commits: it moves the shards to the output
folder and writes a manifest. Without `--resume`, the action is START. With `--resume`, the action depends
on the staged run (a run that was interrupted before its commit) and on the committed dataset. `StagedState`
and `DatasetState` explain the names of the rows and columns:

| staged run \ dataset | none     | another job | outdated | incomplete | complete |
|----------------------|----------|-------------|----------|------------|----------|
| none                 | START    | REFUSE      | START    | REUSE      | FINISH   |
| another job          | REFUSE   | REFUSE      | START    | REUSE      | FINISH   |
| other inputs         | REFUSE   | REFUSE      | START    | REUSE      | FINISH   |
| unusable             | START    | START       | START    | REUSE      | FINISH   |
| usable               | CONTINUE | CONTINUE    | CONTINUE | CONTINUE   | FINISH   |

The action determines what happens to each shard. The first column that applies to the shard is used:

| action   | staged | committed | left out  | neither |
|----------|--------|-----------|-----------|---------|
| START    | pad    | pad       | pad       | pad     |
| CONTINUE | keep   | keep (*)  | leave out | pad     |
| REUSE    | pad    | keep      | leave out | pad     |
| FINISH   | -      | keep      | leave out | -       |

(*) Only if the dataset is incomplete and has the same maxlen as the staged run.

- *staged*, *committed*: the input has not changed since the shard was padded, and the file is intact. With
  `--rejects`, the rejected rows of a staged shard are intact too. Without `--on-error skip`, the shard has no
  rejected rows.
- *left out*: the shard could not be read, its input has not changed since, and `--on-error skip` is set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

import pyarrow as pa

from padmask.core.plan import Plan
from padmask.errors import count
from padmask.shards.fingerprint import Fingerprint
from padmask.shards.manifest import Manifest, ShardRecord
from padmask.shards.split import Shard
from padmask.spec.warning_names import Warned


class StagedState(Enum):
    """The state of the interrupted runs, compared with the current job."""

    NONE = "no interrupted run in this folder"
    OTHER_JOB = "an interrupted run of another job in this folder"
    OTHER_INPUTS = "maxlen or the types of the interrupted run come from inputs that have changed"
    UNUSABLE = "the plan of the interrupted run cannot be read, or omits shards that this run needs"
    USABLE = "the shards of the interrupted run can be kept"


class DatasetState(Enum):
    """The state of the dataset in the output folder, compared with the current job."""

    NONE = "the folder has no manifest"
    OTHER_JOB = "another job wrote the dataset"
    OUTDATED = "some shards must be padded, and this requires a pass over all inputs"
    INCOMPLETE = "some shards must be padded, and the other shards can be kept"
    COMPLETE = "every shard is intact or skipped, and the file of rejected rows is intact"


class Action(Enum):
    """What a run does with the shards of earlier runs."""

    START = "all shards are padded"
    CONTINUE = "the shards of the interrupted run are kept, and the other shards are padded"
    REUSE = "the intact shards in the output folder are kept, and the other shards are padded"
    FINISH = "the dataset is complete, so the run pads no shard and changes no shard"
    REFUSE = "the run fails, because the folder contains files of another job"


START, CONTINUE, REUSE, FINISH, REFUSE = Action

# The first table of the docstring. The columns are the members of DatasetState, in order.
# fmt: off
ACTIONS: Mapping[StagedState, Sequence[Action]] = {
    StagedState.NONE:         (START,    REFUSE,   START,    REUSE,    FINISH),
    StagedState.OTHER_JOB:    (REFUSE,   REFUSE,   START,    REUSE,    FINISH),
    StagedState.OTHER_INPUTS: (REFUSE,   REFUSE,   START,    REUSE,    FINISH),
    StagedState.UNUSABLE:     (START,    START,    START,    REUSE,    FINISH),
    StagedState.USABLE:       (CONTINUE, CONTINUE, CONTINUE, CONTINUE, FINISH),
}
# fmt: on


class FileState(Enum):
    """The location of a shard file that an earlier run wrote."""

    STAGED = "intact in the staging folder"
    COMMITTED = "intact under its final name"
    MISSING = "missing or damaged"


@dataclass(frozen=True)
class FoundShard:
    """A shard that an earlier run padded.

    Args:
        record: record of the shard.
        file: location of the shard file.
        lacks_rejects: whether the rejected rows of the shard are needed but missing.
    """

    record: ShardRecord
    file: FileState
    lacks_rejects: bool = False


@dataclass(frozen=True)
class DatasetPlan:
    """The maxlen and the column types of all shards.

    Args:
        plan: maxlen of the output rows, and how it was determined.
        types: types of the columns if JSON Lines is converted to a format that needs types, such as Parquet.
            Otherwise None.
        left_out: records of the shards that could not be read.
        assumed: whether the types are those of the first rows. If False, a pass over all inputs found them.
    """

    plan: Plan
    types: pa.Schema | None = None
    left_out: tuple[ShardRecord, ...] = ()
    assumed: bool = False


@dataclass(frozen=True)
class StagedRun:
    """A run that was interrupted before its commit.

    Args:
        identity: fingerprint of the job; None if the fingerprint cannot be read.
        found: maxlen and column types of the run; None if they cannot be read.
        shards: shards that the run padded.
    """

    identity: Fingerprint | None = None
    found: DatasetPlan | None = None
    shards: Sequence[FoundShard] = ()


@dataclass(frozen=True)
class FolderState:
    """The contents of an output folder, as input for `decide`.

    Args:
        staged: interrupted run of the current job; None if there is no such run.
        other: interrupted run of another job; None if there is no such run.
        manifest: manifest of the dataset in the folder; None if there is no dataset.
        committed: shards of this dataset, without the shards in the staging folder.
        rejects: SHA-256 of the `--rejects` file; empty if there is no such file.
        staged_records: number of shards that interrupted runs finished; 0 with `--resume`, because the number
            is then not needed.
    """

    staged: StagedRun | None = None
    other: StagedRun | None = None
    manifest: Manifest | None = None
    committed: Sequence[FoundShard] = ()
    rejects: str = ""
    staged_records: int = 0


@dataclass(frozen=True, kw_only=True)
class ResumePolicy:
    """The options that determine which files of earlier runs are used.

    Args:
        resume: whether to use shards of earlier runs.
        delete: whether to delete the files of an earlier dataset that no new file replaces.
        rejects: whether to write rejected rows to a file.
        skip: whether to skip rows and files that cannot be read.
    """

    resume: bool
    delete: bool = False
    rejects: bool = False
    skip: bool = False


@dataclass(frozen=True)
class ResumeRequest:
    """The current job, as input for `decide`.

    Args:
        identity: fingerprint of the job.
        shards: shards of the job.
        policy: options that determine which files of earlier runs are used.
        given: plan with the requested maxlen. If None, a pass over all inputs finds maxlen.
        typed: whether the rows of all inputs determine the column types.
    """

    identity: Fingerprint
    shards: Sequence[Shard]
    policy: ResumePolicy
    given: Plan | None = None
    typed: bool = False

    @cached_property
    def names(self) -> Mapping[int, str]:
        """File name of each shard, keyed by shard index."""
        return {shard.index: shard.name for shard in self.shards}

    @cached_property
    def stamps(self) -> Mapping[int, str]:
        """For each shard index, a text that changes if the input or the row limit of the shard changes."""
        return {shard.index: shard.stamp for shard in self.shards}


@dataclass(frozen=True)
class Decision:
    """The decision of a run about the shards of earlier runs.

    Args:
        action: action from the tables in the docstring of this module.
        found: maxlen and column types of the earlier run whose shards are used; None if the run must find
            them again.
        kept: shards that are not padded again.
        differences: for the action REFUSE, the differences between the earlier run and the current job.
        earlier_options: for the action REFUSE, options of the earlier run that the current job changed, as on
            the command line.
        discarded: number of finished shards of interrupted runs that are deleted, because `--resume` is not
            set.
        replaced: inputs of the earlier dataset whose shards are replaced, because shards of other inputs have
            the same file names.
    """

    action: Action
    found: DatasetPlan | None = None
    kept: tuple[FoundShard, ...] = ()
    differences: tuple[str, ...] = ()
    earlier_options: tuple[str, ...] = ()
    discarded: int = 0
    replaced: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[Warned]:
        """Warnings about shards of interrupted runs that the run deletes."""
        if not self.discarded:
            return []
        return [
            Warned(
                "shards-repeated",
                f"this run deletes {count(self.discarded, 'finished shard')} of an interrupted run. To keep "
                "such shards, use --resume",
            )
        ]

    @property
    def records(self) -> list[ShardRecord]:
        """Records of the shards that are not padded again."""
        return [shard.record for shard in self.kept]


def decide(state: FolderState, request: ResumeRequest) -> Decision:
    """Decide what to do with the folder and each shard. The tables at the top of this file apply."""
    replaced = _replaced_inputs(state.manifest, request.shards)
    if not request.policy.resume:
        return Decision(Action.START, discarded=state.staged_records, replaced=replaced)
    dataset = dataset_state(state, request)
    row = dict(zip(DatasetState, ACTIONS[staged_state(state, request)], strict=True))
    action = row[dataset]
    if action is Action.REFUSE:
        old = _earlier_job(state)
        if old is None:
            return Decision(action)
        differences = tuple(request.identity.list_differences(old))
        return Decision(
            action,
            differences=differences,
            earlier_options=tuple(request.identity.list_earlier_options(old)),
        )
    run, manifest, committed = state.staged, state.manifest, _keepable(state.committed, request)
    found, kept = None, dict[int, FoundShard]()
    if action is Action.CONTINUE and run is not None and run.found is not None:
        found, kept = run.found, _keepable(run.shards, request)
        if dataset is DatasetState.INCOMPLETE and manifest is not None and manifest.plan == found.plan:
            kept = committed | kept
    elif action in (Action.REUSE, Action.FINISH) and manifest is not None:
        found, kept = DatasetPlan(manifest.plan, left_out=tuple(manifest.records)), committed
    if found is not None:
        left_out = _left_out_again(found.left_out, request)
        # A requested maxlen takes precedence over the maxlen that an earlier run stored.
        found = replace(found, plan=request.given or found.plan, left_out=left_out)
    return Decision(action, found, tuple(kept.values()), replaced=replaced)


def staged_state(state: FolderState, request: ResumeRequest) -> StagedState:
    """Return the state of the interrupted run.

    The states are the rows of the first table in the docstring of this module.
    """
    if state.staged is not None:
        return run_state(state.staged, request)
    return StagedState.NONE if state.other is None else StagedState.OTHER_JOB


def run_state(run: StagedRun, request: ResumeRequest) -> StagedState:
    """Return the state of an interrupted run of the current job, from the `DatasetPlan` of the run."""
    if run.found is None or run.identity is None or (run.found.left_out and not request.policy.skip):
        return StagedState.UNUSABLE
    # Assumed types are checked while each shard is padded, so they stay valid for the unchanged shards.
    found_in_inputs = request.identity.measured and not run.found.assumed
    if found_in_inputs and run.identity.inputs != request.identity.inputs:
        return StagedState.OTHER_INPUTS
    return StagedState.USABLE


def dataset_state(state: FolderState, request: ResumeRequest) -> DatasetState:
    """Return the state of the dataset in the folder.

    The states are the columns of the first table in the docstring of this module.
    """
    manifest, policy = state.manifest, request.policy
    if manifest is None:
        return DatasetState.NONE
    if manifest.identity.name != request.identity.name:
        return DatasetState.OTHER_JOB
    if not is_reusable(manifest, request):
        return DatasetState.OUTDATED
    kept, left_out = _keepable(state.committed, request), _left_out_again(manifest.records, request)
    refused = any(shard.record.rows_refused for shard in kept.values())
    has_rejects = not policy.rejects or not refused or state.rejects == manifest.rejects != ""
    if has_rejects and kept.keys() | {record.index for record in left_out} >= request.stamps.keys():
        return DatasetState.COMPLETE
    # Column types and rejected rows must be found again in all inputs: a manifest does not contain the types,
    # and the `--rejects` file does not show which shard a row comes from.
    return DatasetState.OUTDATED if request.typed or policy.rejects else DatasetState.INCOMPLETE


def is_reusable(manifest: Manifest, request: ResumeRequest) -> bool:
    """Return whether this job wrote the dataset, and the maxlen and column types are still valid."""
    if manifest.identity.name != request.identity.name:
        return False
    if not request.identity.measured:
        return True
    records = [record for record in manifest.records if record.index in request.stamps]
    unchanged = {record.index: record.version for record in records} == request.stamps
    return unchanged and (request.policy.skip or not any(record.fault for record in records))


def is_current(record: ShardRecord, request: ResumeRequest) -> bool:
    """Return whether padding the shard again would write the same file."""
    return (
        request.names.get(record.index) == record.name
        and request.stamps[record.index] == record.version
        and (request.policy.skip or not record.ledger.rows_rejected)
    )


def _keepable(shards: Iterable[FoundShard], request: ResumeRequest) -> dict[int, FoundShard]:
    """Return the shards that can be kept, keyed by shard index."""
    return {
        shard.record.index: shard
        for shard in shards
        if shard.file is not FileState.MISSING
        and not shard.lacks_rejects
        and is_current(shard.record, request)
    }


def _left_out_again(records: Iterable[ShardRecord], request: ResumeRequest) -> tuple[ShardRecord, ...]:
    """Return the records of unreadable shards that have not changed. The run skips them again."""
    return tuple(
        record
        for record in records
        if record.fault and request.policy.skip and request.stamps.get(record.index) == record.version
    )


def _earlier_job(state: FolderState) -> Fingerprint | None:
    """Return the fingerprint of the earlier run in the folder; None if it cannot be read."""
    run = state.staged or state.other
    return run.identity if run is not None else state.manifest.identity if state.manifest else None


def _replaced_inputs(manifest: Manifest | None, shards: Iterable[Shard]) -> tuple[str, ...]:
    """Return the inputs of the earlier dataset whose shards would be replaced.

    These shards have the same file names as new shards of other inputs.
    """
    new = {shard.name: shard.address for shard in shards}
    records = manifest.records if manifest is not None else ()
    changed = (record for record in records if new.get(record.name, record.source) != record.source)
    return tuple(record.source for record in changed)
