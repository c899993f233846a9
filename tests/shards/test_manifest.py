"""Reading a manifest restores it exactly, or fails with a reason."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from padmask import __version__
from padmask.core.plan import Plan
from padmask.shards.fingerprint import Fingerprint
from padmask.shards.manifest import Manifest, ShardRecord, total
from padmask.stream.ledger import Ledger

RECORDS = [
    ShardRecord(0, "a.jsonl", "in/a.jsonl", Ledger(3, 2, 2, 1, places=16), 70, "ab", "9 8"),
    ShardRecord(1, "", "in/b.jsonl", version="left out", fault="in/b.jsonl: no such thing."),
    ShardRecord(2, "\udcff.jsonl", "in/\udcff.jsonl", Ledger(2, 2, 2, places=16), 50, "cd", "7 8"),
]
INPUTS = {record.source: record.version for record in RECORDS}
MANIFEST = Manifest(Fingerprint("job", {"maxlen": "p95"}, INPUTS), Plan(8, "p95", 7), RECORDS)


def test_manifest_round_trip():
    for records in (RECORDS, RECORDS[::-1]):
        manifest = replace(MANIFEST, records=records).to_bytes()
        assert manifest == MANIFEST.to_bytes()
        assert Manifest.of_bytes(manifest) == MANIFEST


def test_manifest_is_readable():
    manifest = json.loads(MANIFEST.to_bytes())
    assert (manifest["padmask"], manifest["plan"]["maxlen"]) == (__version__, 8)
    assert manifest["options"] == {"maxlen": "p95"}
    assert manifest["total"] == total(RECORDS).ledger.as_dict()
    assert [(shard["name"], bool(shard["fault"])) for shard in manifest["shards"]] == [
        ("a.jsonl", False),
        ("", True),
        ("\udcff.jsonl", False),
    ]
    assert manifest["total"]["rows_read"] == 5


def test_total_of_no_shards():
    assert total([]).ledger == Ledger()


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"7", b'{"shards": []}', b"\xff", MANIFEST.to_bytes()[:-20]],
    ids=["empty", "cut", "list", "number", "no job", "no text", "cut late"],
)
def test_invalid_manifest(data):
    with pytest.raises(ValueError, match=r"^is not a manifest: "):
        Manifest.of_bytes(data)


@pytest.mark.parametrize("name", ["ledger", "sha256", "index"])
def test_incomplete_record(name):
    contents = json.loads(MANIFEST.to_bytes())
    del contents["shards"][0][name]
    with pytest.raises(ValueError, match=f"`{name}`"):
        Manifest.of_bytes(json.dumps(contents).encode())
