"""`padmask verify`: exit codes, reports, messages and imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from html_pages import Page
from junit_schema import junit_schema
from raised import has_facts
from tiers import represented

from padmask import MaskSpec, PadSpec, RowPolicy, pad_dataset, pad_file
from padmask.spec.pack import PackSpec
from padmask.spec.rules import RULES
from padmask.stream.pack import pack_file

RAW = '{"input_ids": [5, 6, 7]}\n{"input_ids": [8]}\n{"input_ids": [9, 9, 2, 9, 4]}\n'
# One route is enough for tests of the command line.
QUICK = ("--route", "embedding", "--device", "cpu")


def with_models(test):
    """Mark a test that runs models."""
    missing = find_spec("tensorflow") is None
    reason = "TensorFlow is not installed: pip install 'padmask[verify]'"
    return pytest.mark.tf(pytest.mark.skipif(missing, reason=reason)(test))


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw.jsonl").write_text(RAW)
    return "raw.jsonl"


@pytest.fixture
def leaky(raw, monkeypatch):
    """Return raw rows, and make a reference model drop its mask."""
    from padmask.verify.keras import reference_models as models

    route = models.ROUTES["embedding"]
    without = replace(route, head=lambda masked, table: route.head(False, table))
    monkeypatch.setitem(models.ROUTES, "embedding", without)
    return raw


# --- for every rule, a file that violates it ----------------------------------------------------------


def lines(*rows):
    def write(folder):
        (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return ["in.jsonl"]

    return write


def write_wrong_lengths(folder):
    (folder / "raw.jsonl").write_text(RAW)
    pad_file(folder / "raw.jsonl", folder / "in.parquet", mask=MaskSpec(length_column="length"))
    table = pq.read_table(folder / "in.parquet")
    place = table.schema.get_field_index("length")
    wrong = pa.array([3, 1, 4], table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), wrong), folder / "in.parquet")
    return ["in.parquet"]


def write_two_types(folder):
    for name, type_ in (("a", pa.int32()), ("b", pa.int64())):
        ids = pa.array([[5, 6], [7]], pa.list_(type_))
        pq.write_table(pa.table({"input_ids": ids}), folder / f"{name}.parquet")
    return ["a.parquet", "b.parquet"]


def write_impossible_length(folder):
    (folder / "raw.jsonl").write_text('{"input_ids": [5, 6]}\n{"input_ids": [7]}\n')
    pad_file(folder / "raw.jsonl", folder / "in.parquet", mask=MaskSpec(column=None, length_column="length"))
    table = pq.read_table(folder / "in.parquet")
    place = table.schema.get_field_index("length")
    wrong = pa.array([2, 3], table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), wrong), folder / "in.parquet")
    return ["in.parquet"]


def write_two_sides(folder):
    # The rows have the same length, so that no other rule is violated.
    (folder / "raw.jsonl").write_text('{"input_ids": [5, 6]}\n')
    for side in ("post", "pre"):
        pad_file(folder / "raw.jsonl", folder / f"{side}.parquet", spec=PadSpec(padding=side))
    return ["post.parquet", "pre.parquet"]


def write_without_end_mark(folder):
    schema = pa.schema([("input_ids", pa.list_(pa.int32()))])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_batch(pa.record_batch({"input_ids": [[5, 6], [7]]}, schema=schema))
    (folder / "cut.arrow").write_bytes(bytes(sink.getvalue())[:-8])
    return ["cut.arrow"]


def write_not_finite(folder):
    rows = pa.array([[[1.0, 2.0]], [[float("nan"), 3.0]]], pa.list_(pa.list_(pa.float32(), 2)))
    pq.write_table(pa.table({"features": rows}), folder / "in.parquet")
    return ["in.parquet"]


def write_without_mask(folder):
    (folder / "raw.jsonl").write_text('{"input_ids": [5, 6]}\n{"input_ids": [7]}\n')
    pad_file(folder / "raw.jsonl", folder / "in.parquet", spec=PadSpec(value=9))
    pq.write_table(pq.read_table(folder / "in.parquet").drop_columns("mask"), folder / "in.parquet")
    return ["in.parquet"]


def write_unlisted(folder):
    (folder / "raw.jsonl").write_text('{"input_ids": [5, 6]}\n')
    pad_dataset(folder / "raw.jsonl", folder / "padded")
    (folder / "padded" / "copy.jsonl").write_bytes((folder / "padded" / "raw.jsonl").read_bytes())
    return ["padded"]


PACKED = [[5, 6, 7], [8], [9, 9, 2, 9, 4], [3, 3]]


def packed(column, value, *, row=0, **options):
    """Pack rows, and change the list of one column in one packed row."""

    def write(folder):
        rows = [{"input_ids": ids, "labels": ids} for ids in PACKED]
        lines(*rows)(folder)
        packing = PackSpec(**{"emit": ["position_ids", "segment_ids"], **options})
        pack_file(folder / "in.jsonl", folder / "in.parquet", spec=PadSpec(maxlen=6), packing=packing)
        table = pq.read_table(folder / "in.parquet")
        place, field = table.schema.get_field_index(column), table.schema.field(column)
        values = table.column(column).to_pylist()
        values[row] = value
        pq.write_table(table.set_column(place, field, pa.array(values, field.type)), folder / "in.parquet")
        return ["in.parquet"]

    return write


def with_maximum(folder):
    """Pack rows with at most three sequences, and set the maximum in the metadata to 2."""
    [name] = packed("seq_lengths", [3, 1, 2], max_segments=3)(folder)
    table = pq.read_table(folder / name)
    metadata = table.schema.metadata
    text = metadata[b"padmask"].replace(b'"max_segments": 3', b'"max_segments": 2')
    pq.write_table(table.replace_schema_metadata({**metadata, b"padmask": text}), folder / name)
    return [name]


def with_long_rows(folder):
    """Pack rows of 6 tokens, and set maxlen in the metadata to 5."""
    [name] = packed("seq_lengths", [3, 1, 2], pad=False)(folder)
    table = pq.read_table(folder / name)
    metadata = table.schema.metadata
    text = metadata[b"padmask"].replace(b'"maxlen": 6', b'"maxlen": 5')
    pq.write_table(table.replace_schema_metadata({**metadata, b"padmask": text}), folder / name)
    return [name]


def without_a_row(folder):
    """Pack rows, and remove a packed row."""
    [name] = packed("seq_lengths", [3, 1, 2])(folder)
    pq.write_table(pq.read_table(folder / name).slice(1), folder / name)
    return [name]


def with_a_dropped_row(folder):
    """Pack rows, drop a long row, and compare the packed rows with their input."""
    lines({"input_ids": [5, 6]}, {"input_ids": [7] * 7})(folder)
    pack_file(
        folder / "in.jsonl",
        folder / "in.parquet",
        spec=PadSpec(maxlen=6),
        packing=PackSpec(),
        policy=RowPolicy(overlong="drop"),
    )
    return ["in.parquet", "--against", "in.jsonl"]


def without_a_padded_row(folder):
    """Pad rows, remove a padded row, and compare the padded rows with their input."""
    lines({"input_ids": [5, 6]}, {"input_ids": [7]})(folder)
    pad_file(folder / "in.jsonl", folder / "in.parquet")
    pq.write_table(pq.read_table(folder / "in.parquet").slice(1), folder / "in.parquet")
    return ["in.parquet", "--against", "in.jsonl"]


def against(column, value, *more, **options):
    """Change packed rows, add the rows `more` to the input, and compare the packed rows with the input."""

    def write(folder):
        [name] = packed(column, value, **options)(folder)
        with (folder / "in.jsonl").open("a") as file:
            file.writelines(json.dumps({"input_ids": ids, "labels": ids}) + "\n" for ids in more)
        return [name, "--against", "in.jsonl"]

    return write


SEQUENCES = {"input_ids": [5, 6, 7, 0], "mask": [1, 1, 1, 0], "seq_lengths": [1, 2]}
GOOD = {"input_ids": [5, 6, 0], "mask": [1, 1, 0]}
PAIR = {"input_ids": [5, 6], "labels": [1, 2]}
BROKEN = {
    "bad-row": lines({"input_ids": [5, 6]}, {"input_ids": None}),
    "non-finite": write_not_finite,
    "unmarked-padding": write_without_mask,
    "mask-shape": lines(GOOD, {"input_ids": [5, 6, 0], "mask": [1, 2, 0]}),
    "rows-unequal": lines(GOOD, {"input_ids": [5, 6], "mask": [1, 1]}),
    "mask-not-contiguous": lines(GOOD, {"input_ids": [5, 0, 6], "mask": [1, 0, 1]}),
    "mask-wrong-side": lines(GOOD, GOOD, {"input_ids": [0, 5, 6], "mask": [0, 1, 1]}),
    "mask-length": write_wrong_lengths,
    "padding-not-pad-value": lambda folder: (
        [*lines({"input_ids": [5, 6, 9], "mask": [1, 1, 0]}, GOOD)(folder), "-c", "input_ids=9"]
    ),
    "pad-value-in-tokens": lines({"input_ids": [5, 0]}, {"input_ids": [6]}),
    "row-fully-masked": lines({"input_ids": [5, 6]}, {"input_ids": []}),
    "cudnn-fallback": lambda folder: [
        *lines({"input_ids": [5, 6]}, {"input_ids": [7]})(folder),
        *("--padding", "pre"),
    ],
    "mixed-dtypes": write_two_types,
    "row-too-long": with_long_rows,
    "seq-length-range": packed("seq_lengths", [3, 1, 2, 0]),
    "seq-lengths-sum": packed("seq_lengths", [4], row=1),
    "max-segments": with_maximum,
    "derived-column": packed("position_ids", [0, 1, 2, 0, 1, 2]),
    "boundary-labels": packed("labels", [-100, 6, 7, 8, -100, 3]),
    "source-rows": packed("source_rows", [1], row=1),
    "packed-counts": without_a_row,
    "differs-from-input": against("input_ids", [5, 6, 7, 8, 3, 4]),
    "not-packed": against("seq_lengths", [3, 1, 2], [6, 6]),
    "not-padded": without_a_padded_row,
    "tokens-lost": with_a_dropped_row,
    "token-type-segments": lines({**SEQUENCES, "segment_ids": [0, 1, 1, 0]}),
    "ignored-positions": lines(
        {**SEQUENCES, "position_ids": [0, 0, 1, 0], "attention_mask": [1, 1, 1, 0]},
    ),
    "misaligned-column": lines(*[PAIR] * 4, {**PAIR, "labels": [1]}),
    "length-range": write_impossible_length,
    "mixed-sides": write_two_sides,
    "unlisted-file": write_unlisted,
    "no-end-mark": write_without_end_mark,
    "labels-on-padding": lambda folder: (
        [*lines({**GOOD, "labels": [1, 1, 0]})(folder), "-c", "input_ids", "-c", "labels"]
    ),
}
# Rules that apply without a model.
ALONE = [name for name in BROKEN if not RULES[name].recurrent]
ERRORS = [name for name, rule in RULES.items() if rule.severity == "error"]
WARNINGS = [name for name in ALONE if RULES[name].severity == "warning"]


def test_every_rule_has_a_file():
    assert set(BROKEN) == set(RULES)


@pytest.mark.parametrize("rule", ALONE)
def test_each_file_breaks_one_rule(here, tmp_path, rule):
    done = here("verify", *BROKEN[rule](tmp_path), "--no-model", "--json")
    found = {finding["rule"]: finding for finding in json.loads(done.stdout)["data"]}
    assert set(found) == {rule}
    assert found[rule]["count"] >= 1
    assert found[rule]["examples"]


@represented("rule", ERRORS, by=5)
def test_errors_are_exit_code_1(here, tmp_path, rule):
    given = [*BROKEN[rule](tmp_path), "--no-model"]
    done = here("verify", *given)
    assert (done.returncode, done.stdout.splitlines()[0].split(":")[0]) == (1, "bad-data")
    assert rule in done.stdout
    assert here("verify", *given, "--allow", rule).returncode == 0


@represented("rule", WARNINGS, by=3)
def test_strict_makes_warnings_errors(here, tmp_path, rule):
    given = [*BROKEN[rule](tmp_path), "--no-model"]
    done = here("verify", *given)
    assert (done.returncode, done.stdout.splitlines()[0].split(":")[0]) == (0, "data-ok")
    assert rule in done.stdout
    strict = [*given, "--strict"]
    done = here("verify", *strict)
    assert (done.returncode, done.stdout.splitlines()[0].split(":")[0]) == (1, "bad-data")
    assert here("verify", *strict, "--allow", rule).returncode == 0


def test_declared_padding_is_checked(here, tmp_path):
    given = [*lines(GOOD, GOOD)(tmp_path), "--no-model"]
    assert here("verify", *given, "--padding", "post").returncode == 0
    done = here("verify", *given, "--padding", "pre")
    assert done.returncode == 1
    assert "mask-wrong-side" in done.stdout


# --- inputs, and options that are refused --------------------------------------------------------------


def test_no_data_is_a_usage_error(padmask):
    done = padmask("verify", "--no-model", stdin=RAW)
    assert (done.returncode, done.stdout) == (2, "")
    assert has_facts(done.stderr, "input file")
    assert "Usage:" in done.stderr


FULL = '{"input_ids": [5, 6], "attention_mask": [1, 1]}\n' * 3000
LATE = FULL + '{"input_ids": [5, 0], "attention_mask": [1, 0]}\n'


def test_against_reads_all_of_stdin(padmask, tmp_path):
    (tmp_path / "in.jsonl").write_text(FULL)
    done = padmask("verify", "-", "--no-model", "--against", str(tmp_path / "in.jsonl"), stdin=FULL)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", [["verify", "-", "--no-model"], ["inspect", "-"]])
def test_late_padding_in_stdin(padmask, command):
    done = padmask(*command, stdin=LATE)
    assert done.returncode == 1
    assert "line 3001" in done.stderr
    assert "--mask-column attention_mask" in done.stderr


def test_dash_reads_stdin(padmask):
    done = padmask("verify", "-", "--no-model", "--json", stdin=RAW)
    assert done.returncode == 0, done.stderr
    assert (
        json.loads(done.stdout)["environment"] | {"data": "stdin", "rows": 3}
        == json.loads(done.stdout)["environment"]
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["missing.jsonl"], "'missing.jsonl'"),
        (["raw.jsonl", "--allow", "mask-shap"], "Did you mean"),
        (["raw.jsonl", "--route", "embeding"], "'embeding'"),
        (["raw.jsonl", "--device", "tpu"], "'tpu'"),
        (["raw.jsonl", "--sample", "0"], "--sample"),
        (["raw.jsonl", "-c", "missing"], "missing"),
        (["raw.jsonl", "--mask-column", "missing"], "Column 'missing' does not exist"),
        (["raw.jsonl", "--report", "json:"], "--report"),
        (["raw.jsonl", "--report", "junit:"], "--report"),
        (["raw.jsonl", "--report", "out.html"], "html:verify.html"),
        (["raw.jsonl", "--report", "htm:out"], "Did you mean 'html'"),
    ],
    ids=lambda given: " ".join(given[1:]) if isinstance(given, list) else "",
)
def test_impossible_request_is_2(here, raw, options, said):
    done = here("verify", *options, "--no-model")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_report_names_option(here):
    done = here("verify", "-", "--no-model", "--maxlen", "abc", "--report", "json:-")
    assert json.loads(done.stdout)["error"]["options"] == ["--maxlen"]


# --- the formats of the report --------------------------------------------------------------------------


def test_verdict_and_quiet(here, raw):
    done = here("verify", raw, "--no-model")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("data-ok: ")
    done = here("verify", raw, "--no-model", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_json_is_one_object(here, raw):
    done = here("verify", raw, "--no-model", "--json")
    seen = json.loads(done.stdout)
    assert (seen["verdict"], seen["data"], seen["subjects"]) == ("data-ok", [], [])
    assert (seen["environment"]["data"], seen["environment"]["rows"]) == ("raw.jsonl", 3)


@pytest.mark.parametrize("target", ["json:out.json", "out.json"], ids=["json", "bare-file"])
def test_json_report(here, raw, tmp_path, target):
    done = here("verify", raw, "--no-model", "--report", target)
    assert done.returncode == 0
    assert done.stdout.startswith("data-ok: ")
    assert json.loads((tmp_path / "out.json").read_text())["verdict"] == "data-ok"


def test_report_on_stdout(here, raw):
    done = here("verify", raw, "--no-model", "--report", "json:-")
    assert json.loads(done.stdout)["verdict"] == "data-ok"
    done = here("verify", raw, "--no-model", "--report", "junit:-")
    assert ElementTree.fromstring(done.stdout.encode()).tag == "testsuites"


def test_reports_of_bad_data(here, tmp_path):
    given = BROKEN["mask-shape"](tmp_path)
    done = here(
        *("verify", *given, "--no-model"),
        *("--report", "junit:out.xml", "--report", "json:out.json", "--report", "html:out.html"),
        *("--report", "github"),
    )
    assert done.returncode == 1
    assert Page((tmp_path / "out.html").read_text()).rows("Findings")[0][1:3] == ["mask-shape", "in.jsonl:2"]
    rule, verdict = [line for line in done.stdout.splitlines() if line.startswith("::")]
    assert rule.startswith("::error file=in.jsonl,line=2,title=mask-shape::mask-shape: mask: ")
    assert rule.endswith("(1 row)")
    assert verdict.startswith("::error title=padmask verify::bad-data: ")
    assert json.loads((tmp_path / "out.json").read_text())["verdict"] == "bad-data"
    root = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert root.get("failures") == "1"


def test_junit_report_is_valid(here, tmp_path):
    here("verify", *BROKEN["mask-shape"](tmp_path), "--no-model", "--report", "junit:out.xml")
    junit_schema().validate(tmp_path / "out.xml")


@pytest.mark.parametrize(
    "targets",
    [
        ["json:out", "junit:out"],
        ["out", "json:out"],
        ["json:out", "junit:./out"],
        ["json:-", "junit:-"],
        ["github", "json:-"],
    ],
    ids=" ".join,
)
def test_reports_need_their_own_files(here, raw, tmp_path, targets):
    done = here("verify", raw, "--no-model", *(part for target in targets for part in ("--report", target)))
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot" in done.stderr
    assert "same file" in done.stderr or "both go to" in done.stderr
    assert not (tmp_path / "out").exists()


def test_stdout_takes_one_report(here, raw):
    assert here("verify", raw, "--no-model", "--json", "--report", "github").returncode == 2
    assert here("verify", raw, "--no-model", "--json", "--report", "junit:-").returncode == 2


def test_report_path_is_checked_first(here, tmp_path):
    done = here("verify", "missing.jsonl", "--no-model", "--report", "nowhere/out.json")
    assert done.returncode == 2
    assert "Cannot write 'nowhere/out.json'" in done.stderr
    assert "missing.jsonl" not in done.stderr


# Runs that an error ends, and their exit codes.
FAILING = {
    "missing-file": (["missing.jsonl"], 2),
    "missing-column": (["raw.jsonl", "-c", "missing"], 2),
    "unknown-rule": (["raw.jsonl", "--allow", "mask-shap"], 2),
    "invalid-value": (["raw.jsonl", "--sample", "0"], 2),
    "unknown-option": (["raw.jsonl", "--bogus"], 2),
    "unusable-together": (["raw.jsonl", "--model", "m.keras"], 2),
    "damaged-file": (["damaged.parquet"], 1),
}


@pytest.mark.parametrize("name", FAILING)
def test_failed_run_has_reports(here, raw, tmp_path, name):
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and no footer")
    (tmp_path / "out.json").write_text("of yesterday")
    options, code = FAILING[name]
    done = here(
        *("verify", *options, "--no-model", "--report", "json:out.json", "--report=junit:out.xml"),
        *("--report", "github", "--report", "html:out.html"),
    )
    assert done.returncode == code
    assert "Error: " in done.stderr
    seen = json.loads((tmp_path / "out.json").read_text())
    assert (seen["verdict"], seen["exit_code"]) == ("error", code)
    assert seen["error"]["message"] in done.stderr
    root = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert (root.get("errors"), root.get("failures")) == ("1", "0")
    [annotation] = done.stdout.splitlines()
    assert annotation.startswith("::error ")
    assert Page((tmp_path / "out.html").read_text()).texts("h1")[0].startswith("error ")


def test_json_of_a_failed_run(here):
    done = here("verify", "missing.jsonl", "--no-model", "--json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (2, "error")
    done = here("verify", "missing.jsonl", "--bogus", "--json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (2, "error")


@pytest.mark.parametrize("options", [["--bogus"], ["--sample", "0"], ["--allow", "x"], []], ids=str)
@pytest.mark.parametrize("inputs", [["raw.jsonl"], ["*.jsonl"], ["missing.jsonl", "raw.jsonl"]], ids=str)
def test_failed_run_keeps_the_data(here, raw, tmp_path, inputs, options):
    done = here("verify", *inputs, "--no-model", *options, "--report", "json:raw.jsonl")
    assert done.returncode == 2
    assert (tmp_path / raw).read_text() == RAW


# --- the printed report ---------------------------------------------------------------------------------


def test_findings_are_one_line_each(here, tmp_path):
    name = "a long name of a folder that fills most of a line in a terminal of eighty characters"
    (tmp_path / name).mkdir()
    rows = [{"input_ids": [5, 6], "labels": [1, 2]}, {"input_ids": [7], "labels": None}]
    (tmp_path / name / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "no\n")
    done = here("verify", f"{name}/in.jsonl", "--no-model", "-c", "input_ids=5", "-c", "labels")
    assert done.returncode == 1
    _, _, labels, syntax, warning = done.stdout.splitlines()
    assert labels.startswith(f"{name}/in.jsonl:2: bad-row: labels: ")
    assert "null" in labels
    assert syntax.startswith(f"{name}/in.jsonl:3: bad-row: ")
    assert warning.startswith(f"{name}/in.jsonl:1: warning[pad-value-in-tokens]: ")
    assert warning.endswith(" (1 row)")


def test_quiet_prints_errors(here, tmp_path):
    rows = lines({"input_ids": [5, 6]}, {"input_ids": None})(tmp_path)
    done = here("verify", *rows, "--no-model", "--quiet", "--padding", "pre")
    assert done.returncode == 1
    verdict, error = done.stdout.splitlines()
    assert verdict.startswith("bad-data: ")
    assert error.startswith("in.jsonl:2: bad-row: input_ids: ")
    # A report on stdout already has the errors.
    done = here("verify", *rows, "--no-model", "--quiet", "--report", "github")
    assert all(line.startswith("::") for line in done.stdout.splitlines())


def test_quiet_hides_warnings(here, raw):
    done = here("verify", raw, "--no-model", "--quiet", "--padding", "pre")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_control_characters_are_escaped(here, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"input_ids": [5], "[red]": 1}\n{"input_ids": "\\u001b[31m"}\n')
    done = here("verify", "in.jsonl", "--no-model")
    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == 3


def test_report_keeps_the_data(here, raw, tmp_path):
    done = here("verify", raw, "--no-model", "--report", f"junit:{raw}")
    assert (tmp_path / raw).read_text() == RAW
    assert done.returncode == 2


@pytest.mark.parametrize("against", [".", "in.jsonl"])
def test_report_keeps_the_compared_input(here, tmp_path, against):
    (tmp_path / "source").mkdir()
    source = tmp_path / "source" / "in.jsonl"
    source.write_text(RAW)
    assert here("pad", str(source), "-q", "-o", "padded.jsonl").returncode == 0
    compared = str(source.parent / against)
    done = here("verify", "padded.jsonl", "--no-model", "--against", compared, "--report", f"json:{source}")
    assert (done.returncode, source.read_text()) == (2, RAW)


@pytest.mark.parametrize("type_", ["uint8", "uint16", "uint32", "uint64"])
def test_unsigned_ids(here, tmp_path, type_):
    ids = pa.array([[1, 2], [3]], pa.list_(pa.type_for_alias(type_)))
    pq.write_table(pa.table({"input_ids": ids}), tmp_path / "raw.parquet")
    assert here("verify", "raw.parquet", "--no-model").returncode == 0
    assert here("inspect", "raw.parquet").returncode == 0
    assert here("pad", "raw.parquet", "-q", "-o", "padded.parquet", "--dtype", "int64").returncode == 0
    assert here("verify", "padded.parquet", "--no-model", "--against", "raw.parquet").returncode == 0


# --- what is imported -----------------------------------------------------------------------------------

HEAVY = {"tensorflow", "keras", "torch", "jax"}


@pytest.mark.slow
def test_data_need_no_tensorflow(raw, tmp_path):
    asked = f"import sys; from padmask.cli import run; assert run(['verify', {raw!r}, '--no-model']) == 0; "
    asked += f"print(*{HEAVY} & set(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == []


@pytest.fixture
def nothing_installed(tmp_path, monkeypatch):
    """New processes cannot import TensorFlow, Keras or other backends."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "found = PathFinder.find_spec\n"
        "def find_spec(name, path=None, target=None):\n"
        f"    return None if name.partition('.')[0] in {HEAVY} else found(name, path, target)\n"
        "PathFinder.find_spec = find_spec\n"
    )
    paths = [str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "pip install 'padmask[verify]'"),
        (["--backend", "torch"], "pip install keras torch"),
    ],
    ids=["tensorflow", "torch"],
)
@pytest.mark.slow
def test_missing_extra_says_how_to_install(padmask, raw, nothing_installed, options, said):
    done = padmask("verify", raw, *options)
    assert done.returncode == 2
    assert done.stdout.startswith("not verified: ") and "data-ok" not in done.stdout
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("Error: ")
    assert said in sentence


