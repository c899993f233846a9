"""The tables of `--resume`: the action for each state of an output folder, and for each shard."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from padmask.core.plan import Plan
from padmask.shards import resume
from padmask.shards.fingerprint import Fingerprint
from padmask.shards.manifest import Manifest, ShardRecord
from padmask.shards.resume import (
    Action,
    DatasetPlan,
    DatasetState,
    Decision,
    FileState,
    FolderState,
    FoundShard,
    ResumePolicy,
    ResumeRequest,
    StagedRun,
    StagedState,
    decide,
)
from padmask.shards.split import Shard
from padmask.storage.source import Source
from padmask.stream.ledger import Ledger

START, CONTINUE, REUSE, FINISH, REFUSE = Action
STAGED, COMMITTED, MISSING = FileState

# --- A job of three shards ----------------------------------------------------------------

SHARDS = [Shard(i, Source(f"/in/{i}.jsonl"), f"{i}.jsonl", size=1, version=(0, i)) for i in range(3)]
INPUTS = {shard.address: shard.stamp for shard in SHARDS}
JOB = Fingerprint("job", {"maxlen": "longest"}, INPUTS, measured=True)
OTHER_JOB = Fingerprint("other", {"maxlen": "p95"}, INPUTS, measured=True)
OTHER_INPUTS = replace(JOB, inputs={**INPUTS, SHARDS[2].address: "changed"})
PLAN = DatasetPlan(Plan(8, "longest", 8))

RESUME = ResumePolicy(resume=True)
SKIP = replace(RESUME, skip=True)
REJECTS = replace(RESUME, rejects=True)


def record(index: int, **more: Any) -> ShardRecord:
    """Return the record of a shard that was padded from the current input."""
    shard = SHARDS[index]
    return replace(ShardRecord(index, shard.name, shard.address, version=shard.stamp), **more)


def left_out(index: int, **more: Any) -> ShardRecord:
    return record(index, name="", fault="cannot be read", **more)


def found(file: FileState, *indexes: int, **more: Any) -> list[FoundShard]:
    return [FoundShard(record(index, **more), file) for index in indexes]


def manifest(*records: ShardRecord, job: Fingerprint = JOB, **more: Any) -> Manifest:
    return Manifest(job, PLAN.plan, records or [record(0), record(1), record(2)], **more)


def request(policy: ResumePolicy = RESUME, job: Fingerprint = JOB, **more: Any) -> ResumeRequest:
    return ResumeRequest(job, SHARDS, policy, **more)


def kept(decision: Decision) -> list[int]:
    return sorted(record.index for record in decision.records)


# --- The run ------------------------------------------------------------------------------

STAGED_RUNS: dict[str, dict[str, Any]] = {
    "none": {},
    "another job": {"other": StagedRun(OTHER_JOB, PLAN)},
    "other inputs": {"staged": StagedRun(OTHER_INPUTS, PLAN)},
    "unusable": {"staged": StagedRun()},
    "usable": {"staged": StagedRun(JOB, PLAN, found(STAGED, 0))},
}
DATASETS: dict[str, dict[str, Any]] = {
    "none": {},
    "another job": {"manifest": manifest(job=OTHER_JOB)},
    "outdated": {"manifest": manifest(record(0), record(1), record(2, version="changed"))},
    "incomplete": {"manifest": manifest(), "committed": found(COMMITTED, 0, 1)},
    "complete": {"manifest": manifest(), "committed": found(COMMITTED, 0, 1, 2)},
}
# In the order of DATASETS.
TABLE = {
    "none": [START, REFUSE, START, REUSE, FINISH],
    "another job": [REFUSE, REFUSE, START, REUSE, FINISH],
    "other inputs": [REFUSE, REFUSE, START, REUSE, FINISH],
    "unusable": [START, START, START, REUSE, FINISH],
    "usable": [CONTINUE, CONTINUE, CONTINUE, CONTINUE, FINISH],
}
ROWS = [
    (staged, dataset, action)
    for staged, actions in TABLE.items()
    for dataset, action in zip(DATASETS, actions, strict=True)
]


@pytest.mark.parametrize(("staged", "dataset", "action"), ROWS)
def test_resume_follows_the_table(staged: str, dataset: str, action: Action) -> None:
    state = FolderState(**STAGED_RUNS[staged], **DATASETS[dataset])
    assert decide(state, request()).action is action


@pytest.mark.parametrize(("staged", "dataset", "_"), ROWS)
def test_without_resume_a_run_starts_over(staged: str, dataset: str, _: Action) -> None:
    state = FolderState(**STAGED_RUNS[staged], **DATASETS[dataset], staged_records=2)
    decision = decide(state, request(ResumePolicy(resume=False)))
    assert decision == Decision(START, discarded=2)


def test_docstring_contains_the_table() -> None:
    assert resume.__doc__ is not None
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in resume.__doc__.splitlines()]
    written = {(name, *actions) for name, *actions in filter(None, lines)}
    assert ("staged run \\ dataset", *DATASETS) in written
    assert {(name, *(action.name for action in actions)) for name, actions in TABLE.items()} <= written
    assert len(written) == 2 + len(TABLE) + 2 + len(Action) - 1


# --- What makes a staged run usable -------------------------------------------------------

WITHOUT_2 = replace(PLAN, left_out=(left_out(2),))


@pytest.mark.parametrize(
    ("run", "policy", "state"),
    [
        (StagedRun(JOB, PLAN), RESUME, StagedState.USABLE),
        (StagedRun(JOB, WITHOUT_2), SKIP, StagedState.USABLE),
        # maxlen was computed without a shard that must be included now.
        (StagedRun(JOB, WITHOUT_2), RESUME, StagedState.UNUSABLE),
        (StagedRun(None, None), RESUME, StagedState.UNUSABLE),
        (StagedRun(OTHER_INPUTS, PLAN), RESUME, StagedState.OTHER_INPUTS),
    ],
)
def test_states_of_a_staged_run(run: StagedRun, policy: ResumePolicy, state: StagedState) -> None:
    assert resume.run_state(run, request(policy)) is state


def test_fixed_length_ignores_other_inputs() -> None:
    given = request(job=replace(JOB, measured=False))
    assert resume.run_state(StagedRun(OTHER_INPUTS, PLAN), given) is StagedState.USABLE


def test_assumed_types_ignore_other_inputs() -> None:
    assumed = replace(PLAN, assumed=True)
    assert resume.run_state(StagedRun(OTHER_INPUTS, assumed), request()) is StagedState.USABLE


# --- What makes a dataset complete --------------------------------------------------------

REFUSED = Ledger(rows_read=1, rows_dropped=1)


@pytest.mark.parametrize(
    ("missing", "asked", "state"),
    [
        ([], {}, DatasetState.COMPLETE),
        ([], {"typed": True, "policy": REJECTS}, DatasetState.COMPLETE),
        ([2], {}, DatasetState.INCOMPLETE),
        # The manifest contains neither the types nor the rejected rows of the other shards.
        ([2], {"typed": True}, DatasetState.OUTDATED),
        ([2], {"policy": REJECTS}, DatasetState.OUTDATED),
    ],
)
def test_dataset_without_a_shard(missing: list[int], asked: dict[str, Any], state: DatasetState) -> None:
    shards = [shard for shard in found(COMMITTED, 0, 1, 2) if shard.record.index not in missing]
    folder = FolderState(manifest=manifest(), committed=shards)
    assert resume.dataset_state(folder, request(**asked)) is state


@pytest.mark.parametrize(
    ("written", "there", "policy", "state"),
    [
        ("a1", "a1", REJECTS, DatasetState.COMPLETE),
        ("a1", "b2", REJECTS, DatasetState.OUTDATED),
        ("a1", "", REJECTS, DatasetState.OUTDATED),
        # The earlier run did not write rejected rows.
        ("", "", REJECTS, DatasetState.OUTDATED),
        ("a1", "", RESUME, DatasetState.COMPLETE),
    ],
)
def test_a_dataset_with_rejected_rows(
    written: str, there: str, policy: ResumePolicy, state: DatasetState
) -> None:
    shards = found(COMMITTED, 0, 1, 2, ledger=REFUSED)
    records = [shard.record for shard in shards]
    folder = FolderState(manifest=manifest(*records, rejects=written), committed=shards, rejects=there)
    assert resume.dataset_state(folder, request(policy)) is state


@pytest.mark.parametrize(
    ("version", "policy", "measured", "state"),
    [
        (SHARDS[2].stamp, SKIP, True, DatasetState.COMPLETE),
        (SHARDS[2].stamp, RESUME, True, DatasetState.OUTDATED),
        (SHARDS[2].stamp, RESUME, False, DatasetState.INCOMPLETE),
        ("changed", SKIP, True, DatasetState.OUTDATED),
        ("changed", SKIP, False, DatasetState.INCOMPLETE),
    ],
)
def test_dataset_without_unreadable_shard(
    version: str, policy: ResumePolicy, measured: bool, state: DatasetState
) -> None:
    records = record(0), record(1), left_out(2, version=version)
    folder = FolderState(manifest=manifest(*records), committed=found(COMMITTED, 0, 1))
    assert resume.dataset_state(folder, request(policy, replace(JOB, measured=measured))) is state


def test_fixed_length_ignores_changed_input() -> None:
    folder = FolderState(manifest=manifest(), committed=found(COMMITTED, 0, 1, 2, version="changed"))
    given = request(job=replace(JOB, measured=False))
    assert resume.dataset_state(folder, given) is DatasetState.INCOMPLETE
    assert kept(decide(folder, given)) == []


# --- The shards ---------------------------------------------------------------------------


def state_of_shards(staged: Sequence[int], committed: Sequence[int], run: bool = True) -> FolderState:
    return FolderState(
        staged=StagedRun(JOB, PLAN, found(STAGED, *staged)) if run else None,
        manifest=manifest(),
        committed=found(COMMITTED, *committed),
    )


def test_continue_prefers_staged_shards() -> None:
    decision = decide(state_of_shards(staged=[0], committed=[0, 1]), request())
    assert {shard.record.index: shard.file for shard in decision.kept} == {0: STAGED, 1: COMMITTED}


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"typed": True}, "the dataset's types are not known"),
        ({"policy": REJECTS}, "the dataset's rejected rows are not known by shard"),
    ],
)
def test_continue_pads_dependent_shards(asked: dict[str, Any], why: str) -> None:
    decision = decide(state_of_shards(staged=[0], committed=[0, 1]), request(**asked))
    assert (decision.action, kept(decision)) == (CONTINUE, [0]), why


def test_continue_pads_other_lengths_again() -> None:
    state = replace(state_of_shards([0], [0, 1]), manifest=replace(manifest(), plan=Plan(9, "longest", 9)))
    assert kept(decide(state, request())) == [0]


def test_continue_keeps_renamed_shards() -> None:
    shards = [*found(STAGED, 0), *found(COMMITTED, 1), *found(MISSING, 2)]
    decision = decide(FolderState(staged=StagedRun(JOB, PLAN, shards)), request())
    assert (decision.action, kept(decision)) == (CONTINUE, [0, 1])


@pytest.mark.parametrize(("policy", "keeps"), [(RESUME, []), (SKIP, [0])])
def test_rejected_rows_need_skip_to_resume(policy: ResumePolicy, keeps: list[int]) -> None:
    shards = found(STAGED, 0, ledger=Ledger(rows_read=1, rows_rejected=1))
    decision = decide(FolderState(staged=StagedRun(JOB, PLAN, shards)), request(policy))
    assert (decision.action, kept(decision)) == (CONTINUE, keeps)


def test_missing_rejects_are_padded_again() -> None:
    shards = [replace(shard, lacks_rejects=shard.record.index == 0) for shard in found(STAGED, 0, 1)]
    assert kept(decide(FolderState(staged=StagedRun(JOB, PLAN, shards)), request(REJECTS))) == [1]


def test_reuse_keeps_committed_shards() -> None:
    decision = decide(state_of_shards([], committed=[0, 2], run=False), request())
    assert (decision.action, kept(decision), decision.found) == (REUSE, [0, 2], PLAN)


@pytest.mark.parametrize("run", [True, False])
def test_unreadable_shards_are_skipped_again(run: bool) -> None:
    records = [record(0), record(1), left_out(2)]
    state = FolderState(
        staged=StagedRun(JOB, WITHOUT_2, found(STAGED, 0)) if run else None,
        manifest=None if run else manifest(*records),
        committed=[] if run else found(COMMITTED, 0),
    )
    decision = decide(state, request(SKIP))
    assert (decision.action, kept(decision)) == (CONTINUE if run else REUSE, [0])
    assert decision.found is not None
    assert decision.found.left_out == (left_out(2),)


def test_kept_shards_are_current() -> None:
    """In every state of the folder, a kept shard is intact and has the current name and input."""
    changes = [{}, {"version": "changed"}, {"name": "other.jsonl"}]
    for files in itertools.product(FileState, FileState):
        for staged, committed in itertools.product(changes, changes):
            state = FolderState(
                staged=StagedRun(JOB, PLAN, found(files[0], 0, **staged)),
                manifest=manifest(),
                committed=found(files[1], 0, **committed),
            )
            intact = [(files[0], staged), (files[1], committed)]
            expected = any(file is not MISSING and not change for file, change in intact)
            assert kept(decide(state, request())) == [0] * expected


# --- The other fields of the decision -----------------------------------------------------


def test_fixed_length_ignores_stored_plan() -> None:
    given = Plan(3, "given", 3)
    decision = decide(state_of_shards([0], []), request(job=replace(JOB, measured=False), given=given))
    assert decision.found == replace(PLAN, plan=given)


@pytest.mark.parametrize(
    ("state", "differences"),
    [
        (STAGED_RUNS["another job"], ["maxlen changed from p95 to longest"]),
        (STAGED_RUNS["other inputs"], ["/in/2.jsonl has changed"]),
        (DATASETS["another job"], ["maxlen changed from p95 to longest"]),
        # The later run cannot be continued.
        (STAGED_RUNS["other inputs"] | DATASETS["another job"], ["/in/2.jsonl has changed"]),
        ({"other": StagedRun()}, []),
    ],
)
def test_refusal_lists_differences(state: dict[str, Any], differences: list[str]) -> None:
    decision = decide(FolderState(**state), request())
    assert (decision.action, list(decision.differences)) == (REFUSE, differences)


@pytest.mark.parametrize("policy", [RESUME, ResumePolicy(resume=False)])
def test_replaced_inputs_are_listed(policy: ResumePolicy) -> None:
    old = manifest(record(0), record(1, source="/old/1.jsonl"))
    decision = decide(FolderState(manifest=old), request(policy))
    assert decision.replaced == ("/old/1.jsonl",)
