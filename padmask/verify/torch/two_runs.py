"""Choose two batches that differ only in their padding, and compare two recorded runs of a PyTorch module."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from padmask.verify.proof.check_setup import MORE
from padmask.verify.proof.crops import Crop, CropBlocks, CropToFew, CropToLength, crop_blocks
from padmask.verify.proof.deviations import difference, relative_difference
from padmask.verify.proof.leaking_rows import choose_equal_lengths, choose_fixed_row, choose_leaking_row
from padmask.verify.proof.sample import ModelBatch
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.verify_subject import Verification
from padmask.verify.torch.outputs import to_array
from padmask.verify.torch.record import Call, TorchRecorder, tensors_in
from padmask.verify.torch.torch_model import TorchModel

# Numbers larger than this, such as those of additive masks, are not part of the scale of a tensor.
_LARGEST_USUAL = 1e4


@dataclass(frozen=True)
class TwoBatches:
    """Two batches of the same rows that differ only in their padding.

    Args:
        few: batch with less padding, or with the pad value in the padding.
        many: batch with more padding, or with other values in the padding.
        crop: object that crops arrays of both runs to the real positions.
        largest: largest relative deviation between the outputs for the batches.
        changed: copy of `many` in which all real tokens are replaced by other tokens.
        crop_blocks: object that also crops arrays with several values for each position. None if `crop`
            already does this.
    """

    few: ModelBatch
    many: ModelBatch
    crop: Crop
    largest: float
    changed: ModelBatch
    crop_blocks: Crop | None = None


def choose_two_batches(model: TorchModel, verification: Verification) -> TwoBatches:
    """Choose the batches that show the leak most clearly.

    Raises:
        CannotRunError: no pair of batches shows the leak.
    """
    setup = verification.setup
    padding, predict = setup.sample.padding, setup.subject.predict
    if setup.sample.is_fixed:
        return _choose_contents(model, verification)
    if setup.interact:
        row, more = choose_equal_lengths(setup.probe), setup.more[-1]
        largest = relative_difference(predict(row.padded()), predict(row.padded(more)), padding)
    else:
        usual = [more for more in setup.more[1:] if more <= MORE[-1]]
        worst = choose_leaking_row(predict, setup.probe, usual)
        if worst is None:
            raise CannotRunError("the model runs on a single row only if the row has no padding")
        row, more, largest = worst.row, worst.more, worst.deviation
    changed = row.with_random_tokens(8).padded(more)
    crop = CropToFew(padding, more)
    blocks = crop_blocks(crop, row, more)
    if setup.has_blocks:
        return TwoBatches(row.padded(), row.padded(more), blocks, largest, changed)
    return TwoBatches(row.padded(), row.padded(more), crop, largest, changed, blocks)


def _choose_contents(model: TorchModel, verification: Verification) -> TwoBatches:
    """Choose two batches with different values in the padding, for modules that require a fixed length."""
    sample = verification.setup.sample
    fixed = choose_fixed_row(sample)
    one, batch = fixed.row, fixed.row.padded()
    unmasked = one.unmasked(batch, 23)
    other = {name: replace(padded, values=unmasked[name].values) for name, padded in batch.items()}
    cut = CropToLength(sample.padding, fixed.places, fixed.length)
    largest = relative_difference(model.predict(batch), model.predict(other), sample.padding)
    return TwoBatches(batch, other, cut, largest, one.with_random_tokens(8).padded())


def is_float(tensor: torch.Tensor) -> bool:
    """Return whether a tensor has floats or complex numbers. Positions and masks usually have neither."""
    return bool(tensor.is_floating_point() or tensor.is_complex())


class ComparedRuns:
    """Two recorded runs of a module, on batches that differ only in their padding.

    Args:
        model: module to run.
        batches: the two batches.
    """

    def __init__(self, model: TorchModel, batches: TwoBatches) -> None:
        self._model, self._batches = model, batches
        self.limit = float(np.clip(batches.largest * 1e-3, 1e-5, 1e-4))
        self.many = self._record(batches.many)
        self._injected: dict[int, list[torch.Tensor]] = {}
        self.few = self._first = self._record(batches.few)
        self._changed = {call.number: call for call in self._record(batches.changed)}

    def compare_blocks(self) -> bool:
        """From now on, also compare arrays that have several values for each position.

        Returns:
            False if such arrays were compared already, or cannot be compared.
        """
        blocks = self._batches.crop_blocks
        if blocks is None:
            return False
        self._batches = replace(self._batches, crop=blocks, crop_blocks=None)
        self.few, self._injected = self._first, {}
        return True

    def is_joined(self, few: Call, many: Call) -> bool:
        """Return whether an output of a call has several values for each position on one axis."""
        crop = self._batches.crop
        return isinstance(crop, CropBlocks) and any(
            crop.has_blocks(one.shape, other.shape)
            for one, other in zip(few.outputs, many.outputs, strict=False)
        )

    def _record(self, batch: ModelBatch) -> list[Call]:
        recorder = TorchRecorder(self._model.module, getattr(self, "_injected", None))
        with recorder.recording():
            self._model.run(batch)
        return recorder.finished

    def pairs(self) -> list[tuple[Call, Call]]:
        """Return the calls that both runs have in common, in the order in which they finish."""
        return _match(self.few, self.many)

    def deviation(self, few: Call, many: Call) -> float | None:
        """Return the largest relative deviation of the float outputs; None if nothing can be compared."""
        pairs = zip(few.outputs, many.outputs, strict=False)
        found = [self._compare(one, other) for one, other in pairs if is_float(one)]
        return max((deviation for deviation in found if deviation is not None), default=None)

    def difference(self, few: Call, many: Call) -> float | None:
        """Return the largest absolute difference of the float outputs; None if nothing can be compared."""
        both = [
            self._batches.crop.cut(to_array(one), to_array(other))
            for one, other in zip(few.outputs, many.outputs, strict=False)
            if is_float(one)
        ]
        return max((difference(*arrays) for arrays in both if arrays is not None), default=None)

    def _compare(self, one: torch.Tensor, other: torch.Tensor) -> float | None:
        both = self._batches.crop.cut(to_array(one), to_array(other))
        if both is None or not both[0].size:
            return None
        first, second = both
        usual = np.abs(first[np.isfinite(first) & (np.abs(first) < _LARGEST_USUAL)])
        return difference(first, second) / (float(usual.max(initial=0.0)) or 1.0)

    def is_harmful(self, few: Call, many: Call) -> bool:
        """Return whether padding changes the outputs of the module through the outputs of one call.

        To test this, the run with less padding is repeated, but the call returns the outputs that it has in
        the run with more padding. Some differences have no effect, for example rotary positions that start at
        another number. In this case, later comparisons use the repeated run, so that they do not find the
        difference again.

        Args:
            few: the call in the run with less padding.
            many: the same call in the run with more padding.
        """
        before = dict(self._injected)
        replaced = []
        for one, other in zip(few.outputs, many.outputs, strict=False):
            mixed = self._batches.crop.mix(to_array(one), to_array(other))
            replaced.append(one if mixed is None else torch.from_numpy(mixed).to(one))
        self._injected[few.number] = replaced
        reference, final = self.few, self._record(self._batches.few)
        changes = any(
            (self._compare(one, other) or 0.0) > self.limit
            for one, other in zip(reference[-1].outputs, final[-1].outputs, strict=False)
            if is_float(one)
        )
        if changes:
            self._injected = before
        else:
            self.few = final
        return changes

    def reads_tokens(self, many: Call) -> bool:
        """Return whether the inputs or the outputs of a call change if the tokens change."""
        # Batches of the same shape have the same sequence of calls.
        other = self._changed.get(many.number)
        if other is None:
            return True
        tensors = [
            [*tensors_in([value for _, value in call.arguments]), *call.outputs] for call in (many, other)
        ]
        return any(
            one.shape != changed.shape or difference(to_array(one), to_array(changed)) > 0
            for one, changed in zip(*tensors, strict=False)
        )


def _match(few: list[Call], many: list[Call]) -> list[tuple[Call, Call]]:
    """Match the calls of two runs by path and line. Calls with the same path and line match in order.

    A path alone is not enough, because a module may run other calls if the mask marks padding.
    """
    waiting: dict[tuple[str, ...], list[Call]] = {}
    for call in many:
        waiting.setdefault((*call.path, call.line), []).append(call)
    return [
        (call, waiting[*call.path, call.line].pop(0)) for call in few if waiting.get((*call.path, call.line))
    ]
