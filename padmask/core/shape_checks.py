"""Check that the columns allow the options for kept ends, windows, packing and added columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import pyarrow as pa

from padmask.core.columns import COMPANIONS, IGNORED_LABEL, LABEL_NAMES, PadColumn, is_label
from padmask.core.end_tokens import check_end_token
from padmask.core.keep_ends import check_end_columns
from padmask.errors import SpecError, column_flags
from padmask.spec.batches import SHAPE_OPTIONS
from padmask.spec.columns import quote_names
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import IDS, PackSpec, is_recomputed, names_for, written_names
from padmask.spec.pad import PadSpec


def check_shape(
    schema: pa.Schema,
    columns: Sequence[PadColumn],
    spec: PadSpec,
    mask: MaskSpec,
    replaced: Collection[str | None] = (),
) -> None:
    """Check that the columns allow the options for kept ends, windows, packing and added columns.

    Args:
        schema: columns of the input.
        columns: columns to pad.
        spec: how to pad.
        mask: the new mask and length columns.
        replaced: names of input columns that new columns replace.

    Raises:
        SpecError: a column with the number of tokens to keep is missing or has the wrong type; a column to
            add has the same name as an input column, the mask or the length column; `window_labels` is
            `"new"`, but no column contains labels; or the end token cannot be added.
    """
    check_end_columns(schema, spec)
    if spec.packing is not None and spec.packing.eos is not None:
        check_end_token(columns, spec.packing.eos)
    if (
        spec.windows is not None
        and spec.windows.labels == "new"
        and mask.labels_column is None
        and (spec.packing is None or "loss_mask" not in spec.packing.emit)
        and not any(map(is_label, columns))
    ):
        padded = column_flags([column.name for column in columns])
        raise SpecError(
            "`window_labels` 'new' has no effect, because no padded column contains labels. To pad a column "
            f"of labels, use {padded} -c NAME={IGNORED_LABEL}. Otherwise remove `window_labels`.",
            options=["window_labels"],
        )
    noun = spec.shape
    names = [column.name for column in columns]
    if spec.packing is not None:
        _check_renames(schema, columns, spec.packing, mask, replaced)
    for name in names_for(spec.added_columns, [*written_names(spec.packing, names).values()]):
        is_replaced = name in replaced or (name in names and is_recomputed(name, spec.packing))
        if name in schema.names and not is_replaced and is_recomputed(name, spec.packing):
            flags = column_flags([*names, name])
            raise SpecError(
                f"Packing computes a new column {name!r}, so the input column with this name is not packed. "
                f"To pack the input column, use {flags}. Otherwise rename the input column.",
                options=["columns"],
            )
        if name in schema.names and not is_replaced:
            raise SpecError(
                f"{noun.capitalize()} need a new column {name!r}, but the input already has a column with "
                f"this name. If the input contains {noun}, first restore the rows with padmask unpad. "
                "Otherwise rename the column.",
                options=[SHAPE_OPTIONS[noun]],
            )
        if name in mask.names:
            raise SpecError(
                f"{noun.capitalize()} need a new column {name!r}, but the mask or length column has this "
                f"name too. {mask.name_remedy(name)}.",
                options=[mask.option_for(name)],
            )


def _check_renames(
    schema: pa.Schema,
    columns: Sequence[PadColumn],
    packing: PackSpec,
    mask: MaskSpec,
    replaced: Collection[str | None],
) -> None:
    """Raise an error if the new name of a packed column is taken, or is reserved for other contents.

    The arguments are as in `check_shape`.
    """
    names = [column.name for column in columns]
    outputs = written_names(packing, names)
    if unknown := [name for name, _ in packing.renames if name not in (*names, IDS)]:
        raise SpecError(
            f"`renames` contains {unknown[0]!r}, which is not a packed column. The packed columns are "
            f"{quote_names(names)}.",
            options=["renames"],
        )
    kept = {*schema.names}.difference(names, replaced) if packing.fields == "list" else ()
    added = {*mask.names, *names_for(packing.added_columns, [*outputs.values()])}
    for column, (name, new) in zip(columns, outputs.items(), strict=True):
        if name == new:
            continue
        is_companion = new in COMPANIONS and new not in LABEL_NAMES
        if is_companion or is_label(column) != is_label(replace(column, name=new)):
            raise SpecError(
                f"Packing cannot write the column {name!r} as {new!r}, because this name is reserved for "
                f"columns with other contents. Choose another name. If {name!r} contains labels, set its pad "
                f"value to {IGNORED_LABEL}.",
                options=["renames", "dialect"],
            )
        other = "there is another"
        if new in added:
            other, remedy = "also adds a", "Choose another name for the added column."
        elif [*outputs.values()].count(new) > 1:
            remedy = (
                f"Pack only one of the two columns with {column_flags([name])}, or rename a column of the "
                "input."
            )
        elif new in kept:
            remedy = (
                f"Rename the other column {new!r}, or use --fields drop to leave out all columns that are "
                "not packed."
            )
        else:
            continue
        raise SpecError(
            f"Packing writes the column {name!r} as {new!r}, but {other} column {new!r}. {remedy}",
            options=["dialect"],
        )
