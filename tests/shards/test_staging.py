"""A failed run leaves no partial dataset, and --resume continues a run that stopped."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pairs import each_value
from raised import has_facts, raises_error
from tiers import represented

import padmask.stream.capacity
from padmask import MaskSpec, PadSpec, RowPolicy
from padmask.errors import DataError, OutputError, UnreadableError
from padmask.shards.pad_dataset import pad_dataset
from padmask.spec.files import FileOptions
from padmask.storage.folder import OutputFolder
from padmask.storage.names import MANIFEST, REPLACING
from padmask.stream.ledger import PadResult

SHARDS = 6


class EndedError(Exception):
    """An exception that ends a run abruptly, like a kill."""


@dataclass
class Run:
    """A dataset, its options and its output folder.

    Args:
        data: input folder.
        folder: output folder.
        asked: keyword arguments of `pad_dataset`.
    """

    data: Path
    folder: Path
    asked: dict[str, Any] = field(default_factory=dict)

    def __call__(self, resume: bool = False, end_after: int | None = None, **more: Any) -> PadResult:
        """Pad. With `end_after`, the run ends when this number of shards is padded."""
        self.progress = Counter[str]()

        def tell(progress: Any) -> None:
            self.progress[progress.phase] += 1
            if self.progress["padding"] == end_after:
                raise EndedError

        return pad_dataset(self.data, self.folder, resume=resume, progress=tell, **self.asked | more)

    def ended_after(self, shards: int, **more: Any) -> None:
        with pytest.raises(EndedError):
            self(end_after=shards, **more)
        assert not self.seen()

    def undisturbed(self) -> dict[str, bytes]:
        """Return the output of a run without faults."""
        other = Run(self.data, self.folder.with_name("undisturbed"), self.asked)
        shutil.rmtree(other.folder, ignore_errors=True)
        other()
        return bytes_in(other.folder)

    def seen(self) -> set[str]:
        """Return the files in the folder that readers would not ignore."""
        return {name for name in bytes_in(self.folder) if not name.startswith("_padmask-")}

    def staged(self, ending: str) -> Path:
        [path] = self.folder.glob(f"_padmask-*/{ending}")
        return path


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the inode and the modification time of each file, which change if the file is written again."""
    found = {path.name: path.stat() for path in folder.rglob("*.*") if path.name != MANIFEST}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items() if stat.st_size}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Six shards of JSON Lines with some empty rows; the longest row is in the last shard."""
    data = tmp_path / "data"
    data.mkdir()
    for shard in range(SHARDS):
        rows = [{"extra": [None, 1, 0.5][shard % 3], "input_ids": [7] * (shard + i)} for i in range(2)]
        (data / f"{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Run(data, tmp_path / "padded")


def typed(tmp_path: Path) -> dict[str, Any]:
    """Options with typed output and rejects."""
    files = FileOptions(output_format="parquet", rejects=str(tmp_path / "rejects.jsonl"))
    return {"files": files, "policy": RowPolicy(empty_rows="drop", on_error="skip")}


# --- A run that ended --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, SHARDS - 1, SHARDS])
@pytest.mark.parametrize("asks", ["plain", "typed"])
def test_resume_does_the_rest(run, tmp_path, after, asks):
    if asks == "typed":
        run.asked = typed(tmp_path)
    wanted = run.undisturbed()
    rejects = (tmp_path / "rejects.jsonl").read_bytes() if asks == "typed" else b""
    (tmp_path / "rejects.jsonl").unlink(missing_ok=True)
    run.ended_after(after)
    before = stamps(run.folder)

    result = run(resume=True)
    assert run.progress == Counter({"padding": SHARDS - after} if after < SHARDS else {})
    assert bytes_in(run.folder) == wanted
    assert (result.shards, result.resumed, result.ledger.rows_read) == (SHARDS, after, 2 * SHARDS)
    assert set(stamps(run.folder).values()) >= {
        stamp
        for name, stamp in before.items()
        if name.endswith((".jsonl", ".parquet")) and "rejects" not in name
    }
    if asks == "typed":
        assert (tmp_path / "rejects.jsonl").read_bytes() == rejects != b""


def test_run_without_resume_starts_over(run):
    run.ended_after(4)
    run()
    assert run.progress == {"measuring": SHARDS, "padding": SHARDS}
    assert bytes_in(run.folder) == run.undisturbed()


def spoil(path: Path) -> None:
    """Change a byte of a file, but not its size and modification time."""
    stamp, data = path.stat(), bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


SPOILED = {
    "a byte of a shard": ("000002.jsonl", spoil, 3),
    "the end of a shard": ("000002.jsonl", cut, 3),
    "a shard": ("000002.jsonl", Path.unlink, 3),
    "a record": ("000002.record", Path.unlink, 3),
    "the end of a record": ("000002.record", cut, 3),
    "the plan": ("plan", Path.unlink, SHARDS),
    "the end of the plan": ("plan", cut, SHARDS),
}


@represented("name,fault,again", SPOILED, by={"a byte of a shard", "a record", "the plan"})
def test_resume_redoes_damaged_shards(run, name, fault, again):
    run.ended_after(4)
    fault(run.staged(name))
    run(resume=True)
    assert run.progress["padding"] == again
    assert bytes_in(run.folder) == run.undisturbed()


@pytest.mark.parametrize(
    "other",
    [
        {"maxlen changed from longest to 3": {"spec": PadSpec(maxlen=3)}},
        {"empty rows changed from keep to drop": {"policy": RowPolicy(empty_rows="drop")}},
        {"output format changed from jsonl to arrow": {"files": FileOptions(output_format="arrow")}},
        {"limit changed from None to 3": {"files": FileOptions(limit=3)}},
        {"shard bytes changed from 268435456 to 7": {"shard_bytes": 7}},
    ],
    ids=["length", "policy", "format", "limit", "cut"],
)
def test_resume_refuses_other_options(run, other):
    run.ended_after(2)
    before = bytes_in(run.folder)
    [(difference, other)] = other.items()
    with raises_error(OutputError, "--resume", f"{str(run.folder)!r}: {difference}."):
        run(resume=True, **other)
    assert bytes_in(run.folder) == before
    run(**other)
    assert not [name for name in bytes_in(run.folder) if name.startswith("_padmask-")]


def test_resume_names_the_earlier_limit(run):
    """The inputs did not change, so the error does not name them."""
    run(files=FileOptions(limit=2))
    with raises_error(OutputError, "changed from 2 to None", "with --limit 2, or start") as caught:
        run(resume=True)
    assert "input" not in str(caught.value)


def test_resume_refuses_other_inputs(run):
    run.ended_after(2)
    (run.data / "2.jsonl").write_text('{"input_ids": [1]}\n')
    (run.data / "3.jsonl").rename(run.data / "7.jsonl")
    two, three, seven = (run.data / f"{shard}.jsonl" for shard in (2, 3, 7))
    with raises_error(OutputError, f"{two} has changed", f"{three} is no longer", f"{seven} is a new"):
        run(resume=True)


def test_resume_refuses_unreadable_plan(run):
    run.ended_after(2)
    run.staged("plan").write_text("{}")
    with raises_error(OutputError, "--resume", "padded': the options or the inputs"):
        run(resume=True, shard_bytes=7)


def test_resume_allows_other_tuning(run):
    run.ended_after(2)
    run(resume=True, files=FileOptions(batch_rows=1, threads=2, max_bytes=1 << 20))
    assert run.progress["padding"] == SHARDS - 2


# --- Bad rows and --resume ---------------------------------------------------------------

BAD = '{"input_ids": [1, null]}\n'
GIVEN = {"spec": PadSpec(maxlen=4)}
SKIP = {"policy": RowPolicy(on_error="skip")}


@pytest.fixture
def spoiled(run: Run) -> Run:
    """A run whose fourth shard ends in a bad row."""
    run.asked = dict(GIVEN)
    with (run.data / "3.jsonl").open("a") as file:
        file.write(BAD)
    with raises_error(DataError, "3 of 6 shards", "--resume", place="3.jsonl, line 3", column="input_ids"):
        run()
    return run


def test_resume_may_skip_bad_rows(spoiled, tmp_path):
    files = {"files": FileOptions(rejects=str(tmp_path / "rejects.jsonl"))}
    result = spoiled(resume=True, **SKIP, **files)
    assert (spoiled.progress["padding"], result.resumed, result.ledger.rows_rejected) == (SHARDS - 3, 3, 1)
    spoiled.asked |= SKIP | files
    assert bytes_in(spoiled.folder) == spoiled.undisturbed()
    assert len((tmp_path / "rejects.jsonl").read_text().splitlines()) == 1


def test_resume_after_fixing_a_row(spoiled):
    bad = spoiled.data / "3.jsonl"
    bad.write_text(bad.read_text().replace("null", "2"))
    spoiled(resume=True)
    assert spoiled.progress["padding"] == SHARDS - 3
    assert bytes_in(spoiled.folder) == spoiled.undisturbed()


def test_resume_redoes_changed_inputs(run):
    run.asked = dict(GIVEN)
    run.ended_after(4)
    (run.data / "1.jsonl").write_text('{"input_ids": [1]}\n')
    run(resume=True)
    assert run.progress["padding"] == SHARDS - 3
    assert bytes_in(run.folder) == run.undisturbed()
    (run.data / "5.jsonl").write_text('{"input_ids": [5]}\n')
    run(resume=True)
    assert run.progress["padding"] == 1
    assert bytes_in(run.folder) == run.undisturbed()


def test_resume_without_skip_fails_again(spoiled):
    with pytest.raises(EndedError):
        spoiled(resume=True, end_after=2, **SKIP)
    with raises_error(DataError, place="3.jsonl, line 3"):
        spoiled(resume=True)
    spoiled(**SKIP)
    with raises_error(DataError, place="3.jsonl, line 3"):
        spoiled(resume=True)


def test_resume_finds_rejects_again(run, tmp_path):
    run.asked = GIVEN | {"policy": RowPolicy(empty_rows="drop")}
    run.ended_after(4)
    rejects = tmp_path / "rejects.jsonl"
    run(resume=True, files=FileOptions(rejects=str(rejects)))
    # Only the first shard has empty rows.
    assert run.progress["padding"] == SHARDS - 3
    assert rejects.read_text().count("\n") == 1


def test_replaced_shards_are_reported(run, tmp_path):
    assert run().notes == ()
    assert run(spec=PadSpec(maxlen=2)).notes == ()
    other = Run(run.data.rename(tmp_path / "other"), run.folder)
    assert any("overwritten" in note and "data/0.jsonl" in note for note in other().notes)


def test_repadded_shards_are_reported(run):
    run.ended_after(4)
    told: list[str] = []
    [note] = run(warn=told.append).notes
    assert has_facts(note, "deletes 4 finished shards", "--resume")
    assert told == [note]
    assert run().notes == ()


def test_shards_of_other_options_are_reported(run):
    run.ended_after(4)
    assert any("deletes 4 finished shards" in note for note in run(**GIVEN).notes)


def test_resume_refuses_another_job(run, monkeypatch):
    run()
    before = bytes_in(run.folder)
    with raises_error(OutputError, "--resume", "padded': maxlen changed from longest to 4."):
        run(resume=True, **GIVEN)
    # Nothing else differs, even from another current folder.
    monkeypatch.chdir(run.data.parent)
    with raises_error(OutputError, "--resume", "padded': maxlen changed from longest to 4."):
        pad_dataset("data", run.folder, resume=True, **GIVEN)
    assert bytes_in(run.folder) == before


def test_resume_may_start_from_nothing(run):
    run(resume=True)
    assert bytes_in(run.folder) == run.undisturbed()


def test_resume_from_another_folder(run, monkeypatch):
    run.ended_after(4)
    monkeypatch.chdir(run.data.parent)
    pad_dataset("data", "padded/", resume=True)
    shards = json.loads((run.folder / MANIFEST).read_text())["shards"]
    assert [shard["source"] for shard in shards[:2]] == [str(run.data / "0.jsonl"), str(run.data / "1.jsonl")]


# --- Complete datasets -------------------------------------------------------------------


@pytest.mark.parametrize("asks", ["plain", "typed"])
def test_resume_keeps_whole_dataset(run, tmp_path, asks):
    if asks == "typed":
        run.asked = typed(tmp_path)
    first = run()
    before, kept = stamps(run.folder), bytes_in(tmp_path)
    assert run(resume=True) == replace(first, resumed=SHARDS)
    assert not run.progress
    assert stamps(run.folder) == before
    assert bytes_in(tmp_path) == kept


@each_value(fault={"spoil": spoil, "cut": cut, "unlink": Path.unlink}, asks=["plain", "typed"])
def test_resume_repairs_whole_dataset(run, tmp_path, fault, asks):
    if asks == "typed":
        run.asked = typed(tmp_path)
    run()
    kept = bytes_in(tmp_path)
    fault(run.folder / ("2.parquet" if asks == "typed" else "2.jsonl"))
    run(resume=True)
    assert bytes_in(tmp_path) == kept


@pytest.mark.parametrize("spec", [PadSpec(maxlen=4), PadSpec()], ids=["given", "found"])
def test_resume_keeps_repaired_shards(run, spec):
    run.asked = {"spec": spec}
    run()
    for shard in range(3):
        (run.folder / f"{shard}.jsonl").unlink()
    with pytest.raises(EndedError):
        run(resume=True, end_after=2)
    assert run(resume=True).resumed == SHARDS - 1
    assert run.progress == {"padding": 1}
    assert bytes_in(run.folder) == run.undisturbed()


def test_lost_rejects_are_created_again(run, tmp_path):
    run.asked = typed(tmp_path)
    run()
    kept = bytes_in(tmp_path)
    (tmp_path / "rejects.jsonl").unlink()
    run(resume=True)
    assert bytes_in(tmp_path) == kept


# --- Datasets that replace an earlier dataset --------------------------------------------


def fewer(run: Run) -> None:
    """Remove two inputs."""
    for shard in (1, 4):
        (run.data / f"{shard}.jsonl").unlink()


def test_delete_replaces_dataset(run):
    run()
    (run.folder / "README.md").write_text("mine")
    fewer(run)
    result = run(delete=True)
    assert any("no new file has the same name: 2" in note for note in result.notes)
    (run.folder / "README.md").unlink()
    assert bytes_in(run.folder) == run.undisturbed()


@pytest.mark.parametrize("resume", [True, False])
def test_old_shards_need_delete(run, resume):
    run()
    old = bytes_in(run.folder)
    fewer(run)
    with raises_error(OutputError, ": 1.jsonl, 4.jsonl.", "--delete"):
        run(resume=resume)
    assert bytes_in(run.folder) == old


@pytest.mark.parametrize("name", ["2.jsonl", "mine.jsonl"])
def test_foreign_file_is_kept(run, name):
    run.folder.mkdir()
    (run.folder / name).write_text("mine")
    with raises_error(OutputError, f"did not write: {name}."):
        run(delete=True)
    assert bytes_in(run.folder) == {name: b"mine"}


def test_old_dataset_stays_until_the_end(run):
    run()
    old = bytes_in(run.folder)
    fewer(run)
    with pytest.raises(EndedError):
        run(end_after=3, delete=True)
    assert {name: data for name, data in bytes_in(run.folder).items() if name in run.seen()} == old
    run(resume=True, delete=True)
    assert run.progress["padding"] == SHARDS - 2 - 3
    assert bytes_in(run.folder) == run.undisturbed()


def ended_at(monkeypatch: pytest.MonkeyPatch, run: Run, method: str, call: int) -> None:
    """End a run before a method of its folder is called the n-th time. The first call has the number 0."""
    with monkeypatch.context() as patch:
        plain, calls = getattr(OutputFolder, method), iter(range(1000))

        def fail(*args: Any) -> Any:
            if next(calls) == call:
                raise EndedError
            return plain(*args)

        patch.setattr(OutputFolder, method, fail)
        # Use one thread, so that the order is deterministic.
        patch.setattr("padmask.shards.staging.MOVES_AT_ONCE", 1)
        with pytest.raises(EndedError):
            run(delete=True)


# At each of these times, the folder is between two datasets.
MOMENTS = [("remove", 0), ("move", 0), ("move", 2), ("remove", 2), ("sync", 0)]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "call"), MOMENTS)
@pytest.mark.parametrize("then", ["go on", "start again", "start another run"])
def test_resume_after_any_rename(run, monkeypatch, method, call, then):
    run()
    fewer(run)
    ended_at(monkeypatch, run, method, call)
    # The old dataset still has its manifest, or there is no manifest.
    assert (MANIFEST in run.seen()) == ((method, call) == ("remove", 0))

    if then == "start another run":
        run.asked = {"files": FileOptions(output_format="arrow")}
    run(resume=then == "go on", delete=True)
    if then == "go on":
        assert not run.progress
    assert bytes_in(run.folder) == run.undisturbed()


def test_resume_after_last_rename(run, monkeypatch):
    ended_at(monkeypatch, run, "remove_below", 0)
    assert {MANIFEST, "0.jsonl"} <= run.seen()
    run(resume=True)
    assert not run.progress
    assert bytes_in(run.folder) == run.undisturbed()
    assert REPLACING not in run.seen()


# --- Unreadable shards -------------------------------------------------------------------


def corrupt(path: Path, column: int) -> None:
    """Damage a column of a Parquet file, not its footer."""
    chunk = pq.read_metadata(path).row_group(0).column(column)
    data = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(data)


@pytest.fixture
def parquet(tmp_path: Path) -> Run:
    """Four Parquet shards; the second and the last cannot be read to the end."""
    (tmp_path / "data").mkdir()
    for shard in range(4):
        table = pa.table({"id": [1, 2], "input_ids": [[shard], [7] * shard]})
        pq.write_table(table, tmp_path / "data" / f"{shard}.parquet")
    # One fails while lengths are computed, the other when all columns are read.
    corrupt(tmp_path / "data" / "1.parquet", 1)
    corrupt(tmp_path / "data" / "3.parquet", 0)
    return Run(tmp_path / "data", tmp_path / "padded", {"policy": RowPolicy(on_error="skip")})


@pytest.mark.parametrize("after", [1, 2])
def test_resume_skips_the_same_files(parquet, after):
    wanted = parquet.undisturbed()
    parquet.ended_after(after)
    result = parquet(resume=True)
    assert [fault.partition(":")[0][-9:] for fault in result.faults] == ["1.parquet", "3.parquet"]
    assert bytes_in(parquet.folder) == wanted
    assert result.resumed == after
    assert parquet(resume=True) == replace(result, resumed=2)
    assert not parquet.progress


def test_resume_refuses_repaired_file(run, monkeypatch):
    """If a resumed run read the repaired file, the numbers of the later shards would change."""
    bad = run.data / "1.jsonl"
    good = bad.read_bytes()
    run.asked = {"policy": RowPolicy(on_error="skip"), "files": FileOptions(input_format="arrow")}
    for path in run.data.iterdir():
        with pa.OSFile(str(path), "wb") as sink:
            table = pa.table({"input_ids": [[int(path.stem)]]})
            with pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
    whole, stamp = bad.read_bytes(), bad.stat()
    bad.write_bytes(whole[:-10] + b"x" * 10)
    os.utime(bad, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    run.ended_after(3)
    bad.write_bytes(whole)
    os.utime(bad, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert good != whole
    with raises_error(OutputError, "--resume", "1.jsonl has changed."):
        run(resume=True)


# --- Inputs that change between runs ------------------------------------------------------


def rows(run: Run, shard: int, *lines: str) -> Path:
    path = run.data / f"{shard}.jsonl"
    path.write_text("".join(f'{{"input_ids": {line}}}\n' for line in lines))
    return path


def restored(path: Path, data: bytes, stat: os.stat_result) -> None:
    """Write a file and set its time."""
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture
def zipped(run: Run) -> tuple[Run, Path, bytes]:
    """A run whose second input is a truncated gzip file, the path of this file, and its complete content."""
    plain = run.data / "1.jsonl"
    path = run.data / "1.jsonl.gz"
    long = b'{"input_ids": [%s]}\n' % b",".join([b"1"] * 40)
    whole = gzip.compress(b"".join(b'{"input_ids": [%d]}\n' % row for row in range(60_000)) + long, mtime=0)
    path.write_bytes(whole[:-100])
    plain.unlink()
    return run, path, whole


def test_resume_adds_fixed_file(zipped):
    run, path, whole = zipped
    run.asked = GIVEN | SKIP
    assert len(run().faults) == 1
    path.write_bytes(whole)
    result = run(resume=True)
    assert (result.faults, result.ledger.rows_read) == ((), 60_001 + 2 * (SHARDS - 1))
    assert bytes_in(run.folder) == run.undisturbed()


def test_resume_retries_failed_files(zipped):
    # A file may fail once, for example if memory is low, although it is unchanged.
    run, path, whole = zipped
    path.write_bytes(whole[:-8] + b"\0" * 8)
    stat = path.stat()
    assert len(run(**SKIP).faults) == 1
    restored(path, whole, stat)
    result = run(resume=True)
    assert (result.maxlen, result.faults) == (40, ())


def test_resume_ignores_stale_shard(run, tmp_path):
    run.asked = dict(GIVEN)
    path = run.data / "0.jsonl"
    rows(run, 0, "[1,1]")
    old, stat = path.read_bytes(), path.stat()
    run()
    moved = path.rename(tmp_path / "old.jsonl")
    rows(run, 0, "[9,9]")
    rows(run, 1, "[2,null]")
    with pytest.raises(DataError):
        run()
    path.unlink()
    moved.rename(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (old, stat.st_mtime_ns)
    rows(run, 1, "[2,3]")
    run(resume=True)
    assert bytes_in(run.folder) == run.undisturbed()


def test_resume_refuses_changed_type(run):
    run.asked = dict(GIVEN)
    for shard, line in enumerate(["[]", "[1,null]", "[3,4]"]):
        rows(run, shard, line)
    for shard in range(3, SHARDS):
        (run.data / f"{shard}.jsonl").unlink()
    with pytest.raises(DataError):
        run()
    rows(run, 1, "[1.5,2]")
    with raises_error(OutputError, "--resume", "1.jsonl has changed."):
        run(resume=True)
    run()
    assert bytes_in(run.folder) == run.undisturbed()


def test_resume_refuses_merged_inputs(run):
    rows(run, 0, "[1,1]")
    rows(run, 1, "[2,2,3,4,5,6,7,8,9]")
    run()
    (run.data / "1.jsonl").unlink()
    (run.data / "1.jsonl").symlink_to(run.data / "0.jsonl")
    # The link is not a second input, so the shard of the old file has no input.
    before = bytes_in(run.folder)
    with raises_error(OutputError, ": 1.jsonl.", "--delete"):
        run(resume=True)
    assert bytes_in(run.folder) == before


def test_resume_ignores_foreign_rejects(run, tmp_path):
    rejects = tmp_path / "rejects.jsonl"
    rows(run, 0, "[1,null]", "[2]")
    run.asked = GIVEN | SKIP
    run()
    rejects.write_text("something else")
    run(resume=True, files=FileOptions(rejects=str(rejects)))
    assert json.loads(rejects.read_text())["row"] == {"input_ids": [1, None]}
    assert run(resume=True, files=FileOptions(rejects=str(rejects))).resumed == SHARDS


def test_resume_rewrites_rejects(run, tmp_path):
    files = {"files": FileOptions(rejects=str(tmp_path / "rejects.jsonl"))}
    run.asked = GIVEN | {"policy": RowPolicy(on_error="skip", overlong="error")}
    rows(run, 0, "[1,null]", "[2,2]")
    rows(run, 1, "[2,2,3,4,5]")
    for shard in range(2, SHARDS):
        (run.data / f"{shard}.jsonl").unlink()
    with pytest.raises(DataError):
        run(**files)
    rows(run, 0, '[5,"x"]', "[2,2]")
    with pytest.raises(DataError):
        run(resume=True)
    rows(run, 1, "[2,2,3]")
    run(resume=True, **files)
    assert json.loads((tmp_path / "rejects.jsonl").read_text())["row"] == {"input_ids": [5, "x"]}


def test_resume_with_complete_dataset(run):
    run.asked = dict(GIVEN)
    run()
    rows(run, 3, "[1]")
    rows(run, 4, "[1,null]")
    with pytest.raises(DataError):
        run()
    rows(run, 4, "[1,2]")
    result = run(resume=True)
    # All shards but the last two are equal in both runs.
    assert result.resumed >= SHARDS - 1
    assert bytes_in(run.folder) == run.undisturbed()


# --- Locks and disk space ----------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="locks are POSIX's")
def test_second_run_is_refused(run):
    run.folder.mkdir()
    with (
        OutputFolder(str(run.folder)).locked(),
        raises_error(OutputError, "Another run", f"{str(run.folder)!r}"),
    ):
        run()
    run()
    assert bytes_in(run.folder) == run.undisturbed()


def disk_of(capacity: int, run: Run) -> Callable[[str], int]:
    return lambda _: capacity - sum(map(len, bytes_in(run.folder).values()))


@pytest.mark.parametrize("resume", [True, False])
def test_finished_shards_need_no_space(run, monkeypatch, resume):
    run()
    takes = sum(path.stat().st_size for path in run.folder.glob("*.jsonl"))
    shutil.rmtree(run.folder)
    monkeypatch.setattr(padmask.stream.capacity, "free_disk", disk_of(2 * takes + 20_000, run))
    run.ended_after(SHARDS - 1)
    used = sum(map(len, bytes_in(run.folder).values()))
    monkeypatch.setattr(padmask.stream.capacity, "free_disk", disk_of(used + takes // 2, run))
    run(resume=resume)


def test_too_small_disk_leaves_no_folder(run, monkeypatch):
    monkeypatch.setattr(padmask.stream.capacity, "free_disk", lambda _: 100)
    with raises_error(OutputError, "90 B"):
        run(spec=PadSpec(maxlen=3))
    assert not run.seen()


@pytest.mark.parametrize(
    ("asked", "facts"),
    [
        ({"files": FileOptions(max_bytes=1)}, ["/padded/0.jsonl'", "1 B"]),
        (
            {"files": FileOptions(output_format="npz"), "mask": MaskSpec(column="../mask")},
            ["/padded/0.npz", "'../mask'"],
        ),
    ],
    ids=["too large", "unsafe name"],
)
def test_write_errors_show_the_shard_name(run, asked, facts):
    with raises_error(OutputError, *facts):
        run(spec=PadSpec(maxlen=3), **asked)


def test_size_limit_is_checked_first(run):
    from padmask.errors import SpecError

    with raises_error(SpecError, "12 rows", "6 positions", "100 B", option="maxlen"):
        run(files=FileOptions(max_bytes=100))
    assert not run.folder.exists()
    assert run.progress == {"measuring": SHARDS}


def test_only_the_manifest_means_complete(parquet):
    """A run that reads nothing leaves no manifest."""
    parquet.asked = {}
    with raises_error(UnreadableError, "1.parquet"):
        parquet()
    assert not parquet.folder.exists() or not parquet.seen()
