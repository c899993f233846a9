"""Build the sdist and the wheel, check them, and run the samples with the wheel.

python tests/dist.py [FOLDER]      writes both to FOLDER (dist), and needs the extra dev
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Iterable
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from zipfile import ZipFile

from padmask._version import __version__

PROJECT = Path(__file__).parent.parent

# Size of the wheel in bytes. padmask has no data files.
MOST_BYTES = 2_000_000

CLASSIFIERS = ("Operating System :: POSIX", "Typing :: Typed", "Programming Language :: Python :: 3.11")
IN_WHEEL = ("padmask/py.typed", "padmask/__init__.py", "padmask/cli/verify.py")
IN_SDIST = (
    *IN_WHEEL,
    *("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile"),
    *("docs/conf.py", "docs/index.md", "tests/test_docs.py", "sample_data/demo.sh"),
    *(".pre-commit-hooks.yaml", "action.yml"),
)
# Folders of the wheel, apart from its metadata.
PACKAGES = {"padmask"}
NOT_RELEASED = ("__pycache__", ".venv", "_build", ".git/", ".hypothesis")


def metadata_problems(metadata: Message) -> list[str]:
    """Return the problems in the metadata of a wheel.

    >>> parts = ["Name: padmask", f"Version: {__version__}", "Requires-Python: >=3.11", "Summary: Pad."]
    >>> parts += ["License-Expression: MIT", *(f"Classifier: {name}" for name in CLASSIFIERS)]
    >>> wheel = BytesParser().parsebytes("\\n".join([*parts, "", "# padmask"]).encode())
    >>> metadata_problems(wheel)
    []
    >>> wheel["Project-URL"] = "Documentation, http://localhost"
    >>> metadata_problems(wheel)
    ['not an https address: Documentation, http://localhost']
    """
    expected = {
        "Name": "padmask",
        "Version": __version__,
        "Requires-Python": ">=3.11",
        "License-Expression": "MIT",
    }
    problems = [
        f"{name} is {metadata[name]}, not {value}"
        for name, value in expected.items()
        if metadata[name] != value
    ]
    if not metadata["Summary"] or not str(metadata.get_payload()).lstrip().startswith("# padmask"):
        problems.append("the summary or the README is missing")
    given = metadata.get_all("Classifier", [])
    problems += [f"no classifier {name}" for name in CLASSIFIERS if name not in given]
    addresses = metadata.get_all("Project-URL", [])
    problems += [f"not an https address: {line}" for line in addresses if ", https://" not in line]
    return problems


def content_problems(names: Iterable[str], expected: Iterable[str]) -> list[str]:
    """Return the files that are missing from a distribution, and the files that it must not contain.

    >>> content_problems(["a.py", "b/__pycache__/c.pyc"], ["a.py", "d.py"])
    ['missing: d.py', 'must not be released: b/__pycache__/c.pyc']
    """
    found = set(names)
    extra = [name for name in sorted(found) if any(part in name for part in NOT_RELEASED)]
    missing = [name for name in expected if name not in found]
    return [f"missing: {name}" for name in missing] + [f"must not be released: {name}" for name in extra]


def wheel_problems(wheel: Path) -> list[str]:
    """Return the problems of a wheel."""
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        [file] = [name for name in names if name.endswith(".dist-info/METADATA")]
        problems = metadata_problems(BytesParser().parsebytes(archive.read(file)))
    problems += content_problems(names, IN_WHEEL)
    others = {name.split("/")[0] for name in names} - PACKAGES - {file.split("/")[0]}
    problems += [f"must not be in the wheel: {name}" for name in sorted(others)]
    size = wheel.stat().st_size
    return problems + ([f"{size:,} bytes, but at most {MOST_BYTES:,}"] if size > MOST_BYTES else [])


def unpack_sdist(sdist: Path, folder: Path) -> Path:
    """Extract an sdist, and return the path of the project."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [project] = folder.iterdir()
    return project


def run_samples(wheel: Path, project: Path, folder: Path) -> None:
    """Install a wheel without extras in a new environment, and run the demo of a project."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", str(wheel)], check=True
    )
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", "check"], check=True)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    shown = subprocess.run(
        ["padmask", "--version"], env=environment, check=True, capture_output=True, text=True
    )
    assert shown.stdout == f"padmask {__version__}\n", shown.stdout
    demo = ["sh", str(project / "sample_data" / "demo.sh")]
    subprocess.run(demo, env=environment, check=True, stdout=subprocess.DEVNULL)


def main(folder: Path) -> int:
    """Build and check the distributions in a folder, and return the exit code."""
    for old in [*folder.glob("*.whl"), *folder.glob("*.tar.gz")]:
        old.unlink()
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(PROJECT)], check=True)
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)], check=True)
    problems = [f"{wheel.name}: {problem}" for problem in wheel_problems(wheel)]
    with tempfile.TemporaryDirectory() as temporary:
        project = unpack_sdist(sdist, Path(temporary) / "sdist")
        files = [path for path in project.rglob("*") if path.is_file()]
        names = [path.relative_to(project).as_posix() for path in files]
        problems += [f"{sdist.name}: {problem}" for problem in content_problems(names, IN_SDIST)]
        if not problems:
            run_samples(wheel, project, Path(temporary) / "venv")
    print(
        *problems,
        f"{wheel}: {wheel.stat().st_size:,} bytes",
        f"{sdist}: {sdist.stat().st_size:,} bytes",
        sep="\n",
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else PROJECT / "dist")))
