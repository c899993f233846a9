"""Read and validate the manifest of an output folder: a JSON file that lists the output files (shards)."""

from __future__ import annotations

import json
import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from padmask.errors import DataError, os_error_remedy, size
from padmask.storage.remote import read_at_most
from padmask.storage.system import read_small
from padmask.storage.urls import display_path, is_url, parse_url

# Maximum size of a manifest in bytes, enough for half a million shards of about 600 bytes. Parsing such a
# manifest needs about 4 GB of memory. The other files that padmask reads from an output folder are smaller.
MOST_MANIFEST_BYTES = 512 << 20

# The maximum length of a row in a list column.
MOST_PLACES = 2**31 - 1

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class ManifestCounts(msgspec.Struct):
    """Counts of rows and tokens of a shard, with the fields of `Ledger`."""

    rows_read: Count
    rows_used: Count
    rows_written: Count
    rows_dropped: Count
    rows_rejected: Count
    rows_truncated: Count
    rows_empty: Count
    tokens_read: Count
    tokens_kept: Count
    tokens_repeated: Count
    labels_lost: Count
    places: Count
    own_tokens_lost: Count = 0
    own_tokens_read: Count = 0
    rows_split: Count = 0
    ends_lost: Count = 0
    rows_non_finite: Count = 0
    batches: Count = 0
    batches_short: Count = 0
    tokens_added: Count = 0
    sequences: Count = 0
    most_sequences: Count = 0
    rows_at_least: Count = 0
    sequences_rejected: Count = 0
    boundary_labels: Count = 0

    @property
    def tokens_written(self) -> int:
        """Number of tokens in the output."""
        return self.tokens_kept + self.tokens_repeated + self.tokens_added


class ManifestBucket(msgspec.Struct):
    """The file of a bucket in the manifest, with the fields of `BucketFile`."""

    maxlen: Count
    name: str
    rows: Count
    tokens: Count
    size: Count
    sha256: str


class ManifestEntry(msgspec.Struct):
    """A shard in the manifest. A skipped shard has no name, and `fault` is the reason why it was skipped.

    A shard without buckets has one file, which has the name, size and checksum of the shard.
    """

    index: Count
    name: str
    source: str
    ledger: ManifestCounts
    size: Count
    sha256: str
    version: str
    fault: str
    late: tuple[str, ...] = ()
    column_notes: dict[str, str] = {}
    buckets: tuple[ManifestBucket, ...] = ()

    @property
    def files(self) -> Sequence[ManifestBucket | ManifestEntry]:
        """The files of the shard, each with a name, a size and a checksum."""
        return self.buckets or ((self,) if self.name else ())


class ManifestLength(msgspec.Struct):
    """The length of every padded row, with the fields of `Plan`."""

    maxlen: Count
    found: str
    exact: Count
    own: dict[str, ManifestLength] = {}
    edges: tuple[Count, ...] = ()


class ManifestContents(msgspec.Struct):
    """A parsed manifest."""

    job: str
    options: dict[str, Any]
    plan: ManifestLength
    total: dict[str, int | float]
    rejects: str
    shards: list[ManifestEntry]


def parse_manifest(data: bytes) -> ManifestContents:
    """Parse and validate a manifest.

    Raises:
        ValueError: the bytes are not a manifest, or its numbers are inconsistent. The message has no subject:
            the caller puts the file name before the message.
    """
    try:
        contents = msgspec.convert(json.loads(data), ManifestContents)
    except msgspec.ValidationError as error:
        raise ValueError(f"is not a manifest: {error}") from None
    except (ValueError, RecursionError):
        raise ValueError("is not a manifest: the file is not valid JSON") from None
    fault = next(_faults(contents), None)
    if fault is not None:
        raise ValueError(fault)
    return contents


def read_manifest(path: str) -> ManifestContents:
    """Return the contents of the manifest at a local path or an address.

    Raises:
        DataError: the manifest is missing or not valid.
    """
    data = _bytes_of(path)
    try:
        return parse_manifest(data)
    except ValueError as error:
        raise DataError(f"{display_path(path)!r} {error}. {_REMEDY}") from None


_REMEDY = "Pad the data again. To ignore the manifest, read the files with a pattern such as 'FOLDER/*'."


def sizes_in(path: str) -> Mapping[str, int]:
    """Return the sizes in bytes of the shards that a manifest lists, keyed by relative path.

    Raises:
        DataError: the manifest is missing or not valid.
    """
    if is_url(path):
        return _sizes(read_manifest(path))
    try:
        status = os.stat(path)
    except OSError as error:
        raise DataError(f"Cannot read {path!r}: {error.strerror}. {os_error_remedy(error)}") from None
    version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return _sizes_once(path, version)


@lru_cache(maxsize=8)
def _sizes_once(path: str, version: tuple[int, ...]) -> Mapping[str, int]:
    return _sizes(read_manifest(path))


def _sizes(contents: ManifestContents) -> Mapping[str, int]:
    return {file.name: file.size for shard in contents.shards for file in shard.files}


def _bytes_of(path: str) -> bytes:
    if is_url(path):
        data = read_at_most(parse_url(path), MOST_MANIFEST_BYTES)
    elif os.path.isfile(path):
        try:
            data = read_small(path, MOST_MANIFEST_BYTES)
        except OSError as error:
            raise DataError(f"Cannot read {path!r}: {error.strerror}. {os_error_remedy(error)}") from None
    else:
        raise DataError(f"{path!r} is not a regular file. {_REMEDY}")
    if data is None:
        raise DataError(
            f"{display_path(path)!r} is larger than {size(MOST_MANIFEST_BYTES)}, the limit for a manifest. "
            f"{_REMEDY}"
        )
    return data


