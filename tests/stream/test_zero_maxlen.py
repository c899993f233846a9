"""A computed maxlen of 0 is refused: it would lose all tokens, or write rows without positions."""

from __future__ import annotations

from pathlib import Path

import pytest
from raised import raises_error

from padmask import PadSpec, RowPolicy, pad_dataset, pad_file
from padmask.errors import DataError

INPUTS = {
    "no rows": ("", PadSpec(), "no rows"),
    "empty rows": ('{"input_ids": []}\n' * 2, PadSpec(), "all rows are empty"),
    "percentile": ('{"input_ids": []}\n' * 3 + '{"input_ids": [1]}\n', PadSpec(maxlen="p50"), "p50"),
    "multiple": ("", PadSpec(pad_to_multiple_of=8), "no rows"),
}


@pytest.mark.parametrize(("text", "spec", "says"), INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("run", [pad_file, pad_dataset])
def test_found_zero_is_refused(tmp_path: Path, run, text: str, spec: PadSpec, says: str) -> None:
    (tmp_path / "in.jsonl").write_text(text)
    out = tmp_path / ("out.jsonl" if run is pad_file else "out")
    with raises_error(DataError, says, place="in.jsonl") as caught:
        run(tmp_path / "in.jsonl", out, spec=spec)
    assert caught.value.options == ("maxlen",)
    assert not out.exists() or not list(out.rglob("*.jsonl"))


@pytest.mark.parametrize("maxlen", [0, 4])
def test_typed_maxlen_is_used(tmp_path: Path, maxlen: int) -> None:
    (tmp_path / "in.jsonl").write_text('{"input_ids": []}\n')
    result = pad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", spec=PadSpec(maxlen=maxlen))
    assert (result.maxlen, result.ledger.rows_written) == (maxlen, 1)


def test_rejected_rows_have_no_length(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"input_ids": null}\n')
    policy = RowPolicy(on_error="skip")
    with raises_error(DataError, "no rows", place="in.jsonl", option="maxlen"):
        pad_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", columns="input_ids", policy=policy)
