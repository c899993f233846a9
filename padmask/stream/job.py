"""Choose the columns to pad and their types, from the user's request and the dataset.

This module also reads the first rows, because the schema does not show all types and lengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from padmask.core.columns import PadColumn, choose_columns, find_vector_sizes, name_columns
from padmask.core.companions import ColumnChoice, dropped_columns, mask_of_ones, own_groups
from padmask.core.made_columns import check_made, settle_made
from padmask.core.metadata import groups_to_keep
from padmask.core.padding import check_names, mask_field
from padmask.core.shape_checks import check_shape
from padmask.core.table import ColumnGroup
from padmask.formats.contract import Wanted
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Columns
from padmask.spec.cuts import refuse_unused_cuts
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import names_for, written_names
from padmask.spec.pad import PadSpec, RowPolicy
from padmask.stream.choice import Beside, Purpose, choose_for_dataset
from padmask.stream.json_schema import as_float_field, known_schema, token_kinds
from padmask.stream.late_fields import LateFields


@dataclass(frozen=True)
class PadRequest:
    """The columns and options that the user requested."""

    columns: Columns
    spec: PadSpec
    mask: MaskSpec
    policy: RowPolicy

    def __post_init__(self) -> None:
        refuse_unused_cuts(self.spec, self.policy)


def make_job(dataset: Dataset, asked: PadRequest, *, keep_others: bool, purpose: Purpose = "pad") -> Job:
    """Choose the columns to pad and their types.

    Args:
        dataset: the data.
        asked: columns and options that the user requested.
        keep_others: whether to also read the columns that are not padded.
        purpose: `"pad"` if the rows will be padded, `"audit"` if they will only be checked.

    Raises:
        SpecError: a requested column is missing, or its type does not fit the request.
        PaddedError: the purpose is `"pad"`, but the rows are already padded.
    """
    spec, mask = asked.spec, asked.mask
    choice, beside, late, own = ColumnChoice([], mask), Beside(), None, []
    with dataset.named_in_errors():
        if (known := dataset.schema()).names:
            choice, beside, rows = choose_for_dataset(dataset, asked.columns, spec, mask, purpose)
            own = own_groups(known, asked.columns, spec, mask)
            columns = [*choice.columns, *(column for column, _, _ in own)]
            late = LateFields.of(known, rows, columns, choice, reported=not asked.columns)
            asked = replace(asked, columns=columns, mask=choice.mask)
        schema = known_schema(dataset, asked.columns, spec)
        chosen = choose_columns(schema, asked.columns, spec)
        main = len(choice.columns) or len(chosen)
        asked = replace(asked, mask=settle_made(asked.mask, known.names, chosen[0].name))
        check_made(known, chosen[:main], asked.mask)
        check_names(schema, chosen, asked.mask, choice.replaced, packs=spec.packing is not None)
        if known.names:
            check_shape(schema, chosen, spec, asked.mask, (choice.replaced, choice.counted))
    fields = [schema.field(column.name) for column in chosen]
    if dataset.format.is_text:
        fields = [as_float_field(field, column) for field, column in zip(fields, chosen, strict=True)]
    fields += [mask_field(schema, name) for name in choice.checked]
    # JSON rows have all fields as text.
    extra = [] if dataset.format.is_text else [schema.field(name) for name in spec.end_columns]
    if late is not None and not dataset.format.is_text and not keep_others:
        extra += late.columns_to_read(schema, choice.watched)
    extra = [field for field in dict.fromkeys(extra) if field not in fields]
    fields += extra
    wanted = Wanted(
        pa.schema(fields),
        schema if keep_others and not dataset.format.is_text else None,
        tuple(token_kinds(name_columns(schema, asked.columns), spec)),
        choice.checked,
    )
    chosen = find_vector_sizes(
        chosen, (batch.columns for batch in dataset.look(replace(wanted, others=None)))
    )
    groups = [
        ColumnGroup([column], alone, its) for column, (_, alone, its) in zip(chosen[main:], own, strict=True)
    ]
    changed = [*(column.name for column in chosen), *asked.mask.names, *choice.dropped]
    return Job(
        chosen[:main],
        spec,
        asked.mask,
        asked.policy,
        wanted,
        own=tuple(groups),
        replaced=choice.replaced,
        earlier=_earlier_groups(dataset, changed),
        beside=beside,
        unwritten=(*choice.counted_columns, *(field.name for field in extra if not keep_others)),
        late=late,
        watched=choice.watched,
    )


def _earlier_groups(dataset: Dataset, changed: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
    """Return the descriptions of padding from earlier runs that are in all files and stay correct."""
    if dataset.format.is_text:
        return ()
    first, *others = (groups_to_keep(schema, changed) for schema in dataset.schemas().values())
    return tuple(group for group in first if all(group in other for other in others))


@dataclass(frozen=True)
class Job:
    """The columns and options of a run that pads rows. The job does not contain the final maxlen.

    Args:
        columns: columns to pad. The lengths of the first column determine the mask.
        spec, mask, policy: options that the user requested.
        wanted: columns to read.
        fixed_size: whether to write fixed-size lists.
        own: columns that have their own maxlen (`--own-length`).
        replaced: name of the input mask that the new mask replaces; None if no mask is replaced.
        earlier: descriptions of columns that earlier runs padded, for the metadata.
        beside: facts from the first rows for the summary and error messages: columns that are not padded,
            tokens that most rows share, and warnings.
        unwritten: names of columns that are read but not written, such as columns that are only checked, or
            that contain the number of tokens to keep.
        late: finds late columns, which have no values in the first rows but have values in later rows.
        watched: names of masks that are checked for padding in later rows (see `watched_masks`).
        left_out: columns that the output format cannot store, each with the reason.
    """

    columns: Sequence[PadColumn]
    spec: PadSpec
    mask: MaskSpec
    policy: RowPolicy
    wanted: Wanted
    fixed_size: bool = False
    own: tuple[ColumnGroup, ...] = ()
    replaced: str | None = None
    earlier: tuple[Mapping[str, Any], ...] = ()
    beside: Beside = field(default_factory=Beside)
    unwritten: tuple[str, ...] = ()
    late: LateFields | None = None
    watched: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def added(self) -> tuple[str, ...]:
        """Names of the columns that padding adds."""
        return (*self.mask.names, *names_for(self.spec.added_columns, [*self.written_names.values()]))

    @property
    def written_names(self) -> dict[str, str]:
        """Output name of each column in `columns`, keyed by the input name."""
        return written_names(self.spec.packing, [column.name for column in self.columns])

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the columns that are not copied from the input: padded, added or left out."""
        padded = (column.name for group in self.groups for column in group.columns)
        return (*padded, *self.added, *self.dropped)

    @cached_property
    def groups(self) -> tuple[ColumnGroup, ...]:
        """The groups of columns to pad together: the main columns, then each column with its own maxlen."""
        return (ColumnGroup(self.columns, self.spec, replace(self.mask, own=())), *self.own)

    @property
    def ones(self) -> str | None:
        """Name of the input mask that must contain only ones; None if there is no such mask."""
        return mask_of_ones(self.replaced, self.mask)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of the input columns that are not written."""
        return (*dropped_columns(self.replaced, self.mask), *self.unwritten)
