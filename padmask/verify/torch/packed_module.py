"""Run a PyTorch module on packed rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from padmask.errors import SpecError
from padmask.spec.columns import quote_names
from padmask.verify.proof.deviations import Outputs, concatenate_outputs
from padmask.verify.proof.function import least_precise
from padmask.verify.proof.packed_arguments import Arguments, DataArguments, add_longest, unknown_argument
from padmask.verify.proof.packed_sample import PackedBatch
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.tolerance import Array
from padmask.verify.torch.device import choose_device, full_precision
from padmask.verify.torch.module_state import as_float32, eval_mode
from padmask.verify.torch.outputs import named_tensors, to_array
from padmask.verify.torch.program import read_input_sizes
from padmask.verify.torch.signature import Signature, unwrap

# Class names of layers that carry a state from one position to the next.
_RECURRENT = re.compile(r"RNN|LSTM|GRU|Mamba|SSM|RWKV|DeltaNet|Recurrent|Retention")

# Arguments whose kernels require int32.
_INT32 = ("cu_seqlens", "seq_idx", "cu_seq_lens")


class PackedModule:
    """A PyTorch module that runs on packed rows.

    Args:
        module: module to run.
        device: `"auto"`, `"cpu"` or `"gpu"`. If None, the module stays on its device.
        data: what the inputs contain, according to the data and the user.

    Raises:
        SpecError: it is unknown what an input contains.
    """

    def __init__(self, module: torch.nn.Module, device: str | None, data: DataArguments) -> None:
        self.device = choose_device(device, module)
        self.module = as_float32(unwrap(module))
        if device is not None:
            self.module = self.module.to(self.device.name)
        # Hugging Face models separate the sequences by their positions only without a cache.
        self._signature = replace(Signature.of(module), use_cache=False)
        self.arguments = _find_arguments(self._signature, data)
        self.dtype = "float32"
        sizes = read_input_sizes(self.module).values()
        # Number of rows that an exported program requires; None for any number.
        self._rows_per_call = next((shape[0] for shape in sizes if shape), None)
        self._called: set[str] = set()

    @property
    def recurrent(self) -> list[str]:
        """Names of the called layers that carry a state from one position to the next."""
        found = [name for name in self._recurrent_parts() if name in self._called]
        # A name such as `layers.0.mixer` is part of `layers.0`.
        return [name for name in found if not any(name.startswith(f"{other}.") for other in found)]

    @property
    def remark(self) -> str:
        """A note on an argument that padmask set and the user must set too; empty if there is none."""
        return "the module ran with use_cache=False" if "use_cache" in self._signature.flags else ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Prepare the module for runs inside the context: eval mode and full precision."""
        hooks = [
            part.register_forward_pre_hook(self._note_call(name))
            for name, part in self._recurrent_parts().items()
        ]
        try:
            with eval_mode(self.module, self.device), full_precision():
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _recurrent_parts(self) -> dict[str, torch.nn.Module]:
        """Return the layers that carry a state, without TorchScript layers, which accept no hooks."""
        return {
            name: part
            for name, part in self.module.named_modules()
            if (isinstance(part, torch.nn.RNNBase) or (name and _RECURRENT.search(type(part).__name__)))
            and not isinstance(part, torch.jit.ScriptModule)
        }

    def _note_call(self, name: str) -> Callable[[torch.nn.Module, Any], None]:
        def note(_module: torch.nn.Module, _arguments: Any) -> None:
            self._called.add(name)

        return note

    def predict(self, batch: PackedBatch) -> Outputs:
        """Return the outputs, with the rows on axis 0.

        Raises:
            CannotRunError: the module cannot run on the batch.
        """
        _, arrays = self.arguments.arrays(batch)
        rows = len(batch.mask)
        size = self._rows_per_call or rows
        pieces = [
            self._run({name: _take(array, rows, first, size) for name, array in arrays.items()}, size)
            for first in range(0, rows, size)
        ]
        return {name: output[:rows] for name, output in concatenate_outputs(pieces).items()}

    def _run(self, arrays: Mapping[str, Array | int], rows: int) -> Outputs:
        tensors = {name: self._tensor(name, array) for name, array in arrays.items()}
        try:
            result = self._signature.call(self.module, tensors)
        except Exception as error:  # noqa: BLE001 - a module's own code may raise anything
            first = (str(error).strip().splitlines() or [""])[0]
            raise CannotRunError(f"the module raised {type(error).__name__}: {first}") from None
        found = {
            name: tensor
            for name, tensor in named_tensors(result).items()
            if tensor.ndim and len(tensor) == rows
        }
        # A module in float32 may cast to bfloat16 inside.
        self.dtype = least_precise(str(tensor.dtype) for tensor in found.values())
        return {name: to_array(tensor) for name, tensor in found.items()}

    def _tensor(self, name: str, array: Array | int) -> torch.Tensor | int:
        if isinstance(array, int):
            return array
        tensor = torch.from_numpy(array)
        if name.endswith("key_padding_mask"):
            tensor = ~tensor
        elif array.dtype == bool and name.endswith("attention_mask"):
            tensor = tensor.long()
        elif array.dtype.kind in "iu":
            tensor = tensor.int() if name.startswith(_INT32) else tensor.long()
        return tensor.to(self.device.name)


def _take(array: Array | int, rows: int, first: int, size: int) -> Array | int:
    """Return `size` rows of an argument, starting with row `first`.

    If the argument has too few rows, the last row is repeated. An argument whose length is not `rows`, the
    number of rows in the batch, has no rows and is returned unchanged.
    """
    if isinstance(array, int) or len(array) != rows:
        return array
    return array[np.minimum(np.arange(first, first + size), rows - 1)]


def _find_arguments(signature: Signature, data: DataArguments) -> Arguments:
    """Return what each input contains.

    An input with a default is left out, unless the data or the user specifies what it contains, or the module
    needs it for the ids or for `max_seqlen` (`add_longest`).
    """
    named: dict[str, str] = {}
    for name in signature.required:
        kind = data.guess(name)
        if name.endswith("key_padding_mask"):
            kind = "mask"
        named[name] = kind or ("tokens" if "tokens" not in named.values() else "")
        if not named[name]:
            raise unknown_argument(name)
    named |= _chosen(signature, data)
    named |= add_longest(named.values(), signature.optional, data)
    if "tokens" not in named.values():
        ids = next((name for name in signature.optional if data.guess(name) == "tokens"), None)
        if ids is None and not signature.optional:
            raise SpecError(
                "The rows are packed, but no input of the module receives the ids: the inputs are "
                f"{quote_names(signature.required)}. Use a name such as input_ids, or --input NAME:tokens.",
                options=["model_inputs"],
            )
        named[ids or signature.optional[0]] = "tokens"
    return Arguments((), named)


def _chosen(signature: Signature, data: DataArguments) -> Mapping[str, str]:
    found = {name: data.find(name) for name in signature.optional}
    return {name: kind for name, kind in found.items() if kind is not None}
