"""Run `padmask pad` and `padmask pack` with an output folder."""

from __future__ import annotations

from collections.abc import Callable

from padmask.cli.dataset_options import PadArguments
from padmask.cli.execution import open_executor
from padmask.cli.progress import open_progress
from padmask.shards.pad_dataset import pad_dataset
from padmask.shards.split import SHARD_BYTES
from padmask.spec.warning_names import Warned
from padmask.stream.ledger import PadResult


def run_pad_folder(arguments: PadArguments, warn: Callable[[Warned], None]) -> PadResult:
    """Pad each input file, and write one or more files to the output folder. `warn` prints a warning."""
    to = arguments.to
    with (
        open_executor(arguments.where) as executor,
        open_progress(quiet=to.quiet, progress=to.progress, output=to.output) as progress,
    ):
        return pad_dataset(
            to.inputs or ["-"],
            to.output,
            columns=arguments.columns,
            spec=arguments.spec,
            mask=arguments.mask,
            policy=arguments.policy,
            files=to.files,
            executor=executor,
            resume=arguments.resume,
            delete=arguments.delete,
            shard_bytes=arguments.shard_bytes or SHARD_BYTES,
            progress=progress,
            warn=warn,
        )
