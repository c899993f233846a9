"""`pad_table`: pad an Arrow table in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from padmask.core.arrow_lists import select_rows
from padmask.core.keep_ends import find_large_ends
from padmask.core.planners import make_segments
from padmask.core.prepared_table import group_lengths, prepare_table
from padmask.core.table import pad_rows, padded_schema
from padmask.errors import raise_first_fault
from padmask.spec.checks import or_default
from padmask.spec.columns import Columns
from padmask.spec.cuts import refuse_in_memory
from padmask.spec.keywords import TABLE_ARGUMENTS, spec_with
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec, RowPolicy


def pad_table(
    table: pa.Table,
    columns: Columns = None,
    spec: PadSpec | None = None,
    mask: MaskSpec | None = None,
    **options: Any,
) -> pa.Table:
    """Pad the sequence columns of a table and add their mask.

    >>> table = pa.table({"input_ids": [[7, 8], [9]], "labels": [[1, 0], [1]]})
    >>> pad_table(table).to_pydict()["labels"]
    [[1, 0], [1, -100]]
    >>> pad_table(table, maxlen=1)["input_ids"].to_pylist()
    [[7], [9]]

    Args:
        table: table with one or more list columns. All other columns stay unchanged.
        columns: names, `Column`s, short forms such as `"labels:int64=-100"`, or a mapping from names to pad
            values. Default: `input_ids`, otherwise `tokens`, otherwise the only list column. The default also
            includes columns such as `labels` and `token_type_ids`, if they have the same lengths in the first
            1,000 rows.
        spec: how to pad. Default: `PadSpec()`.
        mask: which mask to add. Default: `MaskSpec()`, a bool column `mask`. The mask replaces an
            `attention_mask` that contains only ones.
        options: fields of `PadSpec`, such as `maxlen`, which replace the fields of `spec`.

    Returns:
        A table with the same rows. Each padded column is a `list` of maxlen values of the requested dtype
        per row. The mask is a `list<bool>` of maxlen values per row, True at real tokens.

    Raises:
        SpecError: a column is missing, or cannot be padded with this dtype or pad value.
        DataError: a row is null, its columns differ in length, or a value does not fit the dtype.
        PaddedError: a column is already padded, and `mask.allow_padded` is not set.

    Source: the Keras guide "Understanding masking & padding"; -100 for labels is Hugging Face's convention.
    """
    spec, mask = spec_with(spec, options, TABLE_ARGUMENTS), or_default("mask", mask, MaskSpec)
    refuse_in_memory(spec)
    ready = prepare_table(table, columns, spec, mask, RowPolicy())
    schema, groups, dropped = ready.schema, ready.groups, ready.dropped
    plans = ready.plans()
    padded = []
    number = 0
    for batch, rows, ends in zip(ready.batches, ready.rows, ready.ends, strict=True):
        raise_first_fault(find_large_ends(group_lengths(groups[0], rows), ends, plans[0], spec), number)
        shaped = [
            (group, make_segments(group_lengths(group, rows), plan, group.spec, its))
            for group, plan, its in zip(groups, plans, (ends, *[None] * (len(groups) - 1)), strict=True)
        ]
        segments, numbers = shaped[0][1], np.arange(number, number + batch.num_rows)
        number += batch.num_rows
        replaced = (*rows, *groups[0].mask.names, *dropped)
        repeated = select_rows(batch, segments.row_sources, replaced) if segments.moves_rows else batch
        padded.append(pad_rows(repeated, rows, shaped, without=dropped, numbers=numbers))
    schema = padded_schema(
        schema, list(zip(groups, plans, strict=True)), without=dropped, earlier=ready.earlier
    )
    batches = [pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in padded]
    return pa.Table.from_batches(batches, schema=schema)
