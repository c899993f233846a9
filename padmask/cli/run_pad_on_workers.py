"""Run `padmask pad` and `padmask pack` with worker processes and one output file."""

from __future__ import annotations

from padmask.cli.arguments import Workers
from padmask.cli.dataset_options import PadArguments
from padmask.cli.execution import open_executor
from padmask.cli.run_pad import pad_one_file
from padmask.stream.ledger import PadResult


def run_pad_on_workers(arguments: PadArguments, workers: int) -> PadResult:
    """Pad all inputs into one file. `workers` processes parse the rows."""
    with open_executor(Workers(workers=workers, cluster=None)) as executor:
        return pad_one_file(arguments, executor)
