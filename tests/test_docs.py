"""The commands, outputs, help texts and Python examples in the README and in `docs/` are correct."""

from __future__ import annotations

import ast
import doctest
import json
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from doc_blocks import (
    PAGES,
    README,
    ROOT,
    Block,
    blocks,
    bucket_of,
    commands,
    is_slow,
    make_files,
    quick_blocks,
    run,
)
from notebook_cells import code_cells, run_notebook, texts
from recipes import run_recipes
from tiers import represented

import padmask
from padmask.cli import COMMANDS, cli
from padmask.spec.rules import RULES
from padmask.spec.warning_names import WARNINGS

pytestmark = pytest.mark.skipif(not README.exists(), reason="the pages are not part of this installation")

DOCS = ROOT / "docs"
BLOCKS = [block for page in PAGES if page.exists() for block in blocks(page)]
PADMASK_LINES = sorted(
    {
        part.strip()
        for block in BLOCKS
        if block.kind in ("", "sh", "console")
        for line in block.text.splitlines()
        for part in re.split(r"[|;]|&&", line.strip().removeprefix("$ "))
        if part.strip().startswith("padmask ")
    }
)
TF = [
    pytest.mark.tf,
    pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed"),
]


def marked(page):
    """Mark all pages but the README as slow."""
    return pytest.param(page, id=page.name, marks=[pytest.mark.slow] * (page.name != "README.md"))


# Pages with slow blocks. Each page runs as a whole, because commands need files of earlier blocks.
SLOW_PAGES = [
    pytest.param(page, id=page.name, marks=TF if "import keras" in page.read_text(encoding="utf-8") else [])
    for page in sorted({block.page for block in BLOCKS if is_slow(block)})
]


