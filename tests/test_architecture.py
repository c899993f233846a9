"""The structure of the package: layers, imports, the reading path, modules loaded at start-up."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median

import pytest

import padmask
from padmask.spec.formats import FORMATS
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec

PACKAGE = Path(padmask.__file__).parent
TESTS = Path(__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Maximum length of the median test name, in characters.
SHORT_NAME = 30

# A package may import from packages in the same line and in the lines above.
LAYERS = [
    ["errors", "_version", "notebook"],
    ["spec"],
    ["storage"],
    ["core"],
    ["formats"],
    ["stream"],
    ["shards"],
    ["verify", "inspect", "layers", "collate"],
    ["render"],
    ["cli", "__main__"],
]
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}

READING_PATH = [
    "spec/columns.py",
    "spec/pad.py",
    "core/plan.py",
    "core/ragged.py",
    "core/kernel.py",
    "core/columns.py",
    "core/table.py",
    "formats/contract.py",
    "stream/run.py",
    "stream/job.py",
    "stream/rows.py",
    "stream/pad.py",
]
# Calls that change the state of the process: warnings filters, umask, environment, sys.path, signals.
PROCESS_STATE = re.compile(
    r"\b(warnings\.(simplefilter|filterwarnings|catch_warnings)|os\.umask|os\.environ\b.*(=|setdefault|update)"
    r"|os\.putenv|sys\.path\.(insert|append)|signal\.signal|signal\.pthread_sigmask)\b"
)


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def relative(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def package_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imports_of(file: Path) -> list[str]:
    """Return the dotted names that a file imports."""
    return [name for _, name in imports(tree(file))]


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and the statements in the node, at any depth. Expressions contain no statements."""
    yield node
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, name, None)
        if isinstance(inner, list):
            for one in inner:
                yield from statements(one)


def imports(node: ast.AST) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """Yield the import statements in a node, and the dotted names that they import."""
    for one in statements(node):
        if isinstance(one, ast.Import):
            yield from ((one, alias.name) for alias in one.names)
        elif isinstance(one, ast.ImportFrom) and one.module:
            yield from ((one, f"{one.module}.{alias.name}") for alias in one.names)


def test_imports_go_down() -> None:
    for file in FILES:
        if file == PACKAGE / "__init__.py":
            continue
        for name in imports_of(file):
            if name.startswith("padmask."):
                assert LAYER_OF[name.split(".")[1]] <= LAYER_OF[package_of(file)], (relative(file), name)


def test_every_package_has_a_layer() -> None:
    assert {package_of(file) for file in FILES} - {"__init__"} == set(LAYER_OF)


def test_modules_have_no_cycle() -> None:
    modules = {".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for file in FILES}
    below = {
        module: {found for name in imports_of(file) for found in [owner(name, modules)] if found} - {module}
        for module, file in modules.items()
        if not module.endswith("__init__")
    }
    done: set[str] = set()
    while below:
        ready = [module for module, needed in below.items() if not needed & below.keys()]
        assert ready, f"a cycle among {sorted(below)}"
        done.update(ready)
        for module in ready:
            del below[module]


def owner(name: str, modules: dict[str, Path]) -> str | None:
    return next((found for found in (name, name.rpartition(".")[0]) if found in modules), None)


def test_reading_path_is_short() -> None:
    lines = {name: len((PACKAGE / name).read_text().splitlines()) for name in READING_PATH}
    assert max(lines.values()) <= 300, lines
    assert sum(lines.values()) <= 2600, lines


# Functions may import from padmask only in these files: the registry of formats, the command line (which
# imports the error module on demand), code that runs after signal handlers are installed or on another
# machine, and code that imports Keras after the backend has started.
MAY_IMPORT_LATE = {
    "__main__.py",
    "cli/__init__.py",
    "formats/__init__.py",
    "shards/dask.py",
    "verify/verify_file.py",
    "verify/api.py",
}


def late_imports(file: Path) -> list[str]:
    """Return the padmask modules that the functions in a file import."""
    functions = [node for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef)]
    nodes = {id(one): one for function in functions for one, _ in imports(function)}
    found = [one.module or "" for one in nodes.values() if isinstance(one, ast.ImportFrom)]
    return [name for name in found if name.startswith("padmask")]


