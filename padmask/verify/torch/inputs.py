"""Find the inputs of a PyTorch module and their roles from the parameters of `forward`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from padmask.errors import SpecError
from padmask.verify.proof.sample import (
    MADE,
    TIMED,
    ModelBatch,
    ModelInput,
    SampleRows,
    find_masked_input,
)
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.tolerance import Array
from padmask.verify.torch.batch_argument import BatchModule, MissingInputError
from padmask.verify.torch.mask_forms import OTHERS, MaskForm, give_form
from padmask.verify.torch.program import count_positional

# Parameters of these names are inputs even if they have a default.
_IDS = ("input_ids", "decoder_input_ids")
_AUDIO = ("input_values",)
_FEATURES = "input_features"
_MASKS = ("mask", "attention_mask", "decoder_attention_mask", "padding_mask", "pad_mask", "input_mask")
_LENGTH_WORDS = ("length", "lengths", "len", "lens", "seqlens")
_POSITIONS = ("position_ids", "positions")
_SEGMENTS = ("token_type_ids", "segment_ids")

# Numbers of features in configurations of Hugging Face models, which no part of the module has as a size.
_CONFIG_SIZES = ("num_input_channels", "num_time_features", "num_mel_bins", "input_feat_per_channel")

# Maximum number of combinations of shapes and dtypes to try.
_MOST_TRIALS = 200

# Maximum number of these combinations to try also with inverted masks and with the time on the first axis.
_MOST_VARIED = 30

# Number of ids at each position to try for modules that read several ids at a position.
_IDS_AT_A_POSITION = 4

Layout = Literal["rows-first", "time-first", "time-last"]


@dataclass(frozen=True)
class TorchInput:
    """An input of a module, and how its tensor is made from a batch.

    Args:
        slot: role, shape and dtype of the input.
        layout: order of the axes: `"rows-first"` (rows, time, ...), `"time-first"` (time, rows, ...) or
            `"time-last"` (rows, ..., time).
        on_cpu: whether the tensor stays on the CPU, as `pack_padded_sequence` requires.
        is_padding: whether the input is a mask that is True at padding.
        mask_form: form of a mask.
    """

    slot: ModelInput
    layout: Layout = "rows-first"
    on_cpu: bool = False
    is_padding: bool = False
    mask_form: MaskForm = "flat"

    @property
    def is_unclear_mask(self) -> bool:
        """Whether the input is a mask for padding, and its name does not show its polarity."""
        names = ("attention_mask", "key_padding_mask")
        return self.slot.kind == "mask" and self.mask_form != "square" and not self.slot.name.endswith(names)

    def tensor(self, batch: ModelBatch, device: str, floats: torch.dtype) -> torch.Tensor:
        """Return the tensor of the input for a batch.

        Args:
            batch: padded values and masks, keyed by input name.
            device: device of the module.
            floats: dtype of inputs that are floats.
        """
        tensor = torch.from_numpy(np.ascontiguousarray(self._values(batch).astype(self.slot.dtype)))
        if self.layout == "time-first":
            tensor = tensor.transpose(0, 1)
        elif self.layout == "time-last":
            tensor = tensor.movedim(1, -1)
        tensor = give_form(tensor, self.mask_form, self.slot.name)
        if tensor.is_floating_point():
            tensor = tensor.to(floats)
        return tensor if self.on_cpu else tensor.to(device)

    def _values(self, batch: ModelBatch) -> Array:
        slot = self.slot
        if slot.kind in MADE:
            padded = batch[slot.mask_of or ""]
            if slot.kind == "mask":
                return ~padded.mask if self.is_padding else padded.mask
            if slot.kind == "lengths":
                return np.asarray(padded.lengths)
            places: Array = np.maximum(np.cumsum(padded.mask, axis=1) - 1, 0)
            return places
        if slot.kind == "segments" and slot.name not in batch:
            return np.zeros_like(batch[slot.mask_of or ""].mask)
        values = batch[slot.name].values
        return values.reshape(len(values), *values.shape[2:]) if slot.kind == "static" else values


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
            also: names of optional inputs that the user chose.
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
            roles: kind of each input that the user chose, keyed by input name.
            also: names of other inputs that the user chose.

        Raises:
            SpecError: the module has no input with a time axis, or no input of a chosen name.
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
        name in (*_IDS, *_AUDIO, *_MASKS) or name.endswith("key_padding_mask") or _role_of(name) == "lengths"
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


def find_torch_inputs(
    module: torch.nn.Module,
    signature: Signature,
    try_run: Callable[[Sequence[TorchInput]], None],
    roles: Mapping[str, str] | None = None,
    rows: SampleRows | None = None,
) -> list[TorchInput]:
    """Find the inputs of a module by trying shapes and dtypes until the module runs.

    Args:
        module: module to run.
        signature: parameters of its `forward`.
        try_run: function that runs the module on a small batch, and raises CannotRunError if this fails.
        roles: kinds of inputs that the user specified, keyed by input name.
        rows: rows of the data, keyed by input name.

    Raises:
        SpecError: the module has no input with a time axis, or an unknown input.
        MissingInputError: a `BatchModule` requires another input.
        CannotRunError: the module runs with none of the combinations. This is the error of the first
            combination.
    """
    rows = rows or {}
    known = signature.find_roles(roles, tuple(rows))
    timed = [name for name, role in known.items() if role in TIMED]
    options = [list(_candidates(module, name, role, timed, rows.get(name))) for name, role in known.items()]
    for place, name in enumerate(known):
        if known[name] == "timed" and name not in (*_IDS, *_AUDIO) and name != timed[0] and name not in rows:
            # A vector for each row, such as features of a whole document beside its tokens.
            options[place] += [TorchInput(slot) for slot in _static_slots(module, name)[1:]]
    trials = [list(trial) for trial in islice(product(*options), _MOST_TRIALS)]
    # A mask of the wrong polarity may mark all positions of a row as padding, so that the module fails.
    varied = trials[:_MOST_VARIED]
    varied += [inverted for trial in varied if (inverted := invert_masks(trial)) is not None]
    varied += [other for trial in varied for other in with_mask_forms(trial)]
    if has_time_first_part(module):
        varied += [time_first for trial in varied for time_first in as_time_first(trial)]
    trials += varied[len(trials[:_MOST_VARIED]) :]
    first_error = None
    for trial in trials:
        try:
            try_run(trial)
        except MissingInputError:
            raise
        except CannotRunError as error:
            first_error = first_error or error
            continue
        return trial
    assert first_error is not None
    raise first_error


def invert_masks(inputs: Sequence[TorchInput]) -> list[TorchInput] | None:
    """Return the inputs, with masks of unclear polarity inverted; None if there are no such masks."""
    if not any(one.is_unclear_mask for one in inputs):
        return None
    return [replace(one, is_padding=not one.is_padding) if one.is_unclear_mask else one for one in inputs]


def with_mask_forms(inputs: Sequence[TorchInput]) -> list[list[TorchInput]]:
    """Return copies of the inputs, one for each other form of the masks; empty if there are no masks."""
    masks = [one for one in inputs if one.slot.kind == "mask"]
    if not masks:
        return []
    beside = [one.slot.name for one in masks if "padding" not in one.slot.name]
    # Attention also runs with masks of the form "column", but on the wrong axis.
    forms: list[MaskForm] = ["broadcast", "queries", "column"]
    if not any(one.is_padding for one in masks):
        forms.insert(0, "additive")
    found = [
        [replace(one, mask_form=form) if one.slot.kind == "mask" else one for one in inputs] for form in forms
    ]
    if 0 < len(beside) < len(masks):
        square = [replace(one, mask_form="square") if one.slot.name in beside else one for one in inputs]
        found.insert(0, square)
    return found


def with_other_masks(inputs: Sequence[TorchInput]) -> list[TorchInput] | None:
    """Return the inputs with masks changed to the form in `OTHERS`; None if `OTHERS` has no such form."""
    changed = [replace(one, mask_form=OTHERS.get(one.mask_form, one.mask_form)) for one in inputs]
    return changed if changed != list(inputs) else None


def as_time_first(inputs: Sequence[TorchInput]) -> list[list[TorchInput]]:
    """Return candidates for the inputs of a module that reads the time on the first axis.

    In the first candidate, the time is on the first axis only in ids and features. In the second candidate,
    this also applies to masks. The result is empty if an input already has another layout.
    """
    if any(one.layout != "rows-first" for one in inputs):
        return []
    found = []
    for kinds in (TIMED, (*TIMED, "mask")):
        changed = [
            replace(one, layout="time-first") if one.slot.kind in kinds and one.mask_form == "flat" else one
            for one in inputs
        ]
        if changed not in found:
            found.append(changed)
    return found


def has_time_first_part(module: torch.nn.Module) -> bool:
    """Return whether a recurrent or attention layer of the module has the time on the first axis."""
    return any(getattr(part, "batch_first", None) is False for part in module.modules())


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


def _candidates(
    module: torch.nn.Module,
    name: str,
    role: str,
    timed: Sequence[str],
    rows: Sequence[npt.NDArray[Any]] | None,
) -> Iterator[TorchInput]:
    """Yield the possible shapes and dtypes of an input, the most probable first."""
    if role in TIMED:
        yield from _timed_candidates(module, name, role, rows)
        return
    slot = ModelInput(name, role, (None,), "int64", mask_of=find_masked_input(name, timed))
    if role == "lengths":
        slot = replace(slot, shape=())
        yield TorchInput(slot)
        yield TorchInput(slot, on_cpu=True)
    elif role == "mask":
        dtypes = ["bool", "int64", "float32"]
        if name.endswith("attention_mask"):
            dtypes = ["int64", "bool", "float32"]
        for dtype in dtypes:
            yield TorchInput(replace(slot, dtype=dtype), is_padding=_marks_padding(module, name))
    elif role == "static":
        slots = _static_slots(module, name)
        if rows is not None:
            slots = [ModelInput(name, role, np.shape(rows[0]), "float32")]
        for slot in (*slots, replace(slots[0], dtype="int64")):
            yield TorchInput(slot)
    else:
        yield TorchInput(slot)


def _marks_padding(module: torch.nn.Module, name: str) -> bool:
    """Return whether a mask is probably True at padding, as the attention of PyTorch expects."""
    if name.endswith("key_padding_mask"):
        return True
    is_torch = any(isinstance(part, torch.nn.MultiheadAttention) for part in module.modules())
    return is_torch and "padding" in name.split("_")


def _static_slots(module: torch.nn.Module, name: str) -> list[ModelInput]:
    """Return the possible roles of an input without a time axis: a number, or a vector for each row."""
    shapes = [(), *((size,) for size in _feature_sizes(module))]
    return [ModelInput(name, "static", shape, "float32") for shape in shapes]


def _timed_candidates(
    module: torch.nn.Module, name: str, role: str, rows: Sequence[npt.NDArray[Any]] | None
) -> Iterator[TorchInput]:
    ids = TorchInput(ModelInput(name, "tokens", (None,), "int64"))
    if rows is not None:
        some = next((row for row in rows if row.size), np.zeros(1))
        inner = [tuple(some.shape[1:])]
        use_ids = some.dtype.kind in "iu" and not inner[0]
    else:
        inner = [(size,) for size in _feature_sizes(module)] + [()]
        use_ids = True
    has_table = any(isinstance(part, torch.nn.Embedding) for part in module.modules())
    layouts: tuple[Layout, ...] = ("rows-first", "time-last")
    if any(getattr(part, "batch_first", None) is False for part in (module, _attention_of(module))):
        layouts = ("time-first",)
        ids = replace(ids, layout="time-first")
    floats = [
        TorchInput(ModelInput(name, "features", (None, *shape), "float32"), layout)
        for shape in inner
        for layout in (layouts if shape else layouts[:1])
    ]
    if name in _AUDIO:
        floats.insert(0, floats.pop())
    first_ids = use_ids and (has_table or name in _IDS) and name not in _AUDIO
    if first_ids and role != "features":
        yield ids
    if role != "tokens" and name not in _IDS:
        yield from floats
    if use_ids and not first_ids and role != "features":
        yield ids
    if has_table and role != "features" and name not in (*_IDS, *_AUDIO):
        # Several ids for each position, such as the characters of a word.
        sizes = [(_IDS_AT_A_POSITION,)] if rows is None else [size for size in inner if size]
        for size in sizes:
            yield TorchInput(ModelInput(name, "tokens", (None, *size), "int64"))


def _attention_of(module: torch.nn.Module) -> Any:
    """Return the self-attention layer of a PyTorch Transformer module; None if there is none."""
    if isinstance(module, torch.nn.TransformerEncoder | torch.nn.TransformerDecoder):
        module = module.layers[0]
    return getattr(module, "self_attn", None)


def _feature_sizes(module: torch.nn.Module) -> list[int]:
    """Return the numbers of features that the layers of a module accept, in order, without repetition."""
    config = getattr(module, "config", None)
    sizes = [size for name in _CONFIG_SIZES if isinstance(size := getattr(config, name, None), int)]
    for part in module.modules():
        for attribute in ("in_features", "input_size", "in_channels", "embed_dim", "d_model"):
            size = getattr(part, attribute, None)
            if isinstance(size, int):
                sizes.append(size)
        shape = getattr(part, "normalized_shape", None)
        if isinstance(shape, tuple) and shape:
            sizes.append(int(shape[-1]))
    return list(dict.fromkeys(sizes))[:4]