def test_findings_without_tensorflow(padmask, tmp_path, nothing_installed):
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1, 2]}\n{"input_ids": []}\n')
    done = padmask("verify", "in.jsonl", "--json")
    seen = json.loads(done.stdout)
    assert (done.returncode, seen["verdict"], seen["exit_code"]) == (2, "error", 2)
    assert [finding["rule"] for finding in seen["data"]] == ["row-fully-masked"]
    assert seen["environment"]["rows"] == 2


@pytest.mark.parametrize("model", ["--model=bad.keras", "--predict=serve:fails"])
@with_models
def test_findings_if_the_model_fails(here, tmp_path, model):
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1, 2]}\n{"input_ids": []}\n')
    (tmp_path / "bad.keras").write_text("no model")
    (tmp_path / "serve.py").write_text("def fails(ids, mask):\n    raise ValueError\n")
    files = [f"--report={form}:out.{form}" for form in ("json", "junit", "html")]
    done = here("verify", "in.jsonl", model, *files, "--report", "github")
    assert done.returncode == 1
    seen = json.loads((tmp_path / "out.json").read_text())
    assert (seen["verdict"], [finding["rule"] for finding in seen["data"]]) == ("error", ["row-fully-masked"])
    assert "row-fully-masked" in (tmp_path / "out.html").read_text()
    suites = ElementTree.parse(tmp_path / "out.junit").getroot()
    assert [suite.get("name") for suite in suites] == ["data", "run"]
    assert [line.partition(" ")[0] for line in done.stdout.splitlines()] == ["::warning", "::error"]


