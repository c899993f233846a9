"""Compute the fingerprint of a job: all options and inputs that determine the output.

`--resume` continues a run only if its fingerprint is the same. Otherwise `--resume` fails and reports the
differences.
"""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from padmask._version import __version__
from padmask.errors import join_few
from padmask.shards.split import Shard, absolute
from padmask.spec.files import FileOptions
from padmask.storage.urls import display_path
from padmask.stream.job import Job, PadRequest

# Text that a fingerprint contains for a file that cannot be read, instead of the version of the file.
LEFT_OUT = "left out"

# Options that do not change the shards of inputs without bad rows. A fingerprint contains all other options.
WITHOUT_EFFECT = frozenset({"on_error", "rejects", "batch_rows", "threads", "max_bytes"})

# Options that change which inputs are read, and which parts of them. If such an option changed, the inputs
# cannot be compared.
CHANGES_INPUTS = ("limit", "shard bytes")

# Options whose names on the command line are the names in a fingerprint, with hyphens.
ON_COMMAND_LINE = frozenset(
    {
        "maxlen",
        "padding",
        "truncating",
        "value",
        "dtype",
        "limit",
        "shard bytes",
        "overlong",
        "empty rows",
        "pad to multiple of",
        "keep first",
        "keep last",
        "buckets",
        "output format",
    }
)


@dataclass(frozen=True)
class Fingerprint:
    """The options and inputs that determine the output of a job.

    >>> options = {"maxlen": 8, "packing": {"align": 1, "eos": None}}
    >>> old = Fingerprint("a1", options, {"/data/a.jsonl": "1", "/data/b.jsonl": "1"})
    >>> options = {"maxlen": 9, "packing": {"align": 1, "eos": 2}}
    >>> new = Fingerprint("a2", options, {"/data/a.jsonl": "2", "/data/c.jsonl": "1"})
    >>> print("\\n".join(new.list_differences(old)))
    maxlen changed from 8 to 9
    packing eos changed from None to 2
    /data/a.jsonl has changed
    /data/b.jsonl is no longer an input
    /data/c.jsonl is a new input

    Args:
        name: hash of the options and the input names. Jobs with the same hash write the same shard from the
            same input file.
        options: options of the job as JSON values, keyed by option name.
        inputs: version of each input as text, keyed by path or URL without secrets. The version changes if
            the input changes.
        measured: whether the rows of all inputs determine maxlen or the column types. If True, a run can be
            resumed only if no input has changed, or if the types are assumed (`DatasetPlan.assumed`).
    """

    name: str
    options: Mapping[str, Any]
    inputs: Mapping[str, str]
    measured: bool = False

    def list_differences(self, old: Fingerprint) -> list[str]:
        """Describe the differences from an older job, as sentences without a period."""
        if _has_text_options(old):
            return [
                "an older version of padmask stored the options as text, so the options cannot be compared"
            ]
        differences = list(_changes(old.options, self.options))
        if any(self.options.get(name) != old.options.get(name) for name in CHANGES_INPUTS):
            return differences
        both = self.inputs.keys() & old.inputs.keys()
        groups = (
            ({path for path in both if self.inputs[path] != old.inputs[path]}, "has changed", "have changed"),
            (old.inputs.keys() - both, "is no longer an input", "are no longer inputs"),
            (self.inputs.keys() - both, "is a new input", "are new inputs"),
        )
        return differences + [
            f"{join_few(sorted(paths))} {one if len(paths) == 1 else many}"
            for paths, one, many in groups
            if paths
        ]

    def list_earlier_options(self, old: Fingerprint) -> list[str]:
        """Return the older job's values of the options that differ in this job, as command-line options.

        >>> new = Fingerprint("a2", {"maxlen": 9, "limit": None, "mask's column": "m"}, {})
        >>> new.list_earlier_options(Fingerprint("a1", {"maxlen": 8, "limit": 5, "mask's column": None}, {}))
        ['--maxlen 8', '--limit 5']
        """
        if _has_text_options(old):
            return []
        return [
            f"--{name.replace(' ', '-')} {shlex.quote(_text(before))}"
            for name, value in self.options.items()
            if name in ON_COMMAND_LINE
            and (before := old.options.get(name)) != value
            and isinstance(before, str | int | float)
        ]


