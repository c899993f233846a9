"""Name the outputs in the result of a function, and leave out values that are not outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Names of caches and states in the results of Hugging Face models. They are inputs of the next call.
CACHES = ("past_key_values", "past_key_value", "mems", "cache_params", "state")

# Name of the mean loss of a batch.
LOSS = "loss"


def outputs_of_result(result: Any) -> tuple[dict[str, Any], set[str]]:
    """Return the outputs in the result of a function, keyed by name, and the names that are left out.

    Dicts may contain tuples or dicts, such as the hidden states of each layer. Caches, losses and None are
    left out of dicts.

    >>> outputs_of_result(5)
    ({'output': 5}, set())
    >>> outputs_of_result({"logits": 1, "states": (2, 3), "past_key_values": object(), "loss": 0.5})[0]
    {'logits': 1, 'states_0': 2, 'states_1': 3}
    >>> outputs_of_result((1, 2))[0]
    {'output_0': 1, 'output_1': 2}
    >>> outputs_of_result([[0.5, 0.5], [0.1, 0.9]])[0]
    {'output': [[0.5, 0.5], [0.1, 0.9]]}
    """
    if isinstance(result, Mapping):
        outputs: dict[str, Any] = {}
        left_out = set()
        for key, value in result.items():
            name = str(key)
            if name in (*CACHES, LOSS) or value is None:
                left_out.add(name)
            elif isinstance(value, tuple | Mapping) or (isinstance(value, list) and not _is_array(value)):
                parts = value if isinstance(value, Mapping) else dict(enumerate(value))
                inner, missing = outputs_of_result({f"{name}_{part}": item for part, item in parts.items()})
                outputs |= inner
                left_out |= missing
            else:
                outputs[name] = value
        return outputs, left_out
    if isinstance(result, tuple) or (isinstance(result, list) and not _is_array(result)):
        return {f"output_{number}": output for number, output in enumerate(result)}, set()
    return {"output": result}, set()


def _is_array(values: list[Any]) -> bool:
    """Return whether a list is one output: a list of numbers or of lists, such as `array.tolist()`."""
    return all(isinstance(value, int | float | list) for value in values)
