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
    """An axis of an output that has several values for each position, usually in separate blocks.

    Args:
        axis: index of the axis in the output. The rows are on axis 0.
        count: number of blocks. Each block has one value for each position.
        inputs: names of the inputs that have these positions.
        adjacent: whether the `count` values of a position are adjacent instead of in different blocks.
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

    The size of the axis is a multiple of the padded length, with the same factor in every run. This is also
    true if the values of a position are adjacent, as after upsampling. Such an output is left out, unless the
    model requires a fixed length (`_find_fixed_blocks`).
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

    Only axis 1 is tested, and only if it is not the last axis. The last axis often has features, and their
    number may be a multiple of the length by chance.
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
    """Return the first axis that has several values for each position; None if there is none.

    The size of this axis is a multiple of an input's padded length, with the same factor in every run.

    Args:
        shapes: shape of the output in each run.
        places: for each run, the padded length of each input, keyed by input name.
    """
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
    """Return whether the values of a position are in different blocks instead of adjacent.

    Both layouts are tried. In the right layout, the two runs differ less at real positions.
    """
    lengths = np.min([probe.lengths()[name] for name in blocks.inputs], axis=0)
    adjacent = _deviation(probe, few, many, blocks.axis, lengths * blocks.count)
    return _split_deviation(probe, blocks, few, many) < adjacent


def _split_deviation(probe: Sample, blocks: Blocks, few: Array, many: Array) -> float:
    """Return the largest difference between two outputs at real positions, after `Blocks.split`."""
    lengths = np.min([probe.lengths()[name] for name in blocks.inputs], axis=0)
    axis = blocks.axis + (0 if blocks.adjacent else 1)
    return _deviation(probe, blocks.split(few), blocks.split(many), axis, lengths)


def _deviation(probe: Sample, few: Array, many: Array, axis: int, lengths: Array) -> float:
    """Return the largest difference between two outputs at the real steps of an axis.

    Each row has `lengths[row]` real steps: the last steps if the padding is before them, else the first ones.
    """
    found = 0.0
    for row in np.flatnonzero(lengths):
        shape = [*few.shape[1:]]
        shape[axis - 1] = int(lengths[row])
        found = max(found, difference(*(crop(array[row], shape, probe.padding) for array in (few, many))))
    return found
