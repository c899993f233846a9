"""Options for padding: the dataclasses `PadSpec` and `RowPolicy`.

The names are the same as in Keras (`maxlen`, `padding`, `truncating`, `value`). This module does not use the
data. Other modules check whether a column exists and how long the rows are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm
from typing import Any, Literal

from padmask.errors import SpecError
from padmask.spec.batches import BATCH, SHAPE_OPTIONS, SOURCE_ROW, BatchSpec
from padmask.spec.buckets import Buckets, checked_buckets, maxlen_with_buckets
from padmask.spec.checks import (
    as_int,
    at_least,
    check_fields,
    choice,
    flag,
    instance,
    integer,
    one_of,
    optional,
    pairs_of,
)
from padmask.spec.maxlen import percentile_hint, percentile_of
from padmask.spec.pack import PackSpec
from padmask.spec.sides import checked_side
from padmask.spec.windows import (
    WINDOW_COLUMNS,
    WindowSpec,
    checked_end,
    own_length_error,
    refuse_large_ends,
    refuse_with_own_lengths,
    window_source_error,
)

Side = Literal["pre", "post"]

INTEGER_DTYPES = ("int32", "int64", "int16", "uint16")

FLOAT_DTYPES = ("float32", "float64")

DTYPES = (*INTEGER_DTYPES, *FLOAT_DTYPES, "string")

# Columns of bools stay bools, so only a column can have this dtype.
COLUMN_DTYPES = (*DTYPES, "bool")

DEFAULT_DTYPE = "int32"


@dataclass(frozen=True, kw_only=True)
class PadSpec:
    """Options for padding and truncating sequences.

    >>> PadSpec(maxlen=128).padding
    'post'

    Args:
        maxlen: length of every padded row: a number, `"longest"`, or a percentile such as `"p95"` or
            `"p99.9"`. `"p95"` is the smallest length in which at least 95% of the rows fit (the nearest-rank
            percentile).
        padding: side of the padding, `"post"` (after the tokens) or `"pre"`. The Keras guide recommends
            `"post"` for recurrent layers, because the cuDNN kernels require it.
        truncating: side on which rows longer than `maxlen` are truncated. In `padding` and `truncating`,
            `"left"` means `"pre"`, and `"right"` means `"post"`.
        value: pad value. For strings, 0 means the empty string.
        dtype: dtype of the padded values, one of `DTYPES`. In tables, the default applies only to integer
            columns. Float columns keep float32 or float64, floats in JSON become float32, and strings stay
            strings, unless the column sets a dtype.
        pad_to_multiple_of: a `maxlen` that is found from the data is rounded up to a multiple of this number.
            A numeric `maxlen` must already be a multiple.
        dtype_for_all: whether `dtype` also applies to float and string columns of tables.
        own_lengths: columns that have their own maxlen, such as the labels of translations: a mapping from
            column names to maxlen, or a sequence of such pairs.
        keep_first, keep_last: number of tokens to keep at the start and at the end of a row longer than
            `maxlen`, such as `[CLS]` and `[SEP]`; or the name of a column that has this number for each row.
            The tokens between the kept ends are truncated on the side `truncating`.
        windows: how to split rows longer than `maxlen` into several rows. If None, these rows are truncated.
        buckets: number of buckets, or the maxlen of each bucket (the edges) in ascending order. Each row is
            in the bucket with the smallest edge that holds the row. If None, all rows have one maxlen.
        batches: how to divide the rows into batches with a token budget. Batches differ in row length.
        packing: how to pack several rows into one output row. If None, rows are not packed.
        source_row: whether buckets and batches have a column `source_row` with the number of the source row.
        int_dtype: dtype of integers if neither `dtype` nor the column sets a dtype.
        label_value: pad value of the columns `labels` and `label_ids`, if the column sets no value. If None,
            -100 for labels that are padded by default, and `value` for labels that are requested by name.

    Raises:
        SpecError: an argument is not valid, or the kept ends do not fit in `maxlen`.

    The names and masks follow the Keras guide "Understanding masking & padding". `pad_to_multiple_of` comes
    from Hugging Face.
    """

    maxlen: int | str = "longest"
    padding: Side = "post"
    truncating: Side = "post"
    value: Any = 0
    dtype: str = DEFAULT_DTYPE
    pad_to_multiple_of: int | None = None
    dtype_for_all: bool = False
    own_lengths: Any = ()
    keep_first: int | str = 0
    keep_last: int | str = 0
    windows: WindowSpec | None = None
    buckets: Buckets | None = None
    batches: BatchSpec | None = None
    packing: PackSpec | None = None
    source_row: bool = True
    int_dtype: str = DEFAULT_DTYPE
    label_value: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "own_lengths", pairs_of("own_lengths", self.own_lengths))
        check_fields(
            self,
            padding=checked_side,
            truncating=checked_side,
            dtype=choice(DTYPES),
            pad_to_multiple_of=optional(at_least(1, bits=53)),
            dtype_for_all=flag,
            keep_first=checked_end,
            keep_last=checked_end,
            windows=optional(instance(WindowSpec)),
            batches=optional(instance(BatchSpec)),
            packing=optional(instance(PackSpec)),
            buckets=optional(checked_buckets),
            source_row=flag,
            int_dtype=choice(INTEGER_DTYPES),
            label_value=optional(integer),
        )
        self._refuse_with_packing()
        has_own = bool(self.own_lengths)
        length = maxlen_with_buckets(self.buckets, self.maxlen, self.pad_to_multiple_of, has_own=has_own)
        object.__setattr__(self, "maxlen", length)
        for name, own in self.own_lengths:
            try:
                self.with_maxlen(own)
            except SpecError as error:
                raise own_length_error(name, error) from None
        if self.windows is not None and not self.source_row:
            raise window_source_error()
        if self.own_lengths:
            refuse_with_own_lengths(self.windows, self.end_columns)
        multiple = self.pad_to_multiple_of
        if self.batches is not None:
            others = ("own_lengths", self.own_lengths), ("buckets", self.buckets is not None)
            other = next((name for name, is_set in others if is_set), "")
            self.batches.refuse_conflicts(self.maxlen, multiple, other)
        if isinstance(self.maxlen, str):
            percentile = percentile_of(self.maxlen)
            if self.maxlen != "longest" and not (percentile and 0 < float(percentile) <= 100):
                raise SpecError(
                    "`maxlen` must be an integer, 'longest', or a percentile from 'p1' to 'p100'. "
                    f"Received: {self.maxlen!r}.{percentile_hint(self.maxlen)}",
                    options=["maxlen"],
                )
            return
        maxlen = as_int(self.maxlen)
        if maxlen is None or maxlen < 0 or maxlen >> 63:
            raise SpecError(
                "`maxlen` must be an integer of at least 0, 'longest', or a percentile. "
                f"Received: {self.maxlen!r:.80}.",
                options=["maxlen"],
            )
        object.__setattr__(self, "maxlen", maxlen)
        self.refuse_large_ends(maxlen)
        if multiple and maxlen % multiple:
            raise SpecError(
                f"`maxlen` {maxlen} is not a multiple of `pad_to_multiple_of` {multiple}. "
                f"Use {self.round_up(maxlen)}, or remove one of the two options.",
                options=["maxlen", "pad_to_multiple_of"],
            )

    def _refuse_with_packing(self) -> None:
        if self.packing is not None:
            self.packing.refuse_conflicts(
                self.maxlen,
                {
                    "padding": self.padding == "pre",
                    "own_lengths": bool(self.own_lengths),
                    "buckets": self.buckets is not None,
                    "batches": self.batches is not None,
                    "overlong": self.windows is not None,
                    "keep_first": bool(self.keep_first),
                    "keep_last": bool(self.keep_last),
                },
            )

    def with_maxlen(self, maxlen: int | str) -> PadSpec:
        """Return the same options with another maxlen, for a column that has its own maxlen."""
        return replace(self, maxlen=maxlen, own_lengths=())

    def round_up(self, maxlen: int) -> int:
        """Round a length up to a multiple of `pad_to_multiple_of`, and also of `align` if rows are packed."""
        align = 1 if self.packing is None else self.packing.align
        multiple = lcm(self.pad_to_multiple_of or 1, align)
        return -(-maxlen // multiple) * multiple

    @property
    def end_columns(self) -> tuple[str, ...]:
        """Names of the columns in `keep_first` and `keep_last`; empty if both options are numbers."""
        return tuple(dict.fromkeys(end for end in (self.keep_first, self.keep_last) if isinstance(end, str)))

    @property
    def has_no_maxlen(self) -> bool:
        """Whether there is no maxlen, because each batch is padded to its own longest row."""
        return self.batches is not None and self.maxlen == "longest"

    @property
    def has_overlong_rows(self) -> bool:
        """Whether a row can be longer than maxlen. With the algorithm `"wrap"`, no row is too long."""
        wraps = self.packing is not None and self.packing.algorithm == "wrap"
        return not (self.has_no_maxlen or wraps)

    @property
    def reorders(self) -> bool:
        """Whether output rows may have a different order from the source rows."""
        return self.buckets is not None or self.batches is not None

    @property
    def shape(self) -> str:
        """The kind of output rows, a key of `SHAPE_OPTIONS`; `""` if rows are only padded or truncated."""
        if self.packing is not None:
            return "packed rows"
        shapes = [name for name in SHAPE_OPTIONS if getattr(self, name, None) is not None]
        return shapes[0] if shapes else ""

    @property
    def added_columns(self) -> tuple[str, ...]:
        """Names of the columns that windows, buckets, batches or packing add to the output."""
        if self.packing is not None:
            return self.packing.added_columns
        windows = self.windows is not None
        source = WINDOW_COLUMNS if windows else (SOURCE_ROW,) * (self.reorders and self.source_row)
        return (*source, *((BATCH,) if self.batches is not None else ()))

    def refuse_large_ends(self, maxlen: int) -> None:
        """Raise an error if the kept ends do not fit in `maxlen`. Ends that a column sets are not counted."""
        overlap = None if self.windows is None else self.windows.overlap
        refuse_large_ends(maxlen, self.keep_first, self.keep_last, overlap)


@dataclass(frozen=True, kw_only=True)
class RowPolicy:
    """What to do with rows that are too long, empty or bad.

    Args:
        overlong: rows longer than maxlen: `"truncate"`, `"drop"` or `"error"`.
        empty_rows: rows without tokens: `"keep"` (all positions are padding), `"drop"` or `"error"`.
        on_error: rows that cannot be padded: `"fail"` raises an error, `"skip"` skips the rows.
    """

    overlong: Literal["truncate", "drop", "error"] = "truncate"
    empty_rows: Literal["keep", "drop", "error"] = "keep"
    on_error: Literal["fail", "skip"] = "fail"

    def __post_init__(self) -> None:
        if str(self.overlong) == "window":
            raise SpecError(
                "`overlong` cannot be 'window'. To split long rows, use PadSpec(windows=WindowSpec(...)).",
                options=["overlong"],
            )
        one_of("overlong", self.overlong, ("truncate", "drop", "error"))
        one_of("empty_rows", self.empty_rows, ("keep", "drop", "error"))
        one_of("on_error", self.on_error, ("fail", "skip"))
