"""`pack`: pack rows in memory into arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from padmask.core.arrays import check_array_cuts, read_array_rows
from padmask.core.end_tokens import check_end_token
from padmask.core.kernel import pad_batch
from padmask.core.length_stats import LengthStats
from padmask.core.masks import Mask, number_sequences, restarting_positions
from padmask.core.memory_columns import is_columns
from padmask.core.pack_dict import pack_dict
from padmask.core.packable_rows import packable_rows
from padmask.core.packed_columns import PackedRows
from padmask.core.plan import Positions, make_plan, needs_lengths
from padmask.errors import SpecError
from padmask.spec.checks import one_of
from padmask.spec.columns import Columns
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import PackSpec
from padmask.spec.pack_defaults import pack_policy, packed_spec
from padmask.spec.pad import PadSpec, RowPolicy
from padmask.spec.windows import WindowSpec

# Fields of `PackSpec` that determine the packed rows. The other fields choose columns of tables and files.
_PACKING = ("algorithm", "max_segments", "align", "eos")

# The policy for each value of `overlong`. With "split", rows are split before they could be truncated.
_POLICIES = {
    "error": RowPolicy(overlong="error", empty_rows="drop"),
    "truncate": RowPolicy(overlong="truncate", empty_rows="drop"),
    "drop": RowPolicy(overlong="drop", empty_rows="drop"),
    "split": RowPolicy(overlong="truncate", empty_rows="drop"),
}


@dataclass(frozen=True)
class Packed:
    """Packed rows, with their mask and the positions of the sequences.

    >>> import padmask
    >>> padmask.pack([[7, 8, 9], [5, 6], [4]], maxlen=4).seq_lengths
    [array([3, 1], dtype=int32), array([2], dtype=int32)]

    Args:
        values: packed values of the requested dtype, of shape (rows, maxlen, ...).
        mask: bool array, shape (rows, maxlen). **True is a real token**, False is padding.
        segment_ids: number of the sequence at each position, 1, 2, ... in each row, and 0 at padding: int32,
            shape (rows, maxlen).
        position_ids: position of each token in its sequence, from 0: int32, shape (rows, maxlen). The
            positions of a run of padding also start at 0.
        seq_lengths: number of tokens of each sequence: for each row, an int32 array of shape (sequences,).
        source_rows: source row of each sequence: for each row, an int64 array of shape (sequences,).
        source_starts: index of the first token of each sequence in its source row: for each row, an int32
            array of shape (sequences,). For a window, this is the index of the first token after the tokens
            that `keep_first` keeps.

    Source: `segment_ids` and `position_ids` as in "Efficient Sequence Packing without Cross-contamination"
    (arXiv 2107.02027), numbered as in seqio and grain.
    """

    values: npt.NDArray[Any]
    mask: Mask
    segment_ids: npt.NDArray[np.int32]
    position_ids: npt.NDArray[np.int32]
    seq_lengths: list[npt.NDArray[np.int32]]
    source_rows: list[npt.NDArray[np.int64]]
    source_starts: list[npt.NDArray[np.int32]]


Overlong = Literal["error", "truncate", "drop", "split"]


@overload
def pack(
    sequences: Mapping[str, Sequence[Any]],
    spec: PadSpec | None = None,
    *,
    columns: Columns = None,
    mask: MaskSpec | None = None,
    overlong: Overlong | None = None,
    **options: Any,
) -> dict[str, Any]: ...


@overload
def pack(
    sequences: Any,
    spec: PadSpec | None = None,
    *,
    columns: None = None,
    mask: None = None,
    overlong: Overlong | None = None,
    **options: Any,
) -> Packed: ...


def pack(
    sequences: Any,
    spec: PadSpec | None = None,
    *,
    columns: Columns = None,
    mask: MaskSpec | None = None,
    overlong: Overlong | None = None,
    **options: Any,
) -> Packed | dict[str, Any]:
    """Pack sequences, or a dict of columns: put several sequences into each row of length maxlen.

    >>> packed = pack([[7, 8, 9], [5, 6], [4]], maxlen=4)
    >>> packed.values
    array([[7, 8, 9, 4],
           [5, 6, 0, 0]], dtype=int32)
    >>> packed.segment_ids
    array([[1, 1, 1, 2],
           [1, 1, 0, 0]], dtype=int32)
    >>> packed.position_ids
    array([[0, 1, 2, 0],
           [0, 1, 0, 1]], dtype=int32)

    Args:
        sequences: rows of tokens, or of vectors of equal length, as in `pad`. Rows without tokens are left
            out. A dict of columns or an Arrow table is packed as in `pack_table`.
        spec: how to pad the packed rows; default `PadSpec()`. Without `maxlen`, packed rows are as long as
            the longest sequence.
        columns, mask: for a dict of columns, the columns to pack and the mask to add, as in `pack_table`.
        overlong: what to do with sequences longer than `maxlen`: `"error"` (the default), `"truncate"`,
            `"drop"` or `"split"` (into sequences that are packed separately; the default if the options have
            `windows`).
        options: fields of `PadSpec`, such as `maxlen`, and the fields `algorithm`, `max_segments`, `align`
            and `eos` of `PackSpec`. These options replace the options of `spec`. Rows are always padded to
            `maxlen`.

    Returns:
        If `sequences` are rows: a `Packed`. `pack_file` writes the same packed rows for a file with these
        rows. If `sequences` are columns or a table: a dict. The packed columns, `mask`, `segment_ids` and
        `position_ids` are arrays of shape (rows, maxlen, ...), and so are the columns in `PackSpec.emit` that
        have one value at each position. All other columns, including `seq_lengths`, `source_rows` and
        `source_starts`, have one value for each sequence: for each row, an array or a list. The dtype of the
        values is as in `pad`.

    Raises:
        SpecError: an option is not valid, or the pad value does not fit the dtype.
        DataError: a row is null, too long or contains a null, vectors of a row differ in length, or a value
            does not fit the dtype.

    Source: "Efficient Sequence Packing without Cross-contamination" (arXiv 2107.02027).
    """
    spec = _spec_with(spec, options, overlong)
    packing = spec.packing
    assert packing is not None
    policy = pack_policy(None if overlong is None else _POLICIES[overlong], spec)
    if is_columns(sequences):
        return pack_dict(sequences, columns, spec, mask, policy)
    if columns is not None or mask is not None:
        raise SpecError(
            "`columns` and `mask` require a dict of columns. Pass {'input_ids': rows}, or remove `columns` "
            "and `mask`.",
            options=["columns", "mask"],
        )
    check_array_cuts(spec, policy, "pack")
    ragged, column = read_array_rows(sequences, spec)
    if packing.eos is not None:
        check_end_token([column], packing.eos)
    plan = make_plan(spec, LengthStats.of(ragged.lengths) if needs_lengths(spec) else None)
    kept = packable_rows({column.name: ragged}, [column], plan, spec, policy)
    packed = PackedRows(kept.arrange([column], plan, spec), packing)
    segments = packed.segments
    padded = pad_batch(kept.rows[column.name], segments, value=column.value, dtype=column.numpy_dtype)
    return Packed(
        padded.values,
        padded.mask,
        number_sequences(segments, padded.mask),
        restarting_positions(segments, padded.mask),
        _split(segments.lengths.astype(np.int32), packed.sizes),
        _split(kept.numbers[packed.sources], packed.sizes),
        _split(packed.source_starts.astype(np.int32), packed.sizes),
    )


def _split(values: npt.NDArray[Any], sizes: Positions) -> list[npt.NDArray[Any]]:
    return np.split(values, np.cumsum(sizes)[:-1]) if len(sizes) else []


def _spec_with(spec: PadSpec | None, options: Mapping[str, Any], overlong: str | None) -> PadSpec:
    """Return the options for padding and packing. The arguments are as in `pack`.

    Raises:
        SpecError: an option is not valid, or has no effect on arrays.
    """
    if overlong == "window":
        raise SpecError(
            "`overlong` cannot be 'window'. To split long rows into overlapping windows, use "
            "windows=WindowSpec(overlap=N). To split long rows without overlap, use overlong='split'.",
            options=["overlong"],
        )
    if overlong is not None:
        one_of("overlong", overlong, _POLICIES)
    for name in ("preset", "dialect"):
        if name in options:
            raise SpecError(
                f"`{name}` is not an option of `pack`, which returns arrays. For the columns of a trainer, "
                "use `spec, mask = padmask.pack_preset('hf')` with `pack_table` or `pack_file`.",
                options=[name],
            )
    for field in fields(PackSpec):
        if field.name in options and field.name not in _PACKING:
            raise SpecError(
                f"`{field.name}` chooses columns of tables and files, but `pack` returns arrays. Use "
                f"`pack_table`, or remove `{field.name}`.",
                options=[field.name],
            )
    spec = packed_spec(spec, options={**options, "pad": True})
    if overlong == "split" and spec.windows is None:
        spec = replace(spec, windows=WindowSpec())
    return spec
