"""Row groups depend on the rows, not on the batches."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padmask.formats import arrow
from padmask.formats.arrow import RowGroups
from padmask.formats.contract import Layout

TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=9)), max_size=30)
TYPES = [pa.string(), pa.large_string(), pa.string_view()]


def groups_of(table: pa.Table, cuts: list[int], rows: int) -> list[pa.Table]:
    """Return the row groups of a table that is written in pieces."""
    regrouped, groups = RowGroups(Layout(table.schema, {}, rows)), []
    for first, last in zip([0, *cuts], [*cuts, len(table)], strict=True):
        for batch in table.slice(first, max(0, last - first)).combine_chunks().to_batches():
            groups += regrouped.add(batch)
    return [*groups, *regrouped.rest()]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "GROUP_BYTES", 20)


@pytest.mark.parametrize("type_", TYPES, ids=str)
@given(texts=TEXTS, rows=st.integers(1, 9), data=st.data())
def test_groups_do_not_depend_on_batches(type_, texts, rows, data):
    table = pa.table({"text": pa.array(texts, type_), "n": range(len(texts))})
    cuts = sorted(data.draw(st.lists(st.integers(0, len(texts)), max_size=5)))
    groups = groups_of(table, cuts, rows)
    assert [group.to_pylist() for group in groups] == [
        group.to_pylist() for group in groups_of(table, [], rows)
    ]
    assert pa.concat_tables([table.slice(0, 0), *groups]).to_pylist() == table.to_pylist()


def test_string_views_are_compacted():
    # Arrow writes all the buffers that the views of a slice refer to.
    text = pa.array(["x" * 1000] * 500, pa.string_view())
    groups = groups_of(pa.table({"text": text}), [], 1000)
    assert len(groups) == 500
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, groups[0].schema) as stream:
        for group in groups:
            stream.write_table(group)
    assert sink.getvalue().size < 2 * 500 * 1000


@given(texts=TEXTS, rows=st.integers(1, 9))
def test_groups_are_full(texts, rows):
    groups = groups_of(pa.table({"text": pa.array(texts, pa.string())}), [], rows)
    sizes = [[len((text or "").encode()) for text in group["text"].to_pylist()] for group in groups]
    for group in sizes:
        assert 0 < len(group) <= rows
        assert sum(group[:-1]) < 20
    for group in sizes[:-1]:
        assert len(group) == rows or sum(group) >= 20
