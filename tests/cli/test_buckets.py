"""`padmask pad --buckets`: options, messages, workers, and the commands that read the folder."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import SECONDS, default_signals, faulty
from raised import has_facts
from tiers import represented

MANIFEST = "_padmask.json"
LENGTHS = [3, 9, 4, 1, 8, 30]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dataset of two files with rows of 1 to 30 tokens."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, lengths in (("a.jsonl", LENGTHS), ("b.jsonl", LENGTHS[:3])):
        rows = [{"id": i, "input_ids": list(range(1, n + 1))} for i, n in enumerate(lengths)]
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def widths(folder: Path) -> dict[str, list[int]]:
    """Return the row lengths in each file of a folder, by the name of the file."""
    return {
        name: [len(json.loads(line)["input_ids"]) for line in text.splitlines()]
        for name, text in files_in(folder).items()
    }


def test_given_edges(here, data, tmp_path):
    done = here("pad", data, "-o", "out/", "--buckets", "4,9,30", "--workers", "1", "--report", "report.json")
    assert (done.returncode, done.stdout) == (0, "")
    assert widths(tmp_path / "out") == {
        "bucket=00004/a.jsonl": [4, 4, 4],
        "bucket=00004/b.jsonl": [4, 4],
        "bucket=00009/a.jsonl": [9, 9],
        "bucket=00009/b.jsonl": [9],
        "bucket=00030/a.jsonl": [30],
    }
    assert has_facts(done.stderr.splitlines()[0], "9 rows", "2 shards", "3 buckets", "30")
    table = [line.split() for line in done.stderr.splitlines()[1:5]]
    assert table == [
        ["maxlen", "rows", "padding"],
        ["4", "5", "25.0%"],
        ["9", "3", "3.7%"],
        ["30", "1", "0%"],
    ]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["buckets"][0] == {"maxlen": 4, "rows": 5, "tokens": 15, "padding_share": 0.25}
    assert report["places"] == 5 * 4 + 3 * 9 + 30


def test_best_edges(here, data, tmp_path):
    done = here("pad", data, "-o", "out/", "--buckets", "2", "--workers", "1", "--report", "report.json")
    assert done.returncode == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert [bucket["maxlen"] for bucket in report["buckets"]] == [9, 30]
    assert set(files_in(tmp_path / "out")) == {
        *("bucket=00009/a.jsonl", "bucket=00009/b.jsonl"),
        "bucket=00030/a.jsonl",
    }


def test_maxlen_limits_the_last_edge(here, data, tmp_path):
    options = ["--maxlen", "p80", "--pad-to-multiple-of", "4", "--workers", "1"]
    done = here("pad", data, "-o", "out/", "--buckets", "2", *options)
    assert done.returncode == 0
    assert {name.split("/")[0] for name in files_in(tmp_path / "out")} == {"bucket=00004", "bucket=00012"}
    assert "1 row truncated" in done.stderr


@pytest.mark.parametrize(
    ("output", "instead"),
    [
        ("-", "-o padded/"),
        ("out.parquet", "-o out/"),
        ("out.jsonl.gz", "-o out/"),
        ("out.npy/", "-o out/"),
        ("x/out", "-o x/out/"),
    ],
)
def test_file_output_is_refused(here, data, output, instead):
    done = here("pad", data, "-o", output, "--buckets", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Use {instead}" in done.stderr


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (["--buckets", "0"], ["--buckets", "256"]),
        (["--buckets", "512"], ["--buckets", "256", "64,128,512"]),
        (["--buckets", "9,4"], ["--buckets", "ascending"]),
        (["--buckets", "p50"], ["--buckets", "p50"]),
        (["--buckets", "4,9", "--maxlen", "9"], ["--buckets", "--maxlen"]),
        (["--buckets", "4,9", "--maxlen", "longest"], ["--buckets", "--maxlen"]),
        (["--buckets", "4,9", "--pad-to-multiple-of", "4"], ["--buckets", "4,12"]),
        (["--buckets", "2", "--own-length", "labels"], ["--buckets", "--own-length"]),
        (["--buckets", "2", "--batch-tokens", "99"], ["--buckets", "batch"]),
        (["--buckets", "2", "--overlong", "window"], ["--maxlen"]),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else str(part),
)
def test_usage_errors(here, data, tmp_path, options, facts):
    done = here("pad", data, "-o", "out/", *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert has_facts(done.stderr, *facts)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "options", "code"),
    [
        ("buckets = 2", [], 0),
        ("buckets = '4,9'", [], 0),
        ("maxlen = 8", ["--buckets", "4,9"], 0),
        ("buckets = '4,9'\nmaxlen = 8", [], 2),
        ("buckets = '4,9'", ["--maxlen", "8"], 2),
    ],
)
def test_settings_follow_buckets(here, data, tmp_path, settings, options, code):
    (tmp_path / "pyproject.toml").write_text(f"[tool.padmask.pad]\n{settings}\n")
    assert here("pad", data, "-o", "out/", "--workers", "1", *options).returncode == code
    assert (tmp_path / "out").exists() == (code == 0)


def test_size_is_predicted(here, data):
    done = here("pad", data, "-o", "out/", "--buckets", "2", "--workers", "1", "--max-bytes", "100")
    assert done.returncode == 2
    assert has_facts(done.stderr, "a.jsonl, line 6", "2 buckets", "--maxlen", "--max-bytes")


# --- Commands that read the folder -------------------------------------------------------


def test_verify_accepts_buckets(here, data):
    assert here("pad", data, "-o", "out/", "--buckets", "3", "--workers", "1").returncode == 0
    done = here("verify", "out", "--no-model")
    assert (done.returncode, "no findings" in done.stdout) == (0, True)


def test_rows_unequal_is_judged_per_bucket(here, data, tmp_path):
    here("pad", data, "-o", "out/", "--buckets", "4,30", "--workers", "1", "--no-source")
    file = tmp_path / "out/bucket=00004/b.jsonl"
    file.write_text(file.read_text() + '{"id":9,"input_ids":[1,2,3],"mask":[true,true,true]}\n')
    done = here("verify", "out/*/*.jsonl", "--no-model")
    assert done.returncode == 1
    assert [has_facts(line, "rows-unequal") for line in done.stdout.splitlines()].count(True) == 1
    assert has_facts(done.stdout, "bucket=00004/b.jsonl", "4 positions")


def test_changed_bucket_is_found(here, data, tmp_path):
    here("pad", data, "-o", "out/", "--buckets", "2", "--workers", "1")
    file = tmp_path / "out/bucket=00009/a.jsonl"
    file.write_text(file.read_text().replace("1", "2"))
    done = here("verify", "out", "--no-model")
    assert (done.returncode, has_facts(done.stderr, "bucket=00009/a.jsonl", "SHA-256")) == (1, True)
    file.unlink()
    assert has_facts(here("inspect", "out").stderr, "bucket=00009/a.jsonl")


def test_inspect_reads_buckets(here, data):
    here("pad", data, "-o", "out/", "--buckets", "3", "--workers", "1")
    done = here("inspect", "out", "--json")
    found = json.loads(done.stdout)
    assert (found["rows"], found["padded"], found["health"]) == (9, True, [])
    assert found["tokens"] == sum(LENGTHS) + sum(LENGTHS[:3])
    rows = {int(bucket.name[-5:]): 0 for bucket in Path("out").glob("bucket=*")}
    for name, lengths in widths(Path("out")).items():
        rows[int(name[7:12])] += len(lengths)
    assert {bucket["maxlen"]: bucket["rows"] for bucket in found["buckets"]} == rows


@pytest.mark.parametrize("maxlen", [[], ["--maxlen", "300"]], ids=str)
def test_inspect_names_a_command_that_works(here, tmp_path, maxlen):
    lengths = np.random.default_rng(0).lognormal(3, 1, 400).astype(int) + 1
    rows = "".join(f'{{"input_ids": {[7] * n}}}\n' for n in [*lengths.tolist(), 900])
    (tmp_path / "in.jsonl").write_text(rows)
    found = json.loads(here("inspect", "in.jsonl", "--json", *maxlen).stdout)
    [plan] = [plan for plan in found["plans"] if plan["name"] == "buckets-8"]
    [line] = [line for line in found["advice"].splitlines() if "--buckets 8" in line]
    done = here(*line.split()[1:], "--report", "report.json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
    assert [bucket["maxlen"] for bucket in report["buckets"]] == plan["edges"]
    assert report["padding_share"] == pytest.approx(plan["padding_share"])
    assert report["tokens_lost"] == plan["tokens_lost"]


# --- Workers and interrupted runs --------------------------------------------------------


@pytest.mark.slow
@represented("where", ["--workers 2", "--cluster local --workers 2"], by=1)
def test_workers_write_the_same_bytes(padmask, here, data, tmp_path, where):
    assert here("pad", data, "-o", "one/", "--buckets", "3", "--workers", "1").returncode == 0
    assert padmask("pad", data, "-o", "two/", "--buckets", "3", *where.split()).returncode == 0
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")
    assert (tmp_path / "one" / MANIFEST).read_bytes() == (tmp_path / "two" / MANIFEST).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["move", "write"])
def test_killed_run_is_resumed(command, here, data, tmp_path, moment):
    for i in range(6):
        (data / f"c{i}.jsonl").write_bytes((data / "a.jsonl").read_bytes())
    args = ["pad", str(data), "-o", "out/", "--buckets", "3", "--workers", "1"]
    assert here("pad", data, "-o", "wanted/", "--buckets", "3", "--workers", "1").returncode == 0
    died = subprocess.run(
        [*command, *args],
        env=faulty_driver(tmp_path / "fault", moment),
        cwd=tmp_path,
        capture_output=True,
        timeout=SECONDS,
        preexec_fn=default_signals,
        check=False,
    )
    assert died.returncode == 128 + signal.SIGKILL
    assert (b"done" in died.stderr, b"--resume" in died.stderr) == (True, True)
    assert not (tmp_path / "out" / MANIFEST).exists()
    done = here(*args, "--resume")
    assert (done.returncode, "from an earlier run" in done.stderr) == (0, True)
    assert files_in(tmp_path / "out") == files_in(tmp_path / "wanted")


def faulty_driver(folder: Path, moment: str) -> dict[str, str]:
    """Return the environment of a run that is killed before it calls `moment` of a folder the sixth time."""
    env = faulty(folder)
    (folder / "sitecustomize.py").write_text(
        "import itertools, os, signal\n"
        "import padmask.storage.folder as folder\n"
        f"plain, calls = folder.OutputFolder.{moment}, itertools.count()\n"
        "def call(*args):\n"
        "    if next(calls) == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return plain(*args)\n"
        f"folder.OutputFolder.{moment} = call\n"
    )
    return env


def test_remedies_suit_buckets(here, data):
    done = here("pad", data, "-o", "out/", "--buckets", "4,9", "--overlong", "error", "--workers", "1")
    assert (done.returncode, "--maxlen" in done.stderr) == (1, False)
    assert has_facts(done.stderr, "line 6", "30", "9", "--buckets")
    done = here("pad", "-", "-o", "out/", "--buckets", "4,9")
    assert (done.returncode, "output file" in done.stderr) == (2, False)
    assert has_facts(done.stderr, "stdin", "Save the stream to a file")
