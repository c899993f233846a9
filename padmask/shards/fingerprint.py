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
    >>> print("\\n".join(new.unlike(old)))
    maxlen was 8 and is 9
    /data/a.jsonl is not as it was
    /data/b.jsonl was an input
    /data/c.jsonl was no input

    Args:
        name: of the job: the same for the same options and names of inputs. Where it is, a shard whose
            input is as it was is the same.
        options: what was asked for, in words.
        inputs: what changes with each input, by their paths, as people may see them.
        measured: whether something was found in all inputs, so that none of them may have changed.
    """

    name: str
    options: Mapping[str, str]
    inputs: Mapping[str, str]
    measured: bool = False

    def unlike(self, old: Fingerprint) -> list[str]:
        """Say in what this job differs from an older one."""
        said = [
            f"{name} was {old.options.get(name, 'unknown')} and is {value}"
            for name, value in self.options.items()
            if old.options.get(name) != value
        ]
        both = self.inputs.keys() & old.inputs.keys()
        groups = (
            ({path for path in both if self.inputs[path] != old.inputs[path]}, "is", "are", "not as it was"),
            (old.inputs.keys() - both, "was", "were", "an input"),
            (self.inputs.keys() - both, "was", "were", "no input"),
        )
        return said + [
            f"{join_few(sorted(paths))} {one if len(paths) == 1 else many} {what}"
            for paths, one, many, what in groups
            if paths
        ]


def fingerprint_job(
    shards: Sequence[Shard],
    faults: Iterable[str],
    found: tuple[pa.Schema, Job],
    asked: PadRequest,
    files: FileOptions,
    goal_format: str,
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
        goal_format: of the output.
        shard_bytes: size beyond which files are cut.
        measured: whether something must be found in all inputs.
    """
    files = replace(files, output_format=goal_format)
    told = {**describe_request(asked, files), "shard bytes": str(shard_bytes)}
    left_out = sorted(absolute(path) for path in faults)
    # By whole addresses, of which people must not see all.
    named = [(shard.name, shard.source.path, shard.source.groups) for shard in shards]
    schema, job = found
    wanted = [columns.serialize().to_pybytes().hex() for columns in (schema, job.wanted.sequences)]
    whole = json.dumps([told, named, left_out, wanted, repr(job.columns)])
    name = hashlib.sha256(whole.encode()).hexdigest()[:16]
    inputs = {shard.address: shard.stamp for shard in shards} | {
        display_path(path): LEFT_OUT for path in left_out
    }
    return Fingerprint(name, told, inputs, measured)


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
