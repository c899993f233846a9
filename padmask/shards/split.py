"""Split a dataset into shards. Each shard becomes one output file.

The split depends on file names, file sizes and the row groups of large Parquet files, not on the rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from padmask.errors import OutputError, SpecError, size
from padmask.formats import row_group_sizes
from padmask.spec.buckets import BUCKET, bucket_file
from padmask.spec.formats import FormatTraits
from padmask.storage.folder import OutputFolder
from padmask.storage.inputs import InputFile, refuse_same_output_names
from padmask.storage.manifest_file import MOST_MANIFEST_BYTES
from padmask.storage.names import COMPRESSIONS, MANIFEST, RESERVED, format_of, is_data
from padmask.storage.source import Source
from padmask.storage.urls import display_path, is_url

# Maximum size in bytes of the manifest entry of a shard, without the names and the version in the entry.
RECORD_BYTES = 900

# Maximum size in bytes of the manifest entry of a bucket file, without the name of the file.
BUCKET_BYTES = 250

# Parquet files larger than this size in bytes are split at row-group boundaries, so that several workers can
# share a file.
SHARD_BYTES = 256 << 20


@dataclass(frozen=True)
class Shard:
    """A part of a dataset that becomes one output file: an input file, or some row groups of an input file.

    Args:
        index: number of the shard in the dataset, starting at 0.
        source: the input file, with a range of row groups if the file is split.
        name: path of the output file, relative to the output folder.
        size: size of the input in bytes; 0 if unknown.
        version: numbers that change if the input changes, read when the files were listed.
        limit: maximum number of rows to read. If None, all rows are read.
    """

    index: int
    source: Source
    name: str
    size: int
    version: tuple[int, ...] | None = None
    limit: int | None = None

    @property
    def place(self) -> str:
        """Name of the input, for messages."""
        return self._with_row_groups(self.source.name)

    @property
    def address(self) -> str:
        """Absolute path of the input, or its URL without secrets."""
        return self._with_row_groups(display_path(self.source.path))

    @property
    def stamp(self) -> str:
        """Text that changes if the input or the row limit changes. The text is the same on all machines."""
        version = () if self.version is None else self.source.shared_version(self.version)
        return " ".join(map(str, (*version, *(() if self.limit is None else (self.limit,)))))

    def _with_row_groups(self, name: str) -> str:
        if self.source.groups is None:
            return name
        first, end = self.source.groups
        return f"{name}, row groups {first} to {end - 1}"


def find_shards(
    files: Sequence[InputFile], source: FormatTraits, output: FormatTraits, shard_bytes: int = SHARD_BYTES
) -> list[Shard]:
    """Split the files of a dataset into shards, in order.

    The split, and therefore the output, does not depend on the number of workers.

    Args:
        files: files of the dataset.
        source, output: formats of the input and the output.
        shard_bytes: a Parquet file that is larger than this size in bytes is split at row-group boundaries.

    Raises:
        SpecError: two output files would have the same name, or an output file would have a reserved name.
    """
    named = []
    for file in files:
        # The path is absolute, because workers may have a different current folder.
        file_source = Source(absolute(file.path), None, file.stored, label=display_path(file.path))
        name = output_name(file.name, source, output)
        if name.startswith(RESERVED):
            raise SpecError(
                f"The name {name!r} is reserved for padmask in an output folder. Rename {file_source.name!r}."
            )
        size = file_source.size or 0
        can_split = source.row_groups is not None and size > shard_bytes
        sizes = row_group_sizes(source, file_source) if can_split else [size]
        named += _split_file(file_source, name, sizes, shard_bytes)
    refuse_same_output_names(InputFile(part.name, name) for part, name, _ in named)
    return [Shard(i, part, name, size, part.first_version()) for i, (part, name, size) in enumerate(named)]


def absolute(path: str) -> str:
    """Return the absolute path of a local path. Return a URL unchanged.

    >>> absolute("/data/a.jsonl"), absolute("s3://bucket/a.jsonl")
    ('/data/a.jsonl', 's3://bucket/a.jsonl')
    """
    return path if is_url(path) else os.path.abspath(path)


def refuse_no_shards(files: Sequence[InputFile], *, needs_folder: bool = False) -> None:
    """Raise an error if an input is a stream, because output files are named after their input files.

    Args:
        files: the inputs.
        needs_folder: whether the output must be a folder, as for buckets.

    Raises:
        SpecError: an input is a stream.
    """
    for file in files:
        source = Source(file.path, None, file.stored)
        if source.is_pipe:
            or_file = "" if needs_folder else ", or specify an output file instead of a folder"
            raise SpecError(
                f"{source.name} is a stream, so there is no name for its file in the output folder. Save the "
                f"stream to a file first{or_file}."
            )


def output_name(name: str, source: FormatTraits, output: FormatTraits) -> str:
    """Return the name of an output file: the name of the input with the suffix of the output format.

    >>> from padmask.spec.formats import FORMATS
    >>> text, parquet = FORMATS["jsonl"], FORMATS["parquet"]
    >>> output_name("a/b.jsonl.gz", text, parquet), output_name("a/b.jsonl.gz", text, text)
    ('a/b.parquet', 'a/b.jsonl.gz')
    >>> output_name("part-0", parquet, parquet), output_name("x.v2.pq", parquet, text)
    ('part-0.parquet', 'x.v2.jsonl')
    """
    if format_of(name) == output:
        return name
    stem, suffix = os.path.splitext(name)
    if suffix.lower() in COMPRESSIONS:
        name, (stem, suffix) = stem, os.path.splitext(stem)
    return (stem if format_of(name) == source else name) + output.suffixes[0]


def output_names(shards: Sequence[Shard], edges: Sequence[int]) -> set[str]:
    """Return the names of the files that a run may write, relative to the output folder.

    Args:
        shards: shards of the dataset.
        edges: maxlen of each bucket; empty without buckets.
    """
    names = {shard.name for shard in shards}
    return {bucket_file(edge, name) for edge in edges for name in names} if edges else names


def refuse_bucket_names(names: Iterable[str], shards: Sequence[Shard]) -> None:
    """Raise an error if hive-style readers would find two columns `bucket`.

    Args:
        names: names of the known columns of the output.
        shards: shards of the dataset.

    Raises:
        SpecError: a column is called `bucket`, or an input is in a folder such as `bucket=00128`.
    """
    reason = f"readers of the output folder take the column {BUCKET!r} from the folder names"
    if BUCKET in names:
        raise SpecError(
            f"The output would have a column {BUCKET!r}, but {reason}. Rename the column.",
            options=["buckets"],
        )
    for shard in shards:
        if f"/{shard.name}".find(f"/{BUCKET}=") >= 0:
            raise SpecError(
                f"The input {shard.source.name!r} is in a folder whose name begins with {BUCKET}=, but "
                f"{reason}. If the input is divided into buckets, first restore its rows with padmask unpad. "
                "Otherwise rename the folder.",
                options=["buckets"],
            )


def _split_file(
    source: Source, name: str, sizes: Sequence[int], shard_bytes: int
) -> list[tuple[Source, str, int]]:
    """Split a file at row-group boundaries into shards of about `shard_bytes` bytes."""
    bounds, part = [0], 0
    for group, bytes_ in enumerate(sizes, 1):
        part += bytes_
        if part >= shard_bytes and group < len(sizes):
            bounds.append(group)
            part = 0
    bounds.append(len(sizes))
    count = len(bounds) - 1
    if count == 1:
        return [(source, name, sum(sizes))]
    stem, suffix = os.path.splitext(name)
    return [
        (
            replace(source, groups=(first, end)),
            f"{stem}-{number:05}-of-{count:05}{suffix}",
            sum(sizes[first:end]),
        )
        for number, (first, end) in enumerate(pairwise(bounds))
    ]


def refuse_own_files(output: OutputFolder, shards: Sequence[Shard]) -> None:
    """Raise an error if an input is in the output folder.

    Raises:
        OutputError: an input is in the output folder.
    """
    base, names = _true_path(output.path).rstrip("/") + "/", {shard.name for shard in shards}
    for shard in shards:
        path = _true_path(shard.source.path)
        name = path.removeprefix(base)
        if name != path and (name in names or is_data(name)):
            raise OutputError(
                f"The input {shard.source.name!r} is in the output folder {str(output)!r}, where it would be "
                "overwritten or treated as an output file. Choose another output folder."
            )


def _true_path(path: str) -> str:
    return path if is_url(path) else os.path.realpath(path)


def refuse_too_many(shards: Sequence[Shard], buckets: int = 0) -> None:
    """Raise an error if the manifest of the dataset would be too large to read.

    Args:
        shards: shards of the dataset.
        buckets: number of buckets; 0 without buckets.

    Raises:
        SpecError: the dataset has too many shards.
    """
    texts = (json.dumps([shard.name, shard.address, shard.stamp]) for shard in shards)
    files = sum(buckets * (BUCKET_BYTES + len(shard.name)) for shard in shards)
    if files + sum(RECORD_BYTES + len(text) for text in texts) > MOST_MANIFEST_BYTES:
        with_buckets = f" with {buckets:,} buckets" if buckets else ""
        raise SpecError(
            f"{len(shards):,} shards{with_buckets} are too many for one dataset: {MANIFEST} would be larger "
            f"than {size(MOST_MANIFEST_BYTES)}. Join small files first, or pad the folders separately."
        )
