"""The schema of JUnit reports."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest


@cache
def junit_schema() -> Any:
    """Return the schema with which CI servers read JUnit reports, or skip the test without `xmlschema`."""
    xmlschema = pytest.importorskip("xmlschema", reason="xmlschema is not installed")
    return xmlschema.XMLSchema(Path(__file__).parent / "verify" / "junit-10.xsd")
