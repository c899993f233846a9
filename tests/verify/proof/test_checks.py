"""Every check rejects leaky models and passes sound ones; the models are a few lines of NumPy.

A model here is a function of ids and mask. The models in `SOUND` ignore their padding, those in `LEAKY`
do not; each is so small that the verdict is obvious.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pairs import each_value

from padmask.core.python_rows import flatten
from padmask.verify.proof.cached_predict import cache_predictions
from padmask.verify.proof.check_setup import prepare
from padmask.verify.proof.sample import Input, Sample
from padmask.verify.proof.subject import CannotRunError, Subject
from padmask.verify.proof.tolerance import (
    PRECISE,
    Check,
    ComparedDeviation,
    Deviation,
    compare_deviation,
    worst,
)
from padmask.verify.proof.verify_subject import verify_subject
from padmask.verify.report import SubjectReport

VOCAB = 30
TABLE = np.random.default_rng(0).standard_normal((VOCAB, 3))
LENGTHS = [1, 1, 2, 3, 3, 5, 8, 12]
LONGEST = max(LENGTHS)


def tokens(lengths, seed=0):
    random = np.random.default_rng(seed)
    return flatten([random.integers(1, VOCAB, size=length) for length in lengths])


def sample_of(lengths=LENGTHS, padding="post", **options) -> Sample:
    return Sample({"ids": Input(tokens(lengths), **options)}, padding)


def subject_of(model, **options) -> Subject:
    """Return a subject (a model in the form that the checks need) for a function of ids and mask."""

    def predict(batch):
        given = model(batch["ids"].values, batch["ids"].mask)
        return given if isinstance(given, dict) else {"output": given}

    return Subject("fake", predict, **options)


def with_other_content(subject: Subject) -> Subject:
    """Return the subject with a variant that runs with other ids in padded positions."""

    def other(batch, seed=5):
        padded = batch["ids"]
        drawn = np.random.default_rng(seed).integers(1, VOCAB, size=padded.values.shape)
        values = np.where(padded.mask, padded.values, drawn)
        return subject.predict({"ids": replace(padded, values=values)})

    return replace(subject, other=other)


def unmasked(subject: Subject, sample: Sample) -> Subject:
    """Return the control model: the same model with random tokens as padding."""

    def dressed(batch):
        return subject.predict(sample.unmasked(batch, seed=3))

    def otherwise(batch):
        return subject.predict(sample.unmasked(batch, seed=4))

    other = None if subject.other is None else otherwise
    return replace(subject, predict=dressed, other=other, gradient=None, precise=None)


def proven(model, sample=None, *, control=None, must_fail=False, **options) -> SubjectReport:
    """Verify a model, function or subject. Without `must_fail`, also check long padding and empty rows."""
    sample = sample or sample_of()
    subject = model if isinstance(model, Subject) else subject_of(model, **options)
    control = subject_of(control) if control else unmasked(subject, sample)
    more = {"far": not must_fail, "empty": not must_fail}
    return verify_subject(subject, control, sample, must_fail=must_fail, **more).report


def check_of(report: SubjectReport, name: str) -> Check:
    [found] = [check for check in report.checks if check.name == name]
    return found


def failed(report: SubjectReport) -> set[str]:
    return {check.name for check in report.checks if check.verdict == "fails"}


# --- models that ignore padding, and models that leak ----------------------------------------------


def masked_mean(ids, mask):
    real = mask[..., None]
    return (TABLE[ids] * real).sum(axis=1) / np.maximum(real.sum(axis=1), 1)


def mean(ids, mask):
    return TABLE[ids].sum(axis=1) / max(ids.shape[1], 1)


def last_real_step(ids, mask):
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
    return TABLE[ids[np.arange(len(ids)), last]] * mask.any(axis=1)[:, None]


def last_and_first_step(ids, mask):
    return TABLE[ids[:, -1]] + TABLE[ids[:, 0]]


def masked_maximum(ids, mask):
    return np.where(mask[..., None], TABLE[ids], -9).max(axis=1)


def maximum(ids, mask):
    return np.where(mask[..., None], TABLE[ids], 0).max(axis=1)


def each_step(ids, mask):
    return TABLE[ids] * 2


def neighbours(ids, mask):
    """A convolution over each step and its two neighbors, with zeros at the ends."""
    around = np.pad(TABLE[ids], ((0, 0), (1, 1), (0, 0)))
    return around[:, :-2] + around[:, 1:-1] + around[:, 2:]


def masked_neighbours(ids, mask):
    around = np.pad(TABLE[ids] * mask[..., None], ((0, 0), (1, 1), (0, 0)))
    return around[:, :-2] + around[:, 1:-1] + around[:, 2:]


def masked_attention(ids, mask, dtype="float64"):
    vectors = TABLE[ids].astype(dtype)
    scores = vectors @ np.swapaxes(vectors, 1, 2) / 4 + np.where(mask, 0, -3e4)[:, None, :].astype(dtype)
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    return powers @ vectors / powers.sum(axis=2, keepdims=True)


def attention(ids, mask, dtype="float64"):
    return masked_attention(ids, np.ones_like(mask), dtype)


def scores_of_pairs(ids, mask):
    """Two axes of the output are time axes."""
    return TABLE[ids] @ np.swapaxes(TABLE[ids], 1, 2)


def shares_of_pairs(ids, mask):
    return scores_of_pairs(ids, mask) / ids.shape[1]


def masked_sums_from_both_ends(ids, mask):
    vectors = TABLE[ids] * mask[..., None]
    return np.cumsum(vectors, axis=1) + np.cumsum(vectors[:, ::-1], axis=1)[:, ::-1]


def sums_from_both_ends(ids, mask):
    return masked_sums_from_both_ends(ids, np.ones_like(mask))


def number_of_places(ids, mask):
    return masked_mean(ids, mask) + mask.shape[1] / 100


def slightly(ids, mask):
    return masked_mean(ids, mask) + 1e-3 * mean(ids, mask)


def beyond_forty_places(ids, mask):
    return masked_mean(ids, mask) + 0.01 * (mask.shape[1] > 40)


def beyond_three_hundred_places(ids, mask):
    return masked_mean(ids, mask) + 0.01 * (mask.shape[1] > 300)


def in_rows_of_one_token(ids, mask):
    alone = (mask.sum(axis=1) == 1) & (mask.shape[1] > 1)
    return masked_mean(ids, mask) + 0.01 * alone[:, None]


def less_the_batch(ids, mask):
    """The rows of a batch influence each other."""
    pooled = masked_mean(ids, mask)
    return pooled - pooled.mean(axis=0)


def half_of_the_batch(ids, mask):
    pooled = masked_mean(ids, mask)
    return pooled + pooled.mean(axis=0)


def mean_less_the_batch(ids, mask):
    pooled = mean(ids, mask)
    return pooled - 0.5 * pooled.mean(axis=0)


def no_numbers_on_padding(ids, mask):
    return np.where(mask[..., None], TABLE[ids], np.nan)


def counting_padding(ids, mask):
    """The output at padded positions is arbitrary."""
    return np.where(mask[..., None], TABLE[ids], mask.shape[1])


def no_numbers_with_padding(ids, mask):
    return np.where(mask.all(axis=1)[:, None], masked_mean(ids, mask), np.nan)


def complex_numbers(ids, mask):
    return masked_mean(ids, mask) * 1j


def complex_leak(ids, mask):
    return masked_mean(ids, mask) + mean(ids, mask) * 1j


def whole_numbers(ids, mask):
    return (ids * mask).sum(axis=1)


SOUND = [
    masked_mean,
    last_real_step,
    masked_maximum,
    each_step,
    masked_neighbours,
    masked_attention,
    scores_of_pairs,
    masked_sums_from_both_ends,
    less_the_batch,
    half_of_the_batch,
    no_numbers_on_padding,
    counting_padding,
    complex_numbers,
    whole_numbers,
]
LEAKY = [
    mean,
    last_and_first_step,
    maximum,
    neighbours,
    attention,
    shares_of_pairs,
    sums_from_both_ends,
    number_of_places,
    slightly,
    beyond_forty_places,
    beyond_three_hundred_places,
    in_rows_of_one_token,
    mean_less_the_batch,
    no_numbers_with_padding,
    complex_leak,
]


def name_of(model) -> str:
    return getattr(model, "__name__", str(model))


@each_value(model={name_of(model): model for model in SOUND}, padding=["post", "pre"])
def test_sound_models_ignore_padding(model, padding):
    report = proven(model, sample_of(padding=padding))
    assert (report.verdict, failed(report)) == ("ignores", set())
    assert {output.verdict for output in report.outputs} == {"ignores"}


@each_value(model={name_of(model): model for model in LEAKY}, padding=["post", "pre"])
def test_leaky_models_leak(model, padding):
    report = proven(model, sample_of(padding=padding))
    assert report.verdict == "leaks"
    assert failed(report)
    assert {output.verdict for output in report.outputs} == {"leaks"}


@pytest.mark.parametrize("lengths", [[6], [4, 4, 4], [1] * 9, [1, 50]], ids=str)
def test_any_lengths_suffice(lengths):
    assert proven(masked_mean, sample_of(lengths)).verdict == "ignores"
    assert proven(mean, sample_of(lengths)).verdict == "leaks"


# --- models that leak on one side alone, or need no mask -------------------------------------------


def sums_so_far(ids, mask):
    """A causal model does not use later steps."""
    return np.cumsum(TABLE[ids], axis=1)


def first_step(ids, mask):
    return TABLE[ids[:, 0]]


def absolute_positions(ids, mask):
    return TABLE[ids] + np.arange(ids.shape[1])[:, None] / 9


@pytest.mark.parametrize("model", [sums_so_far, first_step, absolute_positions], ids=name_of)
def test_causal_models_need_pre_padding(model):
    after = proven(model, sample_of(padding="post"))
    assert (after.verdict, after.control.verdict) == ("ignores", "holds")
    assert "needs no mask" in after.detail
    assert proven(model, sample_of(padding="pre")).verdict == "leaks"


def pairs_of_steps(ids, mask):
    """The output has half as many steps. A last step without a partner remains alone."""
    vectors = TABLE[ids] * mask[..., None]
    if ids.shape[1] % 2:
        vectors = np.pad(vectors, ((0, 0), (0, 1), (0, 0)))
    return vectors[:, ::2] + vectors[:, 1::2]


def pairs_of_all_steps(ids, mask):
    return pairs_of_steps(ids, np.ones_like(mask))


def whole_pairs_of_steps(ids, mask):
    """A last step without a partner is dropped, so a row of one token has no output."""
    return pairs_of_steps(ids, mask)[:, : ids.shape[1] // 2]


def test_strided_outputs():
    assert proven(whole_pairs_of_steps).verdict == "ignores"
    assert proven(pairs_of_steps).verdict == "ignores"
    assert proven(pairs_of_all_steps).verdict == "leaks"
    # Padding before the row moves the pairs.
    assert proven(pairs_of_steps, sample_of(padding="pre")).verdict == "leaks"


def as_many_steps_as_rows(ids, mask):
    """The output of a layer that confuses the batch axis and the time axis."""
    return TABLE[ids][:, : len(ids)]


def test_wrong_output_shape():
    assert proven(as_many_steps_as_rows).verdict == "leaks"


# --- several inputs, several outputs -------------------------------------------------------------


def two_inputs() -> Sample:
    """Source and target, of different lengths in every row."""
    return Sample({"source": Input(tokens(LENGTHS)), "target": Input(tokens(LENGTHS[::-1], seed=1))})


@pytest.mark.parametrize("leak", [None, "source", "target"])
def test_leak_by_one_of_two_inputs(leak):
    def predict(batch):
        pooled = {
            name: (mean if name == leak else masked_mean)(padded.values, padded.mask)
            for name, padded in batch.items()
        }
        return {"output": pooled["source"] + 2 * pooled["target"]}

    assert proven(Subject("fake", predict), two_inputs()).verdict == ("leaks" if leak else "ignores")


@pytest.mark.parametrize("follows", ["source", "target"])
def test_steps_of_one_of_two_inputs(follows):
    def predict(batch):
        other = batch["target" if follows == "source" else "source"]
        step = counting_padding(batch[follows].values, batch[follows].mask)
        return {"output": step + masked_mean(other.values, other.mask)[:, None]}

    assert proven(Subject("fake", predict), two_inputs()).verdict == "ignores"


def test_scores_between_two_inputs():
    def predict(batch):
        source, target = (TABLE[batch[name].values] for name in ("source", "target"))
        return {"output": source @ np.swapaxes(target, 1, 2)}

    assert proven(Subject("fake", predict), two_inputs()).verdict == "ignores"


def test_outputs_are_judged_alone():
    def model(ids, mask):
        return {"steps": each_step(ids, mask), "pooled": mean(ids, mask), "sound": masked_mean(ids, mask)}

    report = proven(model)
    assert report.verdict == "leaks"
    assert {output.name: output.verdict for output in report.outputs} == {
        "steps": "ignores",
        "pooled": "leaks",
        "sound": "ignores",
    }
    assert check_of(report, "row-alone").detail.startswith("pooled")


def test_small_leak_with_large_output():
    def model(ids, mask):
        return {"large": 1e6 * masked_mean(ids, mask), "small": slightly(ids, mask)}

    report = proven(model)
    assert {output.name: output.verdict for output in report.outputs} == {
        "large": "ignores",
        "small": "leaks",
    }


# --- models that run some shapes only --------------------------------------------------------------


def takes(model, least=1, most=10**9):
    """Return the model with a minimum and a maximum length."""

    def choosy(ids, mask):
        if not least <= ids.shape[1] <= most:
            raise CannotRunError(f"{ids.shape[1]} places")
        return model(ids, mask)

    return choosy


@pytest.mark.parametrize(
    ("least", "most"),
    [(1, LONGEST), (1, LONGEST + 1), (1, 40), (1, LONGEST - 3), (2, 10**9), (5, 30)],
    ids=lambda bound: str(bound),
)
def test_models_of_few_lengths(least, most):
    sound = proven(takes(masked_mean, least, most))
    assert sound.verdict == "ignores"
    assert "cannot run" in sound.detail
    assert proven(takes(mean, least, most)).verdict == "leaks"


def test_full_rows_are_shortened():
    full = sample_of([6] * 8)
    assert proven(takes(masked_mean, most=6), full).verdict == "ignores"
    assert proven(takes(mean, most=6), full).verdict == "leaks"


def test_model_that_cannot_run():
    with pytest.raises(CannotRunError):
        proven(takes(masked_mean, least=1000))


def fixed() -> Sample:
    return sample_of(places=LONGEST)


def test_fixed_length_changes_content():
    sound = proven(with_other_content(subject_of(takes(masked_mean, LONGEST, LONGEST))), fixed())
    assert sound.verdict == "ignores"
    assert [check.name for check in sound.checks if check.verdict == "holds"] == ["other-content"]
    assert f"only accepts rows of length {LONGEST}" in check_of(sound, "row-alone").detail
    leaky = proven(with_other_content(subject_of(takes(mean, LONGEST, LONGEST))), fixed())
    assert (leaky.verdict, failed(leaky)) == ("leaks", {"other-content"})


def test_fixed_length_without_content():
    report = proven(takes(masked_mean, LONGEST, LONGEST), fixed())
    assert report.verdict == "inconclusive"
    assert "every check was skipped" in report.detail


def test_fixed_length_full_rows():
    full = sample_of([6] * 8, places=6)
    for model in (masked_mean, mean):
        report = proven(with_other_content(subject_of(takes(model, 6, 6))), full)
        assert report.verdict == "inconclusive"


# --- large numbers hide no leak ---------------------------------------------------------------------


def beside(model, large):
    """Return a model whose output has the channels of `model` and one channel of large values."""

    def both(ids, mask):
        values = model(ids, mask)
        return np.concatenate([values, large * masked_mean(ids, mask)[:, :1]], axis=1)

    return both


def constant_beside(model, large=1e6):
    return lambda ids, mask: np.concatenate([model(ids, mask), np.full((len(ids), 1), large)], axis=1)


@pytest.mark.parametrize(
    "with_large", [lambda model: beside(model, 5.6e6), constant_beside], ids=["price", "constant"]
)
def test_large_channel_hides_no_leak(with_large):
    assert proven(with_large(mean)).verdict == "leaks"
    assert proven(with_large(slightly)).verdict == "leaks"
    assert proven(with_large(masked_mean)).verdict == "ignores"


def test_large_row_hides_no_leak():
    def loud(model):
        return lambda ids, mask: model(ids, mask) * np.where(mask.sum(axis=1) == LONGEST, 1e7, 1)[:, None]

    assert proven(loud(mean)).verdict == "leaks"
    assert proven(loud(masked_mean)).verdict == "ignores"


@pytest.mark.parametrize("model", [masked_mean, slightly], ids=name_of)
def test_too_small_to_see_is_inconclusive(model):
    """The output moves less than the tolerance, so the checks cannot see its leaks."""
    report = proven(lambda ids, mask: 1e6 + model(ids, mask))
    assert report.verdict == "inconclusive"
    assert "less than the tolerance" in report.detail


# --- rounding errors, low precision and NaN ----------------------------------------------------------


def noisy(ids, mask):
    """A mean with noise that depends on the batch size: a thousand times the rounding error of float32."""
    return masked_mean(ids, mask) * (1 + 1e-5 * len(ids))


def noisy_leak(ids, mask):
    return noisy(ids, mask) + 0.1 * mean(ids, mask)


def test_noise_is_tolerated():
    assert proven(noisy).verdict == "ignores"
    assert proven(noisy_leak).verdict == "leaks"


def test_large_noise_is_a_leak():
    assert proven(lambda ids, mask: masked_mean(ids, mask) * (1 + 0.05 * len(ids))).verdict == "leaks"


def test_jittered_weights_show_noise():
    def model(ids, mask):
        return masked_mean(ids, mask) + 1e-4 * (mask.shape[1] % 2)

    def jittered(batch):
        padded = batch["ids"]
        return {"output": masked_mean(padded.values, padded.mask) + 1e-4}

    assert proven(model).verdict == "leaks"
    assert proven(model, jittered=jittered).verdict == "ignores"


def test_pure_noise_is_inconclusive():
    random = np.random.default_rng(0)
    report = proven(lambda ids, mask: random.standard_normal((len(ids), 3)))
    assert report.verdict != "ignores"


def test_random_model_is_inconclusive():
    random = np.random.default_rng(0)
    report = proven(lambda ids, mask: masked_mean(ids, mask) * random.binomial(1, 0.5, size=(len(ids), 3)))
    assert report.verdict == "inconclusive"


def test_repetition_bypasses_cache():
    random = np.random.default_rng(0)
    fickle = subject_of(lambda ids, mask: masked_mean(ids, mask) * random.binomial(1, 0.5, (len(ids), 3)))
    assert proven(
        replace(fickle, predict=cache_predictions(fickle.predict), predict_uncached=fickle.predict)
    ).verdict == ("inconclusive")


def test_long_batches_run_once():
    """The longest batches take most of the time. They run once with all rows, and once with the first row."""
    shapes = []
    sample = sample_of()

    def model(ids, mask):
        shapes.append(ids.shape)
        return masked_mean(ids, mask)

    subject = subject_of(model)
    cached = replace(subject, predict=cache_predictions(subject.predict))
    control = unmasked(subject_of(masked_mean), sample)
    verify_subject(cached, control, sample, must_fail=False, far=True)
    assert [shape for shape in shapes if shape[1] == 512] == [(len(LENGTHS), 512), (1, 512)]


@pytest.mark.slow
def test_half_precision():
    sound = proven(lambda ids, mask: masked_attention(ids, mask, "float16"), dtype="float16")
    assert sound.verdict == "ignores"
    assert check_of(sound, "row-alone").max_abs_diff < 5e-3
    leaky = proven(lambda ids, mask: attention(ids, mask, "float16"), dtype="float16")
    assert leaky.verdict == "leaks"


def test_double_precision_shows_leaks():
    def coarse(model):
        return lambda ids, mask: model(ids, mask) + 1e-4 * (mask.shape[1] % 7) * mask.any(axis=1)[:, None]

    def precise(model):
        return lambda: subject_of(model, dtype="float64")

    assert proven(coarse(masked_mean)).verdict == "leaks"
    assert proven(coarse(masked_mean), precise=precise(masked_mean)).verdict == "ignores"
    assert proven(coarse(masked_mean), precise=precise(slightly)).verdict == "leaks"


def judged(largest, dtype, precise=None, noise=0.0) -> ComparedDeviation:
    better = None if precise is None else ({"output": Deviation.one(precise, 1.0)}, {}, PRECISE)
    noises = {"output": np.array([noise])}
    made, _ = compare_deviation({"output": Deviation.one(largest, 1.0)}, noises, dtype, better)
    return made["output"]


@pytest.mark.parametrize(
    ("dtype", "small", "large"),
    [
        ("float64", 1e-10, 1e-8),
        ("float32", 1e-6, 1e-4),
        ("float16", 1e-3, 1e-2),
        ("bfloat16", 1e-2, 1e-1),
    ],
)
def test_tolerance_of_dtypes(dtype, small, large):
    assert judged(small, dtype).holds
    assert not judged(large, dtype).holds


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_double_precision_decides(dtype):
    assert judged(3e-2, dtype, precise=1e-15).holds or dtype != "bfloat16"
    assert judged(6e-3, dtype, precise=1e-15).holds
    # The leak is larger than rounding in float64, but smaller than the tolerance of the model's own dtype.
    assert not judged(1e-6, dtype, precise=5e-6).holds


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_different_copy_is_not_a_leak(dtype):
    """A leak of 0.1 would be visible in each dtype, so a deviation of the float64 copy alone is no leak."""
    assert judged(1e-6, dtype, precise=0.1).holds


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("largest", [0.9, float("inf")])
def test_large_half_precision_error(dtype, largest):
    assert not judged(largest, dtype, precise=0.0).holds


@pytest.mark.parametrize("largest", [0.9, float("inf")])
def test_large_single_precision_error(largest):
    assert not judged(largest, "float32", precise=0.0).holds


def test_worst_is_relative_to_tolerance():
    slight, allowed = ComparedDeviation(1e-3, 1e-5), ComparedDeviation(1.0, 10.0)
    assert worst([allowed, slight]) == worst([slight, allowed]) == slight
    assert worst([]) is None


def test_zero_deviation_passes():
    made, _ = compare_deviation({"output": Deviation.one(0.0, 0.0)}, {}, "float32", None)
    assert made["output"].holds


# --- constant outputs prove nothing ------------------------------------------------------------------


def constant(ids, mask):
    return np.ones((len(ids), 3))


def no_numbers(ids, mask):
    return np.full((len(ids), 3), np.nan)


@pytest.mark.parametrize("model", [constant, no_numbers], ids=name_of)
def test_constant_is_inconclusive(model):
    report = proven(model)
    assert report.verdict == "inconclusive"
    assert "constant output" in report.detail


def test_one_constant_output_is_inconclusive():
    report = proven(lambda ids, mask: {"sound": masked_mean(ids, mask), "flat": constant(ids, mask)})
    assert report.verdict == "inconclusive"
    assert {output.name: output.verdict for output in report.outputs} == {
        "sound": "ignores",
        "flat": "inconclusive",
    }


def test_constant_counting_places_leaks():
    assert proven(lambda ids, mask: constant(ids, mask) * mask.shape[1]).verdict == "leaks"


# --- the control ---------------------------------------------------------------------------------


def test_control_must_fail():
    report = proven(masked_mean, control=mean, must_fail=True)
    assert (report.verdict, report.control.verdict) == ("ignores", "fails")
    assert {check.verdict for check in report.control.checks} == {"fails", "skipped"}


@pytest.mark.parametrize("model", [masked_mean, sums_so_far, constant], ids=name_of)
def test_passing_control_is_inconclusive(model):
    report = proven(model, control=model, must_fail=True)
    assert (report.verdict, report.control.verdict) == ("inconclusive", "holds")


def test_control_must_fail_every_check():
    subject = with_other_content(subject_of(masked_mean))
    # More padding changes the output, but other content does not.
    control = with_other_content(subject_of(number_of_places))
    report = verify_subject(subject, control, sample_of(), must_fail=True).report
    assert (report.verdict, report.control.verdict) == ("inconclusive", "holds")
    assert "other-content" in report.detail


def test_references_get_long_padding():
    assert proven(beyond_forty_places, control=mean, must_fail=True).verdict == "leaks"


def test_leak_outweighs_passing_control():
    assert proven(mean, control=masked_mean, must_fail=True).verdict == "leaks"


# --- each check alone ------------------------------------------------------------------------------


def gradient_of(at_padding):
    """Return the function for the gradients of a model: 1 at tokens, and `at_padding` at padded positions."""

    def gradient(batch):
        mask = batch["ids"].mask
        return np.where(mask, 1.0, at_padding)[..., None] * np.ones(3)

    return gradient


def no_answer_to_nothing(ids, mask):
    """The model divides zero by zero for rows without tokens."""
    return np.where(mask.any(axis=1)[:, None], masked_mean(ids, mask), np.nan)


def leaks_to_nothing(ids, mask):
    return masked_mean(ids, mask) + ~mask.any(axis=1)[:, None] * mask.shape[1]


def numbers_or_not_to_nothing(ids, mask):
    even = mask.shape[1] % 2 == 0
    return no_answer_to_nothing(ids, mask) if even else masked_mean(ids, mask)


def padding_is_no_number(ids, mask):
    """Multiplication by the mask does not remove NaN."""
    vectors = np.where(mask[..., None] | (ids[..., None] == 0), TABLE[ids], np.nan)
    return (vectors * mask[..., None]).sum(axis=1)


def content_alone(ids, mask):
    """Other content in padded positions changes the output, but more padding does not."""
    return masked_mean(ids, mask) + ((ids != 0) & ~mask).any(axis=1)[:, None]


# For each check: models that it must reject, and models that it must pass.
CHECKS = {
    "row-alone": ([subject_of(mean), subject_of(slightly)], [subject_of(masked_mean)]),
    "more-padding": (
        [subject_of(mean), subject_of(mean_less_the_batch)],
        [subject_of(masked_mean), subject_of(less_the_batch)],
    ),
    "other-content": (
        [with_other_content(subject_of(model)) for model in (mean, content_alone, padding_is_no_number)],
        [with_other_content(subject_of(model)) for model in (masked_mean, each_step, number_of_places)],
    ),
    "gradient": (
        [subject_of(masked_mean, gradient=gradient_of(amount)) for amount in (1.0, 1e-12, -1e-300, np.nan)],
        [subject_of(masked_mean, gradient=gradient_of(0.0))],
    ),
    "empty-rows": (
        [subject_of(model) for model in (leaks_to_nothing, numbers_or_not_to_nothing, number_of_places)],
        [subject_of(masked_mean), subject_of(no_answer_to_nothing)],
    ),
}
BAD = [(name, subject) for name, (bad, _) in CHECKS.items() for subject in bad]
GOOD = [(name, subject) for name, (_, good) in CHECKS.items() for subject in good]


@pytest.mark.parametrize(("name", "subject"), BAD, ids=[f"{name}-{i}" for i, (name, _) in enumerate(BAD)])
def test_check_rejects(name, subject):
    report = proven(subject)
    found = check_of(report, name)
    assert found.verdict == "fails"
    assert not found.max_abs_diff <= found.tolerance
    assert found.detail
    assert report.verdict == "leaks"


@pytest.mark.parametrize(("name", "subject"), GOOD, ids=[f"{name}-{i}" for i, (name, _) in enumerate(GOOD)])
def test_check_passes(name, subject):
    found = check_of(proven(subject), name)
    assert found.verdict == "holds"
    assert found.max_abs_diff <= found.tolerance


@pytest.mark.parametrize("must_fail", [False, True], ids=["a-model-of-anybody's", "a-reference"])
def test_every_check_can_fail(must_fail):
    report = proven(masked_mean, control=mean, must_fail=must_fail)
    assert {check.name for check in report.checks} <= set(CHECKS), "give each check a model that it rejects"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("other-content", "computes its mask from the pad value"),
        ("gradient", "gradients are not available"),
    ],
)
def test_skipped_check_says_why(name, reason):
    found = check_of(proven(masked_mean, control=mean, must_fail=True), name)
    assert (found.verdict, found.max_abs_diff, found.tolerance) == ("skipped", None, None)
    assert reason in found.detail


def test_zero_gradient_is_skipped():
    report = proven(masked_mean, gradient=lambda batch: np.zeros((*batch["ids"].mask.shape, 3)))
    assert check_of(report, "gradient").verdict == "skipped"


def test_dependent_rows():
    report = proven(less_the_batch)
    assert check_of(report, "row-alone").verdict == "skipped"
    assert check_of(report, "more-padding").verdict == "holds"
    assert prepare(subject_of(less_the_batch), sample_of()).interact
    assert not prepare(subject_of(masked_mean), sample_of()).interact


def test_nan_of_empty_row_is_a_warning():
    report = proven(no_answer_to_nothing)
    assert report.verdict == "ignores"
    assert "NaN" in check_of(report, "empty-rows").detail


def test_rounding_in_empty_row():
    report = proven(lambda ids, mask: masked_mean(ids, mask) + 1e-12 * mask.shape[1])
    assert check_of(report, "row-alone").verdict == "holds"
    assert check_of(report, "empty-rows").verdict == "holds"


def test_leak_to_empty_rows():
    report = proven(leaks_to_nothing)
    assert (report.verdict, failed(report)) == ("leaks", {"empty-rows"})


def test_extra_checks_count():
    def proven_with(extra):
        sample, subject = sample_of(), subject_of(masked_mean)
        return verify_subject(subject, subject_of(mean), sample, must_fail=True, extra=[extra]).report

    agrees = Check.of("routes-agree", {"output": ComparedDeviation(0.0, 1e-5)})
    differs = Check.of("routes-agree", {"output": ComparedDeviation(1.0, 1e-5, "against another")})
    assert proven_with(agrees).verdict == "ignores"
    assert proven_with(differs).verdict == "leaks"


def test_finding_says_where():
    found = check_of(proven(in_rows_of_one_token), "row-alone")
    assert found.detail == "row of 1 token padded to 12"
    assert found.max_abs_diff == pytest.approx(0.01)
