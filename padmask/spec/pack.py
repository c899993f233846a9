"""Options for packing: `PackSpec`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from padmask.errors import SpecError
from padmask.spec.checks import (
    as_int,
    at_least,
    check_fields,
    choice,
    flag,
    optional,
    pairs_of,
    string,
    strings,
)

Algorithm = Literal["best-fit", "in-order", "wrap"]

ALGORITHMS = ("best-fit", "in-order", "wrap")

# Column that packing always adds: the lengths of the sequences in each packed row.
SEQUENCE_LENGTHS = "seq_lengths"

# Columns with the source of each sequence: the row in the input, and the first token in this row.
SOURCE_COLUMNS = ("source_rows", "source_starts")

# Columns that are computed from the lengths of the sequences, on request.
DERIVED = (
    "segment_ids",
    "position_ids",
    "cu_seqlens",
    "seq_start_id",
    "seq_lens",
    "loss_mask",
    "attention_mask",
)

# The derived columns that have a value at each position.
WIDE = ("segment_ids", "position_ids", "loss_mask", "attention_mask")

# Placeholder for the name of a packed column, in the name of a derived column. If a name has this
# placeholder, each packed column has its own derived column.
COLUMN = "{column}"

# Placeholder for the name of the id column in `PackSpec.renames`.
IDS = "{ids}"

# Usual names of columns of ids.
ID_NAMES = ("input_ids", "tokens")

# Options of `PadSpec` that packed rows do not support, each with the remedy.
_REASONS = {
    "padding": "Their padding is always after the sequences. Remove `padding`.",
    "own_lengths": "Columns that are packed together must have the same row lengths. Pack other columns "
    "separately.",
    "buckets": "Packed rows all have the same length. Remove `buckets`.",
    "batches": "Packed rows all have the same length. Remove `batches`.",
}


BoundaryLabels = Literal["mask", "keep", "shift"]
BOUNDARY_LABELS: tuple[BoundaryLabels, ...] = get_args(BoundaryLabels)


def names_for(patterns: Iterable[str], columns: Sequence[str]) -> tuple[str, ...]:
    """Replace each name that contains `{column}` with one name for each packed column.

    >>> names_for(["seq_lengths", "{column}_positions"], ["inputs", "targets"])
    ('seq_lengths', 'inputs_positions', 'targets_positions')

    Args:
        patterns: names that may contain `{column}`.
        columns: names of the packed columns.
    """
    found = []
    for pattern in patterns:
        found += [pattern.replace(COLUMN, name) for name in columns] if COLUMN in pattern else [pattern]
    return tuple(found)


def is_recomputed(name: str, packing: PackSpec | None) -> bool:
    """Return whether packing reads a column as a loss mask, and writes a new loss mask under the same name.

    >>> is_recomputed("loss_mask", PackSpec(emit=["loss_mask"])), is_recomputed("loss_mask", PackSpec())
    (True, False)

    Args:
        name: name of a packed column.
        packing: how to pack; None if the rows are not packed.
    """
    return packing is not None and name == "loss_mask" == packing.derived.get("loss_mask")


@dataclass(frozen=True, kw_only=True)
class PackSpec:
    """Options for packing several sequences into each row.

    >>> PackSpec(max_segments=32, emit=["position_ids"]).emit
    ('position_ids',)

    Args:
        algorithm: `"best-fit"` packs the longest sequences first, each into the fullest row that has space.
            `"in-order"` packs the sequences in input order into 64 open rows. `"wrap"` joins all sequences
            and cuts the result every `maxlen` tokens, so it splits sequences.
        max_segments: maximum number of sequences in a row; None if there is no maximum.
        align: the number of positions of each sequence is rounded up to a multiple of this number, as context
            parallelism requires.
        pad: whether to pad all rows to `maxlen`. Otherwise, a row is as long as its sequences together.
        eos: token to append to sequences that do not end with this token; None appends no token.
        source: whether to add the columns `source_rows` and `source_starts`.
        emit: derived columns to add, from `DERIVED`.
        names: new names of derived columns, keyed by the names in `DERIVED`: a mapping, or a sequence of
            pairs. If a new name contains `{column}`, each packed column has its own derived column.
        renames: names of packed columns in the output, keyed by their names in the input: a mapping, or a
            sequence of pairs. `{ids}` stands for the column of ids: `input_ids`, else `tokens`, else the
            first packed column. `unpad` restores the names.
        index_dtype: dtype of `segment_ids`, `position_ids`, `attention_mask` and `seq_lens`, `"int32"` or
            `"int64"`.
        loss_dtype: dtype of `loss_mask`: `"int8"`, `"uint8"`, `"int32"` or `"float32"`.
        first_segment: number of the first sequence of a row in `segment_ids`, 1 or 0. At padding,
            `segment_ids` has this number minus 1.
        position_padding: values of `position_ids` at padding. `"restart"`: 0, 1, 2, ... in each run of
            padding. `"zero"`: all are 0. `"continue"`: the values continue those of the previous sequence.
        boundary_labels: `"mask"` replaces the first label of each sequence with -100, so that no token
            predicts the next sequence. `"keep"` leaves the label unchanged. `"shift"` moves each label one
            token to the left, for trainers that do not shift labels. The last label of each sequence then
            becomes -100.
        fields: `"list"` converts the fields that are not packed to lists with one value per sequence.
            `"drop"` leaves these fields out.

    Raises:
        SpecError: an argument is not valid.
    """

    algorithm: Algorithm = "best-fit"
    max_segments: int | None = None
    align: int = 1
    pad: bool = True
    eos: int | None = None
    source: bool = True
    emit: Any = ()
    names: Any = ()
    renames: Any = ()
    index_dtype: Literal["int32", "int64"] = "int32"
    loss_dtype: Literal["int8", "uint8", "int32", "float32"] = "int8"
    first_segment: Literal[0, 1] = 1
    position_padding: Literal["restart", "zero", "continue"] = "restart"
    boundary_labels: BoundaryLabels = "mask"
    fields: Literal["list", "drop"] = "list"

    def __post_init__(self) -> None:
        check_fields(
            self,
            algorithm=choice(ALGORITHMS),
            max_segments=optional(at_least(1, bits=31)),
            align=at_least(1, bits=31),
            pad=flag,
            eos=optional(at_least(0, bits=63)),
            source=flag,
            emit=strings,
            names=pairs_of,
            renames=pairs_of,
            index_dtype=choice(("int32", "int64")),
            loss_dtype=choice(("int8", "uint8", "int32", "float32")),
            first_segment=at_least(0, bits=1),
            position_padding=choice(("restart", "zero", "continue")),
            boundary_labels=choice(BOUNDARY_LABELS),
            fields=choice(("list", "drop")),
        )
        for option, derived in (("emit", self.emit), ("names", [name for name, _ in self.names])):
            for name in derived:
                if name not in DERIVED:
                    raise SpecError(
                        f"`{option}` must contain names from {', '.join(DERIVED)}. Received: {name!r:.80}.",
                        options=[option],
                    )
        for option, pairs in (("names", self.names), ("renames", self.renames)):
            for _, name in pairs:
                string(option, name)
                if not name:
                    raise SpecError(f"`{option}` contains an empty name.", options=[option])
        added = self.added_columns
        for name in added:
            if not name or added.count(name) > 1:
                raise SpecError(
                    f"The name {name!r} of an added column is empty or not unique. Choose another name.",
                    options=["names", "emit"],
                )
        if self.algorithm == "wrap" and (self.max_segments or self.align > 1):
            option = "max_segments" if self.max_segments else "align"
            raise SpecError(
                f"`algorithm` 'wrap' fills all rows, so `{option}` has no effect. Remove one of the two "
                "options.",
                options=["algorithm", option],
            )

    @property
    def has_padding(self) -> bool:
        """Whether a packed row may have padding."""
        return self.pad or self.align > 1

    @property
    def added_columns(self) -> tuple[str, ...]:
        """Names of the columns that packing adds, without the mask."""
        return (SEQUENCE_LENGTHS, *(SOURCE_COLUMNS if self.source else ()), *self.derived.values())

    @property
    def derived(self) -> dict[str, str]:
        """Names of the derived columns to add, keyed by names in `DERIVED`. A name may contain `{column}`."""
        names = dict(self.names)
        return {name: names.get(name, name) for name in DERIVED if name in self.emit}

    def derived_for(self, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the names of the derived columns to add, without placeholders, keyed by names in `DERIVED`.

        >>> packing = PackSpec(emit=["segment_ids"], names={"segment_ids": "{column}_segments"})
        >>> packing.derived_for(["inputs", "targets"])
        {'segment_ids': ('inputs_segments', 'targets_segments')}

        Args:
            columns: names of the packed columns in the output.
        """
        return {name: names_for([pattern], columns) for name, pattern in self.derived.items()}

    def refuse_conflicts(self, maxlen: int | str, others: Mapping[str, bool]) -> None:
        """Raise an error if other options of `PadSpec` conflict with packing.

        Args:
            maxlen: length of a packed row.
            others: whether other options are set, keyed by the name of the option.

        Raises:
            SpecError: an option conflicts with packing.
        """
        for option, is_set in others.items():
            if not is_set:
                continue
            if option in ("overlong", "keep_first", "keep_last"):
                if self.algorithm == "wrap":
                    raise SpecError(
                        "`algorithm` 'wrap' cuts the joined rows every `maxlen` tokens, so no row is too "
                        f"long, and `{option}` has no effect. Remove one of the two options.",
                        options=["algorithm", option],
                    )
                continue
            raise SpecError(
                f"Packed rows do not support `{option}`. {_REASONS[option]}", options=[option, "algorithm"]
            )
        if self.eos is not None and isinstance(maxlen, str):
            raise SpecError(
                "With `eos`, packing requires an integer `maxlen`, because end tokens change the row "
                "lengths.",
                options=["eos", "maxlen"],
            )
        number = as_int(maxlen)
        if number is not None and number % self.align:
            lower = number // self.align * self.align
            raise SpecError(
                f"`maxlen` {maxlen} is not a multiple of `align` {self.align}. Use "
                f"{lower or lower + self.align}.",
                options=["maxlen", "align"],
            )
        if number == 0:
            raise SpecError(
                "A packed row needs at least one position. Use a larger `maxlen`.", options=["maxlen"]
            )


def written_names(packing: PackSpec | None, columns: Sequence[str]) -> dict[str, str]:
    """Return the name of each column in the output, keyed by its name in the input.

    >>> written_names(PackSpec(renames={"{ids}": "tokens"}), ["input_ids", "labels"])
    {'input_ids': 'tokens', 'labels': 'labels'}

    Args:
        packing: how to pack; None if the rows are only padded.
        columns: names of the padded or packed columns in the input.
    """
    ids = next((name for name in ID_NAMES if name in columns), *(columns[:1] or [""]))
    renames = {ids if name == IDS else name: new for name, new in (packing.renames if packing else ())}
    return {name: renames.get(name, name) for name in columns}
