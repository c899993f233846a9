"""Output folders with files that padmask did not write, or that were changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from raised import raises_error

from padmask import PadSpec, RowPolicy
from padmask.errors import DataError, OutputError
from padmask.shards.pad_dataset import pad_dataset
from padmask.spec.files import FileOptions
from padmask.stream.ledger import PadResult

pytestmark = pytest.mark.skipif(os.name != "posix", reason="makes links and pipes")

GIVEN = PadSpec(maxlen=3)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three shards, one of them in a folder."""
    for name in ("a", "b", "sub/c"):
        write(tmp_path / "in" / f"{name}.jsonl", [1] * 2)
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def write(path: Path, *rows: list[int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f'{{"input_ids":{row}}}\n' for row in rows))
    return path


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def half_done(data: Path, out: Path, **asked: Any) -> Path:
    """Start a run that fails at its third shard, and return its staging folder."""
    bad = data / "sub" / "c.jsonl"
    whole = bad.read_text()
    bad.write_text("{\n")
    with raises_error(DataError, "2 of 3 shards", place="c.jsonl, line 1"):
        pad_dataset(data, out, spec=GIVEN, **asked)
    bad.write_text(whole)
    [staging] = out.glob("_padmask-*")
    return staging


def go_on(data: Path, out: Path, **asked: Any) -> PadResult:
    return pad_dataset(data, out, spec=GIVEN, resume=True, **asked)


def is_as_if_nothing_had_happened(data: Path, out: Path) -> bool:
    shutil.rmtree(out.with_name("undisturbed"), ignore_errors=True)
    pad_dataset(data, out.with_name("undisturbed"), spec=GIVEN)
    return bytes_in(out) == bytes_in(out.with_name("undisturbed"))


# --- Files that padmask did not write -----------------------------------------------------


def link_to_a_folder(out: Path, precious: Path) -> None:
    precious.parent.mkdir()
    (out / "sub").symlink_to(precious.parent)


def data_of_its_name(out: Path, precious: Path) -> None:
    (out / "a.jsonl").write_text("mine")


def a_folder_of_its_name(out: Path, precious: Path) -> None:
    (out / "a.jsonl").mkdir()


def a_file_where_the_folder_comes(out: Path, precious: Path) -> None:
    (out / "sub").write_text("mine")


OTHERS = [link_to_a_folder, data_of_its_name, a_folder_of_its_name, a_file_where_the_folder_comes]


@pytest.mark.parametrize("delete", [True, False])
@pytest.mark.parametrize("other", OTHERS)
def test_foreign_output_is_refused(
    data: Path, out: Path, tmp_path: Path, other: Callable[..., None], delete: bool
) -> None:
    precious = tmp_path / "precious" / "c.jsonl"
    other(out, precious)
    if precious.parent.exists():
        precious.write_text("mine")
    before = bytes_in(tmp_path)
    with pytest.raises(OutputError):
        pad_dataset(data, out, delete=delete)
    assert bytes_in(tmp_path) == before


def test_foreign_files_are_kept(data: Path, out: Path) -> None:
    (out / "a.npz").write_text("mine")
    (out / "_b.jsonl").write_text("mine")
    hidden = write(data / "_b.jsonl", [1])
    for inputs, name, files in (
        (data, "a.npz", FileOptions(output_format="npz")),
        ([hidden], "_b.jsonl, a.npz", FileOptions()),
    ):
        with raises_error(OutputError, f"did not write: {name}."):
            pad_dataset(inputs, out, files=files)
    assert bytes_in(out) == {"a.npz": b"mine", "_b.jsonl": b"mine"}


def test_similar_folder_names_are_kept(data: Path, out: Path) -> None:
    (out / "_padmask-backup").mkdir()
    (out / "_padmask-backup" / "a").write_text("mine")
    (out / "_padmask-notes.txt").write_text("mine")
    pad_dataset(data, out)
    assert {"_padmask-backup/a", "_padmask-notes.txt"} <= bytes_in(out).keys()


def test_file_added_during_run(data: Path, out: Path) -> None:
    def tell(progress: Any) -> None:
        (out / "b.jsonl").write_text("mine")

    with raises_error(OutputError, "did not write: b.jsonl."):
        pad_dataset(data, out, spec=GIVEN, progress=tell)
    assert (out / "b.jsonl").read_text() == "mine"
    (out / "b.jsonl").unlink()
    go_on(data, out)
    assert is_as_if_nothing_had_happened(data, out)


