"""Read and write the description of padding in schema metadata."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from padmask._version import __version__
from padmask.core.columns import PadColumn
from padmask.core.loss_tokens import deciding_masks
from padmask.core.made_columns import made_columns
from padmask.core.plan import Plan
from padmask.errors import DataError, Place, SpecError
from padmask.spec.batches import SOURCE_ROW
from padmask.spec.mask import LABELS, TRUE_AT_TOKENS, Dialect, MaskSpec, Polarity
from padmask.spec.pack import is_recomputed, written_names
from padmask.spec.pad import PadSpec, Side

METADATA_KEY = b"padmask"

# Key of the description of the last run (`PaddedRun`). Later runs may leave out more rows, so they do not
# keep this description.
RUN_KEY = "run"

# Positions at which a binary mask is True, for each polarity.
_TRUE_AT: Mapping[Polarity, str] = {"real": "real token", "padding": "padding"}


def add_to_description(metadata: Mapping[bytes, bytes], key: str, value: Any) -> dict[bytes, bytes]:
    """Add a key to the description of the padding or packing in metadata, and return the new metadata.

    >>> add_to_description({METADATA_KEY: b'{"maxlen": 8}'}, "run", {"rows_read": 2})
    {b'padmask': b'{"maxlen": 8, "run": {"rows_read": 2}}'}

    Args:
        metadata: metadata with one or more descriptions. The key is added to the first description.
        key, value: key to add, and its value, which JSON can represent.
    """
    described = json.loads(metadata[METADATA_KEY])
    return {**metadata, METADATA_KEY: json.dumps({**described, key: value}).encode()}


def describe(columns: Sequence[PadColumn], plan: Plan, spec: PadSpec, mask: MaskSpec) -> dict[str, Any]:
    """Describe columns that were padded together, for the metadata of a padded table."""
    written = [column for column in columns if not is_recomputed(column.name, spec.packing)]
    outputs = written_names(spec.packing, [column.name for column in columns])
    renamed = {new: name for name, new in outputs.items() if name != new}
    return {
        "version": __version__,
        "maxlen": plan.maxlen,
        "maxlen_found": plan.found,
        "padding": spec.padding,
        "truncating": spec.truncating,
        "columns": {
            outputs.get(column.name, column.name): {"dtype": column.dtype, "value": column.value}
            for column in [*written, *made_columns(columns, mask, plan.maxlen)]
        },
        "keep_first": spec.keep_first,
        "keep_last": spec.keep_last,
        "windows": None if spec.windows is None else asdict(spec.windows),
        "packing": None if spec.packing is None else asdict(spec.packing),
        "buckets": list(plan.edges) or None,
        "batches": None if spec.batches is None else asdict(spec.batches),
        "source_row": SOURCE_ROW in spec.added_columns,
        "mask_column": mask.column,
        "mask_dtype": mask.written_dtype,
        "mask_kind": mask.kind,
        "mask_true": _TRUE_AT[mask.polarity] if mask.kind == "binary" else None,
        "length_column": mask.length_column,
        "position_ids": mask.position_ids,
        "labels_from": mask.labels_from,
        "loss_masks": deciding_masks(columns),
        **({"renamed": renamed} if renamed else {}),
    }


@dataclass(frozen=True)
class Described:
    """Description of padding, as read from the metadata of a padded table.

    Args:
        values: pad value of each column, keyed by column name.
        mask: name of the mask column; None if there is no mask.
        length: name of the length column; None if there is no length column.
        padding: side of the padding.
        windows: whether rows were split into windows.
        dialect: how the mask marks real tokens and padding.
        made: names of the columns in `values` that padding added: positions and labels.
        batches: whether rows were divided into batches.
        buckets: whether rows were divided into buckets.
        source_row: whether padding added the column `source_row`.
        packing: options of packing (`PackSpec`), keyed by name; None if the rows are not packed.
        keep_last: number of tokens kept at the end of each piece of a row, or the name of a column with this
            number for each row.
        loss_masks: names of the input columns that decided which tokens count in the loss.
        renamed: input names of the packed columns that were renamed, keyed by their output names.
        labels_from: name of the input column from which the labels were copied; None if there is none.
    """

    values: Mapping[str, Any]
    mask: str | None
    length: str | None
    padding: Side
    windows: bool = False
    dialect: Dialect = TRUE_AT_TOKENS
    made: tuple[str, ...] = ()
    batches: bool = False
    buckets: bool = False
    source_row: bool = False
    packing: Mapping[str, Any] | None = None
    keep_last: int | str = 0
    loss_masks: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    labels_from: str | None = None

    def present(self, names: Iterable[str]) -> tuple[str | None, str | None]:
        """Return the names of the mask column and the length column, each None if it is not in `names`."""
        there = set(names)
        return (
            self.mask if self.mask in there else None,
            self.length if self.length in there else None,
        )


def read_descriptions(
    metadata: Mapping[bytes, bytes] | None, *, place: Place | None = None, remedy: str = ""
) -> list[Described]:
    """Parse the descriptions of padding in metadata. Each group of columns padded together has a description.

    Args:
        metadata: metadata of a schema.
        place: location of the metadata, for the error.
        remedy: what to do if the metadata is not valid, for the error.

    Returns:
        The descriptions, starting with those of the last run. The list is empty if the metadata describes no
        padding.

    Raises:
        DataError: a description is not valid.
    """
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        return []
    try:
        meta = json.loads(text)
        found = [_read(group) for group in (meta, *meta.get("others", ()))]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SpecError, StopIteration):
        raise DataError("the padmask metadata is not valid", place=place, remedy=remedy) from None
    return found


def valid_descriptions(schema: pa.Schema) -> list[Described]:
    """Return the descriptions of padding in the metadata of a schema.

    The list is empty if the metadata is not valid.

    >>> valid_descriptions(pa.schema([("ids", pa.int32())]))
    []
    """
    try:
        return read_descriptions(schema.metadata)
    except DataError:
        return []


def _read(group: Mapping[str, Any]) -> Described:
    """Parse the description of one group of columns, or raise a ValueError."""
    values = {name: column["value"] for name, column in group["columns"].items()}
    # Earlier versions of padmask wrote only masks that are True at real tokens.
    is_true = group.get("mask_true") or _TRUE_AT["real"]
    polarity = next(name for name, place in _TRUE_AT.items() if place == is_true)
    dialect = Dialect(polarity=polarity, kind=group.get("mask_kind", "binary"))
    made = [group.get("position_ids"), *([LABELS] if group.get("labels_from") is not None else [])]
    found = Described(
        values,
        group["mask_column"],
        group["length_column"],
        group["padding"],
        group.get("windows") is not None,
        dialect,
        tuple(str(name) for name in made if name in values),
        group.get("batches") is not None,
        group.get("buckets") is not None,
        group.get("source_row", True) is True,
        group.get("packing"),
        group.get("keep_last") or 0,
        tuple(map(str, group.get("loss_masks") or ())),
        {new: str(name) for new, name in (group.get("renamed") or {}).items()},
        None if group.get("labels_from") is None else str(group["labels_from"]),
    )
    if not (
        isinstance(found.mask, str | None)
        and isinstance(found.length, str | None)
        and found.padding in ("post", "pre")
        and found.values
        and isinstance(found.packing, dict | None)
        and isinstance(found.keep_last, int | str)
        and all(isinstance(value, str | int | float | None) for value in found.values.values())
    ):
        raise ValueError
    return found


def groups_to_keep(schema: pa.Schema, changed: Collection[str]) -> list[dict[str, Any]]:
    """Return the descriptions of padding that are still valid after some columns change.

    >>> groups_to_keep(pa.schema([("ids", pa.int32())]), ())
    []

    Args:
        schema: columns of a table, with metadata.
        changed: names of the columns, masks and length columns that change or are left out.
    """
    if not valid_descriptions(schema):
        return []
    text = (schema.metadata or {}).get(METADATA_KEY, b"{}")
    meta = json.loads(text)
    kept = []
    for group in (meta, *meta.get("others", ())) if meta else ():
        columns = {name: column for name, column in group["columns"].items() if name not in changed}
        marks = {group["mask_column"], group["length_column"]} - {None}
        if columns and (not marks or marks & (set(schema.names) - set(changed))):
            kept.append(
                {key: value for key, value in group.items() if key not in ("others", RUN_KEY)}
                | {"columns": columns}
            )
    return kept


def described_names(schema: pa.Schema) -> set[str]:
    """Return the names of the columns, masks and length columns that the metadata of a schema describes."""
    groups = groups_to_keep(schema, ())
    marks = {name for group in groups for name in (group["mask_column"], group["length_column"]) if name}
    return marks | {name for group in groups for name in group["columns"]}


def describe_groups(groups: Sequence[Mapping[str, Any]]) -> dict[bytes, bytes]:
    """Return the metadata that describes groups of columns; empty if there are no groups."""
    if not groups:
        return {}
    first, *others = groups
    return {METADATA_KEY: json.dumps({**first, **({"others": others} if others else {})}).encode()}
