"""The rules for ids and masks that `verify` checks without running a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.core.arrow_lists import Flags
from padmask.core.columns import IGNORED_LABEL
from padmask.core.kernel import Mask
from padmask.core.ragged import Ragged
from padmask.errors import Place
from padmask.formats.contract import LACKS_END
from padmask.spec.pad import Side

EXAMPLES = 5

# Larger ids are not recorded in the search for an unused id.
LARGEST_ID = 1 << 22

Places = Callable[[int], Place]


@dataclass(frozen=True)
class Rule:
    """A rule that the data must satisfy.

    Args:
        name: name of the rule, as in `--allow`.
        severity: `"error"`, `"warning"` or `"allowed"`.
        means: description of a violation, which often states the effect on a model.
        unit: whether the rule applies to each `"row"` or to each `"file"`.
    """

    name: str
    severity: str
    means: str
    unit: str = "row"


RULES = {
    rule.name: rule
    for rule in (
        Rule("mask-shape", "error", "the mask has values other than 0 and 1, or is not as long as the ids"),
        Rule("rows-unequal", "error", "padded rows have different lengths, so they do not form an array"),
        Rule("mask-not-contiguous", "error", "the mask has a hole: there is padding between real tokens"),
        Rule("mask-wrong-side", "error", "the padding is not on the same side as in other rows"),
        Rule("mask-length", "error", "the mask and the length column disagree"),
        Rule("length-range", "error", "the length is null, negative or larger than the row"),
        Rule("mixed-sides", "error", "some files are padded at the end, others at the start", "file"),
        Rule("padding-not-pad-value", "error", "a padded position does not have the pad value"),
        Rule("pad-value-in-tokens", "warning", "mask_zero=True or a Masking layer would mask real tokens"),
        Rule(
            "row-fully-masked", "warning", "rows without real tokens give NaN in pooling and attention layers"
        ),
        Rule("cudnn-fallback", "warning", "cuDNN supports only rows with a token and padding at the end"),
        Rule("stranger-file", "error", "the _padmask.json of the folder does not list the file", "file"),
        Rule("no-end-mark", "warning", LACKS_END, "file"),
        Rule("mixed-dtypes", "warning", "the column has different types in different files", "file"),
        Rule(
            "labels-on-padding", "warning", "labels on padding are not -100, so they are included in the loss"
        ),
    )
}


@dataclass
class Finding:
    """All violations of one rule.

    Args:
        rule: violated rule.
        count: number of rows or files that violate the rule.
        examples: locations of the first violations.
        detail: what is wrong, and how to fix it.
    """

    rule: Rule
    count: int = 0
    examples: list[Place] = field(default_factory=list)
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as a dict for JSON."""
        return {
            "rule": self.rule.name,
            "severity": self.rule.severity,
            "count": self.count,
            "examples": [str(place) for place in self.examples],
            "detail": self.detail or self.rule.means,
        }


@dataclass(frozen=True)
class AuditColumn:
    """A column to check against the rules.

    Args:
        name: name of the column.
        value: pad value; None if unknown.
        label: whether the column contains labels, which should be padded with -100.
    """

    name: str
    value: Any
    label: bool = False


def find_holes(mask: Mask) -> Flags:
    """Return which rows have padding between their real tokens.

    >>> find_holes(np.array([[True, False, True], [False, True, True]])).tolist()
    [True, False]
    """
    starts = mask[:, :1].sum(axis=1) + (~mask[:, :-1] & mask[:, 1:]).sum(axis=1)
    holes: Flags = starts > 1
    return holes


def _extend_to(used: Flags | None, highest: int) -> Flags:
    """Return an array of flags that is long enough for the id `highest`. New flags are False."""
    known = np.zeros(0, dtype=bool) if used is None else used
    if highest < len(known):
        return known
    # The size is a power of two, so that growing ids do not copy the flags each time.
    longer = np.zeros(1 << int(highest).bit_length(), dtype=bool)
    longer[: len(known)] = known
    return longer


