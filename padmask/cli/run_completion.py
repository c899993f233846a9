"""Read the columns of an input, for completion in the shell."""

from __future__ import annotations

import os
from contextlib import closing

from padmask.formats.dataset import Dataset
from padmask.storage.inputs import find_inputs
from padmask.storage.source import sources_of


def run_completion(path: str) -> dict[str, str]:
    """Return the columns of a local file, or of the first file of a folder or pattern, with their types.

    Args:
        path: an input on the command line.

    Returns:
        Types of the columns, by name. Empty for URLs, and for pipes, which can be read only once.
    """
    if "://" in path or (os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))):
        return {}
    first = find_inputs([path]).files[:1]
    if first[0].path == "-":
        return {}
    with closing(Dataset(sources_of(first))) as dataset:
        return {field.name: str(field.type) for field in dataset.schema()}
