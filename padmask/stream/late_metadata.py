"""Metadata that is known only at the end of a run: the numbers of rows and tokens."""

from __future__ import annotations

import pyarrow as pa

from padmask.core.metadata import valid_descriptions
from padmask.core.packed_counts import COUNTED, PackedCounts
from padmask.core.padded_run import COUNTED_ROWS, PaddedRun
from padmask.stream.ledger import Ledger
from padmask.stream.passes import PadRun


def late_metadata(run: PadRun, schema: pa.Schema, ledger: Ledger) -> dict[bytes, bytes]:
    """Return the numbers of rows and tokens of a finished run of `pad` or `pack`, as file metadata.

    If `pad` read padded rows, the result is empty, because the run that added the padding may have left out
    rows.

    Args:
        run: the run that wrote the file.
        schema: schema of the file.
        ledger: counts of the run.
    """
    policy, limit = run.job.policy, run.files.limit
    if run.job.spec.packing is not None:
        counts = PackedCounts(**{name: getattr(ledger, name) for name in COUNTED}, limit=limit)
        return counts.add_to(schema.metadata)
    # JSON Lines has no metadata.
    if not run.dataset.format.is_text and any(map(valid_descriptions, run.dataset.schemas().values())):
        return {}
    numbers = {name: getattr(ledger, name) for name in COUNTED_ROWS}
    return PaddedRun(policy.overlong, policy.empty_rows, **numbers, limit=limit).add_to(schema.metadata)
