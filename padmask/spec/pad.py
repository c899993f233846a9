"""What to pad and how: `PadSpec`, `Column`, `MaskSpec` and `RowPolicy`, frozen and validated once.

This module knows no data: later modules find out whether a column exists and how long the rows are.
The words are Keras's (`maxlen`, `padding`, `truncating`, `value`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from padmask.errors import SpecError
from padmask.spec.checks import at_least, check_fields, choice, flag, one_of, optional, string, whole

Side = Literal["pre", "post"]

INTEGER_DTYPES = ("int32", "int64", "int16", "uint16")

FLOAT_DTYPES = ("float32", "float64")

DTYPES = (*INTEGER_DTYPES, *FLOAT_DTYPES, "string")

MASK_DTYPES = ("bool", "int8", "int32", "int64")

DEFAULT_DTYPE = "int32"

_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d{1,6})?)")


def percentile_of(maxlen: int | str) -> str | None:
    """Return the percentile that `maxlen` names, as decimal text, or None.

    >>> percentile_of("p99.9"), percentile_of(128), percentile_of("longest")
    ('99.9', None, None)
    """
    found = _PERCENTILE.fullmatch(maxlen) if isinstance(maxlen, str) else None
    return found[1] if found else None


def parse_maxlen(text: str) -> int | str:
    """Turn the command line's `--maxlen` into what `PadSpec` takes.

    >>> parse_maxlen("128"), parse_maxlen("p95")
    (128, 'p95')
    """
    # int() would also take '1_000' and ' 12 ', which nobody means.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else text


@dataclass(frozen=True, kw_only=True)
class PadSpec:
    """How sequences are padded and cut.

    >>> PadSpec(maxlen=128).padding
    'post'

    Args:
        maxlen: number of places in every row; or `"longest"`; or a percentile such as
            `"p95"` or `"p99.9"`, by nearest rank: the smallest length that at least
            that share of the rows does not exceed.
        padding: where the padding goes, `"post"` (after the tokens) or `"pre"`. Keras's
            guide advises `"post"` for recurrent layers: cuDNN's kernels need it.
        truncating: where rows longer than `maxlen` are cut.
        value: what stands in padded places; 0 means the dtype's zero, which for strings
            is the empty string.
        dtype: of the padded values, one of `DTYPES`. In tables, where columns have types,
            the default applies to integer columns only: float columns become float32 and
            strings stay strings unless the column asks for another.
        pad_to_multiple_of: rounds a found length up to a multiple, for hardware that
            likes such shapes; a number given as `maxlen` must be a multiple itself.
        dtype_for_all: whether `dtype` holds for the float and string columns of tables too.

    Raises:
        SpecError: an argument is out of its range.

    The words and the masks are those of Keras's guide "Understanding masking & padding";
    `pad_to_multiple_of` is Hugging Face's.
    """

    maxlen: int | str = "longest"
    padding: Side = "post"
    truncating: Side = "post"
    value: Any = 0
    dtype: str = DEFAULT_DTYPE
    pad_to_multiple_of: int | None = None
    dtype_for_all: bool = False

    def __post_init__(self) -> None:
        check_fields(
            self,
            padding=choice(("post", "pre")),
            truncating=choice(("post", "pre")),
            dtype=choice(DTYPES),
            pad_to_multiple_of=optional(at_least(1, bits=53)),
            dtype_for_all=flag,
        )
        multiple = self.pad_to_multiple_of
        if isinstance(self.maxlen, str):
            percentile = percentile_of(self.maxlen)
            if self.maxlen != "longest" and not (percentile and 0 < float(percentile) <= 100):
                raise SpecError(
                    "`maxlen` must be a whole number, 'longest', or a percentile from 'p1' to 'p100' "
                    f"such as 'p95'. Received: {self.maxlen!r}.",
                    options=["maxlen"],
                )
            return
        maxlen = whole(self.maxlen)
        if maxlen is None or maxlen < 0 or maxlen >> 63:
            raise SpecError(
                "`maxlen` must be a whole number of at least 0, 'longest', or a percentile. "
                f"Received: {self.maxlen!r:.80}.",
                options=["maxlen"],
            )
        object.__setattr__(self, "maxlen", maxlen)
        if multiple and maxlen % multiple:
            raise SpecError(
                f"`maxlen` {maxlen} is no multiple of `pad_to_multiple_of` {multiple}. "
                f"Use {-(-maxlen // multiple) * multiple}, or leave one of the two out.",
                options=["maxlen", "pad_to_multiple_of"],
            )


@dataclass(frozen=True, kw_only=True)
class MaskSpec:
    """Which columns say what is real.

    >>> MaskSpec(column="attention_mask", dtype="int64").column
    'attention_mask'

    Args:
        column: name of the mask column, or None for no mask.
        dtype: one of `MASK_DTYPES`; `bool` masks are True at real tokens, the others 1.
        length_column: name of a column for the kept length of each row, or None.
        overwrite: replace columns of these names in the input instead of refusing them.
    """

    column: str | None = "mask"
    dtype: str = "bool"
    length_column: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        one_of("mask dtype", self.dtype, MASK_DTYPES, "mask_dtype")
        check_fields(self, column=optional(string), length_column=optional(string), overwrite=flag)
        if self.column == "" or self.length_column == "":
            raise SpecError(
                "A column's name cannot be empty: choose one.", options=["mask_column", "length_column"]
            )
        if self.column is not None and self.column == self.length_column:
            raise SpecError(
                f"The mask and the length cannot share the column {self.column!r}: give them two names.",
                options=["mask_column", "length_column"],
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that are added."""
        return tuple(name for name in (self.column, self.length_column) if name is not None)

    def option_for(self, name: str) -> str:
        """Return the option that gives the name of an added column.

        >>> MaskSpec(length_column="n").option_for("n")
        'length_column'
        """
        return "mask_column" if name == self.column else "length_column"


@dataclass(frozen=True, kw_only=True)
class RowPolicy:
    """Which rows are written.

    Args:
        overlong: rows longer than maxlen: `"truncate"`, `"drop"` or `"error"`.
        empty_rows: rows without a token: `"keep"` (fully masked), `"drop"` or `"error"`.
        on_error: rows that cannot be padded: `"fail"`, or `"skip"` to go on without them.
    """

    overlong: Literal["truncate", "drop", "error"] = "truncate"
    empty_rows: Literal["keep", "drop", "error"] = "keep"
    on_error: Literal["fail", "skip"] = "fail"

    def __post_init__(self) -> None:
        one_of("overlong", self.overlong, ("truncate", "drop", "error"))
        one_of("empty_rows", self.empty_rows, ("keep", "drop", "error"))
        one_of("on_error", self.on_error, ("fail", "skip"))
