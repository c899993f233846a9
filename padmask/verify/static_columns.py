"""Read the columns for the static inputs of a model, which have one value, or one vector, for each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.errors import DataError, Place, SpecError, did_you_mean, quoted
from padmask.formats.contract import Wanted
from padmask.formats.dataset import Dataset
from padmask.spec.warning_names import Warned
from padmask.stream.column_values import column_values


@dataclass(frozen=True)
class StaticColumns:
    """The values of static inputs in some rows.

    Args:
        rows: value of each row, keyed by input name. Inputs that receive random values are left out.
        columns: name of the column of each input, keyed by input name.
        notes: a warning for each input that receives random values.
    """

    rows: dict[str, list[npt.NDArray[Any]]] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_static_columns(
    static: Sequence[str],
    inputs: Mapping[str, str],
    dataset: Dataset,
    numbers: Sequence[int],
    limit: int | None,
) -> StaticColumns:
    """Read the column of each static input: the requested column, else the column with the same name.

    Args:
        static: names of the static inputs.
        inputs: columns that the user requested, keyed by input name.
        dataset: the data.
        numbers: row numbers of the rows to read, from 0, in ascending order.
        limit: maximum number of rows to read; None for all rows.

    Raises:
        SpecError: a requested column does not exist.
        DataError: a value of a requested column is neither a number nor a list of numbers.
    """
    known, found = dataset.schema().names, StaticColumns()
    for name in static:
        column = inputs.get(name, name)
        if name in inputs and column not in known:
            raise SpecError(
                f"--input {name}={column}: the data has no column {column!r}.{did_you_mean(column, known)} "
                f"The columns are {quoted(known)}.",
                options=["model_inputs"],
            )
        reason = "the data has no column of this name"
        if column in known:
            try:
                found.rows[name] = _read_column(dataset, column, numbers, limit)
                found.columns[name] = column
                continue
            except DataError as error:
                if name in inputs:
                    raise
                why = f"{error.place}: {error.message}"
                reason = f"the column of this name has values that are not numbers ({why})"
        text = (
            f"the input {name!r} of the model receives random values, because {reason}. The columns are "
            f"{quoted(known)}. To use a column: --input {name}:static=COLUMN"
        )
        found.notes.append(Warned("random-input", text))
    return found


def _read_column(
    dataset: Dataset, column: str, numbers: Sequence[int], limit: int | None
) -> list[npt.NDArray[Any]]:
    """Return the values of a column in some rows. The arguments are as in `read_static_columns`."""
    wanted = Wanted(pa.schema([] if dataset.format.is_text else [dataset.schema().field(column)]))
    rows = np.array(numbers, dtype=np.int64)
    found: list[npt.NDArray[Any]] = []
    first = 0
    with dataset.unchanged():
        for chunk in dataset.chunks(wanted, limit):
            batch = dataset.decode(chunk, wanted)
            here = rows[(rows >= first) & (rows < first + len(batch))] - first
            if len(here):
                values = column_values(batch, column)
                found += [_numbers(values[row], column, batch.place(row)) for row in here.tolist()]
            first += len(batch)
    return found


def _numbers(value: Any, column: str, place: Place) -> npt.NDArray[Any]:
    """Return a value of a column as an array of numbers.

    Raises:
        DataError: the value is neither a number nor a list of numbers.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{value!r:.60} is neither a number nor a list of numbers",
            place=place,
            column=column,
            remedy="A model input without a time axis requires a column of numbers. Choose another column "
            "with --input NAME:static=COLUMN.",
            options=["model_inputs"],
        )
    return array
