"""Check and open the inputs of a run, and collect warnings about the inputs."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager

import pyarrow as pa

from padmask.core.columns import MASK_NAMES
from padmask.core.dialects import dialect_in_words, dialect_options
from padmask.core.foreign_metadata import lost_class_names
from padmask.core.plan import Plan
from padmask.core.table import padded_schema
from padmask.errors import SpecError, column_flags, join_few
from padmask.formats.dataset import Dataset
from padmask.spec.files import FileOptions
from padmask.spec.formats import FormatTraits
from padmask.spec.warning_names import LACKS_END, Warned
from padmask.storage.conflicts import (
    refuse_closed,
    refuse_inside,
    refuse_own_input,
    refuse_replaced,
    refuse_shared_place,
)
from padmask.storage.data_files import split_of
from padmask.storage.inputs import InputFiles, find_inputs
from padmask.storage.names import is_folder_format
from padmask.storage.output_places import descriptor_of, is_written_in_place
from padmask.storage.source import sources_of
from padmask.storage.urls import checked_path, checked_paths, display_path, is_url, refuse_mistyped
from padmask.stream.job import Job
from padmask.stream.pad_values import pad_value_notes


def data_notes(dataset: Dataset, job: Job, format_: FormatTraits, limit: int | None) -> tuple[Warned, ...]:
    """Return warnings about the data to pad.

    Args:
        dataset: the data.
        job: columns and options of the run.
        format_: format of the output.
        limit: maximum number of rows to read. If None, all rows are read.
    """
    return (
        *job.beside.notes,
        *_dialect_notes(job, format_),
        *dataset.notes,
        *pad_value_notes([column for group in job.groups for column in group.columns], format_),
        *end_notes(dataset, limit),
        *unlisted_notes(dataset),
        *class_name_notes(dataset, _written(job) if format_.has_metadata else None, format_, job.left_out),
    )


def _dialect_notes(job: Job, format_: FormatTraits) -> Iterator[Warned]:
    """Yield a warning for each mask whose polarity or kind `unpad` knows only if options specify it."""
    for group in job.groups if format_.is_text else ():
        mask = group.mask
        if mask.column is not None and (options := dialect_options(mask.column, mask.dialect)):
            if mask.column not in MASK_NAMES:
                options = ["--mask-column", mask.column, *options]
            yield Warned(
                "mask-not-described",
                f"{format_.title} has no metadata, so the output does not record that {mask.column!r} is "
                f"{dialect_in_words(mask.dialect)}. To unpad, inspect or verify the output, use "
                f"{shlex.join(options)}",
            )


def _written(job: Job) -> pa.Schema:
    """Return the schema of the output, with an arbitrary maxlen in padmask's metadata."""
    any_plan = Plan(1, "given", 1)
    groups = [(group, any_plan) for group in job.groups]
    return padded_schema(job.wanted.schema, groups, job.fixed_size, job.dropped)


def class_name_notes(
    dataset: Dataset, written: pa.Schema | None, format_: FormatTraits, left_out: Collection[str] = ()
) -> tuple[Warned, ...]:
    """Return a warning if class label names of the input are missing from the output.

    Args:
        dataset: the data.
        written: columns of the output, with metadata; None for a format without metadata.
        format_: format of the output.
        left_out: names of columns that are not in the output.
    """
    lost = {} if dataset.format.is_text else lost_class_names(dataset.schemas().values(), written)
    if written is None:
        return _lost_names(
            [name for name in lost if name not in left_out],
            f"{format_.title} cannot store class label names. Write Parquet or Arrow",
        )
    changed = [name for name, differ in lost.items() if not differ]
    return (
        *_lost_names([name for name in lost if lost[name]], "the names differ between the files"),
        *_lost_names(
            changed,
            "only int64 columns can have class label names. To keep the names: "
            + column_flags(f"{name}:int64" for name in changed[:1]),
        ),
    )


def _lost_names(columns: Sequence[str], why: str) -> tuple[Warned, ...]:
    if not columns:
        return ()
    named = join_few(list(map(repr, columns)))
    return (Warned("class-names-lost", f"the class label names of {named} are not in the output: {why}"),)


Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

NOT_LISTED = (
    "files that were read but are not listed in the _padmask.json of their folder: {}. If a file is a copy "
    "of a shard, its rows were read twice. Move the copy to another folder, or pad the dataset again"
)


