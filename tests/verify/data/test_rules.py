"""For every rule, rows that violate only this rule, and rows that violate no rule."""

from __future__ import annotations

import numpy as np
import pytest
from raised import has_facts

from padmask.core.python_rows import flatten
from padmask.errors import Fault, Place
from padmask.spec.rules import RULES
from padmask.verify.data.audit_rows import findings_of
from padmask.verify.data.masked_values import MaskedValue
from padmask.verify.data.rules import Audit, AuditColumn

MASK = np.array([[True, True, False], [True, True, True], [True, False, False]])
IDS = np.where(MASK, 7, 0)
LABELS = np.where(MASK, 0, -100)


def found(audit: Audit) -> dict[str, tuple[int, list[str]]]:
    return {
        finding.rule.name: (finding.count, [str(place) for place in finding.examples])
        for finding in audit.findings()
    }


def audited(ids=IDS, mask=MASK, labels=LABELS, padding="post", lengths=None) -> dict:
    audit = Audit([AuditColumn("ids", value=0), AuditColumn("labels", value=-100, label=True)])
    audit.add_padded({"ids": ids, "labels": labels}, mask, padding, lambda row: Place(f"row {row}"), lengths)
    return found(audit)


def changed(array: np.ndarray, row: int, column: int, value) -> np.ndarray:
    array = array.copy()
    array[row, column] = value
    return array


def test_good_rows():
    assert audited(lengths=np.array([2, 3, 1])) == {}


BROKEN = {
    "mask-wrong-side": {
        "mask": MASK[:, ::-1],
        "ids": IDS[:, ::-1],
        "labels": LABELS[:, ::-1],
    },
    "mask-length": {"lengths": np.array([2, 2, 1])},
    "padding-not-pad-value": {"ids": changed(IDS, 0, 2, 5)},
    "pad-value-in-tokens": {"ids": changed(IDS, 1, 1, 0)},
}


@pytest.mark.parametrize("rule", BROKEN)
def test_broken_rule_is_found(rule):
    seen = audited(**BROKEN[rule])
    assert rule in seen
    # Left padding also violates the rule for cuDNN.
    assert set(seen) <= {rule, "cudnn-fallback"}


def test_hole_in_the_mask():
    mask = changed(MASK, 1, 1, False)
    seen = audited(mask=mask, ids=np.where(mask, 7, 0), labels=np.where(mask, 0, -100))
    assert seen == {"mask-not-contiguous": (1, ["row 1"]), "cudnn-fallback": (1, ["row 1"])}


def test_fully_masked_row():
    mask = changed(MASK, 2, 0, False)
    seen = audited(mask=mask, ids=np.where(mask, 7, 0), labels=np.where(mask, 0, -100))
    assert seen == {"row-fully-masked": (1, ["row 2"]), "cudnn-fallback": (1, ["row 2"])}


def test_labels_on_padding():
    audit = Audit([AuditColumn("labels", value=0, label=True)])
    audit.add_padded({"labels": np.where(MASK, 1, 0)}, MASK, "post", "row {}".format)
    assert found(audit) == {"labels-on-padding": (2, ["row 0", "row 2"])}


def test_declared_left_padding():
    seen = audited(ids=IDS[:, ::-1], mask=MASK[:, ::-1], labels=LABELS[:, ::-1], padding="pre")
    assert seen == {"cudnn-fallback": (2, ["row 0", "row 2"])}


def test_mask_of_wrong_shape():
    audit = Audit([AuditColumn("ids", value=0)])
    audit.add_invalid_masks(np.array([False, True]), "row {}".format)
    assert found(audit) == {"mask-shape": (1, ["row 1"])}


def test_impossible_lengths():
    audit = Audit([AuditColumn("ids", value=0)])
    audit.add_invalid_lengths(np.array([False, True]), "row {}".format)
    assert found(audit) == {"length-range": (1, ["row 1"])}


def test_unequal_rows():
    audit = Audit([AuditColumn("ids", value=0)])
    audit.add_unequal(np.array([False, True]), np.array([3, 3]), "row {}".format)
    assert found(audit) == {"rows-unequal": (1, ["row 1"])}
    assert audit.findings()[0].detail.startswith("the first row has 3 positions")


def test_remedy_names_an_unused_id():
    audit = Audit([AuditColumn("ids", value=0)])
    audit.add_raw({"ids": flatten([[0, 1], [2, 4]])}, "post", "row {}".format)
    [finding] = audit.findings()
    assert finding.rule.name == "pad-value-in-tokens"
    assert "-c ids=3" in finding.detail


def test_position_of_the_pad_value():
    audit = Audit([AuditColumn("ids", value=0)])
    audit.add_raw({"ids": flatten([[7], [5, 6, 0]])}, "post", "row {}".format)
    assert has_facts(audit.findings()[0].detail, "pad value 0", "position 2")
    padded = Audit([AuditColumn("ids", value=0)])
    mask = np.array([[False, False, True, True]])
    padded.add_padded({"ids": np.array([[0, 0, 5, 0]])}, mask, "pre", "row {}".format)
    assert has_facts(padded.findings()[0].detail, "position 3")


