"""`padmask verify` as a function: audit the data, take a sample, prove on it, report.

One pass over the input, two where a length must be found. Knows nothing of terminals; Keras is
imported only where a model is proven.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from padmask.audited import Layout, Row, RowsAt, audited, find_layout, padded_rows, raw_rows
from padmask.decide import Asked, Columns, decide
from padmask.errors import SpecError, did_you_mean
from padmask.flatten import flatten
from padmask.formats.dataset import Dataset
from padmask.plan import LengthStats, make_plan, needs_lengths
from padmask.progress import Progress, ProgressCallback
from padmask.rows import Job, is_label, take_in
from padmask.spec import MaskSpec, PadSpec, RowPolicy, Side
from padmask.verify.audit import RULES, Audit, Finding
from padmask.verify.report import Report
from padmask.verify.routes import ReferenceSpec
from padmask.verify.sample import Input, Sample

# Places a row of the sample may have: longer ones prove nothing more, and take longer.
STEPS = 64
SAMPLE_ROWS = 256
# Some rows are also taken without all but their first tokens: long rows forget what came before them.
SHORT_STEPS = 8
# A table of more rows than this is no reference model any more.
LARGEST_VOCABULARY = 1 << 22


@dataclass(frozen=True, kw_only=True)
class RuleSpec:
    """How the data's rules are enforced.

    Args:
        strict: whether warnings are errors.
        allow: rules that may be broken.
    """

    strict: bool = False
    allow: Collection[str] = ()

    def __post_init__(self) -> None:
        for name in self.allow:
            if name not in RULES:
                raise SpecError(
                    f"There is no rule {name!r}.{did_you_mean(name, list(RULES))} "
                    f"Choose one of {', '.join(RULES)}."
                )

    def enforce(self, findings: Sequence[Finding]) -> list[Finding]:
        """Return the findings with the severity that they have here."""
        return [
            replace(finding, rule=replace(finding.rule, severity=self._of(finding))) for finding in findings
        ]

    def _of(self, finding: Finding) -> str:
        if finding.rule.name in self.allow:
            return "allowed"
        return "error" if self.strict else finding.rule.severity


@dataclass(frozen=True, kw_only=True)
class ProofSpec:
    """How the proof is made.

    Args:
        reference: the reference models.
        backend: of Keras; None takes `KERAS_BACKEND`, else TensorFlow.
        device: `"auto"`, `"cpu"` or `"gpu"`.
        sample: rows it is made on.
    """

    reference: ReferenceSpec = field(default_factory=ReferenceSpec)
    backend: str | None = None
    device: str = "auto"
    sample: int = SAMPLE_ROWS


@dataclass(frozen=True)
class Data:
    """What one look at the data gives: findings, and rows to prove things on.

    Args:
        name: of the input.
        findings: what the rules found, as they are enforced.
        rows: how many there are.
        sample: real tokens by column, for the rows that were picked.
        values: the pad value of each column.
        padding: the side of the padding.
        labels: columns that hold labels.
        ids: the smallest and largest token, by column of whole numbers.
        maxlen: places in a padded row.
    """

    name: str
    findings: Sequence[Finding]
    rows: int
    sample: Mapping[str, Sequence[npt.NDArray[Any]]]
    values: Mapping[str, Any]
    padding: Side
    labels: Collection[str]
    ids: Mapping[str, tuple[int, int]]
    maxlen: int


def verify_file(  # noqa: PLR0913 - a keyword each for what the command takes
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    columns: Columns = None,
    spec: PadSpec | None = None,
    rules: RuleSpec | None = None,
    proof: ProofSpec | None = None,
    mask_column: str | None = None,
    declared: Side | None = None,
    input_format: str | None = None,
    limit: int | None = None,
    progress: ProgressCallback | None = None,
) -> Report:
    """Audit a dataset, raw or padded, and prove on it that the reference models ignore padding.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "in.jsonl"
    >>> _ = file.write_text('{"input_ids": [7, 8]}\\n{"input_ids": [9]}\\n')
    >>> verify_file(file).verdict
    'data-ok'

    Args:
        inputs: paths, read as one dataset; `-` is standard input.
        columns: as in `pad_table`.
        spec: how raw input is padded.
        rules: how the data's rules are enforced.
        proof: how the proof is made; None checks the data alone, and needs no Keras.
        mask_column: of padded input; default as in `inspect_file`.
        declared: side of the padding of padded input; default as in `inspect_file`.
        input_format: None finds it out.
        limit: look at the first rows only.
        progress: called now and then with how far the pass is.

    Raises:
        SpecError, DataError: as `pad_file`.
        MissingExtraError: a proof needs packages that are not installed.
    """
    inputs = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    dataset = Dataset([os.fspath(path) for path in inputs], input_format)
    try:
        data = look(
            dataset,
            Asked(columns, spec or PadSpec(), MaskSpec(column=None), RowPolicy()),
            rules or RuleSpec(),
            mask_column=mask_column,
            declared=declared,
            limit=limit,
            sample=proof.sample if proof else 0,
            seed=proof.reference.seed if proof else 0,
            progress=progress,
        )
    finally:
        dataset.close()
    if proof is None:
        return Report(
            data.findings, (), {**_environment(), "data": data.name, "rows": data.rows}, proof=False
        )
    return _prove(data, proof)


def look(  # noqa: PLR0913 - what the command takes of data
    dataset: Dataset,
    asked: Asked,
    rules: RuleSpec,
    *,
    mask_column: str | None = None,
    declared: Side | None = None,
    limit: int | None = None,
    sample: int = 0,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Data:
    """Audit the data and take a sample, in one pass; in two where a length must be found."""
    layout = find_layout(dataset, asked.columns, mask_column)
    if layout is not None and declared is not None:
        layout = replace(layout, padding=declared)
    chosen = asked.columns or (list(layout.values) if layout else None)
    job = decide(dataset, replace(asked, columns=chosen), keep_others=False)
    audit = Audit([audited(column, layout) for column in job.columns])
    for column in job.columns:
        audit.add_types(dataset.types_of(column.name))
    maxlen = None if layout else _maxlen(dataset, job, limit)
    source = (
        raw_rows(dataset, job, limit, audit, maxlen)
        if layout is None
        else padded_rows(dataset, job, limit, audit, layout)
    )
    keep = _Keeper(sample, seed)
    rows = longest = 0
    for lengths, row_at, consumed in source:
        keep.take(lengths, row_at, rows)
        rows += len(lengths)
        longest = max(longest, int(lengths.max(initial=0)))
        if progress:
            progress(Progress("auditing", rows, consumed, dataset.size))
    kept = keep.rows()
    names = [column.name for column in job.columns]
    return Data(
        dataset.name,
        rules.enforce(audit.findings()),
        rows,
        {name: [_tokens(row, name) for row in kept] for name in names},
        {column.name: _pad_value(audited(column, layout).value, column.value) for column in job.columns},
        _padding(layout, job, kept),
        [column.name for column in job.columns if is_label(column)],
        {name: found for name in names if (found := audit.id_range(name)) is not None},
        longest if maxlen is None else maxlen,
    )


def _maxlen(dataset: Dataset, job: Job, limit: int | None) -> int | None:
    """Return the length that raw rows are cut to; None where the longest is kept."""
    if not needs_lengths(job.spec):
        return make_plan(job.spec).maxlen
    if job.spec.maxlen == "longest":
        return None
    dataset.spool(limit)
    stats = LengthStats()
    for chunk in dataset.chunks(job.wanted, limit):
        stats += LengthStats.of(take_in(dataset.decode(chunk, job.wanted), job).lengths)
    return make_plan(job.spec, stats).maxlen


def _pad_value(known: Any, default: Any) -> Any:
    return default if known is None else known


def _padding(layout: Layout | None, job: Job, kept: Sequence[Row]) -> Side:
    if layout is None:
        return job.spec.padding
    if layout.padding is not None:
        return layout.padding
    # Nobody declared a side: that of most rows.
    edges = [(row.mask[0], row.mask[-1]) for row in kept if row.mask is not None and len(row.mask)]
    return "pre" if sum(not first and last for first, last in edges) > len(edges) / 2 else "post"


def _tokens(row: Row, name: str) -> npt.NDArray[Any]:
    values = row.values[name]
    return values if row.mask is None else values[row.mask]


class _Keeper:
    """Keeps the shortest rows, the longest, and others drawn at random, in one pass."""

    def __init__(self, count: int, seed: int) -> None:
        few = count // 8
        self._count = count
        self._random = np.random.default_rng(seed)
        self._least: list[tuple[int, Callable[[Any], Any], list[tuple[float, Row]]]] = [
            (few, lambda lengths: lengths, []),
            (few, lambda lengths: -lengths, []),
            (count, lambda lengths: self._random.random(len(lengths)), []),
        ]

    def take(self, lengths: npt.NDArray[np.int64], row_at: RowsAt, first: int) -> None:
        real = np.flatnonzero(lengths > 0)
        for count, key, kept in self._least:
            keys = key(lengths)[real]
            best = np.argsort(keys, kind="stable")[:count]
            worst = kept[-1][0] if len(kept) == count and count else np.inf
            kept += [
                (float(keys[i]), row_at(int(real[i]), first + int(real[i]))) for i in best if keys[i] < worst
            ]
            kept.sort(key=lambda entry: entry[0])
            del kept[count:]

    def rows(self) -> list[Row]:
        found: dict[int, Row] = {}
        for _, _, kept in self._least:
            for _, row in kept:
                if len(found) < self._count:
                    found[row.number] = row
        return [found[number] for number in sorted(found)]


def _environment() -> dict[str, Any]:
    from padmask import __version__

    return {"padmask": __version__, "python": platform.python_version(), "numpy": np.__version__}


def _prove(data: Data, proof: ProofSpec) -> Report:
    from padmask.verify.backend import start

    column = _token_column(data)
    engine = start(proof.backend, proof.device)
    from padmask.verify.references import prove_references

    rows = data.sample[column]
    environment = {
        **_environment(),
        **engine.describe(),
        "data": data.name,
        "rows": data.rows,
        "rows_checked": len(rows),
        "column": column,
        "padding": data.padding,
        "value": data.values[column],
        "seed": proof.reference.seed,
    }
    if not rows:
        said = {"subjects": "none: the data have no row with a token to prove anything on"}
        return Report(data.findings, (), environment | said)
    kind = rows[0].dtype.kind
    reference, sample = _as_reference(data, column, proof.reference, kind)
    subjects, seen = prove_references(engine, reference, sample, rows[0].shape[1:] if kind == "f" else None)
    return Report(data.findings, subjects, environment | seen)


def _token_column(data: Data) -> str:
    return next((name for name in data.sample if name not in data.labels), next(iter(data.sample)))


def _as_reference(data: Data, column: str, spec: ReferenceSpec, kind: str) -> tuple[ReferenceSpec, Sample]:
    """Return the sample as the reference models take it: padded with 0, ids below the vocabulary."""
    rows, value = data.sample[column], data.values[column]
    if kind not in "iuf":
        raise SpecError(
            f"{data.name}: column {column!r} holds strings, and models take ids or features. "
            "Name a column of ids with -c, or check the data alone with --no-model."
        )
    if kind == "f":
        flat = flatten([np.asarray(row, dtype="float32") for row in rows])
        return spec, _with_short_rows(Sample({"features": Input(flat, 0, "float32")}, data.padding))
    low, high = data.ids[column]
    if low < 0:
        raise SpecError(
            f"{data.name}: column {column!r} holds the token {low}, and no Embedding has a row for it. "
            "Mend the ids, or check the data alone with --no-model."
        )
    needed = max(high, int(value)) + 1
    if value < 0:
        # 0 needs another id, since 0 will be the padding.
        needed, stand_in = needed + 1, needed
    else:
        stand_in = int(value)
    vocab = spec.vocab_size or needed
    if vocab < needed:
        raise SpecError(
            f"--vocab-size {vocab} is too small: {data.name} has the token {high}. "
            f"Give at least {needed}, or leave it out."
        )
    if vocab > LARGEST_VOCABULARY:
        raise SpecError(
            f"{data.name}: column {column!r} holds the token {high}; an Embedding of {vocab:,} rows is "
            "beyond a reference model. Check the data alone with --no-model."
        )
    # The routes that find the mask in the ids take 0 for padding: the pad value and 0 change places.
    swapped = [np.where(row == value, 0, np.where(row == 0, stand_in, row)) for row in rows]
    # Any id may be drawn where other tokens are wanted, so that a poor sample still shows something.
    sample = Sample(
        {"ids": Input(flatten(swapped), 0, "int32")},
        data.padding,
        {"ids": np.arange(min(1, vocab - 1), vocab)},
    )
    return replace(spec, vocab_size=vocab), _with_short_rows(sample)


def _with_short_rows(sample: Sample) -> Sample:
    sample = sample.cut(STEPS)
    few = sample.select(np.arange(min(len(sample), SHORT_STEPS)))
    return reduce(Sample.joined, [few.select([row]).cut(row + 1) for row in range(len(few))], sample)
