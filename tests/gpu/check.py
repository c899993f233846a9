"""Check the GPU paths of recurrent layers and attention, and write a table of the results.

    python tests/gpu/check.py                     # all installed frameworks, on a GPU if they find one
    python tests/gpu/check.py --framework torch   # one framework
    python tests/gpu/check.py --output gpu.md     # also write the table to a file

Each row of the table compares real positions of one computation with a reference: a row in a padded batch
with the same row alone, or the fast kernel with the generic kernel. Padding is on the right, on the left, or
some rows have only padding. The exit code is 1 if padding changes a result more than the tolerance of its
dtype, although the path supports this padding, or if no framework is installed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ROWS, LENGTH, SIZE = 6, 24, 16

# Largest allowed deviation, as a share of the largest value. TF32 rounds float32 on a GPU, so it is disabled.
TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 5e-2}

# Module of each framework in this folder -> package that it needs.
FRAMEWORKS = {"torch": "torch", "tensorflow": "tensorflow", "jax": "jax"}


@dataclass(frozen=True)
class Case:
    """One comparison.

    Args:
        path: computation, such as `"LSTM, cuDNN"`.
        padding: `"right"`, `"left"` or `"only padding"`.
        dtype: dtype of the computation.
        run: function that returns the result and its reference, at real positions.
        supported: whether the path should ignore this padding.
    """

    path: str
    padding: str
    dtype: str
    run: Callable[[], tuple[Array, Array]]
    supported: bool = True


@dataclass(frozen=True)
class Row:
    """One row of the table. `deviation` is NaN if the computation failed with `error`."""

    framework: str
    case: Case
    deviation: float
    error: str = ""

    @property
    def is_wrong(self) -> bool:
        tolerance = TOLERANCES[self.case.dtype]
        return self.case.supported and not self.deviation <= tolerance

    @property
    def verdict(self) -> str:
        if self.error:
            return f"fails: {self.error}"
        is_equal = self.deviation <= TOLERANCES[self.case.dtype]
        return "equal" if is_equal else "differs" if self.case.supported else "differs, as documented"


def draw_batch() -> tuple[Array, npt.NDArray[np.int64]]:
    """Return random features of shape (rows, length, size), and the number of tokens of each row."""
    random = np.random.default_rng(0)
    lengths = np.array([LENGTH, 17, 9, 5, 2, 1])
    return random.standard_normal((ROWS, LENGTH, SIZE)).astype("float32"), lengths


def pad(features: Array, lengths: npt.NDArray[np.int64], side: str) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return padded features and their mask. Padded positions have large values, so that a leak shows."""
    mask = np.arange(LENGTH) < lengths[:, None]
    if side == "left":
        mask = mask[:, ::-1].copy()
    padded = np.full_like(features, 50.0)
    for row, length in enumerate(lengths):
        padded[row, mask[row]] = features[row, :length]
    return padded, mask


def measure(framework: str, case: Case) -> Row:
    """Run one comparison."""
    try:
        found, expected = case.run()
        largest = float(np.abs(found - expected).max())
    except Exception as error:  # noqa: BLE001 - kernels raise errors of many types
        lines = str(error).strip().splitlines() or [""]
        return Row(framework, case, float("nan"), f"{type(error).__name__}: {lines[0][:80]}")
    scale = float(np.abs(expected).max(initial=0.0)) or 1.0
    return Row(framework, case, float(np.nan_to_num(largest / scale, nan=np.inf)))


def render(rows: list[Row], devices: dict[str, str]) -> str:
    """Return the table as Markdown."""
    lines = [f"Measured with {'; '.join(f'{name} on {device}' for name, device in devices.items())}.", ""]
    lines += [
        "| framework | path | padding | dtype | deviation | result |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        case = row.case
        deviation = "" if row.error else f"{row.deviation:.0e}"
        lines.append(
            f"| {row.framework} | {case.path} | {case.padding} | {case.dtype} | {deviation} | {row.verdict} |"
        )
    return "\n".join(lines)


def check(frameworks: list[str]) -> tuple[list[Row], dict[str, str]]:
    """Run all comparisons of the installed frameworks. Return the rows of the table, and the devices."""
    rows: list[Row] = []
    devices: dict[str, str] = {}
    for name in frameworks:
        try:
            importlib.import_module(FRAMEWORKS[name])
        except ModuleNotFoundError:
            print(f"{name}: skipped, because the package is not installed", file=sys.stderr)
            continue
        module = importlib.import_module(f"{name}_cases")
        devices[name] = module.describe_device()
        cases: Iterator[Case] = module.cases()
        for case in cases:
            row = measure(name, case)
            print(
                f"{name} | {case.path} | {case.padding} | {case.dtype} | {row.deviation:.1e} | {row.verdict}"
            )
            rows.append(row)
    return rows, devices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--framework", choices=FRAMEWORKS, action="append", help="default: all")
    parser.add_argument("--output", help="file for the table")
    options = parser.parse_args()
    rows, devices = check(options.framework or list(FRAMEWORKS))
    if not rows:
        sys.exit("nothing checked: no framework is installed")
    table = render(rows, devices)
    print(f"\n{table}")
    if options.output:
        Path(options.output).write_text(table + "\n", encoding="utf-8")
    wrong = [f"{row.framework}, {row.case.path}, {row.case.padding}" for row in rows if row.is_wrong]
    if wrong:
        sys.exit(f"padding changes results: {'; '.join(wrong)}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Modules import this file by its name.
    sys.modules["check"] = sys.modules["__main__"]
    main()