@with_models
def test_corrupt_model_without_reports(here, tmp_path, monkeypatch):
    """If there are no reports to write, an unreadable model is refused before the data is read."""
    monkeypatch.setattr("padmask.verify.model_on_data.audit_and_sample", None)
    (tmp_path / "in.jsonl").write_text(RAW)
    (tmp_path / "bad.keras").write_text("no model")
    done = here("verify", "in.jsonl", "--model", "bad.keras")
    assert done.returncode == 1 and "bad.keras" in done.stderr


def test_data_errors_without_tensorflow(padmask, tmp_path, nothing_installed):
    """Errors in the data are the result of the run, and a note says that the models did not run."""
    (tmp_path / "in.jsonl").write_text('{"input_ids": [1, 2], "mask": [true, false]}\n{"input_ids": "x"}\n')
    done = padmask("verify", "in.jsonl", "--report", "json:out.json")
    assert done.returncode == 1
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["verdict"], found["data"][0]["rule"]) == ("bad-data", "bad-row")
    assert "padmask[verify]" in found["notes"][-1]


# --- with models ------------------------------------------------------------------------------------------


@pytest.mark.slow
@with_models
def test_verify_in_a_new_process(padmask, raw, tmp_path, monkeypatch):
    for name in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    done = padmask("verify", raw, *QUICK, "--json", "--report", "junit:out.xml")
    # The start-up messages of TensorFlow stay hidden.
    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    assert seen["verdict"] == "ignores"
    [subject] = seen["subjects"]
    assert (subject["name"], subject["control"]["verdict"]) == ("embedding", "fails")
    assert {"keras", "backend", "device", "kernel", "rows_checked"} <= set(seen["environment"])
    assert ElementTree.parse(tmp_path / "out.xml").getroot().get("failures") == "0"


