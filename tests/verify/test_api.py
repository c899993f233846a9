"""`verify_model` and `assert_ignores_padding` on Keras models and plain functions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from raised import raises_error
from tiers import represented

from padmask import SpecError
from padmask.errors import ModelError
from padmask.render.report import text_of_run
from padmask.verify import assert_ignores_padding, verify_model

try:
    import keras
    import tensorflow as tf
except ImportError:
    keras = tf = None

pytestmark = [
    # Warnings of Keras and NumPy while models are built and read.
    pytest.mark.filterwarnings("ignore:.*destroy the mask"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

VOCAB = 20
TABLE = np.random.default_rng(0).standard_normal((VOCAB, 3))
IDS = np.array([[5, 6, 7, 2], [8, 0, 0, 0], [9, 2, 0, 0]])
MASK = IDS > 0
FRAMES = np.random.default_rng(1).standard_normal((3, 4, 2)).astype("float32")


def with_models(test):
    """Mark a test that runs Keras models."""
    reason = "TensorFlow is not installed: pip install 'padmask[verify]'"
    return pytest.mark.tf(pytest.mark.skipif(keras is None, reason=reason)(test))


def test_report_names_its_rows():
    def count_tokens(ids, mask):
        return mask.sum(axis=1)

    assert "3 of your rows tested" in text_of_run(verify_model(count_tokens, IDS, MASK).environment)
    assert "random rows" in text_of_run(verify_model(count_tokens, vocab_size=VOCAB).environment)


def subject_of(*given, **options):
    [subject] = verify_model(*given, **options).subjects
    return subject


def checks_of(subject):
    return {check.name: check.verdict for check in subject.checks}


def outputs_of(subject):
    return {output.name: output.verdict for output in subject.outputs}


# --- functions ----------------------------------------------------------------------------------------


def masked_mean(ids, mask):
    real = mask[..., None]
    return (TABLE[ids] * real).sum(axis=1) / np.maximum(real.sum(axis=1), 1)


def mean(ids, mask):
    return TABLE[ids].sum(axis=1) / max(ids.shape[1], 1)


def last_place(ids, mask):
    return TABLE[ids[:, -1]]


def last_real(ids, mask):
    return TABLE[ids[np.arange(len(ids)), mask.sum(axis=1) - 1]]


def width_where_empty(ids, mask):
    return np.where(mask.any(axis=1)[:, None], masked_mean(ids, mask), ids.shape[1])


def constant(ids, mask):
    return np.ones((len(ids), 2))


def noise(ids, mask):
    return np.random.default_rng().random(len(ids))


GIVEN = {
    "drawn": ((), {"vocab_size": VOCAB}),
    "ids-and-mask": ((IDS, MASK), {}),
    "a-mask-of-numbers": ((IDS, MASK.astype(int)), {}),
    "lists": ((IDS.tolist(), MASK.tolist()), {}),
    "a-dict": (({"ids": IDS}, {"ids": MASK}), {}),
    "a-dict-and-one-mask": (({"ids": IDS}, MASK), {}),
    "rows-without-padding": (([[5, 6, 7], [8], [9, 2]],), {}),
    "an-array-without-padding": ((IDS[:, :1],), {}),
}


@pytest.mark.parametrize(("given", "options"), GIVEN.values(), ids=GIVEN)
def test_function_with_each_input(given, options):
    assert verify_model(masked_mean, *given, **options).verdict == "ignores"
    assert verify_model(mean, *given, **options).verdict == "leaks"


def test_function_name():
    assert subject_of(masked_mean, IDS, MASK).name == "masked_mean"


def test_function_arguments():
    seen = []

    def listening(ids, mask):
        seen.append((ids, mask))
        return masked_mean(ids, mask)

    verify_model(listening, IDS, MASK)
    for ids, mask in seen:
        assert isinstance(ids, np.ndarray) and isinstance(mask, np.ndarray)
        assert (ids.dtype.kind, mask.dtype) == ("i", "bool")
        assert ids.shape == mask.shape
    first_ids, first_mask = seen[0]
    assert not first_ids[~first_mask].any()
    # A later batch has other values in the padding.
    assert any(ids[~mask].any() for ids, mask in seen)


def test_side_is_read_from_the_mask():
    report = verify_model(last_place, IDS[:, ::-1], MASK[:, ::-1])
    assert (report.verdict, report.environment["padding"]) == ("ignores", "pre")
    report = verify_model(last_place, IDS, MASK)
    assert (report.verdict, report.environment["padding"]) == ("leaks", "post")


def test_side_can_be_given():
    assert verify_model(last_real, IDS, MASK).verdict == "ignores"
    assert verify_model(last_real, IDS, MASK, padding="pre").verdict == "leaks"


def test_mixed_sides_are_refused():
    mask = [[True, True, False, False], [False, False, True, True], [True] * 4]
    with raises_error(SpecError, "start", "end", "padding="):
        verify_model(masked_mean, IDS, mask)
    assert verify_model(masked_mean, IDS, mask, padding="pre").verdict == "ignores"


def test_hole_in_mask_is_refused():
    mask = MASK.copy()
    mask[0, 1] = False
    with raises_error(SpecError, "ids", "mask", "between"):
        verify_model(masked_mean, IDS, mask)


def test_wrong_mask_shape_is_refused():
    with raises_error(SpecError, "(3, 2)", "(3, 4)"):
        verify_model(masked_mean, IDS, MASK[:, :2])


def test_function_of_features():
    def peak(frames, mask):
        return np.where(mask[..., None], frames, -9).max(axis=1)

    assert verify_model(peak, FRAMES, MASK).verdict == "ignores"
    assert verify_model(lambda frames, mask: frames.max(axis=1), FRAMES, MASK).verdict == "leaks"


@pytest.mark.parametrize("value", [9, -1])
def test_pad_value_can_be_given(value):
    def by_value(ids, mask):
        return masked_mean(ids, ids != value)

    options = {"vocab_size": VOCAB}
    report = verify_model(by_value, value=value, **options)
    assert (report.verdict, report.environment["value"]) == ("ignores", value)
    assert verify_model(by_value, **options).verdict == "leaks"


def test_vocab_size_is_needed():
    with raises_error(SpecError, "'ids'", option="vocab_size"):
        verify_model(masked_mean)


@pytest.mark.parametrize(
    ("outputs", "verdicts"),
    [
        (lambda *both: {"good": masked_mean(*both), "bad": mean(*both)}, {"good": "ignores", "bad": "leaks"}),
        (lambda *both: [masked_mean(*both), mean(*both)], {"output_0": "ignores", "output_1": "leaks"}),
        (lambda *both: (mean(*both), masked_mean(*both)), {"output_0": "leaks", "output_1": "ignores"}),
        (
            lambda *both: {"steps": TABLE[both[0]], "good": masked_mean(*both)},
            dict.fromkeys(["steps", "good"], "ignores"),
        ),
        (mean, {"output": "leaks"}),
    ],
    ids=["dict", "list", "tuple", "steps", "array"],
)
def test_outputs_are_judged_alone(outputs, verdicts):
    subject = subject_of(outputs, vocab_size=VOCAB)
    assert outputs_of(subject) == verdicts
    assert subject.verdict == ("leaks" if "leaks" in verdicts.values() else "ignores")


def test_error_names_the_leaking_output():
    with pytest.raises(AssertionError, match=r"row-alone: deviation .* \(bad: row of"):
        assert_ignores_padding(lambda *both: {"good": masked_mean(*both), "bad": mean(*both)}, IDS, MASK)


def test_detail_names_the_longest_row():
    subject = subject_of(lambda ids, mask: masked_mean(ids, mask) + (ids.shape[1] > 100), vocab_size=VOCAB)
    [detail] = [check.detail for check in subject.checks if check.name == "row-alone"]
    assert detail.endswith("padded to 512 (longest row: 11)")


def test_error_without_a_culprit_says_what_to_do():
    with pytest.raises(AssertionError, match=r"the model 'mean'\n(.|\n)*To see each check: "):
        assert_ignores_padding(mean, IDS, MASK)


@pytest.mark.parametrize("model", [constant, noise])
def test_inconclusive_model_fails(model):
    subject = subject_of(model, vocab_size=VOCAB)
    assert subject.verdict == "inconclusive"
    assert subject.detail
    with pytest.raises(AssertionError, match=r"^inconclusive: "):
        assert_ignores_padding(model, vocab_size=VOCAB)


def test_random_answers_are_reported():
    assert "not deterministic" in subject_of(noise, vocab_size=VOCAB).detail


def test_model_without_need_of_a_mask():
    def first(ids, mask):
        return TABLE[ids[:, 0]]

    subject = subject_of(first, vocab_size=VOCAB)
    assert subject.verdict == "ignores"
    assert "needs no mask" in subject.detail


def test_empty_rows():
    assert "empty-rows" not in checks_of(subject_of(width_where_empty, IDS, MASK))
    one_empty = IDS * [[1], [0], [1]]
    assert checks_of(subject_of(width_where_empty, one_empty, one_empty > 0))["empty-rows"] == "fails"


def test_empty_rows_without_data():
    """Without data, a leak in rows without tokens is only a warning, because all random rows have tokens."""
    subject = subject_of(width_where_empty, vocab_size=VOCAB)
    [empty] = [check for check in subject.checks if check.name == "empty-rows"]
    assert (subject.verdict, empty.verdict) == ("ignores", "skipped")
    assert empty.detail.startswith("warning: padding changes output ")


def remembered(key, mean=masked_mean):
    """Return a model that stores its answer for each key, and gives this answer again for an equal key."""
    answers = {}

    def model(ids, mask):
        means = mean(ids, mask)
        rows = zip(ids, mask, means, strict=True)
        return np.stack([answers.setdefault(key(row[real]), mean) for row, real, mean in rows])

    return model


def test_remembered_rows_are_inconclusive():
    assert subject_of(remembered(len), vocab_size=VOCAB).verdict == "inconclusive"


def test_memory_of_rows_hides_no_leak():
    """The memory is cleared before each run, so the first answer for a row does not decide."""
    leaky = remembered(tuple, mean=lambda ids, mask: ids.mean(axis=1, keepdims=True))
    assert subject_of(leaky, vocab_size=VOCAB).verdict == "leaks"
    right = subject_of(remembered(tuple), vocab_size=VOCAB)
    assert right.verdict == "ignores"
    assert "remembers rows" in right.detail


def positions_from_ids(ids, mask):
    """Like RoBERTa, count positions from the ids that are not the pad value. The mean needs the mask."""
    positions = np.cumsum(ids != 0, axis=1) * (ids != 0)
    values = (ids + np.sin(positions)) * mask
    return values.sum(axis=1, keepdims=True) / np.maximum(mask.sum(axis=1, keepdims=True), 1)


@pytest.mark.parametrize("padding", ["pre", "post"])
def test_pad_value_may_count_positions(padding):
    subject = subject_of(positions_from_ids, vocab_size=VOCAB, padding=padding)
    assert (subject.verdict, checks_of(subject)["other-content"]) == ("ignores", "holds")


def reads_padding(ids, mask):
    """The pad value 0 adds nothing, but other values do."""
    return masked_mean(ids, mask) + (ids * ~mask).sum(axis=1)[:, None]


def mask_from_ids(ids, mask):
    return masked_mean(ids, ids != 0)


@pytest.mark.parametrize(("model", "verdict"), [(reads_padding, "leaks"), (mask_from_ids, "ignores")])
def test_content_of_padding(model, verdict):
    assert subject_of(model, vocab_size=VOCAB).verdict == verdict
    assert subject_of(model, IDS, MASK).verdict == verdict


def test_nan_of_empty_row_is_a_warning():
    def plain_mean(ids, mask):
        with np.errstate(invalid="ignore"):
            return (TABLE[ids] * mask[..., None]).sum(axis=1) / mask.sum(axis=1)[:, None]

    subject = subject_of(plain_mean, vocab_size=VOCAB)
    [empty] = [check for check in subject.checks if check.name == "empty-rows"]
    assert (subject.verdict, empty.verdict) == ("ignores", "holds")
    assert empty.detail.startswith("warning: ")


def test_seed_gives_the_same_report():
    first, again, other = (verify_model(mean, vocab_size=VOCAB, seed=seed).as_dict() for seed in (4, 4, 5))
    assert first == again
    assert first["subjects"] != other["subjects"]


def test_global_random_state_is_kept():
    before = np.random.get_state()[1].tolist()
    verify_model(masked_mean, vocab_size=VOCAB)
    assert np.random.get_state()[1].tolist() == before


def whole_result(ids, mask):
    """A result like that of a Hugging Face model, with a loss, hidden states and a cache."""
    means = masked_mean(ids, mask)
    return {"loss": 0.5, "logits": means, "hidden_states": (means, means + 1), "past_key_values": object()}


def test_whole_result_of_a_model():
    subject = subject_of(whole_result, vocab_size=VOCAB)
    assert subject.verdict == "ignores"
    assert [output.name for output in subject.outputs] == ["logits", "hidden_states_0", "hidden_states_1"]
    assert "do not compare the outputs loss, past_key_values" in subject.detail


def of_many_tokens(model):
    """Return a model that cannot run on rows of fewer than 20 tokens."""

    def long(ids, mask):
        if ids.shape[1] < 20:
            raise ValueError("too short")
        return model(ids, mask)

    return long


@pytest.mark.parametrize(("model", "verdict"), [(masked_mean, "ignores"), (mean, "leaks")])
def test_random_rows_are_lengthened(model, verdict):
    subject = subject_of(of_many_tokens(model), vocab_size=VOCAB)
    assert (subject.verdict, subject.detail) == (verdict, "")


REFUSED = {
    "raises": (lambda ids, mask: 1 / 0, ["ZeroDivisionError: division by zero"]),
    "no-rows": (lambda ids, mask: 1.0, ["shape ()", "float64"]),
    "other-rows": (lambda ids, mask: np.ones(7), ["rows", "shape (7,)"]),
    "strings": (lambda ids, mask: np.array(["a"] * len(ids)), ["<U1"]),
    "arrays-of-rows": (lambda ids, mask: [np.ones(3) for _ in ids], ["one for each row", "one array"]),
    "nothing": (lambda ids, mask: None, ["object"]),
    "no-function": (3, ["'int' object"]),
}


@pytest.mark.parametrize(("model", "facts"), REFUSED.values(), ids=REFUSED)
def test_unusable_models(model, facts):
    with raises_error(ModelError, *facts):
        verify_model(model, vocab_size=VOCAB)


WRONG = {
    "one-row-alone": (IDS[0], MASK[0]),
    "no-rows": (IDS[:0], MASK[:0]),
    "no-places": (IDS[:, :0], MASK[:, :0]),
    "padding-alone": (IDS * 0, MASK & False),
    "strings": (np.full(IDS.shape, "word"), MASK),
    "two-inputs": ({"one": IDS, "other": IDS}, MASK),
    "a-mask-of-another-name": ({"one": IDS}, {"other": MASK}),
}


@pytest.mark.parametrize(("ids", "mask"), WRONG.values(), ids=WRONG)
def test_unusable_rows(ids, mask):
    with pytest.raises(SpecError):
        verify_model(masked_mean, ids, mask)


def test_unknown_side():
    with raises_error(SpecError, "'up'", option="padding"):
        verify_model(last_real, IDS, MASK, padding="up")


def test_function_may_reuse_memory():
    memory = np.zeros((64, 3))

    def served(ids, mask):
        out = memory[: len(ids)]
        out[:] = masked_mean(ids, mask)
        return out

    assert verify_model(served, vocab_size=VOCAB).verdict == "ignores"


def test_function_may_change_arguments():
    def shifting(ids, mask):
        ids += 1
        return masked_mean(np.minimum(ids, VOCAB - 1), mask)

    assert verify_model(shifting, vocab_size=VOCAB).verdict == "ignores"


def test_function_may_return_lists():
    assert verify_model(lambda ids, mask: masked_mean(ids, mask).tolist(), vocab_size=VOCAB).ok


def test_mask_by_keyword():
    def named(ids, *, attention_mask):
        return masked_mean(ids, attention_mask)

    assert verify_model(named, vocab_size=VOCAB).ok


@pytest.mark.parametrize("sign", [1, -1])
def test_wrong_order_of_rows(sign):
    """A model that returns the rows of a batch sorted by length leaks, because the order is wrong."""

    def by_length(ids, mask):
        order = np.argsort(sign * mask.sum(axis=1), kind="stable")
        return masked_mean(ids[order], mask[order])

    assert subject_of(by_length, vocab_size=VOCAB).verdict == "leaks"


@pytest.mark.parametrize(
    ("used", "verdict"),
    [
        (lambda ids, mask: mask, "ignores"),
        (lambda ids, mask: np.where(mask, 1.0, 0.01), "leaks"),
        # The function may find the tokens from the pad value instead of the mask.
        (lambda ids, mask: ids != 0, "inconclusive"),
        (lambda ids, mask: np.ones_like(mask), "inconclusive"),
    ],
    ids=["mask", "weak-mask", "mask-of-ids", "no-mask"],
)
def test_function_of_one_length(used, verdict):
    """With a fixed length, only the longest row can run alone, and no batch can have more padding."""

    def fixed(ids, mask):
        if ids.shape[1] != 4:
            raise ValueError("expected 4 tokens")
        return masked_mean(ids, used(ids, mask))

    [subject] = verify_model(fixed, IDS, MASK).subjects
    assert subject.verdict == verdict
    assert "one fixed length" in subject.detail


def test_function_may_nest_its_outputs():
    def nested(ids, mask):
        mean = masked_mean(ids, mask)
        return {"heads": {"one": mean, "two": mean}, "layers": [mean, 2 * mean], "cache": None}

    [subject] = verify_model(nested, vocab_size=VOCAB).subjects
    assert [output.name for output in subject.outputs] == ["heads_one", "heads_two", "layers_0", "layers_1"]


def test_large_ids_reach_the_function():
    seen = set()

    def hashed(ids, mask):
        seen.update(ids[mask].tolist())
        return (ids % 7 * mask).sum(axis=1)

    large = np.where(MASK, IDS.astype("int64") + 2**40, 0)
    verify_model(hashed, large, MASK)
    assert min(seen) > 2**40


@pytest.mark.parametrize("padding", ["post", pytest.param("pre")])
def test_half_precision_rounding(padding):
    """Padding before the tokens moves them to other blocks, which changes the rounding of sums."""
    table = TABLE.astype("float16")

    def in_blocks(ids, mask):
        real = np.where(mask[..., None], table[ids], np.float16(0))
        blocks = [real[:, first : first + 4].sum(axis=1) for first in range(0, ids.shape[1], 4)]
        return sum(blocks, np.float16(0)) / np.maximum(mask.sum(axis=1), 1).astype("float16")[:, None]

    assert verify_model(in_blocks, vocab_size=VOCAB, padding=padding).verdict == "ignores"


# --- Keras models -------------------------------------------------------------------------------------


def model_of(*layers, masked=True, name="net"):
    """A Sequential model of ids with random weights."""
    embed = keras.layers.Embedding(VOCAB, 3, mask_zero=masked, name="embed")
    given = keras.Input((None,), dtype="int32", name="ids")
    return scrambled(keras.Sequential([given, embed, *layers], name=name))


def scrambled(model):
    random = np.random.default_rng(7)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.5, weight.shape))
    return model


def averaging(masked=True):
    return model_of(keras.layers.GlobalAveragePooling1D(name="pool"), masked=masked)


def two_inputs():
    embed = keras.layers.Embedding(VOCAB, 3, mask_zero=True, name="embed")
    question, answer = (keras.Input((None,), dtype="int32", name=name) for name in ("question", "answer"))
    asked = keras.layers.GlobalAveragePooling1D(name="asked")(embed(question))
    told = keras.layers.GlobalMaxPooling1D(name="told")(embed(answer))
    return scrambled(keras.Model([question, answer], [asked, told], name="net"))


# The other forms become the same arrays, as the tests of functions show.
QUICK = {"drawn", "a-dict-and-one-mask"}


@with_models
@represented("given,options", GIVEN, by=QUICK)
def test_model_with_each_input(given, options):
    assert verify_model(averaging(), *given, **options).verdict == "ignores"
    assert verify_model(averaging(masked=False), *given, **options).verdict == "leaks"


@with_models
def test_model_knows_vocab_size():
    report = verify_model(averaging())
    assert (report.verdict, report.environment["rows_checked"]) == ("ignores", 22)


@with_models
def test_embedding_without_mask_is_named():
    subject = subject_of(averaging(masked=False), IDS, MASK)
    assert subject.culprit == "embed"
    assert subject.path == "embed (creates no mask) -> pool (output depends on padding)"
    assert "mask_zero=True" in subject.advice


@with_models
def test_assertion_names_culprit():
    convolving = model_of(
        keras.layers.Conv1D(3, 3, padding="same", name="conv"), keras.layers.GlobalAveragePooling1D()
    )
    with pytest.raises(AssertionError) as raised:
        assert_ignores_padding(convolving, IDS, MASK)
    said = str(raised.value)
    assert said.startswith("leaks: padding changes the outputs of the model 'net'\nrow-alone: deviation ")
    assert "row-alone: deviation" in said
    assert "Culprit: conv." in said
    assert "Path: embed -> conv (output depends on padding)." in said
    assert "a convolution mixes neighbouring steps" in said


@with_models
def test_assertion_makes_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_ignores_padding(averaging(), IDS, MASK)


@with_models
def test_passing_assertion_returns_none():
    assert assert_ignores_padding(averaging(), IDS, MASK) is None
    assert assert_ignores_padding(averaging()) is None


@with_models
def test_dict_of_inputs_and_masks():
    longer = np.array([[3, 4, 5, 6, 7], [3, 4, 0, 0, 0], [3, 0, 0, 0, 0]])
    given = {"question": IDS, "answer": longer}
    report = verify_model(two_inputs(), given, {"question": MASK, "answer": longer > 0})
    [subject] = report.subjects
    assert report.environment["places"] == {"question": 4, "answer": 5}
    assert outputs_of(subject) == {"asked": "ignores", "told": "leaks"}
    assert subject.culprit == "told"
    assert "GlobalAveragePooling1D" in subject.advice


@with_models
def test_two_inputs_need_a_dict():
    with raises_error(SpecError, "question, answer"):
        verify_model(two_inputs(), IDS, MASK)


@with_models
def test_inputs_need_equal_rows():
    given, masks = {"question": IDS, "answer": IDS[:2]}, {"question": MASK, "answer": MASK[:2]}
    with raises_error(SpecError, "rows differs"):
        verify_model(two_inputs(), given, masks)


@with_models
@pytest.mark.parametrize("names", [("question",), ("question", "reply"), ("question", "answer", "reply")])
def test_unknown_input_names(names):
    with raises_error(SpecError, "question, answer"):
        verify_model(two_inputs(), dict.fromkeys(names, IDS), MASK)


@with_models
def test_unknown_mask_names():
    with raises_error(SpecError, "'tokens'"):
        verify_model(averaging(), {"ids": IDS}, {"tokens": MASK})


def with_age():
    ids, age = keras.Input((None,), dtype="int32", name="ids"), keras.Input((2,), name="age")
    embed = keras.layers.Embedding(VOCAB, 3, mask_zero=True, name="embed")
    pooled = keras.layers.GlobalAveragePooling1D(name="pool")(embed(ids))
    return scrambled(keras.Model([ids, age], keras.layers.Concatenate(name="both")([pooled, age])))


@with_models
def test_static_input_is_drawn():
    report = verify_model(with_age(), IDS, MASK)
    assert (report.verdict, report.environment["inputs"]["age"]) == ("ignores", "static")


@with_models
def test_static_input_can_be_given():
    assert verify_model(with_age(), {"ids": IDS, "age": np.ones((3, 2))}, MASK).verdict == "ignores"


@with_models
def test_mask_input_gets_the_mask():
    ids = keras.Input((None,), dtype="int32", name="ids")
    attention_mask = keras.Input((None,), dtype="int32", name="attention_mask")
    embedded = keras.layers.Embedding(VOCAB, 3, name="embed")(ids)
    weights = keras.layers.Reshape((-1, 1))(keras.ops.cast(attention_mask, "float32"))
    pooled = keras.ops.sum(embedded * weights, axis=1)
    model = scrambled(keras.Model([ids, attention_mask], pooled, name="net"))
    report = verify_model(model, IDS, MASK)
    assert (report.verdict, report.environment["inputs"]["attention_mask"]) == ("ignores", "mask")
    assert verify_model(model).verdict == "ignores"


@with_models
@represented("mask_value", [-1.0, 0.0], by=1)
def test_masking_value_pads_features(mask_value):
    frames = keras.Input((None, 2), name="frames")
    masked = keras.layers.Masking(mask_value, name="masking")(frames)
    pooled = keras.layers.GlobalAveragePooling1D(name="pool")(masked)
    model = scrambled(keras.Model(frames, pooled, name="net"))
    report = verify_model(model, FRAMES, MASK)
    assert (report.verdict, report.environment["value"]) == ("ignores", mask_value)
    subject = subject_of(model, FRAMES, MASK, value=5)
    assert (subject.verdict, subject.culprit) == ("leaks", "masking")
    assert "mask_value" in subject.advice


@with_models
def test_too_large_id_is_refused():
    with raises_error(ModelError, "id 45", "'ids'", "0 to 19"):
        verify_model(averaging(), IDS * 5, MASK)


@with_models
@pytest.mark.slow
def test_explain_lists_every_layer():
    convolving = model_of(
        keras.layers.Conv1D(3, 3, padding="same", name="conv"),
        keras.layers.Dropout(0.5, name="drop"),
        keras.layers.GlobalAveragePooling1D(name="pool"),
    )
    assert not subject_of(convolving).layers
    layers = {layer.name: layer for layer in subject_of(convolving, explain=True).layers}
    assert {"embed", "conv", "drop", "pool"} <= set(layers)
    assert (layers["embed"].mask_in, layers["embed"].mask_out) == (False, True)
    assert (layers["conv"].mask_in, layers["conv"].mask_out) == (True, False)
    assert (layers["pool"].mask_in, layers["pool"].mask_out) == (False, False)
    assert layers["embed"].max_abs_diff == 0
    assert all(layers[name].max_abs_diff > 1e-3 for name in ("conv", "drop", "pool"))
    assert layers["conv"].kind == "Conv1D"


@with_models
def test_explain_of_sound_model():
    layers = {layer.name: layer for layer in subject_of(averaging(), explain=True).layers}
    assert (layers["pool"].mask_in, layers["pool"].mask_out) == (True, False)
    assert all(layer.max_abs_diff < 1e-6 for layer in layers.values())


@with_models
def test_random_model_is_inconclusive():
    class Shaking(keras.layers.Layer):
        supports_masking = True

        def __init__(self, **options):
            super().__init__(**options)
            self.seed = keras.random.SeedGenerator(1)

        def call(self, x):
            return x + keras.random.normal(keras.ops.shape(x), seed=self.seed)

    subject = subject_of(model_of(Shaking(), keras.layers.GlobalAveragePooling1D()))
    assert (subject.verdict, subject.culprit) == ("inconclusive", None)


@with_models
def test_dropout_is_off():
    model = model_of(keras.layers.Dropout(0.5), keras.layers.GlobalAveragePooling1D())
    assert verify_model(model).verdict == "ignores"


@with_models
@pytest.mark.slow
def test_seed_gives_the_same_model_report():
    model = averaging(masked=False)
    assert verify_model(model, seed=3).as_dict() == verify_model(model, seed=3).as_dict()


@with_models
def test_fixed_length_model():
    ids = keras.Input((5,), dtype="int32", name="ids")
    embedded = keras.layers.Embedding(VOCAB, 3, name="embed")(ids)
    flat = keras.layers.Dense(2, name="head")(keras.layers.Flatten(name="flat")(embedded))
    subject = subject_of(scrambled(keras.Model(ids, flat, name="net")), IDS, MASK)
    assert checks_of(subject)["row-alone"] == checks_of(subject)["more-padding"] == "skipped"
    assert checks_of(subject)["other-content"] == "fails"
    assert subject.culprit == "flat"
    assert "GlobalAveragePooling1D" in subject.advice


@with_models
def test_subclassed_model():
    class Pooled(keras.Model):
        def __init__(self, masked):
            super().__init__(name="net")
            self.embed = keras.layers.Embedding(VOCAB, 3, mask_zero=masked, name="embed")
            self.pool = keras.layers.GlobalAveragePooling1D(name="pool")

        def call(self, ids):
            return self.pool(self.embed(ids))

    sound, leaky = Pooled(True), Pooled(False)
    for model in (sound, leaky):
        model(IDS)
    assert verify_model(sound, IDS, MASK).verdict == "ignores"
    assert subject_of(leaky, IDS, MASK).culprit == "embed"


@pytest.mark.slow
@with_models
def test_sequential_model_built_by_batch():
    """Without an Input, the config has the shape of the first batch, but the model accepts other shapes."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Embedding(VOCAB, 3, mask_zero=True, name="embed"),
            layers.GRU(3, go_backwards=True, return_sequences=True, name="backwards"),
            layers.GlobalAveragePooling1D(name="pool"),
        ]
    )
    model(IDS)
    scrambled(model)
    apart = np.asarray(model(IDS[1:2])) - np.asarray(model(IDS[1:2, :1]))
    assert np.abs(apart).max() > 1e-3
    assert verify_model(model, IDS, MASK).verdict == "leaks"


