"""The hook for pre-commit and the GitHub action, run as far as possible without these services."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

ROOT = Path(__file__).parent.parent
GOOD = '{"input_ids": [5, 6]}\n{"input_ids": [7]}\n'
GAP = '{"input_ids": [5, 0, 6], "mask": [1, 0, 1]}\n'

pytestmark = pytest.mark.skipif(
    not (ROOT / "action.yml").exists(), reason="the files for CI are not part of this installation"
)


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a file without findings, and a file with a violated rule."""
    (tmp_path / "good rows.jsonl").write_text(GOOD)
    (tmp_path / "gap.jsonl").write_text(GAP)
    return tmp_path


@pytest.fixture(scope="module")
def action() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return loaded


def run_step(
    step: dict[str, Any], folder: Path, inputs: dict[str, str], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a shell step of the action as GitHub does."""
    given = {name: inputs[text.split("inputs.")[1].split(" ")[0]] for name, text in step["env"].items()}
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return run(shell, folder, RUNNER_TEMP=str(folder), **given, **environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "args", "code", "verdict"),
    [
        ("good rows.jsonl\n", "--no-model", 0, "data-ok"),
        ("gap.jsonl", "--no-model --strict", 1, "bad-data"),
        ("gap.jsonl", "--no-model --allow mask-not-contiguous", 0, "data-ok"),
        ("absent.jsonl", "--no-model", 2, "error"),
    ],
)
def test_action_reports_a_verdict(action, data, files, args, code, verdict):
    verify = action["runs"]["steps"][1]
    done = run_step(verify, data, {"files": files, "args": args}, GITHUB_OUTPUT=str(data / "output"))
    assert done.returncode == code, done.stderr
    assert (data / "output").read_text().splitlines() == [f"report={data}/padmask.json", f"verdict={verdict}"]
    assert ("::error " in done.stdout) == (code > 0)


def test_action_has_documented_inputs(action):
    used = {text for step in action["runs"]["steps"] for text in step["env"].values()}
    assert used == {f"${{{{ inputs.{name} }}}}" for name in action["inputs"]}


@pytest.mark.exhaustive(by="test_action_reports_a_verdict")
def test_action_installs_padmask(action, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    path = f"{tmp_path / 'venv' / 'bin'}:{os.environ['PATH']}"
    place = {"GITHUB_ACTION_PATH": str(ROOT), "PATH": path}
    done = run_step(action["runs"]["steps"][0], tmp_path, {"extras": ""}, **place)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "venv" / "bin" / "padmask").exists()


@pytest.fixture(scope="module")
def hook() -> dict[str, Any]:
    [loaded] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    return loaded


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "code", "shown"),
    [
        (["good rows.jsonl"], 0, ""),
        (["good rows.jsonl", "gap.jsonl"], 1, "gap.jsonl:1: mask-not-contiguous"),
        (["--allow=mask-not-contiguous", "good rows.jsonl", "gap.jsonl"], 0, ""),
    ],
)
def test_hook_checks_each_file(hook, data, given, code, shown):
    done = run([*shlex.split(hook["entry"]), *given], data)
    assert (done.returncode, shown in done.stdout) == (code, True), done.stderr


@pytest.mark.exhaustive(by="test_hook_checks_each_file")
def test_pre_commit_runs_the_hook(data):
    if not (ROOT / ".git").exists():
        pytest.skip("padmask is not in a git repository")
    venv.create(data / "venv", with_pip=True)
    bin_ = data / "venv" / "bin"
    installed = run([str(bin_ / "python"), "-m", "pip", "install", "--quiet", "pre-commit"], data)
    if installed.returncode:
        pytest.skip("pre-commit cannot be installed")
    run(["git", "init", "--quiet"], data)
    run(["git", "add", "good rows.jsonl", "gap.jsonl"], data)
    command = [str(bin_ / "pre-commit"), "try-repo", str(ROOT), "padmask-verify", "--verbose", "--files"]
    home = {"PRE_COMMIT_HOME": str(data / "home")}
    done = run([*command, "good rows.jsonl", "gap.jsonl"], data, **home)
    assert (done.returncode, "gap.jsonl:1: mask-not-contiguous" in done.stdout) == (1, True), done.stdout
