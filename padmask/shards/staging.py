"""Collect shards in a staging folder. When all shards are padded, move them and write the manifest.

The staging folder is a subfolder of the output folder. Its name starts with `_`, so other programs usually
ignore it. If a run is interrupted, its shards stay in the staging folder, and `--resume` uses them. This
module reads and writes files. `padmask/shards/resume.py` decides which files to keep.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from padmask.core.plan import Plan
from padmask.errors import OutputError
from padmask.shards.fingerprint import Fingerprint
from padmask.shards.listing import FolderListing, list_output
from padmask.shards.manifest import Manifest, OutputFile, ShardRecord, file_digest, plan_of
from padmask.shards.resume import (
    Action,
    DatasetPlan,
    Decision,
    FileState,
    FolderState,
    FoundShard,
    ResumeRequest,
    StagedRun,
    StagedState,
    decide,
    is_current,
    is_reusable,
    run_state,
)
from padmask.spec.warning_names import Warned
from padmask.storage.folder import OutputFolder
from padmask.storage.names import MANIFEST, RECORD, REPLACING, UNFINISHED
from padmask.storage.output import SideFile
from padmask.storage.system import signals_deferred

# Number of files that are moved at the same time, because each move in remote storage takes long.
MOVES_AT_ONCE = 16

# Name of the file in the staging folder with the `DatasetPlan` and the fingerprint of the job.
_PLAN = "plan"

# Maximum size of a record in bytes. A record has about 600 bytes, plus the error message of a skipped shard.
MOST_RECORD_BYTES = 1 << 20

# Suffix of the file with the rejected rows of a shard.
REJECTS = ".rejects.jsonl"


@dataclass(frozen=True)
class Staging:
    """The staging folder of one job.

    Args:
        folder: the output folder.
        job: hash of the options and inputs of the job. The name of the staging folder contains this hash.
    """

    folder: OutputFolder
    job: str

    @property
    def name(self) -> str:
        """Name of the staging folder in the output folder."""
        return UNFINISHED + self.job

    def file(self, index: int, suffix: str) -> str:
        """Return the path of a file in the staging folder, relative to the output folder.

        Args:
            index: index of the shard.
            suffix: suffix of the file.
        """
        return f"{self.name}/{index:06}{suffix}"

    def shard_file(self, record: ShardRecord, file: OutputFile) -> str:
        """Return the path of a file of a shard in the staging folder, relative to the output folder."""
        bucket = "" if file.maxlen is None else f"-{file.maxlen:05}"
        return self.file(record.index, bucket + Path(file.name).suffix)

    def prepare(
        self,
        request: ResumeRequest,
        rejects: str | None,
        names: Collection[str] | None = None,
        warn: Callable[[Warned], None] | None = None,
    ) -> Decision:
        """Read the output folder, decide which shards to keep, and remove other files of interrupted runs.

        Args:
            request: the current job.
            rejects: path of the `--rejects` file; None if there is no such file.
            names: names of the files that the run may write; None if they depend on the row lengths. The
                caller then calls `refuse_conflicts` when the names are known.
            warn: function that is called with each warning before shards are removed; None if warnings are
                only returned.

        Raises:
            OutputError: the folder contains other data, files that the run would delete, or files of
                another job.
        """
        if names is None:
            self.folder.refuse_unfit({MANIFEST, REPLACING, self.file(0, RECORD)})
            listing = list_output(self.folder)
            listing.refuse_foreign_data(())
        else:
            listing = self.refuse_conflicts(names, delete=request.policy.delete)
        decision = decide(self._read_state(listing, request, rejects), request)
        if decision.action is Action.REFUSE:
            differences = "; ".join(decision.differences) or "the options or the inputs differ"
            given = f" with {' '.join(decision.earlier_options)}" if decision.earlier_options else ""
            raise OutputError(
                f"--resume cannot continue the run in {str(self.folder)!r}: {differences}",
                remedy=f"Repeat the command of that run{given}, or start again without --resume.",
            )
        if warn is not None:
            # After the removal, the user can no longer keep the shards.
            for warning in decision.warnings:
                warn(warning)
        self._remove_staged(listing, decision)
        return decision

    def refuse_conflicts(self, names: Collection[str], *, delete: bool) -> FolderListing:
        """Check that a run may write files, and return the files of the folder.

        Args:
            names: names of the files that the run may write.
            delete: whether the run may delete other files of an earlier dataset.

        Raises:
            OutputError: the folder contains other data, or files that the run would delete.
        """
        self.folder.refuse_unfit({*names, MANIFEST, REPLACING, self.file(0, RECORD)})
        listing = list_output(self.folder)
        listing.refuse_foreign_data(names)
        if not delete:
            listing.refuse_lost_files(names)
        return listing

    def _read_state(self, listing: FolderListing, request: ResumeRequest, rejects: str | None) -> FolderState:
        """Read the state of the output folder. `decide` chooses the shards to keep from this state.

        The function reads the files that may be kept, to compare their checksums.
        """
        manifest = listing.manifest
        if not request.policy.resume:
            return FolderState(manifest=manifest, staged_records=listing.count_staged(RECORD))
        others = sorted(listing.staging_folders - {self.name})
        reusable = manifest is not None and is_reusable(manifest, request)
        return FolderState(
            staged=self._read_run(listing, request) if self.name in listing.staging_folders else None,
            other=self._read_plan(others[0]) if others else None,
            manifest=manifest,
            committed=[
                FoundShard(record, self._find(record, listing, [FileState.COMMITTED]))
                for record in (manifest.records if manifest is not None and reusable else ())
                if is_current(record, request)
            ],
            rejects=_digest_if_there(rejects) if reusable else "",
        )

    def _names_of_records(self, listing: FolderListing) -> list[str]:
        return [name for name in listing.files if name.startswith(f"{self.name}/") and name.endswith(RECORD)]

    def _read_run(self, listing: FolderListing, request: ResumeRequest) -> StagedRun:
        """Read the files that an interrupted run of this job left in the staging folder."""
        run = self._read_plan(self.name)
        if run_state(run, request) is not StagedState.USABLE:
            return run
        shards = []
        for name in self._names_of_records(listing):
            record = _parse_record(self.folder.read(name, MOST_RECORD_BYTES))
            if record is None or not is_current(record, request):
                continue
            # A run that stopped during its commit has already moved some shards.
            file = self._find(record, listing, [FileState.STAGED, FileState.COMMITTED])
            needs_rejects = request.policy.rejects and file is not FileState.MISSING
            lacks_rejects = needs_rejects and not self._has_rejects(record, listing)
            shards.append(FoundShard(record, file, lacks_rejects))
        return replace(run, shards=shards)

    def _find(self, record: ShardRecord, listing: FolderListing, locations: Sequence[FileState]) -> FileState:
        """Return where the intact files of a shard are.

        If a file of the shard is missing or damaged in all locations, the result is MISSING. With buckets,
        some files of the shard may be staged and others committed. In this case, the result is STAGED.
        """
        found = []
        for file in record.files:
            names = {FileState.STAGED: self.shard_file(record, file), FileState.COMMITTED: file.name}
            intact = (location for location in locations if self._is_intact(names[location], file, listing))
            found.append(next(intact, FileState.MISSING))
        return next((state for state in (FileState.MISSING, *locations) if state in found), FileState.MISSING)

    def _is_intact(self, name: str, file: OutputFile, listing: FolderListing) -> bool:
        """Return whether a file matches its record. In remote storage, only the size is compared."""
        if listing.files.get(name) != file.size or not self.folder.is_plain(name):
            return False
        if self.folder.url is not None:
            return True
        return file_digest(self.folder.path_of(name)) == (file.sha256, file.size)

    def _has_rejects(self, record: ShardRecord, listing: FolderListing) -> bool:
        """Return whether all rejected rows of a shard are in the staging folder."""
        if not record.rows_refused:
            return True
        name = self.file(record.index, REJECTS)
        if name not in listing.files or not self.folder.is_plain(name):
            return False
        return sum(block.count(b"\n") for block in self.folder.blocks(name)) == record.rows_refused

    def _remove_staged(self, listing: FolderListing, decision: Decision) -> None:
        """Remove the files in the staging folder that this run does not use."""
        continued = {self.name} if decision.action is Action.CONTINUE else set[str]()
        for name in listing.staging_folders - continued:
            self.folder.remove_below(name)
        kept = {f"{self.name}/{_PLAN}"}
        for shard in decision.kept:
            kept |= {self.file(shard.record.index, suffix) for suffix in (RECORD, REJECTS)}
            if shard.file is FileState.STAGED:
                kept |= {self.shard_file(shard.record, file) for file in shard.record.files}
        for name in listing.files:
            if name.split("/")[0] in continued and not (name in kept and self.folder.is_plain(name)):
                self.folder.remove(name)

    def write_plan(self, found: DatasetPlan, identity: Fingerprint) -> None:
        """Write the maxlen, the column types and the fingerprint of the job, for later runs."""
        types = None if found.types is None else base64.b64encode(found.types.serialize()).decode()
        left_out = [record.as_dict() for record in found.left_out]
        contents = {
            "plan": asdict(found.plan),
            "types": types,
            "left_out": left_out,
            "assumed": found.assumed,
            "job": asdict(identity),
        }
        self.folder.write(f"{self.name}/{_PLAN}", json.dumps(contents).encode())

    def _read_plan(self, name: str) -> StagedRun:
        """Read the plan of an interrupted run, without its shards.

        Args:
            name: name of the staging folder.
        """
        data = self.folder.read(f"{name}/{_PLAN}")
        try:
            contents: dict[str, Any] = json.loads(data or b"")
            types = contents["types"]
            schema = None if types is None else pa.ipc.read_schema(pa.py_buffer(base64.b64decode(types)))
            left_out = tuple(ShardRecord.of(record) for record in contents["left_out"])
            found = DatasetPlan(plan_of(contents["plan"]), schema, left_out, contents["assumed"])
            return StagedRun(Fingerprint(**contents["job"]), found)
        except (ValueError, KeyError, TypeError, RecursionError, pa.ArrowException):
            return StagedRun()

    def remove(self) -> None:
        """Remove the plan and all shards in the staging folder."""
        self.folder.remove_below(self.name)

    def write_record(self, record: ShardRecord) -> None:
        """Write the record of a shard. The shard file must be complete."""
        self.folder.write(self.file(record.index, RECORD), json.dumps(record.as_dict()).encode())

    def commit(
        self, identity: Fingerprint, plan: Plan, records: Sequence[ShardRecord], rejects: str | None
    ) -> int:
        """Write the file of rejected rows, move all shards to their final names, and write the manifest.

        Args:
            identity: fingerprint of the job.
            plan: maxlen of the output rows, and how it was determined.
            records: records of all shards.
            rejects: path of the `--rejects` file; None if there is no such file.

        Returns:
            The number of files of an earlier dataset that were deleted because no new file replaces them.

        Raises:
            OutputError: a file cannot be moved.
        """
        if rejects is not None:
            self._join_rejects(records, rejects)
        manifest = Manifest(identity, plan, records, _digest_if_there(rejects))
        moves = {
            file.name: (self.shard_file(record, file), file) for record in records for file in record.files
        }
        names = moves.keys()
        # The folder may have changed since the run began.
        listing = list_output(self.folder)
        listing.refuse_foreign_data(names)
        for name, (staged, file) in moves.items():
            # Files that are not in the staging folder were moved by an earlier run.
            moved = listing.files.get(name) if name in listing.owned else None
            if listing.files.get(staged, moved) != file.size:
                raise self._disappeared(name)
        waiting = [(staged, name) for name, (staged, _) in moves.items() if staged in listing.files]
        stale = (listing.owned - names) & listing.files.keys()
        # A signal must not interrupt the commit, because other programs would read a partly moved dataset.
        with signals_deferred():
            # If this run is killed, the next run must know which files padmask wrote.
            self.folder.write(REPLACING, json.dumps(sorted(listing.owned | names)).encode())
            # Without a manifest, padmask refuses to read the folder.
            self.folder.remove(MANIFEST)
            with ThreadPoolExecutor(MOVES_AT_ONCE, "padmask-commit") as pool:
                list(pool.map(lambda move: self.folder.move(*move), waiting))
                list(pool.map(self.folder.remove, stale))
            self.folder.sync(iter(names))
            self.folder.write(MANIFEST, manifest.to_bytes())
            self._clear()
        return len(stale)

    def finish(self, rejects: str | None) -> None:
        """Remove the staging folder of a complete dataset. Create the `--rejects` file if it is missing."""
        if rejects is not None and not os.path.isfile(rejects):
            self._join_rejects((), rejects)
        self._clear()

    def _join_rejects(self, records: Sequence[ShardRecord], path: str) -> None:
        """Write the rejected rows of all shards to one file, in the order of the rows."""
        with SideFile(path) as stream:
            for record in sorted(records, key=lambda record: record.index):
                if not record.rows_refused:
                    continue
                rows = 0
                with suppress(FileNotFoundError):
                    for block in self.folder.blocks(self.file(record.index, REJECTS)):
                        rows += block.count(b"\n")
                        stream.write(block)
                if rows != record.rows_refused:
                    raise self._disappeared(f"the rejected rows of {record.name}")

    def _disappeared(self, name: str) -> OutputError:
        return OutputError(
            f"{name} disappeared from {str(self.folder)!r} during the run. Make sure that no other program "
            "changes the folder, and run padmask again with --resume."
        )

    def _clear(self) -> None:
        """Remove all temporary files. The dataset is complete even if this fails."""
        with suppress(OutputError):
            self.folder.remove(REPLACING)
            self.folder.remove_below(self.name)


def _digest_if_there(path: str | None) -> str:
    """Return the SHA-256 of a local file; an empty string if the file does not exist."""
    return file_digest(path)[0] if path is not None and os.path.isfile(path) else ""


def _parse_record(data: bytes | None) -> ShardRecord | None:
    try:
        return ShardRecord.of(json.loads(data or b""))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
