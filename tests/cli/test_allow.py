"""`--allow` acknowledges warnings, on the command line and in a pyproject.toml."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raised import has_facts

EMPTY = '{"input_ids": [5, 6]}\n{"input_ids": []}\n'
GAP = '{"input_ids": [5, 0, 6], "mask": [1, 0, 1]}\n'


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """Rows that cause the warning `row-fully-masked`. For `verify`, they violate the rule of this name."""
    (tmp_path / "rows.jsonl").write_text(EMPTY)
    return "rows.jsonl"


def test_warnings_have_names(here, rows):
    assert "\nwarning[row-fully-masked]: 1 row without tokens" in here("pad", rows, "-o", "out.jsonl").stderr


def test_allowed_warning_is_only_in_the_report(here, rows, tmp_path):
    done = here("pad", rows, "-o", "out.jsonl", "--allow", "row-fully-masked", "--report", "report.json")
    assert (done.returncode, "warning[" in done.stderr) == (0, False)
    [warning] = json.loads((tmp_path / "report.json").read_text())["warnings"]
    assert (warning["name"], warning["allowed"]) == ("row-fully-masked", True)


def test_one_lost_end_is_reported(here, tmp_path):
    """Two of three truncated rows do not end with the token 2, which most rows share."""
    rows = [*[[5, 6, 2]] * 4, *[[5, 6, 7, 8, 9]] * 2, [5, 6, 7, 8, 2]]
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"input_ids":{row}}}\n' for row in rows))
    said = here("pad", "rows.jsonl", "--maxlen", "4").stderr
    assert "warning[ends-lost]: 1 truncated row lost its last token 2; --keep-last 1 keeps it" in said
    kept = here("pad", "rows.jsonl", "--maxlen", "4", "--keep-last", "1")
    assert "ends-lost" not in kept.stderr
    assert kept.stdout.splitlines()[-1].startswith('{"input_ids":[5,6,7,2]')


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "npz"])
def test_nan_is_reported(here, tmp_path, suffix):
    nan, inf = float("nan"), float("inf")
    rows = [[[0.5, nan], [nan, 1.0]], [[0.5, 2.0]], [[inf, 1.0]]]
    pq.write_table(pa.table({"features": rows, "t": [[0.5, 1.5], [nan], [0.5]]}), tmp_path / "in.parquet")
    args = ["pad", "in.parquet", "-c", "features", "-o", f"out.{suffix}"]
    assert "warning[non-finite]: 2 rows with NaN" in here(*args).stderr
    assert "warning[non-finite]: 3 rows with NaN" in here(*args, "-c", "t").stderr
    assert "non-finite" not in here(*args, "--allow", "non-finite").stderr


@pytest.mark.parametrize("value", ["[0.5, null]", "[[0.5, null]]", "[[0.5], null]"])
def test_gap_has_a_remedy(here, tmp_path, value):
    (tmp_path / "in.jsonl").write_text(f'{{"x": {value}}}\n')
    done = here("pad", "in.jsonl", "-c", "x:float32")
    assert (done.returncode, "docs/series.md" in done.stderr) == (1, True)


def test_settings_allow_warnings(here, rows, tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.padmask]\nallow = ["row-fully-masked", "cudnn-fallback"]\n'
    )
    done = here("pad", rows, "-o", "out.jsonl")
    assert "warning[" not in done.stderr
    assert "settings: --allow is set in " in done.stderr


@pytest.mark.parametrize("command", ["pad", "pack", "unpad", "inspect", "verify"])
def test_unknown_name_has_a_suggestion(here, rows, command):
    done = here(command, rows, "--allow", "row-fuly-masked")
    assert done.returncode == 2
    assert "Did you mean 'row-fully-masked'?" in done.stderr


@pytest.mark.parametrize(
    ("command", "page"), [("pad", "docs/warnings.md"), ("verify", "docs/rules.md")], ids=["pad", "verify"]
)
def test_unknown_name_has_a_page(here, rows, command, page):
    """The error suggests similar names and the page that lists all names, but does not list all names."""
    said = here(command, rows, "--allow", "rows").stderr
    assert has_facts(said, "'no-rows-read'", "'no-rows-written'", page)
    assert "files-deleted" not in said


def test_pad_names_rules_of_verify(here, rows):
    assert "'bad-row' is a rule of padmask verify" in here("pad", rows, "--allow", "bad-row").stderr


def test_unpad_allows_warnings(here, tmp_path):
    (tmp_path / "padded.jsonl").write_text('{"input_ids": [5, 0], "tags": [1, 0], "mask": [1, 0]}\n')
    given = ("unpad", "padded.jsonl", "-c", "input_ids", "-o", "out.jsonl")
    assert "\nwarning[still-padded]: " in here(*given).stderr
    assert "warning[" not in here(*given, "--allow", "still-padded").stderr


def test_inspect_names_allowed_rules(here, rows):
    given = ("inspect", rows, "--no-plans", "--no-masks")
    assert "warning[row-fully-masked]: rows without" in here(*given).stdout
    assert "\nallowed: row-fully-masked\n" in here(*given, "--allow", "row-fully-masked").stdout
    seen = json.loads(here(*given, "--allow", "row-fully-masked", "--json").stdout)
    assert [finding["severity"] for finding in seen["health"]] == ["allowed"]


def test_strict_counts_rules_of_settings(here, rows, tmp_path):
    given = ("verify", rows, "--no-model")
    (tmp_path / "pyproject.toml").write_text('[tool.padmask.verify]\nallow = ["row-fully-masked"]\n')
    assert "\nallowed: row-fully-masked\n" in here(*given).stdout
    assert here(*given, "--strict").returncode == 1
    assert here(*given, "--strict", "--allow", "row-fully-masked").returncode == 0


def test_settings_do_not_allow_errors(here, tmp_path):
    (tmp_path / "gap.jsonl").write_text(GAP)
    (tmp_path / "pyproject.toml").write_text('[tool.padmask]\nallow = ["mask-not-contiguous"]\n')
    done = here("verify", "gap.jsonl", "--no-model")
    assert done.returncode == 2
    assert "Only the command line can allow the rule 'mask-not-contiguous'" in done.stderr
    assert "use --allow mask-not-contiguous" in done.stderr
    (tmp_path / "pyproject.toml").unlink()
    assert here("verify", "gap.jsonl", "--no-model", "--allow", "mask-not-contiguous").returncode == 0


def test_quiet_inspect_has_no_warnings(here, rows, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / rows).rename(tmp_path / "data" / rows)
    (tmp_path / "data" / "notes.md").write_text("")
    given = ("inspect", "data", "--no-plans", "--no-masks")
    assert "warning[files-not-read]: " in here(*given).stdout
    assert "warning[" not in here(*given, "--quiet").stdout
