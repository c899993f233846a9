"""Options for packing: `PackSpec`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from padmask.errors import SpecError
from padmask.spec.checks import as_int, at_least, check_fields, choice, flag, optional, strings

Algorithm = Literal["best-fit", "in-order", "wrap"]

ALGORITHMS = ("best-fit", "in-order", "wrap")

# Columns that packing always adds: the lengths of the sequences in each packed row.
SEQUENCE_LENGTHS = "seq_lengths"

# Columns that locate the sequences in the input: the source row, and the first token in this row.
SOURCE_COLUMNS = ("source_rows", "source_starts")

# Columns that are computed from the lengths of the sequences, on request.
DERIVED = ("segment_ids", "position_ids", "cu_seqlens", "seq_start_id", "loss_mask", "attention_mask")

# Options of `PadSpec` that packed rows do not support, each with the remedy.
_REASONS = {
    "padding": "Their padding is always after the sequences. Remove the option.",
    "own_lengths": "All packed columns have the same lengths. Pack the columns separately.",
    "buckets": "A packed row is full, so all rows have one length. Remove one of the two.",
    "batches": "A packed row is full, so all rows have one length. Remove one of the two.",
}


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
        pad: whether to pad all rows to `maxlen`. Otherwise, rows are as long as their sequences.
        eos: token to add to sequences that do not end with it; None adds no token.
        source: whether to add the columns `source_rows` and `source_starts`.
        emit: names of derived columns to add, from `DERIVED`.
        index_dtype: dtype of `segment_ids`, `position_ids` and `attention_mask`, `"int32"` or `"int64"`.
        boundary_labels: `"mask"` replaces the first label of each sequence with -100, so that no token
            predicts the next sequence. `"keep"` leaves the label unchanged.
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
    index_dtype: Literal["int32", "int64"] = "int32"
    boundary_labels: Literal["mask", "keep"] = "mask"
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
            index_dtype=choice(("int32", "int64")),
            boundary_labels=choice(("mask", "keep")),
            fields=choice(("list", "drop")),
        )
        for name in self.emit:
            if name not in DERIVED:
                raise SpecError(
                    f"`emit` must contain names from {', '.join(DERIVED)}. Received: {name!r:.80}.",
                    options=["emit"],
                )
        if self.algorithm == "wrap" and (self.max_segments or self.align > 1):
            option = "max_segments" if self.max_segments else "align"
            raise SpecError(
                f"`algorithm` 'wrap' fills all rows, so `{option}` has no effect. Remove one of the two.",
                options=["algorithm", option],
            )

    @property
    def has_padding(self) -> bool:
        """Whether a packed row may have padding."""
        return self.pad or self.align > 1

    @property
    def added_columns(self) -> tuple[str, ...]:
        """Names of the columns that packing adds, without the mask."""
        emitted = tuple(name for name in DERIVED if name in self.emit)
        return (SEQUENCE_LENGTHS, *(SOURCE_COLUMNS if self.source else ()), *emitted)

    def refuse_conflicts(self, maxlen: int | str, others: Mapping[str, bool]) -> None:
        """Raise an error if another option of `PadSpec` has no meaning for packed rows.

        Args:
            maxlen: length of a packed row.
            others: whether each of some other options is set, keyed by the name of the option.

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
                        f"long, and `{option}` has no effect. Remove one of the two.",
                        options=["algorithm", option],
                    )
                continue
            raise SpecError(
                f"Packed rows do not support `{option}`. {_REASONS[option]}", options=[option, "algorithm"]
            )
        if self.eos is not None and isinstance(maxlen, str):
            raise SpecError(
                f"`eos` changes the row lengths, so `maxlen` {maxlen!r} cannot be found from the data. Use a "
                "number.",
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
