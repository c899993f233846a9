"""Run a PyTorch module for the checks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from padmask.core.kernel import Padded
from padmask.verify.proof.cached_predict import cache_predictions
from padmask.verify.proof.deviations import Outputs, concatenate_outputs, difference, scale_of
from padmask.verify.proof.sample import ModelBatch, ModelInput, Sample, SampleRows
from padmask.verify.proof.subject import CannotRunError, Subject
from padmask.verify.proof.tolerance import PRECISE
from padmask.verify.torch.batch_argument import MissingInputError
from padmask.verify.torch.device import TorchDevice
from padmask.verify.torch.find_inputs import find_torch_inputs, has_time_first_part
from padmask.verify.torch.function_modes import NarrowFloats, ReadTables
from padmask.verify.torch.inputs import TorchInput, as_time_first, invert_masks, with_other_masks
from padmask.verify.torch.mask_forms import SHAPES
from padmask.verify.torch.module_state import as_float32, eval_mode
from padmask.verify.torch.outputs import OutputRows, named_tensors, to_array
from padmask.verify.torch.program import read_input_sizes, read_vocabularies
from padmask.verify.torch.signature import Signature, unwrap
from padmask.verify.torch.trial_batches import (
    lengths_from_weights,
    lengths_in_error,
    make_trial_batch,
    roll_other_rows,
    without_padding,
)

# Maximum number of lengths to try that were read from errors of the module.
_MOST_NAMED = 24

# Numbers of steps to try until the module runs.
_STEPS = (7, 16, 32, 64, 128, 256, 512, 1024)

# Largest number of weights of a module that also runs in float64 and with changed weights.
_MOST_WEIGHTS = 50_000_000

# Reasons why the checks do not change the values in the padding.
_NO_OTHER = "the module computes its mask from the pad value, so the checks cannot change the padding"
_NO_NEED = "not needed: the model accepts any length, so the check 'row-alone' finds the same leaks"

# Maximum number of characters of a PyTorch error in a message.
_LONGEST_ERROR = 300


class TorchModel:
    """A PyTorch module, with methods that run the module on batches.

    The module runs in eval mode and in float32. `restore_afterwards` restores the mode of the user's module.

    Args:
        module: module to run. Modules in half precision are copied.
        device: device to run on.
        batch_size: maximum number of rows per call.
        roles: kinds of inputs that the user specified, keyed by input name.
        rows: rows of the data, keyed by input name.

    Raises:
        SpecError: the module has no input with a time axis.
        CannotRunError: the module runs on none of the tried shapes.
        MissingInputError: a `BatchModule` requires another input.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        device: TorchDevice,
        batch_size: int = 32,
        roles: Mapping[str, str] | None = None,
        rows: SampleRows | None = None,
    ) -> None:
        self.module, self.device = as_float32(unwrap(module)), device
        self._batch_size = batch_size
        self.signature = Signature.of(module)
        self._sorts_rows = False
        self._sizes = read_input_sizes(self.module)
        # Number of rows that an exported program requires; None for any number.
        self._rows_per_call = next((shape[0] for shape in self._sizes.values() if shape), None)
        self._floats = torch.float32
        self.inputs: list[TorchInput] = []
        with self.restore_afterwards():
            self._find_inputs(roles, rows)
            self._find_polarity()
            self._find_outputs()
            self._find_layout()
            self._find_vocabularies()

    @property
    def slots(self) -> list[ModelInput]:
        """The inputs of the module and their roles."""
        return [one.slot for one in self.inputs]

    @property
    def has_explicit_mask(self) -> bool:
        """Whether an input tells the module which positions are real."""
        return any(slot.kind in ("mask", "lengths") for slot in self.slots)

    @property
    def pad_value(self) -> int | None:
        """The pad value of the configuration or of an embedding; None if the module has no pad value."""
        config = getattr(self.module, "config", None)
        value = getattr(config, "pad_token_id", None)
        if isinstance(value, int) and value >= 0:
            return value
        tables = (part for part in self.module.modules() if isinstance(part, torch.nn.Embedding))
        return next((table.padding_idx for table in tables if table.padding_idx is not None), None)

    @contextmanager
    def restore_afterwards(self) -> Iterator[None]:
        """Switch the module to eval mode inside the context, without warnings and logs of libraries."""
        with eval_mode(self.module, self.device):
            yield

    def predict(self, batch: ModelBatch) -> Outputs:
        """Run the module on a batch.

        Raises:
            CannotRunError: the module cannot run on the batch.
        """
        rows = len(next(iter(batch.values())).mask)
        parts = []
        size = self._rows_per_call or self._batch_size
        for first in range(0, rows, size):
            piece = slice(first, first + size)
            parts.append(
                self._predict_piece({name: _select(padded, piece) for name, padded in batch.items()})
            )
        return concatenate_outputs(parts)

    def run(self, batch: ModelBatch) -> Any:
        """Run the module on a batch in one call, and return the result of `forward`.

        If the module requires a fixed number of rows, the last row is repeated.
        """
        if self._rows_per_call is not None:
            rows = len(next(iter(batch.values())).mask)
            index = np.minimum(np.arange(self._rows_per_call), rows - 1)
            batch = {name: _select(padded, index) for name, padded in batch.items()}
        return self._call(self.inputs, batch)

    def with_other_masks(self) -> list[TorchModel]:
        """Return the same module with inverted masks, and the same module with masks of another form.

        Masks whose names show their polarity are not inverted. These names end with `attention_mask` or
        `key_padding_mask`.
        """
        found = []
        for inputs in (invert_masks(self.inputs), with_other_masks(self.inputs)):
            if inputs is not None:
                twin = copy.copy(self)
                twin.inputs = inputs
                found.append(twin)
        return found

    def without_cache(self) -> TorchModel | None:
        """Return the same module called with `use_cache=False`; None if `forward` has no such parameter."""
        if "use_cache" not in self.signature.optional:
            return None
        twin = copy.copy(self)
        twin.signature = replace(self.signature, use_cache=False)
        return twin

    @property
    def remark(self) -> str:
        """A note on inputs in unusual forms, such as masks that are True at padding. May be empty."""
        inverted = [one.slot.name for one in self.inputs if one.is_unclear_mask and one.is_padding]
        time_first = [one.slot.name for one in self.inputs if one.layout == "time-first"]
        shapes = [(one.slot.name, SHAPES[one.mask_form]) for one in self.inputs if one.mask_form != "flat"]
        batch = self.signature.batch
        parts = [
            f"forward reads {', '.join(batch.names)} from one argument" if batch is not None else "",
            f"True means padding in {' and '.join(inverted)}" if inverted else "",
            *(f"{name} has the shape {shape}" for name, shape in shapes),
            f"the first axis of {' and '.join(time_first)} is the time axis" if time_first else "",
        ]
        return "; ".join(part for part in parts if part)

    def subject(self, name: str, sample: Sample) -> tuple[Subject, Subject]:
        """Return the module and its control, each as a `Subject`.

        The control is the same module, but receives random tokens as padding and a mask that is all True.

        Args:
            name: name of the module in the report.
            sample: rows to verify, and source of the random tokens.
        """
        is_small = sum(weight.numel() for weight in self.module.parameters()) <= _MOST_WEIGHTS

        def other(batch: ModelBatch, seed: int = 23) -> Outputs:
            unmasked = sample.unmasked(batch, seed)
            return self.predict({key: replace(batch[key], values=unmasked[key].values) for key in batch})

        asks_other = self.has_explicit_mask and sample.has_fixed
        subject = Subject(
            name,
            cache_predictions(self.predict),
            predict_uncached=self.predict,
            other=other if asks_other else None,
            jittered=self._predict_jittered if is_small else None,
            precise=(lambda: self._precise(name, sample, other=asks_other)) if is_small else None,
            reason=_NO_OTHER if sample.has_fixed else _NO_NEED,
            explicit_mask=self.has_explicit_mask,
        )
        control = Subject(
            name,
            cache_predictions(lambda batch: self.predict(sample.unmasked(batch, 21))),
            other=lambda batch: self.predict(sample.unmasked(batch, 22)),
        )
        return subject, control

    def _precise(self, name: str, sample: Sample, *, other: bool) -> Subject | None:
        """Return a copy of the module in float64.

        If the copy cannot run, or computes some values in float32, such as rotary positions, the result is
        None, because the copy is not more precise than the module.
        """
        narrow = NarrowFloats()
        try:
            twin = copy.copy(self)
            twin.module = copy.deepcopy(self.module).double()
            twin._floats = torch.float64
            with narrow:
                twin.predict(sample.select([0]).padded())
        except Exception:  # noqa: BLE001 - modules may refuse to be copied or to run in float64
            return None
        if narrow.found:
            return None
        subject, _ = twin.subject(name, sample)
        # Tables that were computed in float32, such as sines of positions, keep their rounding.
        return replace(subject, dtype=PRECISE, precise=None, jittered=None)

    def _predict_jittered(self, batch: ModelBatch) -> Outputs:
        """Run the module after changing every weight to the next larger or smaller float."""
        random = torch.Generator().manual_seed(3)
        weights = [weight for weight in self.module.parameters() if weight.dtype == torch.float32]
        originals = [weight.detach().clone() for weight in weights]
        try:
            for weight, old in zip(weights, originals, strict=True):
                signs = torch.randint(0, 2, old.shape, generator=random).to(old.device) * 2 - 1
                weight.data.copy_(old * (1 + signs * 2.0**-23))
            return self.predict(batch)
        finally:
            for weight, old in zip(weights, originals, strict=True):
                weight.data.copy_(old)

    def _predict_piece(self, batch: ModelBatch) -> Outputs:
        lengths = np.max([padded.lengths for padded in batch.values()], axis=0)
        order = np.argsort(-lengths, kind="stable") if self._sorts_rows else np.arange(len(lengths))
        try:
            result = self.run({name: _select(padded, order) for name, padded in batch.items()})
        except CannotRunError as error:
            if self._sorts_rows or "enforce_sorted" not in str(error):
                raise
            # pack_padded_sequence requires rows in descending order of length by default.
            self._sorts_rows = True
            return self._predict_piece(batch)
        arrays = {name: array[: len(order)] for name, array in self._rows.arrays(result).items()}
        if not arrays:
            raise CannotRunError("the model has no output with a value for each row")
        back = np.argsort(order)
        return {name: array[back] for name, array in arrays.items()}

    def _call(self, inputs: Sequence[TorchInput], batch: ModelBatch) -> Any:
        tensors = {one.slot.name: one.tensor(batch, self.device.name, self._floats) for one in inputs}
        try:
            return self.signature.call(self.module, tensors)
        except MissingInputError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a module's own code may raise anything
            raise CannotRunError(f"the model cannot run: {describe_torch_error(error)}") from None

    def _find_inputs(self, roles: Mapping[str, str] | None, rows: SampleRows | None) -> None:
        timed = [given for name, given in (rows or {}).items() if (roles or {}).get(name) != "static"]
        longest = max((len(row) for given in timed for row in given), default=0)
        first_error = None
        required = [shape[1] for shape in self._sizes.values() if len(shape) > 1 and shape[1] is not None]
        waiting = [*required, longest or _STEPS[0], *_STEPS, *lengths_from_weights(self.module)]
        tried: set[int] = set()
        named: dict[int, None] = {}
        while waiting:
            places = waiting.pop(0)
            if places in tried:
                continue
            tried.add(places)

            def try_run(inputs: Sequence[TorchInput], places: int = places) -> None:
                try:
                    self._call(inputs, self._small(inputs, places))
                except CannotRunError as error:
                    named.update(dict.fromkeys(lengths_in_error(error)))
                    raise

            try:
                self.inputs = find_torch_inputs(self.module, self.signature, try_run, roles, rows)
            except MissingInputError:
                raise
            except CannotRunError as error:
                first_error = first_error or error
                waiting += [number for number in [*named][:_MOST_NAMED] if number not in waiting]
                continue
            self.shortest = places
            if not self._runs(places + 1) and not self._runs(places - 1):
                self._fix_places(places)
            return
        assert first_error is not None
        raise first_error

    def _runs(self, places: int) -> bool:
        with suppress(CannotRunError):
            self._call(self.inputs, self._small(self.inputs, places))
            return True
        return False

    def _small(self, inputs: Sequence[TorchInput], places: int) -> dict[str, Padded]:
        return make_trial_batch(inputs, self._rows_per_call or 2, places)

    def _fix_places(self, places: int) -> None:
        self.inputs = [
            replace(one, slot=replace(one.slot, shape=(places, *one.slot.shape[1:])))
            if one.slot.kind in ("tokens", "features")
            else one
            for one in self.inputs
        ]

    def _find_outputs(self) -> None:
        rows = (2, 3) if self._rows_per_call is None else (self._rows_per_call, self._rows_per_call)
        few, many = (
            named_tensors(self._call(self.inputs, make_trial_batch(self.inputs, count, self.shortest)))
            for count in rows
        )
        self._rows = OutputRows.find(few, many, rows)

    def _find_layout(self) -> None:
        """Put the time on the first axis of the inputs if only this layout keeps the rows apart.

        Modules such as `torch.nn.LSTM` without `batch_first` run on both layouts, but read the rows of the
        batch as time steps if the rows are on the first axis.
        """
        if not has_time_first_part(self.module) or not self._mixes_rows():
            return
        for inputs in as_time_first(self.inputs):
            twin = copy.copy(self)
            twin.inputs = inputs
            with suppress(CannotRunError):
                twin._find_outputs()
                if not twin._mixes_rows():
                    self.inputs, self._rows = twin.inputs, twin._rows
                    return

    def _mixes_rows(self) -> bool:
        """Return whether the outputs of a row depend on other rows, or no output has an axis for the rows."""
        batch = without_padding(self._small_rows())
        first = self._rows.arrays(self._call(self.inputs, batch))
        rows = len(next(iter(batch.values())).mask)
        for kept in (0, rows - 1):
            other = {
                name: replace(one, values=roll_other_rows(one.values, kept)) for name, one in batch.items()
            }
            second = self._rows.arrays(self._call(self.inputs, other))
            for name, array in first.items():
                if difference(array[kept], second[name][kept]) > 1e-5 * scale_of(array[kept]):
                    return True
        return not first

    def _small_rows(self) -> dict[str, Padded]:
        return make_trial_batch(self.inputs, self._rows_per_call or 3, self.shortest)

    def _find_polarity(self) -> None:
        """Invert the masks if, as a result, more outputs depend on the tokens of rows without padding.

        A mask of the wrong polarity marks all positions of such rows as padding. Then the module may fail, or
        return NaN or the same numbers for all rows.
        """
        inverted = invert_masks(self.inputs)
        if inverted is not None and self._count_active_outputs(inverted) > self._count_active_outputs(
            self.inputs
        ):
            self.inputs = inverted

    def _count_active_outputs(self, inputs: Sequence[TorchInput]) -> int:
        """Count the outputs that change with the tokens, in a batch without padding.

        Outputs with NaN or infinity do not count.
        """
        batch = without_padding(self._small_rows())
        other = {name: replace(one, values=roll_other_rows(one.values, 0)) for name, one in batch.items()}
        try:
            first, second = (named_tensors(self._call(inputs, given)) for given in (batch, other))
        except CannotRunError:
            return 0
        changes = [
            difference(to_array(output), to_array(second[name]))
            for name, output in first.items()
            if name in second and bool(output.isfinite().all())
        ]
        return sum(change > 0 for change in changes)

    @property
    def left_out(self) -> frozenset[str]:
        """The names of outputs without a value for each row."""
        return self._rows.left_out

    def _find_vocabularies(self) -> None:
        """Set the number of ids of each input to the size of the embedding that reads the input."""
        batch = self._small(self.inputs, self.shortest)
        vocabularies = read_vocabularies(self.module)
        if vocabularies:
            self.inputs = [
                replace(one, slot=replace(one.slot, vocab=vocabularies.get(one.slot.name), exact=True))
                if one.slot.name in vocabularies
                else one
                for one in self.inputs
            ]
            return
        with ReadTables() as tables:
            self.run(batch)
        self.inputs = [self._with_vocabulary(one, batch, tables) for one in self.inputs]

    def _with_vocabulary(self, one: TorchInput, batch: ModelBatch, tables: ReadTables) -> TorchInput:
        if one.slot.kind != "tokens":
            return one
        ids = one.tensor(batch, self.device.name, self._floats)
        if own := tables.sizes_for(ids):
            return replace(one, slot=replace(one.slot, vocab=min(own), exact=True))
        known = getattr(getattr(self.module, "config", None), "vocab_size", None)
        all_tables = (part for part in self.module.modules() if isinstance(part, torch.nn.Embedding))
        sizes = [known] if isinstance(known, int) else [table.num_embeddings for table in all_tables]
        return replace(one, slot=replace(one.slot, vocab=min(sizes, default=None)))


def _select(padded: Padded, rows: Any) -> Padded:
    return replace(padded, values=padded.values[rows], mask=padded.mask[rows], lengths=padded.lengths[rows])


def describe_torch_error(error: BaseException) -> str:
    """Return the type and the first line of an error of PyTorch.

    >>> describe_torch_error(ValueError("wrong shape\\nmore"))
    'ValueError: wrong shape.'
    """
    lines = str(error).strip().splitlines() or [""]
    text = f"{type(error).__name__}: {lines[0]}"
    return (text[:_LONGEST_ERROR] + " ..." if len(text) > _LONGEST_ERROR else text).rstrip(".: ") + "."
