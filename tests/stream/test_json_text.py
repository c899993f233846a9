"""Ids that are processed as text have the same output, counts and errors as numbers."""

import json

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from raised import raises_error

from padmask.core.columns import PadColumn
from padmask.core.plan import Plan
from padmask.errors import DataError, PadmaskError
from padmask.formats.contract import Chunk, Wanted
from padmask.formats.jsonl.id_texts import read_ids
from padmask.formats.jsonl.tokens import read_items
from padmask.spec.columns import Column
from padmask.spec.files import FileOptions
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec, RowPolicy
from padmask.stream import pad as pipeline
from padmask.stream import passes
from padmask.stream.job import Job
from padmask.stream.json_text import read_text_rows
from padmask.stream.json_text_unpad import ItemTexts
from padmask.stream.pad import pad_file
from padmask.stream.paddable_rows import PadTarget

EDGES = [0, 1, -1, 999_999_999, 10**9, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, 2**63, 9999, 32767, -100, 65535]
ids = st.lists(st.sampled_from(EDGES) | st.integers(0, 40_000), max_size=7)
blanks = st.sampled_from(["", " ", "\t", "  "])


@st.composite
def lists(draw):
    """Generate the text of a token list, usually plain, with some whitespace."""
    if draw(st.integers(0, 30)) == 0:
        odd = ["null", "7", "[[1]]", "[1.0]", "[-0]", "[1e3]", "{}", '"[1]"', "[true]", '["7"]', "[1,null]"]
        return draw(st.sampled_from(odd))
    blank = draw(blanks)
    return "[" + blank + f"{blank},{blank}".join(map(str, draw(ids))) + blank + "]"


@st.composite
def lines(draw):
    """Generate a line of JSON with ids, optional labels and other fields, or an invalid line."""
    if draw(st.integers(0, 40)) == 0:
        return draw(st.sampled_from(["", "  ", "{", "[]", '{"a": 1}', '{"input_ids": [1]} x', "null"]))
    tokens = draw(lists())
    fields = [f'"input_ids":{tokens}']
    if draw(st.booleans()):
        fields.append(f'"labels": {draw(st.sampled_from([tokens, tokens, tokens, "[-100, 2]"]))}')
    if draw(st.booleans()):
        fields.insert(
            draw(st.integers(0, 1)), f'"text": {json.dumps(draw(st.text(max_size=4)), ensure_ascii=False)}'
        )
    if draw(st.integers(0, 20)) == 0:
        fields.append(draw(st.sampled_from(['"mask": [1]', '"length": 9', '"input_ids": [3]'])))
    return "{" + draw(blanks) + ", ".join(fields) + "}"


asked = st.fixed_dictionaries(
    {
        "columns": st.sampled_from(
            [
                None,
                ["input_ids"],
                [Column("input_ids", "int64", 7)],
                [Column("input_ids", "uint16", 65535)],
                [Column("input_ids", "int16", -3)],
                ["input_ids", Column("labels", value=-100)],
            ]
        ),
        "spec": st.builds(
            PadSpec,
            maxlen=st.sampled_from([0, 1, 3, 5, "longest", "p50"]),
            padding=st.sampled_from(["pre", "post"]),
            truncating=st.sampled_from(["pre", "post"]),
        ),
        "mask": st.builds(
            MaskSpec,
            column=st.sampled_from([None, "mask"]),
            dtype=st.sampled_from(["bool", "int8"]),
            length_column=st.sampled_from([None, "length"]),
            overwrite=st.booleans(),
        ),
        "policy": st.builds(
            RowPolicy,
            overlong=st.sampled_from(["truncate", "drop", "error"]),
            empty_rows=st.sampled_from(["keep", "drop", "error"]),
            on_error=st.sampled_from(["skip", "skip", "fail"]),
        ),
        "batch_rows": st.sampled_from([None, 1, 2]),
    }
)


def outcome(folder, text, asked):
    """The visible result of a run."""
    source, output, rejects = folder / "in.jsonl", folder / "out.jsonl", folder / "rejects.jsonl"
    source.write_text(text, encoding="utf-8")
    output.unlink(missing_ok=True)
    rest = {name: value for name, value in asked.items() if name != "batch_rows"}
    files = FileOptions(rejects=str(rejects), batch_rows=asked["batch_rows"])
    try:
        result = pad_file(source, output, files=files, **rest)
    except PadmaskError as error:
        return type(error), str(error), output.exists()
    return result, output.read_bytes(), rejects.read_bytes()


@settings(max_examples=40, deadline=None)
@given(st.lists(lines(), max_size=8).map("\n".join), asked)
@example('{"input_ids":[1,2,3]}\n{"input_ids":[]}', {"batch_rows": None})
@example('{"input_ids":[1.0]}\n{"input_ids":[1000000000]}', {"batch_rows": None})
@example('{"input_ids":[]}', {"spec": PadSpec(maxlen=2, padding="pre"), "batch_rows": None})
def test_text_equals_numbers(tmp_path_factory, text, asked):
    folder = tmp_path_factory.mktemp("text")
    as_text = outcome(folder, text, asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "can_pad_as_text", lambda job: False)
        as_numbers = outcome(folder, text, asked)
    assert as_text == as_numbers


