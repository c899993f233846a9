"""A dataset padded in shards equals the dataset padded in one run, with every kind of worker."""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairs import each_value
from raised import has_facts, raises_error

from padmask import MaskSpec, PadmaskError, PadSpec, RowPolicy, pad_file
from padmask.core.length_stats import LengthStats
from padmask.core.metadata import METADATA_KEY, RUN_KEY
from padmask.errors import DataError, OutputError, SpecError, UnreadableError
from padmask.shards.driver import SurveySum
from padmask.shards.pack_dataset import pack_dataset
from padmask.shards.pad_dataset import pad_dataset
from padmask.shards.processes import Processes
from padmask.spec.files import FileOptions
from padmask.stream.ledger import Ledger, PadResult
from padmask.stream.survey import Survey

MANIFEST = "_padmask.json"
FORMATS = ["jsonl", "parquet", "arrow"]

few = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Row = dict[str, Any]


# --- Datasets and their contents ---------------------------------------------------------


def write(path: Path, rows: Sequence[Row], schema: pa.Schema | None = None) -> Path:
    """Write rows in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path
    table = pa.Table.from_pylist(list(rows), schema=schema)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=2)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return path


def rows_of(path: Path) -> list[Row]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return table_of(path).to_pylist()


def schema_of(path: Path) -> pa.Schema:
    """Return the schema of a file, without the row counts of the run in its metadata."""
    schema = table_of(path).schema
    described = json.loads(schema.metadata[METADATA_KEY])
    described.pop(RUN_KEY, None)
    return schema.with_metadata({**schema.metadata, METADATA_KEY: json.dumps(described)})


def table_of(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path)
    with pa.OSFile(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def bytes_in(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files in a folder by name, including the manifest."""
    return {name: (folder / name).read_bytes() for name in sorted(names_in(folder))}


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return manifest


