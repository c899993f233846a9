"""The table of formats: its classes implement the contract, and a new format needs only one entry."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import raises_error

import padmask
from padmask.errors import SpecError
from padmask.formats import contract, input_format, output_format
from padmask.formats.jsonl.columns import JsonColumns
from padmask.formats.typed_columns import TypedColumns
from padmask.spec.formats import FORMATS, FormatTraits
from padmask.storage.source import Source

ROWS = "#words\tinput_ids\tlabels\n1 2 3\t4 5 6\n7\t8\n\t\n"

PADDED = "#words\tinput_ids\tlabels\tmask\n1 2\t4 5\t1 1\n7 0\t8 -100\t1 0\n0 0\t-100 -100\t0 0\n"

# A command line with an additional format.
COMMAND = "import sys, words; words.register(); from padmask.cli import run; sys.exit(run(sys.argv[1:]))"


def methods(class_: type) -> dict[str, list[str]]:
    """Return the public methods of a class, each with the names of its parameters."""
    found = inspect.getmembers(class_, inspect.isfunction)
    return {name: list(inspect.signature(one).parameters) for name, one in found if name[0] != "_"}


def load(address: str) -> Any:
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("traits", FORMATS.values(), ids=FORMATS)
def test_formats_implement_the_contract(traits: FormatTraits) -> None:
    if traits.name == "tfrecord":
        pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    for address, protocol in ((traits.reader, contract.Reader), (traits.writer, contract.Writer)):
        if address is not None:
            found = methods(load(address))
            assert {name: found.get(name) for name in methods(protocol)} == methods(protocol)
    assert traits.row_groups is None or callable(load(traits.row_groups))


@pytest.mark.parametrize("columns", [JsonColumns, TypedColumns])
def test_columns_satisfy_contract(columns: type) -> None:
    assert methods(columns) == methods(contract.InputColumns)


def test_suffixes_and_magic_are_unique():
    suffixes = [suffix for traits in FORMATS.values() for suffix in traits.suffixes]
    magic = [start for traits in FORMATS.values() for start in traits.magic]
    assert len(set(suffixes)) == len(suffixes)
    assert not [(a, b) for a in magic for b in magic if a is not b and a.startswith(b)]


def test_write_only_format_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS, "npz", replace(FORMATS["npz"], reader=None))
    with raises_error(SpecError, "a.npz", "JSON Lines, Parquet, Arrow or npy"):
        input_format(Source(str(tmp_path / "a.npz")), None)


def test_missing_suffix_lists_suffixes():
    with raises_error(SpecError, ".jsonl, .parquet, .arrow, .npz, .npy/ or .tfrecord", "--output-format"):
        output_format("out", None)


# --- A new format ------------------------------------------------------------------------


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> FormatTraits:
    """Add a format to the table."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    traits: FormatTraits = import_module("words").WORDS
    monkeypatch.setitem(FORMATS, traits.name, traits)
    return traits


@pytest.fixture
def rows(tmp_path: Path, words: FormatTraits) -> Path:
    path = tmp_path / "rows.words"
    path.write_text(ROWS)
    return path


def test_a_new_format_is_padded(rows, tmp_path):
    out = tmp_path / "out.words"
    result = padmask.pad_file(rows, out, columns=["input_ids", "labels=-100"], spec=padmask.PadSpec(maxlen=2))
    assert out.read_text() == PADDED
    assert (result.ledger.rows_written, result.ledger.tokens_lost) == (3, 1)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow", "words"])
def test_new_format_round_trips(rows, tmp_path, suffix):
    padded, back = tmp_path / f"padded.{suffix}", tmp_path / "back.words"
    padmask.pad_file(rows, padded, columns=["input_ids", "labels"])
    padmask.unpad_file(padded, back, columns=["input_ids", "labels"])
    assert back.read_text() == ROWS


def test_new_format_is_detected(rows, tmp_path):
    unnamed = rows.rename(tmp_path / "rows")
    padmask.pad_file(unnamed, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["input_ids"].type == pa.list_(pa.int32())


def test_new_format_sets_folder_suffix(rows, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rows.rename(folder / "a.wrd")
    padmask.pad_dataset(folder, tmp_path / "padded", files=padmask.FileOptions(output_format="words"))
    padmask.pad_dataset(folder, tmp_path / "lines", files=padmask.FileOptions(output_format="jsonl"))
    assert (tmp_path / "padded" / "a.wrd").exists()
    assert (tmp_path / "lines" / "a.jsonl").exists()


@pytest.mark.slow
def test_commands_take_a_new_format(tmp_path):
    def run(*args: str) -> str:
        environment = {**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parent), "COLUMNS": "200"}
        command = [sys.executable, "-c", COMMAND, *args]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "rows").write_text(ROWS)
    columns = ["-c", "input_ids", "-c", "labels=-100"]

    assert "[jsonl|parquet|arrow|npz|npy|tfrecord|words]" in run("pad", "--help")
    assert ".tfrecord or .words" in " ".join(run("pad", "--help").split())
    run("pad", "rows", "--input-format", "words", "-o", "out.words", "--maxlen", "2", *columns)
    assert (tmp_path / "out.words").read_text() == PADDED
    assert run("pad", "rows", "--output-format", "words", "--maxlen", "2", *columns) == PADDED
    assert '"rows": 3' in run("inspect", "out.words", "--json")
