"""How a dataset comes into its folder: shards are kept aside until all are whole, then named.

Everything on the way lies below a name that begins with `_`, which readers of folders pass over.
A run that fails leaves that, for `resume`, and nothing that anybody takes for data. Knows
nothing of rows.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from padmask.errors import OutputError, few
from padmask.formats.folder import Folder
from padmask.formats.goal import Beside
from padmask.formats.listing import MANIFEST, REPLACING, UNFINISHED, is_data
from padmask.jobs.identity import Identity
from padmask.jobs.manifest import Manifest, Record
from padmask.machine import uninterrupted
from padmask.plan import Plan

# Files moved at once: a storage answers each move late.
MOVES_AT_ONCE = 16
_READ_BYTES = 1 << 20
# No suffix that data have.
_RECORD, _PLAN = ".record", "plan"


def digest(descriptor: int) -> tuple[str, int]:
    """Return the SHA-256 of an open file and its size in bytes."""
    found, place = hashlib.sha256(), 0
    while block := os.pread(descriptor, _READ_BYTES, place):
        found.update(block)
        place += len(block)
    return found.hexdigest(), place


@dataclass(frozen=True)
class Done:
    """What an earlier run of the same job has done.

    Args:
        records: of the shards whose files are there.
        plan: the length that it found; None where it found none.
        types: of the columns, where JSON Lines become typed and it has found them.
        left_out: records of the shards that the length was found without.
        committed: whether it has come to its end: of what it found, and the rows it refused, only
            that is known which the manifest says.
    """

    records: Sequence[Record] = ()
    plan: Plan | None = None
    types: pa.Schema | None = None
    left_out: Sequence[Record] = ()
    committed: bool = False


@dataclass(frozen=True)
class Staging:
    """Where the shards of one job wait.

    Args:
        folder: the output folder.
        job: what names the job: its inputs and options.
    """

    folder: Folder
    job: str

    @property
    def name(self) -> str:
        """The name in the folder below which everything waits."""
        return UNFINISHED + self.job

    def file(self, index: int, suffix: str) -> str:
        """Return the name in the folder of what waits for a shard."""
        return f"{self.name}/{index:06}{suffix}"

    def shard_file(self, record: Record) -> str:
        """Return the name in the folder of a shard that waits."""
        return self.file(record.index, Path(record.name).suffix)

    # --- What is done already --------------------------------------------------------------

    def prepare(self, identity: Identity, names: Iterable[str], *, resume: bool, delete: bool) -> Done:
        """Make the folder ready for files of these names, and return what is done already.

        Args:
            identity: of the job.
            names: of its files.
            resume: whether to go on with a run that ended before it was done.
            delete: whether files of an older dataset may go that have none in their place.

        Raises:
            OutputError: the folder holds data that would stand beside the new or be lost, or the run to
                go on with is another one.
        """
        there, old = self.folder.names(), self._manifest()
        self._refuse_strangers(there, self._ours(old))
        if not delete:
            self._refuse_loss(self._ours(old) & there.keys() - set(names))
        staged = {name.split("/")[0] for name in there if name.startswith(UNFINISHED)}
        whole = old is not None and old.job == self.job
        if resume and staged and not whole and self.name not in staged:
            raise OutputError(
                f"The run whose beginning {str(self.folder)!r} holds was another one"
                f"{self._unlike(identity, min(staged))}. Run that one again, or begin anew without --resume."
            )
        for name in staged - ({self.name} if resume else set()):
            self.folder.remove_below(name)
        if not resume:
            return Done()
        if whole:
            assert old is not None
            left_out = [record for record in old.records if record.fault]
            return Done(self._proven(old.records, there), old.plan, left_out=left_out, committed=True)
        return replace(self._kept_plan(), records=self._proven(self._kept(there), there))

    def _unlike(self, identity: Identity, other: str) -> str:
        """Say in what a job differs from the one that has begun, where that is known."""
        try:
            told = json.loads(self.folder.read(f"{other}/{_PLAN}") or b"")
            differences = identity.unlike(Identity.of(told["job"]))
        except (ValueError, KeyError, TypeError):
            differences = []
        return f": {'; '.join(differences)}" if differences else ""

    def _manifest(self) -> Manifest | None:
        return Manifest.of_bytes(self.folder.read(MANIFEST))

    def _ours(self, old: Manifest | None) -> set[str]:
        """Return the names of the files that runs before this one have put into the folder."""
        try:
            kept = set(json.loads(self.folder.read(REPLACING) or b"[]"))
        except (ValueError, TypeError):
            kept = set()
        return kept | {record.name for record in (old.records if old else ()) if record.name}

    def _refuse_strangers(self, there: Iterable[str], ours: set[str]) -> None:
        strangers = [name for name in there if is_data(name) and name not in ours]
        if strangers:
            raise OutputError(
                f"The folder {str(self.folder)!r} holds data that padmask did not put there: "
                f"{few(strangers)}. Choose another folder, or empty this one."
            )

    def _refuse_loss(self, lost: set[str]) -> None:
        if lost:
            raise OutputError(
                f"The folder {str(self.folder)!r} holds another dataset, and nothing in this one would take "
                f"the place of {few(sorted(lost))}. Choose another folder, or delete them with --delete."
            )

    def _kept(self, there: Iterable[str]) -> list[Record]:
        """Return the records that wait beside their shards."""
        names = [name for name in there if name.startswith(f"{self.name}/") and name.endswith(_RECORD)]
        found = (_record(self.folder.read(name)) for name in names)
        return [record for record in found if record is not None]

    def _proven(self, records: Sequence[Record], there: Mapping[str, int]) -> list[Record]:
        """Return the records whose files are there, as they were written."""
        return [record for record in records if not record.fault and self._is_there(record, there)]

    def _is_there(self, record: Record, there: Mapping[str, int]) -> bool:
        # A run that ended while it named its shards has some under their own names already.
        for name in (self.shard_file(record), record.name):
            if there.get(name) == record.size and self._is_whole(name, record):
                return True
        return False

    def _is_whole(self, name: str, record: Record) -> bool:
        """Compare the file with its checksum; one in a storage is not fetched for that."""
        if self.folder.url is not None:
            return True
        descriptor = os.open(self.folder.path_of(name), os.O_RDONLY)
        try:
            return digest(descriptor) == (record.sha256, record.size)
        finally:
            os.close(descriptor)

    # --- On the way --------------------------------------------------------------------------

    def keep_plan(self, found: Done, identity: Identity) -> None:
        """Keep what was found about all shards, so that it need not be found again, and for which job."""
        assert found.plan is not None
        types = None if found.types is None else base64.b64encode(found.types.serialize()).decode()
        left_out = [record.as_dict() for record in found.left_out]
        told = {"plan": asdict(found.plan), "types": types, "left_out": left_out, "job": identity.as_dict()}
        self.folder.write(f"{self.name}/{_PLAN}", json.dumps(told).encode())

    def _kept_plan(self) -> Done:
        try:
            told: dict[str, Any] = json.loads(self.folder.read(f"{self.name}/{_PLAN}") or b"")
            types = told["types"]
            schema = None if types is None else pa.ipc.read_schema(pa.py_buffer(base64.b64decode(types)))
            left_out = [Record.of(record) for record in told["left_out"]]
            return Done(plan=Plan(**told["plan"]), types=schema, left_out=left_out)
        except (ValueError, KeyError, TypeError, pa.ArrowException):
            return Done()

    def keep(self, record: Record) -> None:
        """Keep the record of a shard whose file is there."""
        self.folder.write(self.file(record.index, _RECORD), json.dumps(record.as_dict()).encode())

    # --- The end -----------------------------------------------------------------------------

    def join_rejects(self, records: Sequence[Record], goal: str) -> None:
        """Put the rejects of all shards into one file, in the order of the rows."""
        with Beside(goal) as stream:
            for record in sorted(records, key=lambda record: record.index):
                stream.write(self.folder.read(self.file(record.index, ".rejects.jsonl")) or b"")

    def commit(self, plan: Plan, records: Sequence[Record]) -> int:
        """Give all shards their names, and write the manifest when they have them.

        Returns:
            How many files of a dataset that stood there before are gone, and have none in their place.

        Raises:
            OutputError: a file cannot be moved.
        """
        whole = [record for record in records if not record.fault]
        there, new = self.folder.names(), {record.name for record in whole}
        ours = self._ours(self._manifest())
        stale = ours - new
        # Not halfway: a part of the dataset would look like one.
        with uninterrupted():
            # Whoever finds the folder between two datasets must know which files are of which.
            self.folder.write(REPLACING, json.dumps(sorted(ours | new)).encode())
            # From here on the folder is no whole dataset, until it is the new one.
            self.folder.remove(MANIFEST)
            waiting = [record for record in whole if self.shard_file(record) in there]
            with ThreadPoolExecutor(MOVES_AT_ONCE, "padmask-commit") as pool:
                list(pool.map(lambda record: self.folder.move(self.shard_file(record), record.name), waiting))
                list(pool.map(self.folder.remove, stale & set(there)))
            self.folder.sync(record.name for record in whole)
            self.folder.write(MANIFEST, Manifest(self.job, plan, records).to_bytes())
            self.clear()
        return len(stale & set(there))

    def clear(self) -> None:
        """Take away what was needed on the way; where it cannot be, the dataset is whole all the same."""
        with suppress(OutputError):
            self.folder.remove(REPLACING)
            self.folder.remove_below(self.name)


def _record(data: bytes | None) -> Record | None:
    try:
        return Record.of(json.loads(data or b""))
    except (ValueError, KeyError, TypeError):
        return None