def shards_of(folder: Path) -> list[Path]:
    """Return the files of a dataset in order."""
    return [folder / shard["name"] for shard in manifest_of(folder)["shards"] if shard["name"]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dataset of five shards of JSON Lines, with the longest row in the fourth."""
    folder = tmp_path / "data"
    for shard, length in enumerate([3, 1, 0, 9, 4]):
        rows = [{"id": 10 * shard + i, "input_ids": list(range(1, max(0, length - i) + 1))} for i in range(3)]
        write(folder / f"part={shard % 2}" / f"{shard}.jsonl", rows)
    return folder


# --- Shards have the rows of a single run ------------------------------------------------

tokens = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6)
extras = st.one_of(st.none(), st.integers(-5, 5), st.floats(0, 1, width=32))


@st.composite
def datasets(draw: st.DrawFn) -> list[list[Row]]:
    """Generate a few files of rows. Some ids are not lists or do not fit the dtype."""
    spoiled = draw(st.booleans())
    bad = st.sampled_from([None, [2**40], [1, None]])
    ids = st.one_of(tokens, tokens, tokens, bad) if spoiled else tokens
    row = st.fixed_dictionaries({"input_ids": ids, "extra": extras})
    files = draw(st.lists(st.lists(row, max_size=5), min_size=1, max_size=4))
    # The first row determines the token type.
    files[0].insert(0, {"input_ids": [7], "extra": None})
    numbered = iter(range(100))
    return [[row | {"id": next(numbered)} for row in rows] for rows in files]


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "spec": PadSpec(
            maxlen=draw(st.sampled_from([3, "longest", "p50"])),
            padding=draw(st.sampled_from(["pre", "post"])),
            truncating=draw(st.sampled_from(["pre", "post"])),
        ),
        "policy": RowPolicy(
            overlong=draw(st.sampled_from(["truncate", "drop", "error"])),
            empty_rows=draw(st.sampled_from(["keep", "drop", "error"])),
            on_error=draw(st.sampled_from(["fail", "skip", "skip"])),
        ),
        "mask": MaskSpec(length_column=draw(st.sampled_from([None, "length"]))),
    }


SCHEMA = pa.schema([("input_ids", pa.list_(pa.int64())), ("extra", pa.float64()), ("id", pa.int64())])


def outcome(run: Callable[[], PadResult]) -> PadResult | str:
    try:
        return run()
    except PadmaskError as error:
        return str(error)


@pytest.mark.slow
@few
@given(
    datasets(),
    policies(),
    st.sampled_from(FORMATS),
    st.sampled_from(FORMATS),
    st.one_of(st.none(), st.integers(0, 12)),
    st.booleans(),
)
def test_shards_equal_one_file(files, asked, source, output, limit, cut):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, rows in enumerate(files):
            write(folder / "data" / f"{number}.{source}", rows, SCHEMA)
        one, padded, rejects = folder / f"one.{output}", folder / "padded", folder / "rejects.jsonl"
        options = FileOptions(limit=limit, threads=1, output_format=output)
        at_once = outcome(
            lambda: pad_file(
                folder / "data", one, files=replace(options, rejects=str(folder / "once.jsonl")), **asked
            )
        )
        by_shard = outcome(
            lambda: pad_dataset(
                folder / "data",
                padded,
                files=replace(options, rejects=str(rejects)),
                shard_bytes=1 if cut else 1 << 20,
                **asked,
            )
        )

        if isinstance(at_once, str):
            # Both report the first of several errors.
            assert isinstance(by_shard, str)
            assert by_shard.startswith(at_once), (by_shard, at_once)
            assert not (padded / MANIFEST).exists()
            return
        assert isinstance(by_shard, PadResult), by_shard
        assert replace(by_shard, shards=0) == replace(at_once, shards=0)
        assert by_shard.ledger.balanced
        assert [row for path in shards_of(padded) for row in rows_of(path)] == rows_of(one)
        if output != "jsonl":
            assert {schema_of(path) for path in shards_of(padded)} == {schema_of(one)}
        assert rejects.read_bytes() == (folder / "once.jsonl").read_bytes()
        each = [Ledger(**shard["ledger"]) for shard in manifest_of(padded)["shards"]]
        assert all(ledger.balanced for ledger in each)
        assert sum(each, Ledger()) == at_once.ledger
        assert manifest_of(padded)["total"] == at_once.ledger.as_dict()


@pytest.mark.parametrize("empty_rows", ["keep", "drop"])
def test_limit_counts_dropped_rows(tmp_path, empty_rows):
    for number, rows in enumerate([[[7], [], [8]], [[9], []], [[1]]]):
        write(tmp_path / "data" / f"{number}.jsonl", [{"input_ids": ids} for ids in rows])
    files, policy = FileOptions(limit=4), RowPolicy(empty_rows=empty_rows)
    result = pad_dataset(tmp_path / "data", tmp_path / "padded", files=files, policy=policy)
    assert result.ledger.rows_read == 4
    assert [path.name for path in shards_of(tmp_path / "padded")] == ["0.jsonl", "1.jsonl"]


# --- Executors ---------------------------------------------------------------------------


@contextmanager
def no_executor() -> Iterator[tuple[Executor | None, int]]:
    yield None, 1


@contextmanager
def threads() -> Iterator[tuple[Executor, int]]:
    with ThreadPoolExecutor(3) as executor:
        yield executor, 3


@contextmanager
def processes(workers: int) -> Iterator[tuple[Executor, int]]:
    with Processes(workers) as executor:
        yield executor, executor.workers


@contextmanager
def dask() -> Iterator[tuple[Executor, int]]:
    from padmask.shards.dask import open_cluster

    with open_cluster("local", 2) as executor:
        yield executor, executor.workers


TEAMS = [
    pytest.param(no_executor, id="here"),
    pytest.param(threads, id="threads"),
    pytest.param(lambda: processes(1), id="1 process", marks=pytest.mark.slow),
    pytest.param(lambda: processes(3), id="3 processes"),
    pytest.param(dask, id="Dask", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=TEAMS)
def team(request) -> Iterator[tuple[Executor | None, int]]:
    """Every kind of executor, started once."""
    with request.param() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "output"),
    [
        *((pad_dataset, output) for output in [*FORMATS, "npz"]),
        *((partial(pack_dataset, spec=PadSpec(maxlen=12)), output) for output in FORMATS),
    ],
)
def test_workers_write_the_same_bytes(team, data, tmp_path, run, output):
    executor, workers = team
    files = FileOptions(output_format=output, rejects=str(tmp_path / "rejects.jsonl"))
    policy = RowPolicy(empty_rows="drop")
    alone = run(data, tmp_path / "alone", files=files, policy=policy)
    rejects = (tmp_path / "rejects.jsonl").read_bytes()
    result = run(data, tmp_path / "padded", files=files, policy=policy, executor=executor, workers=workers)

    assert result == alone
    assert bytes_in(tmp_path / "padded") == bytes_in(tmp_path / "alone")
    assert (tmp_path / "rejects.jsonl").read_bytes() == rejects
    assert rejects.count(b"\n") == result.ledger.rows_dropped > 0


@pytest.mark.slow
def test_types_come_from_all_shards(team, tmp_path):
    for number, extra in enumerate([None, 1, 0.5, None]):
        write(tmp_path / "data" / f"{number}.jsonl", [{"input_ids": [number], "extra": extra}])
    executor, workers = team
    pad_dataset(
        tmp_path / "data",
        tmp_path / "padded",
        files=FileOptions(output_format="parquet"),
        executor=executor,
        workers=workers,
    )

    for path in shards_of(tmp_path / "padded"):
        assert pq.read_schema(path).field("extra").type == pa.float64()


def test_mixed_types_name_both_files(team, tmp_path):
    for number, extra in enumerate([1, None, "x"]):
        write(tmp_path / "data" / f"{number}.jsonl", [{"input_ids": [number], "extra": extra}])
    executor, workers = team
    places = ["2.jsonl, line 1", "0.jsonl, line 1"]
    with raises_error(DataError, *places, "'extra'", "string", "int", option="output_format"):
        pad_dataset(
            tmp_path / "data",
            tmp_path / "padded",
            files=FileOptions(output_format="parquet"),
            executor=executor,
            workers=workers,
        )
    assert not (tmp_path / "padded").exists()


# --- Row groups --------------------------------------------------------------------------


def test_large_file_is_cut_alike(team, tmp_path):
    rows = [{"id": i, "input_ids": list(range(i % 4))} for i in range(10)]
    source = write(tmp_path / "large.parquet", rows)
    executor, workers = team
    for folder, more in (("alone", {}), ("padded", {"executor": executor, "workers": workers})):
        pad_dataset(source, tmp_path / folder, shard_bytes=1, **more)

    assert names_in(tmp_path / "padded") == {MANIFEST, *(f"large-0000{i}-of-00005.parquet" for i in range(5))}
    assert bytes_in(tmp_path / "padded") == bytes_in(tmp_path / "alone")
    found = [row for path in shards_of(tmp_path / "padded") for row in rows_of(path)]
    assert [row["id"] for row in found] == list(range(10))


def test_row_numbers_count_in_the_file(tmp_path):
    rows = [{"id": i, "input_ids": [2**40 if i in (7, 8) else i]} for i in range(10)]
    source = write(tmp_path / "large.parquet", rows)
    with raises_error(DataError, place="large.parquet, row 7", column="input_ids"):
        pad_dataset(source, tmp_path / "padded", shard_bytes=1)

    files = FileOptions(rejects=str(tmp_path / "rejects.jsonl"))
    pad_dataset(source, tmp_path / "padded", shard_bytes=1, policy=RowPolicy(on_error="skip"), files=files)
    rejects = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [reject["row_number"] for reject in rejects] == [7, 8]


# --- Inputs that change during a run -----------------------------------------------------


def changed_between_passes(tmp_path: Path, change: Callable[[Path], None]) -> pytest.ExceptionInfo[Any]:
    """Pad two files; the second one changes after both were measured."""
    for number in range(2):
        write(tmp_path / "data" / f"{number}.jsonl", [{"input_ids": [1] * (number + 1)}])

    def tell(progress: Any) -> None:
        if progress.phase == "measuring" and progress.rows == 2:
            change(tmp_path / "data" / "1.jsonl")

    with pytest.raises(DataError) as caught:
        pad_dataset(tmp_path / "data", tmp_path / "padded", progress=tell)
    assert names_in(tmp_path / "padded") and MANIFEST not in names_in(tmp_path / "padded")
    assert not [name for name in names_in(tmp_path / "padded") if not name.startswith("_")]
    return caught


def test_growing_file_is_refused(tmp_path):
    def grow(path: Path) -> None:
        path.write_text(json.dumps({"input_ids": [1] * 9}) + "\n")

    assert has_facts(str(changed_between_passes(tmp_path, grow).value), "1.jsonl", "changed")


def test_removed_file_is_refused(tmp_path):
    assert has_facts(str(changed_between_passes(tmp_path, Path.unlink).value), "1.jsonl")


# --- Unreadable inputs -------------------------------------------------------------------


def corrupt_footer(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4] + b"PAR2")


def corrupt_pages(path: Path, column: int = 1) -> None:
    """Damage a column in the last row group. Only a reader of this row group detects the damage."""
    metadata = pq.read_metadata(path)
    chunk = metadata.row_group(metadata.num_row_groups - 1).column(column)
    place = chunk.dictionary_page_offset or chunk.data_page_offset
    data = bytearray(path.read_bytes())
    data[place : place + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(data)


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Four Parquet shards."""
    for number in range(4):
        rows = [{"id": i, "input_ids": [i] * (number + i), "labels": [9] * (number + i)} for i in range(5)]
        write(tmp_path / "four" / f"{number}.parquet", rows)
    return tmp_path / "four"


def corrupt_first_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4:200] = b"\xff" * 196
    path.write_bytes(data)


