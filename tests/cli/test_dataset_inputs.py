"""Inputs that are folders written by padmask: unlisted files and invalid manifests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pairs import each_value
from raised import has_facts

import padmask as library

Completed = subprocess.CompletedProcess[str]
Run = Callable[..., Completed]

NAMES = ("a", "b", "sub/c")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A padded dataset of three shards."""
    for number, name in enumerate(NAMES):
        path = tmp_path / "in" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"input_ids": [1]}\n{"input_ids": [1, 2]}\n' * (number + 1))
    library.pad_dataset(tmp_path / "in", tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def stored(out: Path) -> tuple[Any, str]:
    """The dataset in a storage, and its URL."""
    memory = pytest.importorskip("fsspec").filesystem("memory")
    where = f"memory://{out.parent.name}/out"
    for path in out.rglob("*"):
        if path.is_file():
            memory.pipe(f"{where}/{path.relative_to(out)}", path.read_bytes())
    return memory, where


COMMANDS = {
    "pad": ["--overwrite-mask", "--allow-padded", "-o", "x.jsonl"],
    "unpad": ["-o", "x.jsonl"],
    "inspect": ["--json"],
    "verify": ["--no-model", "--json"],
}
commands = pytest.mark.parametrize("verb", COMMANDS)


def start(here: Run, verb: str, *inputs: str) -> Completed:
    return here(verb, *inputs, *COMMANDS[verb])


def is_warned(done: Completed, verb: str, name: str) -> bool:
    """Return whether a command reports a file that the manifest does not list."""
    if verb in ("inspect", "verify"):
        shown: dict[str, Any] = json.loads(done.stdout)
        found = [one for one in shown.get("data", shown.get("health")) if one["rule"] == "unlisted-file"]
        assert all(one["severity"] == ("error" if verb == "verify" else "warning") for one in found)
        assert done.returncode == (1 if found and verb == "verify" else 0)
        return any(name in example for one in found for example in one["examples"])
    assert done.returncode == 0
    return any("_padmask.json" in line and name in line for line in done.stderr.splitlines())


# --- Files that do not belong to the dataset ------------------------------------------------


@each_value(verb=COMMANDS.keys(), name=["a copy.jsonl", "sub/c copy.jsonl", "new/z.jsonl"])
def test_unlisted_file_is_reported(here: Run, out: Path, verb: str, name: str) -> None:
    assert not is_warned(start(here, verb, "out"), verb, ".jsonl")
    (out / name).parent.mkdir(exist_ok=True)
    shutil.copy(out / "a.jsonl", out / name)
    for place in ("out", str(out)):
        assert is_warned(start(here, verb, place), verb, name)
    (out.parent / "above").mkdir()
    out.rename(out.parent / "above" / "out")
    assert is_warned(start(here, verb, "above"), verb, name)


@commands
def test_unlisted_match_is_reported(here: Run, out: Path, verb: str) -> None:
    shutil.copy(out / "a.jsonl", out / "a copy.jsonl")
    assert is_warned(start(here, verb, "out/*.jsonl"), verb, "a copy.jsonl")
    assert is_warned(start(here, verb, "out/a*"), verb, "a copy.jsonl")
    # A shell would expand the pattern to file names.
    assert is_warned(start(here, verb, "out/a.jsonl", "out/a copy.jsonl"), verb, "a copy.jsonl")
    assert is_warned(start(here, verb, "out/sub/c.jsonl", "out/a copy.jsonl"), verb, "a copy.jsonl")


@commands
def test_named_file_is_not_reported(here: Run, out: Path, verb: str) -> None:
    shutil.copy(out / "a.jsonl", out / "a copy.jsonl")
    assert not is_warned(start(here, verb, "out/a copy.jsonl"), verb, "a copy.jsonl")
    assert not is_warned(start(here, verb, "out/b.jsonl"), verb, ".jsonl")
    assert not is_warned(start(here, verb, "out/a.jsonl", "out/b.jsonl"), verb, ".jsonl")


def test_unlisted_file_among_shards(here: Run, out: Path) -> None:
    shutil.copy(out / "a.jsonl", out / "a copy.jsonl")
    again = ["--overwrite-mask", "--allow-padded", "--workers", "1"]
    done = here("pad", "out", "-o", "again/", *again)
    assert is_warned(done, "pad", "a copy.jsonl")
    assert here("pad", "out", "-o", "quiet/", *again, "--quiet").stderr == ""


def test_unlisted_file_can_be_allowed(here: Run, out: Path) -> None:
    shutil.copy(out / "a.jsonl", out / "a copy.jsonl")
    assert here("verify", "out", "--no-model", "--allow", "unlisted-file").returncode == 0


def test_reports_name_unlisted_files(here: Run, out: Path, tmp_path: Path) -> None:
    shutil.copy(out / "a.jsonl", out / "a copy.jsonl")
    for verb in ("pad", "unpad"):
        here(verb, "out", *COMMANDS[verb], "--report", "r.json")
        [note] = [one for one in json.loads((tmp_path / "r.json").read_text())["notes"] if "copy" in one]
        assert "are not listed" in note


def test_api_names_unlisted_files(out: Path, tmp_path: Path) -> None:
    shutil.copy(out / "a.jsonl", out / "a copy.jsonl")
    done = library.unpad_file(out, tmp_path / "x.jsonl")
    assert any("a copy.jsonl" in note for note in done.notes)
    assert [one.rule.name for one in library.verify_file(out).data if one.rule.severity == "error"] == [
        "unlisted-file"
    ]


@commands
def test_unlisted_file_in_a_storage(here: Run, stored: tuple[Any, str], verb: str) -> None:
    memory, where = stored
    for place in ("/", "/*.jsonl", "/a*"):
        assert not is_warned(start(here, verb, where + place), verb, ".jsonl")
    memory.copy(f"{where}/a.jsonl", f"{where}/a copy.jsonl")
    for place in ("/", "/*.jsonl", "/a*"):
        assert is_warned(start(here, verb, where + place), verb, "a copy.jsonl")


@commands
def test_tampered_manifest_in_storage(here: Run, out: Path, stored: tuple[Any, str], verb: str) -> None:
    memory, where = stored
    manifest = (out / "_padmask.json").read_bytes()
    memory.pipe(f"{where}/_padmask.json", manifest.replace(b'"rows_read": 12', b'"rows_read": 13'))
    done = start(here, verb, f"{where}/")
    assert done.returncode
    assert has_facts(done.stderr, "13", "rows_read")
    assert start(here, verb, f"{where}/*.jsonl").returncode == 0


# --- Invalid and inconsistent manifests -----------------------------------------------------


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def shard(manifest: dict[str, Any], number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = manifest["shards"][number]
    return found


def add_up(manifest: dict[str, Any]) -> None:
    """Set the totals to the sums over the shards."""
    for name, value in manifest["shards"][0]["ledger"].items() if manifest["shards"] else ():
        if isinstance(value, int):
            manifest["total"][name] = sum(one["ledger"][name] for one in manifest["shards"])


def longer(manifest: dict[str, Any], maxlen: int) -> None:
    """Set maxlen, and change every other field of the manifest that depends on maxlen."""
    manifest["plan"] |= {"maxlen": maxlen, "exact": maxlen}
    for one in manifest["shards"]:
        one["ledger"]["places"] = one["ledger"]["rows_written"] * maxlen
    add_up(manifest)
    manifest["total"]["padding_share"] = 1 - manifest["total"]["tokens_kept"] / manifest["total"]["places"]


def without_first(manifest: dict[str, Any]) -> None:
    """Remove the first shard, and adjust the totals."""
    manifest["shards"].pop(0)
    add_up(manifest)
    manifest["total"]["tokens_lost"] = manifest["total"]["tokens_read"] - manifest["total"]["tokens_kept"]


TAMPERED: dict[str, Callable[[dict[str, Any]], object]] = {
    "total of rows": lambda manifest: manifest["total"].update(rows_read=1),
    "total of tokens": lambda manifest: manifest["total"].update(tokens_kept=10**6),
    "total lost": lambda manifest: manifest["total"].update(tokens_lost=5),
    "total share": lambda manifest: manifest["total"].update(padding_share=float("nan")),
    "total gone": lambda manifest: manifest["total"].clear(),
    "total type": lambda manifest: manifest.update(total=[]),
    "rows of a shard": lambda manifest: shard(manifest)["ledger"].update(rows_read=9),
    "rows of all": lambda manifest: (
        shard(manifest)["ledger"].update(rows_read=9, rows_used=9, rows_written=9),
        add_up(manifest),
    ),
    "tokens of a shard": lambda manifest: (
        shard(manifest)["ledger"].update(tokens_kept=99),
        add_up(manifest),
    ),
    "shard twice": lambda manifest: manifest["shards"].append(shard(manifest)),
    "name twice": lambda manifest: (
        manifest["shards"].append(shard(manifest) | {"index": 3}),
        add_up(manifest),
    ),
    "number twice": lambda manifest: shard(manifest, 1).update(index=0),
    "shard none": lambda manifest: manifest["shards"].pop(),
    "first gone": without_first,
    "number none": lambda manifest: shard(manifest, 2).update(index=7),
    "no shards": lambda manifest: manifest["shards"].clear(),
    "maxlen": lambda manifest: manifest["plan"].update(maxlen=10**12),
    "maxlen everywhere": lambda manifest: longer(manifest, 2**31),
    "maxlen short": lambda manifest: manifest["plan"].update(maxlen=1),
    "exact": lambda manifest: manifest["plan"].update(exact=10**9),
    "maxlen text": lambda manifest: manifest["plan"].update(maxlen="2"),
    "maxlen float": lambda manifest: manifest["plan"].update(maxlen=2.0),
    "maxlen bool": lambda manifest: manifest["plan"].update(maxlen=True),
    "maxlen negative": lambda manifest: manifest["plan"].update(maxlen=-1),
    "rows huge": lambda manifest: shard(manifest)["ledger"].update(rows_read=10**30),
    "size text": lambda manifest: shard(manifest).update(size="70"),
    "size null": lambda manifest: shard(manifest).update(size=None),
    "name number": lambda manifest: shard(manifest).update(name=5),
    "name outside": lambda manifest: shard(manifest).update(name="../in/a.jsonl"),
    "name absolute": lambda manifest: shard(manifest).update(name="/etc/passwd"),
    "name roundabout": lambda manifest: shard(manifest).update(name="./a.jsonl"),
    "name NUL": lambda manifest: shard(manifest).update(name="a\0.jsonl"),
    "name gone": lambda manifest: shard(manifest).update(name=""),
    "fault": lambda manifest: shard(manifest).update(fault="bad"),
    "ledger": lambda manifest: shard(manifest).update(ledger=5),
    "ledger part": lambda manifest: shard(manifest)["ledger"].pop("places"),
    "shards": lambda manifest: manifest.update(shards={}),
    "options": lambda manifest: manifest.update(options=[1]),
    "plan": lambda manifest: manifest.pop("plan"),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
def test_tampered_manifest(here: Run, out: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit(out / "_padmask.json", change)
    for verb in ("pad", "verify"):
        done = start(here, verb, "out")
        assert done.returncode
        assert "_padmask.json" in done.stderr
        assert "FOLDER/*" in done.stderr
    assert not list(out.parent.glob("x.jsonl*"))


@each_value(
    verb=COMMANDS.keys(),
    manifest={
        "empty": "",
        "no shards": "{}",
        "bracket": "[",
        "brackets": "[" * 200_000,
        "NUL": "\0",
        "empty shards": '{"shards": []}',
        "digits": "9" * 5000,
    },
)
def test_broken_manifest_is_refused(here: Run, out: Path, verb: str, manifest: str) -> None:
    (out / "_padmask.json").write_text(manifest)
    done = start(here, verb, "out")
    assert done.returncode
    assert has_facts(done.stderr, "_padmask.json'", "not a manifest")
    # The remedy in the message works.
    assert start(here, verb, "out/*.jsonl").returncode == 0


@commands
def test_tampered_manifest_below(here: Run, out: Path, verb: str) -> None:
    edit(out / "_padmask.json", TAMPERED["total of rows"])
    (out.parent / "above").mkdir()
    out.rename(out.parent / "above" / "out")
    done = start(here, verb, "above")
    assert done.returncode
    assert has_facts(done.stderr, "total of 1", "rows_read", 12)


@commands
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_manifest_must_be_a_file(here: Run, out: Path, verb: str, make: Callable[[Path], None]) -> None:
    (out / "_padmask.json").unlink()
    make(out / "_padmask.json")
    done = start(here, verb, "out")
    assert done.returncode
    assert has_facts(done.stderr, "_padmask.json'", "regular file")


NO_MANIFEST: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_text(""), "not a manifest"),
    "cut": (
        lambda path: path.write_text(path.read_text()[:-9]),
        "not a manifest",
    ),
    "no plan": (
        lambda path: edit(path, TAMPERED["plan"]),
        "`plan`",
    ),
    "wrong total": (lambda path: edit(path, TAMPERED["total of rows"]), "rows_read"),
    "link": (lambda path: (path.unlink(), path.symlink_to("/dev/zero")), "cannot be read"),
}


@each_value(broken=NO_MANIFEST, resume={"start": (), "resume": ("--resume",)})
def test_pad_refuses_broken_manifest(
    here: Run, out: Path, broken: tuple[Callable[[Path], object], str], resume: tuple[str, ...]
) -> None:
    spoil, fault = broken
    spoil(out / "_padmask.json")
    before = {path: path.read_bytes() for path in out.rglob("*.jsonl")}
    done = here("pad", "in", "-o", "out/", "--delete", *resume)
    assert done.returncode == 2
    assert has_facts(done.stderr, "out/_padmask.json'", fault, ": a.jsonl, b.jsonl, sub/c.jsonl.")
    assert {path: path.read_bytes() for path in out.rglob("*.jsonl")} == before
    # The remedy in the message is correct.
    for path in (*before, out / "_padmask.json"):
        path.rename(out.parent / path.name)
    assert here("pad", "in", "-o", "out/", "--workers", "1", *resume).returncode == 0


def test_tampered_output_is_refused(here: Run, out: Path) -> None:
    """padmask replaces and deletes the files that a manifest lists only if the manifest is consistent."""
    (out / "precious.jsonl").write_text("mine")
    before = {path: path.read_bytes() for path in out.rglob("*.jsonl")}
    added = {"name": "precious.jsonl", "index": 3}
    edit(out / "_padmask.json", lambda manifest: manifest["shards"].append(shard(manifest) | added))
    done = here("pad", "in", "-o", "out/", "--delete")
    assert done.returncode == 2
    assert has_facts(done.stderr, "_padmask.json'", "total of 12", "rows_read")
    assert has_facts(done.stderr, ": a.jsonl, b.jsonl, precious.jsonl")
    assert {path: path.read_bytes() for path in out.rglob("*.jsonl")} == before


@pytest.mark.slow
def test_limits_and_faults_are_valid(here: Run, tmp_path: Path, out: Path) -> None:
    """A manifest may list fewer shards than inputs, because of --limit or a skipped file."""
    (tmp_path / "in" / "b.jsonl.gz").write_bytes(b"no gzip")
    args = ["pad", "in", "--on-error", "skip", "-o"]
    assert here(*args, "limited/", "--limit", "3").returncode == 0
    assert here(*args, "skipped/").returncode == 0
    for folder, limit in (("limited", ["--limit", "3"]), ("skipped", [])):
        assert here("verify", folder, "--no-model").returncode == 0
        again = here(*args, f"{folder}/", "--resume", *limit)
        assert "earlier run" in again.stderr


# --- Files that are read into memory --------------------------------------------------------


def enlarge(path: Path, size: int) -> None:
    """Increase the size of a file without using disk space."""
    with path.open("ab") as file:
        file.truncate(size)


@commands
def test_large_manifest(here: Run, out: Path, verb: str) -> None:
    enlarge(out / "_padmask.json", 1 << 40)
    done = start(here, verb, "out")
    assert done.returncode
    assert has_facts(done.stderr, "512.0 MiB")


@pytest.mark.parametrize("name", ["_padmask.json", "_padmask.replacing"])
def test_large_file_in_output(here: Run, out: Path, name: str) -> None:
    (out / name).touch()
    enlarge(out / name, 1 << 40)
    done = here("pad", "in", "-o", "out/")
    assert done.returncode == 2
    assert has_facts(done.stderr, f"{name}'", "512.0 MiB")


@pytest.mark.parametrize(("name", "most"), [("plan", "512.0 MiB"), ("000000.record", "1.0 MiB")])
def test_large_file_of_failed_run(here: Run, tmp_path: Path, name: str, most: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text('{"input_ids": [1]}\n')
    (tmp_path / "in" / "b.jsonl").write_text("{\n")
    args = ["pad", "in", "-o", "out/", "--maxlen", "2", "--resume", "--workers", "1"]
    assert here(*args).returncode
    [path] = (tmp_path / "out").glob(f"_padmask-*/{name}")
    enlarge(path, 1 << 40)
    done = here(*args)
    assert done.returncode == 2
    assert has_facts(done.stderr, f"{name}'", most)


@commands
def test_large_settings(here: Run, out: Path, tmp_path: Path, verb: str) -> None:
    enlarge(tmp_path / "pyproject.toml", 1 << 40)
    done = start(here, verb, "out")
    assert done.returncode == 2
    assert has_facts(done.stderr, "pyproject.toml", "1.0 MiB")
    # Files of normal size are read.
    (tmp_path / "pyproject.toml").write_text("[tool.padmask]\nthreads = 1\n" + "#" * 500_000)
    assert start(here, verb, "out").returncode == 0
