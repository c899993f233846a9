"""Find the inputs of a PyTorch module by trying shapes and dtypes until the module runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from padmask.verify.proof.sample import TIMED, ModelInput, SampleRows, find_masked_input
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.torch.batch_argument import MissingInputError
from padmask.verify.torch.inputs import Layout, TorchInput, as_time_first, invert_masks, with_mask_forms
from padmask.verify.torch.signature import AUDIO_NAMES, ID_NAMES, Signature

# Names of numbers of features in the configurations of Hugging Face models. Layers may not have these sizes.
_CONFIG_SIZES = ("num_input_channels", "num_time_features", "num_mel_bins", "input_feat_per_channel")

# Maximum number of combinations of shapes and dtypes to try.
_MOST_TRIALS = 200

# Maximum number of these combinations to try also with inverted masks, with other forms of masks, and with
# the time on the first axis.
_MOST_VARIED = 30

# Number of ids at each position to try for modules that read several ids at a position.
_IDS_AT_A_POSITION = 4


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
        if (
            known[name] == "timed"
            and name not in (*ID_NAMES, *AUDIO_NAMES)
            and name != timed[0]
            and name not in rows
        ):
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


def has_time_first_part(module: torch.nn.Module) -> bool:
    """Return whether a recurrent or attention layer of the module has the time on the first axis."""
    return any(getattr(part, "batch_first", None) is False for part in module.modules())


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
    """Return the possible forms of an input without a time axis: one number or one vector for each row."""
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
    if name in AUDIO_NAMES:
        floats.insert(0, floats.pop())
    first_ids = use_ids and (has_table or name in ID_NAMES) and name not in AUDIO_NAMES
    if first_ids and role != "features":
        yield ids
    if role != "tokens" and name not in ID_NAMES:
        yield from floats
    if use_ids and not first_ids and role != "features":
        yield ids
    if has_table and role != "features" and name not in (*ID_NAMES, *AUDIO_NAMES):
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
