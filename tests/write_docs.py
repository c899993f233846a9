"""Write help texts, and the outputs of commands, into the README and the pages, as `make readme` does.

Outputs that contain `...` stay unchanged. `write_docs.py all` also runs the slow blocks and the notebook.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from doc_blocks import PAGES, ROOT, blocks, bucket_of, commands, make_files, quick_blocks, run
from notebook_cells import write_notebook
from test_docs import help_text

from padmask.cli import COMMANDS

HELP = ROOT / "docs" / "commands.md"
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def write_help() -> None:
    text = HELP.read_text(encoding="utf-8")
    for name in COMMANDS:
        pattern = rf"(<!-- help: {name} -->\n```\n).*?(```\n<!-- end -->)"
        text = re.sub(pattern, lambda m: f"{m[1]}{help_text(name).strip()}\n{m[2]}", text, flags=re.S)  # noqa: B023
    HELP.write_text(text, encoding="utf-8")


def write_outputs(page: Path, folder: Path, all_blocks: bool) -> None:
    text = page.read_text(encoding="utf-8")
    for block in blocks(page) if all_blocks else quick_blocks(page):
        make_files(block, folder)
        for command in commands(block):
            output = run(command.line, folder)
            if "..." not in command.output and output != command.output:
                text = text.replace(f"$ {command.line}\n{command.output}", f"$ {command.line}\n{output}")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    everything = sys.argv[1:] == ["all"]
    write_help()
    for page in [*PAGES, NOTEBOOK] if everything else PAGES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "sample_data").symlink_to(ROOT / "sample_data")
            if page == NOTEBOOK:
                write_notebook(page, folder)
                continue
            with bucket_of(page, folder):
                write_outputs(page, folder, everything)
