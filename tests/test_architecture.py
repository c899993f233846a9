"""The structure of the package: layers, imports, the reading path, and what starting up may load."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import padmask
from padmask.spec.pad import MaskSpec, PadSpec

PACKAGE = Path(padmask.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Each line may import from its own packages and from the lines above it.
LAYERS = [
    ["errors", "_version"],
    ["spec"],
    ["storage"],
    ["core"],
    ["formats"],
    ["stream"],
    ["shards"],
    ["verify", "inspect", "layers"],
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
# Change the state of the whole process: warnings filters, umask, environment, sys.path, signals.
PROCESS_STATE = re.compile(
    r"\b(warnings\.(simplefilter|filterwarnings|catch_warnings)|os\.umask|os\.environ\b.*(=|setdefault|update)"
    r"|os\.putenv|sys\.path\.(insert|append)|signal\.signal|signal\.pthread_sigmask)\b"
)


def relative(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def package_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(node: ast.AST) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """Yield the import statements in a node, and the dotted names that they import."""
    for one in ast.walk(node):
        if isinstance(one, ast.Import):
            yield from ((one, alias.name) for alias in one.names)
        elif isinstance(one, ast.ImportFrom) and one.module:
            yield from ((one, f"{one.module}.{alias.name}") for alias in one.names)


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_imports_go_down(file: Path) -> None:
    if file == PACKAGE / "__init__.py":
        return
    for _, name in imports(ast.parse(file.read_text())):
        if name.startswith("padmask."):
            assert LAYER_OF[name.split(".")[1]] <= LAYER_OF[package_of(file)], name


def test_every_package_has_a_layer() -> None:
    assert {package_of(file) for file in FILES} - {"__init__"} == set(LAYER_OF)


def test_modules_have_no_cycle() -> None:
    modules = {".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for file in FILES}
    below = {
        module: {
            found
            for _, name in imports(ast.parse(file.read_text()))
            for found in [owner(name, modules)]
            if found
        }
        - {module}
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


def nested_imports(file: Path) -> Iterator[tuple[str, ast.Import | ast.ImportFrom, str]]:
    """Yield the functions with imports in them, each import and its line."""
    text = file.read_text()
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            for one in node.body and ast.walk(node):
                if isinstance(one, (ast.Import, ast.ImportFrom)):
                    yield node.name, one, lines[one.lineno - 1]


def test_names_have_one_meaning() -> None:
    seen: dict[str, str] = {}
    for file in FILES:
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                if relative(file).startswith("cli/") and node.name == "command":
                    continue
                assert node.name not in seen, f"{node.name}: {seen[node.name]} and {relative(file)}"
                seen[node.name] = relative(file)
