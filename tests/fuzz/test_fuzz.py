"""Every run writes correct rows or prints an error message, and leaves no other files.

`run.py` in this folder runs random cases for hours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import click
import pyarrow as pa
import pytest
from fuzz import cases, expected, seeds, unpadded
from fuzz.contract import Case, Outcome, judged
from fuzz.mutate import ODD, mutate
from fuzz.padded_seeds import padded_files
from fuzz.run import guarded
from fuzz.wire import case_of_line, line_of_case
from fuzz.worker import Answer, Worker
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import represented

from padmask import pad_table
from padmask.cli.run_verify import FORMS
from padmask.cli.run_verify_error import error_text
from padmask.cli.verify import FILE_FORMS
from padmask.core.metadata import METADATA_KEY
from padmask.verify.report import Report

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are guarded where processes can fork")

CRASHERS = sorted(Path(__file__).parent.glob("crashers/*"))
KINDS = ("jsonl", "parquet", "arrow")
few = settings(max_examples=100, deadline=None)
fewer = settings(max_examples=40, deadline=None)
draws = st.integers(0, 2**32).map(Random)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as started:
        yield started


def check(worker: Worker, case: Case) -> Answer:
    """Run a case in a worker process. If the case kills the worker, run it again with the guard process."""
    answer = worker.run(case)
    found = guarded(case) if answer.died and not answer.problems else answer.problems
    assert not found, f"padmask {' '.join(case.args)}\n{case.source and case.files[case.source][:2000]!r}"
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@fewer
@given(data=st.binary(max_size=200), draw=draws)
def test_random_bytes(worker: Worker, kind: str, data: bytes, draw: Random) -> None:
    head = draw.choice([b"", b"", b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff", b"\x1f\x8b", b"{"])
    check(worker, cases.case_of(head + data, cases.asked(draw, kind)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@few
@given(draw=draws)
def test_mutated_files(worker: Worker, kind: str, draw: Random) -> None:
    check(worker, cases.file_case(draw, kind, cases.seeds_of(kind)))


@pytest.mark.slow
@represented("kind", KINDS, by={"parquet"})
@fewer
@given(draw=draws)
def test_sound_files(worker: Worker, kind: str, draw: Random) -> None:
    check(worker, cases.case_of(draw.choice(cases.seeds_of(kind)), cases.asked(draw, kind)))


@pytest.mark.slow
@few
@given(draw=draws)
def test_mutated_padded_files(worker: Worker, draw: Random) -> None:
    check(worker, cases.unpad_case(draw, cases.seeds_of("unpad")))


@pytest.mark.slow
@represented("kind", KINDS, by={"jsonl"})
@fewer
@given(draw=draws)
def test_sound_padded_files(worker: Worker, kind: str, draw: Random) -> None:
    check(worker, cases.unpad_case_of(draw, draw.choice(padded_files(kind)), kind))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
rows = st.fixed_dictionaries(
    {"input_ids": st.lists(st.integers(-9, 99), max_size=5) | values},
    optional={"text": st.text(max_size=5), "x": values, "mask": values, "": values},
)


@pytest.mark.slow
@few
@given(st.lists(rows, max_size=4), draws)
def test_random_json_values(worker: Worker, objects: list[object], draw: Random) -> None:
    text = "\n".join(json.dumps(row, ensure_ascii=draw.random() < 0.5) for row in objects)
    data = text.encode("utf-8", "surrogatepass")
    check(worker, cases.case_of(data, cases.asked(draw, "jsonl")))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(draws)
def test_random_options(worker: Worker, draw: Random) -> None:
    check(worker, cases.option_case(draw))


# --- Extremes ----------------------------------------------------------------------------


def one(*lines: bytes, **asked: object) -> Case:
    how = expected.Asked("jsonl", "out.jsonl", **asked)
    return cases.case_of(b"\n".join(lines), how)


GOOD = b'{"input_ids": [1, 2]}'
DEEP = b"[" * 10**6 + b"]" * 10**6
OBJECTS = b'{"a":' * 10**5 + b"1" + b"}" * 10**5
EXTREMES = {
    "a list a million deep": b'{"input_ids": %b}' % DEEP,
    "a field a million deep": b'{"input_ids": [1], "x": %b}' % DEEP,
    "a line a million deep": DEEP,
    "a million opening brackets": b'{"input_ids": ' + b"[" * 10**6,
    "objects a hundred thousand deep": b'{"input_ids": [1], "x": %b}' % OBJECTS,
    "two thousand fields": json.dumps({"input_ids": [1]} | {f"f{i}": i for i in range(2000)}).encode(),
    "one field ten thousand times": b'{"input_ids": [1]%b}' % (b', "x": 1' * 10**4),
    "a number of a million digits": b'{"input_ids": [%b]}' % (b"9" * 10**6),
    "a fraction of a million digits": b'{"input_ids": [0.%b]}' % (b"1" * 10**6),
    "an exponent of a million digits": b'{"input_ids": [1e%b]}' % (b"9" * 10**6),
    "a string of a million escapes": b'{"input_ids": ["%b"]}' % (b"\\u0041" * 10**6),
    "a million spaces": b'{"input_ids": [%b1]}' % (b" " * 10**6),
    "a million NULs": b"\0" * 10**6,
    "a million carriage returns": b"\r" * 10**6,
    "a million BOMs": b"\xef\xbb\xbf" * 10**6,
}


@pytest.mark.slow
@represented("output", ["out.jsonl", "out.parquet"], by=1)
@pytest.mark.parametrize("line", EXTREMES.values(), ids=EXTREMES)
def test_extreme_line(worker: Worker, line: bytes, output: str) -> None:
    how = expected.Asked("jsonl", output, maxlen="3")
    check(worker, cases.case_of(b"\n".join([GOOD, line, GOOD]), how))


@pytest.mark.exhaustive(by="test_extreme_line")
def test_line_of_fifty_megabytes() -> None:
    ids = b"2147483647," * (50 * 2**20 // 11) + b"7"
    with Worker() as worker:
        answer = check(worker, one(GOOD, b'{"input_ids": [%b]}' % ids, maxlen="2"))
    assert answer.outcome is not None
    assert answer.outcome.code == 0


@pytest.mark.slow
def test_million_blank_lines(worker: Worker) -> None:
    answer = check(worker, one(GOOD, b"\n \t\r\n" * 500_000, b'{"input_ids": 7}', on_error="fail"))
    assert answer.outcome is not None
    assert "in.jsonl, line 1000003" in answer.outcome.said


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd[:20]))
def test_odd_json_anywhere(worker: Worker, odd: bytes) -> None:
    lines = [
        b'{"input_ids": [1, %b]}',
        b'{"input_ids": %b}',
        b'{"input_ids": [1], "x": %b}',
        b"{%b: 1}",
        b"%b",
    ]
    check(worker, one(GOOD, *(line % odd for line in lines), GOOD, maxlen="3"))


@pytest.mark.slow
@represented("kind", ["arrow", "parquet"], by=1)
def test_thousands_of_columns(worker: Worker, kind: str) -> None:
    table = pa.table({"input_ids": [[1, 2], [3]]} | {f"c{i}": [i, None] for i in range(4000)})
    data = seeds.arrow(table) if kind == "arrow" else seeds.parquet(table)
    answer = check(worker, cases.case_of(data, expected.Asked(kind, "out.arrow")))
    assert answer.outcome is not None
    assert answer.outcome.code == 0


@pytest.mark.slow
@represented("kind", KINDS, by={"parquet", "arrow"})
def test_truncated_file(worker: Worker, kind: str) -> None:
    data = cases.seeds_of(kind)[0]
    step = 1 if kind == "jsonl" else 7
    how = expected.Asked(kind, "out.jsonl", maxlen="3")
    for end in range(0, len(data), step):
        check(worker, cases.case_of(data[:end], how))


# --- Crashes in native code ----------------------------------------------------------------


@pytest.mark.slow
@represented("file", {file.name: file for file in CRASHERS}, by=2)
def test_native_crash_is_reported(file: Path) -> None:
    kind = file.suffix[1:]
    for output in ("out.jsonl", "out.parquet"):
        case = cases.case_of(file.read_bytes(), expected.Asked(kind, output))
        assert guarded(case) == ()


# --- The oracles -----------------------------------------------------------------------------


class TestPadOracle:
    """The oracle of `pad` finds wrong results."""

    how = expected.Asked("jsonl", "out.jsonl", maxlen="3")
    source = b'{"input_ids": [1, 2], "t": "a"}\n{"input_ids": 5}\n'
    reject = b'{"source":"in.jsonl","line":2,"reason":"x","row":{}}\n'
    counts = '{{"maxlen": 3, "rows_read": {}, "rows_written": {}, "rows_dropped": 0, "rows_rejected": 1}}'

    def judge(self, line: bytes, read: int = 2, reject: bytes | None = None) -> list[str]:
        report = self.counts.format(read, 1).encode()
        files = {"out.jsonl": line, "rejects.jsonl": reject or self.reject, "report.json": report}
        return expected.wrong_rows({"in.jsonl": self.source}, replace(self.how, sources=("in.jsonl",)), files)

    def test_right_row_passes(self) -> None:
        assert self.judge(b'{"input_ids":[1,2,0],"t":"a","mask":[true,true,false]}\n') == []

    @pytest.mark.parametrize(
        "line",
        [
            b'{"input_ids":[1,0,2],"t":"a","mask":[true,true,false]}\n',
            b'{"input_ids":[1,2,0],"t":"a","mask":[true,true,true]}\n',
            b'{"input_ids":[1,2,0],"t":"b","mask":[true,true,false]}\n',
            b'{"input_ids":[1,2,0],"mask":[true,true,false]}\n',
            b'{"input_ids":[1,true,0],"t":"a","mask":[true,true,false]}\n',
            b"",
        ],
    )
    def test_wrong_row_fails(self, line: bytes) -> None:
        assert self.judge(line) != []

    def test_wrong_count_fails(self) -> None:
        assert self.judge(b'{"input_ids":[1,2,0],"t":"a","mask":[true,true,false]}\n', read=3) != []

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            (None, "Traceback\nKeyError: 1"),
            (2, ""),
            (2, "Error: in.jsonl: no.\n"),
            (2, "Error: lost the file. Fix it.\n"),
            (2, "Error: in.jsonl: std::bad_alloc. Check the file.\n"),
            (139, ""),
        ],
    )
    def test_bad_error_message_fails(self, code: int | None, said: str) -> None:
        case = cases.case_of(self.source, self.how)
        assert judged(case, Outcome(code, b"", said, case.files)) != []

    def test_leftover_file_fails(self) -> None:
        case = cases.case_of(self.source, self.how)
        said = "Error: in.jsonl, line 2: a number. Fix it.\n"
        assert judged(case, Outcome(2, b"", said, case.files)) == []
        assert judged(case, Outcome(2, b"", said, {**case.files, ".out.tmp": b""})) != []

    def test_mutations_change_files(self) -> None:
        for kind in KINDS:
            pool = cases.seeds_of(kind)
            changed = [mutate(Random(i), pool[0], kind, pool) != pool[0] for i in range(50)]
            assert sum(changed) > 40


class TestUnpadOracle:
    """The oracle of `unpad` finds wrong results."""

    how = unpadded.Asked("jsonl", "out.jsonl", length=True, sources=("in.jsonl",))
    source = (
        b'{"input_ids": [1, 2, 0], "mask": [true, true, false], "kept": 2, "t": "a"}\n'
        b'{"input_ids": [1, 2, 0], "mask": [true, false, true], "kept": 2}\n'
    )
    reject = b'{"source":"in.jsonl","line":2,"reason":"x","row":{}}\n'

    def judge(self, line: bytes, reject: bytes = reject, written: int = 1) -> list[str]:
        report = {"rows_read": 2, "rows_written": written, "rows_rejected": 2 - written}
        files = {"out.jsonl": line, "rejects.jsonl": reject, "report.json": json.dumps(report).encode()}
        return self.how.wrong_rows({"in.jsonl": self.source}, files)

    def test_right_row_passes(self) -> None:
        assert self.judge(b'{"input_ids":[1,2],"t":"a"}\n') == []

    @pytest.mark.parametrize(
        "line",
        [
            b'{"input_ids":[1,2,0],"t":"a"}\n',
            b'{"input_ids":[2,0],"t":"a"}\n',
            b'{"input_ids":[1,2]}\n',
            b'{"input_ids":[1,2],"t":"a","mask":[true,true]}\n',
            b'{"input_ids":[1,2],"t":"a","kept":2}\n',
            b'{"input_ids":[1,true],"t":"a"}\n',
            b"",
        ],
    )
    def test_wrong_row_fails(self, line: bytes) -> None:
        assert self.judge(line) != []

    def test_contradictory_row_fails(self) -> None:
        both = b'{"input_ids":[1,2],"t":"a"}\n{"input_ids":[1,0]}\n'
        assert self.judge(both, reject=b"", written=2) != []

    def test_rejected_good_row_fails(self) -> None:
        assert self.judge(b"", reject=self.reject.replace(b"2", b"1") + self.reject, written=0) != []

    @pytest.mark.parametrize("letter", range(len(METADATA_KEY)))
    def test_hidden_metadata_are_seen(self, letter: int) -> None:
        # Change a letter of the key in the footer, but not in the footer's copy of the Arrow schema.
        data = bytearray(seeds.parquet(pad_table(pa.table({"input_ids": [[1, 2], [3]]}))))
        assert data.count(METADATA_KEY) == 1
        data[data.index(METADATA_KEY) + letter] ^= 1
        assert METADATA_KEY in unpadded.metadata_keys("parquet", bytes(data))

    def test_exit_code_1_is_judged(self) -> None:
        case = cases.unpad_case_of(Random(1), self.source, "jsonl")
        assert judged(case, Outcome(1, b"", "Error: no.\n", case.files)) != []


@pytest.mark.parametrize(
    ("code", "args", "wrong"), [(1, ("--report", "r"), 0), (2, ("--report", "r"), 1), (1, (), 1)]
)
def test_failed_run_writes_report(code: int, args: tuple[str, ...], wrong: int) -> None:
    case = Case({"in.jsonl": b"x"}, ("pad", "in.jsonl", *args))
    files = {**case.files, "r": b'{"exit_code": 1, "error": {}}'}
    assert len(judged(case, Outcome(code, b"", "Error: in.jsonl: bad. Fix the row.\n", files))) == wrong


@pytest.mark.parametrize("form", FILE_FORMS)
def test_failed_verify_writes_report(form: str) -> None:
    case = Case({"in.jsonl": b"x"}, ("verify", "in.jsonl", "--allow", "x", "--report", f"{form}:r"))
    failed, passed = error_text(form, click.BadParameter("No.")), FORMS[form](Report(proof=False))
    for text, wrong in ((failed, []), (passed, ["files changed: ['r']"])):
        outcome = Outcome(2, b"", "Error: in.jsonl: bad. Choose one.\n", {**case.files, "r": text.encode()})
        assert judged(case, outcome) == wrong


def test_cases_survive_serialization() -> None:
    draw = Random(7)
    drawn = [
        cases.draw(draw, target, cases.seeds_of(target)) for target in (*KINDS, "unpad") for _ in range(20)
    ]
    drawn += [cases.option_case(draw) for _ in range(20)]
    assert [case_of_line(line_of_case(case)) for case in drawn] == drawn


def test_cases_are_deterministic() -> None:
    assert cases.option_case(Random(3)) == cases.option_case(Random(3))
    assert replace(cases.asked(Random(3), "jsonl")) == cases.asked(Random(3), "jsonl")
