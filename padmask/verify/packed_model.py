"""Choose packed rows of the data, and run the checks of a user's model on these rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from padmask.core.pack_arrays import Packed
from padmask.core.packed_layout import PackedLayout
from padmask.errors import ModelError, SpecError
from padmask.spec.pack import SEQUENCE_LENGTHS, PackSpec
from padmask.spec.verify import ModelSpec
from padmask.verify.data.audit_data import AuditedData
from padmask.verify.proof.deviations import Outputs
from padmask.verify.proof.function import call_function, dtype_of_rows
from padmask.verify.proof.packed_arguments import Arguments, DataArguments, find_arguments
from padmask.verify.proof.packed_sample import PackedBatch, PackedRow, PackedSample, choose_packed_rows
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.verify_packed import PackedSubject, verify_packed
from padmask.verify.proof_spec import ModelProof
from padmask.verify.report import SubjectReport


class PackedModel(Protocol):
    """A model of any framework that runs on packed rows."""

    arguments: Arguments

    @property
    def dtype(self) -> str:
        """The least precise dtype that the model computes with, as in `LIMITS`. Known after the first run."""

    @property
    def recurrent(self) -> Sequence[str]:
        """Names of the layers that carry a state from one position to the next."""

    @property
    def remark(self) -> str:
        """Note that names an argument that padmask set and the user must set too; empty if there is none."""

    def predict(self, batch: PackedBatch) -> Outputs:
        """Return the outputs for a batch."""


class PackedFunction:
    """A function of arrays that runs on packed rows.

    Args:
        function: function whose parameters have names such as `ids`, `mask`, `segment_ids`.
        data: what the data and the user specify about the parameters.

    Raises:
        SpecError: a parameter has an unknown name.
    """

    recurrent = ()
    remark = ""

    def __init__(self, function: Callable[..., Any], data: DataArguments) -> None:
        self._function = function
        self.dtype = "float32"
        self.arguments = find_arguments(function, data)

    def predict(self, batch: PackedBatch) -> Outputs:
        """Return the outputs for a batch.

        Raises:
            CannotRunError: the function raised an error.
            ModelError: the function returns unusable outputs.
        """
        found = call_function(self._function, *self.arguments.arrays(batch))
        self.dtype = found.dtype
        return found.arrays


def run_packed(spec: ModelSpec, sample: PackedSample, model: PackedModel) -> SubjectReport:
    """Run the checks of packed rows on a model.

    Args:
        spec: options of the verification.
        sample: packed rows.
        model: model that is ready to run.

    Raises:
        ModelError: the model cannot run on the rows.
    """
    size = 1 if model.arguments.needs_one_row else spec.batch_size
    try:
        # The dtype of a function is known only after a run.
        model.predict(next(sample.batches(size)))
        subject = PackedSubject(spec.name, model.predict, model.dtype, size, model.recurrent)
        report = verify_packed(subject, sample)
    except CannotRunError as error:
        raise ModelError(f"{spec.name}: {error}", options=error.options) from None
    return replace(report, detail="; ".join(part for part in (report.detail, model.remark) if part))


def sample_packed_data(data: AuditedData, column: str, spec: ModelSpec) -> PackedSample:
    """Return the sampled packed rows of a column.

    Raises:
        SpecError: the sequences of the rows are unknown.
    """
    rows = [
        PackedRow.of(tokens, segments)
        for tokens, segments in zip(data.sample[column], data.segments, strict=True)
        if segments is not None and len(tokens)
    ]
    if not rows:
        raise SpecError(
            f"{data.name}: the rows are packed, but no row shows where its sequences are. Pack the rows "
            f"again, or keep the column {SEQUENCE_LENGTHS!r}."
        )
    return make_packed_sample(
        rows, dtype_of_rows(data.sample[column]), spec.value or 0, spec.seed, data.packed
    )


def make_packed_sample(
    rows: Sequence[PackedRow], dtype: str, value: Any, seed: int, layout: PackedLayout | None = None
) -> PackedSample:
    """Choose the packed rows on which the checks run the model.

    Args:
        rows: packed rows of the data.
        dtype: dtype of the tokens.
        value: pad value.
        seed: random seed of the tokens with which the checks replace other tokens.
        layout: how the rows are packed; None if unknown.
    """
    packing = None if layout is None else layout.packing
    return PackedSample(
        rows=choose_packed_rows(rows),
        value=value,
        dtype=dtype,
        packing=packing or PackSpec(align=1 if layout is None else layout.align),
        seed=seed,
    )


def packed_rows_of(packed: Packed) -> list[PackedRow]:
    """Return the rows of the result of `padmask.pack`."""
    return [
        PackedRow.of(values[mask], segments)
        for values, mask, segments in zip(packed.values, packed.mask, packed.segment_ids, strict=True)
    ]


def arguments_in(layout: PackedLayout | None, proof: ModelProof | None = None) -> DataArguments:
    """Return what the packed columns and the user specify about the arguments of a model.

    Args:
        layout: how the rows are packed; None for packed arrays in memory.
        proof: options of the user.
    """
    if layout is None:
        names = ("mask", "segment_ids", "position_ids", SEQUENCE_LENGTHS)
        columns = dict(zip(names, names, strict=True))
    else:
        columns = {SEQUENCE_LENGTHS: SEQUENCE_LENGTHS, **layout.derived}
        columns |= {} if layout.mask is None else {layout.mask: "mask"}
        columns |= dict.fromkeys(layout.columns[:1], "tokens")
    return DataArguments(columns, *(() if proof is None else (proof.inputs, proof.kinds)))
