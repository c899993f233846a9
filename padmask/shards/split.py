"""Split a dataset into shards: which piece of the input becomes which output file.

This module knows names, sizes and the row groups of large Parquet files; it reads no rows.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from padmask.errors import OutputError, SpecError, size
from padmask.formats import row_group_sizes
from padmask.spec.formats import FormatTraits
from padmask.storage.folder import OutputFolder
from padmask.storage.inputs import InputFile, refuse_same_output_names
from padmask.storage.manifest_file import MOST_MANIFEST_BYTES
from padmask.storage.names import COMPRESSIONS, MANIFEST, RESERVED, format_of, is_data
from padmask.storage.source import Source
from padmask.storage.urls import display_path, is_url

# Bytes of a shard in the manifest, with counts of any size, besides its names and its version.
RECORD_BYTES = 900

# Parquet files larger than this are cut between row groups, so that several workers share them.
SHARD_BYTES = 256 << 20


@dataclass(frozen=True)
class Shard:
    """A piece of the input and the file that it becomes.

    Args:
        index: its place in the dataset, from 0.
        source: the file, and of a large one the row groups.
        name: of the file in the output folder.
        size: of the piece, in bytes, as far as is known.
        version: of the file, when it was listed.
        limit: rows of it that are read; None reads all.
    """

    index: int
    source: Source
    name: str
    size: int
    version: tuple[int, ...] | None = None
    limit: int | None = None

    @property
    def place(self) -> str:
        """Say where the piece stands."""
        return self._piece_of(self.source.name)

    @property
    def address(self) -> str:
        """Say the same wherever one stands, and no secret."""
        return self._piece_of(display_path(self.source.path))

    @property
    def stamp(self) -> str:
        """Say what changes when other rows come from it, on whatever machine."""
        version = () if self.version is None else self.source.shared_version(self.version)
        return " ".join(map(str, (*version, *(() if self.limit is None else (self.limit,)))))

    def _piece_of(self, name: str) -> str:
        if self.source.groups is None:
            return name
        first, end = self.source.groups
        return f"{name}, row groups {first} to {end - 1}"


def find_shards(
    files: Sequence[InputFile], source: FormatTraits, output: FormatTraits, shard_bytes: int = SHARD_BYTES
) -> list[Shard]:
    """Cut the files of a dataset into shards, in order.

    What is cut depends on the files alone, so that the output does not depend on who works on it.

    Args:
        files: of the dataset.
        source, output: formats of the input and the output.
        shard_bytes: size beyond which a file is cut between its row groups, where its format has such.

    Raises:
        SpecError: two files would get one name, or one that of the manifest.
    """
    named = []
    for file in files:
        # Workers may stand in other folders.
        whole = Source(absolute(file.path), None, file.stored, label=display_path(file.path))
        name = output_name(file.name, source, output)
        if name.startswith(RESERVED):
            raise SpecError(f"The name {name!r} is padmask's own in an output folder: rename {whole.name!r}.")
        size = whole.size or 0
        can_cut = source.row_groups is not None and size > shard_bytes
        sizes = row_group_sizes(source, whole) if can_cut else [size]
        named += _pieces(whole, name, sizes, shard_bytes)
    refuse_same_output_names(InputFile(piece.name, name) for piece, name, _ in named)
    return [Shard(i, piece, name, size, piece.first_version()) for i, (piece, name, size) in enumerate(named)]


def absolute(path: str) -> str:
    """Return a path that means the same everywhere on this machine; an address does already.

    >>> absolute("/data/a.jsonl"), absolute("s3://bucket/a.jsonl")
    ('/data/a.jsonl', 's3://bucket/a.jsonl')
    """
    return path if is_url(path) else os.path.abspath(path)


def refuse_no_shards(files: Sequence[InputFile]) -> None:
    """Refuse what cannot be padded file by file, before any is opened.

    Raises:
        SpecError: standard input, which is one stream; or a file named twice, whose rows would be counted
            twice and be there once.
    """
    for file in files:
        source = Source(file.path, None, file.stored)
        if source.is_pipe:
            raise SpecError(
                f"{source.name} is a stream, which has no shards. Name an output file, or input files."
            )
    path, times = Counter(file.path for file in files).most_common(1)[0] if files else ("", 0)
    if times > 1:
        raise SpecError(
            f"{display_path(path)!r} is named {times} times, and one file comes of it. Name it once."
        )


def output_name(name: str, source: FormatTraits, output: FormatTraits) -> str:
    """Return the name of a file's output: its own, with the suffix of the output's format.

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


def _pieces(
    source: Source, name: str, sizes: Sequence[int], shard_bytes: int
) -> list[tuple[Source, str, int]]:
    """Cut a file between its row groups, of these sizes, into pieces of about `shard_bytes`."""
    bounds, held = [0], 0
    for group, bytes_ in enumerate(sizes, 1):
        held += bytes_
        if held >= shard_bytes and group < len(sizes):
            bounds.append(group)
            held = 0
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
    """Refuse an output folder that inputs lie in: nobody named those as an output.

    Raises:
        OutputError: an input lies in it.
    """
    base, names = _true_path(output.path).rstrip("/") + "/", {shard.name for shard in shards}
    for shard in shards:
        path = _true_path(shard.source.path)
        name = path.removeprefix(base)
        if name != path and (name in names or is_data(name)):
            raise OutputError(
                f"The input {shard.source.name!r} lies in the output folder {str(output)!r}, and would be "
                "replaced there, or be read as a part of the output. Choose another folder."
            )


def _true_path(path: str) -> str:
    return path if is_url(path) else os.path.realpath(path)


def refuse_too_many(shards: Sequence[Shard]) -> None:
    """Refuse a dataset whose manifest would be larger than what is read of one.

    Raises:
        SpecError: there are too many shards.
    """
    texts = (json.dumps([shard.name, shard.address, shard.stamp]) for shard in shards)
    if sum(RECORD_BYTES + len(text) for text in texts) > MOST_MANIFEST_BYTES:
        raise SpecError(
            f"{len(shards):,} shards are more than one dataset can have: its {MANIFEST} would be larger than "
            f"{size(MOST_MANIFEST_BYTES)}. Join small files first, or pad the folders apart."
        )
