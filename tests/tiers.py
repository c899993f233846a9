"""Tiers of tests, by marker.

- no marker: `make test`
- `slow`: `make test-all` runs these too
- `exhaustive`: `make test-exhaustive`. An exhaustive test repeats a test of another tier with more inputs.
  The repeated test represents the exhaustive test, because it finds most of the same faults. A test with
  both markers is exhaustive.

@represented("change", CHANGES, by={"a token", "a mask"})   # the other changes are exhaustive
def test_change_is_found(change): ...

@pytest.mark.exhaustive(by="test_hook")                     # a test in the same file
def test_hook_in_pre_commit(): ...
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pytest


def represented(
    names: str,
    cases: Mapping[str, Any] | Iterable[Any],
    *,
    by: int | Collection[str],
    indirect: Sequence[str] = (),
) -> pytest.MarkDecorator:
    """Parametrize a test. All cases but the representatives are exhaustive.

    Args:
        names: names of the parameters, separated by commas.
        cases: mapping from test ids to values, or values or `pytest.param`. The default id is their text.
        by: ids of the cases that represent the others, or the number of first cases that do so.
        indirect: names of the parameters that are fixtures.
    """
    params = [make_param(*named, names) for named in with_ids(cases)]
    chosen = {param.id for param in params[:by]} if isinstance(by, int) else set(by)
    unknown = chosen.difference(param.id for param in params)
    if unknown or not chosen:
        raise ValueError(f"{sorted(unknown) or 'nothing'} represents the cases of {names}")
    marked = [param if param.id in chosen else exhaustive(param) for param in params]
    return pytest.mark.parametrize(names, marked, indirect=list(indirect))


def with_ids(cases: Mapping[str, Any] | Iterable[Any]) -> Iterable[tuple[str | None, Any]]:
    """Return the cases with their ids, if a mapping names them."""
    return cases.items() if isinstance(cases, Mapping) else ((None, case) for case in cases)


def make_param(name: str | None, case: Any, names: str) -> Any:
    """Return a `pytest.param` with an id."""
    if isinstance(case, type(pytest.param())):
        return pytest.param(*case.values, marks=case.marks, id=case.id or make_id(case.values))
    values = tuple(case) if "," in names else (case,)
    return pytest.param(*values, id=name or make_id(values))


def make_id(values: Iterable[Any]) -> str:
    """Return the texts of the values."""
    return "-".join(map(str, values))


def exhaustive(param: Any) -> Any:
    """Return a `pytest.param` with the marker `exhaustive`."""
    return pytest.param(*param.values, marks=[*param.marks, pytest.mark.exhaustive], id=param.id)