def help_text(name: str) -> str:
    """Return the help of a command for a terminal with 100 columns."""
    command = cli.get_command(click.Context(cli), name)
    context = click.Context(
        command,
        info_name=f"padmask {name}",
        terminal_width=100,
        max_content_width=100,
        help_option_names=["-h", "--help"],
    )
    return command.get_help(context)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the sample data."""
    if not (ROOT / "sample_data").exists():
        pytest.skip("the sample data is not part of this installation")
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    return tmp_path


def check_output(line: str, shown: str, actual: str) -> None:
    """Check that an output equals the output on the page, in which `...` stands for any text."""
    matches = doctest.OutputChecker().check_output(shown, actual, doctest.ELLIPSIS)
    assert matches, f"$ {line}\n{actual}\nthe page shows:\n{shown}"


def test_readme_is_short():
    assert len(README.read_text().splitlines()) <= 200


@pytest.mark.parametrize("name", COMMANDS)
def test_options_match_help(name):
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    shown = re.search(rf"<!-- help: {name} -->\n```\n(.*?)```\n<!-- end -->", text, re.S)
    assert shown, f"docs/commands.md has no help of {name}"
    assert shown[1].strip() == help_text(name).strip(), "run `make readme`"


@pytest.mark.parametrize("line", PADMASK_LINES)
def test_every_command_parses(line):
    words = shlex.split(line, comments=True)[1:]
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    command.make_context(words[0], words[1:])


@pytest.mark.parametrize("page", [marked(page) for page in PAGES])
def test_outputs_are_current(page, folder):
    for block in quick_blocks(page):
        for command in commands(block):
            check_output(command.line, command.output, run(command.line, folder))


# These pages and the notebook build, save and verify models as README.md does.
MORE_MODELS = {"tutorial.md", "series.md"}


@pytest.mark.slow
@represented("page", SLOW_PAGES, by={page.id for page in SLOW_PAGES} - MORE_MODELS)
def test_slow_pages(page, folder):
    with bucket_of(page, folder):
        for block in blocks(page):
            make_files(block, folder)
            for command in commands(block):
                check_output(command.line, command.output, run(command.line, folder))


@pytest.mark.exhaustive(by="test_slow_pages")
@pytest.mark.tf
def test_notebook_outputs_are_current(folder):
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    shown = [texts(cell["outputs"]) for cell in code_cells(DOCS / "notebook.ipynb")]
    assert [texts(outputs) for outputs in run_notebook(DOCS / "notebook.ipynb", folder)] == shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_run(page):
    assert doctest.testfile(str(page), module_relative=False).failed == 0


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "python"], ids=str)
def test_python_blocks_are_run(block: Block):
    ast.parse(block.text) if ">>>" not in block.text else None
    assert ">>>" in block.text or is_slow(block) or block.mark.startswith("recipe: ")


ROWS = [{"input_ids": [5, 6, 7]}, {"input_ids": [8]}, {"input_ids": [9, 10]}]
LABELLED = [{**row, "labels": [number % 2 for number in row["input_ids"]]} for row in ROWS]


@pytest.mark.tf
@pytest.mark.slow
def test_keras_recipes(tmp_path):
    pytest.importorskip("keras")
    text = "".join(json.dumps({**row, "score": 1.0}) + "\n" for row in ROWS)
    (tmp_path / "rows.jsonl").write_text(text)
    padmask.pad_file(tmp_path / "rows.jsonl", tmp_path / "rows.npz")
    model = run_recipes(DOCS / "frameworks.md", "keras")["train"](tmp_path / "rows.npz")
    assert [one.name for one in model.inputs] == ["input_ids", "mask"]
    data = run_recipes(DOCS / "frameworks.md", "keras-rows")["Rows"](LABELLED, 2)
    ids = [row for index in range(len(data)) for row in data[index][0]["input_ids"].tolist()]
    assert sorted(ids) == [[5, 6, 7, *[0] * 5], [8, *[0] * 7], [9, 10, *[0] * 6]]
    assert sum(data[index][2].sum() for index in range(len(data))) == 6
    make_dataset = run_recipes(DOCS / "frameworks.md", "tf")["make_dataset"]
    batches = list(make_dataset(tmp_path / "rows.npz", ["input_ids", "mask"], "score", 2).as_numpy_iterator())
    ids = [row for inputs, _ in batches for row in inputs["input_ids"].tolist()]
    assert sorted(ids) == [[5, 6, 7], [8, 0, 0], [9, 10, 0]]
    assert [(inputs["mask"].shape, scores.shape) for inputs, scores in batches] == [
        ((2, 3), (2,)),
        ((1, 3), (1,)),
    ]


def test_torch_recipe():
    pytest.importorskip("torch", reason="torch is not installed")
    batches = list(run_recipes(DOCS / "frameworks.md", "torch")["make_loader"](ROWS, 2))
    assert batches[0]["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batches[0]["key_padding_mask"].tolist() == [[False, False, False], [False, True, True]]


@pytest.mark.slow
def test_torch_loop():
    pytest.importorskip("torch", reason="torch is not installed")
    known = run_recipes(DOCS / "frameworks.md", "torch", "torch-loop")
    loader = known["make_loader"](LABELLED, 2)
    assert known["train"](known["Tagger"](11, 2), loader, 40) < 0.1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Lightning suggests workers, and PyTorch a newer API.
def test_lightning_recipe_trains(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("lightning", reason="Lightning is not installed")
    known = run_recipes(DOCS / "frameworks.md", "torch", "torch-loop", "lightning")
    loader, module = known["make_loader"](LABELLED, 2), known["Training"](known["Tagger"](11, 2))
    module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), lr=0)
    quiet = {"default_root_dir": tmp_path, "logger": False, "enable_checkpointing": False}
    options = {**quiet, "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    losses = known["fit"](module.eval(), loader, 1, **options)
    batch = padmask.Collator(preset="torch")(LABELLED)
    scores = module.model(batch["input_ids"], batch["key_padding_mask"]).transpose(1, 2)
    mean = torch.nn.functional.cross_entropy(scores, batch["labels"])
    assert losses == pytest.approx(float(mean), abs=1e-6)
    del module.configure_optimizers
    assert known["fit"](module, loader, 40, **options) < 0.1


# Trainer pins memory by default, and PyTorch warns if the machine has no GPU.
@pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning")
def test_hugging_face_recipe(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("datasets", reason="datasets is not installed")
    rows = [{**row, "labels": row["input_ids"]} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    spec, mask = padmask.preset("hf")
    padmask.pad_file(tmp_path / "rows.parquet", tmp_path / "hf.parquet", spec=spec, mask=mask)
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    model = transformers.BertForMaskedLM(config)
    trainer = run_recipes(DOCS / "frameworks.md", "hf")["make_trainer"](
        model, tmp_path / "hf.parquet", tmp_path / "out"
    )
    assert trainer.evaluate(trainer.train_dataset)["eval_loss"] > 0


@pytest.mark.slow
def test_program_runs(tmp_path):
    [program] = [block.text for block in BLOCKS if block.mark == "recipe: program"]
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "data").mkdir()
    table = pa.table({"input_ids": [[1, 2], [3]], "labels": [[1, 2], [3]]})
    for name in ("train.parquet", "data/a.parquet", "data/b.parquet"):
        pq.write_table(table, tmp_path / name)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 2 0\n2\ndata-ok\n", "")
    padded = pq.read_table(tmp_path / "padded.parquet")
    assert padded["labels"].to_pylist() == [[1, 2], [3, -100]]
    assert sorted(path.name for path in (tmp_path / "padded").glob("*.parquet")) == ["a.parquet", "b.parquet"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_complete(name):
    command = cli.get_command(click.Context(cli), name)
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []
    assert f"  padmask {name} " in command.help


def test_table_of_rules_is_complete():
    text = (DOCS / "rules.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| (error|warning) \|", text, re.MULTILINE))
    assert listed == {rule.name: rule.severity for rule in RULES.values()}


def test_table_of_warnings_is_complete():
    text = (DOCS / "warnings.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", text, re.MULTILINE)) == WARNINGS


def test_all_pages_are_listed():
    listed = re.findall(r"^([a-z]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(page.stem for page in DOCS.glob("*.md") if page.stem != "index")


def anchors_of(page):
    """Return the anchors of the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_to_headings():
    for page in PAGES:
        for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)", page.read_text(encoding="utf-8")):
            target = page.parent / link if link else page
            assert anchor in anchors_of(target), (page.name, link, anchor)


def test_links_lead_to_files():
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), (page.name, link)