@pytest.mark.slow
@with_models
def test_report_shows_verdict_first(here, raw):
    done = here("verify", raw, "--route", "embedding", "--route", "masking", "--device", "cpu")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ignores: ")
    assert "2 reference models ignore padding on cpu, tensorflow " in done.stdout
    assert "masking" not in done.stdout


@with_models
@pytest.mark.slow
def test_padded_input_in_reports(here, raw, tmp_path):
    pad_file(tmp_path / raw, tmp_path / "padded.parquet", spec=PadSpec(maxlen=6, padding="pre", value=3))
    done = here("verify", "padded.parquet", *QUICK, "--report", "github", "--report", "out.json", "--quiet")
    assert done.returncode == 0
    assert [line.split("::")[1] for line in done.stdout.splitlines()] == [
        "warning title=cudnn-fallback",
        "notice title=padmask verify",
    ]
    assert json.loads((tmp_path / "out.json").read_text())["environment"]["padding"] == "pre"


@with_models
def test_leak_is_in_every_report(here, leaky, tmp_path):
    done = here(
        *("verify", leaky, *QUICK, "--report", "github"),
        *("--report", "json:out.json", "--report", "junit:out.xml"),
    )
    assert done.returncode == 1
    assert "leaks: " in done.stdout
    assert "::error title=embedding%3A row-alone::embedding: row-alone: deviation" in done.stdout
    assert json.loads((tmp_path / "out.json").read_text())["verdict"] == "leaks"
    failures = ElementTree.parse(tmp_path / "out.xml").getroot().iter("failure")
    assert {failure.get("type") for failure in failures} == {"leak"}


