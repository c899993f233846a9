"""`Collator`: pad batches of rows in memory, for the data loader of a training framework."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from operator import itemgetter
from typing import Any, Literal

import numpy as np

from padmask.core.memory_columns import is_columns
from padmask.core.pad_columns import ColumnPadder
from padmask.core.ragged import Ragged, find_misfits
from padmask.errors import DataError, MissingExtraError, SpecError, row_error
from padmask.spec.checks import choice, or_default
from padmask.spec.columns import Columns, as_list
from padmask.spec.keywords import spec_with
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import DEFAULT_DTYPE, PadSpec
from padmask.spec.presets import preset as make_preset

Framework = Literal["numpy", "torch", "tensorflow", "jax", "np", "pt", "tf"]

# The short names that Hugging Face uses.
_SHORT_NAMES = {"np": "numpy", "pt": "torch", "tf": "tensorflow"}

# For each framework, the module and the function that converts a NumPy array.
_CONVERTERS = {
    "torch": ("torch", "from_numpy"),
    "tensorflow": ("tensorflow", "convert_to_tensor"),
    "jax": ("jax.numpy", "asarray"),
}


class Collator:
    """Pad a list of rows to a dict of arrays. A data loader can use an instance as `collate_fn`.

    >>> collate = Collator(pad_to_multiple_of=4)
    >>> rows = [{"id": 3, "input_ids": [7, 8], "labels": [1, 0]}, {"id": 4, "input_ids": [9], "labels": [1]}]
    >>> batch = collate(rows)
    >>> batch["labels"].tolist(), batch["mask"].sum(axis=1).tolist(), batch["id"].tolist()
    ([[1, 0, -100, -100], [1, -100, -100, -100]], [2, 1], [3, 4])

    Args:
        spec: how to pad; default `PadSpec()`, which pads each batch to its longest row.
        preset: `"hf"`, `"keras"`, `"torch"` or `"causal-lm"`: the options that a framework expects, as in
            `padmask.preset`. A preset cannot be combined with `spec`.
        columns: as in `pad_table`. By default, companion columns such as `labels` are padded together with
            the ids.
        mask: mask to add; default: the mask of the preset, else `MaskSpec()`. The mask replaces an
            `attention_mask` that contains only ones.
        framework: `"numpy"`, `"torch"`, `"tensorflow"` or `"jax"`: the type of the arrays; `"np"`, `"pt"` and
            `"tf"` are short names. Default: `"torch"` with the preset `"torch"`, else `"numpy"`. With
            `"torch"`, integers become int64, unless another dtype or a preset is set.
        options: fields of `PadSpec`, such as `maxlen`, which replace the fields of `spec`.

    Raises:
        SpecError: an argument is not valid.
        MissingExtraError: the framework is not installed.

    Source: Hugging Face's `DataCollatorWithPadding`, which pads only the columns that its tokenizer knows.
    """

    def __init__(
        self,
        spec: PadSpec | None = None,
        *,
        preset: str | None = None,
        columns: Columns = None,
        mask: MaskSpec | None = None,
        framework: Framework | None = None,
        **options: Any,
    ) -> None:
        self._framework = _framework_for(framework, preset)
        if self._framework != "numpy":
            _to_framework(np.zeros(0), self._framework)
        self._columns = as_list(columns)
        given, spec = spec, spec_with(spec, options)
        if preset is not None:
            if given is not None:
                raise SpecError(
                    "`preset` and `spec` cannot be combined. Pass the fields of the spec as keywords, such "
                    "as `maxlen`.",
                    options=["preset", "spec"],
                )
            spec, its_mask = make_preset(preset, **options)
            mask = its_mask if mask is None else mask
        elif self._framework == "torch" and spec.int_dtype == DEFAULT_DTYPE and "int_dtype" not in options:
            # Embeddings and losses of torch need int64.
            spec = replace(spec, int_dtype="int64")
        self._padder = ColumnPadder(spec, self._columns, or_default("mask", mask, MaskSpec))

    def __call__(self, rows: Iterable[Any]) -> dict[str, Any]:
        """Pad a batch.

        Args:
            rows: dicts with the same keys. A value in a dict is a sequence of tokens or vectors (a list, a
                NumPy array or a tensor), a number, or another object. The rows can also be sequences of
                tokens, which become the first of the requested columns, or `input_ids` by default.

        Returns:
            A dict with the keys of the rows and of the added masks. Padded columns have the shape (rows,
            maxlen, ...). Numbers become an array of shape (rows,). Its dtype is int64 or uint64 for ints, and
            float32 for floats, or float64 if float32 would change a large number. Other values stay a list.

        Raises:
            DataError: a row cannot be padded.
            SpecError: the rows do not have a requested column, or the batch is a dict of columns.
        """
        if is_columns(rows):
            raise SpecError(
                "A batch of a Collator is a list of rows. To pad a dict of columns or a table, use "
                "`padmask.pad`."
            )
        batch = self._padder.pad(_columns_of(list(rows), self._columns))
        if self._framework == "numpy":
            return batch
        converted = {name: _to_framework(its, self._framework) for name, its in batch.items()}
        if self._framework == "jax":
            for name, its in batch.items():
                _check_width(name, its, converted[name])
        return converted


def _columns_of(rows: list[Any], columns: Columns) -> dict[str, list[Any]]:
    """Return the values of each column, keyed by column name. Rows that are not dicts become one column."""
    if not rows:
        raise DataError("The batch has no rows. Set `drop_last` or check the sampler of the data loader.")
    first = rows[0]
    # For dicts, the comparison of types avoids the search for base classes.
    if type(first) is not dict and not isinstance(first, Mapping):
        _refuse_tuples_of_columns(first)
        names = [column if isinstance(column, str) else column.name for column in columns or ["input_ids"]]
        return {names[0]: rows}
    keys = first.keys()
    if set(map(type, rows)) == {dict} and set(map(len, rows)) == {len(keys)}:
        try:
            return {name: list(map(itemgetter(name), rows)) for name in keys}
        except KeyError:
            # The loop below raises an error that names the row.
            pass
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or row.keys() != keys:
            odd = sorted(map(str, keys ^ row.keys())) if isinstance(row, Mapping) else []
            raise row_error(
                number,
                f"Row {number} does not have the same keys as row 0: {', '.join(odd) or type(row).__name__}. "
                "Pass rows with the same keys.",
            )
    return {name: [row[name] for row in rows] for name in keys}


def _refuse_tuples_of_columns(row: Any) -> None:
    """Raise an error if a row is a tuple of columns, such as `(ids, label)`. A tuple of tokens is valid."""
    if not isinstance(row, tuple):
        return
    if any(hasattr(value, "__len__") and not isinstance(value, str) for value in row[:2]):
        raise row_error(
            0,
            "Row 0 is a tuple of columns, which have no names. Return dicts from the dataset, such as "
            "{'input_ids': ids, 'label': label}. Pass vectors as a list, not as a tuple.",
        )


def _framework_for(framework: str | None, preset: str | None) -> str:
    """Return the name of the framework. The default is torch for the preset `"torch"`, else numpy."""
    if framework is None:
        return "torch" if preset == "torch" else "numpy"
    named = _SHORT_NAMES.get(framework, framework) if isinstance(framework, str) else framework
    return str(choice(("numpy", *_CONVERTERS))("framework", named))


def _to_framework(array: Any, framework: str) -> Any:
    """Convert an array of numbers to the array type of `framework`. Other values stay unchanged."""
    if not isinstance(array, np.ndarray) or array.dtype.kind == "O":
        return array
    module, function = _CONVERTERS[framework]
    try:
        convert = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"`framework` {framework!r} needs the package {error.name}, which is not installed. Install the "
            f"package with pip install {framework}, or use framework='numpy'."
        ) from None
    return convert(array)


def _check_width(name: str, array: Any, converted: Any) -> None:
    """Raise an error if JAX changed a number. By default, JAX has only 32-bit numbers."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf" or array.dtype == converted.dtype:
        return
    rows = np.arange(len(array))
    changed = find_misfits(Ragged(array, rows, np.ones_like(rows)), str(converted.dtype), rounds=False)
    if changed:
        row = changed[0].row
        raise row_error(
            row,
            f"Row {row}, column {name!r}: JAX would change a number that {converted.dtype} cannot "
            "represent. Call jax.config.update('jax_enable_x64', True) first, or remove the column.",
            name,
        )
