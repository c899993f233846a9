"""The reason why a line is not a JSON object, and the field with the fault."""

from __future__ import annotations

import pytest

from padmask.formats.jsonl.line_faults import line_fault
from padmask.formats.jsonl.reader import read_object


def fault_of(line: str) -> tuple[str, str | None]:
    with pytest.raises(ValueError) as caught:
        read_object(line.encode())
    return line_fault(line.encode(), caught.value)


@pytest.mark.parametrize(
    ("line", "field", "says"),
    [
        ('{"ids": [1], "score": NaN}', "score", "NaN is not a JSON value; write a number or null"),
        ('{"ids": [1.0, -Infinity]}', "ids", "position 1: -Infinity"),
        ('{"ids": [Infinity], "x": 1}', "ids", "position 0: Infinity"),
        ('{"x": {"y": [1, NaN]}, "z": 1}', "x", "NaN"),
        ('{"x": [[1, 2], [NaN]]}', "x", "NaN"),
        ('{"s": "a: NaN, \\"b\\"", "x": nan}', "x", "nan (NaN)"),
        ('{"x": -inf}', "x", "-inf (-Infinity)"),
        ('{"x": [1, +Infinity]}', "x", "position 1: +Infinity"),
        ('{"x\\"y": NaN}', 'x"y', "NaN"),
        ('{"x": None}', "x", "write null"),
        ('{"x": True}', "x", "write true"),
        ('{"x": undefined}', "x", "write null"),
    ],
)
def test_word_of_another_language(line: str, field: str, says: str) -> None:
    reason, column = fault_of(line)
    assert column == field
    assert says in reason


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"x": [1, 2]', "incomplete"),
        ('{"x": 1} {"x": 2}', "write each object on a separate line"),
        ('{"x": 1}\r{"x": 2}', r"convert the line ends with tr '\r' '\n'"),
        ("[1]", "found a JSON array"),
        ("{'x': 1}", "not a JSON object"),
        ('{"x": nano}', "not a JSON object"),
        ('{"NaN": 1,}', "not a JSON object"),
    ],
)
def test_other_faults(line: str, says: str) -> None:
    reason, column = fault_of(line)
    assert column is None
    assert says in reason


@pytest.mark.parametrize("line", ['{"x": [1, NaN]}', '{"x": [[1, 2], [NaN]]}'], ids=["numbers", "vectors"])
def test_no_null_among_tokens(line: str) -> None:
    reason, _ = fault_of(line)
    assert reason.endswith("write a number")
