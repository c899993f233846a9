"""The number of processes that pad one output file, without `--workers`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from padmask import FileOptions, PackSpec, PadSpec, WindowSpec
from padmask.cli import run_pad
from padmask.cli.arguments import Output, Workers

SPEC = PadSpec(maxlen=2)
ROW = b'{"input_ids": [7, 8, 9]}\n'


@pytest.fixture
def to(tmp_path, monkeypatch) -> Output:
    """A job for one JSON Lines file, with eight cores. The input is just large enough for several workers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_pad, "cores", lambda: 8)
    monkeypatch.setattr(run_pad, "can_fork", lambda: True)
    monkeypatch.setattr(run_pad, "LARGE_TEXT", 10 * len(ROW))
    monkeypatch.setattr(run_pad, "LARGE_COLUMNS", 20 * len(ROW))
    (tmp_path / "a.jsonl").write_bytes(10 * ROW)
    return Output(
        inputs=["a.jsonl"],
        output="b.jsonl",
        files=FileOptions(),
        report=None,
        allow=(),
        quiet=True,
        progress=False,
    )


def workers(to: Output, spec: PadSpec = SPEC, most: int | None = None) -> int:
    """Return the number of worker processes. `most` is the setting `workers` in pyproject.toml."""
    return run_pad.default_workers(to, spec, Workers(workers=most, cluster=None))


def test_large_files_have_several_processes(to, tmp_path, monkeypatch):
    assert workers(to) == run_pad.MOST_WORKERS
    monkeypatch.setattr(run_pad, "cores", lambda: 2)
    assert workers(to) == 2
    (tmp_path / "a.jsonl").write_bytes(9 * ROW)
    assert workers(to) == 1


def test_several_files_count_together(to, tmp_path):
    for name in ("a.jsonl", "c.jsonl"):
        (tmp_path / name).write_bytes(5 * ROW)
    assert workers(to) == 1
    assert workers(replace(to, inputs=["a.jsonl", "c.jsonl"])) > 1


@pytest.mark.parametrize("output", ["b.parquet", "b.arrow"])
def test_columns_need_larger_files(to, tmp_path, output):
    assert workers(replace(to, output=output)) == 1
    (tmp_path / "a.jsonl").write_bytes(20 * ROW)
    assert workers(replace(to, output=output)) == run_pad.MOST_WORKERS


@pytest.mark.parametrize("output", ["b.npz", "b.npy/"])
def test_formats_with_one_process(to, tmp_path, output):
    (tmp_path / "a.jsonl").write_bytes(20 * ROW)
    assert workers(replace(to, output=output)) == 1


def test_without_fork_files_are_larger(to, tmp_path, monkeypatch):
    monkeypatch.setattr(run_pad, "can_fork", lambda: False)
    assert workers(to) == 1
    (tmp_path / "a.jsonl").write_bytes(run_pad.WITHOUT_FORK * 10 * ROW)
    assert workers(to) == run_pad.MOST_WORKERS


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl.gz", "-", "folder", "a", "*.jsonl"])
def test_other_inputs_have_one_process(to, name, tmp_path):
    (tmp_path / "folder").mkdir()
    for path in ("a.parquet", "a.jsonl.gz", "a"):
        (tmp_path / path).write_bytes(10 * ROW)
    assert workers(replace(to, inputs=[name])) == 1


def test_standard_input_has_one_process(to):
    assert workers(replace(to, inputs=[])) == 1


@pytest.mark.parametrize(
    "spec", [PadSpec(maxlen=2, windows=WindowSpec()), PadSpec(maxlen=2, packing=PackSpec(eos=7))]
)
def test_options_that_need_one_process(to, spec):
    assert workers(to, spec) == 1


def test_other_input_formats_have_one_process(to):
    assert workers(replace(to, files=FileOptions(input_format="parquet"))) == 1
    assert workers(replace(to, files=FileOptions(input_format="jsonl"))) == run_pad.MOST_WORKERS


def test_settings_limit_the_number(to):
    assert [workers(to, most=most) for most in (1, 2, 8)] == [1, 2, run_pad.MOST_WORKERS]


def test_limit_needs_one_process(to):
    assert workers(replace(to, files=FileOptions(limit=3))) == 1
