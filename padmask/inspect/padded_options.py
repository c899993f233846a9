"""Find the options of `pad` that recreate the columns, dtypes and mask of padded files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from padmask.core.columns import COMPANIONS, name_columns
from padmask.core.companions import mask_dtype
from padmask.core.metadata import groups_to_keep
from padmask.core.padding import Padding
from padmask.spec.columns import Column, Columns
from padmask.spec.mask import ADDITIVE_DTYPES, MaskSpec
from padmask.spec.pad import DEFAULT_DTYPE, INTEGER_DTYPES, PadSpec
from padmask.spec.presets import PRESETS, Preset


@dataclass(frozen=True)
class PaddedOptions:
    """The options with which `pad` writes the same columns, dtypes and mask as in padded files.

    Args:
        preset: preset that sets all these options; None if there is no such preset.
        columns: columns to pad if they differ from the defaults of `pad`, else the columns that the user
            requested.
        mask: options for the mask, positions and labels, as command-line arguments.
    """

    preset: str | None = None
    columns: Columns = None
    mask: Sequence[str] = ()


def find_padded_options(
    schema: pa.Schema, padding: Padding, asked: Columns, spec: PadSpec, first: str
) -> PaddedOptions:
    """Return the options with which `pad` writes the same columns, dtypes and mask as in padded files.

    Only metadata shows the dtypes and pad values of the columns. Options that the user set take precedence.

    Args:
        schema: columns of the padded files, with metadata.
        padding: columns that mark the padding.
        asked: columns that the user requested.
        spec: padding options that the user requested.
        first: name of the column with the tokens.
    """
    group = next((one for one in groups_to_keep(schema, ()) if first in one["columns"]), None)
    group = group if padding.described and group is not None else {}
    found = [
        Column(name, entry.get("dtype"), entry["value"])
        for name, entry in group.get("columns", {}).items()
        if name not in padding.made
    ]
    mask = _mask_of(schema, padding, group)
    columns = _merge(schema, asked, found, spec)
    if not asked and all(map(_is_default, columns)):
        columns = []
    options = PaddedOptions(columns=columns or asked, mask=_mask_options(mask))
    has_defaults = not asked and spec.value == 0 and not spec.dtype_for_all
    if has_defaults and (columns or options.mask):
        names = [name for name, one in PRESETS.items() if _is_preset(one, columns, mask, padding, first)]
        return replace(options, preset=next(iter(names), None))
    return options


def _mask_of(schema: pa.Schema, padding: Padding, group: dict[str, Any]) -> MaskSpec:
    """Return the options with which `pad` added the mask, the lengths, the positions and the labels."""
    dtype = group.get("mask_dtype")
    if dtype is None and padding.mask is not None:
        dtype = mask_dtype(schema.field(padding.mask).type)
    if padding.dialect.kind == "additive" and dtype not in ADDITIVE_DTYPES:
        # `pad` writes no additive masks of this dtype: another tool wrote the mask, or the mask is binary.
        dtype = None
    positions = group.get("position_ids")
    return MaskSpec(
        column=padding.mask,
        dtype=dtype,
        length_column=padding.length,
        polarity=padding.dialect.polarity,
        kind=padding.dialect.kind,
        position_ids=positions if positions in padding.made else None,
        labels_from=group.get("labels_from") if "labels" in padding.made else None,
    )


def _merge(schema: pa.Schema, asked: Columns, found: Sequence[Column], spec: PadSpec) -> list[Column]:
    """Return the columns to pad. A dtype or pad value that the user did not set is from the metadata."""
    known = {column.name: column for column in found}
    names = [column.name for column in found]
    requested = {column.name: column for column in name_columns(schema, asked)} if asked else {}
    merged = []
    for name in requested or names:
        column, old = requested.get(name, Column(name)), known.get(name, Column(name))
        dtype = None if spec.dtype_for_all or old.dtype not in INTEGER_DTYPES else old.dtype
        value = old.value if spec.value == 0 and old.value not in (0, "", None) else None
        merged.append(Column(name, column.dtype or dtype, value if column.value is None else column.value))
    return merged


def _is_default(column: Column) -> bool:
    """Return whether a column has the dtype and the pad value that `pad` uses by default."""
    return column.dtype in (None, DEFAULT_DTYPE) and column.value in (None, COMPANIONS.get(column.name, 0))


def _mask_options(mask: MaskSpec) -> tuple[str, ...]:
    """Return the options for the mask that are not defaults, as command-line arguments."""
    words: list[str] = []
    if mask.column is None:
        words.append("--no-mask")
    else:
        plain = MaskSpec(column=mask.column, kind=mask.kind)
        words += [] if mask.column == "mask" else ["--mask-column", mask.column]
        words += [] if mask.kind == "binary" else ["--mask-kind", mask.kind]
        words += [] if mask.polarity == "real" else ["--mask-polarity", mask.polarity]
        words += [] if mask.written_dtype == plain.written_dtype else ["--mask-dtype", mask.written_dtype]
    if mask.length_column is not None:
        words += ["--length-column", mask.length_column]
    if mask.position_ids is not None:
        words.append("--position-ids")
    if mask.labels_from is not None:
        words += ["--labels-from", str(mask.labels_from)]
    return tuple(words)


def _is_preset(
    preset: Preset, columns: Sequence[Column], mask: MaskSpec, padding: Padding, first: str
) -> bool:
    """Return whether a preset sets the dtypes and pad values in `columns`, and the options in `mask`."""
    made = MaskSpec(**preset.mask)
    labels = first if made.labels_from else None
    positions = "position_ids" if "position_ids" in made.if_missing and padding.padding == "pre" else None
    same = replace(made, labels_from=labels, position_ids=positions, named=None, if_missing=())
    dtype = preset.pad.get("int_dtype", DEFAULT_DTYPE)
    return (
        same == replace(mask, dtype=mask.written_dtype)
        and all(
            column.dtype in (None, dtype) and column.value in (None, COMPANIONS.get(column.name, 0))
            for column in columns
        )
        and any(column.dtype == dtype for column in columns)
    )
