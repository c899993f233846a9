"""What is refused of places before there is any work: files that would be lost, or taken for data.

Knows paths; opens nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from padmask.errors import OutputError, SpecError, size
from padmask.formats.folder import Folder
from padmask.formats.listing import MANIFEST, is_data
from padmask.formats.manifest import MOST_BYTES
from padmask.formats.storage import is_url, shown
from padmask.jobs.shards import RESERVED, Shard

# Bytes of a shard in the manifest, with counts of any size, besides its names and its version.
RECORD_BYTES = 900


def refuse_among_data(folder: Folder, goals: Mapping[str, str | None]) -> None:
    """Refuse what else is written if it would lie among the data of the folder, as data.

    Args:
        folder: of the data.
        goals: paths by what goes there; None is nothing.

    Raises:
        OutputError: it would.
    """
    for what, goal in goals.items():
        if goal is None or goal == "-" or is_url(goal) != (folder.url is not None):
            continue
        path, base = (goal, folder.path) if folder.url else map(os.path.realpath, (goal, folder.path))
        inside = path.startswith(f"{base.rstrip('/')}/")
        name = os.path.relpath(path, base)
        if inside and is_data(name):
            raise OutputError(
                f"{what} would lie in the output folder as {shown(goal)!r}, and be read as data. Choose "
                "another place, or a name that begins with _."
            )
        if inside and name.startswith(RESERVED):
            raise OutputError(
                f"{what} would lie in the output folder as {shown(goal)!r}, and such names are padmask's own "
                "there. Choose another."
            )


def refuse_own_files(output: Folder, shards: Sequence[Shard]) -> None:
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


def refuse_too_many(shards: Sequence[Shard]) -> None:
    """Refuse a dataset whose manifest would be larger than what is read of one.

    Raises:
        SpecError: there are too many shards.
    """
    texts = (json.dumps([shard.name, shard.address, shard.stamp]) for shard in shards)
    if sum(RECORD_BYTES + len(text) for text in texts) > MOST_BYTES:
        raise SpecError(
            f"{len(shards):,} shards are more than one dataset can have: its {MANIFEST} would be larger than "
            f"{size(MOST_BYTES)}. Join small files first, or pad the folders apart."
        )


def _true_path(path: str) -> str:
    return path if is_url(path) else os.path.realpath(path)
