"""Find the inputs of modules that read all inputs from one dict, or from keyword arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from padmask.errors import SpecError
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.torch.batch_argument import BatchModule, MissingInputError, find_batch_module
from padmask.verify.torch.device import TorchDevice, choose_device
from padmask.verify.torch.module_state import eval_mode
from padmask.verify.torch.signature import is_known, unwrap
from padmask.verify.torch.torch_model import TorchModel

_REFUSED = re.compile(r"unexpected keyword argument '(\w+)'")

# Maximum number of inputs that are found by running the module.
_MOST_INPUTS = 20


def name_inputs(module: torch.nn.Module, names: Sequence[str] = ()) -> torch.nn.Module:
    """Return the module, or a `BatchModule` if the module reads all inputs from one argument.

    The module runs on small batches until it requires no further input.

    Args:
        module: module to verify.
        names: names of inputs that the user or the data specify.
    """
    if isinstance(module, BatchModule):
        return module
    device = choose_device(None, module)
    with eval_mode(module, device):
        batch = find_batch_module(unwrap(module), names)
        if batch is None:
            return module
        refused: set[str] = set()
        for _ in range(_MOST_INPUTS):
            known = _find_names(batch, device, refused)
            if known == batch.names:
                break
            batch = batch.with_names(known)
    return batch


def _find_names(batch: BatchModule, device: TorchDevice, refused: set[str]) -> tuple[str, ...]:
    """Run a module on a small batch, and return the names of the inputs for the next run.

    Args:
        batch: module, and the names of its inputs.
        device: device of the module.
        refused: names that the module refused in earlier runs. A name that is refused in this run is added.
    """
    try:
        TorchModel(batch, device)
    except MissingInputError as error:
        return (*batch.names, error.name)
    except SpecError:
        pass
    except CannotRunError as error:
        if found := _REFUSED.search(str(error)):
            refused.add(found[1])
    more = [name for name in batch.optional if is_known(name)]
    return tuple(name for name in dict.fromkeys((*batch.names, *more)) if name not in refused)
