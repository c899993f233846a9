"""Read the values of a column that has one value per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from padmask.formats.contract import Batch

_read_value = msgspec.json.Decoder().decode


def column_values(batch: Batch, name: str) -> Sequence[Any]:
    """Return the values of a column, one for each row. In JSON Lines, a missing key is None."""
    if batch.objects is not None:
        return [_parse(row.get(name)) for row in batch.objects]
    values: list[Any] = batch.columns.column(name).to_pylist()
    return values


def _parse(text: msgspec.Raw | None) -> Any:
    """Parse a JSON value. If parsing fails, return the start of the text."""
    if text is None:
        return None
    try:
        return _read_value(text)
    except (msgspec.DecodeError, RecursionError):
        return bytes(text)[:40].decode("utf-8", "replace")
