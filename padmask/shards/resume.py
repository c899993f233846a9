r"""Decide what to do with an output folder that earlier runs wrote into: tables of states.

Nothing here reads or writes a file: `padmask/shards/staging.py` reads the `FolderState` and carries out the
`Decision`.

Without `--resume` the action is START. With `--resume`, the staged run (it stopped before its commit) and the
committed dataset (it has a manifest) decide:

| staged run \ dataset | none     | another job | outdated | incomplete | complete |
|----------------------|----------|-------------|----------|------------|----------|
| none                 | START    | REFUSE      | START    | REUSE      | FINISH   |
| another job          | REFUSE   | REFUSE      | START    | REUSE      | FINISH   |
| other inputs         | REFUSE   | REFUSE      | START    | REUSE      | FINISH   |
| unusable             | START    | START       | START    | REUSE      | FINISH   |
| usable               | CONTINUE | CONTINUE    | CONTINUE | CONTINUE   | FINISH   |

The action decides about each shard, by the first column that applies:

| action   | staged | committed | left out  | neither |
|----------|--------|-----------|-----------|---------|
| START    | pad    | pad       | pad       | pad     |
| CONTINUE | keep   | keep (*)  | leave out | pad     |
| REUSE    | pad    | keep      | leave out | pad     |
| FINISH   | -      | keep      | leave out | -       |

(*) Only of an incomplete dataset that has the length of the staged run.

- *staged*, *committed*: the input has not changed since the shard was padded, and the file is intact. With
  `--rejects`, the rows that a staged shard rejected are intact too. Without `--on-error skip`, the shard
  rejected no bad row.
- *left out*: the shard could not be read, the input has not changed since, and `--on-error skip` is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

import pyarrow as pa

from padmask.core.plan import Plan
from padmask.shards.fingerprint import Fingerprint
from padmask.shards.manifest import Manifest, ShardRecord
from padmask.shards.split import Shard


class StagedState(Enum):
    """What the runs that stopped before their commit are to the job at hand."""

    NONE = "no run stopped in this folder"
    OTHER_JOB = "a run of another job stopped in this folder"
    OTHER_INPUTS = "the length or the types were found in inputs that changed since"
    UNUSABLE = "the plan is unreadable, or leaves out shards that this run must not leave out"
    USABLE = "its shards can be kept"


class DatasetState(Enum):
    """What the committed dataset is to the job at hand."""

    NONE = "the folder has no manifest"
    OTHER_JOB = "another job wrote the dataset"
    OUTDATED = "some shards must be padded, which takes a pass over all inputs"
    INCOMPLETE = "some shards must be padded, which can be done without the others"
    COMPLETE = "every shard is intact or left out, and the file of rejected rows is intact"


class Action(Enum):
    """What a run does with the work of earlier runs."""

    START = "pad every shard"
    CONTINUE = "keep the shards of the staged run, pad the others"
    REUSE = "keep the shards of the committed dataset, pad the others"
    FINISH = "nothing is left to pad"
    REFUSE = "the folder holds the work of another job"


START, CONTINUE, REUSE, FINISH, REFUSE = Action

# The first table of the docstring; its columns are the members of DatasetState in their order.
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
    """Where the file of a shard is that an earlier run padded."""

    STAGED = "intact in the staging folder"
    COMMITTED = "intact under its own name"
    MISSING = "missing or damaged"


@dataclass(frozen=True)
class FoundShard:
    """A shard that an earlier run padded.

    Args:
        record: of the shard.
        file: where its file is.
        lacks_rejects: whether rows that the shard did not write are needed and are missing.
    """

    record: ShardRecord
    file: FileState
    lacks_rejects: bool = False


@dataclass(frozen=True)
class DatasetPlan:
    """What a run found in all inputs before it padded one of them.

    Args:
        plan: the length of all rows.
        types: of the columns, where JSON Lines become typed.
        left_out: records of the shards that could not be read.
    """

    plan: Plan
    types: pa.Schema | None = None
    left_out: tuple[ShardRecord, ...] = ()


@dataclass(frozen=True)
class StagedRun:
    """A run that stopped before its commit.

    Args:
        identity: of its job; None where the run's plan is unreadable.
        found: the run's plan; None where it is unreadable.
        shards: that it padded.
    """

    identity: Fingerprint | None = None
    found: DatasetPlan | None = None
    shards: Sequence[FoundShard] = ()


@dataclass(frozen=True)
class FolderState:
    """What was read from an output folder.

    Args:
        staged: the stopped run of the job at hand.
        other: a stopped run of another job.
        manifest: of the committed dataset.
        committed: the shards of the committed dataset.
        rejects: the SHA-256 of the file that `--rejects` names; empty where there is no such file.
        staged_records: how many shards the stopped run of the job at hand finished.
    """

    staged: StagedRun | None = None
    other: StagedRun | None = None
    manifest: Manifest | None = None
    committed: Sequence[FoundShard] = ()
    rejects: str = ""
    staged_records: int = 0


@dataclass(frozen=True, kw_only=True)
class ResumePolicy:
    """What may happen to the files that are in the output folder.

    Args:
        resume: whether the work of earlier runs is kept.
        delete: whether files of an earlier dataset may be deleted that the new one does not replace.
        rejects: whether the rows that are not written go to a file.
        skip: whether rows and files that cannot be read are left out.
    """

    resume: bool
    delete: bool = False
    rejects: bool = False
    skip: bool = False


@dataclass(frozen=True)
class ResumeRequest:
    """The job at hand, as far as it decides what is kept.

    Args:
        identity: of the job.
        shards: of the job.
        policy: what may happen to the files that are in the output folder.
        given: the length, where it is given; None where it is found in all inputs.
        typed: whether the types are found in all inputs.
    """

    identity: Fingerprint
    shards: Sequence[Shard]
    policy: ResumePolicy
    given: Plan | None = None
    typed: bool = False

    @cached_property
    def names(self) -> Mapping[int, str]:
        """The names of the shards' files, by index."""
        return {shard.index: shard.name for shard in self.shards}

    @cached_property
    def stamps(self) -> Mapping[int, str]:
        """What changes with the input of each shard, by index."""
        return {shard.index: shard.stamp for shard in self.shards}