def test_imports_are_at_the_top() -> None:
    for file in FILES:
        late = late_imports(file)
        if relative(file).startswith("verify/"):
            frameworks = ("padmask.verify.keras", "padmask.verify.torch")
            assert all(name.startswith(frameworks) for name in late), (relative(file), late)
        elif relative(file) not in MAY_IMPORT_LATE:
            assert not late, relative(file)


# Only these files, the command line and the code for models may change the warnings filters, umask,
# environment, sys.path and signals.
MAY_CHANGE_PROCESS = {
    "__main__.py",
    "shards/worker_process.py",  # only in worker processes
    "storage/system.py",  # defers signals and restores them
    "verify/user_code.py",  # imports a user's module
}


def test_library_keeps_process_state() -> None:
    for file in FILES:
        name = relative(file)
        if name not in MAY_CHANGE_PROCESS and not name.startswith(("cli/", "verify/keras/", "verify/torch/")):
            assert not PROCESS_STATE.search(file.read_text()), name


def test_architecture_page_is_current() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    table = page[page.index("| package |") : page.index("`verify/` has four parts")]
    listed = {
        name
        for row in table.splitlines()[2:]
        if "|" in row
        for name in re.findall(r"`(\w+)/?`", row.split("|")[1])
    }
    assert listed == {package_of(file) for file in FILES} - {"__init__"}
    for name in re.findall(
        r"`((?:spec|storage|core|formats|stream|shards|inspect|verify|render|cli)/[\w/]+\.py)`", page
    ):
        assert (PACKAGE / name).exists(), name


def test_writing_options_are_guarded() -> None:
    """test_output_conflicts.py tests every option that specifies a file to write."""
    from padmask.cli.commands import COMMANDS, load_command
    from padmask.cli.config import WRITES

    found = {
        (command, option)
        for command in COMMANDS
        for parameter in load_command(command).params
        if getattr(parameter, "because", None) == WRITES
        for option in parameter.opts
        if option.startswith("--")
    }
    tried = {("pad", "--output"), ("pad", "--rejects"), ("pad", "--report"), ("unpad", "--output")}
    tried |= {("pack", "--output"), ("pack", "--rejects"), ("pack", "--report")}
    tried |= {("unpad", "--rejects"), ("unpad", "--report"), ("inspect", "--export"), ("verify", "--report")}
    assert found == tried


def test_rich_click_and_keras_are_confined() -> None:
    for file in FILES:
        tops = {name.split(".")[0] for name in imports_of(file)}
        assert "rich" not in tops or package_of(file) == "render", relative(file)
        assert "matplotlib" not in tops or relative(file) in (
            "render/figure.py",
            "render/figure_charts.py",
        ), relative(file)
        assert "click" not in tops or package_of(file) == "cli", relative(file)
        if {"tensorflow", "keras", "torch", "jax"} & tops:
            allowed = relative(file) in ("layers.py", "formats/tfrecord.py")
            assert relative(file).startswith(("verify/keras/", "verify/torch/")) or allowed, relative(file)


# The table of formats, and the modules that read and write one format.
KNOWS_FORMATS = {"spec/formats.py", "storage/array_folder.py"} | {
    address.partition(":")[0].removeprefix("padmask.").replace(".", "/") + ".py"
    for traits in FORMATS.values()
    for address in (traits.reader, traits.writer)
    if address is not None
}


def texts_in(file: Path) -> set[str]:
    """Return the string literals in a file, without docstrings."""
    nodes = list(ast.walk(tree(file)))
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(one.body[0].value) for one in nodes if isinstance(one, owners) and ast.get_docstring(one)
    }
    texts = (one for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str))
    return {one.value for one in texts if id(one) not in docstrings}


def test_only_the_table_names_formats() -> None:
    """Other modules use the traits of a format."""
    names = {*FORMATS, *(suffix for traits in FORMATS.values() for suffix in traits.suffixes)}
    for file in FILES:
        assert relative(file) in KNOWS_FORMATS or not texts_in(file) & names, relative(file)


def test_names_have_one_meaning() -> None:
    seen: dict[str, str] = {}
    for file in FILES:
        for node in tree(file).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                if relative(file).startswith("cli/") and node.name == "command":
                    continue
                if any(isinstance(one, ast.Name) and one.id == "overload" for one in node.decorator_list):
                    continue
                assert node.name not in seen, f"{node.name}: {seen[node.name]} and {relative(file)}"
                seen[node.name] = relative(file)


