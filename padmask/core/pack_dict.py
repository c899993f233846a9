"""Pack a dict of columns, or an Arrow table, into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import to_numpy, token_type
from padmask.core.memory_columns import read_columns
from padmask.core.metadata import groups_to_keep
from padmask.core.pack_table import pack_table
from padmask.errors import DataError
from padmask.spec.columns import Columns
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import WIDE, names_for
from padmask.spec.pad import PadSpec, RowPolicy

# The derived columns that `pack` always returns.
_DERIVED = ("segment_ids", "position_ids")


def pack_dict(
    columns: Any, names: Columns, spec: PadSpec, mask: MaskSpec | None, policy: RowPolicy
) -> dict[str, Any]:
    """Return the packed columns as arrays, and the other columns with one value for each sequence.

    >>> from padmask.spec.pack import PackSpec
    >>> rows = {"input_ids": [[7, 8, 9], [5, 6], [4]], "id": ["a", "b", "c"]}
    >>> packed = pack_dict(rows, None, PadSpec(maxlen=4, packing=PackSpec()), None, RowPolicy())
    >>> packed["segment_ids"].tolist(), packed["id"]
    ([[1, 1, 1, 2], [1, 1, 0, 0]], [['a', 'c'], ['b']])

    Args:
        columns: dict of columns, or an Arrow table or record batch.
        names: columns to pack, as in `pack_table`.
        spec: how to pad and pack the rows.
        mask: mask to add; None for the default.
        policy: what to do with overlong and empty rows.

    Raises:
        DataError: a column cannot be converted to Arrow, or a row cannot be packed.
        SpecError: an option is not valid for the columns.
    """
    assert spec.packing is not None
    emit = tuple(dict.fromkeys([*spec.packing.emit, *_DERIVED]))
    packing = replace(spec.packing, emit=emit)
    spec = replace(spec, packing=packing)
    packed = pack_table(_as_table(columns), names, spec, mask=mask, policy=policy)
    group = groups_to_keep(packed.schema, ())[0]
    derived = [name for kind, name in packing.derived.items() if kind in WIDE]
    wide = {*group["columns"], *names_for(derived, list(group["columns"])), group["mask_column"]}
    found: dict[str, Any] = read_columns(packed)
    for name in wide.intersection(found):
        found[name] = _stack(found[name], group["maxlen"], packed.schema.field(name).type)
    return found


def _as_table(columns: Any) -> pa.Table:
    if isinstance(columns, pa.Table):
        return columns
    if isinstance(columns, pa.RecordBatch):
        return pa.Table.from_batches([columns])
    arrays = {}
    for name, values in read_columns(columns).items():
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"the values cannot be converted to Arrow: {error}",
                column=name,
                remedy="Convert the columns to an Arrow table, and pass the table.",
            ) from None
    return pa.table(arrays)


def _stack(rows: Sequence[Any], maxlen: int, type_: pa.DataType) -> npt.NDArray[Any]:
    """Return rows of equal length as one array of shape (rows, maxlen, ...)."""
    if len(rows):
        is_text = isinstance(rows[0], list) and bool(rows[0]) and isinstance(rows[0][0], str)
        return np.array(rows, dtype=object) if is_text else np.stack([np.asarray(row) for row in rows])
    return np.zeros((0, maxlen), dtype=to_numpy(pa.array([], token_type(type_))).dtype)
