"""Inputs and outputs at URLs: an object store, files, and the schemes of fsspec.

The object store is a local moto server. Its objects must equal local output byte for byte.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import raises_error
from storages import Bucket, environment, object_store, wait_until
from tiers import represented

import padmask
from padmask.storage.output import open_output
from padmask.storage.remote import locate, read_errors
from padmask.storage.urls import parse_url

pytest.importorskip("moto")

pytestmark = pytest.mark.slow

ROWS = [{"id": n, "input_ids": list(range(1, 1 + n % 5)), "t": "é"} for n in range(23)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def parquet(rows: list[dict], **options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, **options)
    return out.getvalue()


def arrow(rows: list[dict]) -> bytes:
    table, out = pa.Table.from_pylist(rows), pa.BufferOutputStream()
    with pa.ipc.new_file(out, table.schema) as sink:
        sink.write_table(table)
    return out.getvalue().to_pybytes()


FILES = {
    "rows.jsonl": LINES,
    "rows.jsonl.gz": gzip.compress(LINES),
    "rows.parquet": parquet(ROWS, row_group_size=7),
    "rows.arrow": arrow(ROWS),
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of the store's requests."""
    return tmp_path_factory.mktemp("store") / "log"


@pytest.fixture(scope="module")
def store(log: Path) -> Iterator[None]:
    with object_store(log) as reached, environment(reached):
        yield


