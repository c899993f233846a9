"""What a job is known by: all that its output depends on, as a name, and in words for people.

Only the same job is gone on with, and where it is another one, people are told what differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from padmask import __version__
from padmask.decide import Asked
from padmask.errors import few
from padmask.files import FileOptions
from padmask.formats.listing import Listed
from padmask.formats.source import Source
from padmask.formats.storage import shown
from padmask.jobs.shards import absolute


@dataclass(frozen=True)
class Identity:
    """All that the output of a job depends on.

    >>> old = Identity("a1", {"maxlen": "8"}, {"/data/a.jsonl": "1", "/data/b.jsonl": "1"})
    >>> new = Identity("a2", {"maxlen": "9"}, {"/data/a.jsonl": "2", "/data/c.jsonl": "1"})
    >>> print("\\n".join(new.unlike(old)))
    maxlen was 8 and is 9
    /data/a.jsonl is not as it was
    /data/b.jsonl was an input
    /data/c.jsonl was no input

    Args:
        name: of the job: the same for the same options and inputs.
        options: what was asked for, in words.
        inputs: versions of the files by their paths, as people may see them.
    """

    name: str
    options: Mapping[str, str]
    inputs: Mapping[str, str]

    def unlike(self, old: Identity) -> list[str]:
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
            f"{few(sorted(paths))} {one if len(paths) == 1 else many} {what}"
            for paths, one, many, what in groups
            if paths
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the same, ready for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> Identity:
        """Return the job that a dictionary of JSON's tells of."""
        return cls(str(known["name"]), dict(known["options"]), dict(known["inputs"]))


def identify(
    found: Sequence[Listed],
    faults: Mapping[str, str],
    asked: Asked,
    files: FileOptions,
    goal_format: str,
    shard_bytes: int,
) -> Identity:
    """Return what a job is known by.

    Args:
        found: the files of the dataset.
        faults: those of them that cannot be read and are left out, by their paths.
        asked: what the user asks for.
        files: formats and limits.
        goal_format: of the output.
        shard_bytes: size beyond which files are cut.
    """
    # However they were given.
    columns = list(asked.columns.items() if isinstance(asked.columns, Mapping) else asked.columns or ())
    options = {
        "padmask": __version__,
        "columns": columns,
        **asdict(asked.spec),
        **{f"mask's {name}": value for name, value in asdict(asked.mask).items()},
        **asdict(asked.policy),
        "output format": goal_format,
        "input format": files.input_format,
        "limit": files.limit,
        "fixed-size lists": files.fixed_size_list,
        "rejects": files.rejects is not None,
        "shard bytes": shard_bytes,
    }
    told = {name: value if isinstance(value, str) else repr(value) for name, value in options.items()}
    versions = [
        (file.name, absolute(file.path), Source(file.path, None, file.stored).first_version())
        for file in found
    ]
    # By whole addresses, of which people must not see all.
    name = hashlib.sha256(json.dumps([told, versions, sorted(faults)]).encode()).hexdigest()[:16]
    inputs = {shown(path): str(version) for _, path, version in versions}
    inputs |= {shown(absolute(path)): "left out" for path in faults}
    return Identity(name, told, inputs)
