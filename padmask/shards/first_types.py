"""Assume that all shards have the JSON types of the first rows, so that each shard is read only once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from padmask.errors import UnreadableError
from padmask.formats.contract import Batch
from padmask.shards.split import Shard
from padmask.shards.worker import ShardWork, open_shard
from padmask.stream.passes import assume_types


@dataclass(frozen=True)
class AssumedWork:
    """The settings of a job with assumed types.

    Args:
        work: the settings. Workers raise an `OtherTypesError` if a shard has other types.
        first: indices of the shards with the first rows. If one of these shards is skipped, the types must
            be found again, because the rows of this shard do not count.
    """

    work: ShardWork
    first: frozenset[int]


def assume_first_types(work: ShardWork, shards: Sequence[Shard]) -> AssumedWork | None:
    """Find the types of the first rows of a dataset. Return None if types must be found in all rows.

    Args:
        work: settings of the job.
        shards: shards of the job, in order.
    """
    first = set[int]()

    def batches() -> Generator[Batch]:
        for shard in shards:
            first.add(shard.index)
            with closing(open_shard(work, shard)) as dataset:
                yield from dataset.look(work.job.wanted)

    with closing(batches()) as rows:
        try:
            job = assume_types(work.job, rows, work.files.limit)
        except UnreadableError:
            return None
    return None if job is None else AssumedWork(replace(work, job=job), frozenset(first))
