"""Run the smoke tests with the lowest versions that pyproject.toml declares, and without pandas.

python tests/lowest.py FOLDER      makes a virtual environment in FOLDER
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def lowest_versions() -> list[str]:
    """Return the dependencies pinned to the versions after their `>=`."""
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    found = [re.fullmatch(r"([\w-]+)>=([\w.]+)", dependency) for dependency in declared]
    return [f"{one[1]}=={one[2]}" for one in found if one]


def main(folder: str) -> int:
    python, pins = str(Path(folder) / "bin" / "python"), lowest_versions()
    if not Path(python).exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, *pins, "pytest>=8.3"], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", str(PROJECT)], check=True)
    subprocess.run([python, "-c", "import importlib.util as u; assert not u.find_spec('pandas')"], check=True)
    print("lowest versions:", *pins)
    tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cli/test_smoke.py"]
    return subprocess.run(tests, cwd=PROJECT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
