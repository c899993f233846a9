"""Show results in notebooks.

Classes of results cannot import `padmask.render`, which is above their packages. Therefore, a table names the
functions that render results, and a notebook imports a function on first use.
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
