"""The rules that `verify` and `inspect` check. `--allow` uses the same names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from padmask.spec.warning_names import LACKS_END


@dataclass(frozen=True)
class Rule:
    """A rule that the data must satisfy.

    Args:
        name: name of the rule, for `--allow`.
        severity: `"error"` or `"warning"`; `"allowed"` if the user allows violations with `--allow`.
        means: description of a violation, often with its effect on a model.
        unit: `"row"` if the rule applies to each row, `"file"` if it applies to each file.
        recurrent: whether the rule applies only if a model with recurrent layers runs.
        compares: whether the rule applies only if the rows are compared with their input (`--against`).
    """

    name: str
    severity: str
    means: str
    unit: str = "row"
    recurrent: bool = False
    compares: bool = False


RULES = {
    rule.name: rule
    for rule in (
        Rule("bad-row", "error", "the row cannot be read or padded"),
        Rule("mask-shape", "error", "the mask has values other than 0 and 1, or is not as long as the ids"),
        Rule("rows-unequal", "error", "padded rows have different lengths, so they do not form an array"),
        Rule("mask-not-contiguous", "error", "the mask has padding between real tokens"),
        Rule("mask-wrong-side", "error", "the padding is on a different side than in most rows"),
        Rule("mask-length", "error", "the mask and the length column disagree"),
        Rule("length-range", "error", "the length is null, negative or larger than the row"),
        Rule("mixed-sides", "error", "some files are padded at the end, others at the start", "file"),
        Rule("row-too-long", "error", "the row is longer than the maxlen in the file metadata"),
        Rule("seq-length-range", "error", "a length in seq_lengths is null or less than 1"),
        Rule("seq-lengths-sum", "error", "the length or the mask of the row does not match seq_lengths"),
        Rule("max-segments", "error", "the row has more sequences than the maximum in the file metadata"),
        Rule("derived-column", "error", "the column disagrees with seq_lengths"),
        Rule(
            "boundary-labels",
            "error",
            "the first label of a sequence (or the last label, if labels are shifted) is not -100",
        ),
        Rule("source-rows", "error", "a part of a source row occurs twice or is missing"),
        Rule(
            "packed-counts",
            "error",
            "the numbers of rows, sequences or tokens differ from those in the file metadata",
            "file",
        ),
        Rule(
            "differs-from-input",
            "error",
            "a sequence differs from its source row in the input",
            compares=True,
        ),
        Rule(
            "not-padded",
            "error",
            "the row of the input, or a window of the row, is not in the padded rows",
            compares=True,
        ),
        Rule(
            "not-packed",
            "error",
            "the row of the input, or a part of the row, is not in the packed rows",
            compares=True,
        ),
        Rule("padding-not-pad-value", "error", "a padded position does not have the pad value"),
        Rule("pad-value-in-tokens", "warning", "real tokens have the pad value, so a layer would mask them"),
        Rule("non-finite", "warning", "real tokens are NaN or infinite, so outputs and gradients become NaN"),
        Rule(
            "row-fully-masked",
            "warning",
            "rows without real tokens cause NaN in pooling and attention layers",
        ),
        Rule(
            "cudnn-fallback",
            "warning",
            "cuDNN requires at least one token in each row, and all padding at the end",
            recurrent=True,
        ),
        Rule("unlisted-file", "error", "the _padmask.json of the folder does not list the file", "file"),
        Rule("no-end-mark", "warning", LACKS_END, "file"),
        Rule(
            "unmarked-padding",
            "warning",
            "an earlier run padded the file, but the mask and length columns are missing, so the padding "
            "counts as real tokens",
            "file",
        ),
        Rule("mixed-dtypes", "warning", "the column has different types in different files", "file"),
        Rule(
            "tokens-lost",
            "warning",
            "the row of the input was truncated or dropped, so tokens are lost",
            compares=True,
        ),
        Rule(
            "token-type-segments",
            "warning",
            "the column seems to contain token type ids, but trainers use this column to separate sequences",
        ),
        Rule(
            "ignored-positions",
            "warning",
            "with this attention_mask (ones or sequence numbers), Hugging Face models do not use "
            "position_ids to separate sequences, so tokens attend to other sequences unless the trainer "
            "converts the mask to a block mask",
        ),
        Rule(
            "misaligned-column",
            "warning",
            "the column has a different length from the tokens, although the lengths are equal in most rows",
        ),
        Rule(
            "labels-on-padding", "warning", "labels on padding are not -100, so they are included in the loss"
        ),
    )
}


def rules_in(names: Iterable[str]) -> list[str]:
    """Return the names that belong to rules. Other names, such as names of warnings, are left out.

    >>> rules_in(["ends-lost", "bad-row"])
    ['bad-row']
    """
    return [name for name in names if name in RULES]
