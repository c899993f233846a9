"""Ids that keep their text: the same bytes, counts and errors as the careful way, or left to it."""

import json

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from padmask.errors import PadmaskError
from padmask.spec.columns import Column
from padmask.spec.files import FileOptions
from padmask.spec.pad import MaskSpec, PadSpec, RowPolicy
from padmask.stream import pad as pipeline
from padmask.stream import passes
from padmask.stream.json_text import read_ids
from padmask.stream.pad import pad_file

EDGES = [0, 1, -1, 999_999_999, 10**9, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, 2**63, 9999, 32767, -100, 65535]
ids = st.lists(st.sampled_from(EDGES) | st.integers(0, 40_000), max_size=7)
blanks = st.sampled_from(["", " ", "\t", "  "])


@st.composite
def lists(draw):
    """The text of a token list, mostly plain, spaced as people space it."""
    if draw(st.integers(0, 30)) == 0:
        odd = ["null", "7", "[[1]]", "[1.0]", "[-0]", "[1e3]", "{}", '"[1]"', "[true]", '["7"]', "[1,null]"]
        return draw(st.sampled_from(odd))
    blank = draw(blanks)
    return "[" + blank + f"{blank},{blank}".join(map(str, draw(ids))) + blank + "]"


@st.composite
def lines(draw):
    """A line of JSON: ids, labels that go with them or not, fields around them, now and then none at all."""
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
    """Everything that a user sees of a run."""
    source, goal, rejects = folder / "in.jsonl", folder / "out.jsonl", folder / "rejects.jsonl"
    source.write_text(text, encoding="utf-8")
    goal.unlink(missing_ok=True)
    rest = {name: value for name, value in asked.items() if name != "batch_rows"}
    files = FileOptions(rejects=str(rejects), batch_rows=asked["batch_rows"])
    try:
        result = pad_file(source, goal, files=files, **rest)
    except PadmaskError as error:
        return type(error), str(error), goal.exists()
    return result, goal.read_bytes(), rejects.read_bytes()


@settings(max_examples=400, deadline=None)
@given(st.lists(lines(), max_size=8).map("\n".join), asked)
@example('{"input_ids":[1,2,3]}\n{"input_ids":[]}', {"batch_rows": None})
@example('{"input_ids":[1.0]}\n{"input_ids":[1000000000]}', {"batch_rows": None})
@example('{"input_ids":[]}', {"spec": PadSpec(maxlen=2, padding="pre"), "batch_rows": None})
def test_what_a_user_sees_does_not_tell_text_from_numbers(tmp_path_factory, text, asked):
    folder = tmp_path_factory.mktemp("text")
    as_text = outcome(folder, text, asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "takes_text", lambda job: False)
        as_numbers = outcome(folder, text, asked)
    assert as_text == as_numbers


def raws(*texts):
    return [msgspec.Raw(text.encode()) for text in texts]


@pytest.mark.parametrize(
    ("text", "dtype"),
    [("[-0]", "int32"), ("[1234567890]", "int32"), ("[-1]", "uint16"), ("[1.5]", "int32"), ("7", "int32")],
)
def test_what_is_not_plain_is_left_to_the_careful_way(text, dtype):
    assert read_ids(raws("[1]", text), dtype) is None
    assert read_ids(raws(text), dtype) is None


def test_brackets_of_one_row_do_not_stand_for_another():
    assert read_ids(raws("[1]", "5", "[[2]]"), "int32") is None
    assert read_ids(raws("[[1]]", "5"), "int32") is None
    assert read_ids(raws("5", "[[1]]"), "int32") is None


def test_real_files_go_the_quick_way(tmp_path):
    # Else this room could stand empty, and nobody would see it but by the clock.
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
    # Twice over all chunks: once for the lengths.
    assert len(seen) > 2
    assert all(seen)


def test_rows_beyond_the_longest_that_may_be_written_are_left_to_the_careful_way(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"input_ids": [1, 2, 3]}\n')
    with pytest.raises(PadmaskError, match="line 1: 3 tokens are more than maxlen 2"):
        pad_file(source, tmp_path / "o.jsonl", spec=PadSpec(maxlen=2), policy=RowPolicy(overlong="error"))
