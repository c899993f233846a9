"""Run tests with the lowest versions that pyproject.toml declares, and without pandas.

python tests/lowest.py FOLDER [core]     makes a virtual environment in FOLDER

Without `core`, only the smoke tests run. `core` also runs the tests of the packages that need no extra.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent

SMOKE = ("tests/cli/test_smoke.py",)
CORE = ("tests/spec", "tests/storage", "tests/core", "tests/formats", "tests/stream", "tests/inspect")
CORE = (*CORE, "tests/verify/data", "tests/render", *SMOKE)

# Packages of the extra dev that these tests need.
TEST_PACKAGES = ("pytest", "pytest-xdist", "hypothesis", "duckdb", "polars", "fsspec")


def declared(extra: str = "") -> dict[str, str]:
    """Return the lowest versions that pyproject.toml declares after `>=`, keyed by package.

    Args:
        extra: name of an extra; empty for the required dependencies.
    """
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    found = [re.fullmatch(r"([\w-]+)>=([\w.]+)", line) for line in lines]
    return {one[1]: one[2] for one in found if one}


def main(folder: str, *names: str) -> int:
    """Install the lowest versions in a virtual environment, and run the tests."""
    python = str(Path(folder) / "bin" / "python")
    pins = [f"{name}=={version}" for name, version in declared().items()]
    if not Path(python).exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    tools = [f"{name}>={version}" for name, version in declared("dev").items() if name in TEST_PACKAGES]
    subprocess.run([*pip, *pins, *tools], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", str(PROJECT)], check=True)
    subprocess.run([python, "-c", "import importlib.util as u; assert not u.find_spec('pandas')"], check=True)
    print("lowest versions:", *pins)
    tests = ["-n", "auto", "--dist", "loadfile", *CORE] if "core" in names else [*SMOKE]
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=PROJECT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
