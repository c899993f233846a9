"""Load a PyTorch program that `torch.export.save` wrote."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from padmask.errors import AccessError, DataError


def load_program(path: str) -> torch.nn.Module:
    """Load a `.pt2` program as a module.

    Raises:
        AccessError: the file does not exist.
        DataError: the file is not a complete program.
    """
    if not Path(path).is_file():
        raise AccessError(f"{path}: no such file. Check the path in --model.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(path).module()
    except Exception as error:  # noqa: BLE001 - PyTorch raises many types for files that are not programs
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{path}: PyTorch cannot load the program: {first} Check that torch.export.save wrote the file "
            "with a compatible PyTorch version."
        ) from None