@with_models
def test_unbuilt_model():
    model = keras.Sequential(
        [keras.layers.Embedding(VOCAB, 3, mask_zero=True), keras.layers.GlobalAveragePooling1D()]
    )
    with raises_error(SpecError, "built"):
        verify_model(model)
    assert not model.built


# --- the model is unchanged afterwards ----------------------------------------------------------------


def traces(model):
    """Return the parts of a model's state that verification changes temporarily."""
    return {
        "weights": [(v.path, v.dtype, np.asarray(v.value).tobytes()) for v in model.variables],
        "policies": [layer.dtype_policy.name for layer in model._flatten_layers()],
        "global policy": keras.config.dtype_policy().name,
        "layers": keras.layers.Layer.__call__,
        "operations": keras.Operation.__call__,
    }


def mixed(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        pool = keras.layers.GlobalAveragePooling1D(name="pool")
        return model_of(keras.layers.Dense(4, name="hidden"), pool, keras.layers.Dense(2, name="head"))
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.slow
@with_models
@represented("policy", ["float32", "float64", "mixed_float16", "mixed_bfloat16"], by=1)
def test_model_is_unchanged(policy):
    model = mixed(policy)
    before, said = traces(model), np.asarray(model(IDS))
    assert verify_model(model, explain=True).verdict == "ignores"
    assert traces(model) == before
    assert np.asarray(model(IDS)).tobytes() == said.tobytes()


@pytest.mark.slow
@with_models
def test_leaking_model_is_unchanged():
    model = model_of(keras.layers.BatchNormalization(), keras.layers.GlobalMaxPooling1D())
    model.compile("adam", "mse")
    model.fit(IDS, np.ones((3, 3)), verbose=0)
    before, said = traces(model), model.predict(IDS, verbose=0)
    steps = [np.asarray(variable.value).tobytes() for variable in model.optimizer.variables]
    assert verify_model(model, explain=True).verdict == "leaks"
    assert traces(model) == before
    assert model.predict(IDS, verbose=0).tobytes() == said.tobytes()
    assert [np.asarray(variable.value).tobytes() for variable in model.optimizer.variables] == steps


@with_models
def test_raising_model_is_unchanged():
    class Compiled(keras.layers.Layer):
        supports_masking = True

        def call(self, x):
            if tf.executing_eagerly():
                raise RuntimeError("not like this")
            return x

    model = model_of(Compiled(name="compiled"), keras.layers.GlobalMaxPooling1D(name="peak"))
    before = traces(model)
    subject = subject_of(model, explain=True)
    assert (subject.verdict, subject.culprit) == ("leaks", None)
    assert "search for the layer that causes the leak failed" in subject.detail
    assert traces(model) == before


def broken_model():
    class Broken(keras.layers.Layer):
        def compute_output_shape(self, shape):
            return shape

        def call(self, x):
            raise RuntimeError("out of order")

    return model_of(Broken(name="broken"), keras.layers.GlobalMaxPooling1D(name="peak"))


@with_models
def test_broken_model_is_unchanged():
    model = broken_model()
    before = traces(model)
    with raises_error(ModelError, "net", "out of order"):
        verify_model(model, explain=True)
    assert traces(model) == before


@with_models
def test_broken_model_error_is_plain():
    with pytest.raises(SpecError) as raised:
        verify_model(broken_model())
    assert "[1m" not in str(raised.value) and "\x1b" not in str(raised.value)


@with_models
def test_layer_with_fixed_precision():
    class Single(keras.layers.Layer):
        supports_masking = True

        @property
        def dtype_policy(self):
            return keras.layers.Layer.dtype_policy.fget(self)

        @dtype_policy.setter
        def dtype_policy(self, policy):
            if policy == "float64":
                raise ValueError("in float32 alone")
            keras.layers.Layer.dtype_policy.fset(self, policy)

        def call(self, x):
            return x * 2

    model = model_of(Single(name="single"), keras.layers.GlobalAveragePooling1D(name="pool"))
    before = traces(model)
    assert verify_model(model).verdict == "ignores"
    assert traces(model) == before


@with_models
@pytest.mark.slow
def test_stateful_model_keeps_its_state():
    ids = keras.Input(batch_shape=(3, None), dtype="int32", name="ids")
    embedded = keras.layers.Embedding(VOCAB, 3, mask_zero=True, name="embed")(ids)
    gru = keras.layers.GRU(3, stateful=True, name="gru")
    model = scrambled(keras.Model(ids, gru(embedded), name="net"))
    gru.reset_state()
    model(IDS)
    [before] = [np.asarray(state.value) for state in gru.states]
    assert verify_model(model).verdict == "ignores"
    [after] = [np.asarray(state.value) for state in gru.states]
    assert after.tobytes() == before.tobytes()


@with_models
@pytest.mark.parametrize(("name", "verdict"), [("key_padding_mask", "ignores"), ("mask", "leaks")])
def test_key_padding_mask_is_true_at_padding(name, verdict):
    ids, padding = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="bool", name=name)
    real = keras.ops.cast(keras.ops.logical_not(padding), "float32")[..., None]
    values = keras.layers.Embedding(VOCAB, 4)(ids) * real
    model = keras.Model([ids, padding], keras.ops.sum(values, axis=1))
    assert subject_of(model, IDS, MASK).verdict == verdict
