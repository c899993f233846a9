"""What is refused before there is any work, where no command can show it in a short time."""

from __future__ import annotations

import pytest

from padmask.errors import SpecError
from padmask.shards.split import Shard, refuse_too_many
from padmask.storage.source import Source


def test_too_many_shards() -> None:
    """The manifest of half a million shards could not be read again."""
    shard = Shard(0, Source("/data/a.jsonl"), "a.jsonl", 1)
    refuse_too_many([shard] * 500_000)
    with pytest.raises(SpecError, match=r"600,000 shards are too many"):
        refuse_too_many([shard] * 600_000)
