"""Arrow table in, Arrow table out, pure: what pipelines and distributed engines call.

Resolves which columns are padded and to what types, finds the rows that cannot be, and
turns the kernel's rectangles into Arrow columns. Knows nothing of files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask import __version__
from padmask.errors import DataError, Fault, OutputError, PaddedError, SpecError
from padmask.kernel import Padded, pad_batch
from padmask.plan import LengthStats, Plan, make_plan, needs_lengths
from padmask.ragged import (
    Kind,
    Ragged,
    find_misfits,
    holds_nothing,
    is_mask,
    is_sequence,
    kind_of,
    to_arrow,
    vector_size,
)
from padmask.spec import (
    DEFAULT_DTYPE,
    FLOAT_DTYPES,
    Column,
    Columns,
    MaskSpec,
    PadSpec,
    Side,
    columns_there,
    given,
    listed,
    named,
    parse_column,
    unknown_column,
)

METADATA_KEY = b"padmask"
# What masks are called where nobody says.
MASK_NAMES = ("mask", "attention_mask")

# Metadata that describes the input's types, and is a lie or a hard error once they change.
STALE_METADATA = (b"huggingface",)


@dataclass(frozen=True)
class PadColumn:
    """A column that will be padded, with everything about it decided.

    Args:
        name: of the column.
        kind: what its tokens are.
        dtype: of the padded values, one of `DTYPES`.
        value: what stands in padded places.
        inner: length of its vectors, 0 where not yet known; None for plain tokens.
    """

    name: str
    kind: Kind
    dtype: str
    value: int | float | str
    inner: int | None = None

    @property
    def numpy_dtype(self) -> npt.DTypeLike:
        return object if self.dtype == "string" else self.dtype


def pad_table(
    table: pa.Table,
    columns: Columns = None,
    spec: PadSpec | None = None,
    mask: MaskSpec | None = None,
) -> pa.Table:
    """Pad the sequence columns of a table and add their mask.

    >>> table = pa.table({"input_ids": [[7, 8], [9]], "labels": [[1, 0], [1]]})
    >>> pad_table(table, columns={"input_ids": 0, "labels": -100}).to_pydict()["labels"]
    [[1, 0], [1, -100]]

    Args:
        table: with list columns; all other columns pass through untouched.
        columns: names, `Column`s, short forms such as `"labels:int64=-100"`, or a mapping of
            names to pad values. Default: `input_ids`, else `tokens`, else the only list column.
        spec: how to pad; default `PadSpec()`.
        mask: which mask to add; default `MaskSpec()`, a bool column `mask`.

    Returns:
        A table of the same rows. Sequence columns are lists of maxlen values each, the mask is
        a list of maxlen bools, True at real tokens.

    Raises:
        SpecError: no such column, or one that cannot be padded as asked.
        DataError: a row that cannot be padded: null, unequal lengths, a value that does not fit.
    """
    spec, mask = given("spec", spec, PadSpec), given("mask", mask, MaskSpec)
    if not isinstance(table, pa.Table):
        raise SpecError(f"`table` must be a pyarrow.Table. Received: {type(table).__name__}.")
    chosen = choose_columns(table.schema, columns, spec)
    check_names(table.schema, chosen, mask)
    # Vectors must agree over the whole table, not only inside a chunk.
    batches = table.to_batches()
    chosen = settle_vectors(chosen, batches)
    read: list[dict[str, Ragged]] = []
    first = 0
    for batch in batches:
        rows, faults = read_rows(batch, chosen)
        if faults:
            raise DataError(f"Row {first + faults[0].row}, {faults[0].reason}.")
        read.append(rows)
        first += batch.num_rows
    stats = None
    if needs_lengths(spec):
        stats = sum((LengthStats.of(row_lengths(rows)) for rows in read), LengthStats())
    plan = make_plan(spec, stats)
    padded = [
        pad_rows(batch, rows, chosen, plan, spec, mask) for batch, rows in zip(batches, read, strict=True)
    ]
    schema = padded_schema(table.schema, chosen, plan, spec, mask)
    batches = [pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in padded]
    return pa.Table.from_batches(batches, schema=schema)


def choose_columns(schema: pa.Schema, asked: Columns, spec: PadSpec) -> list[PadColumn]:
    """Resolve the columns to pad against the columns there are.

    >>> choose_columns(pa.schema([("tokens", pa.list_(pa.string()))]), None, PadSpec())
    [PadColumn(name='tokens', kind='string', dtype='string', value='', inner=None)]

    Raises:
        SpecError: a column is not there, or twice there, or cannot be padded as asked.
    """
    return [_resolve(column, schema, spec) for column in name_columns(schema, asked)]


def name_columns(schema: pa.Schema, asked: Columns) -> list[Column]:
    """Find the columns that are asked for, or the one to pad by default, by name.

    Raises:
        SpecError: a column is not there, or asked for twice.
    """
    asked = listed(asked)
    if isinstance(asked, Mapping):
        asked = [Column(name, value=value) for name, value in asked.items()]
    columns = [
        parse_column(column, schema.names) if isinstance(column, str) else column for column in asked or ()
    ] or [Column(default_column(schema))]
    names = [column.name for column in columns]
    for name in names:
        if name not in schema.names:
            raise unknown_column(name, schema.names)
        if names.count(name) > 1:
            raise SpecError(f"Column {name!r} is asked for twice: give it once.", options=["columns"])
    return columns


def default_column(schema: pa.Schema) -> str:
    """Return `input_ids`, else `tokens`, else the name of the only list column."""
    for name in ("input_ids", "tokens"):
        if name in schema.names:
            return name
    lists: list[str] = [field.name for field in schema if is_sequence(field.type)]
    if len(lists) == 1:
        return lists[0]
    if lists:
        raise SpecError(
            f"Which column holds the tokens? There are {len(lists)} list columns: "
            f"{named(lists)}. Say so with -c, such as -c {lists[0]:.40}."
        )
    raise SpecError(f"There is no list column of tokens. {columns_there(schema.names)}")


def _resolve(column: Column, schema: pa.Schema, spec: PadSpec) -> PadColumn:
    places = schema.get_all_field_indices(column.name)
    if len(places) > 1:
        raise SpecError(
            f"There are {len(places)} columns named {column.name!r}: rename all but "
            "one, nobody can tell them apart.",
            options=["columns"],
        )
    try:
        kind = kind_of(schema.field(places[0]).type)
    except SpecError as error:
        raise SpecError(
            f"Column {column.name!r} cannot be padded: {error}. Choose a list column with -c.",
            options=["columns"],
        ) from None
    asked = asked_dtype(column, spec)
    if asked is not None and holds_nothing(schema.field(places[0]).type):
        kind = kind_of_dtype(asked)
    natural = {"int": "int32", "float": "float32", "string": "string"}[kind]
    dtype = asked or natural
    if (kind == "string") != (dtype == "string"):
        raise SpecError(
            f"Column {column.name!r} holds {kind}s, which cannot become {dtype}: ask for {natural}, such as "
            f"-c {column.name}:{natural}.",
            options=["columns" if column.dtype else "dtype"],
        )
    value, option = (spec.value, "value") if column.value is None else (column.value, "columns")
    return PadColumn(
        column.name,
        kind,
        dtype,
        fill_value(value, dtype, f"Column {column.name!r}", option),
        vector_size(schema.field(places[0]).type),
    )


def asked_dtype(column: Column | None, spec: PadSpec) -> str | None:
    """Return the dtype that was asked for, of a column or of all; None where the tokens tell.

    >>> asked_dtype(Column("x"), PadSpec()), asked_dtype(Column("x"), PadSpec(dtype="int64"))
    (None, 'int64')
    """
    given = spec.dtype != DEFAULT_DTYPE or spec.dtype_for_all
    own = None if column is None else column.dtype
    return own or (spec.dtype if given else None)


def kind_of_dtype(dtype: str) -> Kind:
    """Return the kind of token that becomes a dtype.

    >>> kind_of_dtype("uint16"), kind_of_dtype("float64")
    ('int', 'float')
    """
    return "string" if dtype == "string" else "float" if dtype in FLOAT_DTYPES else "int"


def fill_value(value: Any, dtype: str, where: str, option: str = "value") -> int | float | str:
    """Return the pad value, which `option` gives, as `dtype` holds it; text, as typed, is read.

    >>> fill_value("-100", "int32", "Column 'labels'"), fill_value(0, "string", "Column 'tokens'")
    (-100, '')

    Raises:
        SpecError: the value does not fit.
    """
    if dtype == "string":
        return _fill_string(value, where, option)
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, str):
        number = _read_number(number)
    if isinstance(number, (int, float)) and not isinstance(number, bool):
        if dtype in FLOAT_DTYPES:
            return _fill_float(number, value, dtype, where, option)
        limits = np.iinfo(dtype)
        if number == number and abs(number) < 2**63 and number == int(number):
            if limits.min <= number <= limits.max:
                return int(number)
            raise SpecError(
                f"{where}: the pad value {value} does not fit {dtype}, which goes from {limits.min} to "
                f"{limits.max}. Choose another value, or a wider dtype such as int64.",
                options=[option],
            )
    raise SpecError(
        f"{where}: the pad value {value!r} is no {dtype}. Choose one that is, or another dtype.",
        options=[option],
    )


def _fill_string(value: Any, where: str, option: str) -> str:
    if isinstance(value, str):
        return str(value)
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        raise SpecError(
            f"{where}: the pad value {value!r:.80} is no string. Choose one that is.", options=[option]
        )
    # 0 is the default of every dtype, and the zero of strings is the empty one.
    return "" if value == 0 else str(value)


def _fill_float(number: int | float, value: Any, dtype: str, where: str, option: str) -> float:
    largest = float(np.finfo(dtype).max)
    if abs(number) > largest and abs(number) != float("inf"):
        raise SpecError(
            f"{where}: the pad value {value} does not fit {dtype}, which goes up to {largest:.4g}. "
            "Choose another value, or float64.",
            options=[option],
        )
    return float(number)


def _read_number(text: str) -> int | float | None:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return None


def check_names(schema: pa.Schema, columns: Sequence[PadColumn], mask: MaskSpec) -> None:
    """Refuse to write over a column that the input already has.

    Raises:
        SpecError: the mask's or the length's name is taken, and `mask.overwrite` is not set, or it
            is that of a column to pad.
        PaddedError: a mask has the mask's name already.
    """
    for name in mask.names:
        if name in [column.name for column in columns]:
            raise SpecError(
                f"Column {name!r} is to be padded and cannot be the mask or the length too: choose another "
                "name with --mask-column or --length-column.",
                options=[mask.option_for(name)],
            )
        if name in schema.names and not mask.overwrite:
            # A mask under a usual name shows padded input; other names and values only stand in the way.
            usual = name == mask.column and name in MASK_NAMES
            padded = usual and is_mask(schema.field(schema.get_all_field_indices(name)[0]).type)
            raise (PaddedError if padded else SpecError)(
                f"The input already has a column {name!r}. If it is padded already, its padding would count "
                "as real tokens: take it away first, with padmask unpad. If not, choose another name with "
                "--mask-column or --length-column, or replace the column with --overwrite-mask.",
                options=[mask.option_for(name)],
            )


def settle_vectors(columns: Sequence[PadColumn], batches: Iterable[pa.RecordBatch]) -> list[PadColumn]:
    """Return the columns with the length of their vectors, which the first vector decides.

    Args:
        columns: to pad; those of plain tokens come back as they are.
        batches: of the data, from its start; no more of them are read than needed.
    """
    settled = {column.name: column for column in columns}
    unknown = {column.name for column in columns if column.inner == 0}
    for batch in batches if unknown else ():
        for name in sorted(unknown):
            rows, _ = Ragged.from_arrow(batch.column(name))
            if rows.lengths.any():
                settled[name] = replace(settled[name], inner=int(rows.values.shape[1]))
                unknown.discard(name)
        if not unknown:
            break
    return list(settled.values())


def read_rows(batch: pa.RecordBatch, columns: Sequence[PadColumn]) -> tuple[dict[str, Ragged], list[Fault]]:
    """Flatten the columns, and find the rows that cannot be padded.

    Returns:
        The rows of each column, and the first fault of each bad row, in order of rows.
    """
    rows: dict[str, Ragged] = {}
    faults: dict[int, Fault] = {}
    first: str | None = None
    for column in columns:
        ragged, found = Ragged.from_arrow(batch.column(column.name), column.inner)
        for fault in found + find_misfits(ragged, column.dtype):
            faults.setdefault(fault.row, Fault(fault.row, f"column {column.name!r}: {fault.reason}"))
        if first is not None:
            for row in np.flatnonzero(ragged.lengths != rows[first].lengths).tolist():
                faults.setdefault(row, _unequal(row, first, rows[first], column.name, ragged))
        rows[column.name] = ragged
        first = first or column.name
    return rows, [faults[row] for row in sorted(faults)]


def _unequal(row: int, first: str, rows: Ragged, other: str, others: Ragged) -> Fault:
    return Fault(
        row,
        f"column {other!r} has {others.lengths[row]} tokens where {first!r} has {rows.lengths[row]}; columns "
        "padded together must agree, so mend the row or pad them apart",
    )


def row_lengths(rows: Mapping[str, Ragged]) -> npt.NDArray[np.int64]:
    """Return the lengths that all columns share, shape (rows,), in tokens."""
    return next(iter(rows.values())).lengths


def pad_rows(
    batch: pa.RecordBatch,
    rows: Mapping[str, Ragged],
    columns: Sequence[PadColumn],
    plan: Plan,
    spec: PadSpec,
    mask: MaskSpec,
    fixed_size: bool = False,
) -> pa.RecordBatch:
    """Return `batch` with its sequence columns padded, and the mask and length columns."""
    arrays = dict(zip(batch.schema.names, batch.columns, strict=False))
    padded: Padded | None = None
    for column in columns:
        padded = pad_batch(
            rows[column.name],
            plan.maxlen,
            padding=spec.padding,
            truncating=spec.truncating,
            value=column.value,
            dtype=column.numpy_dtype,
        )
        arrays[column.name] = to_lists(padded.values, column.dtype, fixed_size)
    assert padded is not None
    if mask.column is not None:
        arrays[mask.column] = mask_lists(padded.mask, mask.dtype, fixed_size)
    if mask.length_column is not None:
        arrays[mask.length_column] = to_arrow(padded.lengths.astype(np.int32))
    return replace_columns(batch, arrays)


def replace_columns(
    batch: pa.RecordBatch, arrays: Mapping[str, pa.Array], without: Collection[str] = ()
) -> pa.RecordBatch:
    """Put new arrays in their old places, and the ones of new names at the end; leave some columns out."""
    schema = batch.schema
    names = schema.names
    # By place where a name is there twice, so that neither of the two is lost.
    twice = {name for name, times in Counter(names).items() if times > 1}
    out = [
        (name, column if name in twice else arrays.get(name, column))
        for name, column in zip(names, batch.columns, strict=True)
        if name not in without
    ]
    out += [(name, array) for name, array in arrays.items() if name not in names]
    fields = [
        pa.field(name, array.type, metadata=_field_metadata(schema, name, array)) for name, array in out
    ]
    return pa.RecordBatch.from_arrays([array for _, array in out], schema=pa.schema(fields))


def _field_metadata(schema: pa.Schema, name: str, array: pa.Array) -> dict[bytes, bytes] | None:
    place = schema.get_field_index(name)
    if place >= 0 and schema.field(place).type == array.type:
        metadata: dict[bytes, bytes] | None = schema.field(place).metadata
        return metadata
    return None


def to_lists(values: npt.NDArray[Any], dtype: str, fixed_size: bool = False) -> pa.Array:
    """Turn a rectangle into an Arrow list column, each axis after the first a level of lists.

    >>> to_lists(np.array([[1, 2], [3, 0]], dtype="int32"), "int32").type
    ListType(list<item: int32>)

    Args:
        values: shape (rows, maxlen, ...).
        dtype: one of `DTYPES`.
        fixed_size: make fixed-size lists, which not every reader takes.
    """
    flat = values.reshape(-1)
    array = pa.array(flat, type=pa.string()) if dtype == "string" else to_arrow(flat)
    return _nest(array, values.shape, fixed_size)


def mask_lists(mask: npt.NDArray[np.bool_], dtype: str = "bool", fixed_size: bool = False) -> pa.Array:
    """Turn a mask of shape (rows, maxlen) into an Arrow list column of bools or of 0 and 1."""
    flat = mask.reshape(-1)
    if dtype == "bool":
        # Arrow's own conversion of bools takes ten times as long as packing the bits.
        bits = pa.py_buffer(np.packbits(flat, bitorder="little"))
        array = pa.Array.from_buffers(pa.bool_(), len(flat), [None, bits])
    else:
        array = to_arrow(flat.astype(dtype))
    return _nest(array, mask.shape, fixed_size)


def _nest(array: pa.Array, shape: tuple[int, ...], fixed_size: bool) -> pa.Array:
    for axis in range(len(shape) - 1, 0, -1):
        count, size = int(np.prod(shape[:axis], dtype=np.int64)), shape[axis]
        # Arrow cannot make fixed-size lists of nothing.
        if fixed_size and size:
            array = pa.FixedSizeListArray.from_arrays(array, type=pa.list_(array.type, size))
            continue
        if count * size >= 2**31:
            raise OutputError(
                f"{count} rows of {size} places in one piece are more than a list column holds: "
                "choose a smaller maxlen, such as p99, or pass fewer rows at a time."
            )
        offsets = to_arrow(np.arange(count + 1, dtype=np.int32) * size)
        array = pa.ListArray.from_arrays(offsets, array)
    return array


def padded_schema(
    schema: pa.Schema,
    columns: Sequence[PadColumn],
    plan: Plan,
    spec: PadSpec,
    mask: MaskSpec,
    fixed_size: bool = False,
) -> pa.Schema:
    """Return the schema of the padded table, with what `padmask` did in its metadata."""
    types = _empty_types(schema, columns, plan, spec, mask, fixed_size)
    description = {METADATA_KEY: json.dumps(describe(columns, plan, spec, mask)).encode()}
    return types.with_metadata(kept_metadata(schema) | description)


def kept_metadata(schema: pa.Schema) -> dict[bytes, bytes]:
    """Return the metadata that still hold once the types of columns have changed."""
    known = schema.metadata or {}
    return {key: value for key, value in known.items() if key not in (*STALE_METADATA, METADATA_KEY)}


def _empty_types(
    schema: pa.Schema,
    columns: Sequence[PadColumn],
    plan: Plan,
    spec: PadSpec,
    mask: MaskSpec,
    fixed_size: bool,
) -> pa.Schema:
    """Pad no rows at all: the types come out of the same code that makes the columns."""
    empty = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
    inner: Callable[[PadColumn], tuple[int, ...]] = lambda c: () if c.inner is None else (c.inner,)  # noqa: E731
    none = np.zeros(0, dtype=np.int64)
    rows = {
        column.name: Ragged(np.empty((0, *inner(column)), dtype=column.numpy_dtype), none, none)
        for column in columns
    }
    return pad_rows(empty, rows, columns, plan, spec, mask, fixed_size).schema


def describe(columns: Sequence[PadColumn], plan: Plan, spec: PadSpec, mask: MaskSpec) -> dict[str, Any]:
    """Return what a reader of the file must know to take the padding for padding."""
    return {
        "version": __version__,
        "maxlen": plan.maxlen,
        "maxlen_found": plan.found,
        "padding": spec.padding,
        "truncating": spec.truncating,
        "columns": {column.name: {"dtype": column.dtype, "value": column.value} for column in columns},
        "mask_column": mask.column,
        "mask_dtype": mask.dtype,
        "mask_true": "real token",
        "length_column": mask.length_column,
    }


@dataclass(frozen=True)
class Described:
    """What the metadata of a padded table say.

    Args:
        values: pad values by column.
        mask: name of the mask column, None where there is none.
        length: of the length column.
        padding: the side of the padding.
    """

    values: Mapping[str, Any]
    mask: str | None
    length: str | None
    padding: Side


def read_description(metadata: Mapping[bytes, bytes] | None) -> Described | None:
    """Read back what `describe` told; None where the metadata do not speak of padding.

    Raises:
        DataError: they speak of it in a way that nobody understands.
    """
    said = (metadata or {}).get(METADATA_KEY)
    if said is None:
        return None
    try:
        meta = json.loads(said)
        values = {name: column["value"] for name, column in meta["columns"].items()}
        found = Described(values, meta["mask_column"], meta["length_column"], meta["padding"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        found = None
    if found is None or not (
        isinstance(found.mask, str | None)
        and isinstance(found.length, str | None)
        and found.padding in ("post", "pre")
        and found.values
        and all(isinstance(value, str | int | float | None) for value in found.values.values())
    ):
        raise DataError("the padmask metadata cannot be read")
    return found
