"""Convert cases and outcomes to lines of JSON, and back."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fuzz import expected, unpadded
from fuzz.contract import Case, Outcome

_ASKED = {"pad": expected.Asked, "unpad": unpadded.Asked}


def line_of_case(case: Case) -> bytes:
    """Return a case as a line."""
    asked = None
    if case.asked is not None:
        [name] = [name for name, kind in _ASKED.items() if isinstance(case.asked, kind)]
        asked = [name, asdict(case.asked)]
    fields = {"files": _text(case.files), "args": case.args, "source": case.source, "asked": asked}
    return json.dumps(fields).encode() + b"\n"


def case_of_line(line: bytes) -> Case:
    """Return the case of a line."""
    fields = json.loads(line)
    asked = None
    if fields["asked"] is not None:
        name, options = fields["asked"]
        asked = _ASKED[name](**options | {"sources": tuple(options["sources"])})
    return Case(_data(fields["files"]), tuple(fields["args"]), fields["source"], asked)


def line_of_outcome(outcome: Outcome, problems: list[str]) -> bytes:
    """Return an outcome and its problems as a line."""
    fields = {
        "code": outcome.code,
        "out": base64.b64encode(outcome.out).decode(),
        "said": outcome.said,
        "files": _text(outcome.files),
        "problems": problems,
    }
    return json.dumps(fields).encode() + b"\n"


def outcome_of_line(line: bytes) -> tuple[Outcome, list[str]]:
    """Return the outcome and the problems of a line."""
    fields = json.loads(line)
    out = base64.b64decode(fields["out"])
    return Outcome(fields["code"], out, fields["said"], _data(fields["files"])), fields["problems"]


def _text(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(data).decode() for name, data in files.items()}


def _data(files: Mapping[str, Any]) -> dict[str, bytes]:
    return {name: base64.b64decode(data) for name, data in files.items()}
