"""Advice on modules that can run on padded ids only inside an outer module."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from padmask.verify.proof.subject import CannotRunError

_ONE_CHOICE = (
    "The module reads ids of shape (rows, choices, time). Verify an outer module whose forward "
    "calls this module with input_ids[:, None] and attention_mask[:, None]."
)
_END_TOKEN = (
    "The module reads the end token of each row, and random or truncated rows have none. Verify a module "
    "whose forward writes the end token to the last real position of each row."
)
_ONE_ARGUMENT = (
    "forward reads all inputs from one argument. Verify a module whose forward has one parameter for each "
    "input, such as input_ids and attention_mask, and passes them on."
)
_STATE = (
    "{name} looks like the state of a recurrent layer. Padded rows contain no states. Verify an outer module "
    "whose forward creates the first state, and passes the state to this module."
)
_STATES = ("hidden", "hidden_state", "state", "hx", "h0", "hc")
_EXAMPLE = "The section 'PyTorch modules' of docs/verify.md has an example."


def advise_on_wrapper(
    module: torch.nn.Module, error: CannotRunError, names: Sequence[str] = (), *, one_argument: bool = False
) -> str:
    """Return advice to verify an outer module instead; empty if there is no known reason to do so.

    Args:
        module: module that cannot run.
        error: error of the module.
        names: names of the parameters of `forward` without a default.
        one_argument: whether `forward` reads all inputs from one argument, such as a batch.

    >>> advise_on_wrapper(torch.nn.ReLU(), CannotRunError("wrong shape"))
    ''
    """
    # Modules of Hugging Face whose ids have an axis for the choices have names like this.
    if type(module).__name__.endswith("ForMultipleChoice"):
        return f"{_ONE_CHOICE} {_EXAMPLE}"
    if re.search(r"\beos\b", str(error), re.IGNORECASE):
        return f"{_END_TOKEN} {_EXAMPLE}"
    state = next((name for name in names if name in _STATES), None)
    if state is not None:
        return _STATE.format(name=state)
    if one_argument:
        return f"{_ONE_ARGUMENT} {_EXAMPLE}"
    return ""
