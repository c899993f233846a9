"""Options for buckets. Each bucket is an output folder with its own maxlen, the edge of the bucket."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from padmask.errors import SpecError
from padmask.spec.checks import as_int

# A number of buckets, or the edge of each bucket.
Buckets = int | tuple[int, ...]

# Maximum number of buckets. While padmask writes a shard, each bucket needs an open file and memory for rows.
MOST_BUCKETS = 256

# Name of the column that readers of hive-style folders such as `bucket=00128` add.
BUCKET = "bucket"

# The folder of a bucket in a path.
BUCKET_FOLDER = re.compile(rf"(^|/){BUCKET}=\d+/")


def bucket_file(edge: int, name: str) -> str:
    """Return the path of a file in the folder of a bucket, relative to the output folder.

    >>> bucket_file(128, "a.parquet")
    'bucket=00128/a.parquet'
    """
    return f"{BUCKET}={edge:05}/{name}"


def bucket_folder_of(path: str) -> str | None:
    """Return the folder of the bucket in a path; None if the path has no such folder.

    >>> bucket_folder_of("padded/bucket=00128/a.parquet"), bucket_folder_of("padded/a.parquet")
    ('padded/bucket=00128', None)
    """
    found = BUCKET_FOLDER.search(path)
    return path[: found.end() - 1] if found else None


def parse_buckets(text: str) -> Buckets:
    """Convert the text of `--buckets` to the number of buckets, or to their edges.

    >>> parse_buckets("8"), parse_buckets("64,128")
    (8, (64, 128))

    Raises:
        SpecError: the text contains something other than numbers.
    """
    parts = [part.strip() for part in text.split(",")]
    # int() would also accept '1_000'.
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        hint = (
            " To let padmask choose the best edges, set only the number of buckets."
            if re.search(r"p\d|longest", text)
            else ""
        )
        raise SpecError(
            "`buckets` must be the number of buckets, such as 8, or their edges, such as 64,128,512. "
            f"Received: {text!r:.80}.{hint}",
            options=["buckets"],
        )
    numbers = tuple(map(int, parts))
    return numbers if len(numbers) > 1 else numbers[0]


def checked_buckets(name: str, value: Any) -> Buckets:
    """Check the value of `buckets`: the number of buckets, or their edges. The value may be text.

    >>> checked_buckets("buckets", [64, 128]), checked_buckets("buckets", "8")
    ((64, 128), 8)

    Raises:
        SpecError: the number is not between 1 and 256, or the edges are not in ascending order.
    """
    found = parse_buckets(value) if isinstance(value, str) else value
    number = as_int(found)
    if number is not None:
        if not 1 <= number <= MOST_BUCKETS:
            hint = " To set the edges, list them, such as 64,128,512." if number > MOST_BUCKETS else ""
            raise SpecError(
                f"`{name}` must be an integer from 1 to {MOST_BUCKETS}. Received: {number}.{hint}",
                options=[name],
            )
        return number
    numbers = [as_int(edge) for edge in found] if isinstance(found, Iterable) else []
    edges = tuple(edge for edge in numbers if edge is not None and 0 < edge < 1 << 31)
    if not edges or len(edges) < len(numbers) or any(map(int.__ge__, edges, edges[1:])):
        raise SpecError(
            f"`{name}` must be the number of buckets, or their edges: ascending integers of at least 1 and "
            f"less than 2**31. Received: {value!r:.80}.",
            options=[name],
        )
    if len(edges) > MOST_BUCKETS:
        raise SpecError(
            f"`{name}` has {len(edges)} edges, but the limit is {MOST_BUCKETS}. Remove some of them.",
            options=[name],
        )
    return edges


def maxlen_with_buckets(
    buckets: Buckets | None, maxlen: int | str, multiple: int | None, *, has_own: bool = False
) -> int | str:
    """Check the options that may conflict with buckets, and return the maxlen to use.

    If `buckets` contains edges, the maxlen is the last edge. Otherwise, it is the argument `maxlen`.

    >>> maxlen_with_buckets((64, 128), "longest", None)
    128

    Args:
        buckets: checked value of `buckets`.
        maxlen: value of `maxlen`, which limits the last edge if `buckets` is a number.
        multiple: value of `pad_to_multiple_of`.
        has_own: whether some columns have their own maxlen.

    Raises:
        SpecError: the options contradict each other.
    """
    if buckets is None:
        return maxlen
    if has_own:
        raise SpecError(
            "Buckets need columns with the same lengths, so `own_lengths` cannot be used with `buckets`. "
            "Remove one of the two options.",
            options=["own_lengths", "buckets"],
        )
    if isinstance(buckets, int):
        if maxlen == 0:
            raise SpecError("Buckets need a `maxlen` of at least 1. Received: 0.", options=["maxlen"])
        return maxlen
    if maxlen not in ("longest", buckets[-1]):
        raise SpecError(
            f"The last edge of `buckets` sets the maxlen to {buckets[-1]}, which contradicts `maxlen` "
            f"{maxlen!r}. Remove one of the two options, or set `buckets` to the number of buckets.",
            options=["maxlen", "buckets"],
        )
    bad = [edge for edge in buckets if edge % (multiple or 1)]
    if bad:
        rounded = dict.fromkeys(-(-edge // (multiple or 1)) * (multiple or 1) for edge in buckets)
        raise SpecError(
            f"The edge {bad[0]} of `buckets` is not a multiple of `pad_to_multiple_of` {multiple}. Use the "
            f"edges {','.join(map(str, rounded))}, or remove one of the two options.",
            options=["buckets", "pad_to_multiple_of"],
        )
    return buckets[-1]
