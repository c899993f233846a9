"""Read and write the description of padding in schema metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from padmask._version import __version__
from padmask.core.columns import PadColumn
from padmask.core.plan import Plan
from padmask.errors import DataError, Place
from padmask.spec.pad import MaskSpec, PadSpec, Side

METADATA_KEY = b"padmask"


def describe(columns: Sequence[PadColumn], plan: Plan, spec: PadSpec, mask: MaskSpec) -> dict[str, Any]:
    """Return the description of the padding for the metadata of a padded table."""
    return {
        "version": __version__,
        "maxlen": plan.maxlen,
        "maxlen_found": plan.found,
        "padding": spec.padding,
        "truncating": spec.truncating,
        "columns": {column.name: {"dtype": column.dtype, "value": column.value} for column in columns},
        "mask_column": mask.column,
        "mask_dtype": mask.dtype,
        "mask_true": "real token",
        "length_column": mask.length_column,
    }


@dataclass(frozen=True)
class Described:
    """Description of padding, as read from the metadata of a padded table.

    Args:
        values: pad values by column name.
        mask: name of the mask column; None if there is no mask.
        length: name of the length column; None if there is no length column.
        padding: side of the padding.
    """

    values: Mapping[str, Any]
    mask: str | None
    length: str | None
    padding: Side

    def present(self, names: Iterable[str]) -> tuple[str | None, str | None]:
        """Return the names of the mask and the length column; None for a column that is not in `names`."""
        there = set(names)
        return (
            self.mask if self.mask in there else None,
            self.length if self.length in there else None,
        )


def read_description(
    metadata: Mapping[bytes, bytes] | None, *, place: Place | None = None, remedy: str = ""
) -> Described | None:
    """Parse the description that `describe` wrote; None if the metadata describe no padding.

    Args:
        metadata: metadata of a schema.
        place: location of the metadata, for the error.
        remedy: what to do if the metadata are not valid, for the error.

    Raises:
        DataError: the description is not valid.
    """
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        return None
    try:
        meta = json.loads(text)
        values = {name: column["value"] for name, column in meta["columns"].items()}
        found = Described(values, meta["mask_column"], meta["length_column"], meta["padding"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        found = None
    if found is None or not (
        isinstance(found.mask, str | None)
        and isinstance(found.length, str | None)
        and found.padding in ("post", "pre")
        and found.values
        and all(isinstance(value, str | int | float | None) for value in found.values.values())
    ):
        raise DataError("the padmask metadata are not valid", place=place, remedy=remedy)
    return found