@pytest.fixture
def bucket(store: None, request: pytest.FixtureRequest) -> Bucket:
    """A new bucket."""
    return Bucket(f"test-{abs(hash(request.node.nodeid)) % 10**9}")


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A folder on the local disk with the files that the tests put into a bucket."""
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


Here = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("maxlen", ["3", "p50"])
def test_stored_files_are_read(bucket: Bucket, local: Path, here: Here, name: str, maxlen: str) -> None:
    url = bucket.write(name, FILES[name])
    for suffix in ("jsonl", "parquet"):
        for source, output in ((local / name, f"local.{suffix}"), (url, f"stored.{suffix}")):
            assert here("pad", source, "-o", output, "--maxlen", maxlen).returncode == 0
        assert (local / f"stored.{suffix}").read_bytes() == (local / f"local.{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow", "npz"])
def test_stored_output_is_equal(bucket: Bucket, local: Path, here: Here, suffix: str) -> None:
    output = bucket.url(f"deep/er/out.{suffix}")
    done = here("pad", local / "rows.parquet", "-o", output, "--rejects", bucket.url("no.jsonl"))
    assert (done.returncode, output in done.stderr) == (0, True)
    assert here("pad", local / "rows.parquet", "-o", f"out.{suffix}").returncode == 0
    assert bucket.names() == [f"deep/er/out.{suffix}", "no.jsonl"]
    assert bucket.read(f"deep/er/out.{suffix}") == (local / f"out.{suffix}").read_bytes()


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet", "rows.arrow"])
def test_every_command_reads_objects(bucket: Bucket, local: Path, here: Here, name: str) -> None:
    url, padded = bucket.write(name, FILES[name]), bucket.url(f"padded-{name}")
    assert here("pad", url, "-o", padded).returncode == 0
    seen = here("inspect", padded, "--json")
    assert (json.loads(seen.stdout)["rows"], json.loads(seen.stdout)["padded"]) == (len(ROWS), True)
    done = here("verify", padded, "--no-model")
    assert f"{padded}: {len(ROWS)} rows" in done.stdout
    assert here("unpad", padded, "-o", bucket.url("back.jsonl")).returncode == 0
    assert [json.loads(line) for line in bucket.read("back.jsonl").splitlines()] == ROWS


@represented("input_", ["", "year=*/*.jsonl", "**/*.jsonl", "year=*"], by=2)
def test_folders_and_patterns(bucket: Bucket, local: Path, here: Here, input_: str) -> None:
    names = ["year=1/b c.jsonl", "year=1/a#1.jsonl", "year=2/é%41.jsonl", "_x/c.jsonl", "year=2/.d.jsonl"]
    for number, name in enumerate(names):
        line = f'{{"input_ids": [{number}]}}\n'.encode()
        bucket.write(f"data/{name}", line)
        (local / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (local / "data" / name).write_bytes(line)
    bucket.write("data/notes.txt", b"no data")
    if input_ != "year=*":
        # A store has no folders that a pattern could match.
        done = here("pad", bucket.url(f"data/{input_}"), "-o", bucket.url("out/"))
        assert done.returncode == 0, done.stderr
        assert ("notes.txt" in done.stderr) == (input_ == "")
    assert here("pad", f"data/{input_}", "-o", "out/").returncode == 0
    made = sorted(str(path.relative_to(local / "out")) for path in (local / "out").rglob("*.jsonl"))
    assert made == sorted(names[:3])
    if input_ != "year=*":
        assert bucket.names("out") == ["out/_padmask.json", *(f"out/{name}" for name in made)]
        for name in made:
            assert bucket.read(f"out/{name}") == (local / "out" / name).read_bytes()


def test_staging_errors_show_the_final_url(store: None) -> None:
    folder = "s3://no-such-bucket/out"
    with (
        raises_error(padmask.OutputError, "'no-such-bucket'") as raised,
        open_output(f"{folder}/_padmask-1/000000.jsonl", final_path=f"{folder}/a.jsonl") as stream,
    ):
        stream.write(b"{}")
    assert "_padmask-1" not in str(raised.value)


class TestADataset:
    @pytest.fixture
    def data(self, bucket: Bucket) -> str:
        for number in range(4):
            bucket.write(f"data/{number}.jsonl", LINES.replace(b'"id": ', b'"id": %d' % (number + 1)))
        return bucket.url("data/")

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_store_to_store(self, bucket: Bucket, here: Here, data: str, workers: str) -> None:
        done = here("pad", data, "-o", bucket.url("out/"), "--maxlen", "p90", "--workers", workers)
        assert done.returncode == 0, done.stderr
        names = [f"{number}.jsonl" for number in range(4)]
        assert bucket.names("out") == [*(f"out/{name}" for name in names), "out/_padmask.json"]
        manifest = json.loads(bucket.read("out/_padmask.json"))
        assert [shard["name"] for shard in manifest["shards"]] == names
        assert manifest["total"]["rows_written"] == 4 * len(ROWS)

    def test_failure_leaves_no_data(self, bucket: Bucket, here: Here, data: str) -> None:
        bucket.write("data/2.jsonl", LINES[:-9])
        done = here("pad", data, "-o", bucket.url("out/"), "--maxlen", "3")
        assert done.returncode == 1
        assert f"{data}2.jsonl, line {len(ROWS)}: " in done.stderr
        assert all(name.startswith("out/_padmask-") for name in bucket.names("out"))
        begun = here("verify", bucket.url("out/"), "--no-model")
        assert (begun.returncode, "--resume" in begun.stderr) == (1, True)
        # The inputs differ, so finished shards cannot be used.
        bucket.write("data/2.jsonl", LINES)
        assert here("pad", data, "-o", bucket.url("out/"), "--maxlen", "3").returncode == 0
        assert len(bucket.names("out")) == 5

    def test_killed_run_resumes(
        self, bucket: Bucket, command: list[str], here: Here, data: str, tmp_path: Path
    ) -> None:
        args = ["pad", data, "-o", bucket.url("out/"), "--workers", "1", "--quiet"]
        with subprocess.Popen([*command, *args], cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
            wait_until(lambda: any(name.endswith(".record") for name in bucket.names("out")))
            process.send_signal(signal.SIGKILL)
        wait_until(lambda: process.poll() is not None)
        if "out/_padmask.json" not in bucket.names("out"):
            assert not [name for name in bucket.names("out") if not name.startswith("out/_padmask")]
        assert here(*args, "--resume").returncode == 0
        resumed = {name: bucket.read(name) for name in bucket.names("out")}
        assert here(*args[:3], bucket.url("again/"), *args[4:]).returncode == 0
        again = {name.replace("again", "out"): bucket.read(name) for name in bucket.names("again")}
        assert resumed == again

    def test_dataset_replaces_another(self, bucket: Bucket, here: Here, data: str) -> None:
        for inputs in ([data], [bucket.url("data/[13].jsonl")]):
            assert here("pad", *inputs, "-o", bucket.url("out/"), "--quiet", "--delete").returncode == 0
        assert bucket.names("out") == ["out/1.jsonl", "out/3.jsonl", "out/_padmask.json"]

    def test_foreign_folder_is_refused(self, bucket: Bucket, here: Here, data: str) -> None:
        bucket.write("out/mine.jsonl", b"")
        done = here("pad", data, "-o", bucket.url("out/"))
        assert (done.returncode, "mine.jsonl" in done.stderr) == (2, True)
        assert bucket.names("out") == ["out/mine.jsonl"]

    @pytest.mark.parametrize("output", ["data/", "data/out/"])
    def test_input_is_not_overwritten(self, bucket: Bucket, here: Here, data: str, output: str) -> None:
        before = {name: bucket.read(name) for name in bucket.names()}
        assert here("pad", data, "-o", bucket.url(output)).returncode == 2
        assert {name: bucket.read(name) for name in bucket.names()} == before

    @pytest.mark.exhaustive(by="test_store_to_store")
    def test_inspect_with_workers(self, bucket: Bucket, here: Here, data: str) -> None:
        seen = [here("inspect", data, "--json", "--workers", workers).stdout for workers in ("1", "2")]
        assert json.loads(seen[0])["rows"] == 4 * len(ROWS)
        assert seen[0] == seen[1]


def test_object_appears_when_complete(bucket: Bucket, command: list[str], tmp_path: Path) -> None:
    # Large enough for several parts; the run is killed while it pads or uploads.
    ids = np.random.default_rng(1).integers(1, 1 << 30, (30, 40_000)).tolist()
    (tmp_path / "in.jsonl").write_text("".join(f'{{"input_ids": {row}}}\n' for row in ids))
    args = [*command, "pad", "in.jsonl", "-o", bucket.url("out.jsonl"), "--quiet"]
    begin = time.monotonic()
    assert subprocess.run(args, cwd=tmp_path, check=False).returncode == 0
    whole, took = bucket.read("out.jsonl"), time.monotonic() - begin
    for part in (1, 3, 5):
        bucket.store.delete_file(f"{bucket.name}/out.jsonl")
        with subprocess.Popen(args, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
            time.sleep(took * part / 6)
            process.send_signal(signal.SIGKILL)
        if bucket.names():
            assert bucket.read("out.jsonl") == whole
        else:
            bucket.write("out.jsonl", b"")


def test_changed_object_is_refused(bucket: Bucket, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    url = bucket.write("rows.jsonl", LINES)
    from padmask.stream import plans

    plain = plans.plan_job

    def meanwhile(*args: object) -> object:
        bucket.write("rows.jsonl", LINES + LINES)
        return plain(*args)

    monkeypatch.setattr(plans, "plan_job", meanwhile)
    done = here("pad", url, "-o", "out.jsonl")
    assert done.returncode == 2
    assert f"{url} was changed" in done.stderr


def test_secrets_stay_hidden(bucket: Bucket, here: Here, tmp_path: Path) -> None:
    bucket.write("in/a.jsonl", LINES)
    endpoint = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    root, query = f"s3://AKIA:hunter2@{bucket.name}", f"?endpoint_override={endpoint}&scheme=http"
    runs = [
        here("pad", f"{root}/in/{query}", "-o", f"{root}/out/{query}", "--report", "report.json"),
        here("pad", f"{root}/in/a.jsonl{query}", "-o", f"{root}/x.jsonl{query}"),
        here("inspect", f"{root}/in/a.jsonl{query}"),
        here("pad", f"{root}/no.jsonl{query}"),
        here("pad", f"{root}/in/{query}", "-o", f"{root}/in/out/{query}"),
        here("unpad", f"{root}/in/a.jsonl{query}", "-o", f"{root}/y.jsonl{query}"),
    ]
    assert [run.returncode for run in runs] == [0, 0, 0, 2, 2, 2]
    said = "".join(run.stdout + run.stderr for run in runs) + (tmp_path / "report.json").read_text()
    said += bucket.read("out/_padmask.json").decode()
    assert "a.jsonl" in said
    assert "hunter2" not in said
    assert "endpoint_override" not in said


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["s3://test-nowhere/a.jsonl"], "'test-nowhere'"),
        (["s3://test-nowhere/data/"], "'test-nowhere'"),
        (["s3://test-nowhere/*.jsonl"], "'test-nowhere'"),
        (["rows.jsonl", "-o", "s3://test-nowhere/out.jsonl"], "'test-nowhere'"),
        (["rows.jsonl", "-o", "s3://test-nowhere/out/"], "'test-nowhere'"),
        (["foo://x/a.jsonl"], "Unknown scheme foo://"),
        (["gdrive://x/y.jsonl"], "gdrive://"),
        (["file://elsewhere/a.jsonl"], "another machine"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_unreachable_url_is_refused(store: None, local: Path, here: Here, args: list[str], says: str) -> None:
    done = here("pad", *args)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.jsonl", "File"),
        ("data/", "Folder"),
        ("*.jsonl", "No file matches"),
    ],
)
def test_missing_file_in_a_bucket(bucket: Bucket, here: Here, name: str, says: str) -> None:
    done = here("pad", f"s3://{bucket.name}/{name}")
    assert done.returncode == 2
    assert f"{says} 's3://{bucket.name}/{name}'" in done.stderr


@represented("name", ["a?region=x.jsonl", "b*.jsonl", "a?x=1.jsonl", "a[1].jsonl", "c?.jsonl"], by=2)
def test_names_like_queries(bucket: Bucket, local: Path, here: Here, name: str) -> None:
    # For each object there is another one that an incorrect pattern would match.
    for other in ("a", "a1.jsonl", "bb.jsonl", "cc.jsonl"):
        bucket.write(f"in/{other}", LINES + LINES)
    url = bucket.write(f"in/{name}", LINES)
    if "=" not in name:
        assert here("pad", url, "-o", "out.jsonl", "--quiet").returncode == 0
        assert (local / "out.jsonl").read_bytes().count(b"\n") == len(ROWS)
    done = here("pad", bucket.url("in/"), "-o", bucket.url("out/"), "--quiet")
    assert done.returncode == 0, done.stderr
    assert bucket.read(f"out/{name}").count(b"\n") == len(ROWS)


@pytest.mark.parametrize(
    "args",
    [
        ["pad", "s3://AK:hunt/er2@test-data/a.jsonl"],
        ["pad", "rows.jsonl", "-o", "s3://AK:1/er2@test-data/a.jsonl"],
        ["pad", "file://u:er2@host/x.jsonl"],
        ["pad", "s3:/k:er2@test-data/x.jsonl"],
        ["pad", "s3://test-data/x.jsonl?X-Amz-Signature=er2"],
        ["inspect", "rows.jsonl", "--export", "s3://k:er2@test-data/q.bad"],
        ["verify", "--model", "s3://k:er2@test-data/m.keras"],
        [
            "verify",
            "s3://k:er2@test-data/a.jsonl",
            "--no-model",
            "--report",
            "json:s3://k:er2@test-data/a.jsonl",
        ],
    ],
    ids=" ".join,
)
def test_refusals_hide_secrets(store: None, local: Path, here: Here, args: list[str]) -> None:
    done = here(*args)
    assert done.returncode == 2
    assert "er2" not in done.stdout + done.stderr
    assert done.stderr.count("Error: ") == 1


def test_arrow_errors_are_explained() -> None:
    # Simulate abfs:// without credentials. A real request would leave this machine.
    url = parse_url("abfs://c@nobody.dfs.core.windows.net/b.jsonl")
    with (
        raises_error(padmask.UnreadableError, "abfs://nobody", "credentials"),
        read_errors(url),
    ):
        raise pa.ArrowException("no credentials")


@pytest.mark.parametrize(
    "address", ["abfs://c@a.dfs.core.windows.net/x/y.jsonl", "abfs://a.dfs.core.windows.net/c/x/y.jsonl"]
)
def test_azure_container_position(address: str) -> None:
    assert locate(parse_url(address))[1] == "c/x/y.jsonl"


def test_google_store_times_out(local: Path) -> None:
    # On an unused port of this machine. Without a limit, Arrow retries for 15 minutes.
    url = "gs://anonymous@bucket/a.jsonl?endpoint_override=127.0.0.1:9&scheme=http"
    code = "import padmask.storage.remote as r; r.RETRY_SECONDS = 1; import padmask.__main__ as m; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "pad", url], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Cannot read 'gs://bucket/a.jsonl': ")


@pytest.mark.exhaustive(by="test_google_store_times_out")
def test_store_times_out(local: Path, command: list[str], store: None) -> None:
    nobody = os.environ | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    done = subprocess.run(
        [*command, "pad", "s3://bucket/a.jsonl"],
        env=nobody,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Cannot read 's3://bucket/a.jsonl': ")


def test_file_addresses_are_paths(local: Path, here: Here) -> None:
    (local / "a b.jsonl").write_bytes(LINES)
    done = here("pad", f"file://{local}/a%20b.jsonl", "-o", f"file://{local}/out.jsonl")
    assert done.returncode == 0, done.stderr
    assert (local / "out.jsonl").read_bytes().count(b"\n") == len(ROWS)


def test_fsspec_schemes(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/padmask-{n}/{n}.jsonl": LINES for n in "ab"} | {"/padmask-in/c.jsonl": LINES})
    padmask.pad_file("memory://padmask-in/c.jsonl", "memory://padmask-out/new/c.parquet")
    padmask.pad_dataset(["memory://padmask-a/", "memory://padmask-b/b.jsonl"], "memory://padmask-out/data/")
    found = sorted(path for path in memory.find("/padmask-out"))
    assert [path.removeprefix("/padmask-out/") for path in found] == [
        "data/_padmask.json",
        "data/a.jsonl",
        "data/b.jsonl",
        "new/c.parquet",
    ]
    table = pq.read_table(io.BytesIO(memory.cat("/padmask-out/new/c.parquet")))
    assert table.num_rows == len(ROWS)


def test_row_groups_are_fetched_alone(bucket: Bucket, log: Path, here: Here) -> None:
    # Two row groups of one megabyte; the first rows need only the first.
    ids = np.random.default_rng(1).integers(1, 1 << 30, (500, 1000)).tolist()
    url = bucket.write("large.parquet", parquet([{"input_ids": row} for row in ids], row_group_size=250))
    size = len(bucket.read("large.parquet"))
    before = log.stat().st_size
    assert here("pad", url, "-o", "out.jsonl", "--limit", "10", "--maxlen", "3").returncode == 0
    requests = [line for line in log.read_text()[before:].splitlines() if "GET" in line and "large" in line]
    assert 0 < len(requests) < 30
    assert size > 1 << 20
