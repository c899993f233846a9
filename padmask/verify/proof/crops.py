"""Crop the arrays of two runs of a model to their real positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from padmask.spec.pad import Side
from padmask.verify.proof.deviations import crop, difference
from padmask.verify.proof.sample import Sample
from padmask.verify.proof.tolerance import Array


class Crop(Protocol):
    """An object that crops the arrays of two runs to their real positions.

    `few` is an array of the run with less padding, and `many` is the same array of the run with more padding.
    """

    def cut(self, few: Array, many: Array) -> tuple[Array, Array] | None:
        """Return the real positions of both arrays; None if the arrays cannot be compared."""
        ...

    def mix(self, few: Array, many: Array) -> Array | None:
        """Return `few` with the values of `many` at real positions; None if this is not possible."""
        ...


@dataclass(frozen=True)
class CropToFew:
    """Crop the arrays of the run with more padding to the shapes of the run with less padding.

    Args:
        padding: side of the padding.
        more: number of positions that the run with more padding adds. Arrays that grow by a larger number,
            such as tables of relative positions, cannot be compared. If None, all arrays are compared.
    """

    padding: Side
    more: int | None = None

    def cut(self, few: Array, many: Array) -> tuple[Array, Array] | None:
        if self.more is not None and any(
            large - small > self.more for small, large in zip(few.shape, many.shape, strict=False)
        ):
            return None
        part = crop(many, few.shape, self.padding)
        return None if part is None else (few, part)

    def mix(self, few: Array, many: Array) -> Array | None:
        return _real_part(self.cut(few, many))


@dataclass(frozen=True)
class CropBlocks:
    """Crop axes that have several values for each position. `crop` crops all other axes.

    The values of a position are either adjacent or in different blocks. Both layouts are tried, and the
    layout in which the arrays differ less is used.

    Args:
        crop: object that crops the other axes.
        places: padded lengths of the inputs in the run with less padding.
        more: number of positions that the run with more padding adds.
    """

    crop: CropToFew
    places: frozenset[int]
    more: int

    def cut(self, few: Array, many: Array) -> tuple[Array, Array] | None:
        layouts = [many]
        for axis, sizes in enumerate(zip(few.shape, many.shape, strict=False)):
            if (count := self._count(*sizes)) > 1:
                indices = [self._positions(sizes, blocks) for blocks in (count, 1)]
                layouts = [one.take(index, axis) for one in layouts for index in indices]
        pairs = [pair for one in layouts if (pair := self.crop.cut(few, one)) is not None]
        return min(pairs, key=lambda pair: difference(*pair), default=None)

    def has_blocks(self, few: Sequence[int], many: Sequence[int]) -> bool:
        """Return whether arrays of these shapes have an axis with several values for each position."""
        return any(self._count(*sizes) > 1 for sizes in zip(few, many, strict=False))

    def mix(self, few: Array, many: Array) -> Array | None:
        return _real_part(self.cut(few, many))

    def _count(self, few: int, many: int) -> int:
        """Return the number of values for each position of an axis; 1 if the axis has no positions."""
        count = (many - few) // self.more
        is_multiple = any((few, many) == (count * one, count * (one + self.more)) for one in self.places)
        return count if is_multiple else 1

    def _positions(self, sizes: tuple[int, int], count: int) -> Array:
        """Return the indices of the real positions on an axis that consists of `count` blocks."""
        blocks = np.arange(sizes[1]).reshape(count, -1)
        kept = sizes[0] // count
        return (blocks[:, :kept] if self.crop.padding == "post" else blocks[:, -kept:]).ravel()


def _real_part(both: tuple[Array, Array] | None) -> Array | None:
    """Return a copy of the second array in a result of `cut`; None if there is no result."""
    return None if both is None else both[1].copy()


def crop_blocks(crop: CropToFew, rows: Sample, more: int) -> CropBlocks:
    """Return an object that also crops axes with several values for each position.

    Args:
        crop: object that crops the other axes.
        rows: rows of both runs.
        more: number of positions that the run with more padding adds.
    """
    return CropBlocks(crop, frozenset(rows.places().values()), more)


@dataclass(frozen=True)
class CropToLength:
    """Crop the time axes of two arrays of the same shape to the length of the row.

    Args:
        padding: side of the padding.
        places: padded lengths of the inputs. Axes of these sizes are time axes.
        length: number of tokens of the row.
    """

    padding: Side
    places: frozenset[int]
    length: int

    def cut(self, few: Array, many: Array) -> tuple[Array, Array] | None:
        return (few[self._index(few)], many[self._index(few)]) if few.shape == many.shape else None

    def mix(self, few: Array, many: Array) -> Array | None:
        if few.shape != many.shape:
            return None
        mixed = few.copy()
        mixed[self._index(few)] = many[self._index(few)]
        return mixed

    def _index(self, array: Array) -> tuple[slice, ...]:
        part = slice(None, self.length) if self.padding == "post" else slice(-self.length, None)
        return tuple(
            part if axis and size in self.places else slice(None) for axis, size in enumerate(array.shape)
        )


@dataclass(frozen=True)
class CropEmptyRow:
    """Crop the arrays of a row without tokens, which has no real positions.

    If both arrays have the same shape, the whole arrays are kept. Arrays that grow with the padding become
    empty, because all their positions are padding.
    """

    def cut(self, few: Array, many: Array) -> tuple[Array, Array] | None:
        return (few, many) if few.shape == many.shape else (few[:0], many[:0])

    def mix(self, few: Array, many: Array) -> Array | None:
        return many.copy() if few.shape == many.shape else None
