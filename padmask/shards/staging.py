"""Stage shards in the output folder until all are complete, then rename them.

Everything temporary is below a name that begins with `_`, which readers of folders skip. A failed run leaves
that for `--resume`, and nothing that looks like data.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from padmask.core.plan import Plan
from padmask.errors import OutputError, join_few
from padmask.shards.fingerprint import Fingerprint
from padmask.shards.manifest import Manifest, ShardRecord, file_digest, plan_of
from padmask.shards.split import Shard
from padmask.storage.folder import OutputFolder
from padmask.storage.names import MANIFEST, REPLACING, UNFINISHED, is_data
from padmask.storage.output import SideFile
from padmask.storage.system import signals_deferred

# Files moved at once: a storage answers each move late.
MOVES_AT_ONCE = 16

# No suffix that data have.
_RECORD, _PLAN = ".record", "plan"

# A record takes about 600 bytes, and the message of a file that was left out.
MOST_RECORD_BYTES = 1 << 20

_STAGED = re.compile(rf"{UNFINISHED}[0-9a-f]{{16}}/")

# What a shard's rejects wait in, behind its number.
REJECTS = ".rejects.jsonl"


@dataclass(frozen=True)
class EarlierRun:
    """What an earlier run of the same job has done.

    Args:
        records: of the shards whose files are there.
        plan: the length that it found; None where it found none.
        types: of the columns, where JSON Lines become typed and it has found them.
        left_out: records of the shards that the length was found without.
        committed: whether it has come to its end: of what it found, and the rows it refused, only
            that is known which the manifest says.
        forgone: how many shards it had done that are not gone on with, since nobody asked for it.
        rejects: the checksum of the rows that it refused, where they were kept in a file of this machine.
        others: inputs of shards in whose place those of other inputs come.
    """

    records: Sequence[ShardRecord] = ()
    plan: Plan | None = None
    types: pa.Schema | None = None
    left_out: Sequence[ShardRecord] = ()
    committed: bool = False
    forgone: int = 0
    rejects: str = ""
    others: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class ResumePolicy:
    """What is to become of that which is in the folder already.

    Args:
        resume: whether to go on with a run that ended before it was done.
        delete: whether files of an older dataset may go that have none in their place.
        rejects: whether the rows that are not written are to be kept.
        skip: whether to go on without rows and files that cannot be read.
    """

    resume: bool
    delete: bool
    rejects: bool
    skip: bool


@dataclass(frozen=True)
class Staging:
    """Where the shards of one job wait.

    Args:
        folder: the output folder.
        job: what names the job: its inputs and options.
    """

    folder: OutputFolder
    job: str

    @property
    def name(self) -> str:
        """The name in the folder below which everything waits."""
        return UNFINISHED + self.job

    def file(self, index: int, suffix: str) -> str:
        """Return the name in the folder of what waits for a shard."""
        return f"{self.name}/{index:06}{suffix}"

    def shard_file(self, record: ShardRecord) -> str:
        """Return the name in the folder of a shard that waits."""
        return self.file(record.index, Path(record.name).suffix)

    # --- What is done already --------------------------------------------------------------

    def prepare(self, identity: Fingerprint, shards: Sequence[Shard], wish: ResumePolicy) -> EarlierRun:
        """Make the folder ready for shards, and return what is done already.

        Raises:
            OutputError: the folder holds data that would stand beside the new or be lost, or the run to
                go on with is another one.
        """
        names = {shard.name for shard in shards}
        self.folder.refuse_unfit(names | {MANIFEST, REPLACING, self.file(0, _RECORD)})
        there, old = self.folder.names(), self._manifest()
        ours = self._ours(old)
        self._refuse_strangers(there, names, ours)
        if not wish.delete:
            self._refuse_loss(ours & there.keys() - names)
        # What only begins like them is somebody else's.
        staged = {name.split("/")[0] for name in there if _STAGED.match(name)}
        if wish.resume:
            done = self._done(identity, shards, wish, there, old, staged)
        else:
            begun = (name.startswith(self.name) and name.endswith(_RECORD) for name in there)
            done = EarlierRun(forgone=sum(begun))
        for name in staged - ({self.name} if wish.resume else set()):
            self.folder.remove_below(name)
        return replace(done, others=_others(old, shards))

    def _done(
        self,
        identity: Fingerprint,
        shards: Sequence[Shard],
        wish: ResumePolicy,
        there: dict[str, int],
        old: Manifest | None,
        staged: set[str],
    ) -> EarlierRun:
        """Return what earlier runs of the same job have done; another one is refused."""
        whole = old if old is not None and old.identity.name == self.job else None
        begun, unlike = self._begun_here(identity, shards, wish, there)
        if whole is None and self.name not in staged:
            if staged:
                raise self._another(identity, self._kept_plan(min(staged))[1])
            if old is not None:
                raise self._another(identity, old.identity)
            return EarlierRun()
        if whole is None and unlike is not None:
            raise self._another(identity, unlike)
        kept = EarlierRun() if whole is None else self._kept_in(whole, identity, shards, wish, there)
        # The later run is gone on with. What an earlier one has done holds beside it, where no shard
        # depends on another.
        told = {record.index for record in (*kept.records, *kept.left_out)}
        lacks = {shard.index for shard in shards} - told
        done = begun if begun.plan is not None and (lacks or not kept.committed) else kept
        if done is begun and not identity.measured and not wish.rejects:
            known = {record.index for record in begun.records}
            done = replace(
                begun, records=[*begun.records, *(r for r in kept.records if r.index not in known)]
            )
        self._clean(there, begun.records if done is not kept else (), keep_plan=done is not kept)
        return done

    def _begun_here(
        self, identity: Fingerprint, shards: Sequence[Shard], wish: ResumePolicy, there: dict[str, int]
    ) -> tuple[EarlierRun, Fingerprint | None]:
        """Return what waits of this job, and the job of which what waits is, where that is another one."""
        kept, known = self._kept_plan(self.name)
        if kept.plan is None or known is None or (kept.left_out and not wish.skip):
            return EarlierRun(), None
        if identity.measured and known.inputs != identity.inputs:
            return EarlierRun(), known
        records = self._as_now(self._kept(there), shards, wish)
        records = [record for record in records if self._waits_or_stands(record, there)]
        if wish.rejects:
            records = [record for record in records if self._has_rejects(record, there)]
        return replace(kept, records=records), None

    def _kept_in(
        self,
        whole: Manifest,
        identity: Fingerprint,
        shards: Sequence[Shard],
        wish: ResumePolicy,
        there: dict[str, int],
    ) -> EarlierRun:
        """Return what holds still of a dataset that is whole."""
        now = {shard.index: shard.stamp for shard in shards}
        left_out = [record for record in whole.records if record.fault and record.index in now]
        left_out = [one for one in left_out if wish.skip and one.version == now[one.index]]
        known = {record.index: record.version for record in whole.records if record.index in now}
        every = len(left_out) == sum(bool(record.fault) for record in whole.records if record.index in now)
        if identity.measured and not (every and known == now):
            return EarlierRun()
        records = self._as_now(whole.records, shards, wish)
        records = [record for record in records if self._stands(record, there)]
        return EarlierRun(records, whole.plan, left_out=left_out, committed=True, rejects=whole.rejects)

    def _clean(self, there: dict[str, int], records: Sequence[ShardRecord], *, keep_plan: bool) -> None:
        """Take away what waits of shards that are not done: it would be taken for the new."""
        done = {record.index for record in records}
        for name in [name for name in there if name.startswith(f"{self.name}/")]:
            index = name.removeprefix(f"{self.name}/").partition(".")[0]
            known = index.isdecimal() and int(index) in done
            plan = keep_plan and name == f"{self.name}/{_PLAN}"
            if not self.folder.is_plain(name) or not (known or plan):
                self.folder.remove(name)
                del there[name]

    def _another(self, identity: Fingerprint, old: Fingerprint | None) -> OutputError:
        differences = identity.unlike(old) if old else []
        said = f": {'; '.join(differences)}" if differences else ""
        return OutputError(
            f"The run whose output {str(self.folder)!r} holds was another one{said}. Run that one again, or "
            "begin anew without --resume."
        )

    def _manifest(self) -> Manifest | None:
        return Manifest.of_bytes(self.folder.read(MANIFEST))

    def _ours(self, old: Manifest | None) -> set[str]:
        """Return the names of the files that runs before this one have put into the folder."""
        data = self.folder.read(REPLACING)
        try:
            told = json.loads(data or b"[]")
            kept = {name for name in told if isinstance(name, str)}
        except (ValueError, TypeError, RecursionError):
            kept = set()
        return kept | {record.name for record in (old.records if old else ()) if record.name}

    def _refuse_strangers(self, there: Iterable[str], names: set[str], ours: set[str]) -> None:
        """Refuse what would be replaced, or stand beside the new as data, and is not padmask's."""
        strangers = [name for name in there if name not in ours and (name in names or is_data(name))]
        if strangers:
            raise OutputError(
                f"The folder {str(self.folder)!r} holds data that padmask did not put there: "
                f"{join_few(strangers)}. Choose another folder, or move them away."
            )

    def _refuse_loss(self, lost: set[str]) -> None:
        if lost:
            raise OutputError(
                f"The folder {str(self.folder)!r} holds files of an earlier run in whose place nothing would "
                f"come: {join_few(sorted(lost))}. Choose another folder, or delete them with --delete."
            )

    def _kept(self, there: Iterable[str]) -> list[ShardRecord]:
        """Return the records that wait beside their shards."""
        names = [name for name in there if name.startswith(f"{self.name}/") and name.endswith(_RECORD)]
        found = (_record(self.folder.read(name, MOST_RECORD_BYTES)) for name in names)
        return [record for record in found if record is not None]

    def _as_now(
        self, records: Iterable[ShardRecord], shards: Sequence[Shard], wish: ResumePolicy
    ) -> list[ShardRecord]:
        """Return the records of shards that would be made alike now."""
        wanted = {(shard.index, shard.name, shard.stamp) for shard in shards}
        return [
            record
            for record in records
            if (record.index, record.name, record.version) in wanted
            and (wish.skip or not record.ledger.rows_rejected)
        ]

    def _has_rejects(self, record: ShardRecord, there: Mapping[str, int]) -> bool:
        if not _refused(record):
            return True
        name = self.file(record.index, REJECTS)
        return (
            self.folder.is_plain(name)
            and name in there
            and _lines(self.folder.blocks(name)) == _refused(record)
        )

    def _stands(self, record: ShardRecord, there: Mapping[str, int]) -> bool:
        """Tell whether a shard has its name."""
        return self._is_whole(record.name, record, there)

    def _waits_or_stands(self, record: ShardRecord, there: dict[str, int]) -> bool:
        """Tell whether a shard waits, or has its name already, by a run that ended while it named them."""
        name = self.shard_file(record)
        if self._is_whole(name, record, there):
            return True
        if name in there:
            # It would be taken for the one that is there.
            self.folder.remove(name)
            del there[name]
        return self._stands(record, there)

    def _is_whole(self, name: str, record: ShardRecord, there: Mapping[str, int]) -> bool:
        """Compare a file with its record; the checksum of one in a storage is not asked for."""
        if there.get(name) != record.size or not self.folder.is_plain(name):
            return False
        if self.folder.url is not None:
            return True
        return file_digest(self.folder.path_of(name)) == (record.sha256, record.size)

    # --- On the way --------------------------------------------------------------------------

    def keep_plan(self, found: EarlierRun, identity: Fingerprint) -> None:
        """Keep what was found about all shards, so that it need not be found again, and for which job."""
        assert found.plan is not None
        types = None if found.types is None else base64.b64encode(found.types.serialize()).decode()
        left_out = [record.as_dict() for record in found.left_out]
        told = {"plan": asdict(found.plan), "types": types, "left_out": left_out, "job": asdict(identity)}
        self.folder.write(f"{self.name}/{_PLAN}", json.dumps(told).encode())

    def _kept_plan(self, name: str) -> tuple[EarlierRun, Fingerprint | None]:
        """Return what was found, and for which job, by a run of which the beginning waits below a name."""
        data = self.folder.read(f"{name}/{_PLAN}")
        try:
            told: dict[str, Any] = json.loads(data or b"")
            types = told["types"]
            schema = None if types is None else pa.ipc.read_schema(pa.py_buffer(base64.b64decode(types)))
            left_out = [ShardRecord.of(record) for record in told["left_out"]]
            found = EarlierRun(plan=plan_of(told["plan"]), types=schema, left_out=left_out)
            return found, Fingerprint(**told["job"])
        except (ValueError, KeyError, TypeError, RecursionError, pa.ArrowException):
            return EarlierRun(), None

    def keep(self, record: ShardRecord) -> None:
        """Keep the record of a shard whose file is there."""
        self.folder.write(self.file(record.index, _RECORD), json.dumps(record.as_dict()).encode())

    # --- The end -----------------------------------------------------------------------------

    def join_rejects(self, records: Sequence[ShardRecord], goal: str) -> None:
        """Put the rejects of all shards into one file, in the order of the rows."""
        with SideFile(goal) as stream:
            for record in sorted(records, key=lambda record: record.index):
                if not _refused(record):
                    continue
                rows = 0
                with suppress(FileNotFoundError):
                    for block in self.folder.blocks(self.file(record.index, REJECTS)):
                        rows += block.count(b"\n")
                        stream.write(block)
                if rows != _refused(record):
                    raise self._gone(f"the rejects of {record.name}")

    def commit(self, identity: Fingerprint, plan: Plan, records: Sequence[ShardRecord], rejects: str) -> int:
        """Give all shards their names, and write the manifest when they have them.

        Args:
            identity: of the job.
            plan: the length of all rows.
            records: of all shards.
            rejects: the checksum of the rows that are not written, where it is known.

        Returns:
            How many files of a dataset that stood there before are gone, and have none in their place.

        Raises:
            OutputError: a file cannot be moved.
        """
        whole = [record for record in records if not record.fault]
        there, new = self.folder.names(), {record.name for record in whole}
        ours = self._ours(self._manifest())
        # Much may have happened since the beginning.
        self._refuse_strangers(there, new, ours)
        for record in whole:
            # One that is not moved any more was so by a run that ended while it did that.
            stands = there.get(record.name) if record.name in ours else None
            if there.get(self.shard_file(record), stands) != record.size:
                raise self._gone(record.name)
        stale = ours - new
        # Not halfway: a part of the dataset would look like one.
        with signals_deferred():
            # Whoever finds the folder between two datasets must know which files are of which.
            self.folder.write(REPLACING, json.dumps(sorted(ours | new)).encode())
            # From here on the folder is no whole dataset, until it is the new one.
            self.folder.remove(MANIFEST)
            waiting = [record for record in whole if self.shard_file(record) in there]
            with ThreadPoolExecutor(MOVES_AT_ONCE, "padmask-commit") as pool:
                list(pool.map(lambda record: self.folder.move(self.shard_file(record), record.name), waiting))
                list(pool.map(self.folder.remove, stale & set(there)))
            self.folder.sync(record.name for record in whole)
            self.folder.write(MANIFEST, Manifest(identity, plan, records, rejects).to_bytes())
            self.clear()
        return len(stale & set(there))

    def _gone(self, what: str) -> OutputError:
        return OutputError(
            f"While this ran, something took {what} away from {str(self.folder)!r}. Make sure that "
            "nothing else writes there, and run this again with --resume."
        )

    def clear(self) -> None:
        """Take away what was needed on the way; where it cannot be, the dataset is whole all the same."""
        with suppress(OutputError):
            self.folder.remove(REPLACING)
            self.folder.remove_below(self.name)


def _others(old: Manifest | None, shards: Sequence[Shard]) -> list[str]:
    """Return the inputs of a dataset that is there in whose place other inputs' shards come."""
    now = {shard.name: shard.address for shard in shards}
    records = old.records if old else ()
    return [record.source for record in records if now.get(record.name, record.source) != record.source]


def _refused(record: ShardRecord) -> int:
    """Return how many rows were read and are not in the shard."""
    return record.ledger.rows_dropped + record.ledger.rows_rejected


def _lines(blocks: Iterable[bytes]) -> int:
    return sum(block.count(b"\n") for block in blocks)


def _record(data: bytes | None) -> ShardRecord | None:
    try:
        return ShardRecord.of(json.loads(data or b""))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
