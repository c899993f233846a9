"""What is refused of places before there is any work: files that would be lost, or taken for data.

Knows paths; opens nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from padmask.errors import OutputError
from padmask.formats.folder import Folder
from padmask.formats.listing import is_data
from padmask.formats.storage import is_url, shown
from padmask.jobs.shards import RESERVED, Shard


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


def _true_path(path: str) -> str:
    return path if is_url(path) else os.path.realpath(path)
