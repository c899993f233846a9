"""Verify that models ignore padding: rules for the data, and checks that run the models.

The public names are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from padmask.verify.api import assert_ignores_padding as assert_ignores_padding
    from padmask.verify.api import verify_model as verify_model
    from padmask.verify.report import Report as Report

_MODULES = {"assert_ignores_padding": "api", "verify_model": "api", "Report": "report"}

__all__ = ["Report", "assert_ignores_padding", "verify_model"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'padmask.verify' has no attribute {name!r}")
    return getattr(import_module(f"padmask.verify.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