def test_value_that_the_model_masks():
    column = AuditColumn("x", value=0, masked=MaskedValue(-1e9, "Masking"))
    audit = Audit([column])
    audit.add_raw({"x": flatten([[0.0, 5.0]])}, "post", "row {}".format)
    assert found(audit) == {}
    audit.add_raw({"x": flatten([[0.0, -1e9]])}, "post", "row {}".format)
    assert has_facts(audit.findings()[0].detail, "-1e+09", "mask_value", "position 1")


# --- one finding per rule and column ---------------------------------------------------------------------


def by_column(audit: Audit) -> dict[tuple[str, str | None], int]:
    return {(finding.rule.name, finding.column): finding.count for finding in audit.findings()}


def audited_raw(columns: list[AuditColumn], **rows: list) -> Audit:
    audit = Audit(columns)
    audit.add_raw({name: flatten(of) for name, of in rows.items()}, "post", "row {}".format)
    return audit


def test_pad_value_names_its_column():
    audit = audited_raw([AuditColumn("a", 0), AuditColumn("b", 0)], a=[[5, 6], [7]], b=[[1, 0], [2]])
    assert by_column(audit) == {("pad-value-in-tokens", "b"): 1}
    # The remedy is an id that no token of this column has.
    assert audit.findings()[0].detail.endswith("-c b=3")


def test_each_column_has_its_unused_id():
    audit = audited_raw([AuditColumn("a", 0), AuditColumn("my b", 0)], a=[[0, 1]], **{"my b": [[0, 2]]})
    assert [finding.detail.rpartition("-c ")[2] for finding in audit.findings()] == ["a=2", "'my b=1'"]


def test_pad_value_as_valid_token():
    types = AuditColumn("token_type_ids", 0, any_value=True)
    audit = audited_raw([AuditColumn("ids", 0), types], ids=[[5, 6]], token_type_ids=[[0, 7]])
    assert by_column(audit) == {}


def test_flags_beside_the_tokens():
    ids, flags = AuditColumn("ids", 0), AuditColumn("flags", 0)
    assert by_column(audited_raw([ids, flags], ids=[[5, 6]], flags=[[0, 1]])) == {}
    # A value above 1 is not a flag, and tokens may be 0 and 1.
    rule = "pad-value-in-tokens"
    assert by_column(audited_raw([ids, flags], ids=[[5, 6]], flags=[[0, 2]])) == {(rule, "flags"): 1}
    assert by_column(audited_raw([ids], ids=[[1, 0]])) == {(rule, "ids"): 1}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")], ids=str)
def test_non_finite_tokens(number):
    audit = audited_raw([AuditColumn("x", -1.0)], x=[[1.0, 2.0], [number, 3.0], [], [4.0]])
    assert by_column(audit)["non-finite", "x"] == 1
    assert found(audit)["non-finite"] == (1, ["row 1"])


def test_non_finite_vectors():
    audit = audited_raw([AuditColumn("x", 0.0)], x=[[[1.0, 2.0]], [[3.0, 4.0], [5.0, float("nan")]]])
    assert found(audit) == {"non-finite": (1, ["row 1"])}


def test_padding_may_be_nan():
    values = np.where(MASK, 7.0, np.nan)
    audit = Audit([AuditColumn("x", float("nan"))])
    audit.add_padded({"x": values}, MASK, "post", "row {}".format)
    assert found(audit) == {}
    audit.add_padded({"x": changed(values, 0, 2, 5.0)}, MASK, "post", "row {}".format)
    assert by_column(audit) == {("padding-not-pad-value", "x"): 1}


def test_wrong_padding_names_its_column():
    columns = [AuditColumn("ids", 0), AuditColumn("b", 0)]
    audit = Audit(columns)
    audit.add_padded({"ids": IDS, "b": changed(IDS, 0, 2, 5)}, MASK, "post", "row {}".format)
    assert by_column(audit) == {("padding-not-pad-value", "b"): 1}


def test_bad_rows_have_reasons():
    audit = Audit([AuditColumn("ids", 0), AuditColumn("labels", -100, label=True)])
    faults = [Fault(0, "null", "labels"), Fault(1, "not JSON"), Fault(3, "1.5", "ids"), Fault(4, "x", "ids")]
    audit.add_bad_rows(faults, lambda row: Place("a", "line", row + 1))
    seen = [(bad.column, bad.count, list(map(str, bad.examples)), bad.reasons) for bad in audit.findings()]
    assert seen == [
        ("ids", 2, ["a, line 4", "a, line 5"], ["1.5", "x"]),
        ("labels", 1, ["a, line 1"], ["null"]),
        (None, 1, ["a, line 2"], ["not JSON"]),
    ]


def test_raw_rows():
    audit = Audit([AuditColumn("ids", value=9), AuditColumn("labels", value=0, label=True)])
    rows = flatten([[1, 9], [], [3]])
    audit.add_raw({"ids": rows, "labels": rows}, "pre", "row {}".format)
    assert found(audit) == {
        "pad-value-in-tokens": (1, ["row 0"]),
        "row-fully-masked": (1, ["row 1"]),
        "cudnn-fallback": (2, ["row 1", "row 2"]),
        "labels-on-padding": (2, ["row 1", "row 2"]),
    }


