"""`padmask verify --model` with PyTorch modules, built in code or exported."""

from __future__ import annotations

import json
from itertools import count

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'padmask[torch]'")

from raised import has_facts  # noqa: E402
from verify_torch_modules import FixedLength, MaskOnQueries  # noqa: E402

NUMBERS = count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module with factories, and return its unique name."""
    monkeypatch.chdir(tmp_path)

    def write(code=""):
        name = f"factories_{next(NUMBERS)}"
        lines = [
            "import torch, verify_torch_modules as modules",
            "def leaks(): return modules.ConvolutionMean()",
            "def ignores(): return modules.FeatureSum()",
            "def tokens(): return modules.Segments()",
            "def positions(): return modules.RightPositions()",
            "def number(): return 3",
            "def fails(): raise RuntimeError('no weights')",
            code,
        ]
        (tmp_path / f"{name}.py").write_text("\n".join(lines))
        return name

    return write


def export(module, path, *, rows=None, places=None):
    given = {name: torch.ones(2, 12, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    sizes = {axis: size for axis, size in enumerate((rows, places)) if size is not None}
    program = torch.export.export(module.eval(), (), given, dynamic_shapes=dict.fromkeys(given, sizes))
    torch.export.save(program, path)


def test_factory_builds_a_module(here, module):
    done = here("verify", "--model", f"{module()}:leaks", "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["subjects"][0]["culprit"] == "conv"
    assert report["environment"]["backend"] == "torch"
    assert here("verify", "--model", f"{module()}:ignores").returncode == 0


def test_input_named_like_a_kind(here, module, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"ids": [1, 2, 3]}\n{"ids": [4]}\n')
    name = f"{module('def batch(): return modules.MeanOfBatch()')}:batch"
    done = here("verify", "rows.jsonl", "--model", name, "--input", "tokens=ids", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["environment"]["columns"] == {"tokens": "ids"}


def test_static_column(here, module, tmp_path):
    code = (
        "class Rated(modules.FeatureSum):\n"
        "    def forward(self, input_ids, attention_mask, age):\n"
        "        real = (input_ids * attention_mask).sum(1)\n"
        "        return real[:, None] + age.reshape(-1, 1)\n"
        "def rated(): return Rated()\n"
    )
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1, 2], "age": 30}\n{"input_ids": [3], "age": 40}\n')
    model = ("--model", f"{module(code)}:rated", "--input", "age:static", "-c", "input_ids")
    report = json.loads(here("verify", "in.jsonl", *model, "--json").stdout)
    assert report["environment"]["columns"] == {"input_ids": "input_ids", "age": "age"}
    refused = here("verify", "in.jsonl", *model[:2])
    assert has_facts(refused.stderr, "'age'", "one number for each row", "--input age:static")


def test_printed_report(here, module):
    done = here("verify", "--model", f"{module()}:leaks", "--explain")
    assert has_facts(done.stdout, "leaks", "Culprit: conv", f"torch {torch.__version__}", "Conv1d")


def test_module_runs_on_data(here, module, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"input_ids": [1, 2, 3]}\n{"input_ids": [4]}\n')
    done = here("verify", "rows.jsonl", "--model", f"{module()}:leaks", "--json")
    assert json.loads(done.stdout)["environment"]["columns"] == {"input_ids": "input_ids"}
    (tmp_path / "large.jsonl").write_text('{"input_ids": [1, 200]}\n')
    assert has_facts(here("verify", "large.jsonl", "--model", f"{module()}:leaks").stderr, 200, 19)


def test_positions_from_the_mask(here, module):
    """With left padding, positions that the module counts change, but positions from the mask do not."""
    given = ("verify", "--padding", "left", "--model", f"{module()}:positions")
    assert here(*given).returncode == 1
    assert here(*given, "--input", "position_ids:positions").returncode == 0


def test_declared_segments(here, module):
    given = ("verify", "--model", f"{module()}:tokens", "--json", "--input", "parts:segments")
    done = here(*given)
    assert json.loads(done.stdout)["environment"]["inputs"]["parts"] == "segments", done.stderr


@pytest.mark.parametrize(
    ("factory", "options", "facts"),
    [
        ("number", [], ["int", "--predict"]),
        ("fails", [], ["RuntimeError", "no weights"]),
        ("missing", [], ["missing"]),
        ("leaks", ["--custom-objects", "a.py"], ["--custom-objects"]),
        ("leaks", ["--input", "ids=input_ids"], ["ids", "input_ids"]),
    ],
)
def test_wrong_options(here, module, factory, options, facts):
    done = here("verify", "--model", f"{module()}:{factory}", *options)
    assert done.returncode == 2
    assert has_facts(done.stderr, *facts), done.stderr


def test_report_does_not_replace_module(here, module):
    name = module()
    done = here("verify", "--model", f"{name}:leaks", "--report", f"json:{name}.py")
    assert done.returncode == 2
    assert has_facts(done.stderr, f"{name}.py")


@pytest.mark.slow
@pytest.mark.parametrize("is_fixed", [False, True])
def test_exported_program(here, tmp_path, monkeypatch, is_fixed):
    monkeypatch.chdir(tmp_path)
    sizes = (
        {}
        if is_fixed
        else {"rows": torch.export.Dim("rows", max=512), "places": torch.export.Dim("t", max=900)}
    )
    export(MaskOnQueries(), "leaks.pt2", **sizes)
    done = here("verify", "--model", "leaks.pt2", "--json")
    [subject] = json.loads(done.stdout)["subjects"]
    assert (done.returncode, subject["culprit"]) == (1, "MaskOnQueries"), done.stderr
    export(FixedLength(), "ignores.pt2")
    assert here("verify", "--model", "ignores.pt2").returncode == 0


def test_file_is_not_a_program(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert has_facts(here("verify", "--model", "a.pt2").stderr, "a.pt2")
    (tmp_path / "a.pt2").write_bytes(b"no program")
    done = here("verify", "--model", "a.pt2")
    assert done.returncode == 1
    assert has_facts(done.stderr, "a.pt2", "torch.export.save")
