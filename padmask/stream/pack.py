"""`pack_file`: pack the rows of files into rows of the same length."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from typing import Any

from padmask.spec.columns import Columns
from padmask.spec.files import FileOptions
from padmask.spec.keywords import FILE_ARGUMENTS
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import PackSpec
from padmask.spec.pack_defaults import pack_mask, pack_policy, packed_spec
from padmask.spec.pad import PadSpec, RowPolicy
from padmask.stream.inputs import Paths
from padmask.stream.ledger import PadResult
from padmask.stream.pad import pad_file
from padmask.stream.progress import ProgressCallback


def pack_file(  # noqa: PLR0913 - one keyword for each group of options
    inputs: Paths,
    output: str | os.PathLike[str] = "-",
    *,
    columns: Columns = None,
    spec: PadSpec | None = None,
    packing: PackSpec | None = None,
    mask: MaskSpec | None = None,
    policy: RowPolicy | None = None,
    files: FileOptions | None = None,
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> PadResult:
    """Pack several rows of files into each output row. `padmask pack` calls this function.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> rows = ['{"input_ids": [7, 8, 9]}', '{"input_ids": [5, 6]}', '{"input_ids": [4]}']
    >>> _ = (folder / "in.jsonl").write_text("\\n".join(rows))
    >>> result = pack_file(folder / "in.jsonl", folder / "out.jsonl", maxlen=4, source=False)
    >>> print((folder / "out.jsonl").read_text(), end="")
    {"input_ids":[7,8,9,4],"mask":[true,true,true,true],"seq_lengths":[3,1]}
    {"input_ids":[5,6,0,0],"mask":[true,true,false,false],"seq_lengths":[2]}

    Args:
        inputs: one or more paths of one dataset. A folder means all data files in the folder.
            `-` is standard input.
        output: path of the output file, or `-` for standard output. If the run fails, no file is written.
        columns: as in `pad_table`.
        spec: maxlen of the packed rows, and how to truncate or split longer rows; default `PadSpec()`.
        packing: how to pack; default `spec.packing`, or `PackSpec()`.
        mask: mask to add; default a bool column `mask`, or no mask if packed rows have no padding.
        policy: what to do with overlong, empty and bad rows. By default, an overlong row is an error unless
            `spec.windows` splits it, and empty rows are dropped.
        files: formats, limits and tuning; default `FileOptions()`.
        executor: as in `pad_file`.
        progress: function that is called regularly with a `Progress`.
        options: fields of `PadSpec` and `PackSpec`, such as `maxlen` and `align`, which replace the fields of
            `spec` and `packing`.

    Returns:
        The counts of rows, sequences and tokens that were read, written and lost.

    Raises:
        SpecError: an option is not valid for the data.
        DataError: the input cannot be read or packed.
        OutputError: the output cannot be written.

    Source: "Efficient Sequence Packing without Cross-contamination" (arXiv 2107.02027). `seq_lengths` is the
    name in TRL.
    """
    spec = packed_spec(spec, packing, options, FILE_ARGUMENTS)
    return pad_file(
        inputs,
        output,
        columns=columns,
        spec=spec,
        mask=pack_mask(mask, spec),
        policy=pack_policy(policy, spec),
        files=files,
        executor=executor,
        progress=progress,
    )
