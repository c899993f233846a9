"""Observe the functions that PyTorch modules call."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class ReadTables(TorchFunctionMode):  # type: ignore[misc]
    """A PyTorch function mode that records which ids are looked up in embedding tables.

    Hooks of modules cannot record these ids: a module that embeds positions may receive ids, but look up the
    positions of the ids.
    """

    def __init__(self) -> None:
        super().__init__()
        self._read: list[tuple[torch.Tensor, int]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.nn.functional.embedding:
            ids, table = args[:2]
            self._read.append((ids.detach().clone(), int(table.shape[0])))
        return function(*args, **(kwargs or {}))

    def sizes_for(self, ids: torch.Tensor) -> list[int]:
        """Return the sizes of the tables in which exactly these ids were looked up."""
        return [size for given, size in self._read if given.shape == ids.shape and torch.equal(given, ids)]


class NarrowFloats(TorchFunctionMode):  # type: ignore[misc]
    """A PyTorch function mode that detects functions that return floats narrower than float64."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.is_floating_point():
            self.found |= result.dtype != torch.float64
        return result
