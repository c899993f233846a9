"""Find the maxlen of each group of columns from the written rows, for runs that drop overlong rows.

Each column with its own maxlen is a separate group. With `--overlong drop`, a row that is too long in one
group is not written, so its lengths in the other groups do not count. The first pass already leaves out the
rows that are longer than a numeric maxlen. It cannot leave out the rows that are longer than a percentile,
because a percentile is known only after the pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags
from padmask.core.length_stats import LengthStats
from padmask.core.plan import Plan, make_plan
from padmask.spec.maxlen import percentile_of
from padmask.stream.job import Job

# Lengths of rows in several groups of columns, in tokens: one number for each group.
Lengths = tuple[int, ...]


def written_rows(lengths: npt.NDArray[np.int64], job: Job) -> Flags:
    """Return False for each row that is dropped because it exceeds a numeric maxlen: bool, shape (rows,).

    Args:
        lengths: lengths of the rows in each group of columns: shape (groups, rows).
        job: columns and options of the run.
    """
    written = np.ones(lengths.shape[1], dtype=bool)
    if job.policy.overlong == "drop":
        for group, its in zip(job.groups, lengths, strict=True):
            if not isinstance(group.spec.maxlen, str):
                written &= its <= group.spec.maxlen
    return written


def longest_together(lengths: npt.NDArray[np.int64], job: Job) -> dict[Lengths, Lengths]:
    """Return the largest row lengths of each set of rows that percentiles can only drop together.

    All rows of a set have equal lengths in the groups whose maxlen is a percentile. Therefore either all rows
    of a set are dropped, or none. The result maps these lengths to the largest row length in every group.

    The result is empty if no percentile drops rows, or if maxlen is a percentile in all groups.

    Args:
        lengths: lengths of the rows in each group of columns: shape (groups, rows).
        job: columns and options of the run.
    """
    places = _percentiles(job)
    if job.policy.overlong != "drop" or not places or len(places) == len(job.groups) or not lengths.size:
        return {}
    keys, which = np.unique(lengths[places], axis=1, return_inverse=True)
    longest = np.zeros((len(lengths), keys.shape[1]), dtype=np.int64)
    for its, found in zip(lengths, longest, strict=True):
        np.maximum.at(found, which.reshape(-1), its)
    return dict(zip(map(tuple, keys.T.tolist()), map(tuple, longest.T.tolist()), strict=True))


def join_longest(
    one: Mapping[Lengths, Lengths], other: Mapping[Lengths, Lengths]
) -> Mapping[Lengths, Lengths]:
    """Combine the results of `longest_together` for two parts of the input.

    >>> join_longest({(1,): (1, 5)}, {(1,): (1, 2), (3,): (3, 9)})
    {(1,): (1, 5), (3,): (3, 9)}
    """
    joined = dict(one)
    for key, lengths in other.items():
        joined[key] = tuple(map(max, joined.get(key, lengths), lengths))
    return joined


def plan_written(plans: Sequence[Plan], job: Job, together: Mapping[Lengths, Lengths]) -> list[Plan]:
    """Return the `Plan` of each group. For a group with the maxlen `longest`, only written rows count.

    Args:
        plans: plan (maxlen) of each group of columns, found from all rows.
        job: columns and options of the run.
        together: largest row lengths, from `longest_together`.
    """
    limits = [plans[place].maxlen for place in _percentiles(job)]
    rows = [
        lengths
        for key, lengths in together.items()
        if all(length <= limit for length, limit in zip(key, limits, strict=True))
    ]
    return [
        make_plan(group.spec, LengthStats.of([lengths[i] for lengths in rows]))
        if group.spec.maxlen == "longest"
        else plan
        for i, (group, plan) in enumerate(zip(job.groups, plans, strict=True))
    ]


def _percentiles(job: Job) -> list[int]:
    return [i for i, group in enumerate(job.groups) if percentile_of(group.spec.maxlen) is not None]
