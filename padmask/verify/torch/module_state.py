"""Switch PyTorch modules to a state in which they can be verified."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from padmask.verify.torch.device import TorchDevice, suitable_threads


@contextmanager
def eval_mode(module: torch.nn.Module, device: TorchDevice) -> Iterator[None]:
    """Switch a module to eval mode inside the context, without warnings and logs of libraries."""
    modes = {part: part.training for part in module.modules()}
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    guards = [] if device.name == "cpu" else guard_tables(module)
    with suppress(NotImplementedError):
        # Exported programs have no modes.
        module.eval()
    try:
        with warnings.catch_warnings(), torch.no_grad(), suitable_threads(module, device):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        for guard in guards:
            guard.remove()
        for part, mode in modes.items():
            part.training = mode


def guard_tables(module: torch.nn.Module) -> list[Any]:
    """Make embeddings raise an IndexError for ids that they do not accept, and return the hooks.

    On a GPU, such an id stops the process with an error that no later call can recover from.
    """

    def check(table: Any, given: tuple[Any, ...]) -> None:
        if given and isinstance(given[0], torch.Tensor) and given[0].numel():
            largest = int(given[0].max())
            if largest >= table.num_embeddings:
                raise IndexError(
                    f"index {largest} is out of range for an embedding of {table.num_embeddings}"
                )

    tables = [part for part in module.modules() if isinstance(part, torch.nn.Embedding)]
    return [table.register_forward_pre_hook(check) for table in tables]


def as_float32(module: torch.nn.Module) -> torch.nn.Module:
    """Return the module, or a copy in float32 if the module has weights in half precision."""
    halves = (torch.float16, torch.bfloat16)
    if any(weight.dtype in halves for weight in module.parameters()):
        return copy.deepcopy(module).float()
    return module