CORRUPTIONS = {
    "footer": corrupt_footer,
    "ids": corrupt_pages,
    "another column": lambda path: corrupt_pages(path, 0),
    "first page": corrupt_first_page,
    "nothing in it": lambda path: path.write_bytes(b""),
}
corruptions = pytest.mark.parametrize("corrupt", CORRUPTIONS.values(), ids=CORRUPTIONS)


@each_value(corrupt=CORRUPTIONS, which=[0, 2], maxlen=[4, "longest"])
def test_corrupt_shard(four, tmp_path, corrupt, which, maxlen):
    corrupt(four / f"{which}.parquet")
    spec = PadSpec(maxlen=maxlen)
    with threads() as (executor, workers), raises_error(UnreadableError, f"{which}.parquet"):
        pad_dataset(four, tmp_path / "padded", spec=spec, executor=executor, workers=workers)
    assert all(name.startswith("_padmask-") for name in names_in(tmp_path / "padded"))

    policy = RowPolicy(on_error="skip")
    with threads() as (executor, workers):
        result = pad_dataset(
            four, tmp_path / "padded", spec=spec, policy=policy, executor=executor, workers=workers
        )
    assert result.shards == 3
    [fault] = result.faults
    assert f"{which}.parquet" in fault
    assert names_in(tmp_path / "padded") == {MANIFEST, *(f"{i}.parquet" for i in range(4) if i != which)}
    assert [shard["fault"] for shard in manifest_of(tmp_path / "padded")["shards"] if shard["fault"]] == [
        fault
    ]
    assert result.ledger.rows_read == result.ledger.rows_written == 15