def text_rows(*lines, columns=("x",), mask=None, spec=None, policy=None, longest=None):
    """Convert lines to rows that can be padded as text, and return them with their job."""
    columns = [PadColumn(name, "int", "int32", 0) if isinstance(name, str) else name for name in columns]
    schema = pa.schema([(column.name, pa.list_(pa.int64())) for column in columns])
    job = Job(columns, spec or PadSpec(), mask or MaskSpec(), policy or RowPolicy(), Wanted(schema))
    chunk = Chunk("in.jsonl", 1, "".join(line + "\n" for line in lines).encode(), 0)
    return read_text_rows(chunk, job, longest), job


def padded(rows, job, maxlen):
    """Pad a part of the rows, and return the lines and the counts."""
    encoded, done = rows.pad(PadTarget(job, Plan(maxlen, "given", maxlen), writer=None))
    return encoded.decode().splitlines(), done.ledger


@pytest.mark.parametrize(
    ("padding", "truncating", "expected"),
    [
        ("post", "post", ["[0,0,0]", "[7,0,0]", "[1,2,3]", "[10,20,30]"]),
        ("post", "pre", ["[0,0,0]", "[7,0,0]", "[1,2,3]", "[20,30,40]"]),
        ("pre", "post", ["[0,0,0]", "[0,0,7]", "[1,2,3]", "[10,20,30]"]),
        ("pre", "pre", ["[0,0,0]", "[0,0,7]", "[1,2,3]", "[20,30,40]"]),
    ],
)
def test_ids_are_padded_as_text(padding, truncating, expected):
    spec = PadSpec(padding=padding, truncating=truncating)
    lines = ['{"x":[]}', '{"x":[7]}', '{"x":[1, 2, 3]}', '{"x":[10,20,30,40]}']
    rows, job = text_rows(*lines, mask=MaskSpec(column=None), spec=spec)
    found, ledger = padded(rows, job, 3)
    assert found == [f'{{"x":{ids}}}' for ids in expected]
    assert (ledger.rows_read, ledger.rows_written, ledger.rows_empty, ledger.rows_truncated) == (4, 4, 1, 1)
    assert (ledger.tokens_read, ledger.tokens_kept, ledger.places) == (8, 7, 12)


@pytest.mark.parametrize("padding", ["post", "pre"])
def test_rows_without_places_are_empty(padding):
    rows, job = text_rows('{"x":[5]}', '{"x":[]}', spec=PadSpec(padding=padding))
    assert padded(rows, job, 0)[0] == ['{"x":[],"mask":[]}'] * 2


@pytest.mark.parametrize(
    ("padding", "dtype", "masks"),
    [
        ("post", "bool", ["[true,false]", "[true,true]", "[false,false]", "[true,false]"]),
        ("pre", "bool", ["[false,true]", "[true,true]", "[false,false]", "[false,true]"]),
        ("post", "int8", ["[1,0]", "[1,1]", "[0,0]", "[1,0]"]),
        ("pre", "int64", ["[0,1]", "[1,1]", "[0,0]", "[0,1]"]),
    ],
)
def test_masks_and_lengths_are_added(padding, dtype, masks):
    mask = MaskSpec(column="m", dtype=dtype, length_column="n")
    rows, job = text_rows(
        *(f'{{"x":{ids}}}' for ids in ([1], [1, 2, 3], [], [4])), mask=mask, spec=PadSpec(padding=padding)
    )
    found = [line.partition(',"m":')[2] for line in padded(rows, job, 2)[0]]
    assert found == [f'{m},"n":{n}}}' for m, n in zip(masks, [1, 2, 0, 1], strict=True)]


def test_columns_have_their_own_values():
    columns = [PadColumn("x", "int", "int32", 7), PadColumn("labels", "int", "int64", -100)]
    rows, job = text_rows('{"labels":[-100,5,6],"x":[1,2,3],"t":"é"}', columns=columns)
    (line,), ledger = padded(rows, job, 5)
    assert json.loads(line) == {
        "labels": [-100, 5, 6, -100, -100],
        "x": [1, 2, 3, 7, 7],
        "t": "é",
        "mask": [True] * 3 + [False] * 2,
    }
    assert ledger.labels_lost == 0
    # The last one of -100, 5 and 6 is cut off.
    assert padded(*text_rows('{"labels":[-100,5,6],"x":[1,2,3]}', columns=columns), 2)[1].labels_lost == 1


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_pieces_hold_every_row_once(size):
    rows, job = text_rows(*(f'{{"x":{list(range(n))}}}' for n in range(5)), mask=MaskSpec(column=None))
    pieces = list(rows.split(job, Plan(5, "given", 5), size, 0))
    lines, ledgers = zip(*(padded(piece, job, 5) for piece in pieces), strict=True)
    assert max(map(len, lines)) <= size
    rows_out = [json.loads(line)["x"] for piece in lines for line in piece]
    assert rows_out == [[*range(n), *[0] * (5 - n)] for n in range(5)]
    assert sum(ledger.rows_read for ledger in ledgers) == 5
    assert (
        sum(ledger.tokens_read for ledger in ledgers) == sum(ledger.tokens_kept for ledger in ledgers) == 10
    )


