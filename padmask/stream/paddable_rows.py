"""The interface of rows to pad. The rows are columns (`rows.py`) or JSON text (`json_text.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from padmask.core.plan import Plan
from padmask.errors import Place
from padmask.formats.contract import Batch, Writer
from padmask.stream.job import Job
from padmask.stream.ledger import Ledger


@dataclass(frozen=True)
class RejectedRow:
    """A row that is not written, and the reason."""

    batch: Batch
    row: int
    reason: str


@dataclass(frozen=True)
class PadTarget:
    """The settings and the writer of a run that pads rows.

    Args:
        job: columns and options of the run.
        plan: length of the output rows.
        writer: writer of the output format.
        cache: cache that `PaddableRows.pad` may use for all blocks.
    """

    job: Job
    plan: Plan
    writer: Writer
    cache: dict[Any, Any] = field(default_factory=dict)


class PaddableBlock(Protocol):
    """Rows that are padded in one operation."""

    @property
    def ledger(self) -> Ledger:
        """Counts of rows and tokens read, including refused rows."""

    @property
    def refused(self) -> Sequence[RejectedRow]:
        """Rows that are not written."""

    @property
    def late(self) -> Sequence[str]:
        """Names of columns that have no values in the first rows, but one value per token in later rows."""

    def pad(self, target: PadTarget) -> tuple[Any, PaddableBlock]:
        """Pad the rows. Return the encoded rows, and a copy of this object whose ledger counts the output."""


class PaddableRows(PaddableBlock, Protocol):
    """Rows to pad, as columns (`Rows`) or as JSON text (`TextRows`)."""

    @property
    def consumed(self) -> int:
        """Number of input bytes read so far, for progress reports."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of tokens in each row: int64, shape (rows,)."""

    def place(self, row: int) -> Place:
        """Return the location of a row in the input."""

    def split(self, job: Job, plan: Plan, size: int, first: int) -> Iterator[PaddableRows]:
        """Split the rows into blocks, without the rows that are not written.

        Args:
            job: columns and options of the run.
            plan: length of the output rows.
            size: maximum number of output rows in a block. Only a block of one source row may have more.
            first: number of rows that were read before these rows.
        """
