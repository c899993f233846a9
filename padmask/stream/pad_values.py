"""Check pad values that are not finite, such as NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence

from padmask.core.columns import PadColumn
from padmask.errors import SpecError
from padmask.spec.formats import FormatTraits
from padmask.spec.warning_names import Warned


def pad_value_notes(columns: Sequence[PadColumn], output: FormatTraits) -> tuple[Warned, ...]:
    """Return a warning for each column whose pad value is NaN or infinity.

    A mask does not hide such values. For example, 0 times NaN is NaN, so a masked sum or loss becomes NaN.

    Args:
        columns: columns to pad.
        output: format of the output.

    Raises:
        SpecError: the output format cannot represent the pad value.
    """
    strange = [
        column for column in columns if isinstance(column.value, float) and not math.isfinite(column.value)
    ]
    for column in strange:
        if output.is_text:
            raise SpecError(
                f"Column {column.name!r}: {output.title} cannot represent the pad value {column.value}. "
                "Choose a finite pad value, such as 0, or write Parquet or Arrow.",
                options=["value", "columns"],
            )
    return tuple(
        Warned(
            "non-finite-value",
            f"the pad value of {column.name!r} is {column.value}: a mask does not hide this value, because 0 "
            f"times {column.value} is NaN. Use a finite pad value, such as 0",
        )
        for column in strange
    )
