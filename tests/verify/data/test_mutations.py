"""Each way to damage a packed file is found, in every dialect, and the undamaged file has no findings."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiers import represented

from padmask import PackSpec, PadSpec, WindowSpec, pack_file, pack_preset, verify_file
from padmask.spec.pack import DERIVED, written_names
from padmask.spec.pack_presets import PACK_PRESETS

DIALECTS = [None, *PACK_PRESETS]
MAXLEN = 10
# Rows of different lengths. Two rows have several pieces. No token equals a pad value.
LENGTHS = [4, 3, 3, 23, 10, 2, 5, 1, 12, 6]


def all_dialects(test: Any) -> Any:
    """Run a test without a dialect, in two dialects as slow tests, and in the others as exhaustive tests."""
    dialects = [pytest.param(name, marks=() if name is None else pytest.mark.slow) for name in DIALECTS]
    return represented("dialect", dialects, by={"None", "hf", "seqio"})(test)


def rows_in() -> list[dict[str, list[int]]]:
    draw = random.Random(0)
    rows = [[draw.randrange(1, 1000) for _ in range(length)] for length in LENGTHS]
    return [{"input_ids": ids, "labels": [1000 + token for token in ids]} for ids in rows]


def write_rows(path: Path, rows: list[dict[str, list[int]]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def pack(folder: Path, dialect: str | None) -> Path:
    """Write the input and the packed file."""
    write_rows(folder / "in.jsonl", rows_in())
    (folder / "packed.parquet").write_bytes(packed_bytes(dialect))
    return folder / "packed.parquet"


@cache
def packed_bytes(dialect: str | None) -> bytes:
    """Pack rows in a dialect. The default has all derived columns."""
    spec, mask = PadSpec(maxlen=MAXLEN, windows=WindowSpec(), packing=PackSpec(emit=EVERY)), None
    if dialect is not None:
        spec, mask = pack_preset(dialect, maxlen=MAXLEN, windows=WindowSpec())
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "in.jsonl", rows_in())
        pack_file(folder / "in.jsonl", folder / "packed.parquet", spec=spec, mask=mask)
        return (folder / "packed.parquet").read_bytes()


EVERY = [*DERIVED]


def errors(path: Path, *, against: bool) -> set[str]:
    report = verify_file(path, against=path.parent / "in.jsonl" if against else ())
    return {finding.rule.name for finding in report.data if finding.rule.severity == "error"}


Values = list[list[int]]


def change(path: Path, column: str, edit: Callable[[Values], None]) -> None:
    """Change the values of a column. The metadata stays."""
    table = pq.read_table(path)
    place, field = table.schema.get_field_index(column), table.schema.field(column)
    values = table.column(column).to_pylist()
    edit(values)
    pq.write_table(table.set_column(place, field, pa.array(values, field.type)), path)


def packing_of(path: Path) -> PackSpec:
    """Return the packing that the metadata describes."""
    return PackSpec(**json.loads(pq.read_schema(path).metadata[b"padmask"])["packing"])


def packed_columns(path: Path) -> list[str]:
    """Return the names of the ids and the labels in the packed file."""
    return [*written_names(packing_of(path), ["input_ids", "labels"]).values()]


def several(path: Path) -> int:
    """Return the number of a packed row with several sequences."""
    sizes = [len(row) for row in pq.read_table(path)["seq_lengths"].to_pylist()]
    return next(number for number, size in enumerate(sizes) if size > 1)


def add(row: int, place: int, by: int = 1) -> Callable[[Values], None]:
    def edit(values: Values) -> None:
        values[row][place] += by

    return edit


def put(row: int, place: int, value: Any) -> Callable[[Values], None]:
    def edit(values: Values) -> None:
        values[row][place] = value

    return edit


@dataclass(frozen=True)
class Damage:
    """A way to damage a packed file.

    Args:
        rules: rules, at least one of which must be violated.
        apply: function that changes the file.
        against: whether the input is needed to find the damage.
    """

    rules: tuple[str, ...]
    apply: Callable[[Path], None]
    against: bool = False


def on(column: str, edit: Callable[[int], Callable[[Values], None]]) -> Callable[[Path], None]:
    """Change a column of a row with several sequences. `edit` gets the number of this row."""
    return lambda path: change(path, column, edit(several(path)))


def swap_rows(path: Path) -> None:
    """Exchange the source rows of two sequences of one packed row."""

    def edit(values: Values) -> None:
        row = values[several(path)]
        row[0], row[1] = row[1], row[0]

    change(path, "source_rows", edit)


def shuffle_tokens(path: Path) -> None:
    """Reverse the tokens of the first sequence of a packed row."""
    row = several(path)
    length = pq.read_table(path)["seq_lengths"].to_pylist()[row][0]

    def edit(values: Values) -> None:
        values[row][:length] = values[row][:length][::-1]

    change(path, packed_columns(path)[0], edit)


def change_token(path: Path) -> None:
    change(path, packed_columns(path)[0], add(several(path), 1))


def move_boundary(path: Path) -> None:
    """Move a token from the first to the second sequence of a row, in `seq_lengths` only."""

    def edit(values: Values) -> None:
        row = values[several(path)]
        row[0], row[1] = row[0] - 1, row[1] + 1

    change(path, "seq_lengths", edit)


def remove_row(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(1), path)


def repeat_row(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)


def remove_input_row(path: Path) -> None:
    write_rows(path.parent / "in.jsonl", rows_in()[:-1])


def add_input_row(path: Path) -> None:
    write_rows(path.parent / "in.jsonl", [*rows_in(), {"input_ids": [5], "labels": [5]}])


def change_input_row(path: Path) -> None:
    rows = rows_in()
    rows[3]["input_ids"][20] += 1
    write_rows(path.parent / "in.jsonl", rows)


def describe(**changed: Any) -> Callable[[Path], None]:
    """Change the metadata."""

    def apply(path: Path) -> None:
        table = pq.read_table(path)
        described = json.loads(table.schema.metadata[b"padmask"])
        for name, value in changed.items():
            part = described if name in described else described["counts" if name in COUNTS else "packing"]
            assert part[name] != value
            part[name] = value
        pq.write_table(table.replace_schema_metadata({b"padmask": json.dumps(described)}), path)

    return apply


COUNTS = ("rows_read", "tokens_lost", "sequences")

SOURCES = ("source-rows", "packed-counts")
DAMAGE = {
    "length too large": Damage(("seq-lengths-sum",), on("seq_lengths", lambda row: add(row, 0, 20))),
    "length 0": Damage(("seq-length-range",), on("seq_lengths", lambda row: put(row, 0, 0))),
    "length null": Damage(("seq-length-range", "bad-row"), on("seq_lengths", lambda row: put(row, 0, None))),
    "moved boundary": Damage(("derived-column", "source-rows", "boundary-labels"), move_boundary),
    "source row repeated": Damage(SOURCES, on("source_rows", lambda row: put(row, 0, 4))),
    "source row missing": Damage(SOURCES, on("source_rows", lambda row: put(row, 0, 99))),
    "source row negative": Damage(SOURCES, on("source_rows", lambda row: put(row, 0, -1))),
    "source row lost": Damage(SOURCES, on("source_rows", lambda row: lambda values: values[row].pop())),
    "piece moved": Damage(SOURCES, on("source_starts", lambda row: add(row, 0))),
    "sources swapped": Damage(("differs-from-input",), swap_rows, against=True),
    "packed row removed": Damage(SOURCES, remove_row),
    "packed row repeated": Damage(SOURCES, repeat_row),
    "token changed": Damage(("differs-from-input",), change_token, against=True),
    "tokens shuffled": Damage(("differs-from-input",), shuffle_tokens, against=True),
    "row not in the input": Damage(("differs-from-input",), remove_input_row, against=True),
    "row only in the input": Damage(("not-packed",), add_input_row, against=True),
    "input changed": Damage(("differs-from-input",), change_input_row, against=True),
    "fewer rows read": Damage(("packed-counts",), describe(rows_read=3)),
    "tokens lost": Damage(("packed-counts",), describe(tokens_lost=3)),
    "fewer sequences": Damage(("packed-counts",), describe(sequences=3)),
    "shorter maxlen": Damage(("row-too-long",), describe(maxlen=MAXLEN - 1)),
    "fewer segments": Damage(("max-segments",), describe(max_segments=1)),
}


@all_dialects
def test_right_file_passes(tmp_path, dialect):
    path = pack(tmp_path, dialect)
    assert errors(path, against=False) == set()
    assert errors(path, against=True) == set()


@all_dialects
@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(tmp_path, dialect, name):
    damage = DAMAGE[name]
    path = pack(tmp_path, dialect)
    damage.apply(path)
    found = errors(path, against=damage.against)
    assert found & {*damage.rules}, found
    if damage.against and "input" in name:
        # The packed file is right, so only the input shows the difference.
        assert errors(path, against=False) == set()


@pytest.mark.slow
@all_dialects
def test_each_derived_value_is_checked(tmp_path, dialect):
    """Every value of every derived column is changed once."""
    path = pack(tmp_path, dialect)
    good = path.read_bytes()
    derived = packing_of(path).derived_for(packed_columns(path))
    columns = [name for names in derived.values() for name in names]
    for column in columns:
        values = pq.read_table(path)[column].to_pylist()
        row = several(path)
        for place in range(len(values[row])):
            # Padding is checked as well.
            path.write_bytes(good)
            change(path, column, add(row, place))
            assert errors(path, against=False) == {"derived-column"}, (column, place)
        path.write_bytes(good)


@pytest.mark.slow
@all_dialects
def test_each_boundary_label_is_checked(tmp_path, dialect):
    path = pack(tmp_path, dialect)
    good, table = path.read_bytes(), pq.read_table(path)
    shifts = json.loads(table.schema.metadata[b"padmask"])["packing"]["boundary_labels"] == "shift"
    for row, lengths in enumerate(table["seq_lengths"].to_pylist()):
        first = 0
        for length in lengths:
            path.write_bytes(good)
            change(path, "labels", put(row, first + length - 1 if shifts else first, 5))
            assert "boundary-labels" in errors(path, against=False), (row, first)
            first += length


@pytest.mark.slow
@all_dialects
def test_each_token_is_compared(tmp_path, dialect):
    """Every token and every label that the input has is changed once in a row."""
    path = pack(tmp_path, dialect)
    good, row = path.read_bytes(), several(path)
    table = pq.read_table(path)
    total = sum(table["seq_lengths"].to_pylist()[row])
    for column in packed_columns(path):
        for place, value in enumerate(table[column].to_pylist()[row][:total]):
            if value == -100:
                continue
            path.write_bytes(good)
            change(path, column, add(row, place))
            assert "differs-from-input" in errors(path, against=True), (column, place)


@all_dialects
def test_padding_is_checked(tmp_path, dialect):
    path = pack(tmp_path, dialect)
    table = pq.read_table(path)
    lengths = [sum(row) for row in table["seq_lengths"].to_pylist()]
    column = packed_columns(path)[0]
    ids = table[column].to_pylist()
    short = next((row for row, length in enumerate(lengths) if length < len(ids[row])), None)
    if short is None:
        assert dialect in ("trl", "bridge")
        return
    change(path, column, put(short, -1, 5))
    assert errors(path, against=False) == {"padding-not-pad-value"}
