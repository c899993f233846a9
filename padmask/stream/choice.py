"""Choose the columns to pad from the first rows of a dataset, and describe the other columns."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import pyarrow as pa

from padmask.core.arrow_lists import is_vectors, kind_of
from padmask.core.columns import COMPANIONS, IGNORED_LABEL, LABEL_NAMES, MASK_NAMES
from padmask.core.companions import (
    ONES,
    ColumnChoice,
    choose_together,
    dropped_columns,
    is_companion,
    list_names,
    own_groups,
)
from padmask.core.first_rows import FirstRows
from padmask.core.loss_tokens import LOSS_MASKS
from padmask.core.metadata import described_names
from padmask.core.padding import refuse_padded
from padmask.core.shared_ends import SharedEnds
from padmask.core.unpaddable_types import is_text, tokenize_first
from padmask.errors import column_flags, count, pronoun, quoted
from padmask.formats.dataset import Dataset
from padmask.spec.columns import Columns
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import PackSpec, is_recomputed
from padmask.spec.pad import PadSpec
from padmask.spec.warning_names import Warned
from padmask.stream.first_rows import first_rows_of, read_first_rows
from padmask.stream.json_schema import refuse_scalars
from padmask.stream.packing import refuse_packed_dataset
from padmask.stream.padding import known_schemas

# The jq program that removes the outer list from lists such as [[1, 2]], whose only item is a list.
_FIRST_VECTOR = (
    'map_values(if type == "array" and length == 1 and (.[0] | type) == "array" then .[0] else . end)'
)

# Names of padding masks in other libraries. Masks of prompts or answers have other names.
_MARKS_PADDING = re.compile(
    r"((input|src|source|token|tokens|text|seq|sequence|valid|pad|padding)_?|.*attention_?)masks?"
)

# Words in the names of class label columns, such as `ner_tags`. Their suggested pad value is -100, which
# losses ignore.
_CLASS_WORDS = {"label", "labels", "tag", "tags", "ner", "pos", "class", "classes", "target", "targets"}

# What the columns are chosen for: `"pad"` to pad the rows, `"audit"` to only check them.
Purpose = Literal["pad", "audit"]


@dataclass(frozen=True)
class Beside:
    """Notes and facts from the first rows of the input, for the summary and for error messages.

    Args:
        unpadded: columns that are not padded but have the same lengths as the padded columns, each with the
            command-line options that would pad the column.
        remarks: notes for the summary that require no action, as sentences.
        notes: warnings, as sentences.
        suspicions: warnings about columns that may be masks of padding, as sentences.
        hint: likely reason for errors about vectors or text, as sentences; empty if unknown.
        ragged: names of columns that should have one value per token, but do not in some of the first rows.
            Set only if the rows are checked (purpose `"audit"`), and empty if the rows are padded.
        unpaddable: names of masks and companions (columns with one value per token, such as `labels`) whose
            type padmask cannot pad. Set only if the rows are checked, as for `ragged`.
        shared: the tokens with which most rows start and end.
    """

    unpadded: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    notes: tuple[Warned, ...] = ()
    suspicions: tuple[Warned, ...] = ()
    hint: str = ""
    ragged: tuple[str, ...] = ()
    unpaddable: tuple[str, ...] = ()
    shared: SharedEnds = field(default_factory=SharedEnds)


def choose_for_dataset(
    dataset: Dataset, asked: Columns, spec: PadSpec, mask: MaskSpec, purpose: Purpose
) -> tuple[ColumnChoice, Beside, FirstRows]:
    """Choose the columns of a dataset that are padded together, and their mask.

    Args:
        dataset: the data, with at least one column.
        asked: requested columns; empty for the default column and its companions, such as `labels`.
        spec: how to pad.
        mask: the requested mask.
        purpose: `"pad"` if the rows will be padded, `"audit"` if they will only be checked.

    Returns:
        The columns and the mask, the notes on other columns, and the first rows.

    Raises:
        SpecError: a column is missing or requested twice, or there is no default column.
        PaddedError: the purpose is `"pad"`, but the rows are already padded.
    """
    schema = dataset.schema()
    own = [column.name for column, _, _ in own_groups(schema, asked, spec, mask)]
    # A request that does not fit the schema is refused before any row is read.
    start = choose_together(schema, asked, spec, mask, FirstRows({}, {}), ones=False)
    first, lists = start.columns[0].name, list_names(schema)
    if asked and dataset.format.is_text:
        refuse_scalars(dataset, [column.name for column in start.columns])
    rows = read_first_rows(dataset, lists)
    first_rows = first_rows_of(dataset, known=rows)
    ones = False
    if purpose == "pad" and ONES in lists and first != ONES:
        # The first files may lack the mask.
        masks = first_rows(ONES)
        ones = masks is not None and masks.are_ones(ONES, first)
    choice = choose_together(schema, asked, spec, mask, rows, ones=ones)
    hint = _batch_dimension(schema, rows, first)
    suspicions = tuple(
        Warned("maybe-padded", _suspicion(name, first, rows)) for name in _possible_masks(choice, rows)
    )
    unpaddable = () if asked else choice.unpaddable
    hints = (Warned("batch-dimension", hint),) if hint else ()
    if any(field.name == first and is_text(field.type) for field in schema):
        hint = f"column {first!r} contains text. {tokenize_first(first)}"
    notes = (*hints, *unpaddable_notes(schema, unpaddable, "padded"))
    shared = rows.ends.get(first, SharedEnds())
    if purpose != "pad":
        beside = Beside(
            notes=hints,
            suspicions=suspicions,
            hint=hint,
            ragged=choice.ragged,
            unpaddable=choice.unpaddable,
            shared=shared,
        )
        return choice, beside, rows
    names = [*(column.name for column in choice.columns), *own]
    files = known_schemas(dataset)
    refuse_packed_dataset(dataset, names, spec, mask)
    old = refuse_padded(files, names, mask, first_rows, packs=spec.packing is not None)
    if old is not None:
        choice = choose_together(schema, asked, spec, mask, rows, old)
    before = {name for file in files.values() for name in described_names(file)}
    # Columns that may be masks have their own warning, so they are not listed as unpadded columns.
    before |= {*_possible_masks(choice, rows)}
    beside = _describe(schema, choice, rows, asked, before, spec.packing)
    return choice, replace(beside, notes=(*suspicions, *notes, *beside.notes), hint=hint, shared=shared), rows


def _batch_dimension(schema: pa.Schema, rows: FirstRows, name: str) -> str:
    """Return a warning if a column of vectors has at most one vector in each row; else an empty string."""
    if not rows.have_tokens(name) or rows.lengths[name].max() > 1 or not is_vectors(schema.field(name).type):
        return ""
    return (
        f"column {name!r} contains a single vector in each row, so each row counts as one token. The outer "
        "axis is usually a leftover batch dimension. To remove this axis from all columns of JSON Lines, run "
        f"jq -c '{_FIRST_VECTOR}'"
    )


def unpaddable_notes(schema: pa.Schema, names: Iterable[str], verb: str) -> list[Warned]:
    """Return a warning for each column whose type padmask cannot pad.

    Args:
        schema: columns of the input.
        names: names of the columns.
        verb: past participle for the message, such as `"padded"` for "not padded".
    """
    return [
        Warned(
            "type-not-padded",
            f"not {verb}: {name!r}, because padmask cannot pad the type {schema.field(name).type}",
        )
        for name in names
    ]


def _suspicion(name: str, first: str, rows: FirstRows) -> str:
    unpad = f"padmask unpad --mask-column {shlex.quote(name)}"
    if name in rows.additive:
        return (
            f"the input may already be padded, because {name!r} looks like an additive mask of {first!r}. To "
            f"remove the padding: {unpad} --mask-kind additive"
        )
    return (
        f"the input may already be padded, because {name!r} looks like a mask of {first!r}. To remove the "
        f"padding if 1 marks real tokens: {unpad}. To remove the padding if 1 marks padding: {unpad} "
        "--mask-polarity padding"
    )


def _possible_masks(choice: ColumnChoice, rows: FirstRows) -> list[str]:
    """Return the columns that look like masks of the columns to pad, from their names and values."""
    return [
        name
        for name in choice.alike
        if (_MARKS_PADDING.fullmatch(name) or name in rows.additive)
        and name not in MASK_NAMES
        and name in rows.real
        and rows.show_padding(name, choice.columns[0].name)
    ]


def _describe_alike(alike: list[str], first: str, packing: PackSpec | None) -> list[str]:
    """Return a remark on the columns that have the same lengths as the ids but were not requested."""
    if not alike:
        return []
    done, kept = "unchanged", ""
    if packing is not None:
        done, kept = (
            "not packed",
            "; packed rows have one list for each sequence"
            if packing.fields == "list"
            else "; not in the output",
        )
    return [f"{done}: {quoted(alike)} (same lengths as {first!r}{kept})"]


def _describe_ragged(
    ragged: Sequence[str], schema: pa.Schema, choice: ColumnChoice, rows: FirstRows, *, packs: bool
) -> list[Warned]:
    """Return warnings about columns that are not padded because their rows differ in length from the ids."""
    first, verb, warnings = choice.columns[0].name, "pack" if packs else "pad", []
    groups: dict[tuple[int, int], list[str]] = {}
    for name in ragged:
        groups.setdefault(rows.count_unequal(first, name), []).append(name)
    for (unequal, total), names in groups.items():
        remedy = ""
        if any(rows.have_similar_lengths(first, name) for name in names):
            # These columns are not companions, so the user must request them.
            flags = with_hint(_flags_with(names, schema, choice))
            remedy = (
                f". To {verb} {pronoun(names)} too, and treat rows whose lengths differ as bad rows: {flags}"
            )
        elif not packs:
            flags = " ".join(f"--own-length {shlex.quote(name)}" for name in names)
            column = "this column to its own maxlen" if len(names) == 1 else "each column to its own maxlen"
            remedy = f". To pad {column}: {flags}"
        where = f" in {unequal:,} of the first {count(total, 'row')}" if total else ""
        text = f"not {verb}{_ENDINGS[verb]}: {quoted(names)} (lengths differ from {first!r}{where}){remedy}"
        warnings.append(Warned("lengths-differ", text))
    return warnings


_ENDINGS = {"pad": "ded", "pack": "ed"}


def _describe(
    schema: pa.Schema,
    choice: ColumnChoice,
    rows: FirstRows,
    asked: Columns,
    before: Collection[str],
    packing: PackSpec | None,
) -> Beside:
    """Describe the columns that are not padded, for the summary.

    Args:
        schema: columns of the input.
        choice: the chosen columns.
        rows: the first rows of the input.
        asked: requested columns.
        before: names of the columns that earlier runs padded, and of the masks that earlier runs added.
        packing: how to pack; None if the columns will be padded, not packed.
    """
    first, packs = choice.columns[0].name, packing is not None
    alike = [name for name in choice.alike if name not in before]
    ragged = [name for name in choice.ragged if name not in before]
    remarks, notes = [], []
    derived = () if packing is None else packing.derived.values()
    if choice.replaced is not None and choice.replaced in derived:
        remarks.append(f"replaced: {choice.replaced!r} (sequence numbers instead of the input mask)")
    elif old := dropped_columns(choice.replaced, choice.mask):
        new = f"the new mask is {choice.mask.column!r}" if choice.mask.column else "no mask is added"
        remarks.append(f"the input mask {quoted(old)} is not copied to the output; {new}")
    if choice.counted is not None:
        remarks.append(f"replaced: {choice.counted!r} (new positions instead of those in the input)")
    marks = [its.name for its in choice.columns if its.name in LOSS_MASKS and _is_companion(schema, its.name)]
    prompt = f"where {' or '.join(map(repr, marks))} is 0"
    if made := choice.mask.made:
        where = f"at padding and {prompt}" if marks else "at padding"
        copied = f" (a copy of {choice.mask.labels_from!r}, with {IGNORED_LABEL} {where})"
        remarks.append(f"added: {quoted(made)}{copied if choice.mask.labels_from else ''}")
    if marks and packing is not None and "loss_mask" in packing.derived:
        verb = "replaced" if any(is_recomputed(name, packing) for name in marks) else "added"
        how = "computed from the labels" if _has_labels(choice) else f"0 {prompt} in the input"
        remarks.append(f"{verb}: {packing.derived['loss_mask']!r} ({how})")
    if asked:
        remarks += _describe_alike(alike, first, packing)
        return Beside({}, tuple(remarks))
    notes += _describe_ragged(ragged, schema, choice, rows, packs=packs)
    companions = [
        f"{column.name!r} (with {column.value})"
        for column in choice.columns[1:]
        if not is_recomputed(column.name, packing)
    ]
    if companions:
        how = f"packed, together with {first!r}" if packs else f"padded, to the same length as {first!r}"
        remarks.append(f"also {how}: {', '.join(companions)}")
    flags = _flags_with(alike, schema, choice)
    return Beside(dict.fromkeys(alike, flags), tuple(remarks), tuple(notes))


def _flags_with(others: Sequence[str], schema: pa.Schema, choice: ColumnChoice) -> str:
    """Return the command-line options that pad the chosen columns together with other columns."""
    padded = [column.name + _value_of(column.name) for column in choice.columns]
    more = [name + _pad_value_for(schema.field(name)) for name in others]
    return column_flags([*padded, *more])


def _is_companion(schema: pa.Schema, name: str) -> bool:
    return name in schema.names and is_companion(schema.field(name))


def _has_labels(choice: ColumnChoice) -> bool:
    """Return whether the output has labels, which determine the tokens that count in the loss."""
    padded = (column.name in LABEL_NAMES or column.value == IGNORED_LABEL for column in choice.columns)
    return choice.mask.labels_column is not None or any(padded)


def _pad_value_for(field: pa.Field) -> str:
    """Return the part of a `-c` argument that sets the pad value of a column, such as `=-100`.

    In most columns of integers, 0 is a valid value, such as a class, so the result sets another pad value. If
    no value is known, the result is the placeholder `=VALUE`.

    >>> [_pad_value_for(pa.field(name, pa.list_(pa.int64()))) for name in ("ner_tags", "loss_mask", "x")]
    ['=-100', '', '=VALUE']
    """
    if is_vectors(field.type) or kind_of(field.type) not in ("int", "float"):
        return ""
    if field.name in COMPANIONS:
        return _value_of(field.name)
    words = set(re.findall(r"[a-z]+", field.name.lower()))
    if kind_of(field.type) == "float" or words & {"mask", "masks"}:
        return ""
    return f"={IGNORED_LABEL}" if words & _CLASS_WORDS else "=VALUE"


def with_hint(flags: str) -> str:
    """Return options, followed by an explanation of the placeholder VALUE if the options contain it."""
    return f"{flags} (VALUE is a pad value that no token has)" if re.search(r"=VALUE\b", flags) else flags


def _value_of(name: str) -> str:
    return f"={COMPANIONS[name]}" if COMPANIONS.get(name) else ""