@pytest.mark.parametrize("name", ["_padmask.json", "_padmask.replacing"])
def test_links_are_not_followed(data: Path, out: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "victim").write_text("mine")
    (out / name).symlink_to(tmp_path / "victim")
    pad_dataset(data, out, spec=GIVEN)
    assert (tmp_path / "victim").read_text() == "mine"
    assert is_as_if_nothing_had_happened(data, out)


@pytest.mark.parametrize("name", ["_padmask.json", "_padmask.replacing"])
def test_pipes_are_not_opened(data: Path, out: Path, name: str) -> None:
    os.mkfifo(out / name)
    pad_dataset(data, out, spec=GIVEN)
    assert is_as_if_nothing_had_happened(data, out)


# --- Files in the staging folder ----------------------------------------------------------


def test_shard_removed_during_run(data: Path, out: Path) -> None:
    def tell(progress: Any) -> None:
        for path in out.glob("_padmask-*/000000.jsonl"):
            path.unlink()

    with raises_error(OutputError, f"a.jsonl disappeared from '{out}'"):
        pad_dataset(data, out, spec=GIVEN, progress=tell)
    assert not list(out.glob("*.jsonl"))
    go_on(data, out)
    assert is_as_if_nothing_had_happened(data, out)


def test_folder_removed_during_run(data: Path, out: Path) -> None:
    with pytest.raises(OutputError):
        pad_dataset(data, out, spec=GIVEN, progress=lambda _: shutil.rmtree(out))


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


NAMES = ["../victim.jsonl", "/tmp/victim.jsonl", "sub/../../in/a.jsonl", "b.jsonl", 5, ["a"], "a\0b", ""]
CHANGED_FIELDS: list[dict[str, Any]] = [{"name": name} for name in NAMES]
CHANGED_FIELDS += [{"index": index} for index in ([1], "../../x", -1, 2, 1.0, True)]
CHANGED_FIELDS += [{"size": "3"}, {"size": -1}, {"sha256": None}, {"version": 3}, {"fault": 1}, {"ledger": 5}]


@pytest.mark.slow
@pytest.mark.parametrize("fields", CHANGED_FIELDS, ids=repr)
def test_altered_record_is_ignored(data: Path, out: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    changed(half_done(data, out) / "000000.record", **fields)
    inputs = bytes_in(data)
    assert go_on(data, out).resumed == 1
    assert bytes_in(data) == inputs
    assert not (tmp_path / "victim.jsonl").exists()
    assert is_as_if_nothing_had_happened(data, out)


@pytest.mark.parametrize("count", ["a", None, 1e400, -1, 1_000_000, 1.5, True])
def test_wrong_counts_are_ignored(data: Path, out: Path, count: Any) -> None:
    record = half_done(data, out) / "000000.record"
    changed(record, ledger=json.loads(record.read_text())["ledger"] | {"rows_read": count})
    assert go_on(data, out).ledger.rows_read == 3
    assert is_as_if_nothing_had_happened(data, out)


@pytest.mark.slow
@pytest.mark.parametrize("maxlen", [7, 0, "3", -1, 3.5, None, {}, 1e21])
@pytest.mark.parametrize("field", ["maxlen", "exact", "found"])
def test_altered_plan_is_ignored(data: Path, out: Path, field: str, maxlen: Any) -> None:
    plan = half_done(data, out) / "plan"
    changed(plan, plan=json.loads(plan.read_text())["plan"] | {field: maxlen})
    assert go_on(data, out).maxlen == 3
    assert is_as_if_nothing_had_happened(data, out)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plan", "000000.record", "../_padmask.json", "../_padmask.replacing"])
@pytest.mark.parametrize("text", ["[" * 200_000, '["a.jsonl", 5]', "{}", "\0", ""], ids=len)
def test_garbage_is_ignored(data: Path, out: Path, name: str, text: str) -> None:
    (half_done(data, out) / name).write_text(text)
    go_on(data, out)
    assert is_as_if_nothing_had_happened(data, out)


@pytest.mark.parametrize("name", ["plan", "000000.record", "000000.jsonl", "000002.jsonl"])
@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)], ids=["pipe", "zeros"]
)
def test_endless_files_are_ignored(data: Path, out: Path, name: str, make: Callable[[Path], None]) -> None:
    staging = half_done(data, out)
    (staging / name).unlink(missing_ok=True)
    make(staging / name)
    go_on(data, out)
    assert is_as_if_nothing_had_happened(data, out)


