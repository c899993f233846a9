"""The names of the warnings. `--allow NAME` acknowledges a warning."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

# Meaning of `no-end-mark`, which is also a rule.
LACKS_END = "the Arrow stream has no end-of-stream marker, so rows may be missing"

# What each warning means. Rules of `verify` and `inspect` with the same name have the same meaning.
WARNINGS = {
    "no-rows-read": "the input has no rows",
    "no-rows-written": "no input row was written",
    "no-tokens-left": "maxlen is 0, so the output has no tokens",
    "ends-lost": "truncation removed a first or last token that most rows share, such as [SEP]",
    "row-fully-masked": "rows without real tokens cause NaN in pooling and attention layers",
    "non-finite": "rows with NaN or infinite tokens make outputs and gradients NaN",
    "columns-left-out": "columns with the same lengths as the tokens were not padded or packed",
    "lengths-differ": "a column that should have one value per token has rows of other lengths",
    "type-not-padded": "a column has a type that padmask cannot pad or pack",
    "mask-uncertain": "a mask looks inverted, or a column was not checked because its mask is unknown",
    "late-column": "a column has no values in the first rows, so the column was not padded or checked",
    "batch-dimension": (
        "each row contains a single vector; an outer axis of length 1 is usually a leftover batch dimension"
    ),
    "maybe-padded": "a column looks like a mask, so the input may already be padded",
    "mask-not-described": "the output format does not store the polarity and kind of the mask",
    "non-finite-value": "the pad value is NaN or infinite, and a mask does not hide such a value",
    "no-end-mark": LACKS_END,
    "unlisted-file": "the _padmask.json of the folder does not list the file",
    "files-not-read": "some input files were not read",
    "repeated-file": "the inputs contain a file more than once, but the file was read only once",
    "splits-joined": "the output contains several splits of a dataset",
    "class-names-lost": "the names of class labels are not in the output",
    "column-not-written": "the output format cannot store the column",
    "files-deleted": "files of an earlier run were deleted from the output folder",
    "files-replaced": "files in the output folder were replaced",
    "shards-repeated": "finished shards of an interrupted run were deleted, because --resume was not set",
    "still-padded": "columns that are padded, or may be padded, were not unpadded",
    "mask-kept": "the mask and length columns stay in the output, because some columns are still padded",
    "order-not-restored": "the rows are not in the order of the source rows",
    "pieces-not-joined": "windows, or pieces of split rows, were not joined",
    "pieces-missing": "the first tokens of some source rows are missing",
    "packed-rows-missing": "the input has fewer packed rows than pack wrote",
    "random-input": "an input of the model receives random values, because the data has no column for it",
    "sequences-not-separated": "the rows are packed, but no column separates their sequences",
}


class Warned(str):
    """A warning to the user: a text with a name.

    >>> warned = Warned("no-rows-read", "no rows were read")
    >>> warned, warned.name, warned.allowed
    ('no rows were read', 'no-rows-read', False)

    Args:
        name: name of the warning, a key of `WARNINGS`.
        text: text of the warning.
        allowed: whether the user hides the warning with `--allow`.
    """

    name: str
    allowed: bool

    def __new__(cls, name: str, text: str, allowed: bool = False) -> Warned:
        if name not in WARNINGS:
            raise KeyError(name)
        warned = super().__new__(cls, text)
        warned.name, warned.allowed = name, allowed
        return warned

    def __getnewargs__(self) -> tuple[str, str, bool]:  # type: ignore[override]  # for pickle and copy
        return self.name, str(self), self.allowed

    def as_dict(self) -> dict[str, Any]:
        """Return the warning as a dict for JSON reports."""
        return {"name": self.name, "text": str(self), "allowed": self.allowed}


def acknowledge(notes: Iterable[str], allow: Collection[str]) -> tuple[str, ...]:
    """Return notes in which the warnings in `allow` are marked as allowed.

    >>> [note] = acknowledge([Warned("no-rows-read", "no rows were read")], ["no-rows-read"])
    >>> note.allowed
    True

    Args:
        notes: warnings and other notes. Notes that are not warnings have no name, and stay unchanged.
        allow: names of the warnings to acknowledge.
    """
    return tuple(
        Warned(note.name, str(note), True) if isinstance(note, Warned) and note.name in allow else note
        for note in notes
    )


def is_allowed(note: str) -> bool:
    """Return whether a note is a warning that the user hides with `--allow`."""
    return isinstance(note, Warned) and note.allowed


def warnings_in(notes: Iterable[str]) -> list[dict[str, Any]]:
    """Return the warnings among notes as dicts for JSON reports."""
    return [note.as_dict() for note in notes if isinstance(note, Warned)]
