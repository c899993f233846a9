"""`verify_file`, which checks data against rules and verifies models on a sample of the data."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace

from padmask.errors import SpecError
from padmask.formats.dataset import open_inputs
from padmask.shards.manifest import refuse_changed_shards
from padmask.spec.checks import optional, or_default
from padmask.spec.columns import Columns, as_list
from padmask.spec.files import ReadOptions, read_options
from padmask.spec.mask import MaskKind, MaskSpec, Polarity, asked_dialect
from padmask.spec.pad import PadSpec, RowPolicy, Side
from padmask.spec.sides import checked_side
from padmask.storage.urls import checked_paths
from padmask.stream.job import PadRequest
from padmask.stream.progress import ProgressCallback
from padmask.verify.api import NO_TOKENS, environment
from padmask.verify.data.audit_data import AuditedData, AuditRequest, RuleSpec, audit_and_sample
from padmask.verify.model_on_data import report_on_data, verify_user_model
from padmask.verify.proof_spec import ModelProof, ProofSpec
from padmask.verify.reference_sample import fit_to_references
from padmask.verify.report import Report


def verify_file(  # noqa: PLR0913 - one keyword per option of the command
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    columns: Columns = None,
    spec: PadSpec | None = None,
    rules: RuleSpec | None = None,
    proof: ProofSpec | ModelProof | None = None,
    mask_column: str | None = None,
    mask_polarity: Polarity | None = None,
    mask_kind: MaskKind | None = None,
    declared: Side | None = None,
    files: ReadOptions | None = None,
    progress: ProgressCallback | None = None,
    against: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    on_data: Callable[[Report], None] | None = None,
) -> Report:
    """Check a raw or padded dataset against rules, and use its rows to verify that models ignore padding.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "in.jsonl"
    >>> _ = file.write_text('{"input_ids": [7, 8]}\\n{"input_ids": [9]}\\n')
    >>> verify_file(file).verdict
    'data-ok'

    Args:
        inputs: paths of one dataset. `-` is standard input. If there are no paths and `proof` is a
            `ModelProof`, random rows are generated.
        columns: columns to verify, as in `pad_table`.
        spec: padding options for raw input. If None, `PadSpec()` is used.
        rules: options of the data rules. If None, `RuleSpec()` is used.
        proof: `ProofSpec` to verify the reference models, or `ModelProof` to verify the user's model. If
            None, only the data is checked, and Keras is not required.
        mask_column: mask column of padded input. If None, the column is found as in `inspect_file`.
        mask_polarity: which positions of a binary mask are True or 1: `"real"` tokens or `"padding"`. If
            None, the polarity in the metadata is used, else `"padding"` for a `key_padding_mask` and
            `"real"` for other masks.
        mask_kind: kind of the mask, `"binary"` or `"additive"`. If None, the kind in the metadata is used,
            else `"binary"`.
        declared: padding side of padded input, `"post"` or `"pre"`. If None, the side in the metadata is
            used, else the most common side.
        files: input format and limits. If None, `ReadOptions()` is used.
        progress: callback that receives progress updates.
        against: paths of the original files, from which `inputs` was padded or packed. Both must have the
            same tokens.
        on_data: callback that receives the report on the data before the models run. If the models then raise
            an error, this report has the findings in the data.

    Raises:
        SpecError: an option is invalid, or a column is missing or has an unsupported type.
        DataError: a file cannot be read, or the files are padded differently. A bad row raises no error. It
            is a finding.
        MissingExtraError: Keras or its backend is required but not installed.
    """
    paths, files = checked_paths(inputs), read_options(files)
    declared = optional(checked_side)("declared", declared)
    if not isinstance(proof, ProofSpec | ModelProof | None):
        raise SpecError(f"`proof` must be a ProofSpec or a ModelProof. Received: {proof!r:.80}.")
    request = AuditRequest(
        PadRequest(as_list(columns), or_default("spec", spec, PadSpec), MaskSpec(column=None), RowPolicy()),
        or_default("rules", rules, RuleSpec),
        mask_column=mask_column,
        declared=declared,
        files=files,
        progress=progress,
        dialect=asked_dialect(mask_polarity, mask_kind),
        against=checked_paths(against) if against else (),
        on_data=on_data,
    )
    if files.limit is None:
        refuse_changed_shards(paths)
    if isinstance(proof, ModelProof):
        return verify_user_model(paths, request, proof)
    if proof is not None and "keras" not in sys.modules:
        from padmask.verify.keras.backend import check_backend

        # Reading the data may take long.
        check_backend(proof.backend)
    with closing(open_inputs(paths, files)) as dataset:
        if proof is None:
            return report_on_data(audit_and_sample(dataset, request))
        # The reference models have LSTM layers.
        request = replace(request, recurrent=True)
        data = audit_and_sample(dataset, request, proof.sample, proof.reference.seed)
        if on_data is not None:
            on_data(report_on_data(data))
        return _verify_references(data, proof)


def _verify_references(data: AuditedData, proof: ProofSpec) -> Report:
    from padmask.verify.keras.backend import start_backend

    column = data.token_column
    engine = start_backend(proof.backend, proof.device)
    from padmask.verify.keras.verify_references import verify_references

    rows = data.sample[column]
    run = {
        **environment(),
        **engine.describe(),
        **data.described,
        "rows_checked": len(rows),
        "column": column,
        "padding": data.padding,
        "value": data.values[column],
        "seed": proof.reference.seed,
    }
    if not rows:
        return Report(data.findings, (), run | NO_TOKENS, notes=data.notes)
    kind = rows[0].dtype.kind
    reference, sample = fit_to_references(data, column, proof.reference, kind)
    subjects, settings = verify_references(
        engine, reference, sample, rows[0].shape[1:] if kind == "f" else None
    )
    return Report(data.findings, subjects, run | settings, notes=data.notes, references=True)