def _faults(contents: ManifestContents) -> Iterator[str]:
    """Yield a description of each inconsistency, as a phrase that follows the file name in messages."""
    yield from _faults_of_names(contents)
    yield from _faults_of_numbers(contents)
    for shard in contents.shards:
        if not _adds_up(shard, contents.plan):
            yield f"has inconsistent counts for the shard {shard.name or shard.source!r}"
    yield from _faults_of_length(contents)
    yield from _faults_of_total(contents)


def _faults_of_names(contents: ManifestContents) -> Iterator[str]:
    names = Counter(file.name for shard in contents.shards for file in shard.files)
    for name, times in names.items():
        if times > 1:
            yield f"lists the shard {name!r} {times} times"
        if not _is_below(name):
            yield f"lists {name!r}, which is outside the folder of the manifest"
    for shard in contents.shards:
        if bool(shard.name) == bool(shard.fault):
            fault = "has both a file name and an error" if shard.name else "has no file name and no error"
            yield f"lists shard {shard.index}, which {fault}"


def _is_below(name: str) -> bool:
    """Return whether a name is a normalized relative path inside a folder."""
    first = name.split("/")[0]
    return "\0" not in name and first not in ("", ".", "..") and posixpath.normpath(name) == name


def _faults_of_numbers(contents: ManifestContents) -> Iterator[str]:
    """Yield a description of each shard number that is duplicated or missing."""
    numbers = Counter(shard.index for shard in contents.shards)
    yield from (f"lists shard {number} {times} times" for number, times in numbers.items() if times > 1)
    # With --limit, files after the last row have numbers but no shards.
    # Earlier versions wrote the options as text.
    if contents.options.get("limit") in (None, "None"):
        missing = next((number for number in range(len(numbers)) if number not in numbers), None)
        if missing is not None:
            yield f"does not list shard {missing}"


def _adds_up(shard: ManifestEntry, plan: ManifestLength) -> bool:
    rows, buckets = shard.ledger, shard.buckets
    # Without buckets, all rows have the same length.
    lengths = [(bucket.maxlen, bucket.rows) for bucket in buckets] or [(plan.maxlen, rows.rows_written)]
    if buckets and not (
        {bucket.maxlen for bucket in buckets} <= set(plan.edges)
        and sum(bucket.size for bucket in buckets) == shard.size
        and sum(bucket.tokens for bucket in buckets) == rows.tokens_kept + rows.tokens_repeated
        and all(bucket.tokens <= bucket.rows * bucket.maxlen for bucket in buckets)
    ):
        return False
    most = sum(maxlen * number for maxlen, number in lengths)
    # Batches are padded to their own longest rows, and packed rows may have no padding.
    least = rows.rows_written if rows.batches or rows.sequences else most
    return (
        rows.rows_read == rows.rows_used + rows.rows_dropped + rows.rows_rejected
        and sum(number for _, number in lengths) == rows.rows_written
        and least <= rows.places <= most
        and rows.batches_short <= rows.batches <= rows.rows_written
        and rows.tokens_kept <= rows.tokens_read
        and rows.tokens_written <= rows.places
        and max(rows.rows_truncated, rows.rows_empty, rows.rows_split, rows.rows_non_finite) <= rows.rows_used
        and rows.ends_lost <= rows.rows_truncated
        and not (shard.fault and rows.rows_read)
    )


def _faults_of_length(contents: ManifestContents) -> Iterator[str]:
    plan, written = contents.plan, any(shard.ledger.rows_written for shard in contents.shards)
    if plan.exact > plan.maxlen or (written and plan.maxlen > MOST_PLACES):
        yield f"has an impossible maxlen of {plan.maxlen}"
    if plan.edges and (plan.edges[-1] != plan.maxlen or sorted(set(plan.edges)) != [*plan.edges]):
        yield f"has impossible edges of buckets: {','.join(map(str, plan.edges))}"


def _faults_of_total(contents: ManifestContents) -> Iterator[str]:
    ledgers = [shard.ledger for shard in contents.shards]
    sums = {
        name: sum(getattr(ledger, name) for ledger in ledgers) for name in ManifestCounts.__struct_fields__
    }
    # The total is the maximum of the shards, not the sum.
    sums["most_sequences"] = max((ledger.most_sequences for ledger in ledgers), default=0)
    sums["tokens_lost"] = sums["tokens_read"] - sums["tokens_kept"]
    for name, number in sums.items():
        # Manifests of earlier versions have no totals for counts that were added later.
        if (total := contents.total.get(name, None if number else 0)) != number:
            yield f"has a total of {_number(total)} for {name}, but the shards add up to {number}"
    written = sum(ledger.tokens_written for ledger in ledgers)
    padding = 1 - written / sums["places"] if sums["places"] else 0.0
    if not abs(contents.total.get("padding_share", -1) - padding) <= 1e-9:
        yield f"has a padding_share of {_number(contents.total.get('padding_share'))} instead of {padding}"


def _number(value: Any) -> str:
    return "nothing" if value is None else f"{value}"
