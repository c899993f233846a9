"""Combine a request with the data: which columns are padded, to which types, by which rules.

This module knows columns and types, and reads first rows where those do not decide; it pads nothing.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import Kind, is_mask, is_sequence
from padmask.core.columns import (
    IGNORED_LABEL,
    LABEL_NAMES,
    MASK_NAMES,
    PadColumn,
    asked_dtype,
    check_names,
    choose_columns,
    find_vector_sizes,
    kind_of_dtype,
    name_columns,
)
from padmask.core.metadata import METADATA_KEY
from padmask.core.ragged import Ragged
from padmask.errors import SpecError
from padmask.formats.contract import Batch, Wanted
from padmask.formats.dataset import Dataset
from padmask.formats.jsonl.kinds import list_of
from padmask.spec.pad import FLOAT_DTYPES, Column, Columns, MaskSpec, PadSpec, RowPolicy


@dataclass(frozen=True)
class PadRequest:
    """What the user asked for, before anything is known of the data."""

    columns: Columns
    spec: PadSpec
    mask: MaskSpec
    policy: RowPolicy


def make_job(dataset: Dataset, asked: PadRequest, *, keep_others: bool) -> Job:
    """Resolve what was asked for against the columns there are.

    Args:
        dataset: the data.
        asked: what was asked for.
        keep_others: whether the columns that are not padded are read too.

    Raises:
        SpecError: what was asked for does not go with the data.
    """
    try:
        schema = _known_schema(dataset, asked)
        chosen = choose_columns(schema, asked.columns, asked.spec)
        check_names(schema, chosen, asked.mask)
    except SpecError as error:
        raise error.reworded(f"{dataset.name}: {error}") from None
    fields = [_as_asked(schema.field(column.name), column, dataset.format) for column in chosen]
    wanted = Wanted(
        pa.schema(fields),
        schema if keep_others and dataset.format != "jsonl" else None,
        tuple(token_kinds(name_columns(schema, asked.columns), asked.spec)),
    )
    chosen = find_vector_sizes(
        chosen, (batch.columns for batch in dataset.look(replace(wanted, others=None)))
    )
    return Job(chosen, asked.spec, asked.mask, asked.policy, wanted)


def _known_schema(dataset: Dataset, asked: PadRequest) -> pa.Schema:
    """Return the columns there are, with the types of those that will be padded."""
    schema = dataset.schema()
    if dataset.format != "jsonl":
        return schema
    if not schema.names:
        return empty_schema(asked.columns, asked.spec)
    columns = name_columns(schema, asked.columns)
    kinds = token_kinds(columns, asked.spec)
    sequences = {field.name: field for field in dataset.sequence_types([c.name for c in columns], kinds)}
    return pa.schema([sequences.get(field.name, field) for field in schema])


def token_kinds(columns: Iterable[Column], spec: PadSpec) -> dict[str, Kind]:
    """Return what the tokens of columns shall be, of those whose dtype was asked for.

    >>> token_kinds([Column("ids"), Column("features", "float64")], PadSpec())
    {'features': 'float'}
    """
    dtypes = {column.name: asked_dtype(column, spec) for column in columns}
    return {name: kind_of_dtype(dtype) for name, dtype in dtypes.items() if dtype is not None}


def empty_schema(asked: Columns, spec: PadSpec) -> pa.Schema:
    """JSON Lines without a row have no columns; those asked for get no tokens, which is no error."""
    short = [column if isinstance(column, str) else column.name for column in asked or ()] or ["input_ids"]
    names = [re.split("[:=]", name, maxsplit=1)[0] or name for name in short]
    kinds = token_kinds(name_columns(pa.schema([(name, pa.null()) for name in names]), asked), spec)
    return pa.schema([(name, list_of(kinds.get(name, "int"))) for name in dict.fromkeys(names)])


def _as_asked(field: pa.Field, column: PadColumn, format_: str) -> pa.Field:
    """JSON has numbers only: where floats are asked for, a whole one is a float too."""
    if format_ != "jsonl" or column.dtype not in FLOAT_DTYPES:
        return field
    token = pa.from_numpy_dtype(column.dtype)
    return pa.field(field.name, pa.list_(token if column.inner is None else pa.list_(token)))


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


def padded_already(dataset: Dataset, job: Job) -> bool:
    """Tell whether the input is padded, so that its padding would count as tokens.

    Its metadata say so, or a mask column that is replaced or left has padding in its first rows.
    """
    schema = dataset.schema()
    if any(said is not None for said in dataset.metadata_of(METADATA_KEY).values()):
        return True
    masks = [
        field for field in schema if field.name in {*job.mask.names, *MASK_NAMES} and is_mask(field.type)
    ]
    head = dataset.head(Wanted(pa.schema(masks))) if masks else None
    if head is None:
        return False
    return any((Ragged.from_mask(head.columns.column(field.name))[0].values == 0).any() for field in masks)


def _known_lengths(batch: Batch, name: str) -> npt.NDArray[np.int64]:
    """Return each row's length, -1 where it has none."""
    ragged, faults = Ragged.from_arrow(batch.columns.column(name))
    lengths = ragged.lengths.copy()
    lengths[[fault.row for fault in faults]] = -1
    return lengths


@dataclass(frozen=True)
class Job:
    """Everything decided before the first row is padded, but for the length.

    Args:
        columns: to pad; the first one's lengths make the mask.
        spec, mask, policy: what was asked for.
        wanted: which columns are read.
        fixed_size: write fixed-size lists.
    """

    columns: Sequence[PadColumn]
    spec: PadSpec
    mask: MaskSpec
    policy: RowPolicy
    wanted: Wanted
    fixed_size: bool = False
