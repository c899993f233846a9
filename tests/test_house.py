"""The house itself: which rooms may know of which, and what starting up may import."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import padmask
from padmask.spec.pad import MaskSpec, PadSpec

HOUSE = Path(padmask.__file__).parent

# A room may import those named here, and nothing else of padmask's.
DOORS = {
    "__init__": set(),
    "__main__": {"cli"},
    "errors": set(),
    "spec": {"errors"},
    "ragged": {"errors"},
    "plan": {"errors", "spec"},
    "kernel": {"errors", "spec", "ragged"},
    "costs": {"spec", "plan"},
    "flatten": {"errors", "ragged"},
    "flow": set(),
    "ledger": set(),
    "progress": set(),
    "layers": {"errors"},
    "verify": {"errors", "spec", "ragged", "kernel", "flatten", "layers"},
    "audited": {"errors", "spec", "ragged", "kernel", "table", "formats", "rows", "verify"},
    "inspection": {"errors", "spec", "ragged", "plan", "kernel", "table", "costs", "rows"}
    | {"decide", "formats", "progress", "jobs", "verify", "audited"},
    "table": {"errors", "spec", "ragged", "plan", "kernel"},
    "sequences": {"errors", "spec", "ragged", "flatten", "plan", "kernel", "table"},
    "streams": set(),
    "formats": {"errors", "ragged", "machine", "streams"},
    "rows": {"errors", "spec", "ragged", "plan", "kernel", "table", "ledger", "formats"},
    "machine": set(),
    "bounds": {"errors", "spec", "plan", "table", "machine"},
    "textrows": {"spec", "ragged", "plan", "kernel", "table", "ledger", "formats", "rows"},
    "decide": {"errors", "spec", "ragged", "table", "formats", "rows"},
    "unpadding": {"errors", "spec", "ragged", "kernel", "table", "ledger", "formats", "rows", "textrows"}
    | {"decide", "files", "progress", "bounds"},
    "files": {"errors", "spec", "ledger", "flow", "formats", "rows", "progress", "bounds", "machine"},
    "pipeline": {
        "errors",
        "bounds",
        "spec",
        "plan",
        "table",
        "ledger",
        "flow",
        "formats",
        "files",
        "rows",
        "textrows",
        "decide",
        "progress",
    },
    "jobs": {"errors", "spec", "plan", "bounds", "formats", "files", "ledger", "machine", "decide", "rows"}
    | {"textrows", "pipeline", "progress"},
    "sampled": {
        "errors",
        "spec",
        "plan",
        "table",
        "rows",
        "decide",
        "formats",
        "progress",
        "verify",
        "audited",
    },
    "verification": {"errors", "spec", "flatten", "decide", "formats", "jobs", "progress", "verify"}
    | {"sampled"},
    "render": {"errors", "ledger", "progress", "costs", "inspection", "verify"},
    "cli": {
        "errors",
        "jobs",
        "machine",
        "spec",
        "files",
        "pipeline",
        "unpadding",
        "inspection",
        "sampled",
        "verification",
        "verify",
        "render",
        "formats",
        "streams",
    },
}
FILES = sorted(HOUSE.rglob("*.py"))
# The rooms that may import Keras: they are imported after it was started, on the backend asked for.
KNOW_KERAS = {
    "layers.py",
    "verify/backend.py",
    "verify/double.py",
    "verify/kernels.py",
    "verify/loaded.py",
    "verify/loading.py",
    "verify/models.py",
    "verify/recording.py",
    "verify/runs.py",
    "verify/slots.py",
    "verify/trace.py",
}


def _room(file: Path) -> str:
    return file.relative_to(HOUSE).parts[0].removesuffix(".py")


def _imports(file: Path) -> set[str]:
    """The modules a file imports, wherever in it, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOUSE)))
def test_no_room_knows_what_it_must_not(file):
    room = _room(file)
    if file == HOUSE / "__init__.py":
        return  # the front door names everybody, and opens for nobody until asked
    known = {name.split(".")[1] for name in _imports(file) if name.startswith("padmask.")}
    allowed = DOORS[room] | {room, "__version__"}
    assert known <= allowed, f"{room} imports {known - allowed}"


def test_the_table_of_doors_has_no_cycle_and_no_empty_room():
    assert set(DOORS) == {_room(file) for file in FILES}
    seen: set[str] = set()
    while len(seen) < len(DOORS):
        ready = {room for room, doors in DOORS.items() if doors <= seen} - seen
        assert ready, f"a cycle among {set(DOORS) - seen}"
        seen |= ready


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HOUSE)))
def test_rich_and_tensorflow_have_one_importer_each(file):
    tops = {name.split(".")[0] for name in _imports(file)}
    assert "rich" not in tops or _room(file) == "render"
    assert "click" not in tops or _room(file) == "cli"
    if not {"tensorflow", "keras", "torch", "jax"} & tops:
        return
    assert str(file.relative_to(HOUSE)) in KNOW_KERAS


def _loaded(*lines: str) -> set[str]:
    """Run some lines in a new process and return the modules it has loaded then."""
    code = "\n".join(["import json, sys", *lines, "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_importing_padmask_loads_nothing_heavy():
    assert not _loaded("import padmask") & {"numpy", "pyarrow", "rich", "click", "tensorflow", "keras"}


def test_asking_for_the_version_costs_click_alone():
    loaded = _loaded("from padmask.cli import run", "run(['--version'])")
    assert not loaded & {"numpy", "pyarrow", "rich", "msgspec", "orjson", "tensorflow", "padmask.spec.pad"}


@pytest.mark.parametrize("command", ["pad", "unpad", "inspect", "verify"])
def test_asking_for_help_costs_no_numpy(command):
    loaded = _loaded("from padmask.cli import run", f"run(['{command}', '--help'])")
    assert not loaded & {"numpy", "pyarrow", "rich", "msgspec", "orjson", "tensorflow"}


def test_padding_json_lines_loads_only_what_it_needs(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input_ids": [1, 2]}\n' * 10)
    loaded = _loaded("from padmask.cli import run", f"run(['pad', {str(rows)!r}, '--quiet'])")
    assert "padmask.formats.jsonl.reader" in loaded
    heavy = {"tensorflow", "keras", "rich", "pyarrow.parquet", "pyarrow.dataset", "pyarrow.compute", "pandas"}
    assert not loaded & heavy


def test_public_names_are_there_and_nothing_else():
    for name in padmask.__all__:
        assert getattr(padmask, name) is not None
    assert "pad" in dir(padmask)
    with pytest.raises(AttributeError, match="no attribute 'padd'"):
        padmask.padd  # noqa: B018


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
def test_padding_does_not_ask_for_pandas_where_it_is_installed(tmp_path, suffix):
    # Arrow's conversions look whether they are given pandas' arrays, and importing it takes longer
    # than padding a small file.
    rows, source = tmp_path / "rows.jsonl", tmp_path / f"in.{suffix}"
    rows.write_text('{"input_ids": [1, 2], "n": 1}\n' * 10)
    padmask.pad_file(rows, source, spec=PadSpec(maxlen=3), mask=MaskSpec(column=None))
    loaded = _loaded(
        "class Finder:",
        "    def find_spec(self, name, path=None, target=None):",
        "        sys.modules.setdefault('asked_for_' + name, sys)",
        "sys.meta_path.insert(0, Finder())",
        "from padmask.cli import run",
        f"run(['pad', {str(source)!r}, '-o', {str(tmp_path / 'out')!r} + '.{suffix}', '--quiet'])",
    )
    assert "asked_for_pyarrow" in loaded
    assert "asked_for_pandas" not in loaded
