"""The fingerprint of a job: everything that its output depends on.

`--resume` continues the same job only, and says what differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from padmask._version import __version__
from padmask.errors import join_few
from padmask.shards.split import Shard, absolute
from padmask.spec.files import FileOptions
from padmask.storage.urls import display_path
from padmask.stream.job import Job, PadRequest

# What stands for a file that cannot be read.
LEFT_OUT = "left out"

# Fields of a request that change no byte of a shard without bad rows. Every other field is a part of the
# fingerprint.
WITHOUT_EFFECT = frozenset({"on_error", "rejects", "batch_rows", "threads", "max_bytes"})


@dataclass(frozen=True)
class Fingerprint:
    """All that the output of a job depends on.

    >>> old = Fingerprint("a1", {"maxlen": "8"}, {"/data/a.jsonl": "1", "/data/b.jsonl": "1"})
    >>> new = Fingerprint("a2", {"maxlen": "9"}, {"/data/a.jsonl": "2", "/data/c.jsonl": "1"})
    >>> print("\\n".join(new.list_differences(old)))
    maxlen was 8 and is 9
    /data/a.jsonl has changed
    /data/b.jsonl is no longer an input
    /data/c.jsonl is a new input

    Args:
        name: of the job: the same for the same options and names of inputs. In jobs of the same name, a
            shard whose input has not changed becomes the same file.
        options: what was asked for, in words.
        inputs: what changes with each input, by the inputs' paths, without secrets.
        measured: whether the length or types are found in all inputs, so that none of them may change.
    """

    name: str
    options: Mapping[str, str]
    inputs: Mapping[str, str]
    measured: bool = False

    def list_differences(self, old: Fingerprint) -> list[str]:
        """Return how this job differs from an older one, as sentences without a full stop."""
        options = [
            f"{name} was {old.options.get(name, 'unknown')} and is {value}"
            for name, value in self.options.items()
            if old.options.get(name) != value
        ]
        both = self.inputs.keys() & old.inputs.keys()
        groups = (
            ({path for path in both if self.inputs[path] != old.inputs[path]}, "has changed", "have changed"),
            (old.inputs.keys() - both, "is no longer an input", "are no longer inputs"),
            (self.inputs.keys() - both, "is a new input", "are new inputs"),
        )
        return options + [
            f"{join_few(sorted(paths))} {one if len(paths) == 1 else many}"
            for paths, one, many in groups
            if paths
        ]


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
    """Return what a job is known by.

    What becomes of bad rows is no part of it: a shard that has none is the same whatever was asked for.

    Args:
        shards: of the dataset.
        faults: paths of the files that cannot be read and are left out.
        found: the columns of the whole dataset, and what was decided about them.
        asked: what the user asks for.
        files: formats and limits.
        output_format: of the output.
        shard_bytes: size beyond which files are cut.
        measured: whether something must be found in all inputs.
    """
    files = replace(files, output_format=output_format)
    options = {**describe_request(asked, files), "shard bytes": str(shard_bytes)}
    left_out = sorted(absolute(path) for path in faults)
    # With full addresses, which may hold secrets that no message may show.
    named = [(shard.name, shard.source.path, shard.source.groups) for shard in shards]
    schema, job = found
    wanted = [columns.serialize().to_pybytes().hex() for columns in (schema, job.wanted.sequences)]
    everything = json.dumps([options, named, left_out, wanted, repr(job.columns)])
    name = hashlib.sha256(everything.encode()).hexdigest()[:16]
    inputs = {shard.address: shard.stamp for shard in shards} | {
        display_path(path): LEFT_OUT for path in left_out
    }
    return Fingerprint(name, options, inputs, measured)


def describe_request(asked: PadRequest, files: FileOptions) -> dict[str, str]:
    """Return everything that was asked for and has an effect on the output, in words.

    Args:
        asked: what the user asks for.
        files: formats and limits.
    """
    options: dict[str, Any] = {"padmask": __version__}
    for name, value in {**vars(asked), "files": files}.items():
        if name == "columns":
            # However they were given.
            options[name] = list(value.items() if isinstance(value, Mapping) else value or ())
            continue
        # Both the columns and the mask have a dtype.
        prefix = "mask's " if name == "mask" else ""
        options |= {prefix + field.replace("_", " "): said for field, said in asdict(value).items()}
    return {
        name: value if isinstance(value, str) else repr(value)
        for name, value in options.items()
        if name.replace(" ", "_") not in WITHOUT_EFFECT
    }
