"""Choose the device that PyTorch modules run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from padmask.errors import SpecError

# Largest number of weights with which a module runs on one thread. The calls of such a module are so short
# that several threads mostly wait for each other, and waiting threads use the processor. On two busy cores,
# the checks of a BERT with 50,000 weights took up to 9 s of processor time with two threads, and 0.4 s with
# one.
_MOST_WEIGHTS_ON_ONE_THREAD = 2_000_000


@dataclass(frozen=True)
class TorchDevice:
    """The device that a module runs on.

    Args:
        name: PyTorch device name, such as `"cpu"` or `"cuda:0"`.
        seen: names of the GPUs that PyTorch finds.
    """

    name: str
    seen: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Return the PyTorch version and the device, as entries for a report."""
        return {
            "backend": "torch",
            "backend_version": torch.__version__,
            "device": "cpu" if self.name == "cpu" else "gpu",
            "accelerators": list(self.seen),
        }


def choose_device(asked: str | None, module: torch.nn.Module) -> TorchDevice:
    """Choose the device on which a module runs.

    Args:
        asked: `"auto"`, `"cpu"` or `"gpu"`. `"auto"` uses a GPU if PyTorch finds one. None keeps the module
            on the device of its parameters.
        module: module to run.

    Raises:
        SpecError: `asked` is `"gpu"`, and PyTorch finds no GPU.
    """
    seen = tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    if asked is None:
        first = next(module.parameters(), None)
        return TorchDevice("cpu" if first is None else str(first.device), seen)
    if asked == "gpu" and not seen:
        built = "" if torch.version.cuda or torch.version.hip else " and was built without CUDA"
        raise SpecError(
            f"No usable GPU: torch {torch.__version__} finds none{built}. Use --device cpu, or fix the "
            "driver or the installation.",
            options=["device"],
        )
    return TorchDevice("cuda:0" if seen and asked != "cpu" else "cpu", seen)


@contextmanager
def full_precision() -> Iterator[None]:
    """Disable TF32 inside the context. TF32 rounds float32 on GPUs to about three digits."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@contextmanager
def suitable_threads(module: torch.nn.Module, device: TorchDevice) -> Iterator[None]:
    """Context manager: PyTorch uses only one thread if the module is small and runs on the CPU."""
    before = torch.get_num_threads()
    if device.name == "cpu" and _count_weights(module) <= _MOST_WEIGHTS_ON_ONE_THREAD:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def _count_weights(module: torch.nn.Module) -> int:
    """Count the weights of a module without its embeddings.

    Embeddings are left out because a call reads only a few rows of their tables.

    >>> _count_weights(torch.nn.Sequential(torch.nn.Embedding(1000, 8), torch.nn.Linear(8, 2)))
    18
    """
    weights = {
        id(weight): weight.numel()
        for part in module.modules()
        if not isinstance(part, torch.nn.Embedding)
        for weight in part.parameters(recurse=False)
    }
    return sum(weights.values())
