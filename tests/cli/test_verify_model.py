"""`padmask verify --model` and `--predict`: a user's model instead of the reference models."""

from __future__ import annotations

import json
import sys
import zipfile
from itertools import count
from textwrap import dedent
from xml.etree import ElementTree

import numpy as np
import pytest
from html_pages import Page
from junit_schema import junit_schema
from raised import has_facts
from tiers import represented

from padmask import MaskSpec, PadSpec, pad_file
from padmask.spec.verify import ROUTES

try:
    import keras
except ImportError:
    keras = None

pytestmark = [
    # Warnings of Keras and NumPy while models are built, saved and read.
    pytest.mark.filterwarnings("ignore:.*destroy the mask"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

VOCAB = 20


def with_models(test):
    """Mark a test that runs Keras models."""
    reason = "TensorFlow is not installed: pip install 'padmask[verify]'"
    return pytest.mark.tf(pytest.mark.skipif(keras is None, reason=reason)(test))


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path.name


@pytest.fixture
def raw(tmp_path):
    return write_rows(
        tmp_path / "raw.jsonl", [{"input_ids": ids} for ids in ([5, 6, 7], [8], [9, 3, 2, 9, 4])]
    )


@pytest.fixture
def pairs(tmp_path):
    """Rows of two columns with different lengths."""
    rows = [([5, 6, 7], [3]), ([8], [2, 4, 6, 8]), ([9, 3, 2, 9, 4], [7, 7])]
    return write_rows(tmp_path / "pairs.jsonl", [{"question": q, "answer": a} for q, a in rows])


def answer_of(done, code):
    """Return the report and its only subject."""
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr == ""
    report = json.loads(done.stdout)
    [subject] = report["subjects"]
    return report, subject


def verdicts_of(subject):
    return {check["name"]: check["verdict"] for check in subject["checks"]}


def refused(done, *words, code=2):
    """Check that a run failed with these words; exit code 1 blames the data or the model."""
    assert (done.returncode, done.stdout) == (code, ""), done.stdout + done.stderr
    for word in words:
        assert word in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


# --- saved models -------------------------------------------------------------------------------------


def tokens(name="input_ids", length=None, batch=None):
    return keras.Input(batch_shape=(batch, length), dtype="int32", name=name)


def embedding(masked=True):
    return keras.layers.Embedding(VOCAB, 3, mask_zero=masked, name="embed")


def mean(name="pool"):
    return keras.layers.GlobalAveragePooling1D(name=name)


def chain(*layers, **given):
    return keras.Sequential([tokens(**given), *layers], name="net")


def two_inputs():
    embed = embedding()
    question, answer = tokens("question"), tokens("answer")
    outputs = {
        "asked": mean("asked")(embed(question)),
        "told": keras.layers.GlobalMaxPooling1D(name="told")(embed(answer)),
    }
    return keras.Model([question, answer], outputs, name="net")


def weighted(steps, weights):
    weights = keras.ops.expand_dims(keras.ops.cast(weights, "float32"), -1)
    counts = keras.ops.maximum(keras.ops.sum(weights, axis=1), 1)
    return keras.ops.sum(steps * weights, axis=1) / counts


def with_a_mask_input():
    ids, mask = tokens(), tokens("attention_mask")
    return keras.Model([ids, mask], weighted(embedding(masked=False)(ids), mask), name="net")


def unnamed(kind):
    """A model whose second input takes the mask or the lengths, without a name that shows this."""
    ids = keras.Input((None,), dtype="int32", name="input_layer")
    shape = {"mask": (None,), "lengths": (), "lengths-column": (1,)}[kind]
    other = keras.Input(shape, dtype="float32" if kind == "mask" else "int64", name="input_layer_1")
    if kind == "mask":
        weights = other
    else:
        places = keras.ops.cumsum(keras.ops.ones_like(ids), axis=1)
        weights = places <= keras.ops.cast(keras.ops.reshape(other, (-1, 1)), "int32")
    return keras.Model([ids, other], weighted(embedding(masked=False)(ids), weights), name="net")


def padded_with_nine():
    ids = tokens()
    return keras.Model(ids, weighted(embedding(masked=False)(ids), keras.ops.not_equal(ids, 9)), name="net")


def last_place():
    ids = tokens()
    return keras.Model(ids, embedding(masked=False)(ids)[:, -1], name="net")


def one_hot():
    ids = tokens()
    return keras.Model(ids, keras.ops.mean(keras.ops.one_hot(ids, VOCAB), axis=1), name="net")


def features():
    frames = keras.Input((None, 2), name="frames")
    return keras.Model(frames, mean()(keras.layers.Masking(name="masking")(frames)), name="net")


MODELS = {
    "sound": lambda: chain(embedding(), mean()),
    "unmasked": lambda: chain(embedding(masked=False), mean()),
    "convolving": lambda: chain(embedding(), keras.layers.Conv1D(3, 3, padding="same", name="conv"), mean()),
    "two-inputs": two_inputs,
    "mask-input": with_a_mask_input,
    "unnamed-mask": lambda: unnamed("mask"),
    "unnamed-lengths": lambda: unnamed("lengths"),
    "lengths-column": lambda: unnamed("lengths-column"),
    "nine": padded_with_nine,
    "last": last_place,
    "one-hot": one_hot,
    "features": features,
    "constant": lambda: chain(
        embedding(), mean(), keras.layers.Dense(2, kernel_initializer="zeros", name="head")
    ),
    "one-length": lambda: chain(
        embedding(masked=False),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(2, name="head"),
        length=6,
    ),
    "stateful": lambda: chain(embedding(), keras.layers.SimpleRNN(3, stateful=True, name="rnn"), batch=2),
    "lambda": lambda: chain(
        embedding(), mean(), keras.layers.Lambda(lambda x: x * 2, output_shape=(3,), name="double")
    ),
    "time-distributed": lambda: chain(
        embedding(), keras.layers.TimeDistributed(keras.layers.Dense(2), name="each")
    ),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a function that builds and saves a model of `MODELS` once, and returns its path."""
    folder = tmp_path_factory.mktemp("models")

    def save(name):
        file = folder / f"{name}.keras"
        if not file.exists():
            model = MODELS[name]()
            random = np.random.default_rng(7)
            for weight in model.trainable_variables:
                if "head/kernel" not in weight.path or name != "constant":
                    weight.assign(random.normal(0, 0.5, weight.shape))
            model.save(file)
        return str(file)

    return save


@with_models
def test_sound_model_without_data(here, saved):
    report, subject = answer_of(here("verify", "--model", saved("sound"), "--json"), 0)
    assert (report["verdict"], subject["verdict"]) == ("ignores", "ignores")
    assert (subject["name"], subject["culprit"]) == ("sound.keras", None)
    assert verdicts_of(subject)["empty-rows"] == "holds"
    assert report["environment"]["rows_checked"] == 22


@with_models
def test_model_replaces_references(here, saved, pairs):
    done = here("verify", pairs, "--model", saved("two-inputs"), "--json")
    report, subject = answer_of(done, 1)
    assert not {subject["name"] for subject in report["subjects"]} & set(ROUTES)
    assert {o["name"]: o["verdict"] for o in subject["outputs"]} == {"asked": "ignores", "told": "leaks"}


@with_models
def test_leak_names_the_layer(here, saved):
    done = here("verify", "--model", saved("convolving"))
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert said.startswith("leaks")
    for words in ("conv", "output depends on padding", "a convolution mixes neighbouring steps"):
        assert words in said


@with_models
def test_culprit_and_advice_in_json(here, saved):
    report, subject = answer_of(here("verify", "--model", saved("convolving"), "--json"), 1)
    assert (report["verdict"], subject["culprit"]) == ("leaks", "conv")
    assert subject["path"] == "embed -> conv (output depends on padding)"
    assert subject["advice"].startswith("By design, a convolution mixes neighbouring steps")


@with_models
def test_culprit_and_advice_in_reports(here, saved, tmp_path):
    done = here(
        *("verify", "--model", saved("convolving"), "--report", "junit:out.xml", "--report", "github"),
        *("--report", "html:out.html"),
    )
    assert done.returncode == 1
    failures = ElementTree.parse(tmp_path / "out.xml").getroot().findall(".//failure")
    annotations = [
        line for line in done.stdout.splitlines() if line.startswith("::error") and "row-alone" in line
    ]
    assert failures and annotations
    for said in [*(failure.get("message") for failure in failures), *annotations]:
        assert "Culprit: conv." in said
        assert "a convolution mixes neighbouring steps" in said
    # The page has the path of the layers, as with --explain.
    path = Page((tmp_path / "out.html").read_text()).find("li", class_="culprit")
    assert [text.split()[0] for _, text in path] == ["conv"]
    junit_schema().validate(tmp_path / "out.xml")


@with_models
@represented("name,code", [("unmasked", 1), ("sound", 0)], by=1)
def test_raw_and_padded_data(here, saved, raw, tmp_path, name, code):
    pad_file(tmp_path / raw, tmp_path / "padded.parquet", spec=PadSpec(maxlen=8))
    for data in (raw, "padded.parquet"):
        report, subject = answer_of(here("verify", data, "--model", saved(name), "--json"), code)
        assert (report["environment"]["rows"], report["environment"]["rows_checked"]) == (3, 3)
        assert report["environment"]["columns"] == {"input_ids": "input_ids"}
        assert subject["culprit"] == (None if name == "sound" else "embed")


@with_models
def test_bad_data_with_model_report(here, saved, tmp_path):
    data = write_rows(tmp_path / "in.jsonl", [{"input_ids": [5, 0, 6]}, {"input_ids": [7]}])
    report, subject = answer_of(here("verify", data, "--model", saved("sound"), "--json", "--strict"), 1)
    assert (report["verdict"], subject["verdict"]) == ("bad-data", "ignores")
    assert [finding["rule"] for finding in report["data"]] == ["pad-value-in-tokens"]


@with_models
@represented("masked,code", [(0.0, 1), (-9.0, 0)], by=1)
def test_rule_uses_the_mask_value(here, tmp_path, masked, code):
    frames = keras.Input((None, 2), name="features")
    outputs = keras.layers.LSTM(3)(keras.layers.Masking(masked)(frames))
    keras.Model(frames, outputs).save(tmp_path / "model.keras")
    rows = [{"features": [[1.0, 2.0], [0.0, 0.0]]}, {"features": [[3.0, 4.0]]}]
    data = write_rows(tmp_path / "in.jsonl", rows)
    report, _ = answer_of(here("verify", data, "--model", "model.keras", "--json", "--strict"), code)
    texts = [its["detail"] for its in report["data"]]
    assert [has_facts(text, "the value 0", "mask_value", "position 1") for text in texts] == [True] * code


@with_models
def test_empty_rows_are_checked(here, saved, raw, tmp_path):
    _, subject = answer_of(here("verify", raw, "--model", saved("sound"), "--json"), 0)
    assert "empty-rows" not in verdicts_of(subject)
    data = write_rows(tmp_path / "in.jsonl", [{"input_ids": [5, 6]}, {"input_ids": []}, {"input_ids": [7]}])
    given = ("verify", data, "--model", saved("sound"), "--json", "--allow", "row-fully-masked")
    _, subject = answer_of(here(*given), 0)
    assert verdicts_of(subject)["empty-rows"] == "holds"


@with_models
def test_inputs_match_column_names(here, saved, pairs):
    report, subject = answer_of(here("verify", pairs, "--model", saved("two-inputs"), "--json"), 1)
    assert report["environment"]["columns"] == {"question": "question", "answer": "answer"}
    assert report["environment"]["places"] == {"question": 5, "answer": 4}
    assert subject["culprit"] == "told"


@with_models
def test_input_option_renames_columns(here, saved, tmp_path):
    rows = [{"q": [5, 6], "answer": [3]}, {"q": [8], "answer": [2, 4, 6]}]
    data = write_rows(tmp_path / "in.jsonl", rows)
    model = saved("two-inputs")
    report, _ = answer_of(here("verify", data, "--model", model, "--input", "question=q", "--json"), 1)
    assert report["environment"]["columns"] == {"question": "q", "answer": "answer"}
    refused(here("verify", data, "--model", model), "an input 'question'", "--input question=COLUMN")


@with_models
@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("questions=question", ["no input 'questions'", "Did you mean", "question, answer"]),
        ("question=nothing", ["nothing"]),
        ("question", ["--input", "NAME=COLUMN"]),
        ("=question", ["--input", "NAME=COLUMN"]),
        ("question:token", ["--input", "NAME:KIND", "segments"]),
        ("questions:tokens", ["no input 'questions'"]),
        ("question:static=question", ["question", "per row"]),
    ],
)
def test_wrong_input_is_refused(here, saved, pairs, said, words):
    refused(here("verify", pairs, "--model", saved("two-inputs"), "--input", said), *words)


@pytest.fixture
def rated(tmp_path):
    """Save a model with an input `stars`, and rows with a column `rating`."""
    ids, stars = keras.Input((None,), dtype="int32", name="ids"), keras.Input((1,), name="stars")
    outputs = keras.layers.LSTM(3)(keras.layers.Embedding(VOCAB, 4, mask_zero=True)(ids))
    keras.Model([ids, stars], keras.layers.Concatenate()([outputs, stars])).save(tmp_path / "rated.keras")
    rows = [{"ids": [5, 6, 7], "rating": 3, "name": "a"}, {"ids": [8], "rating": 5, "name": "b"}]
    return ("verify", write_rows(tmp_path / "rated.jsonl", rows), "--model", "rated.keras", "--json")


@with_models
def test_input_without_a_column(here, rated):
    report, _ = answer_of(here(*rated), 0)
    [warning] = report["warnings"]
    assert warning["name"] == "random-input"
    assert has_facts(warning["text"], "stars", "rating", "--input stars:static=COLUMN")


@with_models
@represented("kind", [":static", ""], by=1)
def test_column_of_a_static_input(here, rated, kind):
    report, _ = answer_of(here(*rated, "--input", f"stars{kind}=rating"), 0)
    assert (report["warnings"], report["environment"]["columns"]["stars"]) == ([], "rating")


@with_models
def test_static_column_of_text_is_refused(here, rated):
    refused(here(*rated[:-1], "--input", "stars=name"), "line 1", "name", "number", code=1)


FACTORY = """
import sys
import keras
print("from the user", file=sys.stderr)
def build():
    ids = keras.Input((None,), dtype="int32")
    masked = keras.layers.Embedding(20, 4, mask_zero=True)(ids)
    return keras.Model(ids, keras.layers.Conv1D(2, 3, name="conv")(masked))
"""


@with_models
@pytest.mark.slow
def test_factory_without_framework_logs(padmask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    (tmp_path / "factory.py").write_text(FACTORY)
    done = padmask("verify", "--model", "factory:build", "-q")
    lines = done.stderr.splitlines()
    assert (done.returncode, lines) == (1, ["from the user"]), done.stderr


@with_models
def test_verbose_shows_each_check(here, saved):
    done = here("verify", "--model", saved("sound"), "-v")
    assert has_facts(done.stdout, "row-alone", "output-shape", "empty-rows")
    assert "row-alone" not in here("verify", "--model", saved("sound")).stdout


ROLES = {"unnamed-mask": "mask", "unnamed-lengths": "lengths", "lengths-column": "lengths"}


@with_models
@represented("name", list(ROLES), by={"unnamed-lengths"})
def test_mask_and_lengths_of_raw_rows(here, saved, raw, name):
    given = ("--model", saved(name), "--input", f"input_layer_1={ROLES[name]}", "--json")
    report, _ = answer_of(here("verify", raw, *given), 0)
    assert report["verdict"] == "ignores"
    assert report["environment"]["inputs"] == {"input_layer": "tokens", "input_layer_1": ROLES[name]}
    assert report["environment"]["columns"] == {"input_layer": "input_ids"}


@with_models
@represented("given", ["input_layer_1:mask", "input_layer_1:mask=input_ids"], by=1)
def test_declared_kind(here, saved, raw, given):
    given = ("--model", saved("unnamed-mask"), "--input", given, "--input", "input_layer:tokens=input_ids")
    report, _ = answer_of(here("verify", raw, *given, "--json"), 0)
    assert report["environment"]["inputs"] == {"input_layer": "tokens", "input_layer_1": "mask"}


@with_models
def test_lengths_of_left_padding_leak(here, saved, raw):
    # The model assumes that the tokens of a row come first, so padding before the tokens leaks.
    given = ("--model", saved("unnamed-lengths"), "--input", "input_layer_1=lengths", "--padding", "pre")
    assert here("verify", raw, *given).returncode == 1


@with_models
@represented("column", ["my_mask", "mask", "attention_mask"], by=1)
def test_mask_of_padded_rows(here, saved, raw, tmp_path, column):
    pad_file(tmp_path / raw, tmp_path / "in.parquet", mask=MaskSpec(column=column))
    given = ("--model", saved("unnamed-mask"), "--input", f"input_layer_1={column}", "--json")
    report, _ = answer_of(here("verify", "in.parquet", *given), 0)
    assert report["environment"]["inputs"]["input_layer_1"] == "mask"


@with_models
@pytest.mark.slow
def test_lengths_of_padded_rows(here, saved, raw, tmp_path):
    pad_file(tmp_path / raw, tmp_path / "in.parquet", mask=MaskSpec(length_column="tokens_used"))
    for column in ("tokens_used", "lengths"):
        given = ("--model", saved("unnamed-lengths"), "--input", f"input_layer_1={column}", "--json")
        answer_of(here("verify", "in.parquet", *given), 0)


@with_models
def test_attention_mask_of_raw_rows(here, saved, tmp_path):
    rows = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in ([5, 6, 7], [8], [9, 3, 2])]
    data = write_rows(tmp_path / "in.jsonl", rows)
    given = ("--model", saved("unnamed-mask"), "--input", "input_layer_1=attention_mask", "--json")
    report, _ = answer_of(here("verify", data, *given), 0)
    assert report["environment"]["inputs"]["input_layer_1"] == "mask"


@with_models
def test_mask_without_data(here, saved):
    given = ("--model", saved("unnamed-mask"), "--input", "input_layer_1=mask", "--vocab-size", str(VOCAB))
    answer_of(here("verify", *given, "--json"), 0)


@with_models
@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("unnamed-mask", "input_layer_1=lengths", ["input_layer_1=lengths", "per row"]),
        ("unnamed-lengths", "input_layer_1=mask", ["input_layer_1=mask", "per time step"]),
        ("unnamed-mask", "input_layer_2=mask", ["input_layer_2", "input_layer"]),
        ("unnamed-mask", "input_layer=mask", ["nothing to pad"]),
    ],
)
def test_wrong_role_is_refused(here, saved, raw, name, given, words):
    given = [given] if given != "input_layer=mask" else ["input_layer=mask", "input_layer_1=mask"]
    options = [part for text in given for part in ("--input", text)]
    refused(here("verify", raw, "--model", saved(name), *options), *words)


@with_models
def test_input_name_beats_default(here, saved, tmp_path):
    rows = [{"tokens": [99, 99], "input_ids": [5, 6, 7]}, {"tokens": [99], "input_ids": [8]}]
    data = write_rows(tmp_path / "in.jsonl", rows)
    report, _ = answer_of(here("verify", data, "--model", saved("sound"), "--json"), 0)
    assert report["environment"]["columns"] == {"input_ids": "input_ids"}
    refused(here("verify", data, "--model", saved("sound"), "-c", "tokens"), "the id 99", code=1)


@with_models
def test_mask_input_gets_the_mask(here, saved, tmp_path):
    rows = [
        {"input_ids": [5, 6, 7], "attention_mask": [1, 1, 1]},
        {"input_ids": [8, 0, 0], "attention_mask": [1, 0, 0]},
    ]
    data = write_rows(tmp_path / "in.jsonl", rows)
    report, subject = answer_of(here("verify", data, "--model", saved("mask-input"), "--json"), 0)
    assert report["environment"]["inputs"] == {"input_ids": "tokens", "attention_mask": "mask"}
    assert report["environment"]["columns"] == {"input_ids": "input_ids"}
    assert subject["verdict"] == "ignores"


@with_models
def test_float_columns_are_features(here, saved, tmp_path):
    rows = [{"frames": [[1.5, 2.0], [0.5, -1.0], [1.0, 1.0]]}, {"frames": [[-2.0, 0.25]]}]
    data = write_rows(tmp_path / "in.jsonl", rows)
    report, _ = answer_of(here("verify", data, "--model", saved("features"), "--json"), 0)
    assert report["environment"]["inputs"] == {"frames": "features"}


@with_models
@pytest.mark.slow
def test_pad_value(here, saved):
    report, _ = answer_of(here("verify", "--model", saved("nine"), "--value", "9", "--json"), 0)
    assert report["environment"]["value"] == 9
    answer_of(here("verify", "--model", saved("nine"), "--json"), 1)
    refused(here("verify", "--model", saved("nine"), "--value", "nine"), "Received: 'nine'")


@with_models
@pytest.mark.slow
def test_padding_side(here, saved):
    report, _ = answer_of(here("verify", "--model", saved("last"), "--padding", "pre", "--json"), 0)
    assert report["environment"]["padding"] == "pre"
    answer_of(here("verify", "--model", saved("last"), "--json"), 1)


@with_models
def test_one_hot_model_needs_vocab_size(here, saved):
    refused(here("verify", "--model", saved("one-hot")), "'input_ids'", "--vocab-size")
    _, subject = answer_of(here("verify", "--model", saved("one-hot"), "--vocab-size", "20", "--json"), 1)
    assert "mean" in subject["culprit"]


@with_models
def test_too_large_id_is_refused(here, saved, tmp_path):
    data = write_rows(tmp_path / "in.jsonl", [{"input_ids": [5, 6, 37]}, {"input_ids": [1]}])
    done = here("verify", data, "--model", saved("sound"))
    refused(done, "the id 37", "'input_ids'", "ids 0 to 19", code=1)


@with_models
def test_fixed_length_model(here, saved, raw):
    for given in ((), (raw,)):
        _, subject = answer_of(here("verify", *given, "--model", saved("one-length"), "--json"), 1)
        skipped = {c["name"]: c["detail"] for c in subject["checks"] if c["verdict"] == "skipped"}
        assert "only accepts rows of length 6" in skipped["row-alone"]
        assert "only accepts rows of length 6" in skipped["more-padding"]
        assert verdicts_of(subject)["other-content"] == "fails"
        assert subject["culprit"] == "flat"
        assert "GlobalAveragePooling1D" in subject["advice"]


@with_models
def test_fixed_length_is_explained(here, saved):
    said = " ".join(here("verify", "--model", saved("one-length")).stdout.split())
    assert "values at padded positions" in said


@with_models
@pytest.mark.slow
def test_stateful_model_is_reset(here, saved, raw):
    _, subject = answer_of(here("verify", raw, "--model", saved("stateful"), "--json"), 0)
    assert verdicts_of(subject)["row-alone"] == "holds"


@with_models
def test_constant_model_is_inconclusive(here, saved):
    report, subject = answer_of(here("verify", "--model", saved("constant"), "--json"), 1)
    assert (report["verdict"], subject["culprit"]) == ("inconclusive", None)
    assert "constant output" in subject["detail"]


@with_models
@pytest.mark.slow
def test_wrong_output_shape_is_1(here, saved):
    _, subject = answer_of(here("verify", "--model", saved("time-distributed"), "--json"), 1)
    assert verdicts_of(subject)["output-shape"] == "fails"
    assert verdicts_of(subject)["row-alone"] == "holds"
    assert subject["culprit"] == "each"


@pytest.mark.slow
@with_models
def test_explain_lists_every_layer(here, saved):
    model = saved("convolving")
    _, subject = answer_of(here("verify", "--model", model, "--explain", "--json"), 1)
    layers = {layer["name"]: layer for layer in subject["layers"]}
    assert layers["embed"]["mask_out"] is True
    assert (layers["conv"]["class"], layers["conv"]["mask_in"], layers["conv"]["mask_out"]) == (
        "Conv1D",
        True,
        False,
    )
    assert layers["conv"]["max_abs_diff"] > 1e-3 > layers["embed"]["max_abs_diff"]
    said = here("verify", "--model", model, "--explain").stdout
    for words in ("mask in", "mask out", "embed", "Conv1D", "pool"):
        assert words in said
    assert "mask in" not in here("verify", "--model", model).stdout


@with_models
def test_sample_and_seed(here, saved, raw):
    model = saved("unmasked")
    report, _ = answer_of(here("verify", raw, "--model", model, "--sample", "2", "--seed", "5", "--json"), 1)
    assert (report["environment"]["rows_checked"], report["environment"]["seed"]) == (2, 5)


@with_models
def test_data_without_tokens(here, saved, tmp_path):
    data = write_rows(tmp_path / "in.jsonl", [{"input_ids": []}, {"input_ids": []}])
    done = here("verify", data, "--model", saved("sound"), "--json", "--allow", "row-fully-masked")
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"], report["subjects"]) == (1, "inconclusive", [])


@with_models
@pytest.mark.exhaustive(by="test_factory_without_framework_logs")
def test_verify_in_a_new_process(padmask, saved, raw):
    """The start-up messages of TensorFlow stay hidden."""
    done = padmask("verify", raw, "--model", saved("convolving"), "--json")
    report, subject = answer_of(done, 1)
    assert (report["verdict"], subject["culprit"]) == ("leaks", "conv")


# --- files that are not models --------------------------------------------------------------------------


def test_weights_are_no_model(here, tmp_path):
    with zipfile.ZipFile(tmp_path / "weights.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    refused(here("verify", "--model", "weights.pt"), "weights.pt", "MODULE:FUNCTION", code=2)


@with_models
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.keras", None),
        ("garbage.keras", b"\x00\x01 no zip at all"),
        ("empty.keras", b""),
        ("model.txt", b"a model, honestly"),
        ("garbage.h5", b"no HDF5"),
    ],
    ids=["missing", "garbage", "empty", "text", "hdf5"],
)
def test_invalid_model_file(here, tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = here("verify", "--model", name)
    code = 2 if name in ("missing.keras", "model.txt") else 1
    refused(done, name, "no such file" if content is None else ".keras", code=code)
    assert done.stderr.count("\n") == 1


@with_models
def test_folder_is_not_a_model(here, tmp_path):
    (tmp_path / "model.keras").mkdir()
    refused(here("verify", "--model", "model.keras"), "model.keras")


@with_models
def test_unsafe_model_needs_consent(here, saved):
    model = saved("lambda")
    refused(here("verify", "--model", model), "contains Python code", "--allow-unsafe-model")
    _, subject = answer_of(here("verify", "--model", model, "--allow-unsafe-model", "--json"), 0)
    assert subject["verdict"] == "ignores"


LAYERS = """
    import keras

    class Doubling(keras.layers.Layer):
        supports_masking = True

        def call(self, x):
            return x * 2

    class Forgetful(keras.layers.Layer):
        def call(self, x):
            return x * 2
"""


@pytest.fixture
def own_layer(tmp_path):
    """Save a model with a layer of LAYERS, and the file that defines the layer."""
    (tmp_path / "my_layers.py").write_text(dedent(LAYERS))
    known = {}
    exec(dedent(LAYERS), known)

    def save(name):
        chain(embedding(), known[name](name="own"), mean()).save(tmp_path / "own.keras")
        return "own.keras"

    return save


@with_models
def test_custom_layers(here, own_layer):
    model = own_layer("Doubling")
    refused(here("verify", "--model", model), "'Doubling'", "--custom-objects FILE.py")
    _, subject = answer_of(here("verify", "--model", model, "--custom-objects", "my_layers.py", "--json"), 0)
    assert subject["verdict"] == "ignores"


@with_models
def test_missing_custom_layer(here, own_layer):
    refused(here("verify", "--model", own_layer("Doubling")), "Doubling")


@with_models
def test_custom_layer_loses_the_mask(here, own_layer):
    given = ("verify", "--model", own_layer("Forgetful"), "--custom-objects", "my_layers.py", "--json")
    _, subject = answer_of(here(*given), 1)
    assert subject["culprit"] == "own"
    assert "self.supports_masking = True" in subject["advice"]


@with_models
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such Python file"),
        ("class Broken(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
    ids=["missing", "no-python", "raising"],
)
def test_broken_custom_objects(here, saved, tmp_path, content, words):
    if content is not None:
        (tmp_path / "other.py").write_text(content)
    refused(here("verify", "--model", saved("sound"), "--custom-objects", "other.py"), "other.py", words)


# --- functions ----------------------------------------------------------------------------------------

SERVED = """
    import sys
    import numpy as np

    TABLE = np.random.default_rng(0).standard_normal((20, 3))
    VOCAB = 20

    def mean(ids, mask):
        assert not {"tensorflow", "keras"} & set(sys.modules), "who imported that?"
        return (TABLE[ids] * mask[..., None]).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)[:, None]

    def both(ids, mask):
        return {"good": mean(ids, mask), "bad": TABLE[ids].mean(axis=1)}

    def four_places(ids, mask):
        assert ids.shape[1] == 4, "four places, please"
        return (TABLE[ids] * mask[..., None]).sum(axis=1)

    def largest(frames, mask):
        return np.where(mask[..., None], frames, -9).max(axis=1)

    def raising(ids, mask):
        raise KeyError("no such model")

    class Service:
        def predict(self, ids, mask):
            return TABLE[ids[:, 0]]

    service = Service()
"""
_numbers = count()


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Write a module with functions for --predict, and return its unique name."""
    # Restores sys.path.
    monkeypatch.syspath_prepend(tmp_path)
    # Other tests may have imported Keras.
    for name in ("tensorflow", "keras"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def write(text=SERVED):
        name = f"served_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(dedent(text))
        return name

    return write


def test_function_needs_no_tensorflow(padmask, raw, tmp_path):
    (tmp_path / "serving.py").write_text(dedent(SERVED))
    _, subject = answer_of(padmask("verify", raw, "--predict", "serving:mean", "--json"), 0)
    assert (subject["name"], subject["verdict"]) == ("serving:mean", "ignores")


def test_function_on_random_rows(here, serve):
    report, subject = answer_of(
        here("verify", "--predict", f"{serve()}:mean", "--vocab-size", "20", "--json"), 0
    )
    assert (subject["verdict"], report["environment"]["rows_checked"]) == ("ignores", 22)
    assert not {"keras", "tensorflow"} & set(sys.modules)


def test_function_in_a_package(here, serve, tmp_path):
    name = serve()
    (tmp_path / f"package_{name}").mkdir()
    (tmp_path / f"{name}.py").rename(tmp_path / f"package_{name}" / "serve.py")
    answer_of(here("verify", "--predict", f"package_{name}.serve:mean", "--vocab-size", "20", "--json"), 0)


def test_method_of_an_object(here, serve):
    given = ("verify", "--predict", f"{serve()}:service.predict", "--vocab-size", "20", "--json")
    _, subject = answer_of(here(*given), 0)
    assert "needs no mask" in subject["detail"]


def test_function_with_two_outputs(here, serve, raw):
    report, subject = answer_of(here("verify", raw, "--predict", f"{serve()}:both", "--json"), 1)
    assert {o["name"]: o["verdict"] for o in subject["outputs"]} == {"good": "ignores", "bad": "leaks"}
    assert (subject["culprit"], report["environment"]["columns"]) == (None, {"ids": "input_ids"})


def test_column_of_a_function(here, serve, tmp_path):
    rows = [{"words": [3, 4], "input_ids": [99]}, {"words": [5], "input_ids": [99, 99]}]
    data = write_rows(tmp_path / "in.jsonl", rows)
    given = ("verify", data, "-c", "words", "--predict", f"{serve()}:mean", "--json")
    report, _ = answer_of(here(*given), 0)
    assert report["environment"]["columns"] == {"ids": "words"}


def test_function_of_features(here, serve, tmp_path):
    data = write_rows(
        tmp_path / "in.jsonl", [{"frames": [[1.5, 2.0], [0.5, 1.0]]}, {"frames": [[0.25, 1.0]]}]
    )
    answer_of(here("verify", data, "--predict", f"{serve()}:largest", "--json"), 0)


def test_function_of_fixed_length(here, serve, tmp_path):
    data = write_rows(tmp_path / "in.jsonl", [{"input_ids": [3, 4, 5]}, {"input_ids": [6]}])
    given = ("verify", data, "--predict", f"{serve()}:four_places")
    refused(here(*given), "four places, please", code=1)
    _, subject = answer_of(here(*given, "--maxlen", "4", "--json"), 0)
    assert verdicts_of(subject)["row-alone"] == "skipped"
    assert verdicts_of(subject)["other-content"] == "holds"


def test_missing_vocab_size_is_explained(here, serve):
    refused(here("verify", "--predict", f"{serve()}:mean"), "--vocab-size")


def test_function_that_raises(here, serve, raw):
    done = here("verify", raw, "--predict", f"{serve()}:raising")
    refused(done, "KeyError: 'no such model'", code=1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{}", "module:function"),
        ("{}:", "module:function"),
        (":mean", "module:function"),
        ("{}:median", "'median'"),
        ("{}:VOCAB", "'VOCAB'"),
        ("{}:service.fit", "'service.fit'"),
        ("nowhere_at_all:mean", "importing nowhere_at_all failed: ModuleNotFoundError"),
    ],
)
def test_invalid_function_name(here, serve, raw, name, words):
    refused(here("verify", raw, "--predict", name.format(serve())), words)


def test_module_that_fails_to_import(here, serve, raw):
    refused(here("verify", raw, "--predict", f"{serve('1 / 0')}:mean"), "failed: ZeroDivisionError")


def test_module_that_exits(here, serve, raw):
    refused(here("verify", raw, "--predict", f"{serve('import sys; sys.exit(0)')}:mean"), "SystemExit")


# --- options that cannot be used together -------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "nothing to verify"),
        (["--model", "a.keras", "--predict", "b:c"], "--model and --predict"),
        (["--model", "a.keras", "--no-model"], "--no-model"),
        (["--predict", "b:c", "--no-model"], "--no-model"),
        (["--model", "a.keras", "--route", "embedding"], "--route"),
        (["--predict", "b:c", "--route", "embedding"], "--route"),
        (["raw.jsonl", "--input", "a=b"], "--input requires --model"),
        (["raw.jsonl", "--explain"], "--explain requires --model"),
        (["--predict", "b:c", "--custom-objects", "d.py"], "--custom-objects requires --model"),
        (["raw.jsonl", "--allow-unsafe-model"], "--allow-unsafe-model requires --model"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_conflicting_options(here, raw, given, words):
    refused(here("verify", *given), words)


def test_report_keeps_the_model(here, tmp_path):
    (tmp_path / "model.keras").write_bytes(b"weights of a month")
    refused(here("verify", "--model", "model.keras", "--report", "json:model.keras"))
    assert (tmp_path / "model.keras").read_bytes() == b"weights of a month"


def test_help_says_what_runs_code(here):
    said = " ".join(here("verify", "--help").stdout.split())
    assert "MODULE may be in the current folder. Importing MODULE runs its code." in said
    assert "Use only for models that you trust" in said
