"""Reshape outputs whose time axis has several blocks, each with one value for each position.

ProphetNet of Hugging Face, for example, predicts several tokens at each position, and returns one block for
each of these tokens. The real positions of a padded row are then not adjacent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from padmask.verify.proof.check_setup import CheckSetup
from padmask.verify.proof.deviations import Outputs, crop, difference
from padmask.verify.proof.sample import ModelBatch, Sample
from padmask.verify.proof.subject import Subject
from padmask.verify.proof.tolerance import Array

# Number of padded lengths that must agree on the number of blocks.
_LENGTHS = 3


@dataclass(frozen=True)
class Blocks:
    """The time axis of an output, which has several blocks of positions.

    Args:
        axis: index of the axis. The rows are on axis 0.
        count: number of blocks.
        inputs: names of the inputs. Each block has one value for each position of these inputs.
        adjacent: whether the values of a position are side by side instead of in different blocks.
    """

    axis: int
    count: int
    inputs: tuple[str, ...]
    adjacent: bool = False

    def split(self, output: Array) -> Array:
        """Split the time axis into an axis for the blocks and an axis for the positions.

        >>> Blocks(1, 2, ("ids",)).split(np.arange(6).reshape(1, 6)).tolist()
        [[[0, 1, 2], [3, 4, 5]]]
        >>> Blocks(1, 2, ("ids",), adjacent=True).split(np.arange(6).reshape(1, 6)).tolist()
        [[[0, 1], [2, 3], [4, 5]]]
        """
        if output.ndim <= self.axis or output.shape[self.axis] % self.count:
            return output
        before, after = output.shape[: self.axis], output.shape[self.axis + 1 :]
        sizes = (self.count, output.shape[self.axis] // self.count)
        return output.reshape(*before, *(reversed(sizes) if self.adjacent else sizes), *after)


def find_blocks(setup: CheckSetup) -> dict[str, Blocks]:
    """Find the outputs whose time axis has several blocks, keyed by output name.

    The size of such an axis is the same multiple of the padded length in every run. On an axis of this size,
    the values of a position may also be adjacent, as after upsampling. Therefore, an axis counts as blocks
    only if the real positions of two runs differ less when the axis is read as blocks than when the values of
    a position are read as adjacent.
    """
    if setup.sample.is_fixed:
        return _find_fixed_blocks(setup)
    numbers = setup.more[:_LENGTHS]
    if len(numbers) < 2:
        return {}
    places = [setup.probe.places(more) for more in numbers]
    runs = [setup.subject.predict(setup.probe.padded(more)) for more in numbers]
    found = {}
    for name in runs[0]:
        blocks = _find_multiple([run[name].shape for run in runs], places)
        if blocks is not None and _is_in_blocks(setup.probe, blocks, runs[0][name], runs[-1][name]):
            found[name] = blocks
    return found


def _find_fixed_blocks(setup: CheckSetup) -> dict[str, Blocks]:
    """Find the outputs with several values for each position, for a model that requires a fixed length.

    Only axis 1 is tested, and only if the output has further axes. The size of the last axis may be a number
    of features that is a multiple of the length by chance.
    """
    if setup.subject.other is None:
        return {}
    probe, places = setup.probe, setup.probe.places()
    one, two = setup.subject.predict(probe.padded()), setup.subject.other(probe.padded())
    found = {}
    for name, output in one.items():
        blocks = _find_multiple([output.shape[:2]], [places]) if output.ndim > 2 else None
        if blocks is None or not difference(output, two[name]):
            continue
        layouts = [blocks, replace(blocks, adjacent=True)]
        deviations = [_split_deviation(probe, layout, output, two[name]) for layout in layouts]
        found[name] = layouts[int(np.argmin(deviations))]
    return found


def split_outputs(subject: Subject, blocks: Mapping[str, Blocks]) -> Subject:
    """Return a copy of the model that splits the time axis of the given outputs with `Blocks.split`."""
    if not blocks:
        return subject

    def split(predict: Callable[..., Outputs]) -> Callable[..., Outputs]:
        def predict_split(batch: ModelBatch, *seed: int) -> Outputs:
            return {
                name: blocks[name].split(output) if name in blocks else output
                for name, output in predict(batch, *seed).items()
            }

        return predict_split

    def precise() -> Subject | None:
        found = None if subject.precise is None else subject.precise()
        return None if found is None else split_outputs(found, blocks)

    return replace(
        subject,
        predict=split(subject.predict),
        predict_uncached=subject.predict_uncached and split(subject.predict_uncached),
        other=subject.other and split(subject.other),
        jittered=subject.jittered and split(subject.jittered),
        precise=subject.precise and precise,
    )


def describe_blocks(blocks: Mapping[str, Blocks]) -> list[str]:
    """Return a sentence for the report about each output that has blocks.

    >>> describe_blocks({"states": Blocks(1, 2, ("ids",))})
    ['the time axis of states has 2 blocks (each as long as the padded rows), and each block was compared']
    """
    return [
        f"the time axis of {name} has {one.count} values for each position"
        if one.adjacent
        else f"the time axis of {name} has {one.count} blocks (each as long as the padded rows), and each "
        "block was compared"
        for name, one in blocks.items()
    ]


def _find_multiple(shapes: list[tuple[int, ...]], places: list[dict[str, int]]) -> Blocks | None:
    """Return the first axis whose size is the same multiple of the padded length of an input in each run."""
    if len({len(shape) for shape in shapes}) > 1:
        return None
    for axis, sizes in enumerate(zip(*shapes, strict=True)):
        counts = {name: sizes[0] // size for name, size in places[0].items() if size}
        inputs = tuple(
            name
            for name, count in counts.items()
            if count > 1 and all(size == count * one[name] for size, one in zip(sizes, places, strict=True))
        )
        if axis and inputs and len(set(sizes)) == len(sizes):
            return Blocks(axis, counts[inputs[0]], inputs)
    return None


def _is_in_blocks(probe: Sample, blocks: Blocks, few: Array, many: Array) -> bool:
    """Return whether the real positions of two runs differ less if the axis is read as blocks."""
    lengths = np.min([probe.lengths()[name] for name in blocks.inputs], axis=0)
    adjacent = _deviation(probe, few, many, blocks.axis, lengths * blocks.count)
    return _split_deviation(probe, blocks, few, many) < adjacent


def _split_deviation(probe: Sample, blocks: Blocks, few: Array, many: Array) -> float:
    """Split the time axis of two outputs into blocks. Return their largest difference at real positions."""
    lengths = np.min([probe.lengths()[name] for name in blocks.inputs], axis=0)
    axis = blocks.axis + (0 if blocks.adjacent else 1)
    return _deviation(probe, blocks.split(few), blocks.split(many), axis, lengths)


def _deviation(probe: Sample, few: Array, many: Array, axis: int, lengths: Array) -> float:
    """Return the largest difference of two outputs at the first or last `lengths[row]` steps of an axis."""
    found = 0.0
    for row in np.flatnonzero(lengths):
        shape = [*few.shape[1:]]
        shape[axis - 1] = int(lengths[row])
        found = max(found, difference(*(crop(array[row], shape, probe.padding) for array in (few, many))))
    return found
