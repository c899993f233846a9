"""What a schema's metadata say of padding: write it, and read it back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from padmask._version import __version__
from padmask.core.columns import PadColumn
from padmask.core.plan import Plan
from padmask.errors import DataError
from padmask.spec.pad import MaskSpec, PadSpec, Side

METADATA_KEY = b"padmask"

# Metadata that describes the input's types, and is a lie or a hard error once they change.
STALE_METADATA = (b"huggingface",)


def metadata_to_keep(schema: pa.Schema) -> dict[bytes, bytes]:
    """Return the metadata that still hold once the types of columns have changed."""
    known = schema.metadata or {}
    return {key: value for key, value in known.items() if key not in (*STALE_METADATA, METADATA_KEY)}


def describe(columns: Sequence[PadColumn], plan: Plan, spec: PadSpec, mask: MaskSpec) -> dict[str, Any]:
    """Return what a reader of the file must know to take the padding for padding."""
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
    """What the metadata of a padded table say.

    Args:
        values: pad values by column.
        mask: name of the mask column, None where there is none.
        length: of the length column.
        padding: the side of the padding.
    """

    values: Mapping[str, Any]
    mask: str | None
    length: str | None
    padding: Side

    def present(self, names: Iterable[str]) -> tuple[str | None, str | None]:
        """Return the mask and the length column that are still among these columns."""
        there = set(names)
        return (
            self.mask if self.mask in there else None,
            self.length if self.length in there else None,
        )


def read_description(metadata: Mapping[bytes, bytes] | None) -> Described | None:
    """Read back what `describe` told; None where the metadata do not speak of padding.

    Raises:
        DataError: they describe it in a form that padmask cannot read.
    """
    said = (metadata or {}).get(METADATA_KEY)
    if said is None:
        return None
    try:
        meta = json.loads(said)
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
        raise DataError("the padmask metadata cannot be read")
    return found