@pytest.mark.parametrize("name", ["000000.jsonl", "000002.jsonl", "000002.record", "plan"])
def test_link_targets_are_kept(data: Path, out: Path, tmp_path: Path, name: str) -> None:
    staging, victim = half_done(data, out), tmp_path / "victim"
    victim.write_text("mine")
    (staging / name).unlink(missing_ok=True)
    (staging / name).symlink_to(victim)
    go_on(data, out)
    assert victim.read_text() == "mine"
    assert is_as_if_nothing_had_happened(data, out)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize("instead", [None, "link", "other"])
def test_altered_rejects_are_ignored(
    data: Path, out: Path, tmp_path: Path, when: str, instead: str | None
) -> None:
    rejects, secret = tmp_path / "rejects.jsonl", tmp_path / "secret"
    secret.write_text("secret\n")
    write(data / "a.jsonl", [1], [1] * 9)
    asked = {"files": FileOptions(rejects=str(rejects)), "policy": RowPolicy(overlong="drop")}
    staging = half_done(data, out, **asked)
    assert (staging / "000000.rejects.jsonl").stat().st_size

    def spoil(_: Any = None) -> None:
        path = staging / "000000.rejects.jsonl"
        path.unlink(missing_ok=True)
        if instead == "link":
            path.symlink_to(secret)
        elif instead:
            path.write_text("")

    if when == "before":
        spoil()
        go_on(data, out, **asked)
        assert json.loads(rejects.read_text())["row"]
    else:
        with raises_error(OutputError, "rejected rows of a.jsonl", f"'{out}'"):
            go_on(data, out, **asked, progress=spoil)
        assert not rejects.exists()


# --- Rejects ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["_padmask.json", "_padmask.replacing", "_padmask-x", "a.jsonl", "sub/x.jsonl"]
)
def test_rejects_in_output_folder(data: Path, out: Path, name: str) -> None:
    with raises_error(OutputError, "rejects", f"'{out / name}'", "output folder"):
        pad_dataset(data, out, files=FileOptions(rejects=str(out / name)))


@pytest.mark.parametrize("inputs", ["", "*", "b.jsonl"])
def test_rejects_over_an_input(data: Path, out: Path, inputs: str) -> None:
    before = bytes_in(data)
    with raises_error(OutputError, "rejects", f"'{data}/b.jsonl'"):
        pad_dataset(f"{data}/{inputs}", out, files=FileOptions(rejects=str(data / "b.jsonl")))
    assert bytes_in(data) == before


def test_rejects_need_their_folder(data: Path, out: Path) -> None:
    files = FileOptions(rejects=str(out.with_name("nowhere") / "rejects.jsonl"))
    with raises_error(OutputError, f"'{files.rejects}'", "mkdir -p"):
        pad_dataset(data, out, files=files)
    assert not list(out.iterdir())


# --- Names that are refused ---------------------------------------------------------------


def test_too_long_output_name(data: Path, out: Path) -> None:
    (data / "b.jsonl").rename(data / f"{'b' * 249}.jsonl")
    with raises_error(OutputError, "too long"):
        pad_dataset(data, out, files=FileOptions(output_format="parquet"))
    assert not list(out.iterdir())


def test_output_file_and_folder_clash(data: Path, out: Path) -> None:
    write(data / "b.parquet" / "c.jsonl", [1])
    with raises_error(OutputError, "'b.parquet'", f"'{out}'"):
        pad_dataset(data, out, files=FileOptions(output_format="parquet"))
    assert not list(out.iterdir())


def test_inputs_in_output_folder(data: Path, out: Path) -> None:
    pad_dataset(data, out, spec=GIVEN)
    before = bytes_in(out)
    with raises_error(OutputError, f"{out}/sub", f"'{out}'"):
        pad_dataset(out / "sub", out, spec=PadSpec(maxlen=1), delete=True)
    assert bytes_in(out) == before
