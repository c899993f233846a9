"""Show results in notebooks.

`padmask.render` imports the classes of results, so these classes cannot import `padmask.render`. Therefore, a
table names the function that renders each class, and the function is imported when a notebook shows a result.
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
