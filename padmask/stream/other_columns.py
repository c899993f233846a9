"""Choose the other columns that the output keeps, and the name of its length column."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import pyarrow as pa

from padmask.core.metadata import read_descriptions
from padmask.core.padding import check_names
from padmask.core.source_order import has_integers
from padmask.errors import Place, SpecError
from padmask.formats import why_not_kept
from padmask.formats.dataset import Dataset
from padmask.spec.batches import SOURCE_ROW
from padmask.spec.formats import FormatTraits
from padmask.stream.job import Job, PadRequest, make_job


def make_output_job(dataset: Dataset, asked: PadRequest, output: FormatTraits) -> Job:
    """Choose the columns to pad, and the other columns that the output format can store.

    The errors are those of `make_job`, `refuse_source_row` and `name_lengths`.
    """
    job = make_job(dataset, asked, keep_others=output.keeps is None)
    refuse_source_row(dataset, job, output)
    return name_lengths(keep_columns(job, dataset, output), dataset, output)


def refuse_source_row(dataset: Dataset, job: Job, output: FormatTraits) -> None:
    """Raise an error if `unpad` would sort the rows by the column `source_row` of the input.

    Raises:
        SpecError: the input has this column, padding changes the order of the rows without adding this
            column, and the output format has no metadata.
    """
    is_ambiguous = output.is_text and job.spec.reorders and not job.spec.source_row
    if is_ambiguous and has_integers(dataset.schema(), SOURCE_ROW):
        raise SpecError(
            f"the input has a column {SOURCE_ROW!r}. {output.title} has no metadata, so unpad would use this "
            "column to sort the rows",
            place=Place(dataset.name),
            remedy="Rename the column, or write Parquet.",
            options=["source_row"],
        )


def keep_columns(job: Job, dataset: Dataset, output: FormatTraits) -> Job:
    """Return the job without the columns that are not padded and that the output format cannot store.

    For JSON Lines input, the job is unchanged, because the types of JSON fields are unknown before all rows
    are read. The writer then chooses the fields.
    """
    if output.keeps is None or dataset.format.is_text:
        return job
    schema, read = dataset.schema(), job.wanted.sequences
    changed = {*(column.name for group in job.groups for column in group.columns), *job.added}
    replaced = {*job.dropped} - {*job.unwritten}
    left_out = _left_out(schema, output, {*changed, *replaced})
    kept = [field for field in schema if field.name not in {*changed, *replaced, *left_out}]
    fields = [*read, *(field for field in kept if field.name not in read.names)]
    names = [field.name for field in kept]
    wanted = replace(
        job.wanted,
        sequences=pa.schema(fields, metadata=read.metadata),
        optional=[*job.wanted.optional, *names],
    )
    unwritten = tuple(name for name in job.unwritten if name not in names)
    return replace(job, wanted=wanted, unwritten=unwritten, left_out=left_out)


def _left_out(schema: pa.Schema, output: FormatTraits, without: Collection[str]) -> Mapping[str, str]:
    """Return the columns that the format cannot store, each with the reason."""
    reasons = {}
    for field in schema:
        if field.name not in without:
            twice = schema.names.count(field.name) > 1
            why = "several columns have this name" if twice else why_not_kept(output, field.type)
            if why is not None:
                reasons[field.name] = why
    return reasons


def name_lengths(job: Job, dataset: Dataset, output: FormatTraits) -> Job:
    """Set the name of the length column in the `Job` if the output format always has a length column.

    If the user chose a name, the job is unchanged.

    Raises:
        SpecError: the input has a column of this name.
    """
    always = output.length_column
    if always is None or job.mask.length_column is not None:
        return job
    replaced = job.mask.overwrite or (job.mask.allow_padded and _is_described(dataset, always))
    if always in dataset.schema().names and not replaced:
        raise SpecError(
            f"{output.title} output has an array {always!r} with the number of tokens in each row, but the "
            "input has a column of this name too",
            place=Place(dataset.name),
            remedy="Choose another name for the array, such as --length-column tokens, or rename the column.",
            options=["length_column"],
        )
    job = replace(job, mask=replace(job.mask, length_column=always))
    with dataset.named_in_errors():
        check_names(pa.schema([]), [column for group in job.groups for column in group.columns], job.mask)
    return job


def _is_described(dataset: Dataset, name: str) -> bool:
    """Return whether the metadata of every file says that the column `name` is a length column."""
    described = (read_descriptions(schema.metadata) for schema in dataset.schemas().values())
    return all(any(group.length == name for group in groups) for groups in described)
