"""A run imports nothing from the current folder, its data folder or its output folder.

These folders contain modules with every name that the run imports. They write a marker file when they are
imported. The output must not change.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
from processes import SECONDS
from tiers import represented

ROWS = 30

# Python imports this module at start-up, also in child processes.
SPY = """
import sys
def note(*names):
    with open({names!r}, "a") as file:
        file.write("".join(name + "\\n" for name in names))
class Spy:
    def find_spec(self, name, path=None, target=None):
        if path is None:
            note(name)
note(*sys.modules)
sys.meta_path.insert(0, Spy())
"""
MARKS = """
import os
os.close(os.open({marks!r} + "/" + __name__, os.O_CREAT | os.O_WRONLY))
"""
SCRIPT = """
from padmask.__main__ import main
if __name__ == "__main__":
    main()
"""


class Place:
    """Three folders with modules, and functions that run padmask there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.here, self.data, self.out, self._marks, self._bin, self._spy = (
            folder / name for name in ("here", "data", "out", "marks", "bin", "spy")
        )
        for made in (self.here, self.data, self.out, self._marks, self._bin, self._spy):
            made.mkdir()
        (self._bin / "padmask").write_text(SCRIPT)
        (self._spy / "sitecustomize.py").write_text(SPY.format(names=str(folder / "names")))
        for shard in range(3):
            rows = [{"input_ids": [i + 1] * (i % 9)} for i in range(ROWS)]
            (self.data / f"{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def launcher(self, how: str) -> list[str]:
        """Return the start of the command line: a script as pip installs it, or `python -m padmask`."""
        script = [sys.executable, str(self._bin / "padmask")]
        return script if how == "script" else [sys.executable, "-m", "padmask"]

    def run(self, command: list[str], cwd: Path, env: Mapping[str, str] = os.environ) -> str:
        """Run a command that must succeed, and return its stdout."""
        done = subprocess.run(
            command, cwd=cwd, env=dict(env), capture_output=True, text=True, timeout=2 * SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def names(self, command: list[str], cwd: Path) -> tuple[set[str], str]:
        """Run a command. Return the modules that its processes import, and its stdout."""
        noted = self._folder / "names"
        noted.unlink(missing_ok=True)
        path = os.pathsep.join(filter(None, (str(self._spy), os.environ.get("PYTHONPATH"))))
        said = self.run(command, cwd, os.environ | {"PYTHONPATH": path})
        names = {name.partition(".")[0] for name in noted.read_text().split()}
        return names - {"__main__", "__mp_main__"}, said

    def names_before_padmask(self) -> set[str]:
        """Return the modules that Python itself imports for `-m`."""
        package = self._bin / "empty"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "__main__.py").touch()
        return self.names([sys.executable, "-m", "empty"], self._bin)[0] | {"padmask"}

    def lay_traps(self, names: set[str]) -> None:
        for name in names:
            for folder in (self.here, self.data, self.out):
                (folder / f"{name}.py").write_text(MARKS.format(marks=str(self._marks)))

    def sprung(self) -> list[str]:
        return sorted(os.listdir(self._marks))

    def written(self) -> dict[str, bytes]:
        files = (path for path in self.out.rglob("*") if path.is_file() and path.suffix != ".py")
        return {str(path.relative_to(self.out)): path.read_bytes() for path in files}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


COMMANDS = {
    "pad": "pad ../data/0.jsonl -o ../out/a.parquet",
    "unpad": "unpad ../data/padded.parquet -o ../out/b.jsonl",
    "inspect": "inspect ../data/0.jsonl --json",
    "no model": "verify ../data/padded.parquet --no-model",
    "workers": "pad ../data/*.jsonl -o ../out/ --workers 2",
    "inspect files": "inspect 0.jsonl 1.jsonl --workers 2 --json",
    "version": "--version",
}
QUICK = {"script-pad"}
# Each command runs in one of two ways (script or `python -m`). The other way is an exhaustive test.
ONCE = {"-m-workers", "script-unpad", "-m-inspect", "script-inspect files", "-m-no model", "script-version"}
SLOW = {
    "cluster": "pad ../data/*.jsonl -o ../out/ --cluster local --workers 1",
    "models": "verify ../data/padded.parquet --route embedding",
}


def check(place: Place, how: str, line: str) -> None:
    launcher, cwd = place.launcher(how), place.data if "inspect 0" in line else place.here
    if "padded" in line:
        place.run([*launcher, "pad", "0.jsonl", "-o", "padded.parquet", "--quiet"], place.data)
    command = [*launcher, *line.split()]
    names, said = place.names(command, cwd)
    assert {"os", "threading", "padmask", "click"} <= names
    wanted = place.written()
    place.lay_traps(names - place.names_before_padmask() if how == "-m" else names)
    assert place.run(command, cwd) == said
    assert place.sprung() == []
    assert place.written() == wanted


@represented(
    "how,line",
    [
        pytest.param(how, line, id=f"{how}-{name}", marks=[pytest.mark.slow] * (f"{how}-{name}" not in QUICK))
        for how in ("script", "-m")
        for name, line in COMMANDS.items()
        if (how, name) != ("-m", "pad")
    ],
    by=QUICK | ONCE,
)
def test_data_folder_is_not_imported(place: Place, how: str, line: str) -> None:
    check(place, how, line)


@pytest.mark.slow
def test_cluster_imports_nothing(place: Place) -> None:
    if find_spec("distributed") is None:
        pytest.skip("--cluster needs Dask")
    check(place, "script", SLOW["cluster"])


@pytest.mark.exhaustive(by="test_cluster_imports_nothing")
@pytest.mark.tf
def test_models_import_nothing(place: Place) -> None:
    if find_spec("keras") is None:
        pytest.skip("needs Keras")
    check(place, "script", SLOW["models"])


@pytest.mark.slow
def test_function_imports_nothing(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "serve.py").write_text("def f(ids, mask):\n    import colorsys, numpy\n    return ids * mask\n")
    paths = filter(None, [str(site), os.environ.get("PYTHONPATH")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    padmask = place.launcher("script")
    place.run([*padmask, "pad", "0.jsonl", "-o", "padded.parquet"], place.data)
    command = [*padmask, "verify", "../data/padded.parquet", "--predict", "serve:f"]
    names, _ = place.names(command, place.here)
    assert {"colorsys", "numpy"} <= names
    # --predict may import modules that are not installed from the current folder.
    place.lay_traps({name for name in names if name in sys.stdlib_module_names or find_spec(name)})
    place.run(command, place.here)
    assert place.sprung() == []


TRAIN = """
import tasks
from padmask.shards.processes import Processes

def triple(number):
    return 3 * number

if __name__ == "__main__":
    with Processes(2) as workers:
        print(workers.submit(tasks.double, 2).result(), workers.submit(triple, 2).result())
"""


@pytest.mark.slow
def test_scripts_import_their_modules(place: Place, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "train.py").write_text(TRAIN)
    (code / "tasks.py").write_text("def double(number):\n    return 2 * number\n")
    command = [sys.executable, str(code / "train.py")]
    names, _ = place.names(command, place.here)
    assert {"tasks", "pyarrow"} <= names
    place.lay_traps(names)
    assert place.run(command, place.here) == "4 6\n"
    assert place.sprung() == []