def test_names_of_tests_are_short() -> None:
    names = [
        name
        for file in TESTS.rglob("test_*.py")
        for name in re.findall(r"^ *def (test_\w+)\(", file.read_text(), re.MULTILINE)
    ]
    assert median(map(len, names)) <= SHORT_NAME


def modules_after(*lines: str) -> set[str]:
    """Run some lines in a new process and return the modules that it has imported."""
    code = "\n".join(["import json, sys", *lines, "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_import_is_light():
    assert not modules_after("import padmask") & {"numpy", "pyarrow", "rich", "click", "tensorflow", "keras"}


def test_version_loads_only_click():
    loaded = modules_after("from padmask.cli import run", "run(['--version'])")
    assert not loaded & {"numpy", "pyarrow", "rich", "msgspec", "orjson", "tensorflow", "padmask.spec.pad"}


def test_help_loads_only_click():
    loaded = modules_after("from padmask.cli import run", "run(['--help'])")
    assert "padmask.cli.commands" in loaded
    assert not loaded & {
        "dataclasses",
        "pathlib",
        "padmask.errors",
        "padmask.spec.pad",
        "padmask.cli.failures",
    }


@pytest.mark.parametrize("command", ["pad", "unpad", "inspect", "verify"])
def test_help_loads_no_numpy(command):
    loaded = modules_after("from padmask.cli import run", f"run(['{command}', '--help'])")
    assert not loaded & {"numpy", "pyarrow", "rich", "msgspec", "orjson", "tensorflow", "pathlib"}


def test_pad_loads_no_shards(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input_ids": [1, 2]}\n')
    asked = f"['pad', {str(rows)!r}, '-o', {str(tmp_path / 'out.jsonl')!r}, '--quiet']"
    loaded = modules_after("from padmask.cli import run", f"run({asked})")
    assert "padmask.stream.pad" in loaded
    assert not loaded & {"multiprocessing", "subprocess", "hashlib", "pathlib", "padmask.storage.folder"}
    assert not [name for name in loaded if name.startswith("padmask.shards")]


def test_jsonl_loads_no_parquet(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input_ids": [1, 2]}\n' * 10)
    loaded = modules_after("from padmask.cli import run", f"run(['pad', {str(rows)!r}, '--quiet'])")
    assert "padmask.formats.jsonl.reader" in loaded
    heavy = {"tensorflow", "keras", "rich", "pyarrow.parquet", "pyarrow.dataset", "pyarrow.compute", "pandas"}
    assert not loaded & heavy


def test_public_names():
    for name in padmask.__all__:
        assert getattr(padmask, name) is not None
    assert "pad" in dir(padmask)
    with pytest.raises(AttributeError, match="no attribute 'padd'"):
        padmask.padd  # noqa: B018


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow"])
@pytest.mark.slow
def test_padding_imports_no_pandas(tmp_path, suffix):
    # Arrow's conversions check for pandas arrays, and importing pandas takes longer
    # than padding a small file.
    rows, source = tmp_path / "rows.jsonl", tmp_path / f"in.{suffix}"
    rows.write_text('{"input_ids": [1, 2], "n": 1}\n' * 10)
    padmask.pad_file(rows, source, spec=PadSpec(maxlen=3), mask=MaskSpec(column=None))
    loaded = modules_after(
        "class Finder:",
        "    def find_spec(self, name, path=None, target=None):",
        "        sys.modules.setdefault('asked_for_' + name, sys)",
        "sys.meta_path.insert(0, Finder())",
        "from padmask.cli import run",
        f"run(['pad', {str(source)!r}, '-o', {str(tmp_path / 'out')!r} + '.{suffix}', '--quiet'])",
    )
    assert "asked_for_pyarrow" in loaded
    assert "asked_for_pandas" not in loaded


def test_architecture_page_names_files() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    names = set(re.findall(r"`((?:[\w.]+/)+\w+\.py)`", text))
    missing = [
        name for name in names if not any((folder / name).exists() for folder in (PACKAGE, PACKAGE.parent))
    ]
    assert len(names) > 30
    assert not missing