@corruptions
def test_only_corrupt_shards(four, tmp_path, corrupt):
    for path in four.iterdir():
        corrupt(path)
    for spec in (PadSpec(maxlen=4), PadSpec()):
        with raises_error(UnreadableError, "0.parquet"):
            pad_dataset(four, tmp_path / "padded", spec=spec, policy=RowPolicy(on_error="skip"))
    assert not [name for name in names_in(tmp_path / "padded") if not name.startswith("_padmask-")]


@corruptions
def test_limit_skips_corrupt_shards(four, tmp_path, corrupt):
    corrupt(four / "0.parquet")
    result = pad_dataset(
        four, tmp_path / "padded", policy=RowPolicy(on_error="skip"), files=FileOptions(limit=7)
    )
    assert len(result.faults) == 1
    assert [path.name for path in shards_of(tmp_path / "padded")][:1] == ["1.parquet"]


def test_interrupt_reports_progress(data, tmp_path):
    write(data / "part=1" / "3.jsonl", [{"input_ids": [2**40]}])
    with raises_error(DataError, "4 of 5 shards", "--resume", place="3.jsonl, line 1"):
        pad_dataset(data, tmp_path / "padded", spec=PadSpec(maxlen=4))


# --- Refused inputs and options ----------------------------------------------------------


def test_foreign_output_is_refused(data, tmp_path):
    write(tmp_path / "padded" / "mine.jsonl", [{"input_ids": [1]}])
    (tmp_path / "padded" / "README.md").write_text("no data")
    before = bytes_in(tmp_path / "padded")
    with raises_error(OutputError, "did not write: mine.jsonl."):
        pad_dataset(data, tmp_path / "padded")
    assert bytes_in(tmp_path / "padded") == before


