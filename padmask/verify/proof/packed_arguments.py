"""Find what each argument of a model for packed rows contains, from the name of the argument."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from padmask.core.columns import MASK_NAMES
from padmask.errors import SpecError
from padmask.spec.pack import SEQUENCE_LENGTHS
from padmask.verify.proof.packed_sample import LONGEST, PER_SEQUENCE, PackedBatch
from padmask.verify.proof.tolerance import Array

# What an argument contains for packed rows, keyed by its kind in `--input`.
_OF_KINDS = {
    "tokens": "tokens",
    "features": "tokens",
    "mask": "mask",
    "lengths": SEQUENCE_LENGTHS,
    "positions": "position_ids",
    "segments": "segment_ids",
}

# What an argument contains, keyed by a pattern of its usual names.
_USUAL = {
    r"(input_)?ids|tokens|inputs": "tokens",
    r"(.*_)?segment_ids|segments|(.*_)?segmentation|sequence_ids?|seq_idx": "segment_ids",
    r"(.*_)?position_ids|(.*_)?positions?|input_pos": "position_ids",
    r"cu_seq_?lens(_q|_k)?": "cu_seqlens",
    r"max_seq_?len(gth)?s?(_q|_k)?|max_length_[qk]": LONGEST,
    r"seq_start_id": "seq_start_id",
    r"seq_lens": "seq_lens",
    r"seq_?lengths": SEQUENCE_LENGTHS,
    r"block_mask": "block_mask",
    "|".join(("mask", "pad_mask", "padding_mask", *MASK_NAMES)): "mask",
}


@dataclass(frozen=True)
class DataArguments:
    """What the data and the user specify about the arguments of a model.

    Args:
        columns: what each column of the data contains, as a name in `ARGUMENTS`, keyed by column name.
        inputs: name of the column for each argument, keyed by argument name.
        kinds: kind of each argument, as in `--input`, keyed by argument name.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """Return what an argument contains, as specified by the user or the data; None if unspecified."""
        if name in self.kinds:
            return _OF_KINDS.get(self.kinds[name])
        return self.columns.get(self.inputs.get(name, name))

    def guess(self, name: str) -> str | None:
        """Return what an argument contains, according to the user, the data or its name; None if unknown.

        >>> arguments = DataArguments(columns={"attention_mask": "attention_mask"})
        >>> [arguments.guess(name) for name in ("inputs_segmentation", "attention_mask", "mask", "age")]
        ['segment_ids', 'attention_mask', 'mask', None]
        """
        known = self.find(name)
        if known is not None:
            return known
        return next((kind for pattern, kind in _USUAL.items() if re.fullmatch(pattern, name)), None)


@dataclass(frozen=True)
class Arguments:
    """The arguments of a call.

    Args:
        positional: what each positional argument contains, as a name in `ARGUMENTS`.
        named: what each keyword argument contains, keyed by argument name.
    """

    positional: Sequence[str]
    named: Mapping[str, str]

    @property
    def needs_one_row(self) -> bool:
        """Whether a batch must have one row, because an argument has one value for each sequence."""
        return any(kind in PER_SEQUENCE for kind in (*self.positional, *self.named.values()))

    def arrays(self, batch: PackedBatch) -> tuple[list[Any], dict[str, Array | int]]:
        """Return the positional arguments and the keyword arguments."""
        positional = [batch.argument(kind) for kind in self.positional]
        return positional, {name: batch.argument(kind) for name, kind in self.named.items()}


def find_arguments(function: Callable[..., Any], data: DataArguments) -> Arguments:
    """Find the arguments of a function from the names of its parameters.

    The first parameter gets the ids. The second parameter gets the mask, unless its name has another meaning.
    A parameter with a default gets a value only if the data or the user specifies what it contains, or if it
    is the `max_seqlen` of `add_longest`.

    >>> def predict(ids, mask, segment_ids, position_ids=None): ...
    >>> find_arguments(predict, DataArguments()).named
    {'segment_ids': 'segment_ids'}

    Raises:
        SpecError: a parameter has an unknown name.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return Arguments(("tokens", "mask"), {})
    positional: list[str] = []
    named: dict[str, str] = {}
    for number, one in enumerate(parameters):
        if one.kind is one.VAR_POSITIONAL:
            positional += ("tokens", "mask")[len(positional) :]
            continue
        if one.kind is one.VAR_KEYWORD:
            continue
        kind = data.guess(one.name)
        if number < 2 and one.kind is not one.KEYWORD_ONLY and len(positional) == number:
            kind = "tokens" if number == 0 else kind or "mask"
            if number == 0 or one.default is one.empty or data.find(one.name):
                positional.append(kind)
            continue
        if one.default is one.empty and kind is None:
            raise unknown_argument(one.name)
        if kind is not None and (one.default is one.empty or data.find(one.name)):
            if one.kind is one.POSITIONAL_ONLY:
                positional.append(kind)
            else:
                named[one.name] = kind
    kinds = [*positional, *named.values()]
    return Arguments(positional, named | add_longest(kinds, _with_default(parameters), data))


def _with_default(parameters: Sequence[inspect.Parameter]) -> list[str]:
    """Return the names of the parameters that have a default and can be passed by name."""
    return [
        one.name for one in parameters if one.default is not one.empty and one.kind is not one.POSITIONAL_ONLY
    ]


def add_longest(kinds: Collection[str], optional: Sequence[str], data: DataArguments) -> dict[str, str]:
    """Find the arguments with a default that must be set to the length of the longest sequence.

    Kernels that read `cu_seqlens` also need this length. Its argument, `max_seqlen`, often has a default.

    Args:
        kinds: what the other arguments contain.
        optional: names of the arguments with a default.
        data: what the data and the user specify about the arguments.

    Returns:
        What each of these arguments contains, keyed by argument name. Empty if `kinds` lacks `cu_seqlens`.
    """
    if "cu_seqlens" not in kinds:
        return {}
    return {name: LONGEST for name in optional if data.guess(name) == LONGEST}


def unknown_argument(name: str) -> SpecError:
    """Return an error about an argument with an unknown name."""
    return SpecError(
        f"The rows are packed, and the name of the input {name!r} does not say which values it needs. Use a "
        "name such as segment_ids, position_ids, cu_seqlens or mask, or --input "
        f"{quote(f'{name}:KIND')} with one of the kinds {', '.join(_OF_KINDS)}.",
        options=["model_inputs"],
    )
