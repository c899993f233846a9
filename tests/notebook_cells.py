"""Run the cells of a notebook without Jupyter: `notebook_cells.py NOTEBOOK` prints the outputs as JSON."""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any


def code_cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells with code."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run_cell(code: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Run a cell. Return the printed text, the value of the last expression, and the figures."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, "<cell>", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines(printed.getvalue())})
    if value is not None and not code.rstrip().endswith(";"):
        data = shown(value)
        outputs.append(
            {"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data}
        )
    return outputs + [
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": png}} for png in figures()
    ]


def shown(value: Any) -> dict[str, list[str]]:
    """Return a value as a notebook stores it: results of padmask as HTML, other values as text."""
    if hasattr(value, "_repr_html_"):
        return {"text/html": lines(value._repr_html_()), "text/plain": [f"<{type(value).__name__}>"]}
    return {"text/plain": lines(repr(value))}


def lines(text: str) -> list[str]:
    """Return the lines of a text with their ends, as notebooks store them."""
    return text.splitlines(keepends=True)


def figures() -> list[str]:
    """Close all figures of matplotlib, and return them as base64."""
    plt = sys.modules.get("matplotlib.pyplot")
    pictures = []
    for number in plt.get_fignums() if plt else []:
        png = io.BytesIO()
        plt.figure(number).savefig(png, format="png", dpi=80, metadata={"Software": None})
        plt.close(number)
        pictures.append(base64.b64encode(png.getvalue()).decode())
    return pictures


def run_notebook(path: Path, folder: Path) -> list[list[dict[str, Any]]]:
    """Run a notebook in a separate process. Return the outputs of each cell with code."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, str(path)],
        cwd=folder,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "agg"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return list(json.loads(done.stdout))


def texts(outputs: list[dict[str, Any]]) -> list[str]:
    """Return the texts of the outputs of a cell, and the types of its pictures."""
    return ["".join(one.get("text") or one["data"].get("text/plain", "image/png")) for one in outputs]


def write_notebook(path: Path, folder: Path) -> None:
    """Write the outputs of the cells into a notebook."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for count, (cell, outputs) in enumerate(zip(cells, run_notebook(path, folder), strict=True), start=1):
        if texts(cell["outputs"]) != texts(outputs):
            cell.update(execution_count=count, outputs=outputs)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = code_cells(Path(sys.argv[1]))
    outputs = [run_cell("".join(cell["source"]), names, count) for count, cell in enumerate(cells, start=1)]
    json.dump(outputs, sys.stdout)
