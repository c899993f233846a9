"""Arguments of the wrong type or range raise a SpecError that names the argument."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from raised import raises_error

import padmask
from padmask import (
    Column,
    FileOptions,
    MaskSpec,
    ModelProof,
    PadSpec,
    ProofSpec,
    ReadOptions,
    RowPolicy,
    RuleSpec,
    ShowSpec,
    SpecError,
    UnpadSpec,
)
from padmask.shards.processes import Processes
from padmask.spec.verify import ModelSpec, ReferenceSpec

# Values that are not whole numbers.
NO_NUMBERS: list[Any] = ["3", 1.5, 2.0, True, False, np.True_, np.float32(1), [1], np.array([1, 2]), b"1", 1j]
NO_FLAGS: list[Any] = [0, 1, "yes", None, [], 0.0]
NO_TEXTS: list[Any] = [5, b"name", ["name"], True, 1.5]


def proof(**given: Any) -> Any:
    return ModelProof(**{"spec": ModelSpec(), "model": "m.keras"} | given)


AT_LEAST_0: list[tuple[Callable[..., Any], str]] = [
    (PadSpec, "maxlen"),
    (FileOptions, "limit"),
    (ReadOptions, "limit"),
    (ShowSpec, "first"),
    (ShowSpec, "last"),
    (ReferenceSpec, "seed"),
    (ModelSpec, "seed"),
]
AT_LEAST_1: list[tuple[Callable[..., Any], str]] = [
    (PadSpec, "pad_to_multiple_of"),
    (FileOptions, "batch_rows"),
    (FileOptions, "threads"),
    (FileOptions, "max_bytes"),
    (ReadOptions, "batch_rows"),
    (ReadOptions, "threads"),
    (ShowSpec, "sample"),
    (ProofSpec, "sample"),
    (proof, "sample"),
    (ReferenceSpec, "embedding_dim"),
    (ReferenceSpec, "units"),
    (ReferenceSpec, "vocab_size"),
    (ReferenceSpec, "batch_size"),
    (ModelSpec, "vocab_size"),
    (ModelSpec, "batch_size"),
]


def _id(value: Any) -> str:
    return f"{getattr(value, '__name__', value)}"


@pytest.mark.parametrize(("make", "name"), [*AT_LEAST_0, *AT_LEAST_1, (ShowSpec, "seed")], ids=_id)
def test_numbers_of_the_wrong_type(make, name):
    for value in NO_NUMBERS:
        if not (name == "maxlen" and isinstance(value, str)):
            with raises_error(SpecError, option=name):
                make(**{name: value})


@pytest.mark.parametrize(("make", "name"), [*AT_LEAST_0, *AT_LEAST_1], ids=_id)
def test_numbers_out_of_range(make, name):
    least = 0 if (make, name) in AT_LEAST_0 else 1
    for value in (least - 1, -5):
        with raises_error(SpecError, f"at least {least}", value, option=name):
            make(**{name: value})
    assert getattr(make(**{name: least}), name) == least


@pytest.mark.parametrize(("make", "name"), [*AT_LEAST_0, *AT_LEAST_1], ids=_id)
def test_numpy_numbers_become_ints(make, name):
    assert type(getattr(make(**{name: np.int64(4)}), name)) is int


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (PadSpec, "dtype_for_all"),
        (MaskSpec, "overwrite"),
        (UnpadSpec, "keep_mask"),
        (FileOptions, "fixed_size_list"),
        (RuleSpec, "strict"),
        (proof, "allow_unsafe"),
        (ModelSpec, "explain"),
    ],
    ids=_id,
)
def test_flags_of_the_wrong_type(make, name):
    for value in NO_FLAGS:
        with raises_error(SpecError, option=name):
            make(**{name: value})
    assert getattr(make(**{name: np.True_}), name) is True


def test_optional_flag_of_the_wrong_type():
    assert ModelSpec(empty_rows=None).empty_rows is None
    for value in [value for value in NO_FLAGS if value is not None]:
        with raises_error(SpecError, option="empty_rows"):
            ModelSpec(empty_rows=value)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (PadSpec, "maxlen"),
        (PadSpec, "padding"),
        (PadSpec, "truncating"),
        (PadSpec, "dtype"),
        (Column, "name"),
        (lambda **given: Column("x", **given), "dtype"),
        (MaskSpec, "column"),
        (MaskSpec, "dtype"),
        (MaskSpec, "length_column"),
        (UnpadSpec, "mask_column"),
        (UnpadSpec, "length_column"),
        (UnpadSpec, "padding"),
        (RowPolicy, "overlong"),
        (RowPolicy, "empty_rows"),
        (RowPolicy, "on_error"),
        (ReadOptions, "input_format"),
        (FileOptions, "input_format"),
        (FileOptions, "output_format"),
        (FileOptions, "rejects"),
        (ProofSpec, "backend"),
        (ProofSpec, "device"),
        (proof, "model"),
        (proof, "custom_objects"),
        (ModelSpec, "name"),
        (ModelSpec, "padding"),
    ],
    ids=_id,
)
def test_texts_of_the_wrong_type(make, name):
    # A length may be a number.
    for value in [b"name", ["name"], True, 1.5] if name == "maxlen" else NO_TEXTS:
        with raises_error(SpecError, name):
            make(**{name: value})


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (ReadOptions, {"input_format": "csv"}),
        (FileOptions, {"input_format": "csv"}),
        (FileOptions, {"output_format": "csv"}),
        (ProofSpec, {"backend": "mxnet"}),
        (ProofSpec, {"device": "tpu"}),
        (ProofSpec, {"reference": 5}),
        (proof, {"spec": None}),
        (proof, {"inputs": ["a"]}),
        (proof, {"inputs": {"a": 5}}),
        (RuleSpec, {"allow": "row-fully-masked"}),
        (RuleSpec, {"allow": 5}),
        (RuleSpec, {"allow": [5]}),
        (ReferenceSpec, {"routes": (5,)}),
    ],
    ids=_id,
)
def test_other_fields(make, given):
    with pytest.raises(SpecError):
        make(**given)


TABLE = pa.table({"x": [[1, 2], [3]]})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in.jsonl").write_text('{"x":[1,2]}\n')
    return tmp_path / "in.jsonl"


CALLS: list[tuple[str, Callable[[Path, Any], Any]]] = [
    ("threads", lambda _, value: padmask.pad([[1]], threads=value)),
    ("maxlen", lambda _, value: padmask.pad_sequences([[1]], maxlen=value)),
    ("maxlen", lambda _, value: padmask.sequence_mask([1], maxlen=value)),
    ("workers", lambda source, value: padmask.inspect_file(source, workers=value)),
    ("workers", lambda source, value: padmask.pad_dataset(source, source.parent / "o", workers=value)),
    (
        "shard_bytes",
        lambda source, value: padmask.pad_dataset(source, source.parent / "o", shard_bytes=value),
    ),
    ("workers", lambda _, value: Processes(value)),
]


@pytest.mark.parametrize(("name", "call"), CALLS, ids=[f"{i}-{name}" for i, (name, _) in enumerate(CALLS)])
def test_numbers_of_calls(source, name, call):
    for value in [*NO_NUMBERS, -1]:
        with raises_error(SpecError, f"`{name}`"):
            call(source, value)
    assert [path.name for path in source.parent.iterdir()] == ["in.jsonl"]


OBJECTS: dict[str, Callable[[Path, Any], Any]] = {
    "pad spec": lambda _, value: padmask.pad([[1]], value),
    "pad_table spec": lambda _, value: padmask.pad_table(TABLE, spec=value),
    "pad_table mask": lambda _, value: padmask.pad_table(TABLE, mask=value),
    "unpad_table spec": lambda _, value: padmask.unpad_table(padmask.pad_table(TABLE), spec=value),
    "pad_file spec": lambda source, value: padmask.pad_file(source, source.parent / "o.jsonl", spec=value),
    "pad_file mask": lambda source, value: padmask.pad_file(source, source.parent / "o.jsonl", mask=value),
    "pad_file policy": lambda source, value: padmask.pad_file(
        source, source.parent / "o.jsonl", policy=value
    ),
    "pad_file files": lambda source, value: padmask.pad_file(source, source.parent / "o.jsonl", files=value),
    "unpad_file spec": lambda source, value: padmask.unpad_file(
        source, source.parent / "o.jsonl", spec=value
    ),
    "unpad_file files": lambda source, value: padmask.unpad_file(
        source, source.parent / "o.jsonl", files=value
    ),
    "pad_dataset spec": lambda source, value: padmask.pad_dataset(source, source.parent / "o", spec=value),
    "pad_dataset files": lambda source, value: padmask.pad_dataset(source, source.parent / "o", files=value),
    "pad_dataset resume": lambda source, value: padmask.pad_dataset(
        source, source.parent / "o", resume=value
    ),
    "inspect_file files": lambda source, value: padmask.inspect_file(source, files=value),
    "verify_file files": lambda source, value: padmask.verify_file(source, files=value),
    "inspect_file show": lambda source, value: padmask.inspect_file(source, show=value),
    "inspect_file specs": lambda source, value: padmask.inspect_file(source, specs=[value]),
    "verify_file spec": lambda source, value: padmask.verify_file(source, spec=value),
    "verify_file rules": lambda source, value: padmask.verify_file(source, rules=value),
    "verify_file proof": lambda source, value: padmask.verify_file(source, proof=value),
    "columns of a table": lambda _, value: padmask.pad_table(TABLE, value),
    "one column": lambda _, value: padmask.pad_table(TABLE, [value]),
    "columns of a file": lambda source, value: padmask.inspect_file(source, columns=value),
}


@pytest.mark.parametrize("call", OBJECTS.values(), ids=OBJECTS)
def test_objects_of_the_wrong_type(source, call):
    for value in (5, 1.5, {1: 2}):
        with pytest.raises(SpecError):
            call(source, value)


@pytest.mark.parametrize("value", [None, True, [1], b"x", np.array([1, 2])], ids=_id)
@pytest.mark.parametrize("dtype", ["int32", "float32", "string"])
def test_pad_values_of_wrong_types(value, dtype):
    rows = [["a"]] if dtype == "string" else [[1]]
    with raises_error(SpecError, option="value"):
        padmask.pad(rows, PadSpec(value=value, dtype=dtype, dtype_for_all=True))


def test_numpy_multiple():
    padded = padmask.pad_table(TABLE, spec=PadSpec(pad_to_multiple_of=np.int64(4)))
    assert padded["x"].to_pylist() == [[1, 2, 0, 0], [3, 0, 0, 0]]


def test_bad_lengths():
    for lengths in ([[1], [2, 3]], [[1]], [True], [1.0], "ab", None):
        with raises_error(SpecError, "`lengths`"):
            padmask.sequence_mask(lengths)


def test_unknown_dtype():
    with raises_error(SpecError, "`dtype`", "int33"):
        padmask.pad_sequences([[1]], dtype="int33")


@pytest.mark.parametrize("maxlen", [2**70, 2**63, 2**62, 10**15])
def test_lengths_beyond_memory(maxlen):
    for call in (
        lambda: padmask.pad([[1]], PadSpec(maxlen=maxlen)),
        lambda: padmask.pad_sequences([[1]], maxlen=maxlen),
        lambda: padmask.sequence_mask([1], maxlen=maxlen),
    ):
        with raises_error(SpecError, "`maxlen`"):
            call()


@pytest.mark.parametrize("wrong", [5, None, b"in.jsonl", ["in.jsonl", 5], "in\0.jsonl"], ids=_id)
def test_paths_of_wrong_types(tmp_path, wrong):
    good, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    good.write_text('{"input_ids": [1, 2]}\n')
    for call in (
        lambda: padmask.pad_file(wrong, out),
        lambda: padmask.pad_file(good, wrong),
        lambda: padmask.pad_dataset(wrong, tmp_path / "padded"),
        lambda: padmask.pad_dataset(good, wrong),
        lambda: padmask.unpad_file(wrong, out),
        lambda: padmask.unpad_file(good, wrong),
        lambda: padmask.inspect_file(wrong),
        lambda: padmask.verify_file(wrong, proof=None),
    ):
        with raises_error(SpecError, "path"):
            call()


@pytest.mark.parametrize(
    ("name", "value"), [("dtype", []), ("dtype", "V4"), ("value", []), ("value", np.empty((0, 2)))]
)
def test_empty_dtypes_and_values(name, value):
    with raises_error(SpecError, f"`{name}`"):
        padmask.pad_sequences([[1], [2, 3]], **{name: value})


def test_masked_values_are_refused():
    rows = [np.ma.array([1, 2]), np.ma.array([1, 2], mask=[0, 1])]
    for call in (padmask.pad, padmask.pad_sequences):
        with raises_error(padmask.DataError, place="row 1"):
            call(rows)
        assert call(rows[:1]) is not None


def test_empty_vectors():
    assert padmask.pad_sequences([[[]], [[], []]]).shape == (2, 2, 0)
    assert padmask.pad([[[]], [[], []]]).mask.tolist() == [[True, False], [True, True]]


READERS: dict[str, Callable[..., Any]] = {
    "inspect_file": padmask.inspect_file,
    "verify_file": padmask.verify_file,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    "option",
    [{"output_format": "jsonl"}, {"rejects": "r.jsonl"}, {"fixed_size_list": True}, {"max_bytes": 9}],
    ids=_id,
)
def test_readers_refuse_output_options(source, read, option):
    with raises_error(SpecError, "ReadOptions", option=next(iter(option))):
        read(source, files=FileOptions(**option))


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_readers_accept_file_options(source, read):
    assert read(source, files=FileOptions(limit=1, threads=2)) is not None
