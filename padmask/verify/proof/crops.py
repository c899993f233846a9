"""Crop the arrays of two runs of a model to their real positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from padmask.spec.pad import Side
from padmask.verify.proof.check_setup import CheckSetup
from padmask.verify.proof.deviations import crop
from padmask.verify.proof.sample import Sample
from padmask.verify.proof.tolerance import Array


class Crop(Protocol):
    """Crop the arrays of two runs to their real positions."""

    def cut(self, few: Array, many: Array) -> tuple[Array, Array] | None:
        """Return the real positions of both arrays; None if the arrays cannot be compared."""
        ...

    def mix(self, few: Array, many: Array) -> Array | None:
        """Return the first array with the real positions of the second array."""
        ...


@dataclass(frozen=True)
class CropToFew:
    """Crop the arrays of the longer batch to the shapes of the shorter batch.

    Args:
        padding: side of the padding.
        more: number of additional positions in the longer batch. Arrays that grow by more, such as tables of
            relative positions, cannot be compared. If None, all arrays are compared.
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
    """Crop each block of an axis that has several blocks of positions, and all other axes like `CropToFew`.

    Args:
        crop: crops the other axes.
        places: padded lengths of the inputs in the shorter batch.
        more: number of additional positions in the longer batch.
    """

    crop: CropToFew
    places: frozenset[int]
    more: int

    def cut(self, few: Array, many: Array) -> tuple[Array, Array] | None:
        for axis, sizes in enumerate(zip(few.shape, many.shape, strict=False)):
            count = (sizes[1] - sizes[0]) // self.more
            if count > 1 and any(sizes == (count * one, count * (one + self.more)) for one in self.places):
                real = np.arange(sizes[1]).reshape(count, -1)
                kept = sizes[0] // count
                real = real[:, :kept] if self.crop.padding == "post" else real[:, -kept:]
                many = many.take(real.ravel(), axis)
        return self.crop.cut(few, many)

    def mix(self, few: Array, many: Array) -> Array | None:
        return _real_part(self.cut(few, many))


def _real_part(both: tuple[Array, Array] | None) -> Array | None:
    """Return a copy of the second array of a result of `cut`, which has the shape of the shorter batch."""
    return None if both is None else both[1].copy()


def crop_blocks(crop: CropToFew, setup: CheckSetup, rows: Sample, more: int) -> Crop:
    """Return `crop`, or `CropBlocks` if an output of the model has several blocks of positions.

    Args:
        crop: crops the other axes.
        setup: rows and padded lengths of the checks.
        rows: rows of both batches.
        more: number of additional positions in the longer batch.
    """
    return CropBlocks(crop, frozenset(rows.places().values()), more) if setup.has_blocks else crop


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
    """Compare only arrays of the same shape.

    Rows without tokens have no real positions, so arrays that grow with the padding cannot be compared.
    """

    def cut(self, few: Array, many: Array) -> tuple[Array, Array] | None:
        return (few, many) if few.shape == many.shape else (few[:0], many[:0])

    def mix(self, few: Array, many: Array) -> Array | None:
        return many.copy() if few.shape == many.shape else None
