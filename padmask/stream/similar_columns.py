"""Find columns that have the same lengths as the padded columns. The user may have forgotten to pad them."""

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
    """Find list columns that have the same lengths as the padded columns in the first rows.

    Args:
        dataset: the data.
        job: columns and options of the run.
        asked: columns that the user requested.

    Returns:
        A mapping from the name of each found column to the command-line options that pad all these columns.
    """
    given = [] if asked is None or isinstance(asked, Mapping) else list(asked)
    named = [column for column in given if isinstance(column, str)] or [column.name for column in job.columns]
    taken = {column.name for column in job.columns} | {*job.mask.names, *MASK_NAMES}
    found = [
        (name, name + (f"={IGNORED_LABEL}" if name in LABEL_NAMES else ""))
        for name in find_same_lengths(dataset, job.wanted.sequences.field(0), taken)
    ]
    # -c on the command line replaces the columns in pyproject.toml, so the options list all columns.
    flags = column_flags([*named, *(short for _, short in found)])
    return dict.fromkeys((name for name, _ in found), flags)


def column_flags(names: Iterable[str]) -> str:
    """Return the command-line options that specify columns.

    >>> column_flags(["input_ids", "my labels"])
    "-c input_ids -c 'my labels'"
    """
    return " ".join(f"-c {shlex.quote(name)}" for name in names)


def find_same_lengths(dataset: Dataset, first: pa.Field, taken: Collection[str]) -> list[str]:
    """Find the columns that have the same lengths as a given column in the first rows.

    Args:
        dataset: the data.
        first: field of the given column, with the type for reading.
        taken: names of columns to ignore.
    """
    schema = dataset.schema()
    times = Counter(schema.names)
    others = [
        field
        for field in schema
        if field.name not in taken
        and times[field.name] == 1
        and is_sequence(field.type)
        # The token type is unknown if all lists are empty.
        and "null" not in str(field.type.value_type)
    ]
    wanted = Wanted(
        pa.schema([first, *others]), integral_floats=[first.name, *(field.name for field in others)]
    )
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
    """Return the length of each row; -1 for a row that is null or bad."""
    ragged, faults = Ragged.from_arrow(batch.columns.column(name))
    lengths = ragged.lengths.copy()
    lengths[[fault.row for fault in faults]] = -1
    return lengths
