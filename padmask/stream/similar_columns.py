"""Find columns that look as if they should be padded too."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import is_sequence
from padmask.core.columns import IGNORED_LABEL, LABEL_NAMES, MASK_NAMES
from padmask.core.ragged import Ragged
from padmask.formats.contract import Batch, Wanted
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Columns
from padmask.stream.job import Job


def find_unpadded(dataset: Dataset, job: Job, asked: Columns) -> dict[str, str]:
    """Find columns that look as if they should have been padded too, and the flags that would.

    They are lists with the same lengths as the padded columns in the first rows.

    Args:
        dataset: the data.
        job: what will be padded.
        asked: how the padded columns were asked for.

    Returns:
        For each such column the flags that pad all of them, and those that are padded now.
    """
    given = [] if asked is None or isinstance(asked, Mapping) else list(asked)
    named = [column for column in given if isinstance(column, str)] or [column.name for column in job.columns]
    taken = {column.name for column in job.columns} | {*job.mask.names, *MASK_NAMES}
    found = [
        (name, name + (f"={IGNORED_LABEL}" if name in LABEL_NAMES else ""))
        for name in find_same_lengths(dataset, job.wanted.sequences.field(0), taken)
    ]
    # The command line's columns replace those of a file of defaults, so all must be named.
    flags = column_flags([*named, *(short for _, short in found)])
    return dict.fromkeys((name for name, _ in found), flags)


def column_flags(names: Iterable[str]) -> str:
    """Return the command line's flags that ask for columns.

    >>> column_flags(["input_ids", "my labels"])
    "-c input_ids -c 'my labels'"
    """
    return " ".join(f"-c {shlex.quote(name)}" for name in names)


def find_same_lengths(dataset: Dataset, first: pa.Field, taken: Collection[str]) -> list[str]:
    """Find the columns whose rows are as long as those of another, as far as the first rows show.

    Args:
        dataset: the data.
        first: the other column, with the type it is read as.
        taken: columns that are not asked about.
    """
    schema = dataset.schema()
    times = Counter(schema.names)
    others = [
        field
        for field in schema
        if field.name not in taken
        and times[field.name] == 1
        and is_sequence(field.type)
        # Of lists of nothing but nulls, so far, nobody knows what they hold.
        and "null" not in str(field.type.value_type)
    ]
    wanted = Wanted(pa.schema([first, *others]), whole=[first.name, *(field.name for field in others)])
    head = dataset.head(wanted) if others else None
    if head is None:
        return []
    lengths = _known_lengths(head, first.name)
    found = []
    for field in others:
        other = _known_lengths(head, field.name)
        both = (lengths >= 0) & (other >= 0)
        if both.any() and (lengths[both] == other[both]).all() and lengths[both].any():
            found.append(field.name)
    return found


def _known_lengths(batch: Batch, name: str) -> npt.NDArray[np.int64]:
    """Return each row's length, -1 where it has none."""
    ragged, faults = Ragged.from_arrow(batch.columns.column(name))
    lengths = ragged.lengths.copy()
    lengths[[fault.row for fault in faults]] = -1
    return lengths
