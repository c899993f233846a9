"""Record the inputs and outputs of every module and function call while a PyTorch module runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_unflatten

_TORCH_FOLDER = os.path.dirname(torch.__file__)
_OWN_FOLDER = os.path.dirname(__file__)


@dataclass(eq=False)
class Call:
    """One call of a PyTorch module or function.

    Args:
        number: number of the call in the run. Calls are numbered when they start.
        name: dotted name of the module (`""` for the outermost), or name of the function.
        module: called module; None for a function.
        parent: module call that contains this call; None for the outermost call.
        arguments: values of the arguments, each with its position or name; positional arguments come first.
        line: file and line of the code that calls the function.
        outputs: output tensors.
    """

    number: int
    name: str
    module: torch.nn.Module | None
    parent: Call | None
    arguments: Sequence[tuple[str, Any]]
    line: str = ""
    outputs: list[torch.Tensor] = field(default_factory=list)

    @property
    def owner(self) -> Call:
        """This call if it calls a module; the parent if it calls a function."""
        if self.module is not None or self.parent is None:
            return self
        return self.parent

    @property
    def path(self) -> tuple[str, ...]:
        """The names of the enclosing calls and of this call."""
        return (*(self.parent.path if self.parent is not None else ()), self.name)

    def argument(self, place: int, name: str) -> Any:
        """Return an argument by its position or its name; None if the argument is not given."""
        named = dict(self.arguments)
        return named.get(name, named.get(str(place)))


class TorchRecorder(TorchFunctionMode):  # type: ignore[misc]
    """A recorder of the calls of modules and functions while a module runs.

    Args:
        module: module that runs.
        injected: tensors that replace the outputs of a call, keyed by the number of the call.
    """

    def __init__(
        self, module: torch.nn.Module, injected: Mapping[int, Sequence[torch.Tensor]] | None = None
    ) -> None:
        super().__init__()
        self.finished: list[Call] = []
        self._module, self._injected = module, injected or {}
        self._stack: list[Call] = []
        self._count = 0
        self._paused = False

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record all calls inside the context, in the order in which they finish."""
        hooks: list[Any] = []
        for name, part in self._module.named_modules():
            if isinstance(part, torch.jit.ScriptModule):
                continue  # TorchScript programs do not accept hooks.
            hooks.append(part.register_forward_pre_hook(self._start_hook(name), with_kwargs=True))
            hooks.append(part.register_forward_hook(self._finish_hook, with_kwargs=True))
        try:
            with self:
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._paused:
            return function(*args, **kwargs)
        call = self._start(_name_of(function), None, _copies(args, kwargs))
        result = function(*args, **kwargs)
        return self._finish(call, result)

    def _start_hook(self, name: str) -> Any:
        def start(module: torch.nn.Module, args: Any, kwargs: Any) -> None:
            with self._pause():
                self._stack.append(self._start(name, module, _copies(args, kwargs)))

        return start

    def _finish_hook(self, module: torch.nn.Module, args: Any, kwargs: Any, result: Any) -> Any:
        with self._pause():
            return self._finish(self._stack.pop(), result)

    def _start(self, name: str, module: torch.nn.Module | None, arguments: list[tuple[str, Any]]) -> Call:
        self._count += 1
        parent = self._stack[-1] if self._stack else None
        return Call(self._count, name, module, parent, arguments, "" if module is not None else _find_line())

    def _finish(self, call: Call, result: Any) -> Any:
        leaves, structure = tree_flatten(result)
        if call.number in self._injected:
            replaced = iter(self._injected[call.number])
            leaves = [next(replaced) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
            result = tree_unflatten(leaves, structure)
        call.outputs = [leaf.detach().clone() for leaf in leaves if isinstance(leaf, torch.Tensor)]
        if call.outputs:
            self.finished.append(call)
        return result

    @contextmanager
    def _pause(self) -> Iterator[None]:
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before


def tensors_in(value: Any) -> list[torch.Tensor]:
    """Return all tensors in a nested structure."""
    return [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, torch.Tensor)]


def _copies(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return copies of the arguments, each with its position or name.

    The arguments are copied because functions may change them.
    """
    found: list[tuple[str, Any]] = []
    for name, value in [*((str(place), value) for place, value in enumerate(args)), *kwargs.items()]:
        leaves, structure = tree_flatten(value)
        copied = [leaf.detach().clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        found.append((name, tree_unflatten(copied, structure)))
    return found


def _name_of(function: Any) -> str:
    name = str(getattr(function, "__name__", function))
    if name == "__get__":
        # A property, such as Tensor.real.
        name = str(getattr(getattr(function, "__self__", None), "__name__", name))
    # Operators of exported programs have names such as `softmax.int`.
    return name.partition(".")[0].strip("_")


def _find_line() -> str:
    """Return the file and line of the innermost frame that is not part of PyTorch or of padmask."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_TORCH_FOLDER, _OWN_FOLDER, "<")):
            return f"{os.path.basename(file)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
