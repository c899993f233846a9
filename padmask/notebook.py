"""Show results in notebooks.

The classes of results are below the package that renders them, so this table names the functions that render
them, and a notebook imports the functions on first use.
"""

from __future__ import annotations

from importlib import import_module

FRAGMENTS = {
    "Inspection": ("padmask.render.html_inspect", "inspect_fragment"),
    "Report": ("padmask.render.html_verify", "verify_fragment"),
}


class ShownInNotebooks:
    """A result that Jupyter and other notebooks show as HTML."""

    def _repr_html_(self) -> str:
        module, name = FRAGMENTS[type(self).__name__]
        return str(getattr(import_module(module), name)(self))
