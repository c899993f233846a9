"""Split long rows into windows that may overlap.

The windows are those of Hugging Face's fast tokenizers (`return_overflowing_tokens=True`). In these
tokenizers, the overlap is called `stride`, and with `truncating="pre"` the windows are in reverse order.
Here, the windows are always in the order of the row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from padmask.core.columns import COMPANIONS, IGNORED_LABEL, LABEL_NAMES, PadColumn, is_label
from padmask.core.end_tokens import check_end_token
from padmask.core.keep_ends import Ends, check_end_columns, join_pieces
from padmask.core.masks import Mask, fill_runs
from padmask.core.plan import Positions, Segments
from padmask.core.window_places import WindowPlaces
from padmask.errors import SpecError, column_flags
from padmask.spec.batches import SHAPE_OPTIONS
from padmask.spec.columns import quote_names
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import IDS, PackSpec, is_recomputed, names_for, written_names
from padmask.spec.pad import PadSpec, Side
from padmask.spec.windows import WINDOW_COLUMNS


def plan_windows(
    lengths: Positions, maxlen: int, ends: Ends, overlap: int, *, padding: Side, truncating: Side
) -> Segments:
    """Return `Segments` that split each row longer than `maxlen` into windows, and pad the windows.

    Each window contains the kept ends of its row. The other tokens of a window start `maxlen - first - last -
    overlap` tokens after those of the previous window. Only one window may have fewer than `maxlen` tokens:
    the last window with `truncating="post"`, or the first window with `truncating="pre"`.

    >>> ends = Ends.constant(0, 0, 1)
    >>> segments = plan_windows(np.array([10]), 4, ends, 2, padding="post", truncating="post")
    >>> segments.starts.tolist(), segments.counts.tolist()
    ([0, 2, 4, 6], [4, 4, 4, 4])

    Args:
        lengths: row lengths in tokens: int64, shape (rows,).
        maxlen: length of every output row, in tokens.
        ends: numbers of tokens to keep. For rows longer than `maxlen`, first + last + `overlap` is less than
            `maxlen`.
        overlap: number of tokens, in addition to the kept ends, that a window repeats from the previous
            window.
        padding: side of the padding.
        truncating: `"post"` aligns windows to the start of the row, `"pre"` aligns windows to its end.
    """
    numbers = count_windows(lengths, maxlen, ends, overlap)
    sources = np.repeat(np.arange(len(lengths)), numbers)
    number = np.arange(len(sources)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    cut = (lengths > maxlen)[sources]
    first, last = np.where(cut, ends.first[sources], 0), np.where(cut, ends.last[sources], 0)
    body, size = lengths[sources] - first - last, maxlen - first - last
    step = size - overlap
    if truncating == "post":
        begins = number * step
        stops = np.minimum(begins + size, body)
    else:
        stops = body - (numbers[sources] - 1 - number) * step
        begins = np.maximum(stops - size, 0)
    starts = np.stack([np.zeros_like(first), first + begins, first + body], axis=1)
    counts = np.stack([first, stops - begins, last], axis=1)
    # A window repeats the kept start and the tokens up to the end of the window before. Only the last window
    # counts the kept end.
    again = number > 0
    before = np.where(again, np.append(0, stops[:-1])[: len(stops)] - begins, 0)
    repeats = [np.where(again, first + before, 0), np.where(number < numbers[sources] - 1, last, 0)]
    places = WindowPlaces(number, first + begins, first + stops, np.stack(repeats, axis=1))
    return join_pieces(lengths, sources, starts, counts, maxlen, padding, places)


def count_windows(lengths: Positions, maxlen: int, ends: Ends, overlap: int) -> Positions:
    """Return the number of windows of each row: int64, shape (rows,). The arguments are as in `plan_windows`.

    >>> count_windows(np.array([10, 4, 0]), 4, Ends.constant(0, 0, 3), 2).tolist()
    [4, 1, 1]
    """
    cut = lengths > maxlen
    step = np.where(cut, maxlen - ends.first - ends.last - overlap, 1)
    more = -(-(lengths - maxlen) // step)
    counts: Positions = np.where(cut, 1 + more, 1)
    return counts


def repeated_mask(segments: Segments) -> Mask:
    """Return, for each position, whether its token is a copy of a token in another window.

    If windows overlap, the first of them has the original. Tokens at the end of a row that all windows keep
    are an exception: the last window has the original.

    Args:
        segments: windows from `plan_windows`.

    Returns:
        bool, shape (rows, maxlen).
    """
    mask = np.zeros((len(segments.lengths), segments.maxlen or 0), dtype=bool)
    flag_repeated(mask, segments, np.arange(len(mask)) * mask.shape[1] + segments.first_places)
    return mask


def flag_repeated(mask: Mask, segments: Segments, firsts: Positions) -> None:
    """Set the flag of each repeated token (a copy of a token in another window) to True.

    Args:
        mask: flags of all positions. They are changed in place.
        segments: windows, one in each sequence.
        firsts: flat index of the first token of each sequence in `mask`: int64, shape (sequences,).
    """
    assert segments.windows is not None and segments.windows.repeats is not None
    head, tail = segments.windows.repeats.T
    fill_runs(mask, firsts, head, True)
    fill_runs(mask, firsts + segments.lengths - tail, tail, True)


def window_columns(segments: Segments, numbers: Positions) -> dict[str, pa.Array]:
    """Return the columns that locate each window in its source row, keyed by column name.

    Args:
        segments: windows from `plan_windows`.
        numbers: number of each source row in the input: int64, shape (source rows,).
    """
    places = segments.windows
    assert places is not None
    parts = (places.numbers, places.starts, places.stops)
    arrays = [pa.array(numbers[segments.row_sources])]
    arrays += [pa.array(part.astype(np.int32)) for part in parts]
    return dict(zip(WINDOW_COLUMNS, arrays, strict=True))


def check_cuts(
    schema: pa.Schema,
    columns: Sequence[PadColumn],
    spec: PadSpec,
    mask: MaskSpec,
    replaced: Collection[str | None] = (),
) -> None:
    """Check the input columns for kept ends and windows, and the names of the columns to add.

    Args:
        schema: columns of the input.
        columns: columns to pad.
        spec: how to pad.
        mask: the new mask and length columns.
        replaced: names of input columns that new columns replace.

    Raises:
        SpecError: a column with the number of tokens to keep is missing or has the wrong type; the input or
            the mask already has the name of a column to add; only new tokens should keep their labels, but
            no column contains labels; or the end token cannot be added.
    """
    check_end_columns(schema, spec)
    if spec.packing is not None and spec.packing.eos is not None:
        check_end_token(columns, spec.packing.eos)
    if (
        spec.windows is not None
        and spec.windows.labels == "new"
        and mask.labels_column is None
        and (spec.packing is None or "loss_mask" not in spec.packing.emit)
        and not any(map(is_label, columns))
    ):
        padded = column_flags([column.name for column in columns])
        raise SpecError(
            "`window_labels` 'new' has no effect, because no padded column contains labels. To pad a column "
            f"of labels, use {padded} -c NAME={IGNORED_LABEL}. Otherwise remove the option.",
            options=["window_labels"],
        )
    noun = spec.shape
    names = [column.name for column in columns]
    if spec.packing is not None:
        _check_renames(schema, columns, spec.packing, mask, replaced)
    for name in names_for(spec.added_columns, [*written_names(spec.packing, names).values()]):
        is_replaced = name in replaced or (name in names and is_recomputed(name, spec.packing))
        if name in schema.names and not is_replaced and is_recomputed(name, spec.packing):
            flags = column_flags([*names, name])
            raise SpecError(
                f"Packing computes a new column {name!r}, so the input column with this name is not packed. "
                f"To use the column, choose {flags}. Otherwise rename the column.",
                options=["columns"],
            )
        if name in schema.names and not is_replaced:
            raise SpecError(
                f"{noun.capitalize()} need a new column {name!r}, but the input already has a column with "
                f"this name. If the input contains {noun}, first restore the rows with padmask unpad. "
                "Otherwise rename the column.",
                options=[SHAPE_OPTIONS[noun]],
            )
        if name in mask.names:
            raise SpecError(
                f"{noun.capitalize()} need a new column {name!r}, but the mask or length column has this "
                f"name too. {mask.name_remedy(name)}.",
                options=[mask.option_for(name)],
            )


def _check_renames(
    schema: pa.Schema,
    columns: Sequence[PadColumn],
    packing: PackSpec,
    mask: MaskSpec,
    replaced: Collection[str | None],
) -> None:
    """Raise an error if the new name of a packed column is taken, or stands for other contents.

    The arguments are as in `check_cuts`.
    """
    names = [column.name for column in columns]
    outputs = written_names(packing, names)
    if unknown := [name for name, _ in packing.renames if name not in (*names, IDS)]:
        raise SpecError(
            f"`renames` contains {unknown[0]!r}, which is not a packed column. The packed columns are "
            f"{quote_names(names)}.",
            options=["renames"],
        )
    kept = {*schema.names}.difference(names, replaced) if packing.fields == "list" else ()
    added = {*mask.names, *names_for(packing.added_columns, [*outputs.values()])}
    for column, (name, new) in zip(columns, outputs.items(), strict=True):
        if name == new:
            continue
        is_companion = new in COMPANIONS and new not in LABEL_NAMES
        if is_companion or is_label(column) != is_label(replace(column, name=new)):
            raise SpecError(
                f"Packing cannot write the column {name!r} as {new!r}, because this name is reserved for "
                "columns with other contents. Choose another name. For labels, use the pad value "
                f"{IGNORED_LABEL}.",
                options=["renames", "dialect"],
            )
        if new in added:
            remedy = "Choose another name for the column that packing adds."
        elif [*outputs.values()].count(new) > 1:
            remedy = (
                f"Pack only one of the two columns with {column_flags([name])}, or rename a column of the "
                "input."
            )
        elif new in kept:
            remedy = "Rename this column, or leave out all columns that are not packed with --fields drop."
        else:
            continue
        raise SpecError(
            f"Packing writes the column {name!r} as {new!r}, but there is another column {new!r}. {remedy}",
            options=["dialect"],
        )
