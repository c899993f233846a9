"""The manifest of an output folder: each shard with its counts and checksum."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import reduce
from typing import Any

from msgspec.structs import asdict as asdict_of

from padmask._version import __version__
from padmask.core.plan import Plan
from padmask.errors import DataError
from padmask.shards.fingerprint import Fingerprint
from padmask.storage.folder import OutputFolder
from padmask.storage.manifest_file import parse_manifest, read_manifest
from padmask.storage.names import MANIFEST
from padmask.storage.urls import is_url
from padmask.stream.ledger import Ledger

_READ_BYTES = 1 << 20


def digest(descriptor: int) -> tuple[str, int]:
    """Return the SHA-256 of an open file and its size in bytes."""
    found, place = hashlib.sha256(), 0
    while block := os.pread(descriptor, _READ_BYTES, place):
        found.update(block)
        place += len(block)
    return found.hexdigest(), place


def file_digest(path: str) -> tuple[str, int]:
    """Return the SHA-256 of a file of this machine and its size in bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return digest(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class ShardRecord:
    """A shard that is done, and what became of its rows.

    >>> record = ShardRecord(0, "a.parquet", "in/a.parquet", ledger=Ledger(rows_read=2, rows_written=2))
    >>> ShardRecord.of(record.as_dict()) == record
    True

    Args:
        index: its place in the dataset, from 0.
        name: of its file in the output folder.
        source: where its rows come from, for people.
        ledger: of its rows.
        size: of its file, in bytes.
        sha256: of its file.
        version: what changes with its input.
        fault: why it was left out; empty where it was not. Then there is no file.
    """

    index: int
    name: str
    source: str
    ledger: Ledger = field(default_factory=Ledger)
    size: int = 0
    sha256: str = ""
    version: str = ""
    fault: str = ""

    @property
    def rows_refused(self) -> int:
        """Rows that were read and are not in the shard."""
        return self.ledger.rows_dropped + self.ledger.rows_rejected

    def as_dict(self) -> dict[str, Any]:
        """Return the record, ready for JSON."""
        return asdict(self) | {"ledger": asdict(self.ledger)}

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> ShardRecord:
        """Return the record that a dictionary of JSON's holds.

        Raises:
            ValueError, KeyError, TypeError: it holds none.
        """
        own = {name: known[name] for name in (one.name for one in fields(cls))}
        record = cls(**own | {"ledger": Ledger(**known["ledger"])})
        texts = (record.name, record.source, record.sha256, record.version, record.fault)
        counts = (record.index, record.size, *asdict(record.ledger).values())
        if not (all(map(_is_text, texts)) and all(map(_is_count, counts)) and record.ledger.balanced):
            raise ValueError("no record")
        return record


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def plan_of(known: Mapping[str, Any]) -> Plan:
    """Return the plan that a dictionary of JSON's holds.

    Raises:
        ValueError, KeyError, TypeError: it holds none.
    """
    plan = Plan(**known)
    if not (_is_text(plan.found) and _is_count(plan.maxlen) and _is_count(plan.exact)):
        raise ValueError("no plan")
    return plan


def total_ledger(records: Sequence[ShardRecord]) -> Ledger:
    """Add up what became of the rows of all shards."""
    return reduce(Ledger.__add__, (record.ledger for record in records), Ledger())


@dataclass(frozen=True)
class Manifest:
    """The record of a committed dataset.

    Args:
        identity: of the job that made the dataset.
        plan: the length of all rows.
        records: of all shards.
        rejects: the SHA-256 of the file of rows that are not written; empty where there was no such file.
    """

    identity: Fingerprint
    plan: Plan
    records: Sequence[ShardRecord]
    rejects: str = ""

    def to_bytes(self) -> bytes:
        """Return the content of the file: the same for the same job, on any executor."""
        contents = {
            "padmask": __version__,
            "job": self.identity.name,
            "options": self.identity.options,
            "plan": asdict(self.plan),
            "total": total_ledger(self.records).as_dict(),
            "rejects": self.rejects,
            "shards": [record.as_dict() for record in sorted(self.records, key=lambda record: record.index)],
        }
        return json.dumps(contents, indent=1).encode() + b"\n"

    @classmethod
    def of_bytes(cls, data: bytes) -> Manifest:
        """Return the manifest that a file holds.

        Raises:
            ValueError: the bytes are not a manifest, or its parts contradict each other; the message is the
                end of a sentence that begins with the name of the file.
        """
        contents = parse_manifest(data)
        records = [
            ShardRecord(
                one.index,
                one.name,
                one.source,
                Ledger(**asdict_of(one.ledger)),
                one.size,
                one.sha256,
                one.version,
                one.fault,
            )
            for one in contents.shards
        ]
        inputs = {record.source: record.version for record in records}
        plan = Plan(contents.plan.maxlen, contents.plan.found, contents.plan.exact)
        return cls(Fingerprint(contents.job, contents.options, inputs), plan, records, contents.rejects)


def refuse_changed_shards(paths: Iterable[str]) -> None:
    """Refuse folders of this machine of which a shard is not as padmask wrote it.

    That none is missing is seen when they are listed; this reads all bytes.

    Raises:
        DataError: a shard's checksum is not that of the manifest, or the manifest cannot be believed.
    """
    for folder in paths:
        if is_url(folder) or not os.path.isdir(folder):
            continue
        output = OutputFolder(folder)
        there, manifest = output.names(), output.path_of(MANIFEST)
        for shard in read_manifest(manifest).shards if os.path.lexists(manifest) else ():
            # What is missing is refused where the folder is listed.
            if shard.name not in there or not output.is_plain(shard.name):
                continue
            if file_digest(output.path_of(shard.name)) != (shard.sha256, shard.size):
                raise DataError(
                    f"{output.path_of(shard.name)!r} is not as it was written: its SHA-256 is not that of "
                    f"{MANIFEST}. Pad the data again, or name the files with a pattern to take what is there."
                )
