"""The manifest of an output folder: a list of the shards, each with its number of rows and its checksum."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import reduce
from typing import Any

import msgspec
from msgspec.structs import asdict as asdict_of

from padmask._version import __version__
from padmask.core.plan import Plan
from padmask.errors import DataError
from padmask.shards.fingerprint import Fingerprint
from padmask.storage.folder import OutputFolder
from padmask.storage.manifest_file import parse_manifest, read_manifest
from padmask.storage.names import MANIFEST
from padmask.storage.urls import is_url
from padmask.stream.ledger import BucketRows, Ledger, PaddedRows

_READ_BYTES = 1 << 20


def digest(descriptor: int) -> tuple[str, int]:
    """Return the SHA-256 of an open file and its size in bytes."""
    found, place = hashlib.sha256(), 0
    while block := os.pread(descriptor, _READ_BYTES, place):
        found.update(block)
        place += len(block)
    return found.hexdigest(), place


def file_digest(path: str) -> tuple[str, int]:
    """Return the SHA-256 of a local file and its size in bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return digest(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class BucketFile:
    """The file of a shard for one bucket, with the rows of the shard that belong to the bucket.

    Args:
        maxlen: length of every row of the file.
        name: path of the file, relative to the output folder.
        rows: number of rows in the file.
        tokens: number of tokens in the file.
        size: size of the file in bytes.
        sha256: SHA-256 of the file, in hexadecimal.
    """

    maxlen: int
    name: str
    rows: int
    tokens: int
    size: int
    sha256: str


@dataclass(frozen=True)
class OutputFile:
    """An output file of a shard. A shard has several files if its rows are divided into buckets.

    Args:
        name: path of the file, relative to the output folder.
        size: size of the file in bytes.
        sha256: SHA-256 of the file, in hexadecimal.
        maxlen: maxlen of the bucket; None without buckets.
    """

    name: str
    size: int
    sha256: str
    maxlen: int | None = None


@dataclass(frozen=True)
class ShardRecord:
    """A shard that was padded or skipped, with the counts of its rows and tokens.

    >>> ledger = Ledger(rows_read=2, rows_used=2, rows_written=2)
    >>> record = ShardRecord(0, "a.parquet", "in/a.parquet", ledger)
    >>> ShardRecord.of(record.as_dict()) == record
    True

    Args:
        index: number of the shard in the dataset, starting at 0.
        name: file name of the shard in the output folder. With buckets, the file name in each bucket folder.
        source: name of the input, for messages.
        ledger: counts of rows and tokens of the shard.
        size: size of the file, or of the files of all buckets, in bytes.
        sha256: SHA-256 of the file, in hexadecimal; empty with buckets.
        version: version of the input, a text that changes if the input changes.
        fault: reason why the shard was skipped and has no file; empty for a padded shard.
        late: names of columns that have no values in the first rows of the dataset, but one value per token
            in later rows.
        column_notes: notes of the writer on columns, as in `PaddedRows`.
        buckets: files of the buckets that have rows, in ascending order of maxlen; empty without buckets.
    """

    index: int
    name: str
    source: str
    ledger: Ledger = field(default_factory=Ledger)
    size: int = 0
    sha256: str = ""
    version: str = ""
    fault: str = ""
    late: tuple[str, ...] = ()
    column_notes: dict[str, str] = field(default_factory=dict)
    buckets: tuple[BucketFile, ...] = ()

    @property
    def files(self) -> tuple[OutputFile, ...]:
        """The files of the shard. A skipped shard has no files."""
        if self.fault:
            return ()
        return tuple(
            OutputFile(bucket.name, bucket.size, bucket.sha256, bucket.maxlen) for bucket in self.buckets
        ) or (OutputFile(self.name, self.size, self.sha256),)

    def with_rows(self, padded: PaddedRows) -> ShardRecord:
        """Return the record with the counts and notes of the padded rows."""
        notes = dict(padded.column_notes)
        return replace(self, ledger=padded.ledger, late=padded.late, column_notes=notes)

    @property
    def rows_refused(self) -> int:
        """Number of rows that were read but are not in the shard."""
        return self.ledger.rows_dropped + self.ledger.rows_rejected

    def as_dict(self) -> dict[str, Any]:
        """Return the record as a dict for JSON."""
        contents = asdict(self) | {"ledger": self.ledger.counts}
        if not self.buckets:
            del contents["buckets"]
        return contents

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> ShardRecord:
        """Convert a JSON object to a `ShardRecord`.

        Raises:
            ValueError, KeyError, TypeError: the object is not a valid `ShardRecord`.
        """
        own = {name: known[name] for name in (one.name for one in fields(cls)) if name != "buckets"}
        buckets = tuple(BucketFile(**bucket) for bucket in known.get("buckets", ()))
        late = tuple(known["late"])
        record = cls(**own | {"ledger": Ledger(**known["ledger"]), "late": late, "buckets": buckets})
        texts = [record.name, record.source, record.sha256, record.version, record.fault, *record.late]
        texts += [*record.column_notes.values()]
        texts += [text for bucket in buckets for text in (bucket.name, bucket.sha256)]
        counts = [record.index, record.size, *record.ledger.counts.values()]
        counts += [n for bucket in buckets for n in (bucket.maxlen, bucket.rows, bucket.tokens, bucket.size)]
        if not (all(map(_is_text, texts)) and all(map(_is_count, counts)) and record.ledger.balanced):
            raise ValueError("the texts or counts of the shard record are not valid")
        return record


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def plan_of(known: Mapping[str, Any]) -> Plan:
    """Convert a JSON object to a `Plan`.

    Raises:
        ValueError, KeyError, TypeError: the object is not a valid `Plan`.
    """
    own = {name: plan_of(plan) for name, plan in known.get("own", {}).items()}
    plan = Plan(**{**known, "own": own, "edges": tuple(known.get("edges", ()))})
    if not (_is_text(plan.found) and all(map(_is_count, (plan.maxlen, plan.exact, *plan.edges)))):
        raise ValueError("a plan needs maxlen, exact and edges as non-negative integers, and found as text")
    return plan


def total(records: Sequence[ShardRecord]) -> PaddedRows:
    """Return the counts and notes of all shards together."""
    rows = (PaddedRows(record.ledger, record.late, record.column_notes) for record in records)
    return reduce(PaddedRows.__add__, rows, PaddedRows())


def sum_buckets(records: Sequence[ShardRecord], edges: Sequence[int]) -> tuple[BucketRows, ...]:
    """Return the numbers of rows and tokens of each bucket, summed over all shards.

    Args:
        records: records of all shards.
        edges: maxlen of each bucket; empty without buckets.
    """
    rows, tokens = Counter[int](), Counter[int]()
    for bucket in (bucket for record in records for bucket in record.buckets):
        rows[bucket.maxlen] += bucket.rows
        tokens[bucket.maxlen] += bucket.tokens
    return tuple(BucketRows(edge, rows[edge], tokens[edge]) for edge in edges)


@dataclass(frozen=True)
class Manifest:
    """The contents of the manifest of a complete output folder.

    Args:
        identity: fingerprint of the job that wrote the folder.
        plan: maxlen of the output rows, and how it was determined.
        records: records of all shards.
        rejects: SHA-256 of the `--rejects` file; empty if there is no such file.
    """

    identity: Fingerprint
    plan: Plan
    records: Sequence[ShardRecord]
    rejects: str = ""

    def to_bytes(self) -> bytes:
        """Return the contents of the manifest file, which do not depend on the number of workers."""
        content = {
            "padmask": __version__,
            "job": self.identity.name,
            "options": self.identity.options,
            "plan": asdict(self.plan),
            "total": total(self.records).ledger.as_dict(),
            "rejects": self.rejects,
            "shards": [record.as_dict() for record in sorted(self.records, key=lambda record: record.index)],
        }
        return json.dumps(content, indent=1).encode() + b"\n"

    @classmethod
    def of_bytes(cls, data: bytes) -> Manifest:
        """Parse a manifest.

        Raises:
            ValueError: the bytes are not a valid manifest. The message has no subject: the caller puts the
                file name before the message.
        """
        found = parse_manifest(data)
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
                one.late,
                one.column_notes,
                tuple(BucketFile(**asdict_of(bucket)) for bucket in one.buckets),
            )
            for one in found.shards
        ]
        inputs = {record.source: record.version for record in records}
        plan = plan_of(msgspec.to_builtins(found.plan))
        return cls(Fingerprint(found.job, found.options, inputs), plan, records, found.rejects)


def refuse_changed_shards(paths: Iterable[str]) -> None:
    """Check that the shards in local folders match the checksums in the manifest of each folder.

    The function reads all shards completely. It does not check for missing shards.

    Raises:
        DataError: the checksum of a shard differs from the manifest, or the manifest is not valid.
    """
    for folder in paths:
        if is_url(folder) or not os.path.isdir(folder):
            continue
        output = OutputFolder(folder)
        there, manifest = output.names(), output.path_of(MANIFEST)
        shards = read_manifest(manifest).shards if os.path.lexists(manifest) else ()
        for file in (file for shard in shards for file in shard.files):
            if file.name not in there or not output.is_plain(file.name):
                continue
            if file_digest(output.path_of(file.name)) != (file.sha256, file.size):
                raise DataError(
                    f"{output.path_of(file.name)!r} was changed after padmask wrote it: its SHA-256 differs "
                    f"from the SHA-256 in {MANIFEST}. Pad the data again. To skip this check, use a "
                    "pattern such as 'FOLDER/*' as the input."
                )
