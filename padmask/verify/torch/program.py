"""Read the input sizes of an exported PyTorch program, and the vocabulary sizes of its inputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def read_input_sizes(module: torch.nn.Module) -> dict[str, tuple[int | None, ...]]:
    """Return the shape of each input of an exported program; empty for other modules.

    An axis that may have any size is given as None.
    """
    if not isinstance(module, torch.fx.GraphModule):
        return {}
    found = {}
    for node in module.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder" and isinstance(value, torch.Tensor):
            found[str(node.target)] = tuple(size if isinstance(size, int) else None for size in value.shape)
    return found


def count_positional(module: torch.nn.Module) -> int:
    """Return the number of inputs that an exported program accepts only by position; 0 for other modules."""
    codegen = getattr(getattr(module, "graph", None), "_codegen", None)
    info = getattr(codegen, "pytree_info", None)
    if not isinstance(module, torch.fx.GraphModule) or info is None or info.in_spec.num_children != 2:
        return 0
    return int(info.in_spec.child(0).num_children)


def find_exported_module(module: torch.nn.Module, function: str, occurrence: int) -> tuple[str, str] | None:
    """Return the name and the class of the original module that made a call in an exported program.

    Args:
        module: exported program; the result is None for other modules.
        function: name of the operator, such as `softmax`.
        occurrence: number of earlier calls of this operator.
    """
    if not isinstance(module, torch.fx.GraphModule):
        return None
    stacks = [
        list((node.meta.get("nn_module_stack") or {}).values())
        for node in module.graph.nodes
        if node.op == "call_function" and str(node.target).split(".")[1:2] == [function]
    ]
    if occurrence >= len(stacks) or not stacks[occurrence]:
        return None
    name, kind = stacks[occurrence][-1]
    kind = str(kind).rpartition(".")[2]
    return str(name) or kind, kind


def read_vocabularies(module: torch.nn.Module) -> Mapping[str, int]:
    """Return the number of ids that the embedding of each input accepts, keyed by input name.

    The result is empty for modules that are not exported programs.
    """
    if not isinstance(module, torch.fx.GraphModule):
        return {}
    found: dict[str, int] = {}
    for node in module.graph.nodes:
        if node.op != "call_function" or not str(node.target).startswith("aten.embedding"):
            continue
        table, ids = node.args[0], node.args[1]
        while ids.op != "placeholder" and ids.all_input_nodes:
            # A cast of the ids.
            ids = ids.all_input_nodes[0]
        value = table.meta.get("val")
        weight = value if value is not None else module.state_dict().get(str(table.target))
        if ids.op == "placeholder" and weight is not None:
            found.setdefault(str(ids.target), int(weight.shape[0]))
    return found