def _has_text_options(job: Fingerprint) -> bool:
    """Return whether the fingerprint is from an older version of padmask, which stored options as texts."""
    return isinstance(job.options.get("limit"), str)


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield a sentence for each option whose value changed. Nested options are compared one by one."""
    for name, value in new.items():
        before = old.get(name, "unknown")
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            yield from _changes(before, value, f"{prefix}{name} ")
        elif before != value:
            yield f"{prefix}{name} changed from {_text(before)} to {_text(value)}"


def _text(value: Any) -> str:
    return str(value) if value is None or isinstance(value, str) else json.dumps(value)


def fingerprint_job(
    shards: Sequence[Shard],
    faults: Iterable[str],
    found: tuple[pa.Schema, Job],
    asked: PadRequest,
    files: FileOptions,
    output_format: str,
    shard_bytes: int,
    *,
    measured: bool,
) -> Fingerprint:
    """Return the fingerprint of a job.

    The fingerprint does not include `--on-error`, because this option does not change shards without bad
    rows.

    Args:
        shards: shards of the dataset.
        faults: paths of unreadable files that are skipped.
        found: columns of the dataset (empty for JSON Lines), and the job with the columns to pad and the
            options.
        asked: columns and options that the user requested.
        files: formats and limits.
        output_format: format of the output.
        shard_bytes: size in bytes above which a Parquet file is split.
        measured: whether the rows of all inputs determine maxlen or the column types.
    """
    files = replace(files, output_format=output_format)
    options = {**describe_request(asked, files), "shard bytes": shard_bytes}
    left_out = sorted(absolute(path) for path in faults)
    # Full URLs are used only in the hash, because they may contain secrets.
    named = [(shard.name, shard.source.path, shard.source.groups) for shard in shards]
    schema, job = found
    wanted = [columns.serialize().to_pybytes().hex() for columns in (schema, job.wanted.sequences)]
    chosen = [repr(part) for part in (job.columns, job.own, job.mask, job.replaced, job.earlier)]
    identity = json.dumps([options, named, left_out, wanted, chosen])
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    inputs = {shard.address: shard.stamp for shard in shards} | {
        display_path(path): LEFT_OUT for path in left_out
    }
    return Fingerprint(name, options, inputs, measured)


def describe_request(asked: PadRequest, files: FileOptions) -> dict[str, Any]:
    """Return all options that affect the output, as JSON values, keyed by option name.

    Args:
        asked: columns and options that the user requested.
        files: formats and limits.
    """
    options: dict[str, Any] = {"padmask": __version__}
    for name, value in {**vars(asked), "files": files}.items():
        if name == "columns":
            # The result is the same for a mapping and a sequence with the same meaning.
            options[name] = list(value.items() if isinstance(value, Mapping) else value or ())
            continue
        # The padding options and the mask options both have a dtype, so the mask options get a prefix.
        prefix = "mask's " if name == "mask" else ""
        options |= {prefix + field.replace("_", " "): option for field, option in asdict(value).items()}
    return {
        name: _as_json(value)
        for name, value in options.items()
        if name.replace(" ", "_") not in WITHOUT_EFFECT
    }


def _as_json(value: Any) -> Any:
    """Return an option as a JSON value. NaN and infinity have no JSON value, so they become text.

    >>> _as_json({"own": (("labels", 4),), "value": float("nan")})
    {'own': [['labels', 4]], 'value': 'nan'}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return _as_json(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): _as_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    if isinstance(value, np.generic):
        return _as_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
