"""Read from the metadata how rows are packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import pyarrow as pa

from padmask.core.arrow_lists import is_list
from padmask.core.columns import COMPANIONS
from padmask.core.metadata import Described, groups_to_keep, read_descriptions, valid_descriptions
from padmask.core.packed_layout import LENGTHS, PackedLayout, has_integer_lists, has_list, has_sources
from padmask.core.packed_spans import KINDS, Marker
from padmask.errors import DataError, PaddedError, Place, SpecError
from padmask.spec.columns import list_columns
from padmask.spec.pack import DERIVED, SEQUENCE_LENGTHS, PackSpec, names_for
from padmask.spec.pad import PadSpec
from padmask.spec.windows import WindowSpec


def described_layout(file: str, schema: pa.Schema, columns: Sequence[str]) -> PackedLayout | None:
    """Return the `PackedLayout` that the metadata of a file describes; None if there is no such metadata."""
    group = packed_group(schema)
    if group is None:
        return None
    assert group.packing is not None
    mask, _ = group.present(schema.names)
    for name in columns:
        if name not in schema.names:
            raise SpecError(
                f"{file} has no packed column {name!r}. {list_columns(schema.names)}",
                options=["columns"],
            )
        if not is_list(schema.field(name).type):
            raise SpecError(
                f"Column {name!r} of type {schema.field(name).type} is not a list of tokens, so the "
                "column does not contain packed rows.",
                options=["columns"],
            )
    packed = [name for name in group.values if name not in group.made and has_list(schema, name)]
    names = list(dict.fromkeys([*columns, *packed]))
    emitted = _derived_names(group)
    derived = [name for name in (*group.made, *emitted) if name not in columns]
    found = {name: its for name, its in emitted.items() if has_integer_lists(schema, name)}
    markers = [Marker.of(its, name) for its in KINDS for name in found if found[name] == its]
    if has_integer_lists(schema, SEQUENCE_LENGTHS):
        markers = [LENGTHS]
    sources = has_sources(schema)
    notes = []
    if group.packing.get("eos") is not None:
        notes.append(f"the end tokens that pack added (--eos {group.packing['eos']}) stay in the rows")
    labels = tuple(name for name in names if _is_label(group, name))
    if group.packing.get("boundary_labels") in ("mask", "shift") and labels:
        notes.append("the first label of each sequence stays -100, because pack replaced it")
    renamed = {new: name for new, name in group.renamed.items() if new in names}
    taken = {name for name in schema.names if name not in derived}
    notes += [
        f"the column {new!r} is not renamed to {name!r}, because the rows have another column {name!r}"
        for new, name in renamed.items()
        if name in taken
    ]
    renamed = {new: name for new, name in renamed.items() if name not in taken}
    keep_last = group.keep_last if group.windows else 0
    return PackedLayout(
        columns=tuple(names),
        mask=mask,
        sources=sources,
        marker=next(iter(markers), None),
        derived=found,
        described=True,
        spec=_read_spec(schema),
        dropped=tuple(name for name in derived if name in schema.names),
        repeated=tuple(
            its.name for its in schema if not is_list(its.type) and its.name not in (*names, *derived)
        ),
        dialect=group.dialect,
        aligns=(group.packing.get("align") or 1,),
        keep_last=keep_last,
        shifted=labels if group.packing.get("boundary_labels") == "shift" else (),
        splits=group.windows or group.packing.get("algorithm") == "wrap",
        notes=tuple(notes),
        loss_masks=group.loss_masks,
        renamed=renamed,
        labels_from=group.labels_from,
    )


def packed_group(schema: pa.Schema) -> Described | None:
    """Return the group of packed columns in the metadata; None if the metadata describes no packing."""
    try:
        groups = read_descriptions(schema.metadata)
    except DataError:
        return None
    group = next((group for group in groups if group.packing is not None), None)
    return group if group is None or _is_valid(group.packing or {}) else None


def _is_valid(packing: Mapping[str, Any]) -> bool:
    """Return whether the values of a description of packing have valid types."""
    align, emit = packing.get("align"), packing.get("emit") or []
    try:
        names = dict(packing.get("names") or ())
    except (TypeError, ValueError):
        return False
    return (
        (align is None or (type(align) is int and align > 0))
        and isinstance(emit, list)
        and all(isinstance(name, str) for name in (*emit, *names, *names.values()))
    )


def is_only_padded(schema: pa.Schema) -> bool:
    """Return whether the metadata describes padding, but no packing."""
    groups = valid_descriptions(schema)
    return bool(groups) and all(group.packing is None for group in groups)


def _derived_names(group: Described) -> dict[str, str]:
    """Return the derived columns that packing added, as a dict of column names to names in `DERIVED`."""
    packing = group.packing or {}
    names = dict(packing.get("names") or ())
    columns = [name for name in group.values if name not in group.made]
    return {
        name: derived
        for derived in packing.get("emit") or ()
        if derived in DERIVED
        for name in names_for([names.get(derived, derived)], columns)
    }


def _read_spec(schema: pa.Schema) -> PadSpec | None:
    """Return the options of the run that packed the rows; None if this version does not support them."""
    group = next(group for group in groups_to_keep(schema, ()) if group.get("packing") is not None)
    known = {field.name for field in fields(PackSpec)}
    packing, windows = group["packing"], group.get("windows")
    try:
        return PadSpec(
            maxlen=group["maxlen"],
            truncating=group["truncating"],
            keep_first=group.get("keep_first") or 0,
            keep_last=group.get("keep_last") or 0,
            windows=None if windows is None else WindowSpec(**windows),
            packing=PackSpec(**{name: value for name, value in packing.items() if name in known}),
        )
    except (SpecError, KeyError, TypeError):
        return None


def _is_label(group: Described, name: str) -> bool:
    return COMPANIONS.get(name, 0) < 0 or group.values.get(name) == -100


def refuse_different_packing(described: Mapping[str, PackedLayout | None]) -> None:
    """Raise an error if the metadata of two files describes different packing."""
    first = next(name for name, layout in described.items() if layout is not None)
    for name, layout in described.items():
        if layout != described[first]:
            raise PaddedError(
                f"{first} and {name} are packed differently, according to their metadata",
                place=Place(name),
                remedy="Read the files separately.",
            )
