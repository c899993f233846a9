"""Presets for packing: the columns and options that a trainer expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from padmask.errors import SpecError
from padmask.spec.checks import one_of
from padmask.spec.keywords import spec_with
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import COLUMN, IDS, PackSpec
from padmask.spec.pad import PadSpec


@dataclass(frozen=True)
class PackPreset:
    """The options of a preset that differ from the defaults.

    Args:
        pad: fields of `PadSpec`.
        packing: fields of `PackSpec`.
        mask: fields of `MaskSpec`.
        no_padding: clause that says why the trainer cannot read rows with padding. Empty if the trainer can
            read such rows.
        needs: text about the arguments that prevent the trainer or the model from mixing the sequences of a
            row. The user must pass these arguments. Empty if no arguments are needed.
    """

    pad: Mapping[str, Any] = field(default_factory=dict)
    packing: Mapping[str, Any] = field(default_factory=dict)
    mask: Mapping[str, Any] = field(default_factory=lambda: {"column": None})
    no_padding: str = ""
    needs: str = ""

    def refuse_padding(self, name: str, packing: PackSpec) -> None:
        """Raise an error if the rows would have padding that the trainer cannot read.

        Args:
            name: name of the preset.
            packing: options of the preset, overridden by the options of the caller.

        Raises:
            SpecError: the rows would have padding.
        """
        if not self.no_padding or not packing.has_padding:
            return
        option = "pad" if packing.pad else "align"
        raise SpecError(
            f"Rows for {name!r} cannot have padding, because {self.no_padding}. Remove `{option}`, or choose "
            "another --dialect.",
            options=[option, "dialect"],
        )


_INT64 = {"int_dtype": "int64", "label_value": -100}

# Names of the ids in the output.
_INPUT_IDS = {"renames": {IDS: "input_ids"}}
_TOKENS = {"renames": {IDS: "tokens"}}

# Labels that are copied from the ids if the input has none.
_LABELS = {"labels_from": True, "if_missing": ("labels_from",)}

_PER_COLUMN = PackPreset(
    packing={
        "emit": ("segment_ids", "position_ids"),
        "names": {"segment_ids": f"{COLUMN}_segment_ids", "position_ids": f"{COLUMN}_positions"},
        "position_padding": "zero",
    }
)

PACK_PRESETS: Mapping[str, PackPreset] = {
    "trl": PackPreset(
        packing={"pad": False, **_INPUT_IDS},
        no_padding="TRL makes positions only for the tokens in 'seq_lengths'",
        needs="In TRL, set padding_free=True and max_length=None, and leave packing unset. Otherwise, TRL "
        "mixes the sequences of a row.",
    ),
    "hf": PackPreset(
        _INT64,
        {"emit": ("position_ids",), "index_dtype": "int64", **_INPUT_IDS},
        needs="Call the model with position_ids and use_cache=False, and without attention_mask. Otherwise, "
        "the model mixes the sequences of a row.",
    ),
    "bridge": PackPreset(packing={"pad": False, "emit": ("seq_start_id", "loss_mask"), **_INPUT_IDS}),
    "seqio": _PER_COLUMN,
    "grain": _PER_COLUMN,
    "levanter": PackPreset(
        packing={
            "emit": ("segment_ids", "loss_mask"),
            "first_segment": 0,
            "loss_dtype": "int32",
            **_TOKENS,
        }
    ),
    "llm-foundry": PackPreset(
        _INT64,
        {
            "emit": ("segment_ids",),
            "names": {"segment_ids": "sequence_id"},
            "first_segment": 0,
            "index_dtype": "int64",
            **_INPUT_IDS,
        },
        {"column": "attention_mask", "dtype": "int64", "named": True, **_LABELS},
    ),
    "torchtune": PackPreset(
        _INT64,
        {
            "emit": ("position_ids", "seq_lens"),
            "names": {"position_ids": "input_pos"},
            "position_padding": "continue",
            "index_dtype": "int64",
            "boundary_labels": "shift",
            **_TOKENS,
        },
        {"column": None, **_LABELS},
    ),
}

_PACKING = tuple(field.name for field in fields(PackSpec))


def pack_preset(name: str, /, **options: Any) -> tuple[PadSpec, MaskSpec]:
    """Return the options with which packed rows have the columns and values that a trainer expects.

    >>> spec, mask = pack_preset("llm-foundry", maxlen=2048)
    >>> spec.packing.names, spec.packing.first_segment, mask.column
    ((('segment_ids', 'sequence_id'),), 0, 'attention_mask')

    Args:
        name: `"trl"`, `"hf"` (Hugging Face models), `"bridge"` (NeMo and Megatron-Bridge), `"seqio"`,
            `"grain"`, `"levanter"`, `"llm-foundry"` or `"torchtune"`.
        options: fields of `PadSpec` and `PackSpec`, which override the preset. To override fields of the
            mask, use `dataclasses.replace`.

    Returns:
        The arguments `spec` and `mask` of `pack_table`, `pack_file` and `pack_dataset`.

    Raises:
        SpecError: there is no preset of this name, or an option is not valid.

    Source: the inputs of the trainers, which `docs/packing.md` describes.
    """
    one_of("preset", name, PACK_PRESETS)
    chosen = PACK_PRESETS[name]
    asked = {**chosen.pad, **options}
    if "dtype" in options:
        # The requested dtype also applies to integers.
        asked.pop("int_dtype", None)
    own = {option: asked.pop(option) for option in _PACKING if option in asked}
    asked["packing"] = packing = PackSpec(**{**chosen.packing, **own})
    chosen.refuse_padding(name, packing)
    return spec_with(None, asked), MaskSpec(**chosen.mask)
