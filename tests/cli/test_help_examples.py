"""Run the examples in the help of each command."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padmask.cli import COMMANDS, cli

ROOT = Path(__file__).parent.parent.parent
ROWS = [
    {"input_ids": [number + 3, 2] * (number % 5 + 1), "labels": [1, 0] * (number % 5 + 1)}
    for number in range(40)
]
EXAMPLES = [
    (name, line.strip())
    for name in COMMANDS
    for line in (cli.get_command(click.Context(cli), name).help or "").split("Examples:")[1].splitlines()
    if line.strip() and "s3://" not in line
]
NEEDS_MODEL = ("--model", "--predict")
# The mask of these rows has another name, or there is only a column of lengths.
MADE_BEFORE = {
    "padded.jsonl": "padmask pad train.jsonl -o padded.jsonl",
    "padded.parquet": "padmask pad train.jsonl -o padded.parquet",
    "hf.parquet": "padmask pad train.jsonl -o hf.parquet --mask-column attention_mask --mask-dtype int64",
    "lengths.jsonl": "padmask pad train.jsonl -o lengths.jsonl --no-mask --length-column length",
    "packed.parquet": "padmask pack train.jsonl -o packed.parquet --maxlen 16",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "sample_data").exists(), reason="the sample data is not installed"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the inputs that the examples name."""
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    for name in ("train.jsonl", "books.jsonl", "tokens.jsonl"):
        (tmp_path / name).write_text(text)
    (tmp_path / "big.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    table = pa.Table.from_pylist(ROWS)
    for name in ("data", "corpus"):
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "a.parquet")
    pq.write_table(table, tmp_path / "train.parquet")
    return tmp_path


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_example_runs(shell, folder, name, line):
    if any(option in line for option in NEEDS_MODEL):
        pytest.skip("the example names a model of the user")
    if name == "verify":
        # Other tests run the reference models.
        line += " --no-model"
    if "jq " in line and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    for file, command in MADE_BEFORE.items():
        if f" {file}" in line.split(" -o ")[0]:
            assert shell(command).returncode == 0
    done = shell(line)
    assert done.returncode == 0, done.stderr