@pytest.mark.parametrize(
    ("lengths", "options", "short"),
    [
        ([2, 2], {}, []),
        ([1, 2, 2, 0], {}, ["row 0", "row 3"]),
        ([1, 1, 2, 3], {}, ["row 0", "row 1", "row 2"]),
        ([2, 2], {"multiple": 4}, ["row 0", "row 1"]),
        ([4, 4], {"multiple": 4}, []),
        ([2, 3], {"maxlen": 3}, ["row 0"]),
    ],
)
@pytest.mark.parametrize("batch", [1, 2, 9])
@pytest.mark.parametrize("joined", [False, True])
def test_only_short_rows_get_padding(lengths, options, short, batch, joined):
    columns = [AuditColumn("labels", value=0, label=True)]
    audit = Audit(columns)
    for start in range(0, len(lengths), batch):
        part = Audit(columns) if joined else audit
        rows = flatten([[5] * length for length in lengths[start : start + batch]])
        place = lambda row, start=start: Place(f"row {start + row}")  # noqa: E731
        part.add_raw({"labels": rows}, "pre", place, **options)
        if joined:
            audit.join(part)
    for rule in ("labels-on-padding", "cudnn-fallback"):
        assert found(audit).get(rule, (0, [])) == (len(short), short)


@pytest.mark.parametrize("maxlen", [None, 0])
def test_empty_rows_fall_back_on_both_sides(maxlen):
    for side in ("pre", "post"):
        audit = Audit([AuditColumn("ids", value=0)])
        audit.add_raw({"ids": flatten([[], []])}, side, "row {}".format, maxlen)
        assert found(audit)["cudnn-fallback"] == (2, ["row 0", "row 1"])


def test_only_recurrent_models_use_cudnn():
    audit = Audit([AuditColumn("ids", value=0)])
    audit.add_raw({"ids": flatten([[1, 2], [3]])}, "pre", "row {}".format)
    assert findings_of([audit]) == []
    assert [one.rule.name for one in findings_of([audit], recurrent=True)] == ["cudnn-fallback"]


def test_wrong_side_says_which_side_is_right():
    audit = Audit([AuditColumn("ids", value=0)])
    audit.add_padded({"ids": IDS[:, ::-1]}, MASK[:, ::-1], "post", Place, side_from="--padding post")
    [detail] = [one.detail for one in audit.findings() if one.rule.name == "mask-wrong-side"]
    assert "--padding post" in detail and "other rows" not in detail


def test_findings_keep_first_examples():
    audit = Audit([AuditColumn("ids", value=0)])
    for batch in range(3):
        rows = flatten([[], [], []])
        audit.add_raw({"ids": rows}, "post", lambda row, batch=batch: Place(f"{batch}-{row}"))
    assert found(audit)["row-fully-masked"] == (9, ["0-0", "0-1", "0-2", "1-0", "1-1"])


def test_every_rule_is_tested():
    tested = {
        *BROKEN,
        "mask-not-contiguous",
        "row-fully-masked",
        "labels-on-padding",
        "mask-shape",
        "rows-unequal",
        "length-range",
        "cudnn-fallback",
        "bad-row",
        "non-finite",
        # In test_file_findings.py.
        "mixed-dtypes",
        "mixed-sides",
        "unlisted-file",
        "no-end-mark",
        "unmarked-padding",
        # In test_packed_rows.py and tests/cli/test_verify.py.
        "row-too-long",
        "seq-length-range",
        "seq-lengths-sum",
        "max-segments",
        "derived-column",
        "boundary-labels",
        "source-rows",
        "packed-counts",
        "token-type-segments",
        "ignored-positions",
        # In test_columns.py.
        "misaligned-column",
        # In test_compare.py.
        "differs-from-input",
        "not-packed",
        "tokens-lost",
        # In test_against_padded.py.
        "not-padded",
    }
    assert tested == set(RULES)


BAD = {1: "labels", 2: None, 3: "ids"}


@pytest.mark.parametrize("cut", [0, 1, 3, 4])
def test_audits_can_be_joined(cut):
    rows = [[0, 5], [], [7, 300], [2**21]]
    labels = [[1, 2], [], [-100, 4], [0]]
    columns = [AuditColumn("ids", value=0), AuditColumn("labels", value=0, label=True)]

    def audit(first: int, last: int) -> Audit:
        new = Audit(columns)
        ragged = {"ids": flatten(rows[first:last]), "labels": flatten(labels[first:last])}
        new.add_raw(ragged, "post", lambda row: Place(f"row {first + row}"))
        faults = [Fault(row - first, str(row), name) for row, name in BAD.items() if first <= row < last]
        new.add_bad_rows(faults, lambda row: Place(f"row {first + row}"))
        return new

    whole, joined = audit(0, 4), audit(0, cut)
    joined.join(audit(cut, 4))
    assert [vars(f) for f in joined.findings()] == [vars(f) for f in whole.findings()]
    assert [joined.id_range(c.name) for c in columns] == [whole.id_range(c.name) for c in columns]
