"""What an output folder says of itself: each shard, and that all of them are there.

`_padmask.json` is written last, so where it stands the dataset is whole. Knows nothing of how
shards are made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import reduce
from typing import Any

from padmask import __version__
from padmask.jobs.identity import Identity
from padmask.ledger import Ledger
from padmask.plan import Plan


@dataclass(frozen=True)
class Record:
    """A shard that is done, and what became of its rows.

    >>> record = Record(0, "a.parquet", "in/a.parquet", ledger=Ledger(rows_read=2, rows_written=2))
    >>> Record.of(record.as_dict()) == record
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

    def as_dict(self) -> dict[str, Any]:
        """Return the record, ready for JSON."""
        return asdict(self) | {"ledger": asdict(self.ledger)}

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> Record:
        """Return the record that a dictionary of JSON's holds."""
        own = {name: known[name] for name in (one.name for one in fields(cls))}
        return cls(**own | {"ledger": Ledger(**known["ledger"])})


def total(records: Sequence[Record]) -> Ledger:
    """Add up what became of the rows of all shards."""
    return reduce(Ledger.__add__, (record.ledger for record in records), Ledger())


@dataclass(frozen=True)
class Manifest:
    """A dataset that is whole.

    Args:
        identity: what the job that made it is known by.
        plan: the length of all rows.
        records: of all shards.
    """

    identity: Identity
    plan: Plan
    records: Sequence[Record]

    def to_bytes(self) -> bytes:
        """Return what stands in the file; the same job gives the same bytes, whoever worked on it."""
        told = {
            "padmask": __version__,
            "job": self.identity.name,
            "options": self.identity.options,
            "plan": asdict(self.plan),
            "total": total(self.records).as_dict(),
            "shards": [record.as_dict() for record in sorted(self.records, key=lambda record: record.index)],
        }
        return json.dumps(told, indent=1).encode() + b"\n"

    @classmethod
    def of_bytes(cls, data: bytes | None) -> Manifest | None:
        """Return the manifest that a file holds; None where there is none that can be read."""
        try:
            told = json.loads(data or b"")
            records = [Record.of(record) for record in told["shards"]]
            inputs = {record.source: record.version for record in records}
            identity = Identity(str(told["job"]), dict(told["options"]), inputs)
            return cls(identity, Plan(**told["plan"]), records)
        except (ValueError, KeyError, TypeError):
            return None
