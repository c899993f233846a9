"""`MaskSpec` refuses fields that contradict each other. Presets set the documented fields."""

from __future__ import annotations

from dataclasses import replace

import pytest

from padmask import MaskSpec, SpecError, UnpadSpec, preset
from padmask.spec.presets import PRESETS, preset_mask


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"kind": "additive", "polarity": "padding"}, {"mask_kind", "mask_polarity"}),
        ({"kind": "additive", "dtype": "int32"}, {"mask_kind", "mask_dtype"}),
        ({"kind": "additive", "dtype": "bool"}, {"mask_kind", "mask_dtype"}),
        ({"kind": "other"}, {"mask_kind"}),
        ({"polarity": True}, {"mask_polarity"}),
        ({"position_ids": ""}, {"position_ids"}),
        ({"position_ids": 1}, {"position_ids"}),
        ({"position_ids": "mask"}, {"mask_column", "position_ids"}),
        ({"column": "labels", "labels_from": "ids"}, {"mask_column", "labels_from"}),
        ({"position_ids": "labels", "labels_from": "ids"}, {"position_ids", "labels_from"}),
        ({"if_missing": ["labels"]}, {"if_missing"}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_refused_masks(fields, options):
    with pytest.raises(SpecError) as error:
        MaskSpec(**fields)
    assert set(error.value.options) == options


def test_refused_unpad_spec():
    with pytest.raises(SpecError):
        UnpadSpec(mask_kind="additive", mask_polarity="padding")


@pytest.mark.parametrize(("value", "name"), [(True, "position_ids"), (False, None), ("places", "places")])
def test_position_ids_is_a_flag_or_name(value, name):
    assert MaskSpec(position_ids=value).position_ids == name


def test_written_dtype():
    assert MaskSpec().written_dtype == "bool"
    assert MaskSpec(kind="additive").written_dtype == "float32"
    assert MaskSpec(kind="additive", dtype="float64").written_dtype == "float64"


@pytest.mark.parametrize(
    ("name", "ids", "mask"),
    [
        ("hf", "int64", ("attention_mask", "int64", "real")),
        ("keras", "int32", ("mask", "bool", "real")),
        ("torch", "int64", ("key_padding_mask", "bool", "padding")),
        ("causal-lm", "int64", ("attention_mask", "int64", "real")),
    ],
)
def test_presets_set_the_mask(name, ids, mask):
    spec, made = preset(name, maxlen=8)
    assert (spec.int_dtype, spec.maxlen, spec.padding) == (ids, 8, "post")
    assert (made.column, made.dtype, made.polarity) == mask
    assert (made.labels_from is True) == (name == "causal-lm")
    assert set(PRESETS) == {"hf", "keras", "torch", "causal-lm"}


def test_options_override_presets():
    spec, _ = preset("hf", dtype="int16")
    assert (spec.dtype, spec.int_dtype) == ("int16", "int32")
    _, mask = preset("causal-lm", padding="left")
    assert mask.position_ids == "position_ids"
    assert replace(mask, column="m").column == "m"
    fields = preset_mask("causal-lm", "pre", {"labels_from": "x", "position_ids": None})
    assert fields["if_missing"] == ("position_ids",)


def test_unknown_preset():
    with pytest.raises(SpecError) as error:
        preset("pytorch")
    assert error.value.options == ("preset",)