@pytest.mark.parametrize(
    ("lines", "asked"),
    [
        ([], {}),
        (['{"x":[1]}', '{"y":[1]}'], {}),
        (['{"x":[1,2]}', '{"x":[]}'], {"policy": RowPolicy(empty_rows="drop")}),
        (['{"x":[1,2]}', '{"x":[1,2,3]}'], {"longest": 2}),
        (['{"x":[1],"mask":[1]}'], {}),
        (['{"x":[1],"n":1}'], {"mask": MaskSpec(length_column="n")}),
        (['{"x":[1],"labels":[1,2]}'], {"columns": ("x", "labels")}),
    ],
    ids=["no rows", "no key", "empty row", "long row", "mask", "length", "unequal"],
)
def test_other_rows_are_left_to_columns(lines, asked):
    assert text_rows(*lines, **asked)[0] is None


def test_kept_rows_stay_text():
    assert text_rows('{"x":[1,2]}', longest=2)[0] is not None
    assert text_rows('{"x":[1],"mask":[1]}', mask=MaskSpec(overwrite=True))[0] is not None
    assert text_rows('{"x":[]}')[0].lengths.tolist() == [0]


def test_ids_that_surely_fit_are_read():
    # One digit fewer than the largest number.
    assert read_ids(raws("[999999999,-99999999]", "[ ]", "[0]"), "int32").lengths.tolist() == [2, 0, 1]
    assert read_ids(raws("[9999]"), "int16") is not None
    assert read_ids(raws("[99999]"), "int16") is None


def raws(*texts):
    return [msgspec.Raw(text.encode()) for text in texts]


@pytest.mark.parametrize(
    ("text", "dtype"),
    [("[-0]", "int32"), ("[1234567890]", "int32"), ("[-1]", "uint16"), ("[1.5]", "int32"), ("7", "int32")],
)
def test_other_ids_are_not_text(text, dtype):
    assert read_ids(raws("[1]", text), dtype) is None
    assert read_ids(raws(text), dtype) is None


def test_brackets_count_per_row():
    assert read_ids(raws("[1]", "5", "[[2]]"), "int32") is None
    assert read_ids(raws("[[1]]", "5"), "int32") is None
    assert read_ids(raws("5", "[[1]]"), "int32") is None


def test_real_files_are_read_as_text(tmp_path):
    # Otherwise only the run time would show that the module is unused.
    seen = []
    original = passes.read_text_rows

    def watched(*arguments):
        found = original(*arguments)
        seen.append(found is not None)
        return found

    source = tmp_path / "in.jsonl"
    rows = ({"input_ids": [101, *range(2000, 2000 + n % 40), 102], "label": n % 2} for n in range(5000))
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "read_text_rows", watched)
        pad_file(source, tmp_path / "out.jsonl", spec=PadSpec(maxlen="longest"))
    # All chunks are read twice, the first time for the lengths.
    assert len(seen) > 2
    assert all(seen)


def test_overlong_row_is_an_error(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"input_ids": [1, 2, 3]}\n')
    with raises_error(DataError, "3 tokens", "maxlen is 2", place="in.jsonl, line 1", option="overlong"):
        pad_file(source, tmp_path / "o.jsonl", spec=PadSpec(maxlen=2), policy=RowPolicy(overlong="error"))


@given(st.lists(st.lists(st.integers(-99, 99), max_size=4), min_size=1, max_size=5), st.data())
def test_ids_and_items_cut_alike(rows, data):
    """Ids as text and ids as items result in the same lists."""
    starts = [data.draw(st.integers(0, len(row))) for row in rows]
    counts = [data.draw(st.integers(0, len(row) - start)) for row, start in zip(rows, starts, strict=True)]
    picked = np.array(sorted(data.draw(st.sets(st.sampled_from(range(len(rows)))))), dtype=np.int64)
    texts = raws(*(json.dumps(row) for row in rows))
    for tokens in (read_ids(texts, "int64"), ItemTexts(read_items(texts)[0])):
        assert tokens.lengths.tolist() == [len(row) for row in rows]
        cut = tokens.cut(picked, np.array(starts)[picked], np.array(counts)[picked])
        expected = [rows[i][starts[i] : starts[i] + counts[i]] for i in picked.tolist()]
        assert [json.loads(msgspec.json.encode(row)) for row in cut] == expected
