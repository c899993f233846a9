"""`padmask pack --dialect`: the columns of each trainer, and options that override the dialect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import has_facts, raises_error

from padmask import (
    MaskSpec,
    PackSpec,
    PadSpec,
    SpecError,
    pack_file,
    pack_preset,
    pack_table,
    unpad_table,
    verify_file,
)
from padmask.cli import run
from padmask.spec.pack_presets import PACK_PRESETS

ROWS = [{"input_ids": [1, 2, 3]}, {"input_ids": [4, 5]}, {"input_ids": [6, 7]}]
TABLE = pa.table({name: [row[name] for row in ROWS] for name in ROWS[0]})

# The second packed row of ROWS: 6, 7, and 3 positions of padding unless the dialect has none.
PADDED = [6, 7, 0, 0, 0]
LAST_ROWS: dict[str, dict[str, Any]] = {
    "trl": {"input_ids": [6, 7]},
    "hf": {"input_ids": PADDED, "position_ids": [0, 1, 0, 1, 2]},
    "bridge": {"input_ids": [6, 7], "seq_start_id": [0], "loss_mask": [1, 0]},
    "seqio": {
        "input_ids": PADDED,
        "input_ids_segment_ids": [1, 1, 0, 0, 0],
        "input_ids_positions": [0, 1, 0, 0, 0],
    },
    "levanter": {"tokens": PADDED, "segment_ids": [0, 0, -1, -1, -1], "loss_mask": [1, 0, 0, 0, 0]},
    "llm-foundry": {
        "input_ids": PADDED,
        "attention_mask": [1, 1, 0, 0, 0],
        "labels": [-100, 7, -100, -100, -100],
        "sequence_id": [0, 0, -1, -1, -1],
    },
    "torchtune": {
        "tokens": PADDED,
        "labels": [7, -100, -100, -100, -100],
        "input_pos": [0, 1, 2, 3, 4],
        "seq_lens": [2, 3],
    },
}
LAST_ROWS["grain"] = LAST_ROWS["seqio"]


def write_rows(tmp_path: Path, rows: Sequence[dict[str, Any]] = ROWS) -> str:
    """Write rows as JSON Lines, and return the path of the file."""
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(source)


def last_row(tmp_path: Path, *options: str) -> dict[str, Any]:
    """Return the last row that `padmask pack` writes, without the columns that all dialects have."""
    target = tmp_path / "out.jsonl"
    asked = ["--maxlen", "5", "--algorithm", "in-order", "-q", *options]
    assert run(["pack", write_rows(tmp_path), "-o", str(target), *asked]) == 0
    row = json.loads(target.read_text().splitlines()[-1])
    assert row.pop("seq_lengths") == [2]
    assert (row.pop("source_rows"), row.pop("source_starts")) == ([2], [0])
    return row


@pytest.mark.parametrize(
    ("dialect", "facts"),
    [("trl", ["padding_free=True", "max_length=None"]), ("hf", ["use_cache=False"]), ("grain", [])],
)
def test_summary_has_needed_arguments(tmp_path, capfd, dialect, facts):
    pack = ["pack", write_rows(tmp_path), "-o", str(tmp_path / "out.parquet"), "--dialect", dialect]
    assert run(pack) == 0
    said = capfd.readouterr().err
    assert has_facts(said, *facts)
    assert ("Otherwise" in said) == bool(facts)
    assert run([*pack, "-q"]) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("dialect", PACK_PRESETS)
def test_dialect_writes_its_columns(tmp_path, dialect):
    assert last_row(tmp_path, "--dialect", dialect) == LAST_ROWS[dialect]


@pytest.mark.parametrize("dialect", PACK_PRESETS)
def test_preset_in_python(dialect):
    spec, mask = pack_preset(dialect, maxlen=5, algorithm="in-order", source=False)
    [_, row] = pack_table(TABLE, spec=spec, mask=mask).to_pylist()
    assert row == {**LAST_ROWS[dialect], "seq_lengths": [2]}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            "--dialect bridge --pad --mask-column m",
            {"input_ids": PADDED, "m": [True, True, False, False, False]},
        ),
        ("--dialect hf --no-pad", {"input_ids": [6, 7], "position_ids": [0, 1]}),
        ("--dialect bridge --pad --emit seq_lens", {"input_ids": PADDED, "seq_lens": [2, 3]}),
        ("--dialect torchtune --boundary-labels keep", {"labels": [6, 7, -100, -100, -100]}),
        ("--dialect llm-foundry --no-mask", {"attention_mask": None}),
        ("--dialect llm-foundry --labels-from input_ids", {"labels": [-100, 7, -100, -100, -100]}),
        ("--boundary-labels shift --labels-from input_ids", {"labels": [7, -100, -100, -100, -100]}),
    ],
)
def test_options_override(tmp_path, options, expected):
    row = last_row(tmp_path, *options.split())
    assert {name: row.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("dialect", "dtypes"),
    [
        ("trl", {"input_ids": "int32"}),
        ("hf", {"input_ids": "int64", "position_ids": "int64"}),
        ("bridge", {"input_ids": "int32", "seq_start_id": "int32", "loss_mask": "int8"}),
        ("grain", {"input_ids_segment_ids": "int32", "input_ids_positions": "int32"}),
        ("levanter", {"tokens": "int32", "segment_ids": "int32", "loss_mask": "int32"}),
        ("llm-foundry", dict.fromkeys(("input_ids", "labels", "attention_mask", "sequence_id"), "int64")),
        ("torchtune", dict.fromkeys(("tokens", "labels", "input_pos", "seq_lens"), "int64")),
    ],
)
def test_dialect_sets_dtypes(dialect, dtypes):
    spec, mask = pack_preset(dialect, maxlen=5)
    schema = pack_table(TABLE, spec=spec, mask=mask).schema
    assert {name: str(schema.field(name).type.value_type) for name in dtypes} == dtypes


def test_dtype_overrides():
    assert pack_preset("hf", dtype="int16")[0].int_dtype == PadSpec().int_dtype


def test_labels_of_the_input(tmp_path):
    """The labels of the input are packed. They are not copied from the ids."""
    spec, mask = pack_preset("torchtune", maxlen=3)
    table = pa.table({"tokens": [[1, 2, 3]], "labels": [[-100, -100, 30]]})
    assert pack_table(table, spec=spec, mask=mask)["labels"].to_pylist() == [[-100, 30, -100]]


def test_renamed_ids():
    """The ids get the name that the trainer reads. `unpad` restores the original name."""
    for name, dialect, new in [("tokens", "trl", "input_ids"), ("ids", "levanter", "tokens")]:
        spec, mask = pack_preset(dialect, maxlen=5)
        table = pa.table({name: [[1, 2, 3], [4, 5]], "labels": [[1, 2, 3], [4, 5]]})
        packed = pack_table(table, [name, "labels"], spec=spec, mask=mask)
        assert packed[new].to_pylist() == [[1, 2, 3, 4, 5]]
        assert unpad_table(packed).column_names == [name, "labels"]


@pytest.mark.parametrize(
    ("mask", "other"), [("mask", "text"), ("mask", [1, 2]), ("tokens", None)], ids=["field", "list", "mask"]
)
def test_new_name_is_taken(mask, other):
    """The ids cannot be written under the name of another column."""
    table = TABLE if other is None else TABLE.append_column("tokens", [[other] * len(TABLE)])
    spec, _ = pack_preset("levanter", maxlen=5)
    with raises_error(SpecError, "input_ids", "tokens", option="dialect"):
        pack_table(table, ["input_ids"], spec, mask=MaskSpec(column=mask))


def test_renamed_labels(tmp_path):
    """Labels stay labels under another name, because their pad value is -100."""
    renames = {"labels": "targets", "{ids}": "inputs"}
    spec = PadSpec(maxlen=5, label_value=-100, packing=PackSpec(renames=renames, emit=["loss_mask"]))
    table = TABLE.append_column("labels", TABLE["input_ids"])
    packed = pack_table(table, spec=spec)
    assert packed["targets"].to_pylist()[0] == [-100, 2, 3, -100, 5]
    assert packed["loss_mask"].to_pylist()[0] == [1, 1, 0, 1, 0]
    assert unpad_table(packed).column_names == table.column_names
    pq.write_table(packed, tmp_path / "packed.parquet")
    pq.write_table(table, tmp_path / "in.parquet")
    assert not verify_file(tmp_path / "packed.parquet", against=tmp_path / "in.parquet").data


@pytest.mark.parametrize("renames", [{"{ids}": "labels"}, {"{ids}": "loss_mask"}, {"other": "x"}])
def test_refused_renames(renames):
    with raises_error(SpecError, *renames.values() if "{ids}" in renames else ["other"], option="renames"):
        pack_table(TABLE, spec=PadSpec(maxlen=5, packing=PackSpec(renames=renames)))


def test_dropped_fields_free_names():
    table = TABLE.append_column("tokens", [["a", "b", "c"]])
    spec, mask = pack_preset("levanter", maxlen=5, fields="drop")
    packed = pack_table(table, spec=spec, mask=mask)
    assert packed["tokens"].to_pylist()[0] == [1, 2, 3, 4, 5]
    assert unpad_table(packed)["input_ids"].to_pylist() == TABLE["input_ids"].to_pylist()


def test_later_field_has_new_name(tmp_path, capsys):
    rows = [*ROWS * 400, {"input_ids": [1], "tokens": "text"}]
    assert run(["pack", write_rows(tmp_path, rows), "--maxlen", "5", "--dialect", "levanter", "-q"]) == 2
    assert has_facts(capsys.readouterr().err, "tokens", "line 1201")


@pytest.mark.parametrize("dialect", ["levanter", "torchtune"])
def test_compare_renamed_ids(tmp_path, dialect):
    """verify --against finds the ids in the input under their original name, even without metadata."""
    rows = [{**row, "labels": row["input_ids"]} for row in ROWS]
    source = write_rows(tmp_path, rows)
    spec, mask = pack_preset(dialect, maxlen=5)
    for name in ("packed.parquet", "packed.jsonl"):
        pack_file(source, tmp_path / name, spec=spec, mask=mask)
        assert not verify_file(tmp_path / name, against=source).data
    write_rows(tmp_path, [*rows[:2], {"input_ids": [6, 8], "labels": [6, 7]}])
    [found] = verify_file(tmp_path / "packed.parquet", against=source).data
    assert (found.rule.name, found.column) == ("differs-from-input", "tokens")


def test_metadata_has_the_packing(tmp_path):
    pq.write_table(TABLE, tmp_path / "in.parquet")
    options = ["--maxlen", "5", "--dialect", "llm-foundry", "-q"]
    assert run(["pack", str(tmp_path / "in.parquet"), "-o", str(tmp_path / "out.parquet"), *options]) == 0
    packing = json.loads(pq.read_schema(tmp_path / "out.parquet").metadata[b"padmask"])["packing"]
    assert PackSpec(**packing) == pack_preset("llm-foundry")[0].packing


@pytest.mark.parametrize(
    ("dialect", "name"),
    [("seqio", "labels_positions"), ("levanter", "segment_ids"), ("torchtune", "seq_lens")],
)
def test_verify_reads_the_dialect(tmp_path, dialect, name):
    spec, mask = pack_preset(dialect, maxlen=5)
    packed = pack_table(TABLE.append_column("labels", TABLE["input_ids"]), spec=spec, mask=mask)
    wrong = packed[name].to_pylist()
    wrong[0][0] += 1
    place, field = packed.schema.get_field_index(name), packed.schema.field(name)
    changed = packed.set_column(place, field, pa.array(wrong, field.type))
    found = []
    for table in (packed, changed):
        pq.write_table(table, tmp_path / "packed.parquet")
        report = verify_file(tmp_path / "packed.parquet")
        found.append([(finding.rule.name, finding.column) for finding in report.data])
    assert found == [[], [("derived-column", name)]]


@pytest.mark.parametrize("dialect", PACK_PRESETS)
def test_unpad_restores_rows(dialect):
    spec, mask = pack_preset(dialect, maxlen=5)
    labels = pa.array([[-100, 2, 3], [-100, 5], [-100, 7]])
    table = TABLE.append_column("labels", labels).append_column("id", [["a", "b", "c"]])
    packed = pack_table(table, spec=spec, mask=mask)
    assert packed["seq_lengths"].to_pylist() == [[3, 2], [2]]
    assert unpad_table(packed).to_pydict() == table.to_pydict()


def test_unpad_without_metadata(tmp_path):
    """Without metadata, `unpad` still removes the column `seq_lens` of the dialect."""
    last_row(tmp_path, "--dialect", "torchtune")
    assert run(["unpad", str(tmp_path / "out.jsonl"), "-o", str(tmp_path / "back.jsonl"), "-q"]) == 0
    back = [json.loads(line) for line in (tmp_path / "back.jsonl").read_text().splitlines()]
    assert [row["tokens"] for row in back] == [row["input_ids"] for row in ROWS]
    assert "seq_lens" not in back[0]


def test_name_in_the_input():
    spec, mask = pack_preset("grain", maxlen=5)
    with raises_error(SpecError, "input_ids_positions"):
        pack_table(
            TABLE.append_column("input_ids_positions", TABLE["input_ids"]), ["input_ids"], spec, mask=mask
        )


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"emit": ["starts"]}, "emit"),
        ({"names": {"starts": "x"}}, "names"),
        ({"names": {"segment_ids": 1}}, "names"),
        ({"emit": ["segment_ids"], "names": {"segment_ids": ""}}, "names"),
        ({"emit": ["segment_ids"], "names": {"segment_ids": "seq_lengths"}}, "names"),
        ({"renames": {"ids": 1}}, "renames"),
        ({"renames": {"ids": ""}}, "renames"),
        ({"first_segment": 2}, "first_segment"),
        ({"position_padding": "none"}, "position_padding"),
        ({"loss_dtype": "int64"}, "loss_dtype"),
    ],
)
def test_refused_options(options, name):
    with raises_error(SpecError, option=name):
        PackSpec(**options)


@pytest.mark.parametrize(("option", "value"), [("pad", True), ("align", 4)])
def test_trl_reads_no_padding(tmp_path, capsys, option, value):
    with raises_error(SpecError, "trl", "seq_lengths", option=option):
        pack_preset("trl", maxlen=8, **{option: value})
    flag = ["--pad"] if option == "pad" else ["--align", "4"]
    assert run(["pack", write_rows(tmp_path), "--maxlen", "8", "--dialect", "trl", *flag]) == 2
    assert has_facts(capsys.readouterr().err, "trl", flag[0])


@pytest.mark.parametrize("options", ["--no-pad --mask", "--dialect trl --mask", "--no-pad --mask-column m"])
def test_no_mask_without_padding(tmp_path, capsys, options):
    assert run(["pack", write_rows(tmp_path), *options.split()]) == 2
    assert has_facts(capsys.readouterr().err, options.split()[2 if "trl" in options else 1], "padding")


# Two sequences and two positions of padding, with the names of the columns in each trainer: for each column,
# the dtype and the values that the trainer reads.
TOKENS, MASKED = [5, 6, 7, 8, 9], [-100, 6, 7, -100, 9]
NUMBERS = [1, 1, 1, 2, 2, 0, 0], [0, 0, 0, 1, 1, -1, -1]
CELLS: dict[str, dict[str, tuple[str, list[int]]]] = {
    "trl": {
        "input_ids": ("int32", TOKENS),
        "labels": ("int32", MASKED),
        "seq_lengths": ("int32", [3, 2]),
    },
    "hf": {
        "input_ids": ("int64", [*TOKENS, 0, 0]),
        "labels": ("int64", [*MASKED, -100, -100]),
        "position_ids": ("int64", [0, 1, 2, 0, 1, 0, 1]),
    },
    "bridge": {
        "input_ids": ("int32", TOKENS),
        "labels": ("int32", MASKED),
        "seq_start_id": ("int32", [0, 3]),
        "loss_mask": ("int8", [1, 1, 0, 1, 0]),
    },
    "seqio": {
        "inputs": ("int32", [*TOKENS, 0, 0]),
        "targets": ("int32", [*TOKENS, 0, 0]),
        "inputs_segment_ids": ("int32", NUMBERS[0]),
        "targets_segment_ids": ("int32", NUMBERS[0]),
        "inputs_positions": ("int32", [0, 1, 2, 0, 1, 0, 0]),
        "targets_positions": ("int32", [0, 1, 2, 0, 1, 0, 0]),
    },
    "levanter": {
        "tokens": ("int32", [*TOKENS, 0, 0]),
        "segment_ids": ("int32", NUMBERS[1]),
        "loss_mask": ("int32", [1, 1, 0, 1, 0, 0, 0]),
    },
    "llm-foundry": {
        "input_ids": ("int64", [*TOKENS, 0, 0]),
        "labels": ("int64", [*MASKED, -100, -100]),
        "attention_mask": ("int64", [1, 1, 1, 1, 1, 0, 0]),
        "sequence_id": ("int64", NUMBERS[1]),
    },
    "torchtune": {
        "tokens": ("int64", [*TOKENS, 0, 0]),
        "labels": ("int64", [6, 7, -100, 9, -100, -100, -100]),
        "input_pos": ("int64", [0, 1, 2, 0, 1, 2, 3]),
        "seq_lens": ("int64", [3, 2, 2]),
    },
}
CELLS["grain"] = CELLS["seqio"]


@pytest.mark.parametrize("dialect", PACK_PRESETS)
def test_every_cell(dialect):
    """Each column of a dialect has the documented dtype and values, and `unpad` restores the rows."""
    cells = CELLS[dialect]
    names = [name for name in ("input_ids", "tokens", "inputs", "targets", "labels") if name in cells]
    table = pa.table({name: [[5, 6, 7], [8, 9]] for name in names})
    spec, mask = pack_preset(dialect, maxlen=7, source=False)
    packed = pack_table(table, names, spec, mask=mask)
    found = {
        field.name: (str(field.type.value_type), packed[field.name].to_pylist()[0]) for field in packed.schema
    }
    if dialect != "trl":
        assert found.pop("seq_lengths") == ("int32", [3, 2])
    assert found == cells
    back = unpad_table(packed)
    assert [[row[name] for name in names if name != "labels"] for row in back.to_pylist()] == [
        [ids] * (len(names) - ("labels" in names)) for ids in ([5, 6, 7], [8, 9])
    ]