@dataclass(frozen=True)
class Decision:
    """What a run does with the work of earlier runs.

    Args:
        action: for the whole run.
        found: the plan of the run or the dataset whose shards are kept; None where a plan must be made.
        kept: the shards that are not padded again.
        differences: between the refused run and the job at hand, as far as they are known.
        padded_again: how many shards of a stopped run are padded again, because `--resume` is not given.
        replaced: inputs of the committed dataset whose output is replaced by that of other inputs.
    """

    action: Action
    found: DatasetPlan | None = None
    kept: tuple[FoundShard, ...] = ()
    differences: tuple[str, ...] = ()
    padded_again: int = 0
    replaced: tuple[str, ...] = ()

    @property
    def records(self) -> list[ShardRecord]:
        """The records of the shards that are not padded again."""
        return [shard.record for shard in self.kept]


def decide(state: FolderState, request: ResumeRequest) -> Decision:
    """Look up what to do with the folder and with each shard in the tables at the top of this module."""
    replaced = _replaced_inputs(state.manifest, request.shards)
    if not request.policy.resume:
        return Decision(Action.START, padded_again=state.staged_records, replaced=replaced)
    dataset = dataset_state(state, request)
    row = dict(zip(DatasetState, ACTIONS[staged_state(state, request)], strict=True))
    action = row[dataset]
    if action is Action.REFUSE:
        return Decision(action, differences=_differences(state, request))
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
        # A length that is given is not taken from a file.
        found = replace(found, plan=request.given or found.plan, left_out=left_out)
    return Decision(action, found, tuple(kept.values()), replaced=replaced)


def staged_state(state: FolderState, request: ResumeRequest) -> StagedState:
    """Return the row of the first table."""
    if state.staged is not None:
        return run_state(state.staged, request)
    return StagedState.NONE if state.other is None else StagedState.OTHER_JOB


def run_state(run: StagedRun, request: ResumeRequest) -> StagedState:
    """Return the row of the first table for a stopped run of the job at hand, from the run's plan alone."""
    if run.found is None or run.identity is None or (run.found.left_out and not request.policy.skip):
        return StagedState.UNUSABLE
    if request.identity.measured and run.identity.inputs != request.identity.inputs:
        return StagedState.OTHER_INPUTS
    return StagedState.USABLE


def dataset_state(state: FolderState, request: ResumeRequest) -> DatasetState:
    """Return the column of the first table."""
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
    # A manifest has no types, and the file of rejected rows does not say which shard rejected a row.
    return DatasetState.OUTDATED if request.typed or policy.rejects else DatasetState.INCOMPLETE


def is_reusable(manifest: Manifest, request: ResumeRequest) -> bool:
    """Tell whether the job at hand made a dataset, and what it found in all inputs still holds."""
    if manifest.identity.name != request.identity.name:
        return False
    if not request.identity.measured:
        return True
    records = [record for record in manifest.records if record.index in request.stamps]
    unchanged = {record.index: record.version for record in records} == request.stamps
    return unchanged and (request.policy.skip or not any(record.fault for record in records))


def is_current(record: ShardRecord, request: ResumeRequest) -> bool:
    """Tell whether the shard would become the same file if it were padded again."""
    return (
        request.names.get(record.index) == record.name
        and request.stamps[record.index] == record.version
        and (request.policy.skip or not record.ledger.rows_rejected)
    )


def _keepable(shards: Iterable[FoundShard], request: ResumeRequest) -> dict[int, FoundShard]:
    """Return the shards that need not be padded again, by index."""
    return {
        shard.record.index: shard
        for shard in shards
        if shard.file is not FileState.MISSING
        and not shard.lacks_rejects
        and is_current(shard.record, request)
    }


def _left_out_again(records: Iterable[ShardRecord], request: ResumeRequest) -> tuple[ShardRecord, ...]:
    """Return the records of shards that could not be read, and need not be tried again."""
    return tuple(
        record
        for record in records
        if record.fault and request.policy.skip and request.stamps.get(record.index) == record.version
    )


def _differences(state: FolderState, request: ResumeRequest) -> tuple[str, ...]:
    """Return how the run that made the work in the folder differs from the job at hand."""
    run = state.staged or state.other
    old = run.identity if run is not None else state.manifest.identity if state.manifest else None
    return () if old is None else tuple(request.identity.list_differences(old))


def _replaced_inputs(manifest: Manifest | None, shards: Iterable[Shard]) -> tuple[str, ...]:
    """Return the inputs of a dataset that shards of other inputs replace."""
    new = {shard.name: shard.address for shard in shards}
    records = manifest.records if manifest is not None else ()
    changed = (record for record in records if new.get(record.name, record.source) != record.source)
    return tuple(record.source for record in changed)
