"""Run modules that read their inputs by name from one dict, or from keyword arguments (`**inputs`)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from padmask.verify.proof.subject import CannotRunError

# Names to try if a module passes its inputs on to another module that requires none of them by name.
_USUAL = ("input_ids", "attention_mask")

_MISSING = re.compile(r"missing \d+ required [\w-]+ arguments?: '(\w+)'")


class MissingInputError(CannotRunError):
    """A module requires an input that its batch lacks.

    Args:
        name: name of the input.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"the model cannot run: forward reads an input {name!r}.")
        self.name = name


class BatchModule(torch.nn.Module):  # type: ignore[misc]
    """A module, and the names of the inputs that it reads from one argument.

    Args:
        module: module whose `forward` has one parameter for all inputs.
        names: names of the inputs.
        keywords: whether the parameter is `**inputs`. Otherwise, the parameter receives a dict.
    """

    def __init__(self, module: torch.nn.Module, names: Sequence[str], *, keywords: bool) -> None:
        super().__init__()
        self.inner, self.names, self.keywords = module, tuple(names), keywords
        # Names for which the module has asked without requiring them, as in `batch.get("attention_mask")`.
        self.optional: list[str] = []

    def call(self, module: torch.nn.Module, inputs: Mapping[str, Any]) -> Any:
        """Call a module with inputs in the form that it reads: one dict or keyword arguments.

        Args:
            module: the module in `inner`, or a copy of this module.
            inputs: values of the inputs, keyed by name.

        Raises:
            MissingInputError: the module requires another input.
        """
        try:
            return module(**inputs) if self.keywords else module(_Batch(inputs, self.optional))
        except (KeyError, TypeError) as error:
            name = _missing_name(error)
            if name is None or name in inputs:
                raise
            raise MissingInputError(name) from None

    def with_names(self, names: Sequence[str]) -> BatchModule:
        """Return the same module with other names of inputs."""
        return BatchModule(self.inner, tuple(dict.fromkeys(names)), keywords=self.keywords)


class _Batch(dict[str, Any]):
    """A dict of inputs that records which names a module looks up without an error, as with `get` or `in`."""

    def __init__(self, inputs: Mapping[str, Any], optional: list[str]) -> None:
        super().__init__(inputs)
        self._optional = optional

    def __contains__(self, name: object) -> bool:
        self._note(name)
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        # Without this method, Python passes `**batch` on without a call of `keys`.
        return super().__iter__()

    def keys(self) -> Any:
        self._note_usual()
        return super().keys()

    def items(self) -> Any:
        self._note_usual()
        return super().items()

    def get(self, name: str, default: Any = None) -> Any:
        self._note(name)
        return super().get(name, default)

    def _note_usual(self) -> None:
        # The module passes all inputs on, as in `model(**batch)`.
        for name in _USUAL:
            self._note(name)

    def _note(self, name: object) -> None:
        if isinstance(name, str) and name not in self._optional:
            self._optional.append(name)


def find_batch_module(module: torch.nn.Module, names: Sequence[str] = ()) -> BatchModule | None:
    """Return a module as a `BatchModule`; None if the module does not read all inputs from one argument.

    Args:
        module: module to verify.
        names: names of inputs that are known already.
    """
    if isinstance(module, torch.jit.ScriptModule | torch.fx.GraphModule):
        return None
    parameters = list(inspect.signature(module.forward).parameters.values())
    kinds = [one.kind for one in parameters]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [one for one in parameters if one.default is one.empty and one.kind in positional]
    keywords = not any(kind in positional or kind is inspect.Parameter.KEYWORD_ONLY for kind in kinds)
    if keywords and inspect.Parameter.VAR_KEYWORD not in kinds:
        return None
    if not keywords and len(required) != 1:
        return None
    found = BatchModule(module, names, keywords=keywords)
    first = _first_names(found)
    if not first and not keywords:
        return None
    return found.with_names([*names, *(first or _USUAL)])


def _first_names(batch: BatchModule) -> list[str]:
    """Run a module on an empty batch, and return the names of the inputs that it looks up.

    If one of these inputs is required, only its name is returned.
    """
    try:
        with torch.no_grad():
            batch.call(batch.inner, {})
    except MissingInputError as error:
        return [error.name]
    except (Exception, SystemExit):  # noqa: BLE001 - a module's own code may raise anything
        pass
    return list(batch.optional)


def _missing_name(error: Exception) -> str | None:
    if isinstance(error, KeyError):
        return error.args[0] if error.args and isinstance(error.args[0], str) else None
    found = _MISSING.search(str(error))
    return found[1] if found else None
