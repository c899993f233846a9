"""Options for the columns that padding adds: the dataclasses `MaskSpec` and `Dialect`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from padmask.errors import SpecError
from padmask.spec.checks import check_fields, flag, one_of, optional, pairs_of, string, strings

Polarity = Literal["real", "padding"]

MaskKind = Literal["binary", "additive"]

POLARITIES: tuple[Polarity, ...] = get_args(Polarity)

MASK_KINDS: tuple[MaskKind, ...] = get_args(MaskKind)

MASK_DTYPES = ("bool", "int8", "uint8", "int16", "int32", "int64", "float32", "float64")

# Additive masks need a dtype with large negative numbers.
ADDITIVE_DTYPES = ("float32", "float64")

POSITION_IDS = "position_ids"

LABELS = "labels"

# Options that add columns of positions and labels.
MADE_OPTIONS = ("position_ids", "labels_from")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How the values of a mask mark real tokens and padding.

    >>> Dialect(polarity="padding").kind
    'binary'

    Args:
        polarity: which positions have the value True or 1 in a binary mask: `"real"` tokens or `"padding"`.
        kind: `"binary"` for a mask of bools or of 0 and 1; `"additive"` for a mask that is added to attention
            scores: 0 at real tokens, and a large negative number at padding.

    Raises:
        SpecError: an argument is not valid, or an additive mask has the polarity `"padding"`.
    """

    polarity: Polarity = "real"
    kind: MaskKind = "binary"

    def __post_init__(self) -> None:
        one_of("polarity", self.polarity, POLARITIES, "mask_polarity")
        one_of("kind", self.kind, MASK_KINDS, "mask_kind")
        if self.kind == "additive" and self.polarity == "padding":
            raise SpecError(
                "An additive mask has no polarity: real tokens are always 0, and padding is a large negative "
                "number. Remove --mask-polarity, or --mask-kind additive.",
                options=["mask_polarity", "mask_kind"],
            )


# The mask of Keras and Hugging Face: bools, or 0 and 1, with True at real tokens.
TRUE_AT_TOKENS = Dialect()


def asked_dialect(polarity: Polarity | None, kind: MaskKind | None) -> Dialect | None:
    """Return the polarity and kind that the user requested; None if the user requested neither.

    >>> asked_dialect("padding", None), asked_dialect(None, None)
    (Dialect(polarity='padding', kind='binary'), None)
    """
    if polarity is None and kind is None:
        return None
    return Dialect(polarity=polarity or "real", kind=kind or "binary")