def check_paths(
    inputs: Paths, output: str | os.PathLike[str], rejects: str | None = None
) -> tuple[list[str], str]:
    """Check the input and output paths for conflicts, and return them as strings.

    Raises:
        SpecError: there is no input, or the output path is not valid for the output format.
        OutputError: two outputs are the same file, or an output is in an input folder.
    """
    paths = checked_paths(inputs)
    if not paths:
        raise SpecError("No input. Specify a file, or - for standard input.")
    output_path = checked_path(output)
    if rejects is not None:
        refuse_mistyped(rejects)
    if is_folder_format(output_path):
        output_path = _checked_folder(output_path)
    elif output_path.endswith("/") or os.path.isdir(output_path):
        raise SpecError(
            f"{display_path(output_path)!r} is a folder, but the output is one file. Specify a file."
        )
    refuse_closed(output_path)
    if descriptor_of(output_path) == 1:
        output_path = "-"
    outputs = {"the output": output_path, "the rejects": rejects}
    refuse_shared_place(outputs)
    refuse_inside(outputs, paths)
    return paths, output_path


def _checked_folder(path: str) -> str:
    """Check the path of an output folder of npy files, and return the path without a final slash.

    Raises:
        SpecError: the path is remote, or it neither ends with a slash nor is an existing folder.
    """
    if is_url(path):
        raise SpecError(
            f"{display_path(path)!r} is remote, but padmask writes folders of npy files only to local disks. "
            "Write a local folder and copy it, or write .npz.",
            options=["output"],
        )
    if not path.endswith("/") and not os.path.isdir(path):
        raise SpecError(
            f"{path!r} could hold only one column. For a folder with one .npy file for each column, end the "
            "path with /. For one file, write .npz.",
            options=["output"],
        )
    return path.rstrip("/")


@contextmanager
def open_dataset(
    paths: Sequence[str], output_path: str, files: FileOptions, *, replaceable: bool = True
) -> Iterator[Dataset]:
    """Open the inputs as one dataset.

    Args:
        paths: paths of the inputs.
        output_path: path of the output.
        files: formats, limits and tuning.
        replaceable: whether the output may replace the input if there is only one input.

    Raises:
        DataError: an input cannot be read, or the columns of the inputs have no common types.
        SpecError: the inputs have different formats.
        OutputError: an output is also an input.
    """
    found = find_inputs(paths)
    refuse_joined_splits(found)
    sources = sources_of(found.files, spool_folder(output_path))
    outputs = {"the output": output_path, "the rejects": files.rejects}
    allowed = "the output" if replaceable else None
    refuse_replaced(outputs, [source.path for source in sources], replaceable=allowed)
    dataset = Dataset(
        sources, files.input_format, files.batch_rows, notes=[*found.notes, *joined_splits_note(found)]
    )
    with closing(dataset):
        refuse_own_input([output_path, files.rejects], dataset.is_input, replaceable=replaceable)
        yield dataset


def refuse_joined_splits(found: InputFiles) -> None:
    """Raise an error if one output file would join the splits of a saved `DatasetDict`.

    Raises:
        SpecError: an input is a folder with several splits.
    """
    for folder, splits in found.splits.items():
        if len(splits) > 1:
            raise SpecError(
                f"{folder!r} contains {len(splits)} splits of a dataset: {join_few(splits)}. Specify one "
                f"split, such as {folder}/{splits[0]}. To pad all splits into separate files, use an output "
                "folder, such as -o padded/."
            )


def joined_splits_note(found: InputFiles) -> tuple[Warned, ...]:
    """Return a warning if the names of the input files show that the output joins several splits."""
    splits = dict.fromkeys(split for file in found.files if (split := split_of(file.name)))
    if len(splits) < 2:
        return ()
    return (
        Warned(
            "splits-joined",
            f"the output contains several splits: {', '.join(splits)}. To write them to separate files, use "
            "an output folder, such as -o padded/. To pad one split, list only its files",
        ),
    )


def end_notes(dataset: Dataset, limit: int | None) -> list[Warned]:
    """Return a warning for each file that is read to its end but has no end-of-stream marker."""
    return [Warned("no-end-mark", f"{name}: {LACKS_END}") for name in dataset.lacking_end(limit)]


def unlisted_notes(dataset: Dataset) -> tuple[Warned, ...]:
    """Return a warning if input files are missing from the manifest of their folder."""
    if not dataset.unlisted_files:
        return ()
    return (Warned("unlisted-file", NOT_LISTED.format(join_few(dataset.unlisted_files))),)


def spool_folder(output_path: str) -> str:
    """Return the folder for temporary files: the folder of the output if writable, else a system folder."""
    elsewhere = output_path == "-" or is_url(output_path) or is_written_in_place(output_path)
    folder = None if elsewhere else os.path.dirname(os.path.realpath(output_path))
    return (
        folder if folder and os.path.isdir(folder) and os.access(folder, os.W_OK) else tempfile.gettempdir()
    )
