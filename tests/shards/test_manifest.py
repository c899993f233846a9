"""What a folder says of itself comes back as it was said, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from padmask import __version__
from padmask.core.plan import Plan
from padmask.shards.fingerprint import Fingerprint
from padmask.shards.manifest import Manifest, ShardRecord, total_ledger
from padmask.stream.ledger import Ledger

RECORDS = [
    ShardRecord(0, "a.jsonl", "in/a.jsonl", Ledger(3, 2, 1, places=16), 70, "ab", "9 8"),
    ShardRecord(1, "", "in/b.jsonl", version="left out", fault="in/b.jsonl: no such thing."),
    ShardRecord(2, "\udcff.jsonl", "in/\udcff.jsonl", Ledger(2, 2, places=16), 50, "cd", "7 8"),
]
INPUTS = {record.source: record.version for record in RECORDS}
MANIFEST = Manifest(Fingerprint("job", {"maxlen": "p95"}, INPUTS), Plan(8, "p95", 7), RECORDS)


def test_a_manifest_comes_back_whatever_the_order_of_its_shards():
    for records in (RECORDS, RECORDS[::-1]):
        told = replace(MANIFEST, records=records).to_bytes()
        assert told == MANIFEST.to_bytes()
        assert Manifest.of_bytes(told) == MANIFEST


def test_a_manifest_says_for_people_what_is_there():
    told = json.loads(MANIFEST.to_bytes())
    assert (told["padmask"], told["plan"]["maxlen"]) == (__version__, 8)
    assert told["options"] == {"maxlen": "p95"}
    assert told["total"] == total_ledger(RECORDS).as_dict()
    assert [(shard["name"], bool(shard["fault"])) for shard in told["shards"]] == [
        ("a.jsonl", False),
        ("", True),
        ("\udcff.jsonl", False),
    ]
    assert told["total"]["rows_read"] == 5


def test_what_a_manifest_does_not_know_is_nothing():
    assert total_ledger([]) == Ledger()


@pytest.mark.parametrize(
    "data",
    [None, b"", b"{", b"[]", b"7", b'{"shards": []}', b"\xff", MANIFEST.to_bytes()[:-20]],
    ids=["none", "empty", "cut", "list", "number", "no job", "no text", "cut late"],
)
def test_what_is_no_manifest_is_none(data):
    assert Manifest.of_bytes(data) is None


@pytest.mark.parametrize("name", ["ledger", "sha256", "index"])
def test_a_record_without_a_field_is_none(name):
    told = json.loads(MANIFEST.to_bytes())
    del told["shards"][0][name]
    assert Manifest.of_bytes(json.dumps(told).encode()) is None