@with_models
def test_leak_outweighs_bad_data(here, leaky, tmp_path):
    (tmp_path / leaky).write_text(RAW + '{"input_ids": []}\n')
    done = here("verify", leaky, *QUICK, "--strict", "--json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (1, "leaks")


@with_models
def test_bad_data_with_sound_models(here, tmp_path):
    done = here("verify", *BROKEN["mask-not-contiguous"](tmp_path), *QUICK, "--json")
    seen = json.loads(done.stdout)
    assert (done.returncode, seen["verdict"], seen["subjects"][0]["verdict"]) == (1, "bad-data", "ignores")


@with_models
def test_inconclusive_is_1(here, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"input_ids": []}\n')
    done = here("verify", "in.jsonl", *QUICK)
    assert (done.returncode, done.stdout.splitlines()[0].split(":")[0]) == (1, "inconclusive")


@with_models
@pytest.mark.parametrize(
    ("code", "rows", "options", "said"),
    [
        (1, "[3, -4]", [], "the id -4"),
        (2, '["a"]', [], "--no-model"),
        (2, "[9]", ["--vocab-size", "9"], "at least 10"),
        (2, "[0.5]", ["--route", "argument"], "--route masking"),
    ],
    ids=["negative-id", "strings", "small-vocabulary", "floats"],
)
def test_impossible_tokens_are_refused(here, tmp_path, code, rows, options, said):
    (tmp_path / "in.jsonl").write_text(f'{{"input_ids": {rows}}}\n')
    done = here("verify", "in.jsonl", "--device", "cpu", *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


@with_models
def test_nan_as_pad_value(here, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"x": [0.5, 1.5]}\n{"x": [2.5]}\n')
    done = here("verify", "in.jsonl", "--route", "masking", "--value", "nan", "--json")
    assert json.loads(done.stdout)["verdict"] == "ignores"


@with_models
def test_negative_seed_is_refused(here, raw):
    done = here("verify", raw, *QUICK, "--seed", "-1")
    assert done.returncode == 2
    assert "seed" in done.stderr


def sees_a_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


@with_models
def test_missing_gpu_is_2(here, raw):
    if sees_a_gpu():
        pytest.skip("TensorFlow sees a GPU here")
    done = here("verify", raw, "--device", "gpu")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No usable GPU: tensorflow" in done.stderr


@with_models
@pytest.mark.parametrize("padding", ["post", "pre"])
def test_gpu_kernels_agree(padmask, raw, padding):
    if not sees_a_gpu():
        pytest.skip("TensorFlow sees no GPU here")
    done = padmask("verify", raw, "--device", "gpu", "--padding", padding, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    assert (seen["verdict"], seen["environment"]["device"]) == ("ignores", "gpu")
    assert seen["environment"]["kernel"] == ("cudnn" if padding == "post" else "generic")
    [agree] = [check for check in seen["subjects"][0]["checks"] if check["name"] == "kernels-agree"]
    assert agree["verdict"] == "holds"
    assert agree["max_abs_diff"] <= agree["tolerance"]
    for refused in seen["environment"]["cudnn"].values():
        assert refused["eager"].startswith("falls back")
        assert refused["compiled"].startswith("fails")
