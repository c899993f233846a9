"""Pack, verify and unpack random tables in every dialect: the rows come back, without findings."""

from __future__ import annotations

import random
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from row_files import read_rows, write_rows
from tiers import represented

from padmask import (
    FileOptions,
    MaskSpec,
    PackSpec,
    PadSpec,
    RowError,
    RowPolicy,
    SpecError,
    WindowSpec,
    pack_file,
    pack_preset,
    pack_table,
    unpad_file,
    unpad_table,
    verify_file,
)
from padmask.core.packed_counts import PackedCounts
from padmask.spec.pack_presets import PACK_PRESETS

EOS = 7
DIALECTS = [None, *PACK_PRESETS]
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("text", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("place", pa.struct([("x", pa.float64())])),
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
        ("token_type_ids", pa.list_(pa.int8())),
        ("special_tokens_mask", pa.list_(pa.int8())),
        ("attention_mask", pa.list_(pa.int8())),
    ]
)
COMPANIONS = ("labels", "token_type_ids", "special_tokens_mask")

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A random table and the options that pack the table."""

    rows: list[Row]
    schema: pa.Schema
    spec: PadSpec
    mask: MaskSpec | None
    policy: RowPolicy
    formats: tuple[str, str, str]

    @property
    def packing(self) -> PackSpec:
        assert self.spec.packing is not None
        return self.spec.packing

    @property
    def overlaps(self) -> bool:
        """Whether the pieces of a row repeat tokens."""
        windows = self.spec.windows
        return windows is not None and bool(windows.overlap or self.spec.keep_first or self.spec.keep_last)


def make_case(draw: random.Random) -> Case:
    maxlen = draw.choice([4, 8, 12])
    dialect, eos = draw.choice(DIALECTS), draw.choice([None, None, EOS])
    cut = draw.choice(["split", "window", "ends", "truncate", "truncate-pre", "drop", "wrap", "none"])
    packing: dict[str, Any] = {"eos": eos}
    if cut == "wrap":
        packing["algorithm"] = "wrap"
    else:
        packing["algorithm"] = draw.choice(["best-fit", "in-order"])
        no_padding = dialect is not None and PACK_PRESETS[dialect].no_padding
        packing["align"] = 1 if no_padding else draw.choice([1, 1, 2, 4])
        packing["max_segments"] = draw.choice([None, None, 1, 2])
    if draw.random() < 0.2:
        packing["boundary_labels"] = "keep"
    if draw.random() < 0.1:
        packing["fields"] = "list"
    spec: dict[str, Any] = {"maxlen": maxlen}
    if cut == "split":
        spec["windows"] = WindowSpec()
    elif cut == "window":
        spec["windows"] = WindowSpec(overlap=2)
    elif cut == "ends":
        spec |= {"windows": WindowSpec(), "keep_first": 1, "keep_last": 1}
    elif cut == "truncate-pre":
        spec["truncating"] = "pre"
    longest = maxlen - (eos is not None) if cut == "none" else 3 * maxlen
    given = [name for name in COMPANIONS if draw.random() < 0.5]
    ones = draw.random() < 0.3
    rows = [make_row(draw, number, longest, given, ones) for number in range(draw.randrange(1, 40))]
    if dialect is None:
        full, mask = PadSpec(packing=PackSpec(**packing), **spec), None
    else:
        full, mask = pack_preset(dialect, **packing, **spec)
    overlong = {"wrap": "error", "none": "error", "drop": "drop"}.get(cut, "truncate")
    policy = RowPolicy(overlong=overlong, empty_rows="drop")
    formats = tuple(draw.choice(names) for names in (FORMATS, ["parquet", "arrow"], FORMATS))
    schema = pa.schema([field for field in SCHEMA if field.name in rows[0]])
    return Case(rows, schema, full, mask, policy, formats)


FORMATS = ["jsonl", "parquet", "arrow"]


def make_row(draw: random.Random, number: int, longest: int, given: list[str], ones: bool) -> Row:
    # The first rows show which columns belong together, so the first row has tokens.
    length = draw.randrange(1 if number == 0 else 0, longest + 1)
    ids = [draw.randrange(1, 10) for _ in range(length)]
    values = {
        "labels": [-100 if draw.random() < 0.2 else 10 * token for token in ids],
        "token_type_ids": [draw.randrange(2) for _ in ids],
        "special_tokens_mask": [draw.randrange(2) for _ in ids],
    }
    return {
        "id": number,
        "text": draw.choice(["a", 'b"', "ü[1]"]),
        "tags": [draw.choice("xyz") for _ in range(draw.randrange(1, 3))],
        "place": {"x": draw.random()},
        "input_ids": ids,
        **{name: values[name] for name in given},
        **({"attention_mask": [1] * length} if ones else {}),
    }


def expected_rows(case: Case) -> list[Row]:
    """Return the rows that a round trip should return, computed without `pack`.

    They have end tokens, and overlong rows are cut or dropped.
    """
    found = []
    for row in case.rows:
        row = {name: value for name, value in row.items() if name != "attention_mask"}
        ids, names = row["input_ids"], ["input_ids", *(name for name in COMPANIONS if name in row)]
        if not ids:
            continue
        if case.packing.eos is not None and ids[-1] != EOS:
            last = {"input_ids": EOS, "special_tokens_mask": 1}
            if "labels" in row:
                last["labels"] = -100 if row["labels"][-1] == -100 else EOS
            row |= {name: [*row[name], last.get(name, row[name][-1])] for name in names}
        length, maxlen = len(row["input_ids"]), case.spec.maxlen
        assert isinstance(maxlen, int)
        if length > maxlen and case.spec.windows is None and case.packing.algorithm != "wrap":
            if case.policy.overlong == "drop":
                continue
            kept = slice(None, maxlen) if case.spec.truncating == "post" else slice(length - maxlen, None)
            row |= {name: row[name][kept] for name in names}
        found.append(row)
    return found


def first_places(packed: list[Row], case: Case) -> dict[int, set[int]]:
    """Return the places in each row at which a sequence starts, by the id of the row."""
    starts: dict[int, set[int]] = {}
    for row in packed:
        for number, start in zip(row["source_rows"], row["source_starts"], strict=True):
            # A row that is truncated at the start begins at a later token.
            cut = case.spec.windows is None and case.packing.algorithm != "wrap"
            starts.setdefault(number, set()).add(0 if cut else start)
    return starts


def check_rows(found: list[Row], packed: list[Row], case: Case) -> None:
    """Check that the rows come back, and that only the first label of each sequence differs."""
    expected, starts = expected_rows(case), first_places(packed, case)
    masked = case.packing.boundary_labels != "keep"
    for row in expected:
        if "labels" in row and masked and not case.overlaps:
            firsts = starts[row["id"]]
            row["labels"] = [-100 if i in firsts else label for i, label in enumerate(row["labels"])]
    if case.overlaps and masked:
        # A repeated token has the label of one of its pieces.
        for row, other in zip(found, expected, strict=True):
            labels = zip(row.pop("labels", ()), other.pop("labels", ()), strict=True)
            assert all(label in (right, -100) for label, right in labels)
    assert found == expected


def run_case(folder: Path, case: Case) -> None:
    source, packed, target = (folder / f"{n}.{suffix}" for n, suffix in enumerate(case.formats))
    write_rows(source, case.rows, case.schema)
    draw = random.Random(len(case.rows))
    files = FileOptions(batch_rows=draw.randrange(1, 9))
    result = pack_file(source, packed, spec=case.spec, mask=case.mask, policy=case.policy, files=files)
    rows = read_rows(packed)
    unpad_file(packed, target, files=FileOptions(batch_rows=draw.randrange(1, 9)))
    check_rows(read_rows(target), rows, case)
    report = verify_file(packed, against=source)
    errors = [finding for finding in report.data if finding.rule.severity == "error"]
    assert not errors, [finding.as_dict() for finding in errors]
    lost = sum(finding.count for finding in report.data if finding.rule.name == "tokens-lost")
    ledger = result.ledger
    assert lost == ledger.rows_truncated + ledger.rows_dropped - sum(
        not row["input_ids"] for row in case.rows
    )
    described = pq.read_schema(packed) if packed.suffix == ".parquet" else pa.ipc.open_file(packed).schema
    check_in_memory(rows, case, PackedCounts.read(described))


def check_in_memory(packed: list[Row], case: Case, counts: PackedCounts | None) -> None:
    """Check that `pack_table` packs and counts the same rows, and `unpad_table` restores them."""
    table = pa.Table.from_pylist(case.rows, case.schema)
    made = pack_table(table, spec=case.spec, mask=case.mask, policy=case.policy)
    assert made.to_pylist() == packed
    assert PackedCounts.read(made.schema) == counts is not None
    check_rows(unpad_table(made).to_pylist(), packed, case)
    check_without_metadata(made, case)
    # Without padding between sequences, each derived column separates them as well. Segment ids always do.
    if case.packing.emit and ("segment_ids" in case.packing.emit or case.packing.align == 1):
        check_rows(unpad_table(made.drop_columns(["seq_lengths"])).to_pylist(), packed, case)


def check_without_metadata(made: pa.Table, case: Case) -> None:
    """Check that `unpad_table` restores the tokens or refuses the rows, but never returns other tokens."""
    try:
        with warnings.catch_warnings():
            # Rows that were truncated at their start may also be incomplete.
            warnings.simplefilter("ignore")
            found = unpad_table(made.replace_schema_metadata(None))
    except (RowError, SpecError):
        return
    # Without metadata, the ids keep the name of the dialect.
    [ids] = {"input_ids", "tokens"}.intersection(found.column_names)
    assert found[ids].to_pylist() == [row["input_ids"] for row in expected_rows(case)]


def run_cases(folder: Path, seeds: range) -> None:
    for seed in seeds:
        case = make_case(random.Random(seed))
        try:
            run_case(folder, case)
        except Exception as error:
            error.add_note(f"seed {seed}: {replace(case, rows=case.rows[:3])}")
            raise


def test_some_tables(tmp_path):
    run_cases(tmp_path, range(2))


@pytest.mark.slow
@represented("first", range(0, 1000, 50), by=1)
def test_thousand_tables(tmp_path, first):
    run_cases(tmp_path, range(first, first + 50))


@pytest.mark.slow
def test_cases_cover_the_options():
    """Each dialect occurs with each way to cut rows, and each other option."""
    cases = [make_case(random.Random(seed)) for seed in range(1000)]
    assert {case.formats for case in cases} == {
        (a, b, c) for a in FORMATS for b in ("parquet", "arrow") for c in FORMATS
    }
    dialects = {repr(pack_preset(name)[0].packing.derived) for name in PACK_PRESETS}
    found = {repr(case.packing.derived) for case in cases}
    assert dialects <= found
    for count in (
        sum(case.packing.eos is not None for case in cases),
        sum(case.packing.align > 1 for case in cases),
        sum(case.packing.max_segments is not None for case in cases),
        sum(case.spec.windows is not None for case in cases),
        sum(case.policy.overlong == "drop" for case in cases),
        sum(case.packing.algorithm == "wrap" for case in cases),
        sum(case.packing.boundary_labels == "shift" for case in cases),
    ):
        assert count > 50
