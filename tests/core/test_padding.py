"""`find_padding`: the columns that mark the padding of one file, and of several."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from raised import raises_error

from padmask import MaskSpec, PadSpec, pad_table
from padmask.core.first_rows import FirstRows
from padmask.core.padding import Padding, check_padding, find_padding
from padmask.errors import PaddedError, SpecError

ROWS = pa.table({"input_ids": [[1, 2], [3]], "labels": [[1, 2], [3]]})


def padded(columns: list[str] | None = None, drop: tuple[str, ...] = (), **mask: Any) -> pa.Schema:
    table = pad_table(ROWS, columns or ["input_ids"], PadSpec(value=9), MaskSpec(**mask))
    return table.drop_columns(list(drop)).schema


def masked(
    mask: list[list[int]], name: str = "attention_mask", ids: list[list[int]] | None = None
) -> Padding | None:
    """Find the padding of rows with a mask column and no metadata. By default, the ids equal the mask."""
    batch = pa.record_batch({"input_ids": ids or mask, name: mask})
    return find_padding(
        {"a": batch.schema}, columns=["input_ids"], first_rows=lambda _: FirstRows.of([batch])
    )


FILES = {
    "mask": (padded(), ("mask",)),
    "lengths": (padded(column=None, length_column="n"), ("n",)),
    "mask and lengths": (padded(length_column="n"), ("mask", "n")),
    "lost mask": (padded(drop=("mask",)), ()),
    "lost mask, lengths": (padded(length_column="n", drop=("mask",)), ("n",)),
    "no metadata": (padded().remove_metadata(), ("mask",)),
    "raw": (ROWS.schema, None),
}


@pytest.mark.parametrize("case", FILES)
def test_copies_have_the_same_padding(case: str) -> None:
    schema, names = FILES[case]
    one = find_padding({"a": schema})
    assert (None if one is None else one.names) == names
    several = find_padding(dict.fromkeys("abc", schema))
    if one is None or several is None:
        assert one is several
        return
    assert (several.names, several.values, several.padding) == (one.names, one.values, one.padding)
    assert set(several.sides.values()) == set(one.sides.values())


@pytest.mark.parametrize("second", FILES)
@pytest.mark.parametrize("first", FILES)
def test_order_of_files_does_not_matter(first: str, second: str) -> None:
    outcomes = []
    for order in ((first, second), (second, first)):
        try:
            found = find_padding({name: FILES[case][0] for name, case in zip("ab", order, strict=True)})
        except PaddedError:
            outcomes.append("refused")
        else:
            outcomes.append(str(found and (found.names, found.values, found.padding)))
    assert outcomes[0] == outcomes[1]


def test_files_without_columns_do_not_count() -> None:
    found = find_padding({"empty": pa.schema([]), "a": padded(), "b": padded()})
    assert found is not None
    assert (found.mask, dict(found.sides)) == ("mask", {"a": "post", "b": "post"})


def test_metadata_give_pad_values() -> None:
    found = find_padding({"a": padded(["input_ids", "labels=-100"])})
    assert found is not None
    assert found.values == {"input_ids": 9, "labels": -100}
    without = find_padding({"a": padded()}, read_metadata=False)
    assert without == Padding("mask", None)


def test_requested_mask_wins() -> None:
    found = find_padding({"a": padded()}, mask_column="other")
    assert found is not None
    assert found.mask == "other"


def test_masks_of_ones_mark_no_padding() -> None:
    assert masked([[1, 1], [1]]) is None
    assert masked([[1, 1], [1, 1]]) is None
    # A mask of ones with the default name of padmask counts if all rows have the same length.
    assert masked([[1, 1], [1, 1]], name="mask") == Padding("mask", None)
    assert masked([[1, 1], [1]], name="mask") is None


@pytest.mark.parametrize("lowest", [-10_000, -1e9, float("-inf")])
def test_additive_masks_are_seen(lowest: float) -> None:
    seen = Padding("attention_mask", None, seen=True, additive=True)
    assert masked([[0.0, 0.0], [0.0, lowest]], ids=[[5, 6], [7, 0]]) == seen
    assert masked([[0.0, 0.5], [0.0, lowest]], ids=[[5, 6], [7, 0]]) is None


@pytest.mark.parametrize("name", ["mask", "attention_mask", "padding_mask"])
def test_zero_in_an_equal_row_marks_padding(name: str) -> None:
    seen = Padding(name, None, seen=True)
    assert masked([[1, 0], [1]], name) == seen
    assert masked([[1, 0, 1, 0], [1, 1]], name, ids=[[5, 0, 6, 0], [7, 8]]) == seen
    # The ids have other lengths than the mask, so the mask belongs to another column.
    other = masked([[1, 0], [1, 1]], name, ids=[[5], [7]])
    assert other == (Padding("mask", None) if name == "mask" else None)


@pytest.mark.parametrize(
    ("found", "fact", "option"),
    [
        (Padding("gone", None), "'gone'", "mask_column"),
        (Padding("twice", None), "'twice'", "mask_column"),
        (Padding("n", None), "int64", "mask_column"),
        (Padding(None, "ids"), "list<item: int64>", "length_column"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_columns_of_a_wrong_kind_are_refused(found: Padding, fact: str, option: str) -> None:
    ids = pa.list_(pa.int64())
    schema = pa.schema([("ids", ids), ("n", pa.int64()), ("twice", ids), ("twice", ids)])
    with raises_error(SpecError, fact, option=option):
        check_padding(schema, found)
