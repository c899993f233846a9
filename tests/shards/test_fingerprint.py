"""The fingerprint of a job changes with every option that changes the output."""

import json
from dataclasses import fields, replace

import pytest
from raised import has_facts

from padmask.shards.fingerprint import WITHOUT_EFFECT, Fingerprint, describe_request
from padmask.spec.batches import BatchSpec
from padmask.spec.columns import Column
from padmask.spec.files import FileOptions
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import PackSpec
from padmask.spec.pad import PadSpec, RowPolicy
from padmask.spec.windows import WindowSpec
from padmask.stream.job import PadRequest

REQUEST = PadRequest(None, PadSpec(maxlen=8), MaskSpec(), RowPolicy())
FILES = FileOptions()

# Another value for each field of a request; a field that is missing here fails the test.
OTHER = {
    PadSpec: {
        "maxlen": 16,
        "padding": "pre",
        "truncating": "pre",
        "value": 7,
        "dtype": "int64",
        "pad_to_multiple_of": 8,
        "dtype_for_all": True,
        "own_lengths": {"labels": 4},
        "keep_first": 1,
        "keep_last": 1,
        "windows": WindowSpec(overlap=1),
        "int_dtype": "int64",
        "label_value": -1,
        "buckets": 4,
        "batches": BatchSpec(tokens=8192),
        "packing": PackSpec(),
        "source_row": False,
    },
    MaskSpec: {
        "column": "real",
        "dtype": "int8",
        "length_column": "length",
        "overwrite": True,
        "named": True,
        "allow_padded": True,
        "own": {"labels": "labels_mask"},
        "polarity": "padding",
        "kind": "additive",
        "position_ids": "position_ids",
        "labels_from": "input_ids",
        "if_missing": ("labels_from",),
    },
    RowPolicy: {"overlong": "drop", "empty_rows": "drop", "on_error": "skip"},
    FileOptions: {
        "input_format": "jsonl",
        "output_format": "arrow",
        "limit": 5,
        "rejects": "bad.jsonl",
        "fixed_size_list": True,
        "batch_rows": 9,
        "threads": 3,
        "max_bytes": 10**6,
    },
}
FIELDS = [(kind, field.name) for kind in OTHER for field in fields(kind)]


def changed(kind: type, name: str) -> tuple[PadRequest, FileOptions]:
    """Return the request with one field changed."""
    value = OTHER[kind][name]
    if kind is FileOptions:
        return REQUEST, replace(FILES, **{name: value})
    part = {PadSpec: "spec", MaskSpec: "mask", RowPolicy: "policy"}[kind]
    return replace(REQUEST, **{part: replace(getattr(REQUEST, part), **{name: value})}), FILES


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=lambda part: getattr(part, "__name__", part))
def test_each_field_counts(kind, name):
    same = describe_request(*changed(kind, name)) == describe_request(REQUEST, FILES)
    assert same == (name in WITHOUT_EFFECT)


def test_columns_count():
    asked = replace(REQUEST, columns=["input_ids"])
    assert describe_request(asked, FILES) != describe_request(REQUEST, FILES)
    assert describe_request(replace(REQUEST, columns=("input_ids",)), FILES) == describe_request(asked, FILES)


def test_options_are_json():
    """The options are plain JSON values, so that other tools can read them from the manifest."""
    for kind, name in FIELDS:
        options = describe_request(*changed(kind, name))
        assert json.loads(json.dumps(options, allow_nan=False)) == options
    asked = replace(REQUEST, columns=[Column("labels", value=float("-inf")), "input_ids"])
    [first, second] = describe_request(asked, FILES)["columns"]
    assert (first, second) == ({"name": "labels", "dtype": None, "value": "-inf"}, "input_ids")


def test_options_as_text_are_not_compared():
    """Manifests of earlier versions have text such as `PadSpec(...)`."""
    new = Fingerprint("a", describe_request(REQUEST, FILES), {})
    [text] = new.list_differences(Fingerprint("b", {"maxlen": "8", "limit": "None"}, {}))
    assert has_facts(text, "older version")


def test_request_has_known_parts():
    parts = {field.name for field in fields(PadRequest)}
    assert parts == {"columns", "spec", "mask", "policy"}
