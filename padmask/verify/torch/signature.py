"""Read the parameters of a module's `forward`, and find the roles of the inputs from their names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from padmask.errors import SpecError
from padmask.verify.proof.sample import TIMED
from padmask.verify.torch.batch_argument import BatchModule
from padmask.verify.torch.program import count_positional

# Parameters of these names are inputs even if they have a default.
ID_NAMES = ("input_ids", "decoder_input_ids")
AUDIO_NAMES = ("input_values",)
_FEATURES = "input_features"
_MASKS = ("mask", "attention_mask", "decoder_attention_mask", "padding_mask", "pad_mask", "input_mask")
_LENGTH_WORDS = ("length", "lengths", "len", "lens", "seqlens")
_POSITIONS = ("position_ids", "positions")
_SEGMENTS = ("token_type_ids", "segment_ids")


@dataclass(frozen=True)
class Signature:
    """The parameters of a module's `forward`.

    Args:
        required: names of the parameters without a default.
        optional: names of the parameters with a default.
        positional: number of the parameters that must be passed by position.
        batch: module that reads all inputs from one argument; None for other modules.
        use_cache: value of the parameter `use_cache` of Hugging Face models. If None, the parameter is not
            passed, as in most calls by users.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    positional: int = 0
    use_cache: bool | None = None
    batch: BatchModule | None = None

    @property
    def flags(self) -> Mapping[str, bool]:
        """The flags, such as `use_cache`, that are passed in each call of a Hugging Face model."""
        wanted = {"return_dict": True, "use_cache": self.use_cache}
        return {name: value for name, value in wanted.items() if name in self.optional and value is not None}

    @classmethod
    def of(cls, module: torch.nn.Module) -> Signature:
        """Read the parameters of `forward`.

        Raises:
            SpecError: `forward` has no named parameters.
        """
        if isinstance(module, BatchModule):
            return cls(module.names, (), batch=module)
        module = unwrap(module)
        if isinstance(module, torch.jit.ScriptModule):
            arguments = module.forward.schema.arguments[1:]
            named = [(argument.name, argument.has_default_value()) for argument in arguments]
        else:
            parameters = inspect.signature(module.forward).parameters.values()
            kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
            named = [(one.name, one.default is not one.empty) for one in parameters if one.kind in kinds]
        if not named:
            raise SpecError(
                f"forward of {type(module).__name__} has no named parameters, so its inputs are unknown. "
                "Name the parameters of forward, such as input_ids and attention_mask."
            )
        return cls(
            tuple(name for name, has_default in named if not has_default),
            tuple(name for name, has_default in named if has_default),
            count_positional(module),
        )

    def call(self, module: torch.nn.Module, inputs: Mapping[str, Any]) -> Any:
        """Call a module with this signature.

        Args:
            module: module to call.
            inputs: values of the inputs, keyed by name. `flags` are added.
        """
        if self.batch is not None:
            return self.batch.call(module, inputs)
        first = self.required[: self.positional]
        named = {name: value for name, value in inputs.items() if name not in first}
        return module(*(inputs[name] for name in first), **named, **self.flags)

    def chosen(self, also: Sequence[str]) -> dict[str, str]:
        """Return the role of each input, keyed by name, without a check of the names.

        Args:
            also: names of optional inputs to include.
        """
        roles = {name: _role_of(name) for name in self.required}
        known = {name: _role_of(name) for name in self.optional if is_known(name) or name in also}
        if _FEATURES in self.optional and "input_ids" not in (*roles, *known):
            # Speech models. Models that also accept text run on the text alone.
            known = {_FEATURES: "timed"} | known
        if not any(role == "timed" for role in (*roles.values(), *known.values())) and self.optional:
            known[self.optional[0]] = "timed"
        padding_masks = [name for name in (*roles, *known) if name.endswith("key_padding_mask")]
        if padding_masks:
            # The other masks of `torch.nn.TransformerEncoder` have the shape (time, time).
            known = {
                name: role
                for name, role in known.items()
                if role != "mask" or name in padding_masks or name in also
            }
        if "attention_mask" in known:
            # XLNet accepts either `attention_mask` or `input_mask`.
            known.pop("input_mask", None)
        return roles | known

    def find_roles(self, roles: Mapping[str, str] | None = None, also: Sequence[str] = ()) -> dict[str, str]:
        """Return the role of each input, keyed by name: `"timed"` or a kind of `ModelInput`.

        Inputs with the role `"timed"` are ids or features.

        Args:
            roles: kinds that the user chose, keyed by input name.
            also: names of other inputs to include.

        Raises:
            SpecError: the module has no input with a time axis, or lacks an input in `roles` or `also`.
        """
        roles = roles or {}
        known = {**self.chosen([*roles, *also]), **roles}
        unknown = [name for name in (*roles, *also) if name not in (*self.required, *self.optional)]
        if unknown:
            raise SpecError(
                f"The model has no input {unknown[0]!r}. The inputs of the model are {', '.join(known)}.",
                options=["model_inputs"],
            )
        if not any(role in TIMED for role in known.values()):
            raise SpecError(
                "The model has no input with a time axis, so there is nothing to pad. Choose a model that "
                "accepts sequences."
            )
        return known

    @property
    def takes_one_argument(self) -> bool:
        """Whether `forward` probably reads all inputs from one argument."""
        return self.batch is not None or self.required in (("batch",), ("inputs",), ("data",))

    @property
    def takes_positions(self) -> bool:
        """Whether `forward` has a parameter for the positions of the tokens."""
        return any(_role_of(name) == "positions" for name in (*self.required, *self.optional))


def is_known(name: str) -> bool:
    """Return whether a parameter of this name is an input even if it has a default."""
    return (
        name in (*ID_NAMES, *AUDIO_NAMES, *_MASKS)
        or name.endswith("key_padding_mask")
        or _role_of(name) == "lengths"
    )


def _role_of(name: str) -> str:
    words = name.lower().split("_")
    if "mask" in words or name == "masks":
        return "mask"
    if words[-1] in _LENGTH_WORDS and words[0] not in ("max", "min"):
        return "lengths"
    if name in _POSITIONS:
        return "positions"
    return "segments" if name in _SEGMENTS else "timed"


def unwrap(module: torch.nn.Module) -> torch.nn.Module:
    """Return the module inside a compiled or parallel module, or inside a `BatchModule`."""
    if isinstance(module, BatchModule):
        return unwrap(module.inner)
    for attribute in ("_orig_mod", "module"):
        inner = getattr(module, attribute, None)
        wraps = attribute == "_orig_mod" or isinstance(
            module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel
        )
        if isinstance(inner, torch.nn.Module) and wraps:
            return unwrap(inner)
    return module
