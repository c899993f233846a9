"""`verify_file`: every route ignores padding, and leaks are found."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import raises_error
from tiers import represented

from padmask import DataError, MaskSpec, PadSpec, ReadOptions, SpecError, pad_file
from padmask.core.python_rows import flatten
from padmask.formats.dataset import Dataset
from padmask.spec.pad import RowPolicy
from padmask.spec.verify import FLOAT_ROUTES, ROUTES, ReferenceSpec
from padmask.storage.source import find_sources
from padmask.stream.job import PadRequest
from padmask.verify.data.audit_data import AuditRequest, RuleSpec, audit_and_sample
from padmask.verify.proof.sample import Input, Sample
from padmask.verify.proof_spec import ProofSpec
from padmask.verify.verify_file import verify_file

ROWS = [[5, 6, 7], [8], [9, 9, 2, 9, 4, 9, 9, 3], [3, 1], [6, 6, 1, 2, 4]]
POOLED = [route for route in ROUTES if route != "temporal-softmax"]
# A sequential model, a model on floats, and a layer of padmask. The slow tests have all routes.
SOME = ("embedding", "masking", "temporal-softmax")


def with_models(test):
    """Mark a test that runs models."""
    missing = find_spec("tensorflow") is None
    reason = "TensorFlow is not installed: pip install 'padmask[verify]'"
    return pytest.mark.tf(pytest.mark.skipif(missing, reason=reason)(test))


def write(path, rows, column="input_ids"):
    path.write_text("".join(json.dumps({column: row}) + "\n" for row in rows))
    return path


@pytest.fixture
def raw(tmp_path):
    return write(tmp_path / "in.jsonl", ROWS)


def proof_on(*routes, sample=256, **reference) -> ProofSpec:
    spec = ReferenceSpec(routes=routes or tuple(ROUTES), **reference)
    return ProofSpec(reference=spec, device="cpu", sample=sample)


def checks_of(report, route) -> dict:
    [subject] = [subject for subject in report.subjects if subject.name == route]
    return {check.name: check for check in subject.checks}


# --- every route ignores padding, and its unmasked twin does not ------------------------------------


def padded(raw, suffix, **spec):
    output = raw.with_name(f"padded.{suffix}")
    pad_file(raw, output, spec=PadSpec(maxlen=9, **spec))
    return output


@with_models
@represented(
    "padding,routes",
    [
        pytest.param("post", SOME, id="post-some"),
        pytest.param("pre", tuple(ROUTES), id="pre-all", marks=pytest.mark.slow),
        pytest.param("post", tuple(ROUTES), id="post-all"),
    ],
    by=2,
)
def test_routes_ignore_padding(raw, padding, routes):
    report = verify_file(padded(raw, "parquet", padding=padding), proof=proof_on(*routes))
    assert report.verdict == "ignores"
    assert [subject.name for subject in report.subjects] == list(routes)
    for subject in report.subjects:
        assert subject.control.verdict == "fails", subject.name
        for check in subject.checks:
            assert check.verdict == "holds" or check.detail, subject.name
            assert check.verdict != "fails"
        made = {check.name for check in subject.checks if check.verdict == "holds"}
        assert {"row-alone", "more-padding", "gradient"} <= made
        twin = {check.name for check in subject.control.checks if check.verdict == "fails"}
        assert {"row-alone", "more-padding", "gradient"} <= twin
        assert ("other-content" in made) == (subject.name not in FLOAT_ROUTES)
        assert ("routes-agree" in made) == (subject.name in POOLED)
    assert report.environment["padding"] == padding


@pytest.mark.slow
@with_models
@represented("suffix,padding", [("jsonl", "pre"), ("raw", "post"), ("arrow", "post")], by=1)
def test_raw_and_padded_input(raw, suffix, padding):
    spec = PadSpec(padding=padding)
    file = raw if suffix == "raw" else padded(raw, suffix, padding=padding)
    report = verify_file(file, spec=spec, proof=proof_on("embedding"))
    assert report.verdict == "ignores"
    assert (report.environment["padding"], report.environment["rows_checked"]) == (padding, len(ROWS))


@with_models
@pytest.mark.slow
@represented(
    "value,routes",
    [
        (77, ["embedding"]),
        (-1, ["embedding", "masking"]),
        (77, ["masking"]),
        (0, ["embedding", "masking"]),
    ],
    by=2,
)
def test_any_pad_value(tmp_path, value, routes):
    # With another pad value, 0 is an ordinary token.
    rows = ROWS if value == 0 else [*ROWS, [0, 4, 0], [0]]
    raw = write(tmp_path / "in.jsonl", rows)
    for file in (raw, padded(raw, "parquet", value=value)):
        report = verify_file(file, spec=PadSpec(value=value), proof=proof_on(*routes))
        assert (report.verdict, list(report.data)) == ("ignores", [])
        assert report.environment["value"] == value


@with_models
@pytest.mark.slow
def test_pad_value_in_tokens_warns(tmp_path):
    raw = write(tmp_path / "in.jsonl", [*ROWS, [0, 4, 0], [0]])
    report = verify_file(raw, proof=proof_on("embedding"))
    assert (report.verdict, [finding.rule.name for finding in report.data]) == (
        "ignores",
        ["pad-value-in-tokens"],
    )


@with_models
@represented(
    "rows",
    {"vectors": [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]], "floats": [[1.5, 2.5], [3.5]]},
    by=1,
)
def test_floats_use_masking(tmp_path, rows):
    report = verify_file(write(tmp_path / "in.jsonl", rows), proof=proof_on())
    assert report.verdict == "ignores"
    assert [subject.name for subject in report.subjects] == ["masking"]


@with_models
def test_full_rows_are_padded(tmp_path):
    report = verify_file(write(tmp_path / "in.jsonl", [[1, 2, 3], [4, 5, 6]]), proof=proof_on("embedding"))
    assert report.verdict == "ignores"
    assert checks_of(report, "embedding")["more-padding"].verdict == "holds"


@with_models
def test_labels_are_not_tokens(tmp_path):
    raw = tmp_path / "in.jsonl"
    raw.write_text('{"labels": [-100, 1], "input_ids": [4, 5]}\n{"labels": [1], "input_ids": [6]}\n')
    report = verify_file(raw, columns={"labels": -100, "input_ids": 0}, proof=proof_on("embedding"))
    assert (report.verdict, report.environment["column"]) == ("ignores", "input_ids")


@with_models
@pytest.mark.slow
def test_mask_column(tmp_path):
    padded = tmp_path / "in.jsonl"
    padded.write_text(
        '{"input_ids": [7, 8, 5], "real": [1, 1, 0]}\n{"input_ids": [9, 5, 5], "real": [1, 0, 0]}\n'
    )
    report = verify_file(padded, columns={"input_ids": 5}, mask_column="real", proof=proof_on("embedding"))
    assert (report.verdict, list(report.data), report.environment["places"]) == ("ignores", [], 2)


@with_models
@pytest.mark.parametrize("rows", [[], [[]], [[], []]], ids=["no-row", "an-empty-row", "empty-rows"])
def test_no_tokens_are_inconclusive(tmp_path, rows):
    report = verify_file(write(tmp_path / "in.jsonl", rows), proof=proof_on("embedding"))
    assert (report.verdict, list(report.subjects)) == ("inconclusive", [])
    assert "all rows are empty" in report.environment["subjects"]


@with_models
@pytest.mark.slow
def test_single_token(tmp_path):
    report = verify_file(write(tmp_path / "in.jsonl", [[1, 1], [1]]), proof=proof_on("embedding"))
    assert report.verdict == "ignores"


# --- the sample --------------------------------------------------------------------------------------


@with_models
@pytest.mark.slow
def test_sample_is_bounded(tmp_path):
    rows = [[1 + i % 90] * (1 + i) for i in range(200)]
    raw = write(tmp_path / "in.jsonl", rows)
    report = verify_file(raw, proof=proof_on("embedding", sample=9))
    seen = report.environment
    assert (seen["rows"], seen["rows_checked"], report.verdict) == (200, 9, "ignores")
    assert seen["places"] <= 64


def sampled(file, count, seed=0) -> list[list[int]]:
    dataset = Dataset(find_sources([str(file)]), None)
    asked = PadRequest(None, PadSpec(), MaskSpec(column=None), RowPolicy())
    try:
        data = audit_and_sample(dataset, AuditRequest(asked, RuleSpec()), count, seed)
    finally:
        dataset.close()
    return [row.tolist() for row in data.sample["input_ids"]]


@pytest.mark.parametrize(
    "count",
    [
        2,
        8,
        40,
        500,
    ],
)
def test_sample_has_extreme_lengths(tmp_path, count):
    lengths = np.random.default_rng(0).permutation(300) % 100 + 2
    lengths[[7, 250]] = 1, 150
    file = write(tmp_path / "in.jsonl", [[9] * length for length in lengths.tolist()])
    found = [len(row) for row in sampled(file, count)]
    assert len(found) == min(count, len(lengths))
    assert {min(found), max(found)} == {1, 150}


def test_sample_depends_on_seed(tmp_path):
    file = write(tmp_path / "in.jsonl", [[i, 1, 1] for i in range(300)])
    assert sampled(file, 20, seed=1) == sampled(file, 20, seed=1) != sampled(file, 20, seed=2)


def test_sample_skips_empty_rows(tmp_path):
    assert sampled(write(tmp_path / "in.jsonl", [[], [4], []]), 5) == [[4]]


def test_sample_holds_real_tokens(raw):
    assert sampled(padded(raw, "parquet", padding="pre", value=7), 99) == ROWS


@with_models
@pytest.mark.slow
def test_seed_gives_the_same_report(raw):
    first, again, other = (verify_file(raw, proof=proof_on("embedding", seed=seed)) for seed in (3, 3, 4))
    assert first.as_dict() == again.as_dict() != other.as_dict()


# --- data that the reference models do not support --------------------------------------------------


@with_models
@pytest.mark.parametrize(
    ("rows", "reference", "kind", "facts"),
    [
        ([[3, -4], [5]], {}, DataError, ["'input_ids'", "id -4"]),
        ([["a", "b"], ["c"]], {}, SpecError, ["'input_ids'", "strings"]),
        ([[1 << 23]], {}, SpecError, ["id 8388608"]),
        ([[9]], {"vocab_size": 9}, SpecError, ["--vocab-size 9", "id 9", 10]),
        ([[0.5]], {"routes": ("embedding",)}, SpecError, ["floats", "--route masking"]),
        ([[0.5]], {"routes": ("masking", "argument")}, SpecError, ["floats", "--route argument"]),
    ],
    ids=["negative-id", "strings", "huge-id", "small-vocabulary", "floats-to-embedding", "floats-to-some"],
)
def test_impossible_tokens(tmp_path, rows, reference, kind, facts):
    spec = ProofSpec(reference=ReferenceSpec(**reference), device="cpu")
    with raises_error(kind, *facts):
        verify_file(write(tmp_path / "in.jsonl", rows), proof=spec)


def test_negative_ids_break_no_rule(tmp_path):
    assert verify_file(write(tmp_path / "in.jsonl", [[3, -4], [5]])).verdict == "data-ok"


def test_integer_vectors(tmp_path):
    assert verify_file(write(tmp_path / "in.jsonl", [[[5, 1], [1, 2]], [[2, 1]]])).verdict == "data-ok"


@pytest.mark.parametrize("route", ["embeding", ""])
def test_unknown_route(route):
    with raises_error(SpecError, repr(route), option="routes"):
        ReferenceSpec(routes=(route,))


@pytest.mark.parametrize("size", ["embedding_dim", "units", "batch_size"])
def test_sizes_must_be_positive(size):
    with raises_error(SpecError, option=size):
        ReferenceSpec(**{size: 0})


# --- rules of the data ------------------------------------------------------------------------------


def warned(tmp_path):
    """Rows that violate two rules of severity warning."""
    return write(tmp_path / "in.jsonl", [*ROWS, [], [0, 5]])


def test_warnings_are_not_errors(tmp_path):
    report = verify_file(warned(tmp_path))
    assert [(f.rule.name, f.rule.severity, f.count) for f in report.data] == [
        ("pad-value-in-tokens", "warning", 1),
        ("row-fully-masked", "warning", 1),
    ]
    assert (report.verdict, report.ok) == ("data-ok", True)


def test_strict_makes_warnings_errors(tmp_path):
    report = verify_file(warned(tmp_path), rules=RuleSpec(strict=True))
    assert {finding.rule.severity for finding in report.data} == {"error"}
    assert (report.verdict, report.ok) == ("bad-data", False)


def test_warnings_can_be_allowed(tmp_path):
    both = RuleSpec(strict=True, allow=["row-fully-masked", "pad-value-in-tokens"])
    assert verify_file(warned(tmp_path), rules=both).verdict == "data-ok"
    one = RuleSpec(strict=True, allow=["row-fully-masked"])
    report = verify_file(warned(tmp_path), rules=one)
    assert [finding.rule.severity for finding in report.data] == ["error", "allowed"]
    assert report.verdict == "bad-data"


def test_errors_can_be_allowed(tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_text('{"input_ids": [5, 0, 6], "mask": [1, 0, 1]}\n')
    assert verify_file(file).verdict == "bad-data"
    assert verify_file(file, rules=RuleSpec(allow=["mask-not-contiguous"])).verdict == "data-ok"


def test_unknown_rule():
    with raises_error(SpecError, "'mask-shap'", "'mask-shape'"):
        RuleSpec(allow=["mask-shap"])


def test_strict_does_not_change_rules(tmp_path):
    verify_file(warned(tmp_path), rules=RuleSpec(strict=True))
    assert verify_file(warned(tmp_path)).verdict == "data-ok"


def test_rows_are_cut_before_the_audit(tmp_path):
    file = write(tmp_path / "in.jsonl", [[7, 8, 0], [9]])
    assert [finding.rule.name for finding in verify_file(file).data] == ["pad-value-in-tokens"]
    assert verify_file(file, spec=PadSpec(maxlen=2)).data == []


def test_limit_hides_later_findings(tmp_path):
    report = verify_file(warned(tmp_path), files=ReadOptions(limit=2))
    assert (report.environment["rows"], report.data) == (2, [])


def test_progress_counts_all_rows(raw):
    updates = []
    verify_file(raw, progress=updates.append)
    assert updates[-1].rows == len(ROWS)


def test_several_files(tmp_path):
    for name in "ab":
        pq.write_table(pa.table({"input_ids": [[7, 1], [2]]}), tmp_path / f"{name}.parquet")
    report = verify_file([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert (report.verdict, report.environment["rows"]) == ("data-ok", 4)


# --- leaks are reported ------------------------------------------------------------------------------


def lose_the_mask(monkeypatch, *routes):
    """Build the models of some routes without the mask."""
    from padmask.verify.keras import reference_models as models

    for name in routes:
        route = models.ROUTES[name]
        without = replace(route, head=lambda masked, table, head=route.head: head(False, table))
        monkeypatch.setitem(models.ROUTES, name, without)


@with_models
@pytest.mark.slow
@represented("routes", {"some": SOME, "all": tuple(ROUTES)}, by={"all"})
def test_routes_without_mask_leak(raw, monkeypatch, routes):
    lose_the_mask(monkeypatch, *routes)
    report = verify_file(raw, proof=proof_on(*routes))
    assert (report.verdict, report.ok) == ("leaks", False)
    for subject in report.subjects:
        failed = {check.name for check in subject.checks if check.verdict == "fails"}
        assert subject.verdict == "leaks"
        assert {"row-alone", "more-padding", "gradient"} <= failed
        assert ("other-content" in failed) == (subject.name not in FLOAT_ROUTES)


@with_models
@pytest.mark.slow
@represented("padding", ["post", "pre"], by=1)
def test_one_leaking_route(raw, monkeypatch, padding):
    lose_the_mask(monkeypatch, "functional")
    report = verify_file(
        raw, spec=PadSpec(padding=padding), proof=proof_on("embedding", "functional", "temporal-softmax")
    )
    assert report.verdict == "leaks"
    verdicts = {subject.name: subject.verdict for subject in report.subjects}
    assert (verdicts["functional"], verdicts["temporal-softmax"]) == ("leaks", "ignores")
    # The checks of the other routes contain the route that differs.
    assert "functional" in checks_of(report, "embedding")["routes-agree"].detail


@pytest.mark.slow
@with_models
def test_leak_outweighs_bad_data(tmp_path, monkeypatch):
    raw = write(tmp_path / "in.jsonl", [*ROWS, []])
    strict = RuleSpec(strict=True)
    assert verify_file(raw, rules=strict, proof=proof_on("embedding")).verdict == "bad-data"
    lose_the_mask(monkeypatch, "embedding")
    assert verify_file(raw, rules=strict, proof=proof_on("embedding")).verdict == "leaks"


@with_models
@pytest.mark.slow
def test_masked_control_is_inconclusive(raw, monkeypatch):
    from padmask.verify.keras import reference_models as models

    route = models.ROUTES["embedding"]
    always = replace(route, head=lambda masked, table: route.head(True, table))
    monkeypatch.setitem(models.ROUTES, "embedding", always)
    report = verify_file(raw, proof=proof_on("embedding"))
    [subject] = report.subjects
    assert (report.verdict, subject.control.verdict) == ("inconclusive", "holds")
    assert "passed checks that it should fail" in subject.detail


@pytest.mark.slow
@with_models
def test_disagreeing_routes(raw, monkeypatch):
    from padmask import layers
    from padmask.verify.keras import reference_models as models

    route = models.ROUTES["masked-activation"]

    def head(masked, table):
        return [route.head(masked, table)[0], layers.MaskedActivation("tanh")]

    monkeypatch.setitem(models.ROUTES, "masked-activation", replace(route, head=head))
    report = verify_file(raw, proof=proof_on("embedding", "functional", "masked-activation"))
    agree = {route: checks_of(report, route)["routes-agree"].verdict for route in ("functional", "embedding")}
    assert agree == {"functional": "holds", "embedding": "fails"}
    failed = {
        name for name, check in checks_of(report, "masked-activation").items() if check.verdict == "fails"
    }
    assert failed == {"routes-agree"}


# --- kernels -----------------------------------------------------------------------------------------


def two_kernels(apart: float) -> SimpleNamespace:
    """A replacement for the reference models on a GPU, with a cuDNN kernel and a generic kernel."""
    import tensorflow as tf

    def steps_model(*, use_cudnn):
        def model(ids, training):
            steps = tf.one_hot(ids, 12)
            # Outputs at padded positions differ and are not compared.
            return steps + (apart if use_cudnn is True else tf.cast(ids == 0, tf.float32)[..., None])

        return model

    return SimpleNamespace(steps_model=steps_model)


@with_models
@pytest.mark.parametrize(("apart", "verdict"), [(0.0, "holds"), (1e-5, "holds"), (0.01, "fails")])
def test_kernels_are_compared(apart, verdict):
    from padmask.verify.keras.backend import start_backend
    from padmask.verify.keras.cudnn import compare_kernels

    sample = Sample({"ids": Input(flatten(ROWS))})
    [check], said = compare_kernels(start_backend(device="cpu"), two_kernels(apart), sample)
    assert (check.name, check.verdict) == ("kernels-agree", verdict)
    assert check.max_abs_diff == pytest.approx(apart, abs=1e-6)
    assert set(said["cudnn"]) == {"left_padding", "fully_masked_row"}


@with_models
def test_kernels_skip_unusual_rows():
    from padmask.verify.keras.backend import start_backend
    from padmask.verify.keras.cudnn import compare_kernels

    sample = Sample({"ids": Input(flatten([[5, 0, 6], [7]]))})
    [check], said = compare_kernels(start_backend(device="cpu"), two_kernels(1.0), sample)
    assert (check.verdict, said["kernel"]) == ("skipped", "generic")
