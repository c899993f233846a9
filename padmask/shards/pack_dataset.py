"""`pack_dataset`: pack the files of a dataset into a folder."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from typing import Any

from padmask.shards.pad_dataset import pad_dataset
from padmask.shards.split import SHARD_BYTES
from padmask.spec.columns import Columns
from padmask.spec.files import FileOptions
from padmask.spec.keywords import FILE_ARGUMENTS
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import PackSpec
from padmask.spec.pack_defaults import pack_mask, pack_policy, packed_spec
from padmask.spec.pad import PadSpec, RowPolicy
from padmask.stream.inputs import Paths
from padmask.stream.ledger import PadResult
from padmask.stream.progress import ProgressCallback


def pack_dataset(  # noqa: PLR0913 - one keyword for each group of options
    inputs: Paths,
    folder: str | os.PathLike[str],
    *,
    columns: Columns = None,
    spec: PadSpec | None = None,
    packing: PackSpec | None = None,
    mask: MaskSpec | None = None,
    policy: RowPolicy | None = None,
    files: FileOptions | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    resume: bool = False,
    delete: bool = False,
    shard_bytes: int = SHARD_BYTES,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> PadResult:
    """Pack the files of a dataset into a folder. `padmask pack data/ -o packed/` calls this function.

    >>> import tempfile, pathlib
    >>> data = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (data / "a.jsonl").write_text('{"input_ids": [7, 8, 9]}\\n{"input_ids": [4]}\\n')
    >>> _ = (data / "b.jsonl").write_text('{"input_ids": [5, 6]}\\n')
    >>> packed = pathlib.Path(tempfile.mkdtemp())
    >>> result = pack_dataset(data, packed, maxlen=4, source=False)
    >>> result.shards, result.ledger.sequences, result.ledger.rows_written
    (2, 3, 2)
    >>> print((packed / "a.jsonl").read_text(), end="")
    {"input_ids":[7,8,9,4],"mask":[true,true,true,true],"seq_lengths":[3,1]}

    Args:
        inputs, folder: as in `pad_dataset`. The rows of each shard are packed separately, so that the result
            does not depend on the workers.
        columns, spec, packing, mask, policy, options: as in `pack_file`.
        files, executor, workers, resume, delete, shard_bytes, progress: as in `pad_dataset`.

    Returns:
        The result as in `pack_file`, summed over all shards.

    Raises:
        SpecError: an option is not valid for the data.
        DataError: a shard cannot be read or packed. `resume` can use the finished shards.
        OutputError: the folder is not writable, contains other data, or contains files that the run would
            delete.
    """
    spec = packed_spec(spec, packing, options, FILE_ARGUMENTS)
    return pad_dataset(
        inputs,
        folder,
        columns=columns,
        spec=spec,
        mask=pack_mask(mask, spec),
        policy=pack_policy(policy, spec),
        files=files,
        executor=executor,
        workers=workers,
        resume=resume,
        delete=delete,
        shard_bytes=shard_bytes,
        progress=progress,
    )
