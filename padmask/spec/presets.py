"""Presets for padding: the columns and options that a framework expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from padmask.spec.checks import one_of
from padmask.spec.mask import MADE_OPTIONS, MaskSpec
from padmask.spec.pad import PadSpec


@dataclass(frozen=True)
class Preset:
    """The options of a preset that differ from the defaults.

    Args:
        pad: fields of `PadSpec`.
        mask: fields of `MaskSpec`.
    """

    pad: Mapping[str, Any] = field(default_factory=dict)
    mask: Mapping[str, Any] = field(default_factory=dict)


_INT64 = {"int_dtype": "int64", "label_value": -100}

_ATTENTION_MASK = {"column": "attention_mask", "dtype": "int64", "named": True}

PRESETS: Mapping[str, Preset] = {
    "hf": Preset(_INT64, _ATTENTION_MASK),
    "keras": Preset({}, {"column": "mask", "dtype": "bool", "named": True}),
    "torch": Preset(_INT64, {"column": "key_padding_mask", "dtype": "bool", "polarity": "padding"}),
    "causal-lm": Preset(_INT64, {**_ATTENTION_MASK, "labels_from": True, "if_missing": MADE_OPTIONS}),
}


def preset(name: str, /, **options: Any) -> tuple[PadSpec, MaskSpec]:
    """Return the padding options and the mask that a framework expects.

    >>> spec, mask = preset("hf", maxlen=128)
    >>> spec.int_dtype, mask.column, mask.dtype
    ('int64', 'attention_mask', 'int64')

    Args:
        name: `"hf"` (Hugging Face), `"keras"`, `"torch"` (a `key_padding_mask` that is True at padding), or
            `"causal-lm"` (as `"hf"`, with copies of the ids as labels if the input has no labels, and with
            `position_ids` if `padding` is `"pre"`).
        options: fields of `PadSpec`, which override the preset. To override fields of the mask, use
            `dataclasses.replace`.

    Returns:
        The arguments `spec` and `mask` of `pad_table`, `pad_file` and `pad_dataset`.

    Raises:
        SpecError: there is no preset of this name, or an option is not valid.

    Source: the inputs of Hugging Face Transformers, Keras and `torch.nn.MultiheadAttention`.
    """
    one_of("preset", name, PRESETS)
    fields = {**preset_fields(name), **options}
    if "dtype" in options:
        # The requested dtype also applies to integers.
        del fields["int_dtype"]
    spec = PadSpec(**fields)
    return spec, MaskSpec(**preset_mask(name, spec.padding))


def preset_fields(name: str | None) -> dict[str, Any]:
    """Return the fields of `PadSpec` that a preset sets; empty if there is no preset."""
    return {} if name is None else {"int_dtype": "int32", **PRESETS[name].pad}


def preset_mask(name: str | None, padding: str, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the fields of `MaskSpec` that a preset sets, overridden by requested fields.

    >>> preset_mask("torch", "post", {"kind": "additive", "dtype": None})
    {'column': 'key_padding_mask', 'kind': 'additive'}

    Args:
        name: name of the preset. If None, there is no preset.
        padding: side of the padding.
        asked: requested fields. A field with the value None does not override the preset.
    """
    fields: dict[str, Any] = {} if name is None else dict(PRESETS[name].mask)
    if name == "causal-lm" and padding == "pre":
        # The positions of left-padded rows do not start at the first position.
        fields["position_ids"] = True
    given = {field: value for field, value in (asked or {}).items() if value is not None}
    if given.get("kind") == "additive":
        # The dtype and the polarity of a preset are meant for a binary mask.
        fields = {field: value for field, value in fields.items() if field not in ("dtype", "polarity")}
    if "if_missing" in fields:
        fields["if_missing"] = tuple(option for option in fields["if_missing"] if option not in given)
    return fields | given