class Audit:
    """An object that checks batches of rows against the rules and collects the findings.

    >>> import pyarrow as pa
    >>> audit = Audit([AuditColumn("ids", value=0)])
    >>> rows, _ = Ragged.from_arrow(pa.array([[5, 0], [7]]))
    >>> audit.add_raw({"ids": rows}, "post", "row {}".format)
    >>> [finding.as_dict()["rule"] for finding in audit.findings()]
    ['pad-value-in-tokens']
    """

    def __init__(self, columns: Sequence[AuditColumn]) -> None:
        self._columns = columns
        self._found: dict[str, Finding] = {}
        self._used: dict[str, Flags] = {}
        self._range: dict[str, tuple[int, int]] = {}
        self._pads: dict[str, Any] = {}

    def id_range(self, name: str) -> tuple[int, int] | None:
        """Return the smallest and largest token of an integer column; None if the column has no tokens."""
        return self._range.get(name)

    def pad_value(self, name: str) -> Any:
        """Return the pad value found in padded positions, for a column whose pad value was unknown."""
        return self._pads.get(name)

    def join(self, later: Audit) -> None:
        """Add the findings of another object that checked later raw rows of the same columns.

        >>> audits = [Audit([AuditColumn("ids", value=0)]) for _ in range(2)]
        >>> for number, audit in enumerate(audits):
        ...     rows = {"ids": Ragged(np.array([number]), np.array([0]), np.array([1]))}
        ...     audit.add_raw(rows, "pre", lambda row: Place("a", "row", row))
        >>> audits[0].join(audits[1])
        >>> audits[0].id_range("ids"), [found.count for found in audits[0].findings()]
        ((0, 1), [1, 2])
        """
        for name, found in later._found.items():
            finding = self._found.setdefault(name, Finding(RULES[name], detail=found.detail))
            finding.count += found.count
            finding.examples += found.examples[: EXAMPLES - len(finding.examples)]
        for name, (low, high) in later._range.items():
            least, most = self._range.get(name, (low, high))
            self._range[name] = min(low, least), max(high, most)
        for name, used in later._used.items():
            self._used[name] = own = _extend_to(self._used.get(name), len(used) - 1)
            own[: len(used)] |= used

    def copy(self) -> Audit:
        """Return an independent copy of the findings so far."""
        same = Audit(self._columns)
        same._found = {
            name: replace(found, examples=list(found.examples)) for name, found in self._found.items()
        }
        same._used = {name: used.copy() for name, used in self._used.items()}
        same._range, same._pads = dict(self._range), dict(self._pads)
        return same

    def findings(self) -> list[Finding]:
        """Return the findings in the order of the rules."""
        for finding in self._found.values():
            if finding.rule.name == "pad-value-in-tokens":
                finding.detail = self._describe_unused_ids()
        return [self._found[name] for name in RULES if name in self._found]

    def add_raw(self, rows: Mapping[str, Ragged], padding: Side, place: Places) -> None:
        """Check raw rows as if they were padded.

        Args:
            rows: rows of each column, by column name.
            padding: side of the padding.
            place: function that returns the location of a row, given its index.
        """
        lengths = next(iter(rows.values())).lengths
        for column in self._columns:
            self._tokens(column, rows[column.name], place)
            if column.label and column.value != IGNORED_LABEL:
                self._report("labels-on-padding", np.ones(len(lengths), dtype=bool), place)
        self._report("row-fully-masked", lengths == 0, place)
        self._report("cudnn-fallback", (lengths == 0) | (padding == "pre"), place)

    def add_padded(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        mask: Mask,
        padding: Side,
        place: Places,
        lengths: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Check padded rows.

        Args:
            values: values of each column by column name, shape (rows, maxlen, ...).
            mask: bool, shape (rows, maxlen), True at real tokens.
            padding: expected side of the padding.
            place: function that returns the location of a row, given its index.
            lengths: values of the length column, shape (rows,); None if there is no such column.
        """
        kept = mask.sum(axis=1)
        holes = find_holes(mask)
        self._report("mask-not-contiguous", holes, place)
        edge = mask[:, 0] if padding == "post" else mask[:, -1]
        self._report("mask-wrong-side", ~holes & (kept > 0) & ~edge, place)
        if lengths is not None:
            self._report("mask-length", lengths != kept, place)
        wrong = [self._padded_column(column, values[column.name], mask, place) for column in self._columns]
        self._report("padding-not-pad-value", np.any(wrong, axis=0), place)
        self._report("row-fully-masked", kept == 0, place)
        self._report("cudnn-fallback", (kept == 0) | holes | ~mask[:, 0], place)

    def add_types(self, column: str, types: Mapping[str, str]) -> None:
        """Report files in which the type of a column differs from its type in the first file.

        Args:
            column: name of the column.
            types: type of the column in each file, by file name.
        """
        first = next(iter(types.values()), None)
        others = [Place(f"{name} ({type_})") for name, type_ in types.items() if type_ != first]
        detail = f"column {column!r} has different types in different files; in the first file it is {first}"
        self._report("mixed-dtypes", np.ones(len(others), dtype=bool), others.__getitem__, detail)

    def add_sides(self, sides: Mapping[str, Side]) -> None:
        """Report files that are padded on another side than the first file.

        Args:
            sides: side of the padding in each file, by file name.
        """
        first = next(iter(sides.values()), None)
        others = [Place(f"{name} ({side})") for name, side in sides.items() if side != first]
        detail = (
            f"{RULES['mixed-sides'].means}; the first file uses --padding {first}. Pad all files with the "
            "same --padding"
        )
        self._report("mixed-sides", np.ones(len(others), dtype=bool), others.__getitem__, detail)

    def add_unlisted_files(self, names: Sequence[str]) -> None:
        """Report files that the manifest (`_padmask.json`) of their folder does not list."""
        detail = (
            f"{RULES['stranger-file'].means}: if the file is a copied shard, its rows are repeated. Move the "
            "file out of the folder, or pad the dataset again"
        )
        self._report("stranger-file", np.ones(len(names), dtype=bool), lambda row: Place(names[row]), detail)

    def add_files_without_end(self, names: Sequence[str]) -> None:
        """Report files that lack the end marker of their format, and may be truncated."""
        self._report("no-end-mark", np.ones(len(names), dtype=bool), lambda row: Place(names[row]))

    def add_invalid_lengths(self, bad: Flags, place: Places) -> None:
        """Report rows whose length is null, negative or larger than the row."""
        self._report("length-range", bad, place)

    def add_invalid_masks(self, bad: Flags, place: Places) -> None:
        """Report rows whose mask is invalid or differs in length from the ids."""
        self._report("mask-shape", bad, place)

    def add_unequal(self, bad: Flags, width: int, place: Places) -> None:
        """Report rows whose number of positions differs from that of the first row."""
        means = RULES["rows-unequal"].means
        detail = f"the row does not have {width:,} positions like the first row: {means}"
        self._report("rows-unequal", bad, place, detail)

    def _padded_column(
        self, column: AuditColumn, values: npt.NDArray[Any], mask: Mask, place: Places
    ) -> Flags:
        """Check a padded column, and return which rows have padding that differs from the pad value."""
        if column.value is None and not mask.all():
            # The pad value is unknown. Use the most frequent value in the padding, because some masks may be
            # wrong.
            found, counts = np.unique(values[~mask].reshape(-1), return_counts=True)
            column = replace(column, value=self._pads.setdefault(column.name, found[counts.argmax()].item()))
        kept = mask.sum(axis=1)
        self._tokens(column, Ragged(values[mask], np.cumsum(kept) - kept, kept), place)
        if column.label:
            unlike = (values != IGNORED_LABEL).reshape(*mask.shape, -1).any(axis=2) & ~mask
            self._report("labels-on-padding", unlike.any(axis=1), place)
        if column.value is None:
            return np.zeros(len(mask), dtype=bool)
        wrong: Flags = ((values != column.value).reshape(*mask.shape, -1).any(axis=2) & ~mask).any(axis=1)
        return wrong

    def _tokens(self, column: AuditColumn, rows: Ragged, place: Places) -> None:
        """Report rows with the pad value among their real tokens. Labels are exempt because they may be 0."""
        if rows.values.dtype.kind in "iu" and rows.values.size:
            least, most = int(rows.values.min()), int(rows.values.max())
            low, high = self._range.get(column.name, (least, most))
            self._range[column.name] = min(low, least), max(high, most)
        if column.label or column.value is None:
            return
        # A vector counts as padding if all its values are the pad value.
        equal = rows.values == column.value
        equal = equal.all(axis=tuple(range(1, equal.ndim)))
        seen = np.concatenate([[0], np.cumsum(equal)])
        self._report("pad-value-in-tokens", seen[rows.starts + rows.lengths] > seen[rows.starts], place)
        if rows.values.dtype.kind in "iu" and rows.values.ndim == 1:
            ids = rows.values[(rows.values >= 0) & (rows.values < LARGEST_ID)]
            self._used[column.name] = used = _extend_to(self._used.get(column.name), ids.max(initial=-1))
            used[ids] = True

    def _describe_unused_ids(self) -> str:
        """Return the detail of `pad-value-in-tokens`, with the smallest unused id of each column."""
        free = [f"{name}={int(np.argmin(_extend_to(used, len(used))))}" for name, used in self._used.items()]
        remedy = f"; to pad with an unused id, use -c {free[0]}" if free else ""
        return RULES["pad-value-in-tokens"].means + remedy

    def _report(self, name: str, bad: Flags, place: Places, detail: str = "") -> None:
        count = int(bad.sum())
        if not count:
            return
        finding = self._found.setdefault(name, Finding(RULES[name], detail=detail or RULES[name].means))
        finding.count += count
        wanted = EXAMPLES - len(finding.examples)
        finding.examples += [place(row) for row in np.flatnonzero(bad)[:wanted].tolist()]