def test_output_over_its_input(tmp_path):
    path = write(tmp_path / "data" / "a.jsonl", [{"input_ids": [1]}])
    with raises_error(OutputError, f"'{path}'", f"'{tmp_path}/data'"):
        pad_dataset(path, tmp_path / "data")
    assert rows_of(path) == [{"input_ids": [1]}]


def test_rejects_among_data(data, tmp_path):
    for name, fine in (("rejects.jsonl", False), ("_rejects.jsonl", True), ("rejects.txt", True)):
        files = FileOptions(rejects=str(tmp_path / "padded" / name))
        (tmp_path / "padded").mkdir(exist_ok=True)
        if fine:
            pad_dataset(data, tmp_path / "padded", files=files)
        else:
            with raises_error(OutputError, "rejects", f"'{tmp_path}/padded/{name}'"):
                pad_dataset(data, tmp_path / "padded", files=files)


def test_compressed_rejects(data, tmp_path):
    files = FileOptions(rejects=str(tmp_path / "rejects.jsonl.gz"))
    result = pad_dataset(data, tmp_path / "padded", policy=RowPolicy(empty_rows="drop"), files=files)
    rejects = gzip.decompress((tmp_path / "rejects.jsonl.gz").read_bytes()).splitlines()
    assert len(rejects) == result.ledger.rows_dropped


def test_stdin_has_no_shards(tmp_path):
    with raises_error(SpecError, "stdin", "folder"):
        pad_dataset("-", tmp_path / "padded")


def test_no_input_is_refused(tmp_path):
    with raises_error(SpecError, "No input"):
        pad_dataset([], tmp_path / "padded")


def test_failed_run_removes_new_folder(tmp_path):
    source = write(tmp_path / "data" / "a.jsonl", [{"input_ids": [1], "x": 1}, {"input_ids": [1], "x": "y"}])
    (tmp_path / "there").mkdir()
    for folder in ("there", "new"):
        with pytest.raises(DataError):
            pad_dataset(source, tmp_path / folder, files=FileOptions(output_format="parquet"))
    assert (tmp_path / "there").is_dir()
    assert not (tmp_path / "new").exists()


# --- The time is linear in the number of shards ------------------------------------------


def calls_for(shards: int) -> int:
    """Count the function calls of a run over some shards in this thread."""
    count = 0

    def watch(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    with tempfile.TemporaryDirectory() as name:
        for number in range(shards):
            write(Path(name) / "data" / f"{number:05}.jsonl", [{"input_ids": [number]}] * (number % 2))
        sys.setprofile(watch)
        try:
            result = pad_dataset(Path(name) / "data", Path(name) / "padded")
        finally:
            sys.setprofile(None)
    assert result.shards == shards
    return count


@pytest.mark.slow
def test_calls_per_shard():
    few, more, many = (calls_for(shards) for shards in (10, 20, 60))
    assert (many - more) / 40 <= 1.02 * (more - few) / 10


# --- The memory does not grow with the shards --------------------------------------------


@pytest.mark.slow
def test_memory_of_many_shards():
    # The lengths of one shard need 40 KiB, and of a thousand shards 40 MiB.
    found = SurveySum()
    tracemalloc.start()
    try:
        for index in range(1000):
            lengths = LengthStats(dict.fromkeys(range(1000), 1 + index))
            found.add(index ^ 1, Survey(lengths, 999, str(index ^ 1), rows=1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.total is not None
    assert (found.total.rows, found.total.place) == (1000, "0")
    assert found.total.lengths.percentile("50") == 499
    assert peak < 2 << 20


def test_first_bad_row_is_reported(tmp_path):
    write(tmp_path / "data" / "0.jsonl", [{"input_ids": [7]}, {"input_ids": [0, 0, 0, 0]}])
    write(tmp_path / "data" / "1.jsonl", [{"input_ids": None}])
    with raises_error(DataError, "4 tokens", "maxlen is 3", place="0.jsonl, line 2", option="overlong"):
        pad_dataset(
            tmp_path / "data",
            tmp_path / "padded",
            spec=PadSpec(maxlen=3),
            policy=RowPolicy(overlong="error"),
            files=FileOptions(limit=3),
        )
