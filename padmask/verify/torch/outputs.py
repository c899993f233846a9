"""Convert the result of a module to NumPy arrays with the rows on axis 0, keyed by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from padmask.verify.proof.function_result import CACHES
from padmask.verify.proof.tolerance import Array


@dataclass(frozen=True)
class OutputRows:
    """For each output of a module, the axis on which the rows of the batch are.

    Args:
        axes: axis of the rows, keyed by output name.
        left_out: names of outputs without a value for each row. The checks ignore these outputs.
    """

    axes: Mapping[str, int]
    left_out: frozenset[str]

    @classmethod
    def find(
        cls, few: Mapping[str, torch.Tensor], many: Mapping[str, torch.Tensor], rows: tuple[int, int]
    ) -> OutputRows:
        """Find the axis of the rows in each output, by comparing two runs with different numbers of rows.

        Args:
            few, many: outputs of both runs, keyed by output name.
            rows: number of rows in each run. Both numbers are equal if the module requires a fixed number of
                rows.
        """
        axes = {}
        for name, output in few.items():
            shapes = zip(output.shape, many[name].shape if name in many else (), strict=False)
            found = next((axis for axis, sizes in enumerate(shapes) if sizes == rows), None)
            if found is not None and found < 2:
                axes[name] = found
        return cls(axes, frozenset(few) - frozenset(axes))

    def arrays(self, result: Any) -> dict[str, Array]:
        """Return the outputs of a run as NumPy arrays, with the rows on axis 0."""
        return {
            name: to_array(output.movedim(self.axes[name], 0))
            for name, output in named_tensors(result).items()
            if name in self.axes
        }


def named_tensors(result: Any) -> dict[str, torch.Tensor]:
    """Return the tensors in the result of a module, keyed by name. Caches are left out.

    >>> one = torch.ones(2)
    >>> list(named_tensors({"logits": one, "past_key_values": one, "states": (one, one)}))
    ['logits', 'states_0', 'states_1']
    >>> list(named_tensors(one)), list(named_tensors((one, None, [one])))
    (['output'], ['output_0', 'output_2_0'])
    """
    if isinstance(result, torch.Tensor | PackedSequence):
        result = {"output": result}
    elif not isinstance(result, Mapping):
        result = (
            vars(result)
            if hasattr(result, "__dict__") and not isinstance(result, tuple)
            else {"output": result}
        )
    return dict(_flatten(result))


def _flatten(result: Mapping[Any, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    for key, value in result.items():
        name = str(key)
        if name in CACHES:
            continue
        if isinstance(value, PackedSequence):
            value = pad_packed_sequence(value, batch_first=True)[0]
        if isinstance(value, torch.Tensor) and value.is_nested:
            value = torch.nested.to_padded_tensor(value, 0.0)
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, list | tuple):
            yield from _flatten({f"{name}_{place}": item for place, item in enumerate(value)})
        elif isinstance(value, Mapping):
            yield from _flatten({f"{name}_{inner}": item for inner, item in value.items()})


def to_array(tensor: torch.Tensor) -> Array:
    """Copy a tensor to a NumPy array. NumPy has no bfloat16, so bfloat16 becomes float32."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    array: Array = tensor.numpy().copy()
    return array