@dataclass(frozen=True, kw_only=True)
class MaskSpec:
    """The columns to add to padded data: a mask, the number of tokens in each row, positions and labels.

    >>> MaskSpec(column="attention_mask", dtype="int64").column
    'attention_mask'

    Args:
        column: name of the mask column. If None, no mask is added.
        dtype: dtype of the mask, one of `MASK_DTYPES`. If None, an additive mask is float32. A binary mask
            that has the name of the mask that it replaces also has its dtype. Other binary masks are bool.
        length_column: name of a new column that contains the number of kept tokens in each row. If None, no
            such column is added.
        overwrite: whether to replace an input column with the name of the mask or of the length column,
            instead of raising an error.
        named: whether a mask that replaces an `attention_mask` of ones has the name `column`. If False, the
            new mask has the name of the replaced mask. None means False if `column` is `"mask"`, and True
            for every other name.
        allow_padded: whether to accept columns that are already padded. If True, all positions of these
            columns count as tokens, and the new mask replaces the old mask.
        own: masks of columns that have their own maxlen: a mapping from column names to mask names, or a
            sequence of such pairs.
        polarity: which positions are True, or 1 if the dtype is a number: `"real"` tokens, or `"padding"` as
            in PyTorch's `key_padding_mask`.
        kind: `"binary"`, or `"additive"`: 0 at real tokens, and the lowest finite value of the dtype at
            padding.
        position_ids: name of a new column that contains the positions 0, 1, ... of the real tokens, and 0 at
            padding. True means `"position_ids"`. If None, no such column is added.
        labels_from: name of the padded column that is copied to a new column `labels`, with -100 at padding
            and at tokens for which a padded column `completion_mask`, `assistant_masks` or `loss_mask` is 0.
            True means the first padded column. If None, no labels are added.
        if_missing: options that add their column only if the input does not have this column yet:
            `"position_ids"`, `"labels_from"` or both. For an option that is not in `if_missing`, an existing
            column is an error.

    Raises:
        SpecError: an argument is not valid, two columns have the same name, or the dtype does not fit the
            kind of mask.
    """

    column: str | None = "mask"
    dtype: str | None = None
    length_column: str | None = None
    overwrite: bool = False
    named: bool | None = None
    allow_padded: bool = False
    own: Any = ()
    polarity: Polarity = "real"
    kind: MaskKind = "binary"
    position_ids: str | bool | None = None
    labels_from: str | bool | None = None
    if_missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.dtype is not None:
            one_of("mask dtype", self.dtype, MASK_DTYPES, "mask_dtype")
        check_fields(self, column=optional(string), length_column=optional(string), overwrite=flag)
        check_fields(self, named=optional(flag), allow_padded=flag, own=pairs_of, if_missing=strings)
        for name in self.if_missing:
            one_of("if_missing", name, MADE_OPTIONS)
        for _, name in self.own:
            string("own", name)
        object.__setattr__(
            self, "position_ids", _name_or_flag("position_ids", self.position_ids, POSITION_IDS)
        )
        object.__setattr__(self, "labels_from", _name_or_flag("labels_from", self.labels_from, True))
        dialect = Dialect(polarity=self.polarity, kind=self.kind)
        if dialect.kind == "additive" and self.dtype not in (None, *ADDITIVE_DTYPES):
            raise SpecError(
                f"An additive mask cannot have the dtype {self.dtype}, because it marks padding with the "
                f"lowest number of a float dtype. Use {' or '.join(ADDITIVE_DTYPES)}, or a binary mask.",
                options=["mask_dtype", "mask_kind"],
            )
        if "" in (self.column, self.length_column):
            raise SpecError(
                "The name of the mask or length column is empty. Choose another name.",
                options=["mask_column", "length_column"],
            )
        self._refuse_same_names()

    def _refuse_same_names(self) -> None:
        """Raise an error if two added columns have the same name."""
        added = [
            ("the mask", self.column, "mask_column"),
            ("the length", self.length_column, "length_column"),
            *((f"the mask of {column!r}", name, "own_masks") for column, name in self.own),
            ("the column of positions", self.position_ids, "position_ids"),
            ("the column of labels", self.labels_column, "labels_from"),
        ]
        for i, (one, name, option) in enumerate(added):
            for other, same, other_option in added[:i]:
                if name is not None and name == same:
                    raise SpecError(
                        f"{other[0].upper()}{other[1:]} and {one} have the same column name {name!r}. "
                        "Choose different names.",
                        options=[option] if option == "own_masks" else [other_option, option],
                    )

    @property
    def dialect(self) -> Dialect:
        """How the values of the mask mark real tokens and padding."""
        return Dialect(polarity=self.polarity, kind=self.kind)

    @property
    def written_dtype(self) -> str:
        """Dtype of the mask in the output."""
        return self.dtype or ("float32" if self.kind == "additive" else "bool")

    @property
    def labels_column(self) -> str | None:
        """Name of the labels column to add; None if no labels are added."""
        return LABELS if self.labels_from is not None else None

    @property
    def made(self) -> tuple[str, ...]:
        """Names of the added columns of positions and labels."""
        return tuple(str(name) for name in (self.position_ids, self.labels_column) if name is not None)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the added columns."""
        own = (name for _, name in self.own)
        marks = tuple(name for name in (self.column, self.length_column, *own) if name is not None)
        return (*marks, *self.made)

    def option_for(self, name: str) -> str:
        """Return the option that sets the name of an added column.

        >>> MaskSpec(length_column="n").option_for("n")
        'length_column'
        """
        if name in [own for _, own in self.own]:
            return "own_masks"
        if name in self.made:
            return "position_ids" if name == self.position_ids else "labels_from"
        return "mask_column" if name == self.column else "length_column"

    def name_remedy(self, name: str) -> str:
        """Return an instruction to choose another name for an added column, without a final period.

        >>> MaskSpec(length_column="n").name_remedy("n")
        'Choose another name with --length-column'
        """
        option = self.option_for(name)
        option = "own_mask" if option == "own_masks" else option
        return f"Choose another name with --{option.replace('_', '-')}"

    def replace_remedy(self, name: str, *, packs: bool) -> str:
        """Return the remedy for an input that already has a column with the name of a mask or length column.

        >>> MaskSpec().replace_remedy("mask", packs=True)
        'Choose another name with --mask-column, or use --no-mask to write no mask.'

        Args:
            name: name of the column.
            packs: whether the rows will be packed; if False, they will be padded.
        """
        other = "use --no-mask to write no mask" if packs else "replace the column with --overwrite-mask"
        return f"{self.name_remedy(name)}, or {other}."


def _name_or_flag(argument: str, value: Any, default: Any) -> Any:
    """Convert the value of an option to a column name. True becomes `default`, and False becomes None."""
    if type(value).__name__ in ("bool", "bool_"):
        return default if value else None
    if value is not None and string(argument, value) == "":
        raise SpecError(f"The name in `{argument}` is empty. Choose another name.", options=[argument])
    return value
